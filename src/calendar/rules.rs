//! Countries' laws on hours, as data: `country_rules.toml`, and what a workspace adds to it in the
//! same shape. Owns the reading and checking of that shape; whether an instant is forbidden is asked
//! of [`super::quiet`].
//!
//! *Invariant:* rules are only ever added. Nothing that a workspace writes lifts a country's law.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use serde::Deserialize;

use super::holidays::Holidays;
use crate::model::campaign::WeekSpan;
use crate::model::content::Category;
use crate::model::recipient::{Country, parse_zone};

/// The channels that a rule can bind. None binds `console`.
pub const BINDABLE: [&str; 4] = ["sms", "whatsapp", "http", "simulated"];

/// Minutes of a day.
pub(super) const DAY_MINUTES: u32 = 1440;
/// Farther from Easter than this would leave the year.
const EASTER_DISTANCE_MAX: i64 = 80;

const BUILT_IN: &str = include_str!("country_rules.toml");

/// Minutes of a local day, from the first up to but not including the second.
pub(super) type MinuteSpan = (u32, u32);

/// One law: whom it binds, and the hours it leaves open.
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

/// Every law, and the holidays that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    laws: Vec<Arc<Law>>,
    holidays: BTreeMap<Country, Arc<Holidays>>,
}

/// What is wrong with a file of rules: every key, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Not TOML, an unknown key, or a value of the wrong type; the message names line and column.
    #[error("{0}")]
    Syntax(String),
    /// Values out of bounds.
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
}

impl Rules {
    /// The rules that come with the program.
    pub fn built_in() -> Self {
        let none = Self { laws: Vec::new(), holidays: BTreeMap::new() };
        none.with(BUILT_IN).expect("the rules that come with the program are well formed")
    }

    /// These rules and those of a workspace's file, which may also add holidays.
    pub fn with(&self, extra_toml: &str) -> Result<Self, RulesError> {
        let raw: RawRules = toml::from_str(extra_toml)
            .map_err(|error| RulesError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut wrong = Vec::new();
        let mut rules = self.clone();
        for raw in raw.holidays {
            rules.add_holidays(&raw, &mut wrong);
        }
        for raw in raw.rule {
            let law = raw.check(&mut wrong);
            rules.add_law(law, &mut wrong);
        }
        if wrong.is_empty() { Ok(rules) } else { Err(RulesError::Values(wrong)) }
    }

    /// The laws that bind a case, each with the holidays of its country.
    pub(super) fn binding(
        &self,
        case: Case<'_>,
    ) -> impl Iterator<Item = (Arc<Law>, Arc<Holidays>)> {
        let holidays = case.country.and_then(|country| self.holidays.get(country));
        let holidays = holidays.cloned().unwrap_or_default();
        let binding = self.laws.iter().filter(move |law| law.binds(case));
        binding.map(move |law| (Arc::clone(law), Arc::clone(&holidays)))
    }

    /// Every law, in the order in which they were added.
    pub fn laws(&self) -> impl Iterator<Item = &Law> {
        self.laws.iter().map(AsRef::as_ref)
    }

    fn add_law(&mut self, law: Law, wrong: &mut Vec<String>) {
        if self.laws.iter().any(|other| other.name == law.name) {
            wrong.push(format!("rule {}: the name is taken; choose another", law.name));
        }
        if law.holiday.is_some() {
            for country in law.countries.iter().filter(|c| !self.holidays.contains_key(*c)) {
                wrong.push(format!(
                    "rule {}: holidays: those of {country} are not known; add [[holidays]] with \
                     countries = [\"{country}\"]",
                    law.name
                ));
            }
        }
        self.laws.push(Arc::new(law));
    }

    fn add_holidays(&mut self, raw: &RawHolidays, wrong: &mut Vec<String>) {
        let mut added = Holidays {
            easter: raw.easter.clone(),
            dates: raw.dates.clone(),
            ..Holidays::default()
        };
        for text in &raw.fixed {
            // a leap year, so that 02-29 can be named
            match NaiveDate::parse_from_str(&format!("2024-{text}"), "%Y-%m-%d") {
                Ok(date) => added.fixed.push((date.month(), date.day())),
                Err(_) => wrong.push(format!(
                    "holidays: fixed: {text:?} is not a month and day such as \"07-14\""
                )),
            }
        }
        if let Some(far) = raw.easter.iter().find(|days| days.abs() > EASTER_DISTANCE_MAX) {
            wrong.push(format!(
                "holidays: easter: {far} is not between -{EASTER_DISTANCE_MAX} and \
                 {EASTER_DISTANCE_MAX} days"
            ));
        }
        for country in &raw.countries {
            let known = self.holidays.entry(country.clone()).or_default();
            Arc::make_mut(known).extend(&added);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    #[serde(default)]
    rule: Vec<RawRule>,
    #[serde(default)]
    holidays: Vec<RawHolidays>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    countries: Vec<Country>,
    #[serde(default)]
    regions: Vec<String>,
    categories: Vec<Category>,
    channels: Vec<String>,
    allowed: Vec<String>,
    holidays: Option<Vec<String>>,
    since: Option<NaiveDate>,
    until: Option<NaiveDate>,
    time_zone: Option<String>,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHolidays {
    countries: Vec<Country>,
    #[serde(default)]
    fixed: Vec<String>,
    #[serde(default)]
    easter: Vec<i64>,
    #[serde(default)]
    dates: Vec<NaiveDate>,
    #[expect(dead_code, reason = "kept for whoever reads the file")]
    source: Option<String>,
}

impl RawRule {
    fn check(self, wrong: &mut Vec<String>) -> Law {
        let mut note = |key: &str, problem: String| {
            wrong.push(format!("rule {}: {key}: {problem}", self.name));
        };
        let lists = [
            ("countries", self.countries.is_empty()),
            ("categories", self.categories.is_empty()),
            ("channels", self.channels.is_empty()),
        ];
        for (key, _) in lists.into_iter().filter(|(_, empty)| *empty) {
            note(key, "the list is empty, so that the rule would bind nobody".to_owned());
        }
        for channel in self.channels.iter().filter(|c| !BINDABLE.contains(&c.as_str())) {
            note("channels", format!("{channel:?} is not one of {}", BINDABLE.join(", ")));
        }
        let in_force = (self.since.unwrap_or(NaiveDate::MIN), self.until.unwrap_or(NaiveDate::MAX));
        if in_force.1 < in_force.0 {
            note("until", format!("{} is before since {}", in_force.1, in_force.0));
        }
        let zone = self.time_zone.as_deref().and_then(|name| {
            parse_zone(name).map_err(|error| note("time_zone", error.to_string())).ok()
        });
        let mut open: [Vec<MinuteSpan>; 7] = Default::default();
        for text in &self.allowed {
            match WeekSpan::parse(text) {
                None => note(
                    "allowed",
                    format!("{text:?} is not days and hours such as \"Mon-Sat 08:00-22:00\""),
                ),
                Some(span) => (0..7)
                    .filter(|day| span.days[*day])
                    .for_each(|day| open[day].push((span.from_minute, span.to_minute))),
            }
        }
        let holiday = self.holidays.as_ref().map(|texts| {
            let hours = texts.iter().filter_map(|text| {
                // hours of any day, read as those of every day
                let span = WeekSpan::parse(&format!("Mon-Sun {text}"));
                if span.is_none() {
                    note("holidays", format!("{text:?} is not hours such as \"10:00-18:00\""));
                }
                span.map(|span| (span.from_minute, span.to_minute))
            });
            closed(hours.collect())
        });
        Law {
            name: self.name,
            source: self.source,
            countries: self.countries,
            regions: self.regions,
            categories: self.categories,
            channels: self.channels,
            in_force,
            zone,
            week: open.map(closed),
            holiday,
        }
    }
}

/// The minutes of a day that lie in none of the spans.
fn closed(mut open: Vec<MinuteSpan>) -> Vec<MinuteSpan> {
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
