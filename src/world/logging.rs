//! How a past came about: when, how much and what was sent, and with what chance.

use serde::{Deserialize, Serialize};

use super::dice::Dice;
use crate::model::content::Content;
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// How a history came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Logging {
    /// When was sent.
    pub policy: Policy,
    /// For how many whole local weeks before `until`.
    pub weeks: u32,
    /// How much each person was sent; those who opt out get no more.
    pub messages: Count,
    /// What was sent, each as likely.
    pub contents: Vec<Content>,
    /// The present of the history: nothing in it is later.
    pub until: Instant,
}

/// When the past's messages were sent, on each person's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Policy {
    /// On any day at one hour.
    Fixed {
        /// 0 to 23.
        hour: u8,
    },
    /// Monday to Friday, 9:00 to 18:00.
    Business,
    /// At any hour of the week.
    Uniform,
    /// Half at one hour, three tenths in business hours, two tenths uniform.
    Mixed {
        /// 0 to 23.
        hour: u8,
    },
}

/// How many messages a person was sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Count {
    /// As many for everybody.
    Exact(u32),
    /// More for some than for others, this many on average.
    Mean(f64),
    /// A few for most, none for some, very many for a few: log-normal, cut off.
    Tailed {
        /// Half of the people got fewer.
        median: f64,
        /// Standard deviation of the logarithm.
        spread: f64,
        /// Nobody got more.
        most: u32,
    },
}

impl Logging {
    /// Half a year of about two messages a week, until an instant.
    pub fn demo(until: Instant) -> Self {
        let contents = ["text", "image product", "image people", "video product", "video people"];
        let content = |words: &str| {
            let (media, style) = words.split_once(' ').map_or((words, None), |(m, s)| (m, Some(s)));
            Content {
                media: media.parse().expect("a medium of the model"),
                style: style.map(|style| style.parse().expect("a plain word is a style")),
            }
        };
        Self {
            policy: Policy::Mixed { hour: 10 },
            weeks: 26,
            messages: Count::Mean(52.0),
            contents: contents.map(content).to_vec(),
            until,
        }
    }

    /// The chance with which the policy sends in an hour of the local week, 0 to 167.
    pub fn hour_chance(&self, hour: usize) -> f64 {
        assert!(hour < WEEK_HOURS, "a week has no hour {hour}");
        let fixed = |at: u8| if hour % 24 == usize::from(at) { 1.0 / 7.0 } else { 0.0 };
        let business = if hour < 120 && (9..18).contains(&(hour % 24)) { 1.0 / 45.0 } else { 0.0 };
        let uniform = 1.0 / WEEK_HOURS as f64;
        match self.policy {
            Policy::Fixed { hour } => fixed(hour),
            Policy::Business => business,
            Policy::Uniform => uniform,
            Policy::Mixed { hour } => 0.5 * fixed(hour) + 0.3 * business + 0.2 * uniform,
        }
    }

    /// The chance of an hour and any one content, where every hour had one: a log that never
    /// varied says nothing of what else might have been.
    pub(super) fn propensity(&self, hour: usize) -> Option<f64> {
        matches!(self.policy, Policy::Uniform | Policy::Mixed { .. })
            .then(|| self.hour_chance(hour) / self.contents.len() as f64)
    }

    /// An hour of the local week, as the policy draws it.
    pub(super) fn hour(&self, dice: Dice) -> usize {
        let fixed = |at: u8| dice.with(1).below(7) * 24 + usize::from(at);
        let business = || dice.with(2).below(5) * 24 + 9 + dice.with(3).below(9);
        let uniform = || dice.with(4).below(WEEK_HOURS);
        match self.policy {
            Policy::Fixed { hour } => fixed(hour),
            Policy::Business => business(),
            Policy::Uniform => uniform(),
            Policy::Mixed { hour } => match dice.unit() {
                u if u < 0.5 => fixed(hour),
                u if u < 0.8 => business(),
                _ => uniform(),
            },
        }
    }
}
