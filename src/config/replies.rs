//! What follows from what people answer.

use std::time::Duration;

use serde::Deserialize;

/// Whoever is to be left alone for longer withdraws consent.
const PAUSE_MAX: Duration = Duration::from_hours(366 * 24);

/// How long a person gets no marketing after an answer that asks for it; zero: no pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplySettings {
    /// After "not now".
    #[serde(with = "humantime_serde")]
    pub pause_not_now: Duration,
    /// After an automatic answer.
    #[serde(with = "humantime_serde")]
    pub pause_automatic: Duration,
}

impl Default for ReplySettings {
    fn default() -> Self {
        Self {
            pause_not_now: Duration::from_hours(30 * 24),
            pause_automatic: Duration::from_hours(24),
        }
    }
}

impl ReplySettings {
    pub(super) fn check(&self, wrong: &mut Vec<String>) {
        let pauses =
            [("pause_not_now", self.pause_not_now), ("pause_automatic", self.pause_automatic)];
        for (key, pause) in pauses.into_iter().filter(|(_, pause)| *pause > PAUSE_MAX) {
            wrong.push(format!("replies.{key}: {pause:?} is more than {PAUSE_MAX:?}"));
        }
    }
}
