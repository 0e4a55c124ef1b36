//! A campaign's file: what serde takes, then what is checked. Every wrong key is told, not only
//! the first.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use serde::Deserialize;
use toml::value::Datetime;

use super::fallback::{RawFallback, check_fallbacks};
use super::hours::{RawQuiet, parse_time};
use super::trigger::{RUN_SUFFIX, RawTrigger};
use super::{
    AUDIENCE_LIST_MAX, Arms, Audience, Budget, Campaign, CampaignError, CampaignQuiet, Capacity,
    Chats, Pattern, VARIANTS_MAX, Variant, WINDOW_MAX, WITHIN_MAX, WeekSpan, Window, is_currency,
};
use crate::model::content::{Category, Content, Goal, Media, Style};
use crate::model::frequency::RawFrequency;
use crate::model::ids::{Name, RecipientKey};
use crate::model::recipient::{Country, Locale, parse_zone};

/// A campaign file as it is written, before it is checked.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Campaign)]
#[serde(deny_unknown_fields)]
pub struct RawCampaign {
    name: Name,
    provider: Name,
    category: Option<Category>,
    goal: Option<Goal>,
    #[serde(default, with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    within: Option<Duration>,
    priority: Option<u32>,
    #[schema(value_type = Option<String>)]
    fallback_language: Option<Locale>,
    #[serde(default)]
    free_form: bool,
    topic: Option<String>,
    window: Option<RawWindow>,
    trigger: Option<RawTrigger>,
    #[serde(default)]
    fallback: Vec<RawFallback>,
    #[serde(default)]
    audience: RawAudience,
    #[serde(default)]
    variant: Vec<RawVariant>,
    #[serde(default)]
    capacity: RawCapacity,
    budget: Option<RawBudget>,
    arms: Option<RawArms>,
    quiet_hours: Option<RawQuiet>,
    #[serde(default)]
    #[schema(value_type = Object)]
    frequency: RawFrequency,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Window)]
#[serde(deny_unknown_fields)]
struct RawWindow {
    #[schema(value_type = String)]
    start: Datetime,
    #[schema(value_type = String)]
    end: Datetime,
    time_zone: Option<String>,
}

#[derive(Deserialize, Default, utoipa::ToSchema)]
#[schema(as = Audience)]
#[serde(deny_unknown_fields)]
struct RawAudience {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    countries: Vec<Country>,
    #[serde(default)]
    recipients: Vec<RecipientKey>,
    #[serde(default)]
    segments: Vec<Name>,
    #[serde(rename = "where")]
    expression: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Variant)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    name: Name,
    media: Media,
    style: Option<Style>,
    template: Option<String>,
    #[schema(value_type = Option<String>)]
    language: Option<Locale>,
    text: Option<String>,
    header: Option<String>,
    #[serde(default)]
    parameters: Vec<String>,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    media_url: Option<String>,
}

#[derive(Deserialize, Default, utoipa::ToSchema)]
#[schema(as = Capacity)]
#[serde(deny_unknown_fields)]
struct RawCapacity {
    per_hour: Option<u32>,
    agents: Option<u32>,
    chats_per_agent: Option<u32>,
    minutes_per_chat: Option<f64>,
    agent_hours: Option<Vec<String>>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Budget)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    amount: f64,
    currency: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Arms)]
#[serde(deny_unknown_fields)]
struct RawArms {
    personalized: Option<f64>,
    thompson: Option<f64>,
    explore: Option<f64>,
    control: Option<f64>,
    holdout: Option<f64>,
    control_time: Option<String>,
}

impl Campaign {
    /// Parses and checks a campaign file.
    pub fn from_toml(text: &str) -> Result<Self, CampaignError> {
        let raw: RawCampaign = toml::from_str(text)
            .map_err(|error| CampaignError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut wrong = KeyProblems::default();
        let campaign = raw.check(&mut wrong);
        match campaign {
            Some(campaign) if wrong.0.is_empty() => Ok(campaign),
            _ => Err(CampaignError::Values(wrong.0)),
        }
    }
}

/// Collects what is wrong, so that one run shows everything.
#[derive(Default)]
pub(super) struct KeyProblems(Vec<String>);

impl KeyProblems {
    pub(super) fn note(&mut self, key: &str, problem: impl std::fmt::Display) {
        self.0.push(format!("{key}: {problem}"));
    }
}

impl RawCampaign {
    fn check(self, wrong: &mut KeyProblems) -> Option<Campaign> {
        let (window, trigger) = match (self.window, self.trigger) {
            (Some(window), None) => (window.check(wrong), None),
            (None, Some(trigger)) => match trigger.check(self.name.as_str(), wrong) {
                Some((trigger, window)) => (Some(window), Some(trigger)),
                None => (None, None),
            },
            (window, _) => {
                let both = if window.is_some() { "it has both" } else { "it has neither" };
                wrong.note("campaign", format_args!("it needs a [window] or [trigger]; {both}"));
                (None, None)
            }
        };
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
        let reserved = if trigger.is_some() { RUN_SUFFIX } else { 0 };
        let fallbacks =
            check_fallbacks(self.fallback, (&self.name, &self.provider), reserved, wrong);
        let audience = self.audience.check(wrong);
        let variants = check_variants(self.variant, wrong);
        let capacity = self.capacity.check(wrong);
        let budget = self.budget.map(|budget| budget.check(wrong));
        let arms = self.arms.map_or(Arms::ALL_PERSONALIZED, |arms| arms.check(wrong));
        let quiet_hours =
            self.quiet_hours.map_or(CampaignQuiet::Inherit, |quiet| quiet.check(wrong));
        let frequency = self.frequency.check(|key, problem| wrong.note(key, problem));
        Some(Campaign {
            drawn_by: self.name.clone(),
            name: self.name,
            provider: self.provider,
            category,
            goal: self.goal.unwrap_or(Goal::Read),
            within,
            priority,
            fallback_language: self.fallback_language,
            free_form: self.free_form,
            topic: self.topic.filter(|topic| !topic.is_empty()),
            window: window?,
            trigger,
            fallbacks,
            audience,
            variants,
            capacity,
            budget,
            arms,
            quiet_hours,
            frequency,
        })
    }
}

impl RawWindow {
    fn check(self, wrong: &mut KeyProblems) -> Option<Window> {
        let start = local(&self.start);
        let end = local(&self.end);
        for (key, value, given) in
            [("window.start", start, &self.start), ("window.end", end, &self.end)]
        {
            if value.is_none() {
                wrong.note(key, format_args!("{given} is not a local date and time such as 2026-12-01T09:00:00; the zone goes into time_zone"));
            }
        }
        let zone = zone("window.time_zone", self.time_zone.as_deref(), wrong);
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

/// The zone of a window; `None` is each recipient's own.
pub(super) fn zone(key: &str, name: Option<&str>, wrong: &mut KeyProblems) -> Option<Tz> {
    let name = name.filter(|name| *name != "recipient")?;
    let zone = parse_zone(name);
    zone.map_err(|error| wrong.note(key, format_args!("{error}, nor \"recipient\""))).ok()
}

pub(super) fn local(given: &Datetime) -> Option<NaiveDateTime> {
    if given.offset.is_some() || given.time.is_none() {
        return None;
    }
    given.to_string().parse().ok()
}

impl RawAudience {
    fn check(self, wrong: &mut KeyProblems) -> Audience {
        let lengths = [
            ("tags", self.tags.len()),
            ("countries", self.countries.len()),
            ("recipients", self.recipients.len()),
            ("segments", self.segments.len()),
        ];
        for (key, length) in lengths {
            if length > AUDIENCE_LIST_MAX {
                wrong.note(
                    &format!("audience.{key}"),
                    format_args!("{length} entries are more than {AUDIENCE_LIST_MAX}; use a tag"),
                );
            }
        }
        for country in self.countries.iter().filter(|country| !country.is_known()) {
            wrong.note(
                "audience.countries",
                format_args!("{:?} is no country of ISO 3166-1, such as BR", country.as_str()),
            );
        }
        Audience {
            tags: self.tags,
            countries: self.countries,
            recipients: self.recipients,
            segments: self.segments,
            expression: self.expression,
        }
    }
}

/// Groups translations under their name, in the order of first appearance.
fn check_variants(raw: Vec<RawVariant>, wrong: &mut KeyProblems) -> Vec<Variant> {
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
    fn check(self, wrong: &mut KeyProblems) -> Option<Variant> {
        let key = format!("variant {}", self.name);
        let mut pattern = |text: &String| {
            Pattern::parse(text)
                .map_err(|problem| wrong.note(&key, format_args!("{text:?}: {problem}")))
                .ok()
        };
        let mut optional =
            |text: Option<&String>| text.map(&mut pattern).map_or(Some(None), |p| p.map(Some));
        let text = optional(self.text.as_ref())?;
        let header = optional(self.header.as_ref())?;
        let parameters = self.parameters.iter().map(&mut pattern).collect::<Option<_>>()?;
        Some(Variant {
            name: self.name,
            content: Content { media: self.media, style: self.style },
            template: self.template,
            language: self.language,
            text,
            header,
            parameters,
            defaults: self.defaults,
            media_url: self.media_url,
            parked: false,
        })
    }
}

impl RawCapacity {
    fn check(self, wrong: &mut KeyProblems) -> Capacity {
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
    fn check(self, wrong: &mut KeyProblems) -> Budget {
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

impl RawArms {
    fn check(self, wrong: &mut KeyProblems) -> Arms {
        const SUM_TOLERANCE: f64 = 1e-6;
        let shares = [
            ("arms.personalized", self.personalized),
            ("arms.thompson", self.thompson),
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
            thompson: self.thompson.unwrap_or(0.0),
            explore: self.explore.unwrap_or(0.0),
            control: self.control.unwrap_or(0.0),
            holdout: self.holdout.unwrap_or(0.0),
            control_time,
        }
    }
}

fn humantime_text(span: Duration) -> String {
    format!("{}min", span.as_secs_f64() / 60.0)
}
