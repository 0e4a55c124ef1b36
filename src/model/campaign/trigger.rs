//! What a standing campaign waits for: each occurrence is written about within a span around it.

use std::fmt;

use chrono::{NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use serde::Deserialize;
use toml::value::Datetime;

use super::Window;
use super::file::{KeyProblems, local, zone};
use crate::model::Invalid;
use crate::model::content::word_type;
use crate::model::event::EventKind;
use crate::model::ids::NAME_MAX;

/// The longest span, and the farthest from its event.
const SPAN_MAX: TimeDelta = TimeDelta::days(366);
/// The least time between two occurrences for one person: a run of a day has one place a person.
const AGAIN_MIN: TimeDelta = TimeDelta::days(1);
/// What runs add to the name of a standing campaign: a dot and their day, and a number where that is taken.
pub(super) const RUN_SUFFIX: usize = ".2026-12-01.99".len() + 1;
/// Kinds of events that call an occurrence off.
const UNLESS_MAX: usize = 20;

/// What a standing campaign waits for, and when it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// What happens.
    pub on: Occasion,
    /// From when on it is written about, counted from the occasion.
    pub from: TimeDelta,
    /// Until when.
    pub to: TimeDelta,
    /// Kinds of events that call it off.
    pub unless: Vec<EventKind>,
    /// The least time between two occurrences for one person.
    pub again_after: TimeDelta,
}

impl Trigger {
    /// Whether a later event of its own kind calls an earlier one off: so many days since the last.
    pub fn is_renewed(&self) -> bool {
        matches!(&self.on, Occasion::Event(kind) if self.unless.contains(kind))
    }
}

/// What happens to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occasion {
    /// An event of a kind.
    Event(EventKind),
    /// The day of the year that an attribute of the person names, such as a birthday.
    Attribute(String),
    /// Time goes by.
    Every(Period),
}

word_type! {
    /// How often a standing campaign comes by itself.
    Period, "every", "one of day, week, month" {
        /// Each day.
        Day = "day",
        /// Each week.
        Week = "week",
        /// Each month, on the day of the start, or the month's last day.
        Month = "month",
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(kind) => write!(f, "event {kind}"),
            Self::Attribute(name) => write!(f, "attribute {name}"),
            Self::Every(period) => write!(f, "every {period}"),
        }
    }
}

/// A span of time before (`-44h`) or after (`2d`) something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SignedSpan(pub TimeDelta);

impl fmt::Display for SignedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < TimeDelta::zero() { "-" } else { "" };
        let span = self.0.abs().to_std().unwrap_or_default();
        write!(f, "{sign}{}", humantime::format_duration(span))
    }
}

impl TryFrom<String> for SignedSpan {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("span", &text, "a span of time such as -44h, 0s or 2d 12h");
        let (sign, bare) = match text.strip_prefix('-') {
            Some(bare) => (-1, bare),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        let span = humantime::parse_duration(bare.trim()).map_err(|_| wrong())?;
        TimeDelta::from_std(span).map(|span| Self(span * sign)).map_err(|_| wrong())
    }
}

/// `[trigger]` as it is written.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Trigger)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrigger {
    #[schema(value_type = Option<String>)]
    event: Option<EventKind>,
    attribute: Option<String>,
    every: Option<Period>,
    #[schema(value_type = Option<String>)]
    start: Option<Datetime>,
    #[schema(value_type = Option<String>)]
    end: Option<Datetime>,
    time_zone: Option<String>,
    #[schema(value_type = Option<String>)]
    from: Option<SignedSpan>,
    #[schema(value_type = Option<String>)]
    to: Option<SignedSpan>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    unless: Vec<EventKind>,
    #[schema(value_type = Option<String>)]
    again_after: Option<SignedSpan>,
}

impl RawTrigger {
    /// The trigger, and from when until when the campaign stands.
    pub(super) fn check(self, name: &str, wrong: &mut KeyProblems) -> Option<(Trigger, Window)> {
        let most = NAME_MAX - RUN_SUFFIX;
        if name.len() > most {
            wrong.note(
                "name",
                format_args!("a campaign with a [trigger] has at most {most} letters"),
            );
        }
        let attribute = self.attribute.map(|name| match name.strip_prefix("attr_") {
            Some(bare) => bare.to_owned(),
            None => name,
        });
        let on = match (self.event, attribute, self.every) {
            (Some(kind), None, None) => Some(Occasion::Event(kind)),
            (None, Some(name), None) => Some(Occasion::Attribute(name)),
            (None, None, Some(period)) => Some(Occasion::Every(period)),
            _ => {
                wrong.note("trigger", "it needs one of event, attribute and every");
                None
            }
        };
        let moment = |key: &str, given: Option<Datetime>, wrong: &mut KeyProblems| {
            given.and_then(|given| {
                let moment = local(&given);
                if moment.is_none() {
                    wrong.note(key, format_args!("{given} is not a local date and time such as 2026-12-01T09:00:00; the zone goes into time_zone"));
                }
                moment
            })
        };
        let start = moment("trigger.start", self.start, wrong);
        let end = moment("trigger.end", self.end, wrong);
        let zone = zone("trigger.time_zone", self.time_zone.as_deref(), wrong);
        let every = matches!(on, Some(Occasion::Every(_)));
        if every && start.is_none() {
            wrong.note(
                "trigger.start",
                "`every` needs the first occasion, such as 2026-12-01T09:00:00",
            );
        }
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            wrong.note("trigger.end", format_args!("{end} is not after trigger.start {start}"));
        }
        let hours = |given: Option<SignedSpan>, otherwise| given.map_or(otherwise, |span| span.0);
        let from = hours(self.from, TimeDelta::zero());
        let to = hours(self.to, TimeDelta::days(1));
        if to <= from {
            wrong.note("trigger.to", "the span is empty: `to` is not after `from`");
        } else if to - from > SPAN_MAX {
            wrong.note("trigger.to", "the span is longer than a year");
        }
        if from.abs().max(to.abs()) > SPAN_MAX * 3 {
            wrong.note("trigger.from", "the span lies more than three years from its event");
        }
        if every && !self.unless.is_empty() {
            wrong.note("trigger.unless", "it goes with `event` and `attribute` alone");
        }
        if self.unless.len() > UNLESS_MAX {
            wrong.note("trigger.unless", format_args!("more than {UNLESS_MAX} kinds"));
        }
        let again_after = hours(self.again_after, AGAIN_MIN);
        if again_after < AGAIN_MIN || again_after > SPAN_MAX * 3 {
            wrong.note("trigger.again_after", "it is not between 1d and 3 years");
        }
        let window = Window { start: start.unwrap_or(EARLIEST), end: end.unwrap_or(LATEST), zone };
        Some((Trigger { on: on?, from, to, unless: self.unless, again_after }, window))
    }
}

/// A standing campaign without a start stands from the first on, and without an end for ever.
const EARLIEST: NaiveDateTime = moment(2000);
const LATEST: NaiveDateTime = moment(9000);

const fn moment(year: i32) -> NaiveDateTime {
    let day = chrono::NaiveDate::from_ymd_opt(year, 1, 1).expect("each year has a first day");
    day.and_time(chrono::NaiveTime::MIN)
}

/// A run: the campaign that carries the occurrences of one day, or of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunWindow(pub Window);

impl fmt::Display for RunWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { start, end, zone } = self.0;
        write!(f, "{}/{}", start.format(STAMP), end.format(STAMP))?;
        zone.map_or(Ok(()), |zone| write!(f, "/{}", zone.name()))
    }
}

const STAMP: &str = "%Y-%m-%dT%H:%M:%S";

impl std::str::FromStr for RunWindow {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let mut parts = text.splitn(3, '/');
            let start = NaiveDateTime::parse_from_str(parts.next()?, STAMP).ok()?;
            let end = NaiveDateTime::parse_from_str(parts.next()?, STAMP).ok()?;
            let zone = parts.next().map(str::parse::<Tz>).transpose().ok()?;
            Some(Self(Window { start, end, zone }))
        };
        read().ok_or_else(|| Invalid::new("window", text, "the window of a run"))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::campaign::{Campaign, Occasion, RunWindow};

    fn campaign(trigger: &str) -> Result<Campaign, String> {
        let text = format!(
            "name = \"a\"\nprovider = \"console\"\n[trigger]\n{trigger}\n[[variant]]\nname = \"words\"\n\
             media = \"text\"\ntext = \"Hello\"\n"
        );
        Campaign::from_toml(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_trigger_is_read_with_its_span() {
        let read = campaign(
            "event = \"appointment\"\nfrom = \"-44h\"\nto = \"-18h\"\n\
             unless = [\"appointment_cancelled\"]\nagain_after = \"2d\"",
        );
        let trigger = read.unwrap().trigger.unwrap();
        assert_eq!(trigger.on, Occasion::Event("appointment".parse().unwrap()));
        assert_eq!((trigger.from.num_hours(), trigger.to.num_hours()), (-44, -18));
        assert_eq!(trigger.again_after.num_days(), 2);
        let yearly = campaign("attribute = \"birthday\"\nfrom = \"8h\"\nto = \"+20h\"").unwrap();
        let yearly = yearly.trigger.unwrap();
        assert_eq!(yearly.on, Occasion::Attribute("birthday".to_owned()));
        assert_eq!(yearly.to.num_hours(), 20);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key() {
        for (trigger, told) in [
            ("from = \"1h\"", "trigger: it needs one of event, attribute and every"),
            ("event = \"a\"\nattribute = \"b\"", "trigger: it needs one of"),
            ("event = \"a\"\nfrom = \"2h\"\nto = \"2h\"", "trigger.to: the span is empty"),
            ("event = \"a\"\nfrom = \"-300d\"\nto = \"300d\"", "longer than a year"),
            ("event = \"a\"\nagain_after = \"2h\"", "trigger.again_after: it is not between 1d"),
            ("every = \"week\"", "trigger.start: `every` needs the first occasion"),
            ("every = \"decade\"", "one of day, week, month"),
            ("event = \"a\"\nfrom = \"soon\"", "a span of time such as -44h"),
            ("event = \"\"", "event"),
        ] {
            let problem = campaign(trigger).unwrap_err();
            assert!(problem.contains(told), "{trigger}: {problem}");
        }
        let both =
            "event = \"a\"\n[window]\nstart = 2027-01-01T00:00:00\nend = 2027-01-02T00:00:00";
        assert!(campaign(both).unwrap_err().contains("[window] or [trigger]"));
    }

    #[test]
    fn the_window_of_a_run_is_read_as_it_is_written() {
        for text in [
            "2026-12-01T00:00:00/2026-12-02T12:00:00/UTC",
            "2026-12-01T00:00:00/2026-12-08T00:00:00",
        ] {
            assert_eq!(text.parse::<RunWindow>().unwrap().to_string(), text);
        }
        assert!("2026-12-01".parse::<RunWindow>().is_err());
    }
}
