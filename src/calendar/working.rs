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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::America::New_York;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn spans(texts: &[&str]) -> Vec<WeekSpan> {
        texts.iter().map(|text| WeekSpan::parse(text).unwrap()).collect()
    }

    fn share_of_hour(texts: &[&str], start: &str) -> f64 {
        let start = at(start);
        working_share(&spans(texts), start, start + chrono::TimeDelta::hours(1), New_York)
    }

    #[test]
    fn an_hour_counts_by_the_minutes_in_which_somebody_answers() {
        let office = ["Mon-Fri 09:00-17:45", "Mon 17:30-18:00", "Sat 10:20-10:40"];
        assert!((share_of_hour(&office, "2026-11-23T14:00:00Z") - 1.0).abs() < 1e-12);
        assert!(share_of_hour(&office, "2026-11-23T13:00:00Z").abs() < 1e-12);
        // the two spans of Monday evening overlap and count once
        assert!((share_of_hour(&office, "2026-11-23T22:00:00Z") - 1.0).abs() < 1e-12);
        assert!((share_of_hour(&office, "2026-11-24T22:00:00Z") - 0.75).abs() < 1e-12);
        assert!((share_of_hour(&office, "2026-11-28T15:00:00Z") - 1.0 / 3.0).abs() < 1e-12);
        assert!(share_of_hour(&office, "2026-11-29T15:00:00Z").abs() < 1e-12);
    }

    #[test]
    fn no_spans_mean_always() {
        assert!((share_of_hour(&[], "2026-11-29T03:00:00Z") - 1.0).abs() < 1e-12);
        assert!(week_spans_contain(&[], at("2026-11-29T03:00:00Z"), New_York));
    }

    #[test]
    fn a_repeated_hour_of_work_is_worked_twice() {
        let night = ["Sun 01:00-02:00"];
        for start in ["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z"] {
            assert!((share_of_hour(&night, start) - 1.0).abs() < 1e-12);
            assert!(week_spans_contain(&spans(&night), at(start), New_York));
        }
        assert!(share_of_hour(&night, "2026-11-01T07:00:00Z").abs() < 1e-12);
    }

    #[test]
    fn a_span_holds_up_to_but_not_including_its_end() {
        let late = spans(&["Sun 22:00-24:00"]);
        for (time, works) in [("02:59:59Z", false), ("03:00:00Z", true), ("04:59:59Z", true)] {
            assert_eq!(
                week_spans_contain(&late, at(&format!("2026-11-23T{time}")), New_York),
                works
            );
        }
        assert!(!week_spans_contain(&late, at("2026-11-23T05:00:00Z"), New_York));
    }
}
