//! What forbids an instant for one group of people, and who forbids it: the campaign's quiet hours,
//! the workspace's, and the laws of the country. Owns every question "may this be sent then?" that
//! does not depend on consent or capacity.
//!
//! A span is forbidden if any moment of it is, on whatever clock the rule reads.

use std::fmt;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

use super::holidays::Holidays;
use super::rules::{Case, DAY_MINUTES, Law, MinuteSpan, Rules};
use super::zone::stretches;
use crate::model::campaign::{CampaignQuiet, QuietHours};
use crate::model::time::Instant;

/// Who forbids an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ban {
    /// The campaign's own quiet hours.
    Campaign(QuietHours),
    /// The workspace's quiet hours.
    Workspace(QuietHours),
    /// A law of the recipient's country.
    Country(Arc<Law>),
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Campaign(hours) => write!(f, "quiet hours of the campaign, {}", Clock(*hours)),
            Self::Workspace(hours) => write!(f, "quiet hours of the workspace, {}", Clock(*hours)),
            Self::Country(law) => write!(f, "rule {} ({})", law.name, law.source),
        }
    }
}

struct Clock(QuietHours);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.0.start_minute, self.0.end_minute);
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

/// Everything that keeps a group of people undisturbed: those who share country and region, in one
/// campaign. Cheap to clone; the zone is asked with each question.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    bans: Vec<(Ban, Arc<Holidays>)>,
}

impl Quiet {
    /// What holds in a case. The campaign may lift its own and the workspace's hours, never a law.
    pub fn new(
        rules: &Rules,
        case: Case<'_>,
        campaign: CampaignQuiet,
        workspace: Option<QuietHours>,
    ) -> Self {
        let own = match campaign {
            CampaignQuiet::Add(hours) => Some(Ban::Campaign(hours)),
            CampaignQuiet::Inherit | CampaignQuiet::Lift => None,
        };
        let workspace = workspace.filter(|_| campaign != CampaignQuiet::Lift).map(Ban::Workspace);
        let no_holidays = Arc::new(Holidays::default());
        let daily = own.into_iter().chain(workspace).map(|ban| (ban, Arc::clone(&no_holidays)));
        let laws = rules.binding(case).map(|(law, holidays)| (Ban::Country(law), holidays));
        Self { bans: laws.chain(daily).collect() }
    }

    /// Who forbids an instant to people in a zone; laws are named first.
    pub fn forbids_at(&self, at: Instant, tz: Tz) -> Option<&Ban> {
        self.forbids_span(at, at + TimeDelta::nanoseconds(1), tz)
    }

    /// Who forbids any moment from `from` up to but not including `to`; laws are named first.
    pub fn forbids_span(&self, from: Instant, to: Instant, tz: Tz) -> Option<&Ban> {
        let forbids = |(ban, holidays): &&(Ban, Arc<Holidays>)| {
            forbidden(ban, holidays, from, to, tz).next().is_some()
        };
        self.bans.iter().find(forbids).map(|(ban, _)| ban)
    }

    /// The forbidden spans between two instants: in order for each ban, one ban after the other.
    pub(super) fn forbidden_spans(
        &self,
        from: Instant,
        to: Instant,
        tz: Tz,
    ) -> impl Iterator<Item = (Instant, Instant)> {
        self.bans.iter().flat_map(move |(ban, holidays)| forbidden(ban, holidays, from, to, tz))
    }
}

/// The spans between two instants that one ban forbids, in order and none empty.
fn forbidden<'a>(
    ban: &'a Ban,
    holidays: &'a Holidays,
    from: Instant,
    to: Instant,
    tz: Tz,
) -> impl Iterator<Item = (Instant, Instant)> + 'a {
    let clock = match ban {
        Ban::Country(law) => law.zone.unwrap_or(tz),
        Ban::Campaign(_) | Ban::Workspace(_) => tz,
    };
    stretches(from, to, clock).flat_map(move |stretch| {
        minutes(ban, holidays, stretch.date)
            .map(move |(first, past)| stretch.between(first, past))
            .filter(|(from, to)| from < to)
    })
}

/// The minutes of a local day that a ban forbids.
fn minutes<'a>(
    ban: &'a Ban,
    holidays: &Holidays,
    date: NaiveDate,
) -> impl Iterator<Item = MinuteSpan> + use<'a> {
    let (daily, by_law): ([MinuteSpan; 2], &[MinuteSpan]) = match ban {
        Ban::Campaign(hours) | Ban::Workspace(hours) => (daily(*hours), &[]),
        Ban::Country(law) => ([(0, 0); 2], law.forbidden_on(date, holidays)),
    };
    daily.into_iter().chain(by_law.iter().copied())
}

/// Quiet hours as spans of one day; the second is empty unless they go over midnight.
fn daily(hours: QuietHours) -> [MinuteSpan; 2] {
    let (start, end) = (hours.start_minute, hours.end_minute);
    if start <= end { [(start, end), (0, 0)] } else { [(0, end), (start, DAY_MINUTES)] }
}
