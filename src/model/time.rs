//! Instants as the store and the files hold them, and the ways in which programs write them. Reads
//! no clock. Refuses a time without an offset: nobody knows which instant it names.

use chrono::Utc;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta};

use super::Invalid;

/// A point in time.
pub type Instant = DateTime<Utc>;

/// Nobody wrote to telephones before; what a file dates earlier is some program's zero, such as
/// year 1, 1899-12-30 (spreadsheets), 1970-01-01 (Unix) or 1980-01-01 (DOS).
const FIRST_YEAR: i32 = 1990;
/// What a file dates in this year or later is some program's "never", such as 9999-12-31.
const NEVER_YEAR: i32 = 9000;

/// What would be right where a time cannot be read.
const WANTED: &str = "an RFC 3339 time stamp with a zone, such as 2026-05-04T09:30:00Z";
const NO_OFFSET: &str =
    "an RFC 3339 time stamp with a zone; add Z or +02:00, since none is assumed";

/// Parses a time stamp: RFC 3339, and what PostgreSQL (`2025-12-31 14:00:00+00`), Salesforce
/// (`2025-12-31T14:00:00.000+0000`), mail headers (RFC 2822) and ISO 8601 write besides. A time
/// without an offset is refused.
pub fn parse_instant(what: &'static str, text: &str) -> Result<Instant, Invalid> {
    let at = read_instant(what, text.trim())?;
    // an offset may lead into a year that cannot be written
    if (0..=9999).contains(&at.year()) { Ok(at) } else { Err(Invalid::new(what, text, WANTED)) }
}

fn read_instant(what: &'static str, text: &str) -> Result<Instant, Invalid> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.to_utc());
    }
    if text.is_ascii() || text.contains('\u{2212}') {
        let (local, offset) = split_offset(text);
        match (parse_local(local), offset) {
            (Some(local), Some(offset)) => {
                let at = local.checked_sub_signed(offset).map(|at| at.and_utc());
                return at.ok_or_else(|| Invalid::new(what, text, WANTED));
            }
            (Some(_), None) => return Err(Invalid::new(what, text, NO_OFFSET)),
            (None, _) => {}
        }
    }
    DateTime::parse_from_rfc2822(text)
        .map(|instant| instant.to_utc())
        .map_err(|_| Invalid::new(what, text, WANTED))
}

/// Whether a cell holds what a program writes where it has no date: its zero, its end of time, or a
/// day that no calendar has.
pub fn is_placeholder_date(text: &str) -> bool {
    let text = text.trim();
    if matches!(text, "0" | "infinity" | "-infinity") {
        return true;
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
    !(FIRST_YEAR..NEVER_YEAR).contains(&year) || others.contains(&0)
}

/// Whether an instant is one that only placeholders name.
pub fn is_placeholder(at: Instant) -> bool {
    !(FIRST_YEAR..NEVER_YEAR).contains(&at.year())
}

/// Cuts `Z`, `UTC`, `GMT`, `+05`, `+0530`, `+05:30` or `+05:30:00` off the end.
fn split_offset(text: &str) -> (&str, Option<TimeDelta>) {
    for utc in ["Z", "z", "UTC", "utc", "GMT", "gmt"] {
        if let Some(local) = text.strip_suffix(utc) {
            // 2026-01-01 12:00:00 UTC, or GMT+02:00, whose sign the loop below finds
            return (local.trim_end(), Some(TimeDelta::zero()));
        }
    }
    // the hyphens of the date are none
    let time = text.find(':').unwrap_or(text.len());
    let Some(sign) = text[time..].find(['+', '-', '\u{2212}']).map(|at| at + time) else {
        return (text, None);
    };
    let (local, given) = text.split_at(sign);
    let mut given = given.chars();
    let west = given.next() != Some('+');
    let given = given.as_str();
    let digits: String = given.chars().filter(|c| *c != ':').collect();
    let colons = given.matches(':').count();
    let shape = matches!((digits.len(), colons), (2, 0) | (4, 0 | 1) | (6, 0 | 2));
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |two| two.parse::<i64>().ok());
    let (Some(hours), Some(minutes), Some(seconds), true) = (part(0), part(2), part(4), shape)
    else {
        return (text, None);
    };
    // no clock on earth is farther from UTC
    if hours > 15 || minutes > 59 || seconds > 59 {
        return (text, None);
    }
    let east = TimeDelta::seconds(hours * 3600 + minutes * 60 + seconds);
    let local = local.trim_end();
    let local = local.strip_suffix("UTC").or(local.strip_suffix("GMT")).unwrap_or(local);
    (local.trim_end(), Some(if west { -east } else { east }))
}

/// Date and time: a `T` or blanks between them, seconds and their decimals left out or not.
fn parse_local(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let date = match date.len() {
        8 => NaiveDate::parse_from_str(date, "%Y%m%d").ok()?,
        10 => NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?,
        _ => return None,
    };
    let time = time.trim().replace(',', ".");
    let time = ["%H:%M:%S%.f", "%H:%M", "%H%M%S"]
        .iter()
        .find_map(|shape| NaiveTime::parse_from_str(&time, shape).ok())?;
    Some(date.and_time(time))
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
        ];
        for text in same {
            let at = parse_instant("at", text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(format_instant(at), "2025-12-31T14:00:00Z", "{text}");
        }
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
            "1767189600",
            "2025-13-01T00:00Z",
            "2025-12-31T14:00+99",
            "9223372036854775807-01-01T00:00:00Z",
            "262143-12-31T23:59:59-14:00",
            "-262144-01-01T00:00:00+14:00",
        ] {
            assert!(parse_instant("at", text).is_err(), "{text}");
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
        ];
        for text in none {
            assert!(is_placeholder_date(text), "{text}");
        }
        for text in
            ["2026-03-01T12:00:00Z", "2000-01-01T00:00:00Z", "yesterday", "", "31/12/2025", "12:00"]
        {
            assert!(!is_placeholder_date(text), "{text}");
        }
    }
}
