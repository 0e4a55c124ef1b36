//! A campaign: what its file says, checked. [`Campaign::from_toml`] is the only way in.

mod fallback;
mod file;
mod hours;
mod json;
mod trigger;
mod variant;

use std::time::Duration;

use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::content::{Category, Content, Goal};
use super::delivery::Arm;
use super::frequency::Cap;
use super::ids::{Name, RecipientKey};
use super::recipient::{Country, Distance, Locale};

pub use fallback::Fallback;
pub use file::RawCampaign;
pub use hours::{CampaignQuiet, QuietHours, WeekSpan};
pub use json::json_to_toml;
pub use trigger::{Occasion, Period, RunWindow, SignedSpan, Trigger};
pub use variant::{MissingParameter, Pattern, Rendered, Variant};

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
    /// By which people's arms are drawn: its name, and for a run that of its standing campaign, so
    /// that a person is in one arm of all its runs.
    pub drawn_by: Name,
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
    /// Whether people who wrote lately may get a variant's text instead of its template.
    pub free_form: bool,
    /// What people subscribed to, on channels where they do.
    pub topic: Option<String>,
    /// When it may be sent; of a standing campaign, from when until when it stands.
    pub window: Window,
    /// What a standing campaign waits for: its messages are sent by its runs.
    pub trigger: Option<Trigger>,
    /// The channels that are tried in turn where a message was not delivered in time, or cannot be.
    pub fallbacks: Vec<Fallback>,
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
    /// How often at most, besides the workspace's caps; it binds this campaign's messages alone.
    pub frequency: Vec<Cap>,
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
    /// Any of these named audiences.
    pub segments: Vec<Name>,
    /// Those for whom this expression holds; it is checked where it is asked.
    pub expression: Option<String>,
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
    /// Gets what is best by one draw of what may be true.
    pub thompson: f64,
    /// Gets a uniform draw from what is allowed.
    pub explore: f64,
    /// Gets `control_time`.
    pub control: f64,
    /// Gets nothing.
    pub holdout: f64,
    /// Local time of the control arm.
    pub control_time: NaiveTime,
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
impl Campaign {
    /// The distinct contents of its variants, sorted.
    pub fn contents(&self) -> Vec<Content> {
        let mut contents: Vec<_> = self.variants.iter().map(|v| v.content.clone()).collect();
        contents.sort();
        contents.dedup();
        contents
    }

    /// The language in which a variant goes: its own, else the one to fall back to.
    pub fn language_of<'c>(&'c self, variant: &'c Variant) -> Option<&'c Locale> {
        variant.language.as_ref().or(self.fallback_language.as_ref())
    }

    /// For a reader of `locale`, the index of the best translation of each variant name: the nearest
    /// by Unicode CLDR, else one without a language, else the nearest to the fallback. Who has no
    /// locale gets a lone translation.
    pub fn variants_for(&self, locale: Option<&Locale>) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        let mut first = 0;
        while first < self.variants.len() {
            let name = &self.variants[first].name;
            let past =
                first + self.variants[first..].iter().take_while(|v| v.name == *name).count();
            let lone = past - first == 1;
            let rank = |index: &usize| self.rank(&self.variants[*index], locale, lone);
            let fit = (first..past).filter_map(|index| rank(&index).map(|rank| (rank, index)));
            chosen.extend(fit.min().map(|(_, index)| index));
            first = past;
        }
        chosen
    }

    /// Lower fits better; `None` does not fit.
    fn rank(
        &self,
        variant: &Variant,
        reader: Option<&Locale>,
        lone: bool,
    ) -> Option<(u8, Option<Distance>)> {
        if variant.parked {
            return None;
        }
        let Some(language) = &variant.language else { return Some((1, None)) };
        let to = |reader: &Locale| language.distance(reader);
        if let Some(distance) = reader.and_then(to) {
            return Some((0, Some(distance)));
        }
        if let Some(distance) = self.fallback_language.as_ref().and_then(to) {
            return Some((2, Some(distance)));
        }
        (lone && reader.is_none()).then_some((3, None))
    }
}
impl Arms {
    /// The share of the audience that an arm has.
    pub fn share(&self, arm: Arm) -> f64 {
        match arm {
            Arm::Personalized => self.personalized,
            Arm::Thompson => self.thompson,
            Arm::Explore => self.explore,
            Arm::Control => self.control,
            Arm::Holdout => self.holdout,
        }
    }

    const CONTROL_TIME: NaiveTime = NaiveTime::from_hms_opt(10, 0, 0).expect("ten o'clock exists");
    const ALL_PERSONALIZED: Self = Self {
        personalized: 1.0,
        thompson: 0.0,
        explore: 0.0,
        control: 0.0,
        holdout: 0.0,
        control_time: Self::CONTROL_TIME,
    };
}

/// Whether a text looks like an ISO 4217 code.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}
