//! What comes again: days of the year, and the times of a campaign that comes by itself.

use chrono::{Days, Months, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

use super::zone;
use crate::model::campaign::Period;
use crate::model::time::Instant;

/// The occasions of a campaign that comes by itself, from the last before a time on.
pub fn occasions_from(
    period: Period,
    start: NaiveDateTime,
    from: NaiveDateTime,
) -> impl Iterator<Item = NaiveDateTime> {
    let passed = (from - start).num_days().max(0) as u32;
    let first = match period {
        Period::Day => passed,
        Period::Week => passed / 7,
        Period::Month => (passed / 31).saturating_sub(1),
    };
    (first..).map_while(move |count| match period {
        Period::Day => start.checked_add_days(Days::new(u64::from(count))),
        Period::Week => start.checked_add_days(Days::new(u64::from(count) * 7)),
        Period::Month => start.checked_add_months(Months::new(count)),
    })
}

/// A day of the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YearDay {
    month: u32,
    day: u32,
}

impl YearDay {
    /// Reads `1990-05-04`, with or without a time behind it, `05-04` and `--05-04`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let date = text.split(['T', ' ']).next()?;
        let bare = date.strip_prefix("--").unwrap_or(date);
        let parts: Vec<&str> = bare.split('-').collect();
        let (month, day) = match parts[..] {
            [year, month, day] if year.len() == 4 && year.parse::<u32>().is_ok() => (month, day),
            [month, day] => (month, day),
            _ => return None,
        };
        let (month, day) = (month.parse().ok()?, day.parse().ok()?);
        // 2000 had a 29th of February
        NaiveDate::from_ymd_opt(2000, month, day).map(|_| Self { month, day })
    }

    /// The beginning of the day in a year, in a zone; who was born on the 29th of February has the 28th in
    /// other years.
    pub fn begins(self, year: i32, tz: Tz) -> Option<Instant> {
        let day = NaiveDate::from_ymd_opt(year, self.month, self.day)
            .or_else(|| NaiveDate::from_ymd_opt(year, 2, 28))?;
        Some(zone::instant(day.and_time(NaiveTime::MIN), tz))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_the_year_is_read_in_the_forms_that_tools_write() {
        let may = Some(YearDay { month: 5, day: 4 });
        for text in ["1990-05-04", "05-04", "--05-04", " 1990-05-04T00:00:00Z", "1990-05-04 00:00"]
        {
            assert_eq!(YearDay::parse(text), may, "{text}");
        }
        for text in ["", "04/05/1990", "1990-13-01", "02-30", "yesterday"] {
            assert_eq!(YearDay::parse(text), None, "{text}");
        }
        let leap = YearDay::parse("1992-02-29").unwrap();
        let at = |year| leap.begins(year, Tz::America__Sao_Paulo).unwrap().to_string();
        assert_eq!(at(2027), "2027-02-28 03:00:00 UTC");
        assert_eq!(at(2028), "2028-02-29 03:00:00 UTC");
    }

    #[test]
    fn occasions_of_a_period_begin_shortly_before_a_time() {
        let at = |text: &str| -> NaiveDateTime { text.parse().unwrap() };
        let first = |period, from: &str| {
            let found = occasions_from(period, at("2026-01-31T09:00:00"), at(from));
            found
                .skip_while(|occasion| *occasion < at(from))
                .take(2)
                .map(|o| o.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            first(Period::Week, "2026-02-10T00:00:00"),
            ["2026-02-14 09:00:00", "2026-02-21 09:00:00"]
        );
        assert_eq!(
            first(Period::Month, "2026-02-10T00:00:00"),
            ["2026-02-28 09:00:00", "2026-03-31 09:00:00"]
        );
        assert_eq!(first(Period::Day, "2025-02-10T00:00:00")[0], "2026-01-31 09:00:00");
        assert_eq!(first(Period::Month, "2029-02-10T00:00:00")[0], "2029-02-28 09:00:00");
    }
}
