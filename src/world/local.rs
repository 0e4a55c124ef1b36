//! A person's own clock, in whole seconds: what the wall shows at an instant, and the way back.
//!
//! The world tells its own time: were it told by the calendar that plans are made with, the two
//! would err alike and no replay would show it. Only the tables of offsets are the same.

use chrono::{DateTime, Datelike, NaiveDate};
use chrono_tz::Tz;

use crate::calendar::zone::offset_at;
use crate::model::time::Instant;

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;
/// Seconds of a week.
pub(super) const WEEK: i64 = 7 * DAY;
/// Day 0 of the epoch is a Thursday; weeks begin on Monday.
const MONDAY: i64 = 4 * DAY;

/// What the wall shows, in seconds since 1970-01-01T00:00 on that wall, at a second of UTC.
pub(super) fn wall(zone: Tz, utc: i64) -> i64 {
    utc + offset_at(utc, zone)
}

/// The second of UTC at which the wall shows `wall`: of two the earlier; in a gap, its far side.
pub(super) fn utc(zone: Tz, wall: i64) -> i64 {
    let offset = |utc: i64| self::wall(zone, utc) - utc;
    let before = wall - offset(wall - DAY);
    let after = wall - offset(wall + DAY);
    if before == after {
        return before;
    }
    let fits = |utc: i64| self::wall(zone, utc) == wall;
    match (fits(before), fits(after)) {
        (true, true) => before.min(after),
        (true, false) => before,
        (false, true) => after,
        (false, false) => before.max(after),
    }
}

/// The day of a wall second, counted from the epoch.
pub(super) fn day(wall: i64) -> i64 {
    wall.div_euclid(DAY)
}

/// The Monday midnight at or before a wall second.
pub(super) fn monday(wall: i64) -> i64 {
    (wall - MONDAY).div_euclid(WEEK) * WEEK + MONDAY
}

/// Seconds since Monday midnight.
pub(super) fn of_week(wall: i64) -> i64 {
    (wall - MONDAY).rem_euclid(WEEK)
}

/// Whether a day counted from the epoch is a Saturday or Sunday.
pub(super) fn is_weekend(day: i64) -> bool {
    (day - 4).rem_euclid(7) >= 5
}

/// Month and day of the month of a day counted from the epoch.
pub(super) fn month_day(day: i64) -> (u32, u32) {
    const EPOCH: i64 = 719_163;
    let date = NaiveDate::from_num_days_from_ce_opt((EPOCH + day) as i32).unwrap_or_default();
    (date.month(), date.day())
}

/// An instant as fractional seconds of UTC.
pub(super) fn seconds(at: Instant) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}

/// The instant at fractional seconds of UTC, to the millisecond, rounded up: an answer is never
/// before its cause.
pub(super) fn instant(seconds: f64) -> Instant {
    DateTime::from_timestamp_millis((seconds * 1e3).ceil() as i64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_the_way_there() {
        for zone in [Tz::Asia__Kolkata, Tz::America__Sao_Paulo, Tz::Europe__Berlin] {
            for hour in 0..20_000 {
                let at = 1_760_000_000 + hour * 3600;
                let back = utc(zone, wall(zone, at));
                assert!(back == at || back == at - 3600 && wall(zone, back) == wall(zone, at));
            }
        }
        assert_eq!(of_week(monday(1_760_000_000)), 0);
        assert!(is_weekend(2) && is_weekend(3) && !is_weekend(4), "1970-01-03 was a Saturday");
        assert_eq!(month_day(0), (1, 1));
    }
}
