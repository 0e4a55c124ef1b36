//! The weekly hours of those who answer, on the workspace's clock. No hours at all means always.

use chrono::Datelike;
use chrono_tz::Tz;

use super::zone::{local, stretches};
use crate::model::campaign::WeekSpan;
use crate::model::time::Instant;

/// Whether somebody answers at an instant.
pub fn week_spans_contain(spans: &[WeekSpan], at: Instant, tz: Tz) -> bool {
    use chrono::Timelike;
    let local = local(at, tz);
    let minute = local.hour() * 60 + local.minute();
    let day = local.weekday().num_days_from_monday() as usize;
    let contains = |s: &WeekSpan| s.days[day] && (s.from_minute..s.to_minute).contains(&minute);
    spans.is_empty() || spans.iter().any(contains)
}

/// The share, 0 to 1, of the time from `from` up to but not including `to` in which somebody
/// answers. Spans that overlap count once.
pub fn working_share(spans: &[WeekSpan], from: Instant, to: Instant, tz: Tz) -> f64 {
    if spans.is_empty() || from >= to {
        return f64::from(spans.is_empty());
    }
    let mut worked = 0.0;
    for stretch in stretches(from, to, tz) {
        let day = stretch.date.weekday().num_days_from_monday() as usize;
        let today = spans.iter().filter(|span| span.days[day]);
        let mut parts: Vec<_> =
            today.map(|span| stretch.between(span.from_minute, span.to_minute)).collect();
        parts.sort_unstable();
        let mut counted = stretch.from;
        for (start, end) in parts {
            let start = start.max(counted);
            if start < end {
                worked += (end - start).as_seconds_f64();
                counted = end;
            }
        }
    }
    worked / (to - from).as_seconds_f64()
}
