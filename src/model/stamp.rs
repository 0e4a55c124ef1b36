//! The parts of a time stamp as programs write them: date, time of the day, offset, and what stands
//! around. Refuses dates of which nobody can tell day from month, such as 01/05/2026.

use std::str::FromStr;

use chrono::{Days, Month, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};

/// Without what programs write around a time stamp: the apostrophe of a spreadsheet, the zone in
/// brackets (RFC 9557) or parentheses (JavaScript), the name of an offset behind it (Go).
pub(super) fn uncommented(text: &str) -> &str {
    let text = text.trim_start_matches('\'');
    let text = match text.rsplit_once(['[', '(']) {
        Some((stamp, comment)) if comment.ends_with([']', ')']) => stamp.trim_end(),
        _ => text,
    };
    let Some((stamp, name)) = text.rsplit_once(' ') else { return text };
    let is_name = (2..=5).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_uppercase());
    match split_offset(stamp) {
        (_, Some(offset)) if is_name => {
            // +0100 UTC would be two clocks
            let zero = matches!(name, "UTC" | "GMT");
            if zero && offset != TimeDelta::zero() { text } else { stamp }
        }
        _ => text,
    }
}

/// Cuts `Z`, `UTC`, `GMT`, `+05`, `+0530`, `+05:30` or `+05:30:00` off the end.
pub(super) fn split_offset(text: &str) -> (&str, Option<TimeDelta>) {
    for utc in ["Z", "z", "UTC", "utc", "GMT", "gmt"] {
        if let Some(local) = text.strip_suffix(utc) {
            // 2026-01-01 12:00:00 UTC, or GMT+02:00, whose sign is found below
            return (local.trim_end(), Some(TimeDelta::zero()));
        }
    }
    // the hyphens of the date are none
    let time = text.find(':').or_else(|| text.find(['T', 't'])).unwrap_or(text.len());
    let Some(sign) = text[time..].find(['+', '-']).map(|at| at + time) else {
        return (text, None);
    };
    let (local, given) = text.split_at(sign);
    let (west, given) = (given.starts_with('-'), &given[1..]);
    let digits: String = given.chars().filter(|c| *c != ':').collect();
    let colons = given.matches(':').count();
    let shape = matches!((digits.len(), colons), (1 | 2, 0) | (4, 0 | 1) | (6, 0 | 2));
    let digits = if digits.len() == 1 { format!("0{digits}") } else { digits };
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

/// Date and time of the day: a `T` or blanks between them.
pub(super) fn parse_local(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = match text.find(':') {
        Some(colon) => {
            let gap = text[..colon].rfind(['T', 't', ' '])?;
            (&text[..gap], &text[gap + 1..])
        }
        None => text.split_once(['T', 't', ' '])?,
    };
    let date = date.trim_end_matches([' ', ',']);
    let date = numeric_date(date).or_else(|| compact_date(date)).or_else(|| named_date(date))?;
    // the end of a day by ISO 8601
    if matches!(time.trim(), "24:00" | "24:00:00") {
        return Some(date.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN));
    }
    Some(date.and_time(parse_time(time.trim())?))
}

/// Seconds and their decimals, and minutes, left out or not; `AM` and `PM` where they stand.
fn parse_time(text: &str) -> Option<NaiveTime> {
    let text = text.replace(',', ".");
    let hour = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let text = if hour { format!("{text}:00") } else { text };
    ["%H:%M:%S%.f", "%H:%M", "%H%M%S", "%I:%M:%S%.f %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p"]
        .iter()
        .find_map(|shape| NaiveTime::parse_from_str(&text, shape).ok())
}

/// Year, month and day with separators; a year of four digits comes first.
fn numeric_date(text: &str) -> Option<NaiveDate> {
    let separator = text.chars().find(|c| !c.is_ascii_digit())?;
    let mut parts = text.split(separator);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str, max: usize| {
        (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let fits = "-/.".contains(separator)
        && year.len() == 4
        && digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && parts.next().is_none();
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
        .filter(|_| fits)
}

/// Year, month and day in eight digits.
pub(super) fn compact_date(text: &str) -> Option<NaiveDate> {
    let eight = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|_| eight)
}

/// A date whose month is a word in English: `5 Jan 2026`, `Mon, Jan 5, 2026`, `05-JAN-2026`.
pub(super) fn named_date(text: &str) -> Option<NaiveDate> {
    let mut words = text.split([' ', ',', '-', '/', '.']).filter(|word| !word.is_empty());
    let mut first = words.next()?;
    if Weekday::from_str(first).is_ok() {
        first = words.next()?;
    }
    let (second, year) = (words.next()?, words.next()?);
    let (month, day) = match Month::from_str(first) {
        Ok(month) => (month, second),
        Err(_) => (Month::from_str(second).ok()?, first),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fits = words.next().is_none() && year.len() == 4 && digits(year) && digits(day);
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.number_from_month(), day.parse().ok()?)
        .filter(|_| fits)
}
