//! Countries' laws on hours, as data: `country_rules.toml`, and what a workspace adds to it in the
//! same shape. Owns the reading and checking of that shape, and which laws bind a case; whether an
//! instant is forbidden is asked of [`super::quiet`].
//!
//! *Invariant:* rules are only ever added. Nothing that a workspace writes lifts a country's law.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use serde::Deserialize;
use toml::value::Datetime;

use super::holidays::Holidays;
use super::law::{Case, Law, MinuteSpan, closed};
use crate::model::campaign::WeekSpan;
use crate::model::content::Category;
use crate::model::recipient::{Country, parse_zone};

/// The channels that a rule can bind. None binds `console`.
pub const BINDABLE: [&str; 4] = ["sms", "whatsapp", "http", "simulated"];

/// Farther from Easter than this would leave the year.
const EASTER_DISTANCE_MAX: i64 = 80;

const BUILT_IN: &str = include_str!("country_rules.toml");

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
            rules.add_holidays(raw, &mut wrong);
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

    fn add_holidays(&mut self, raw: RawHolidays, wrong: &mut Vec<String>) {
        let countries = raw.countries.clone();
        let added = raw.check(wrong);
        for country in countries {
            Arc::make_mut(self.holidays.entry(country).or_default()).extend(&added);
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
    since: Option<Datetime>,
    until: Option<Datetime>,
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
    dates: Vec<Datetime>,
    #[expect(dead_code, reason = "kept for whoever reads the file")]
    source: Option<String>,
}

impl RawHolidays {
    fn check(self, wrong: &mut Vec<String>) -> Holidays {
        let mut note = |key: &str, problem: String| {
            let countries: Vec<_> = self.countries.iter().map(Country::as_str).collect();
            wrong.push(format!("holidays of {}: {key}: {problem}", countries.join(", ")));
        };
        if self.countries.is_empty() {
            note("countries", "the list is empty, so that nobody would have them".to_owned());
        }
        let fixed = self.fixed.iter().filter_map(|text| {
            // a leap year, so that 02-29 can be named
            let date = NaiveDate::parse_from_str(&format!("2024-{text}"), "%Y-%m-%d").ok();
            if date.is_none() {
                note("fixed", format!("{text:?} is not a month and day such as \"07-14\""));
            }
            date.map(|date| (date.month(), date.day()))
        });
        let fixed = fixed.collect();
        for days in self.easter.iter().filter(|days| days.abs() > EASTER_DISTANCE_MAX) {
            note("easter", format!("{days} is more than {EASTER_DISTANCE_MAX} days from Easter"));
        }
        let dates = self.dates.iter().filter_map(|given| day("dates", given, &mut note));
        Holidays { fixed, dates: dates.collect(), easter: self.easter }
    }
}

/// A date without time, as TOML writes it.
fn day(key: &str, given: &Datetime, note: &mut impl FnMut(&str, String)) -> Option<NaiveDate> {
    let date = given.to_string().parse().ok();
    if date.is_none() {
        note(key, format!("{given} is not a day such as 2026-07-14"));
    }
    date
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
        let since = self.since.as_ref().and_then(|given| day("since", given, &mut note));
        let until = self.until.as_ref().and_then(|given| day("until", given, &mut note));
        let in_force = (since.unwrap_or(NaiveDate::MIN), until.unwrap_or(NaiveDate::MAX));
        if in_force.1 < in_force.0 {
            note("until", format!("{} is before since, {}", in_force.1, in_force.0));
        }
        let zone = self.time_zone.as_deref().and_then(|name| {
            parse_zone(name)
                .map_err(|e| note("time_zone", format!("{:?} is not {}", e.value, e.wanted)))
                .ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = r#"
        [[rule]]
        name = "house"
        countries = ["BR"]
        categories = ["marketing"]
        channels = ["whatsapp"]
        allowed = ["Mon-Fri 09:00-12:00", "Mon-Fri 11:00-18:00"]
        source = "our own"
    "#;

    fn problem(from: &str, to: &str) -> String {
        assert!(RULE.contains(from));
        Rules::built_in().with(&RULE.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_allowed_is_forbidden() {
        let rules = Rules::built_in().with(RULE).unwrap();
        let house = rules.laws().find(|law| law.name == "house").unwrap();
        assert_eq!(house.week[0], [(0, 540), (1080, 1440)]);
        assert_eq!(house.week[5], [(0, 1440)]);
        assert_eq!(closed(vec![(0, 1440)]), []);
    }

    #[test]
    fn a_workspace_adds_rules_and_takes_none_away() {
        let rules = Rules::built_in().with(RULE).unwrap();
        let before: Vec<_> = Rules::built_in().laws().cloned().collect();
        let after: Vec<_> = rules.laws().cloned().collect();
        assert_eq!(after[..before.len()], before);
        assert_eq!(after.len(), before.len() + 1);
        let again = rules.with(RULE).unwrap_err().to_string();
        assert_eq!(again, "rule house: the name is taken; choose another");
    }

    #[test]
    fn an_error_names_key_value_and_what_would_be_right() {
        let wrong = [
            (
                "\"whatsapp\"",
                "\"console\"",
                "channels: \"console\" is not one of sms, whatsapp, http, simulated",
            ),
            (
                "09:00-12:00",
                "9-12",
                "allowed: \"Mon-Fri 9-12\" is not days and hours such as \"Mon-Sat 08:00-22:00\"",
            ),
            (
                "source",
                "time_zone = \"Rio\"\nsource",
                "time_zone: \"Rio\" is not the name of an IANA zone, such as Europe/London",
            ),
            (
                "source",
                "until = 2026-01-01\nsince = 2026-02-01\nsource",
                "until: 2026-01-01 is before since, 2026-02-01",
            ),
            (
                "source",
                "since = 2026-02-01T10:00:00\nsource",
                "since: 2026-02-01T10:00:00 is not a day such as 2026-07-14",
            ),
            (
                "source",
                "holidays = []\nsource",
                "holidays: those of BR are not known; add [[holidays]] with countries = [\"BR\"]",
            ),
            (
                "source",
                "holidays = [\"noon\"]\nsource",
                "holidays: \"noon\" is not hours such as \"10:00-18:00\"",
            ),
            ("[\"BR\"]", "[]", "countries: the list is empty, so that the rule would bind nobody"),
        ];
        for (from, to, said) in wrong {
            let problem = problem(from, to);
            assert!(problem.contains(&format!("rule house: {said}")), "{problem}");
        }
        let holidays =
            "[[holidays]]\ncountries = [\"BR\"]\nfixed = [\"02-30\"]\neaster = [99]\n[[rule]]";
        assert_eq!(
            problem("[[rule]]", holidays),
            "holidays of BR: fixed: \"02-30\" is not a month and day such as \"07-14\"\n\
             holidays of BR: easter: 99 is more than 80 days from Easter",
        );
        assert!(problem("[\"marketing\"]", "[\"adverts\"]").contains("\"adverts\" is not one of"));
        assert!(problem("source", "quiet = true\nsource").contains("unknown field `quiet`"));
    }

    #[test]
    fn every_rule_names_its_source_and_binds_somebody() {
        for law in Rules::built_in().laws() {
            assert!(!law.source.is_empty() && !law.countries.is_empty(), "{}", law.name);
            assert!(law.week.iter().any(|day| day.iter().any(|(from, to)| from < to)));
        }
    }
}
