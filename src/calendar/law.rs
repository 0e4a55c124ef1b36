//! One law on hours: whom it binds, and what it forbids on a day.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;

use super::holidays::Holidays;
use crate::model::content::Category;
use crate::model::recipient::Country;

/// Minutes of a day.
pub(super) const DAY_MINUTES: u32 = 1440;

/// Minutes of a local day, from the first up to but not including the second.
pub(super) type MinuteSpan = (u32, u32);

/// A country's law, or a workspace's addition to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Law {
    /// Unique among the rules.
    pub name: String,
    /// Where it is written.
    pub source: String,
    /// Whose recipients.
    pub countries: Vec<Country>,
    /// Parts of the country; empty: all of it.
    pub regions: Vec<String>,
    /// Which messages.
    pub categories: Vec<Category>,
    /// On which channels.
    pub channels: Vec<String>,
    /// First and last day in force, on the rule's clock.
    pub in_force: (NaiveDate, NaiveDate),
    /// The clock of the rule; `None`: the recipient's.
    pub zone: Option<Tz>,
    /// Forbidden minutes by day of the week, Monday first.
    pub(super) week: [Vec<MinuteSpan>; 7],
    /// Forbidden minutes of a public holiday; `None`: holidays are common days.
    pub(super) holiday: Option<Vec<MinuteSpan>>,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "country rule {} ({})", self.name, self.source)
    }
}

/// What a law is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The recipient's country; without it no law is known to bind.
    pub country: Option<&'a Country>,
    /// The part of the country, such as `TX`, where it is known.
    pub region: Option<&'a str>,
    /// The kind of channel, such as `whatsapp`.
    pub channel: &'a str,
    /// The purpose of the message.
    pub category: Category,
}

impl Law {
    /// Whether it has a say in the case.
    pub fn binds(&self, case: Case<'_>) -> bool {
        case.country.is_some_and(|country| self.countries.contains(country))
            && (self.regions.is_empty()
                || case.region.is_some_and(|region| self.regions.iter().any(|r| r == region)))
            && self.categories.contains(&case.category)
            && self.channels.iter().any(|channel| channel == case.channel)
    }

    /// The minutes of a day, on the rule's clock, in which nothing may be sent.
    pub(super) fn forbidden_on(&self, date: NaiveDate, holidays: &Holidays) -> &[MinuteSpan] {
        let (since, until) = self.in_force;
        match &self.holiday {
            _ if date < since || date > until => &[],
            Some(hours) if holidays.contains(date) => hours,
            _ => &self.week[date.weekday().num_days_from_monday() as usize],
        }
    }
}

/// The minutes of a day that lie in none of the spans.
pub(super) fn closed(mut open: Vec<MinuteSpan>) -> Vec<MinuteSpan> {
    open.sort_unstable();
    let mut closed = Vec::new();
    let mut at = 0;
    for (from, to) in open {
        if from > at {
            closed.push((at, from));
        }
        at = at.max(to);
    }
    if at < DAY_MINUTES {
        closed.push((at, DAY_MINUTES));
    }
    closed
}
