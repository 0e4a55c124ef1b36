//! Instants as the store and the files hold them, and the ways in which programs write them. Reads
//! no clock. Refuses a time without an offset: nobody knows which instant it names.

use chrono::Utc;
use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta};

use super::Invalid;
use super::stamp::{compact_date, named_date, parse_local, split_offset, uncommented};
use super::written::plain;

/// A point in time.
pub type Instant = DateTime<Utc>;

/// Nobody wrote to telephones before; what a file dates earlier is some program's zero, such as
/// year 1, 1899-12-30 (spreadsheets), 1970-01-01 (Unix) or 1980-01-01 (DOS).
const FIRST_YEAR: i32 = 1990;
/// What a file dates in this year or later is some program's "never", such as 9999-12-31.
const NEVER_YEAR: i32 = 9000;

/// What would be right where a time cannot be read.
const WANTED: &str = "an RFC 3339 time stamp with a zone, such as 2026-05-04T09:30:00Z";
const NUMBER: &str = "a time stamp with a zone, such as 2026-05-04T09:30:00Z; a number alone is not \
                      read, since it may count seconds, milliseconds or days";
const NO_OFFSET: &str =
    "an RFC 3339 time stamp with a zone; add Z or +02:00, since none is assumed";

/// Parses a time stamp: RFC 3339 and 9557, what PostgreSQL (`2025-12-31 14:00:00+00`), Salesforce
/// (`2025-12-31T14:00:00.000+0000`), mail headers (RFC 2822) and ISO 8601 write besides, and dates
/// whose month is a word or whose year comes first. A time without an offset is refused, and so is a
/// bare number, which may count seconds, milliseconds or days.
pub fn parse_instant(what: &'static str, text: &str) -> Result<Instant, Invalid> {
    let at = read_instant(&plain(text)).map_err(|wanted| Invalid::new(what, text, wanted))?;
    // an offset may lead into a year that cannot be written
    if (0..=9999).contains(&at.year()) { Ok(at) } else { Err(Invalid::new(what, text, WANTED)) }
}

fn read_instant(text: &str) -> Result<Instant, &'static str> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.to_utc());
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(NUMBER);
    }
    let text = uncommented(text);
    if text.is_ascii() {
        let (local, offset) = split_offset(text);
        match (parse_local(local), offset) {
            (Some(local), Some(offset)) => {
                return local.checked_sub_signed(offset).map(|at| at.and_utc()).ok_or(WANTED);
            }
            (Some(_), None) => return Err(NO_OFFSET),
            (None, _) => {}
        }
    }
    // the year behind the offset, as `date` and Twitter write it
    let spaced = text.replace(" UTC ", " +0000 ").replace(" GMT ", " +0000 ");
    DateTime::parse_from_rfc2822(text)
        .or_else(|_| DateTime::parse_from_str(&spaced, "%a %b %e %H:%M:%S %z %Y"))
        .map(|instant| instant.to_utc())
        .map_err(|_| WANTED)
}

/// Whether a cell holds what a program writes where it has no date: its zero, its end of time, or a
/// day that no calendar has.
pub fn is_placeholder_date(text: &str) -> bool {
    let text = plain(text);
    let text = text.trim_start_matches('\'');
    if matches!(text, "0" | "0.0" | "00000000" | "infinity" | "-infinity") {
        return true;
    }
    // the date before the time of the day
    let before_colon = text.split(':').next().unwrap_or_default();
    let before_time = before_colon.rsplit_once(['T', 't', ' ']).map(|(date, _)| date);
    let dates = [Some(text), before_time, text.split(['T', 't']).next()].into_iter().flatten();
    let mut named = dates.filter_map(|date| compact_date(date).or_else(|| named_date(date)));
    if let Some(date) = named.next() {
        return !is_year(date.year());
    }
    // year first or year last, with any separators
    let numbers: Vec<&str> =
        text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let [first, second, third, ..] = numbers[..] else { return false };
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let number = |part: &str| part.parse::<i32>().unwrap_or(i32::MAX);
    let (year, others) = if first.len() == 4 {
        (number(first), [number(second), number(third)])
    } else if third.len() == 4 && first.len() <= 2 && second.len() <= 2 {
        (number(third), [number(first), number(second)])
    } else {
        return false;
    };
    // an offset may show the zero of another zone as the eve of it
    !is_year(year) || others.contains(&0)
}

/// Whether something may have happened in a year.
fn is_year(year: i32) -> bool {
    (FIRST_YEAR..NEVER_YEAR).contains(&year)
}

/// Whether an instant is one that only placeholders name.
pub fn is_placeholder(at: Instant) -> bool {
    !is_year(at.year())
}

/// Prints an instant as RFC 3339 in UTC, with as many decimals as it needs.
pub fn format_instant(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The last multiple of `step`, counted from the epoch, at or before an instant. Unlike chrono's
/// own it holds for every year that can be written.
pub fn truncated(at: Instant, step: TimeDelta) -> Instant {
    let micros = at.timestamp_micros();
    let past = micros.rem_euclid(step.num_microseconds().unwrap_or(1).max(1));
    DateTime::from_timestamp_micros(micros - past).unwrap_or(at)
}

/// The UTC hour that holds an instant.
pub fn hour_of(at: Instant) -> Instant {
    truncated(at, TimeDelta::hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_found_in_every_year_that_can_be_written() {
        for (given, hour) in [
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:00:00Z"),
            ("2026-12-15T04:00:00Z", "2026-12-15T04:00:00Z"),
            ("1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z"),
            ("0001-01-01T00:00:00.5Z", "0001-01-01T00:00:00Z"),
        ] {
            let found = truncated(given.parse().unwrap(), TimeDelta::hours(1));
            assert_eq!(format_instant(found), hour);
        }
    }

    #[test]
    fn time_stamps_of_other_programs_name_their_instant() {
        let same = [
            "2025-12-31T14:00:00Z",
            "2025-12-31t14:00:00z",
            "2025-12-31 14:00:00+00",
            "2025-12-31 14:00:00.000000+00",
            "2025-12-31 19:30:00+05:30",
            "2025-12-31 19:30:00+0530",
            "2025-12-31 09:00:00-05",
            "2025-12-31T14:00:00.000+0000",
            "2025-12-31T14:00Z",
            "2025-12-31T14:00:00,000Z",
            "2025-12-31 14:00 UTC",
            "2025-12-31 14:00:00 GMT",
            "2025-12-31 11:00:00 -0300",
            "2025-12-31T11:00:00\u{2212}03:00",
            "2025-12-31 16:00:00 GMT+02:00",
            "20251231T140000Z",
            "Wed, 31 Dec 2025 14:00:00 +0000",
            " 2025-12-31 14:00:00+00:00:00 ",
            "2025-12-31T15:00+01",
            "2025-12-31T14Z",
            "2025-12-31 15:00:00 +1",
            "2025-12-31 15:00:00 UTC+1",
            "2025/12/31 14:00:00+00",
            "2025-12-31 02:00:00 PM +00:00",
            "2025-12-31 2:00 pm UTC",
            "Wed Dec 31 2025 11:00:00 GMT-0300 (Brasilia Standard Time)",
            "2025-12-31T15:00:00+01:00[Europe/Berlin]",
            "2025-12-31 14:00:00.000000 +0000 UTC",
            "2025-12-31 15:00:00 +0100 CET",
            "Wed Dec 31 14:00:00 UTC 2025",
            "Wed Dec 31 14:00:00 +0000 2025",
            "Dec 31, 2025, 2:00:00 PM UTC",
            "31-DEC-2025 14:00:00 +00:00",
            "'2025-12-31T14:00:00Z",
            "2025-12-31\u{a0}14:00:00\u{202f}Z\u{200b}",
            "２０２５-12-31T14:00:00Z",
        ];
        for text in same {
            let at = parse_instant("at", text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(format_instant(at), "2025-12-31T14:00:00Z", "{text}");
        }
        let midnight = parse_instant("at", "2025-12-31T24:00:00Z").unwrap();
        assert_eq!(format_instant(midnight), "2026-01-01T00:00:00Z");
        let one_digit = parse_instant("at", "2026-1-5 9:00:00Z").unwrap();
        assert_eq!(format_instant(one_digit), "2026-01-05T09:00:00Z");
        let fine = parse_instant("at", "2025-12-31 14:00:00.123456+00").unwrap();
        assert_eq!(format_instant(fine), "2025-12-31T14:00:00.123456Z");
    }

    #[test]
    fn a_time_without_an_offset_is_refused_with_the_remedy() {
        for text in ["2025-12-31T14:00:00", "2025-12-31 14:00", "2025-12-31 14:00:00.5"] {
            let error = parse_instant("at", text).unwrap_err().to_string();
            assert!(error.contains("add Z or +02:00"), "{error}");
        }
        for text in [
            "yesterday",
            "",
            "31.12.2025 14:00",
            "2025-12-31",
            "01/05/2026 10:00:00 AM UTC",
            "05.01.2026 10:00:00 +0100",
            "2025-12-31 13:00:00 PM UTC",
            "2025-12-31 14:00:00 EST",
            "2025-12-31 14:00:00 +0100 UTC",
            "2025-12-31T14:00:00[Europe/Berlin]",
            "2025-W01-1T10:00Z",
            "31 Dec 25 14:00:00",
            "2025-13-01T00:00Z",
            "2025-12-31T14:00+99",
            "9223372036854775807-01-01T00:00:00Z",
            "262143-12-31T23:59:59-14:00",
            "-262144-01-01T00:00:00+14:00",
        ] {
            assert!(parse_instant("at", text).is_err(), "{text}");
        }
        for text in ["1767189600", "1767189600000", "46022.58"] {
            let error = parse_instant("at", text).unwrap_err().to_string();
            assert!(error.contains("may count seconds"), "{error}");
        }
        assert!(parse_instant("at", "9999-12-31T23:59:59-15:00").is_err());
        assert!(parse_instant("at", "9999-12-31T23:59:59Z").is_ok());
    }

    #[test]
    fn placeholders_are_told_from_dates() {
        let none = [
            "0000-00-00",
            "0000-00-00 00:00:00",
            "0001-01-01T00:00:00Z",
            "1899-12-30T00:00:00Z",
            "1900-01-00",
            "1900-01-01 00:00:00+00",
            "1970-01-01T00:00:00Z",
            "1970-01-01T01:00:00+01:00",
            "1969-12-31T19:00:00-05:00",
            "1980-01-01 00:00",
            "9999-12-31T23:59:59Z",
            "01/01/0001",
            "1/1/1970 00:00",
            "00/00/0000",
            "0",
            "2026-00-00",
            "infinity",
            "0.0",
            "00000000",
            "19700101",
            "19700101T000000",
            "99991231",
            "01-Jan-0001",
            "01-JAN-1970 00:00:00",
            "Jan 1, 1970",
            "Thu Jan 01 1970 00:00:00 GMT+0000",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ];
        for text in none {
            assert!(is_placeholder_date(text), "{text}");
        }
        for text in [
            "2026-03-01T12:00:00Z",
            "2000-01-01T00:00:00Z",
            "yesterday",
            "",
            "31/12/2025",
            "12:00",
            "20260301",
            "1 Mar 2026",
            "11987654321",
            "12345678",
        ] {
            assert!(!is_placeholder_date(text), "{text}");
        }
    }
}
