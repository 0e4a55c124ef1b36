//! Instants as the store and the files hold them. Reads no clock.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Invalid;

/// A point in time.
pub type Instant = DateTime<Utc>;

/// Parses an RFC 3339 time stamp; a time without a zone is refused.
pub fn parse_instant(what: &'static str, text: &str) -> Result<Instant, Invalid> {
    const WANTED: &str = "an RFC 3339 time stamp with a zone, such as 2026-05-04T09:30:00Z";
    let instant =
        DateTime::parse_from_rfc3339(text).map_err(|_| Invalid::new(what, text, WANTED))?;
    Ok(instant.with_timezone(&Utc))
}

/// Prints an instant as RFC 3339 in UTC, with as many decimals as it needs.
pub fn format_instant(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
