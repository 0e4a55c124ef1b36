//! Instant ↔ wall time. Owns every addition of an offset; knows nothing of rules.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;

pub use super::tables::{Offsets, Release, Source, Tables, Zones, offsets, tables};
use crate::model::preference::WEEK_HOURS;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// What the wall clock shows.
pub fn local(at: Instant, tz: Tz) -> NaiveDateTime {
    at.naive_utc() + TimeDelta::seconds(offset_at(at.timestamp(), tz))
}

/// When the wall clock shows `local`: the earlier of two instants when it does so twice, and the
/// first instant after the gap when it never does.
pub fn instant(local: NaiveDateTime, tz: Tz) -> Instant {
    let shown = offsets(tz).shown(local.and_utc().timestamp());
    match shown.first {
        Some(second) => within(second, local),
        None => instant_of(shown.passed),
    }
}

/// The later of the two instants at which the wall clock shows `local`; none when it does so once
/// or never.
pub(super) fn instant_again(local: NaiveDateTime, tz: Tz) -> Option<Instant> {
    let shown = offsets(tz).shown(local.and_utc().timestamp());
    shown.last.filter(|last| shown.first != Some(*last)).map(|second| within(second, local))
}

/// The instant in a second at which the wall clock shows the fraction of `local`: offsets are whole
/// seconds.
fn within(second: i64, local: NaiveDateTime) -> Instant {
    instant_of(second) + TimeDelta::nanoseconds(i64::from(local.nanosecond() % 1_000_000_000))
}

fn instant_of(second: i64) -> Instant {
    DateTime::from_timestamp(second, 0).expect("a second of an instant in use")
}

/// The hour of the local week, 0 to 167; hour 0 is Monday 00:00–01:00.
pub fn week_hour(at: Instant, tz: Tz) -> usize {
    week_hour_of(local(at, tz))
}

fn week_hour_of(local: NaiveDateTime) -> usize {
    (local.weekday().num_days_from_monday() * 24 + local.hour()) as usize % WEEK_HOURS
}

/// The hours of the local week that a slot overlaps, in order, with the share of the slot that lies
/// in each; the shares sum to 1.
pub fn week_hours(
    slot: Slot,
    length: SlotLength,
    tz: Tz,
) -> impl Iterator<Item = (usize, f64)> + Clone {
    let total = length.span().as_seconds_f64();
    stretches(slot.start(length), slot.end(length), tz).flat_map(move |stretch| {
        let last = stretch.local_end() - TimeDelta::nanoseconds(1);
        (stretch.local_start().hour()..=last.hour()).map(move |hour| {
            let (from, to) = stretch.between(hour * 60, hour * 60 + 60);
            let start = stretch.date.and_time(NaiveTime::MIN) + TimeDelta::hours(i64::from(hour));
            (week_hour_of(start), (to - from).as_seconds_f64() / total)
        })
    })
}

/// A stretch of time within one local day in which the offset does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Its first instant.
    pub(super) from: Instant,
    /// The first instant after it.
    pub(super) to: Instant,
    /// The local day.
    pub(super) date: NaiveDate,
    /// Local minus UTC.
    offset: TimeDelta,
}

impl Stretch {
    /// What the wall clock shows at its first instant.
    fn local_start(&self) -> NaiveDateTime {
        self.from.naive_utc() + self.offset
    }

    /// What the wall clock shows at its end, were the offset to stay.
    fn local_end(&self) -> NaiveDateTime {
        self.to.naive_utc() + self.offset
    }

    /// The part of it whose wall clock lies from one minute of the day up to another (at most
    /// 1440); empty when the second instant is not after the first.
    pub(super) fn between(&self, from_minute: u32, to_minute: u32) -> (Instant, Instant) {
        let midnight = (self.date.and_time(NaiveTime::MIN) - self.offset).and_utc();
        let at = |minute: u32| midnight + TimeDelta::minutes(i64::from(minute));
        (at(from_minute).max(self.from), at(to_minute).min(self.to))
    }
}

/// Cuts a span at local midnights and at changes of the offset.
pub(super) fn stretches(
    from: Instant,
    to: Instant,
    tz: Tz,
) -> impl Iterator<Item = Stretch> + Clone {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let offset = offset_at(at.timestamp(), tz);
        let shift = TimeDelta::seconds(offset);
        let date = (at.naive_utc() + shift).date();
        let next_day = date.succ_opt().expect("dates in use lie far from the end of the calendar");
        let midnight = (next_day.and_time(NaiveTime::MIN) - shift).and_utc();
        let end = offset_holds_until(at, to.min(midnight), offset, tz);
        let stretch = Stretch { from: at, to: end, date, offset: shift };
        at = end;
        Some(stretch)
    })
}

/// The first instant in `(from, to)` at which the offset is another, else `to`. Both lie within a
/// day of each other; no zone has changed its offset twice in one day.
fn offset_holds_until(from: Instant, to: Instant, offset: i64, tz: Tz) -> Instant {
    let (mut same, mut other) = (from.timestamp(), to.timestamp());
    if same == other || offset_at(other, tz) == offset {
        return to;
    }
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if offset_at(middle, tz) == offset {
            same = middle;
        } else {
            other = middle;
        }
    }
    instant_of(other)
}

/// Seconds, local minus UTC, at a second from the epoch; offsets change on whole seconds.
pub fn offset_at(second: i64, tz: Tz) -> i64 {
    offsets(tz).at(second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America, Asia, Australia, Pacific};

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn wall(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_wall_time_shown_twice_means_the_earlier_instant() {
        let twice = wall("2026-11-01T01:30:00");
        assert_eq!(instant(twice, America::New_York), at("2026-11-01T05:30:00Z"));
        assert_eq!(local(at("2026-11-01T06:30:00Z"), America::New_York), twice);
        // half an hour on Lord Howe Island
        let twice = wall("2026-04-05T01:45:00");
        assert_eq!(instant(twice, Australia::Lord_Howe), at("2026-04-04T14:45:00Z"));
        assert_eq!(local(at("2026-04-04T15:15:00Z"), Australia::Lord_Howe), twice);
    }

    #[test]
    fn a_wall_time_never_shown_means_the_first_instant_after_the_gap() {
        let in_gap = wall("2026-03-08T02:59:59");
        assert_eq!(instant(in_gap, America::New_York), at("2026-03-08T07:00:00Z"));
        let in_gap = wall("2026-10-04T02:10:00");
        assert_eq!(instant(in_gap, Australia::Lord_Howe), at("2026-10-03T15:30:00Z"));
        // Samoa had no 30 December in 2011
        let in_gap = wall("2011-12-30T12:00:00");
        assert_eq!(instant(in_gap, Pacific::Apia), at("2011-12-30T10:00:00Z"));
        assert_eq!(local(at("2011-12-30T10:00:00Z"), Pacific::Apia), wall("2011-12-31T00:00:00"));
    }

    #[test]
    fn hour_0_of_the_week_is_monday_after_midnight() {
        assert_eq!(week_hour(at("2026-11-23T00:59:59Z"), Tz::UTC), 0);
        assert_eq!(week_hour(at("2026-11-22T23:59:59Z"), Tz::UTC), 167);
        assert_eq!(week_hour(at("2026-11-22T18:30:00Z"), Asia::Kolkata), 0);
    }

    fn hours_of(start: &str, length: SlotLength, tz: Tz) -> Vec<(usize, f64)> {
        week_hours(Slot::holding(at(start), length), length, tz).collect()
    }

    #[test]
    fn a_slot_is_shared_among_the_local_hours_that_it_overlaps() {
        let hour = SlotLength::HOUR;
        assert_eq!(hours_of("2026-11-23T05:00:00Z", hour, Tz::UTC), [(5, 1.0)]);
        // 23:30 on Sunday to 00:30 on Monday
        let kolkata = hours_of("2026-11-22T18:00:00Z", hour, Asia::Kolkata);
        assert_eq!(kolkata, [(167, 0.5), (0, 0.5)]);
        let kathmandu = hours_of("2026-11-22T18:00:00Z", hour, Asia::Kathmandu);
        assert_eq!(kathmandu, [(167, 0.25), (0, 0.75)]);
        let half = SlotLength::try_from(30).unwrap();
        assert_eq!(hours_of("2026-11-22T18:30:00Z", half, Asia::Kolkata), [(0, 1.0)]);
    }

    #[test]
    fn a_slot_that_the_clock_jumps_in_is_shared_as_the_clock_shows_it() {
        // Sunday, 02:00 becomes 02:30 in the middle of the slot from 01:30
        let spring = hours_of("2026-10-03T15:00:00Z", SlotLength::HOUR, Australia::Lord_Howe);
        assert_eq!(spring, [(6 * 24 + 1, 0.5), (6 * 24 + 2, 0.5)]);
        // one minute into Sunday it becomes Saturday 23:01 again
        let newfoundland = hours_of("2010-11-07T02:00:00Z", SlotLength::HOUR, America::St_Johns);
        assert_eq!(newfoundland, [(143, 0.5), (144, 60.0 / 3600.0), (143, 29.0 / 60.0)]);
    }

    #[test]
    fn stretches_tile_a_span_and_keep_one_day_and_one_offset() {
        let (from, to) = (at("2026-10-30T11:11:11.5Z"), at("2026-11-03T22:22:22.25Z"));
        let all: Vec<_> = stretches(from, to, America::New_York).collect();
        assert_eq!((all[0].from, all[all.len() - 1].to), (from, to));
        assert!(all.windows(2).all(|pair| pair[0].to == pair[1].from));
        // five local days, one of them cut by the change of the offset
        assert_eq!(all.len(), 6);
        for stretch in all {
            for at in [stretch.from, stretch.to - TimeDelta::nanoseconds(1)] {
                let local = local(at, America::New_York);
                assert_eq!((local.date(), local - at.naive_utc()), (stretch.date, stretch.offset));
            }
        }
    }
}
