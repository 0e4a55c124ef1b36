//! What happens to a person, also in the future: an appointment, a purchase, a delivery of goods.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::ids::{TEXT_MAX, is_plain, text_type};
use super::time::{Instant, format_instant};

/// How far ahead an event may lie.
pub const AHEAD_MAX: TimeDelta = TimeDelta::days(3660);

text_type! {
    /// What kind of event it is: `appointment`, `Order Completed`.
    EventKind, "event",
    "a word of 1 to 200 bytes without control characters or surrounding blanks", is_plain
}
text_type! {
    /// What tells two events of one kind and person apart.
    EventKey, "key",
    "a key of 1 to 200 bytes without control characters or surrounding blanks",
    |text| text.len() <= TEXT_MAX && is_plain(text)
}

/// Something that happens to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonEvent {
    /// What.
    pub kind: EventKind,
    /// Which of its kind, where the caller tells them apart; else they are told apart by their time.
    pub key: Option<EventKey>,
    /// What makes one that comes again the same, and names nothing: the id of a call, say.
    pub id: Option<EventKey>,
    /// When.
    pub at: Instant,
    /// What else is known of it.
    pub attributes: BTreeMap<String, String>,
}

impl PersonEvent {
    /// What tells it apart from the person's other events of its kind. One with a known key moves.
    pub fn identity(&self) -> String {
        let told = self.key.as_ref().or(self.id.as_ref());
        told.map_or_else(|| format_instant(self.at), ToString::to_string)
    }
}
