//! From instants to hours of a person's own week, fast: offset tables instead of a look-up a
//! message. Owns the tables; knows nothing of slots, rules or people.

use std::sync::OnceLock;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

/// What the tables cover, in seconds from the epoch: 1990 to 2050. Outside, the nearest end holds.
const FROM: i64 = 631_152_000;
const UNTIL: i64 = 2_524_608_000;
/// No zone has changed its offset there and back within so short a time since 1990.
const STEP: i64 = 5 * 86_400;

/// Offsets of every zone that was asked for.
#[derive(Debug)]
pub(super) struct Zones(Box<[OnceLock<Offsets>]>);

impl Default for Zones {
    fn default() -> Self {
        Self((0..TZ_VARIANTS.len()).map(|_| OnceLock::new()).collect())
    }
}

impl Zones {
    /// The offsets of one zone.
    pub(super) fn of(&self, zone: Tz) -> &Offsets {
        self.0[zone as usize].get_or_init(|| Offsets::new(zone))
    }
}

/// When a zone changes its offset: (first second, offset in seconds), oldest first.
#[derive(Debug)]
pub(super) struct Offsets(Vec<(i64, i64)>);

impl Offsets {
    fn new(zone: Tz) -> Self {
        let offset = |at: i64| {
            let utc = DateTime::from_timestamp(at, 0).expect("within chrono's range").naive_utc();
            i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
        };
        let mut changes = vec![(i64::MIN, offset(FROM))];
        let mut at = FROM;
        while at < UNTIL {
            let (before, after) = (offset(at), offset(at + STEP));
            if before != after {
                let (mut low, mut high) = (at, at + STEP);
                while high - low > 1 {
                    let middle = i64::midpoint(low, high);
                    if offset(middle) == before { low = middle } else { high = middle }
                }
                changes.push((high, after));
            }
            at += STEP;
        }
        Self(changes)
    }

    /// Whole local hours since Monday 1969-12-29 00:00 on the zone's own clock.
    pub(super) fn hour(&self, at: u32) -> i64 {
        let at = i64::from(at);
        let later = self.0.partition_point(|(from, _)| *from <= at);
        (at + self.0[later - 1].1).div_euclid(3600) + 72
    }
}

/// The hour of the week, 0 to 167, of a count of local hours.
pub(super) fn week_hour(hour: i64) -> usize {
    hour.rem_euclid(168) as usize
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Timelike};

    use super::*;

    #[test]
    fn every_zone_agrees_with_its_rules_around_every_change_of_2024_to_2030() {
        let zones = Zones::default();
        let start = 1_704_067_200u32;
        for (index, zone) in TZ_VARIANTS.into_iter().enumerate() {
            assert_eq!(index, zone as usize);
            let offsets = zones.of(zone);
            for step in 0..7 * 366 {
                let at = start + step * 86_400 + (step % 24) * 3600 + 1799;
                let local =
                    DateTime::from_timestamp(i64::from(at), 0).unwrap().with_timezone(&zone);
                let hour = local.weekday().num_days_from_monday() * 24 + local.hour();
                assert_eq!(week_hour(offsets.hour(at)), hour as usize, "{zone} {local}");
            }
        }
    }
}
