//! Public holidays, computed from rules: fixed dates, distances from Easter, and single dates.
//! Knows nothing of what is forbidden on them.

use chrono::{Datelike, NaiveDate, TimeDelta};

/// The public holidays of one country.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holidays {
    /// Every year on this month and day.
    pub(super) fixed: Vec<(u32, u32)>,
    /// Every year this many days after Easter Sunday; negative before it.
    pub(super) easter: Vec<i64>,
    /// On these days alone.
    pub(super) dates: Vec<NaiveDate>,
}

impl Holidays {
    /// Whether a local day is one.
    pub fn contains(&self, date: NaiveDate) -> bool {
        self.fixed.contains(&(date.month(), date.day()))
            || self.dates.contains(&date)
            || (!self.easter.is_empty()
                && self.easter.contains(&(date - easter_sunday(date.year())).num_days()))
    }

    /// Takes in another set.
    pub(super) fn extend(&mut self, other: &Self) {
        self.fixed.extend(&other.fixed);
        self.easter.extend(&other.easter);
        self.dates.extend(&other.dates);
    }
}

/// Easter Sunday of the Gregorian calendar: the Sunday after the first full moon, by the Church's
/// tables, on or after 21 March (the anonymous computus; J. Meeus, Astronomical Algorithms, ch. 8).
pub fn easter_sunday(year: i32) -> NaiveDate {
    let golden = year.rem_euclid(19);
    let (century, of_century) = (year.div_euclid(100), year.rem_euclid(100));
    // the moon's drift against the sun, less the leap days that the Gregorian reform left out
    let drift = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - century / 4 - drift + 15).rem_euclid(30);
    let to_sunday =
        (32 + 2 * (century % 4) + 2 * (of_century / 4) - epact - of_century % 4).rem_euclid(7);
    let late = (golden + 11 * epact + 22 * to_sunday) / 451;
    let after_21_march = i64::from(epact + to_sunday - 7 * late + 1);
    NaiveDate::from_ymd_opt(year, 3, 21).expect("every year has a 21 March")
        + TimeDelta::days(after_21_march)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easter_falls_where_the_almanacs_have_it() {
        let almanac = [
            (1818, 3, 22), // the earliest
            (1943, 4, 25), // the latest
            (1954, 4, 18), // the epact's first exception
            (1981, 4, 19), // the epact's second exception
            (2000, 4, 23),
            (2024, 3, 31),
            (2025, 4, 20),
            (2026, 4, 5),
            (2027, 3, 28),
            (2028, 4, 16),
            (2029, 4, 1),
            (2030, 4, 21),
            (2038, 4, 25),
        ];
        for (year, month, day) in almanac {
            assert_eq!(easter_sunday(year), NaiveDate::from_ymd_opt(year, month, day).unwrap());
        }
    }
}
