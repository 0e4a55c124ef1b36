//! What happens while a scenario runs: to calls, to what comes back, to the daemon, to people.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use crate::model::event::EventKind;
use crate::model::recipient::parse_zone;
use crate::model::time::Instant;

/// The longest time over which bookings are spread.
const SPREAD_MAX: TimeDelta = TimeDelta::days(366);

/// Something that happens in a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// What.
    pub what: ScenarioEvent,
    /// From when on.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
}

/// What can happen. Shares are between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub enum ScenarioEvent {
    /// The provider takes a message, and its answer is lost.
    LostAnswers {
        /// Of calls.
        share: f64,
    },
    /// A call is lost on its way, and nobody can tell.
    LostCalls {
        /// Of calls.
        share: f64,
    },
    /// The provider asks to wait with a person.
    Throttled {
        /// Of calls.
        share: f64,
        /// How long.
        wait: TimeDelta,
    },
    /// The provider takes nothing from anybody.
    Outage,
    /// The provider stops one template.
    PausedTemplate {
        /// Which.
        template: String,
    },
    /// The provider keeps messages back, and lets them go.
    Held {
        /// Of calls.
        share: f64,
        /// After so long.
        wait: TimeDelta,
    },
    /// What comes back comes twice.
    Duplicates {
        /// Of what comes back.
        share: f64,
    },
    /// What comes back comes late, and so in another order.
    LateWebhooks {
        /// Of what comes back.
        share: f64,
        /// By so long.
        wait: TimeDelta,
    },
    /// The daemon dies in the middle of a call, before or after it was heard, and starts anew.
    Crashes {
        /// Of calls.
        share: f64,
    },
    /// Nobody is at work, and then the clock has jumped.
    Asleep,
    /// People withdraw their consent, at the begin of the span.
    OptOuts {
        /// Of people.
        share: f64,
    },
    /// People move to another zone, at the begin of the span.
    Move {
        /// Of people.
        share: f64,
        /// Where to.
        zone: chrono_tz::Tz,
    },
    /// Something is booked for people, at the begin of the span.
    Bookings {
        /// Of people.
        share: f64,
        /// What: the kind of event.
        event: EventKind,
        /// For when.
        times: BookingTimes,
    },
    /// What is booked and lies ahead moves, at the begin of the span.
    Rebookings {
        /// Of bookings.
        share: f64,
        /// What: the kind of event.
        event: EventKind,
        /// To when.
        times: BookingTimes,
    },
    /// What is booked and lies ahead is cancelled, at the begin of the span.
    Cancellations {
        /// Of bookings.
        share: f64,
        /// What: the kind of event.
        event: EventKind,
        /// The kind of event that tells of it.
        by: EventKind,
    },
}

/// When something is booked for, counted from the begin of the event: in hours of the person's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookingTimes {
    /// No sooner than after this.
    pub wait: TimeDelta,
    /// And about so much later at most.
    pub spread: TimeDelta,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvent {
    what: String,
    #[serde(default, with = "humantime_serde")]
    from: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    until: Option<Duration>,
    share: Option<f64>,
    #[serde(default, with = "humantime_serde")]
    wait: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    spread: Option<Duration>,
    template: Option<String>,
    zone: Option<String>,
    event: Option<EventKind>,
    by: Option<EventKind>,
}

impl RawEvent {
    pub(super) fn check(mut self, start: Instant, end: Instant) -> Result<Happening, String> {
        let after =
            |span: Duration| start + TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX / 4);
        let from = self.from.map_or(start, after);
        let until = self.until.map_or(end, after);
        if from >= until {
            return Err("it ends before it begins; until must be later than from".to_owned());
        }
        let what = self.what.clone();
        let event = match what.as_str() {
            "lost_answers" => ScenarioEvent::LostAnswers { share: self.share()? },
            "lost_calls" => ScenarioEvent::LostCalls { share: self.share()? },
            "throttled" => ScenarioEvent::Throttled { share: self.share()?, wait: self.wait()? },
            "outage" => ScenarioEvent::Outage,
            "paused_template" => {
                let template = self.template.take().ok_or("it needs template = \"NAME\"")?;
                ScenarioEvent::PausedTemplate { template }
            }
            "held" => ScenarioEvent::Held { share: self.share()?, wait: self.wait()? },
            "duplicates" => ScenarioEvent::Duplicates { share: self.share()? },
            "late_webhooks" => {
                ScenarioEvent::LateWebhooks { share: self.share()?, wait: self.wait()? }
            }
            "crashes" => ScenarioEvent::Crashes { share: self.share()? },
            "asleep" => ScenarioEvent::Asleep,
            "opt_outs" => ScenarioEvent::OptOuts { share: self.share()? },
            "move" => {
                let name = self.zone.take().ok_or("it needs zone = \"Area/City\"")?;
                let zone = parse_zone(&name).map_err(|cause| cause.to_string())?;
                ScenarioEvent::Move { share: self.share()?, zone }
            }
            "bookings" => ScenarioEvent::Bookings {
                share: self.share()?,
                event: self.event()?,
                times: self.times()?,
            },
            "rebookings" => ScenarioEvent::Rebookings {
                share: self.share()?,
                event: self.event()?,
                times: self.times()?,
            },
            "cancellations" => {
                let by = self.by.take().ok_or("it needs by, the kind of event that tells of it")?;
                ScenarioEvent::Cancellations { share: self.share()?, event: self.event()?, by }
            }
            other => {
                return Err(format!(
                    "what = {other:?} is not one of lost_answers, lost_calls, throttled, outage, \
                     paused_template, held, duplicates, late_webhooks, crashes, asleep, opt_outs, \
                     move, bookings, rebookings, cancellations"
                ));
            }
        };
        let left = [
            ("share", self.share.is_some()),
            ("wait", self.wait.is_some()),
            ("template", self.template.is_some()),
            ("zone", self.zone.is_some()),
            ("spread", self.spread.is_some()),
            ("event", self.event.is_some()),
            ("by", self.by.is_some()),
        ];
        match left.iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(format!("{what} takes no {key}")),
            None => Ok(Happening { what: event, from, until }),
        }
    }

    fn share(&mut self) -> Result<f64, String> {
        match self.share.take() {
            Some(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(format!("{} needs share, a number from 0 to 1", self.what)),
        }
    }

    fn event(&mut self) -> Result<EventKind, String> {
        let event = self.event.take();
        event.ok_or_else(|| format!("{} needs event, a kind like \"appointment\"", self.what))
    }

    fn times(&mut self) -> Result<BookingTimes, String> {
        let spread = self.spread.take().unwrap_or_default();
        let spread = TimeDelta::from_std(spread).ok().filter(|spread| *spread <= SPREAD_MAX);
        let spread =
            spread.ok_or_else(|| format!("{}: spread is longer than a year", self.what))?;
        Ok(BookingTimes { wait: self.wait()?, spread })
    }

    fn wait(&mut self) -> Result<TimeDelta, String> {
        let wait = self.wait.take().and_then(|wait| TimeDelta::from_std(wait).ok());
        wait.ok_or_else(|| format!("{} needs wait, a time like \"90s\" or \"6h\"", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Result<Happening, String> {
        let start = chrono::DateTime::UNIX_EPOCH;
        let raw: RawEvent = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.check(start, start + TimeDelta::days(7))
    }

    #[test]
    fn an_event_is_checked_with_its_keys() {
        let outage = event("what = \"outage\"\nfrom = \"1d\"\nuntil = \"1d 8h\"").unwrap();
        assert_eq!(outage.until - outage.from, TimeDelta::hours(8));
        insta::assert_snapshot!(event("what = \"lost_answers\"").unwrap_err(),
            @"lost_answers needs share, a number from 0 to 1");
        insta::assert_snapshot!(event("what = \"outage\"\nshare = 1").unwrap_err(),
            @"outage takes no share");
        insta::assert_snapshot!(event("what = \"outage\"\nfrom = \"8d\"").unwrap_err(),
            @"it ends before it begins; until must be later than from");
        let booked = "what = \"bookings\"\nshare = 1\nevent = \"visit\"\nwait = \"2d\"";
        assert!(matches!(event(booked).unwrap().what, ScenarioEvent::Bookings { .. }));
        insta::assert_snapshot!(event("what = \"bookings\"\nshare = 1\nwait = \"1h\"").unwrap_err(),
            @"bookings needs event, a kind like \"appointment\"");
        assert!(event("what = \"flood\"").unwrap_err().contains("not one of lost_answers"));
        assert!(event("what = \"outage\"\nwhen = 1").unwrap_err().contains("when"));
    }
}
