//! How long things are kept.

use std::time::Duration;

use serde::Deserialize;

/// Answers come for 30 days, and caps look back a week: what is younger is still needed.
const RETENTION_MIN: Duration = Duration::from_hours(31 * 24);

/// How long things are kept that `prune` deletes; what has no bound is kept for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Imported messages and signs of presence.
    #[serde(with = "humantime_serde")]
    pub history: Option<Duration>,
    /// Who got what in campaigns that are over; their sums stay.
    #[serde(with = "humantime_serde")]
    pub campaigns: Option<Duration>,
    /// What people wrote and no endpoint was told.
    #[serde(with = "humantime_serde")]
    pub inbound: Option<Duration>,
    /// What people wrote, with what it was taken for and the labels that people gave it.
    #[serde(with = "humantime_serde")]
    pub replies: Option<Duration>,
    /// Who did what.
    #[serde(with = "humantime_serde")]
    pub audit: Option<Duration>,
}

impl Retention {
    /// Each span by its key.
    fn spans(&self) -> [(&'static str, Option<Duration>); 5] {
        [
            ("history", self.history),
            ("campaigns", self.campaigns),
            ("inbound", self.inbound),
            ("replies", self.replies),
            ("audit", self.audit),
        ]
    }

    pub(super) fn check(&self, wrong: &mut Vec<String>) {
        for (key, span) in self.spans() {
            if let Some(span) = span.filter(|span| *span < RETENTION_MIN) {
                wrong.push(format!("retention.{key}: {span:?} is less than {RETENTION_MIN:?}"));
            }
        }
    }
}
