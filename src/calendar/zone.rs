//! Instant ↔ wall time. Owns every addition of an offset; knows nothing of rules.

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime};
use chrono::{Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{GapInfo, Tz};

use crate::model::preference::WEEK_HOURS;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// What the wall clock shows.
pub fn local(at: Instant, tz: Tz) -> NaiveDateTime {
    at.with_timezone(&tz).naive_local()
}

/// When the wall clock shows `local`: the earlier of two instants when it does so twice, and the
/// first instant after the gap when it never does.
pub fn instant(local: NaiveDateTime, tz: Tz) -> Instant {
    match tz.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.to_utc(),
        MappedLocalTime::None => GapInfo::new(&local, &tz)
            .and_then(|gap| gap.end)
            .expect("a wall time that is never shown lies in a gap, and every gap ends")
            .to_utc(),
    }
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
    if offset_at(other, tz) == offset {
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
    DateTime::from_timestamp(other, 0).expect("between two instants of chrono's range")
}

/// Seconds, local minus UTC; offsets change on whole seconds.
fn offset_at(timestamp: i64, tz: Tz) -> i64 {
    let at: DateTime<Utc> =
        DateTime::from_timestamp(timestamp, 0).expect("a time stamp of an instant in use");
    i64::from(tz.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
}
