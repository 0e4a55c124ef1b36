//! Days of the year that come by, on people's own clocks.

use chrono::Datelike;
use chrono_tz::Tz;

use crate::calendar::recurring::YearDay;
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::work::Ctx;

/// A day of the year around now: by year, when it begins.
pub(super) fn occasions_of_day(day: YearDay, now: Instant, zone: Tz) -> Vec<(i32, Instant)> {
    let years = [now.year() - 1, now.year(), now.year() + 1];
    years.iter().filter_map(|year| Some((*year, day.begins(*year, zone)?))).collect()
}

pub(super) fn zone_of(ctx: &Ctx, person: &Recipient) -> Tz {
    person.profile.zone.map_or(ctx.config.time_zone, |zone| zone.tz)
}
