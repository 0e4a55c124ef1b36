//! A slot is the span `[k·L, (k+1)·L)` of UTC time from the epoch, `L` being the slot length.

use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::Invalid;
use super::time::Instant;

/// The length of a slot, 5 to 60 minutes and a divisor of the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SlotLength(u32);

impl SlotLength {
    /// One hour, the default.
    pub const HOUR: Self = Self(60);

    /// In minutes.
    pub fn minutes(self) -> u32 {
        self.0
    }

    /// As a span of time.
    pub fn span(self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.0))
    }

    fn seconds(self) -> i64 {
        i64::from(self.0) * 60
    }
}

impl TryFrom<u32> for SlotLength {
    type Error = Invalid;
    fn try_from(minutes: u32) -> Result<Self, Invalid> {
        if (5..=60).contains(&minutes) && 60 % minutes == 0 {
            Ok(Self(minutes))
        } else {
            Err(Invalid::new("slot_minutes", minutes, "one of 5, 6, 10, 12, 15, 20, 30 or 60"))
        }
    }
}

impl From<SlotLength> for u32 {
    fn from(length: SlotLength) -> u32 {
        length.0
    }
}

/// The index `k` of a slot; meaningful together with a [`SlotLength`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub i64);

impl Slot {
    /// The slot that holds the instant.
    pub fn holding(at: Instant, length: SlotLength) -> Self {
        Self(at.timestamp().div_euclid(length.seconds()))
    }

    /// The first slot that begins at the instant or later.
    pub fn from_instant_on(at: Instant, length: SlotLength) -> Self {
        let holding = Self::holding(at, length);
        if holding.start(length) == at { holding } else { Self(holding.0 + 1) }
    }

    /// When it begins.
    pub fn start(self, length: SlotLength) -> Instant {
        DateTime::from_timestamp(self.0 * length.seconds(), 0)
            .expect("slots are made from instants within chrono's range")
    }

    /// Halfway between its begin and the next one's.
    pub fn middle(self, length: SlotLength) -> Instant {
        self.start(length) + length.span() / 2
    }

    /// When the next one begins.
    pub fn end(self, length: SlotLength) -> Instant {
        self.start(length) + length.span()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_tile_time_without_gap_or_overlap() {
        for minutes in [5, 6, 10, 12, 15, 20, 30, 60] {
            let length = SlotLength::try_from(minutes).unwrap();
            let at = DateTime::from_timestamp(1_790_000_123, 7).unwrap();
            let slot = Slot::holding(at, length);
            assert!(slot.start(length) <= at && at < slot.end(length));
            assert_eq!(Slot(slot.0 + 1).start(length), slot.end(length));
            assert_eq!(Slot::from_instant_on(at, length), Slot(slot.0 + 1));
            assert_eq!(Slot::from_instant_on(slot.start(length), length), slot);
        }
        assert!(SlotLength::try_from(7).is_err());
    }
}
