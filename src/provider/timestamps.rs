//! Times as the channel writes them.

use chrono::DateTime;
use serde_json::Value;

use crate::model::time::Instant;

/// Before the channel existed nothing was said there: programs write their zero for no time.
const FIRST_SECOND: i64 = 1_230_768_000; // 2009-01-01
/// Seconds of a year that nobody lives to see; a larger number counts milliseconds.
const LAST_SECOND: i64 = 100_000_000_000;

/// A time in seconds or milliseconds since 1970, as a number or as text.
pub(super) fn instant(value: &Value) -> Option<Instant> {
    let told = match value {
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        other => other.as_f64()?,
    } as i64;
    let seconds = if told > LAST_SECOND { told / 1000 } else { told };
    (FIRST_SECOND..LAST_SECOND).contains(&seconds).then(|| DateTime::from_timestamp(seconds, 0))?
}
