//! A person as the learner sees one, and a person's history up to a date.

use chrono_tz::Tz;

use crate::learn::data::evidence::{Evidence, PackedMessage};
use crate::learn::data::observations::{ObservationSet, TimeSpan};
use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::week_hours::{ZoneOffsets, week_hour};
use crate::model::recipient::Country;
use crate::model::time::Instant;

/// A person as the learner sees one.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose clock the person lives by.
    pub zone: Tz,
    /// Where the person is, if that is known.
    pub country: Option<&'a Country>,
    /// The person's labels.
    pub tags: &'a [String],
    /// What is remembered of the person.
    pub evidence: &'a Evidence,
}

impl Subject<'_> {
    /// Keys of the groups that the person belongs to.
    pub(in crate::learn) fn segments(&self) -> impl Iterator<Item = String> {
        let zone = std::iter::once(format!("zone {}", self.zone.name()));
        let country = self.country.map(|country| format!("country {country}"));
        zone.chain(country).chain(self.tags.iter().map(|tag| format!("tag {tag}")))
    }

    /// What is observed of the person within a span.
    pub(in crate::learn) fn observations(
        &self,
        span: TimeSpan,
        reporting: &ReceiptModel,
    ) -> ObservationSet {
        let reports = reporting.of(self.evidence, span.until);
        ObservationSet::new(self.evidence, ZoneOffsets::of(self.zone), span, reports)
    }

    /// The hour of the person's local week that holds a second.
    pub(in crate::learn) fn week_hour(&self, at: u32) -> usize {
        week_hour(ZoneOffsets::of(self.zone).hour(at))
    }
}

/// A person's history up to a date; what came later is not known.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct CensoredSubject<'a> {
    pub(in crate::learn) subject: Subject<'a>,
    /// In seconds.
    pub(in crate::learn) until: u32,
}

impl CensoredSubject<'_> {
    pub(in crate::learn) fn span(&self) -> TimeSpan {
        TimeSpan { from: 0, until: self.until }
    }

    /// The messages, oldest first.
    pub(in crate::learn) fn sent(&self) -> Vec<PackedMessage> {
        self.subject.evidence.messages().take_while(|sent| sent.at < self.until).collect()
    }

    pub(in crate::learn) fn end(&self) -> Instant {
        chrono::DateTime::from_timestamp(i64::from(self.until), 0)
            .expect("32 bits of seconds are an instant")
    }

    /// What was before, in and after one of so many blocks of about as many observations each.
    pub(in crate::learn) fn around(&self, block: usize, blocks: usize) -> [TimeSpan; 3] {
        let mut times = self.subject.evidence.times(self.until);
        times.sort_unstable();
        let begin = |block: usize| match times.get(times.len() * block / blocks) {
            Some(at) if block > 0 => *at,
            Some(_) => 0,
            None => self.until,
        };
        let (from, until) = (begin(block), begin(block + 1));
        [
            TimeSpan { from: 0, until: from },
            TimeSpan { from, until },
            TimeSpan { from: until, until: self.until },
        ]
    }
}
