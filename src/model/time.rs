//! Instants as the store and the files hold them. Reads no clock.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::Invalid;

/// A point in time.
pub type Instant = DateTime<Utc>;

/// Parses an RFC 3339 time stamp; a time without a zone is refused.
pub fn parse_instant(what: &'static str, text: &str) -> Result<Instant, Invalid> {
    const WANTED: &str = "an RFC 3339 time stamp with a zone, such as 2026-05-04T09:30:00Z";
    let instant =
        DateTime::parse_from_rfc3339(text).map_err(|_| Invalid::new(what, text, WANTED))?;
    Ok(instant.to_utc())
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
}
