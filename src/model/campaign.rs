//! A campaign: what its file says, checked. [`Campaign::from_toml`] is the only way in.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use serde::Deserialize;
use toml::value::Datetime;

use super::content::{Category, Content, Goal, Media, Style};
use super::ids::{Name, RecipientKey};
use super::recipient::{Country, Locale, parse_zone};

/// The longest window.
pub const WINDOW_MAX: TimeDelta = TimeDelta::days(92);
/// The most variants, translations counted.
pub const VARIANTS_MAX: usize = 200;
/// The longest list in an audience.
pub const AUDIENCE_LIST_MAX: usize = 1_000_000;
/// The longest horizon of a goal: what the learner follows a message for.
pub const WITHIN_MAX: Duration = Duration::from_hours(72);

/// A checked campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Unique in the workspace.
    pub name: Name,
    /// The `[provider.NAME]` that carries it.
    pub provider: Name,
    /// `marketing` or `utility`.
    pub category: Category,
    /// What it is sent for.
    pub goal: Goal,
    /// An engagement counts when it comes within this time.
    pub within: Duration,
    /// 0 to 1000; higher plans first.
    pub priority: u32,
    /// Tried where no variant fits the person's language.
    pub fallback_language: Option<Locale>,
    /// When it may be sent.
    pub window: Window,
    /// To whom.
    pub audience: Audience,
    /// What; translations share a name and follow each other.
    pub variants: Vec<Variant>,
    /// How much at once.
    pub capacity: Capacity,
    /// How dear.
    pub budget: Option<Budget>,
    /// The experiment.
    pub arms: Arms,
    /// When not, besides the workspace's and the country's rules.
    pub quiet_hours: CampaignQuiet,
}

/// A span on a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: NaiveDateTime,
    /// The first moment after it.
    pub end: NaiveDateTime,
    /// `None`: on each recipient's own clock.
    pub zone: Option<Tz>,
}

/// Any of a key's values, and all keys; no key: everybody with consent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// Any of these tags.
    pub tags: Vec<String>,
    /// Any of these countries.
    pub countries: Vec<Country>,
    /// Any of these people.
    pub recipients: Vec<RecipientKey>,
}

/// One way to say it, in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Shared by translations.
    pub name: Name,
    /// Medium and style.
    pub content: Content,
    /// How the provider knows it.
    pub template: Option<String>,
    /// `None` fits everybody.
    pub language: Option<Locale>,
    /// The text, for channels that have no templates.
    pub text: Option<Pattern>,
    /// The template's parameters.
    pub parameters: Vec<Pattern>,
    /// Stands in for attributes that a person lacks.
    pub defaults: BTreeMap<String, String>,
    /// Where the picture or film lies.
    pub media_url: Option<String>,
}

/// A text with `{{X}}` in it, split where the attributes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Attribute(String),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("{{ is never closed by }}")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Attribute(name.trim().to_owned()));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, MissingParameter> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Attribute(name) => {
                    text.push_str(&value(name).ok_or_else(|| MissingParameter(name.clone()))?);
                }
            }
        }
        Ok(text)
    }
}

/// An attribute that a variant needs, the person lacks, and no default replaces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value and no default for {{{{{0}}}}}")]
pub struct MissingParameter(pub String);

/// A variant's texts with one person's values in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text, for channels that have no templates.
    pub text: Option<String>,
    /// The template's parameters.
    pub parameters: Vec<String>,
}

impl Variant {
    /// Puts a person's attributes into the texts.
    pub fn render(
        &self,
        attributes: &BTreeMap<String, String>,
    ) -> Result<Rendered, MissingParameter> {
        let value = |name: &str| attributes.get(name).or_else(|| self.defaults.get(name)).cloned();
        Ok(Rendered {
            text: self.text.as_ref().map(|text| text.fill(value)).transpose()?,
            parameters: self.parameters.iter().map(|p| p.fill(value)).collect::<Result<_, _>>()?,
        })
    }
}

/// How much the campaign sends at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capacity {
    /// Messages in any UTC clock hour.
    pub per_hour: Option<u32>,
    /// A bound on expected open chats.
    pub chats: Option<Chats>,
}

/// Expected open chats: replies per hour × minutes per chat / 60 ≤ agents × chats per agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Chats {
    /// People who answer.
    pub agents: u32,
    /// Chats that one of them holds at once.
    pub chats_per_agent: u32,
    /// How long a chat lasts, in minutes.
    pub minutes_per_chat: f64,
    /// When they work, in the workspace's zone; empty: always.
    pub hours: Vec<WeekSpan>,
}

impl Chats {
    /// Replies that can be taken in one hour of work.
    pub fn replies_per_hour(&self) -> f64 {
        f64::from(self.agents) * f64::from(self.chats_per_agent) * 60.0 / self.minutes_per_chat
    }
}

/// `Mon-Fri 09:00-18:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekSpan {
    /// Whether it holds on a day, Monday first.
    pub days: [bool; 7],
    /// Its first minute of the day.
    pub from_minute: u32,
    /// The first minute after it, at most 1440.
    pub to_minute: u32,
}

impl WeekSpan {
    /// Parses days and hours such as `Mon-Fri 09:00-18:00`; the end may be `24:00`.
    pub fn parse(text: &str) -> Option<Self> {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let day = |name: &str| DAYS.iter().position(|d| *d == name);
        let minute = |text: &str| match text {
            "24:00" => Some(1440),
            text => parse_time(text).map(minute_of_day),
        };
        let (days, hours) = text.split_once(' ')?;
        let (first, last) = match days.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(days)?, day(days)?),
        };
        let mut span = Self { days: [false; 7], from_minute: 0, to_minute: 0 };
        for offset in 0..=(last + 7 - first) % 7 {
            span.days[(first + offset) % 7] = true;
        }
        let (from, to) = hours.trim().split_once('-')?;
        (span.from_minute, span.to_minute) = (minute(from)?, minute(to)?);
        (span.from_minute < span.to_minute).then_some(span)
    }
}

/// Expected spend is kept under this.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// In `currency`.
    pub amount: f64,
    /// ISO 4217.
    pub currency: String,
}

/// Shares of the audience; they sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arms {
    /// Gets the slot and variant of highest value.
    pub personalized: f64,
    /// Gets a uniform draw from what is allowed.
    pub explore: f64,
    /// Gets `control_time`.
    pub control: f64,
    /// Gets nothing.
    pub holdout: f64,
    /// Local time of the control arm.
    pub control_time: NaiveTime,
}

/// Daily hours in which nothing is sent; from `start` up to but not including `end`, over midnight
/// when `start` is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// First minute of the day.
    pub start_minute: u32,
    /// The first minute after it.
    pub end_minute: u32,
}

impl QuietHours {
    /// Whether a minute of the day, 0 to 1439, lies within.
    pub fn contains(self, minute: u32) -> bool {
        if self.start_minute <= self.end_minute {
            (self.start_minute..self.end_minute).contains(&minute)
        } else {
            minute >= self.start_minute || minute < self.end_minute
        }
    }

    /// Checks a pair of local times; equal ones would mean nothing or everything.
    pub fn parse(start: &str, end: &str) -> Result<Self, String> {
        let minute = |text| {
            parse_time(text)
                .map(minute_of_day)
                .ok_or_else(|| format!("{text:?} is not a time such as \"21:00\""))
        };
        let (start_minute, end_minute) = (minute(start)?, minute(end)?);
        if start_minute == end_minute {
            return Err(format!(
                "start and end are both {start:?}; leave the section out for no quiet hours"
            ));
        }
        Ok(Self { start_minute, end_minute })
    }
}

/// What the campaign says of quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CampaignQuiet {
    /// Nothing: the workspace's hold.
    #[default]
    Inherit,
    /// These as well as the workspace's.
    Add(QuietHours),
    /// Neither its own nor the workspace's; a country's hold all the same.
    Lift,
}

/// What is wrong with a campaign file: every key, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CampaignError {
    /// Not TOML, an unknown key, or a value of the wrong type; the message names line and column.
    #[error("{0}")]
    Syntax(String),
    /// Values out of bounds.
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCampaign {
    name: Name,
    provider: Name,
    category: Option<Category>,
    goal: Option<Goal>,
    #[serde(default, with = "humantime_serde")]
    within: Option<Duration>,
    priority: Option<u32>,
    fallback_language: Option<Locale>,
    window: RawWindow,
    #[serde(default)]
    audience: RawAudience,
    #[serde(default)]
    variant: Vec<RawVariant>,
    #[serde(default)]
    capacity: RawCapacity,
    budget: Option<RawBudget>,
    arms: Option<RawArms>,
    quiet_hours: Option<RawQuiet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWindow {
    start: Datetime,
    end: Datetime,
    time_zone: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAudience {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    countries: Vec<Country>,
    #[serde(default)]
    recipients: Vec<RecipientKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    name: Name,
    media: Media,
    style: Option<Style>,
    template: Option<String>,
    language: Option<Locale>,
    text: Option<String>,
    #[serde(default)]
    parameters: Vec<String>,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    media_url: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawCapacity {
    per_hour: Option<u32>,
    agents: Option<u32>,
    chats_per_agent: Option<u32>,
    minutes_per_chat: Option<f64>,
    agent_hours: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    amount: f64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArms {
    personalized: Option<f64>,
    explore: Option<f64>,
    control: Option<f64>,
    holdout: Option<f64>,
    control_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuiet {
    start: Option<String>,
    end: Option<String>,
    #[serde(default)]
    none: bool,
}

impl Campaign {
    /// Parses and checks a campaign file.
    pub fn from_toml(text: &str) -> Result<Self, CampaignError> {
        let raw: RawCampaign = toml::from_str(text)
            .map_err(|error| CampaignError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut wrong = Wrong::default();
        let campaign = raw.check(&mut wrong);
        match campaign {
            Some(campaign) if wrong.0.is_empty() => Ok(campaign),
            _ => Err(CampaignError::Values(wrong.0)),
        }
    }

    /// The distinct contents of its variants, sorted.
    pub fn contents(&self) -> Vec<Content> {
        let mut contents: Vec<_> = self.variants.iter().map(|v| v.content.clone()).collect();
        contents.sort();
        contents.dedup();
        contents
    }

    /// For a reader of `locale`, the index of the best translation of each variant name: the
    /// person's region, else the language, else one without a language, else the fallback.
    pub fn variants_for(&self, locale: Option<&Locale>) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        let mut first = 0;
        while first < self.variants.len() {
            let name = &self.variants[first].name;
            let past =
                first + self.variants[first..].iter().take_while(|v| v.name == *name).count();
            let rank = |index: &usize| self.fitness(&self.variants[*index], locale);
            let best = (first..past).filter(|i| rank(i) > 0).max_by_key(|i| (rank(i), past - i));
            chosen.extend(best);
            first = past;
        }
        chosen
    }

    /// 0 does not fit; higher fits better.
    fn fitness(&self, variant: &Variant, reader: Option<&Locale>) -> u8 {
        match (&variant.language, reader) {
            (None, _) => 2,
            (Some(language), Some(reader)) if language == reader => 4,
            (Some(language), Some(reader)) if language.fits(reader) => 3,
            (Some(language), _) => {
                u8::from(self.fallback_language.as_ref().is_some_and(|f| f.fits(language)))
            }
        }
    }
}

/// Collects what is wrong, so that one run shows everything.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn note(&mut self, key: &str, problem: impl std::fmt::Display) {
        self.0.push(format!("{key}: {problem}"));
    }
}

impl RawCampaign {
    fn check(self, wrong: &mut Wrong) -> Option<Campaign> {
        let window = self.window.check(wrong);
        let category = self.category.unwrap_or(Category::Marketing);
        if !matches!(category, Category::Marketing | Category::Utility) {
            wrong.note(
                "category",
                format_args!("{:?} is not one of marketing, utility", category.as_str()),
            );
        }
        let within = self.within.unwrap_or(Duration::from_hours(2));
        if within < Duration::from_hours(1) || within > WITHIN_MAX {
            wrong.note(
                "within",
                format_args!("{:?} is not between 1h and 72h", humantime_text(within)),
            );
        }
        let priority = self.priority.unwrap_or(50);
        if priority > 1000 {
            wrong.note("priority", format_args!("{priority} is not between 0 and 1000"));
        }
        let audience = self.audience.check(wrong);
        let variants = check_variants(self.variant, wrong);
        let capacity = self.capacity.check(wrong);
        let budget = self.budget.map(|budget| budget.check(wrong));
        let arms = self.arms.map_or(Arms::ALL_PERSONALIZED, |arms| arms.check(wrong));
        let quiet_hours =
            self.quiet_hours.map_or(CampaignQuiet::Inherit, |quiet| quiet.check(wrong));
        Some(Campaign {
            name: self.name,
            provider: self.provider,
            category,
            goal: self.goal.unwrap_or(Goal::Read),
            within,
            priority,
            fallback_language: self.fallback_language,
            window: window?,
            audience,
            variants,
            capacity,
            budget,
            arms,
            quiet_hours,
        })
    }
}

impl RawWindow {
    fn check(self, wrong: &mut Wrong) -> Option<Window> {
        let start = local(&self.start);
        let end = local(&self.end);
        for (key, value, given) in
            [("window.start", start, &self.start), ("window.end", end, &self.end)]
        {
            if value.is_none() {
                wrong.note(key, format_args!("{given} is not a local date and time such as 2026-12-01T09:00:00; the zone goes into time_zone"));
            }
        }
        let zone = match self.time_zone.as_deref() {
            None | Some("recipient") => None,
            Some(name) => match parse_zone(name) {
                Ok(zone) => Some(zone),
                Err(error) => {
                    wrong.note("window.time_zone", format_args!("{error}, nor \"recipient\""));
                    None
                }
            },
        };
        let (start, end) = (start?, end?);
        if end <= start {
            wrong.note("window.end", format_args!("{end} is not after window.start {start}"));
        } else if end - start > WINDOW_MAX {
            wrong.note(
                "window.end",
                format_args!("the window is longer than {} days", WINDOW_MAX.num_days()),
            );
        }
        Some(Window { start, end, zone })
    }
}

fn local(given: &Datetime) -> Option<NaiveDateTime> {
    if given.offset.is_some() || given.time.is_none() {
        return None;
    }
    given.to_string().parse().ok()
}

impl RawAudience {
    fn check(self, wrong: &mut Wrong) -> Audience {
        let lengths = [
            ("tags", self.tags.len()),
            ("countries", self.countries.len()),
            ("recipients", self.recipients.len()),
        ];
        for (key, length) in lengths {
            if length > AUDIENCE_LIST_MAX {
                wrong.note(
                    &format!("audience.{key}"),
                    format_args!("{length} entries are more than {AUDIENCE_LIST_MAX}; use a tag"),
                );
            }
        }
        Audience { tags: self.tags, countries: self.countries, recipients: self.recipients }
    }
}

/// Groups translations under their name, in the order of first appearance.
fn check_variants(raw: Vec<RawVariant>, wrong: &mut Wrong) -> Vec<Variant> {
    if raw.is_empty() {
        wrong.note("variant", "there is none; write at least one [[variant]] with name and media");
    }
    if raw.len() > VARIANTS_MAX {
        wrong.note("variant", format_args!("{} are more than {VARIANTS_MAX}", raw.len()));
    }
    let mut variants: Vec<Variant> = Vec::with_capacity(raw.len());
    for raw in raw {
        let Some(variant) = raw.check(wrong) else { continue };
        match variants.iter().rposition(|other| other.name == variant.name) {
            None => variants.push(variant),
            Some(last) => {
                let key = format!("variant {}", variant.name);
                if variants[last].content != variant.content {
                    wrong.note(&key, "its translations differ in media or style; give the other a name of its own");
                }
                if variants.iter().any(|v| v.name == variant.name && v.language == variant.language)
                {
                    let language = variant
                        .language
                        .as_ref()
                        .map_or("no language".to_owned(), ToString::to_string);
                    wrong.note(
                        &key,
                        format_args!(
                            "it stands twice with {language}; translations need different languages"
                        ),
                    );
                }
                variants.insert(last + 1, variant);
            }
        }
    }
    variants
}

impl RawVariant {
    fn check(self, wrong: &mut Wrong) -> Option<Variant> {
        let key = format!("variant {}", self.name);
        let mut pattern = |text: &String| {
            Pattern::parse(text)
                .map_err(|problem| wrong.note(&key, format_args!("{text:?}: {problem}")))
                .ok()
        };
        let text = match self.text.as_ref() {
            Some(text) => Some(pattern(text)?),
            None => None,
        };
        let parameters = self.parameters.iter().map(&mut pattern).collect::<Option<_>>()?;
        Some(Variant {
            name: self.name,
            content: Content { media: self.media, style: self.style },
            template: self.template,
            language: self.language,
            text,
            parameters,
            defaults: self.defaults,
            media_url: self.media_url,
        })
    }
}

impl RawCapacity {
    fn check(self, wrong: &mut Wrong) -> Capacity {
        if self.per_hour == Some(0) {
            wrong.note("capacity.per_hour", "0 would send nothing; leave it out for no bound");
        }
        let chats = match (self.agents, self.chats_per_agent, self.minutes_per_chat) {
            (Some(agents), Some(chats_per_agent), Some(minutes_per_chat)) => {
                if !(minutes_per_chat > 0.0 && minutes_per_chat <= 1440.0) {
                    wrong.note(
                        "capacity.minutes_per_chat",
                        format_args!("{minutes_per_chat} is not above 0 and at most 1440"),
                    );
                }
                if agents == 0 || chats_per_agent == 0 {
                    wrong.note(
                        "capacity.agents",
                        "0 could take no reply; leave the keys out for no bound",
                    );
                }
                let spans = self.agent_hours.unwrap_or_default();
                let hours = spans.iter().filter_map(|text| {
                    WeekSpan::parse(text).or_else(|| {
                        wrong.note(
                            "capacity.agent_hours",
                            format_args!(
                                "{text:?} is not days and hours such as \"Mon-Fri 09:00-18:00\""
                            ),
                        );
                        None
                    })
                });
                Some(Chats { agents, chats_per_agent, minutes_per_chat, hours: hours.collect() })
            }
            (None, None, None) if self.agent_hours.is_none() => None,
            _ => {
                wrong.note(
                    "capacity",
                    "agents, chats_per_agent and minutes_per_chat stand together or not at all",
                );
                None
            }
        };
        Capacity { per_hour: self.per_hour, chats }
    }
}

impl RawBudget {
    fn check(self, wrong: &mut Wrong) -> Budget {
        if !(self.amount.is_finite() && self.amount > 0.0) {
            wrong.note("budget.amount", format_args!("{} is not above 0", self.amount));
        }
        if !is_currency(&self.currency) {
            wrong.note(
                "budget.currency",
                format_args!(
                    "{:?} is not a code of three capital letters such as USD",
                    self.currency
                ),
            );
        }
        Budget { amount: self.amount, currency: self.currency }
    }
}

/// Whether a text looks like an ISO 4217 code.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}

impl Arms {
    const CONTROL_TIME: NaiveTime = NaiveTime::from_hms_opt(10, 0, 0).expect("ten o'clock exists");
    const ALL_PERSONALIZED: Self = Self {
        personalized: 1.0,
        explore: 0.0,
        control: 0.0,
        holdout: 0.0,
        control_time: Self::CONTROL_TIME,
    };
}

impl RawArms {
    fn check(self, wrong: &mut Wrong) -> Arms {
        const SUM_TOLERANCE: f64 = 1e-6;
        let shares = [
            ("arms.personalized", self.personalized),
            ("arms.explore", self.explore),
            ("arms.control", self.control),
            ("arms.holdout", self.holdout),
        ];
        let mut sum = 0.0;
        for (key, share) in shares {
            let share = share.unwrap_or(0.0);
            if !(0.0..=1.0).contains(&share) {
                wrong.note(key, format_args!("{share} is not between 0 and 1"));
            }
            sum += share;
        }
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            wrong.note("arms", format_args!("the shares sum to {sum}, not to 1"));
        }
        let control_time = match self.control_time.as_deref() {
            None => Arms::CONTROL_TIME,
            Some(text) => parse_time(text).unwrap_or_else(|| {
                wrong.note(
                    "arms.control_time",
                    format_args!("{text:?} is not a time such as \"10:00\""),
                );
                Arms::CONTROL_TIME
            }),
        };
        Arms {
            personalized: self.personalized.unwrap_or(0.0),
            explore: self.explore.unwrap_or(0.0),
            control: self.control.unwrap_or(0.0),
            holdout: self.holdout.unwrap_or(0.0),
            control_time,
        }
    }
}

impl RawQuiet {
    fn check(self, wrong: &mut Wrong) -> CampaignQuiet {
        match (self.start, self.end, self.none) {
            (None, None, true) => CampaignQuiet::Lift,
            (Some(start), Some(end), false) => match QuietHours::parse(&start, &end) {
                Ok(hours) => CampaignQuiet::Add(hours),
                Err(problem) => {
                    wrong.note("quiet_hours", problem);
                    CampaignQuiet::Inherit
                }
            },
            _ => {
                wrong.note("quiet_hours", "it takes start and end, or none = true alone");
                CampaignQuiet::Inherit
            }
        }
    }
}

fn parse_time(text: &str) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(text, "%H:%M").ok()
}

fn minute_of_day(time: NaiveTime) -> u32 {
    use chrono::Timelike;
    time.hour() * 60 + time.minute()
}

fn humantime_text(span: Duration) -> String {
    format!("{}min", span.as_secs_f64() / 60.0)
}
