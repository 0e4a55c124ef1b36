//! Days of the year that come by, on people's own clocks.

use chrono::Datelike;
use chrono_tz::Tz;

use crate::calendar::recurring::YearDay;
use crate::model::time::Instant;

/// A day of the year around now: by year, when it begins.
pub(super) fn occasions_of_day(day: YearDay, now: Instant, zone: Tz) -> Vec<(i32, Instant)> {
    let years = [now.year() - 1, now.year(), now.year() + 1];
    years.iter().filter_map(|year| Some((*year, day.begins(*year, zone)?))).collect()
}
