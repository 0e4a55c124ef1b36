//! The slots that a window and the quiet hours leave. Cheap for one group of people who share zone,
//! country and region; keeping the answer for a group is the caller's.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::quiet::Quiet;
use super::zone::{instant, instant_again, local};
use crate::model::campaign::Window;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// The first instant of a window and the first after it, for people in `tz`, unless the window
/// names a zone of its own.
///
/// Throughout, the wall clock shows no time before the window's start and none at or past its end.
/// So a window that starts amid an hour that the clock shows twice, and goes on past it, opens in
/// the second of them. A window that lies in a gap is empty.
pub fn span(window: &Window, tz: Tz) -> (Instant, Instant) {
    let tz = window.zone.unwrap_or(tz);
    let (opens, closes) = (instant(window.start, tz), instant(window.end, tz));
    let set_back = |again: &Instant| {
        *again < closes && local(*again - TimeDelta::nanoseconds(1), tz) < window.start
    };
    let opens = instant_again(window.start, tz).filter(set_back).unwrap_or(opens);
    (opens, closes.max(opens))
}

/// When a window is over everywhere: on the wall clock that is last on earth.
pub fn ends_at(window: &Window) -> Instant {
    span(window, Tz::Etc__GMTPlus12).1
}

/// The slots that begin at `now` or later and lie wholly within the window and wholly outside quiet
/// hours, in order.
pub fn allowed_slots(
    window: &Window,
    quiet: &Quiet,
    tz: Tz,
    length: SlotLength,
    now: Instant,
) -> Vec<Slot> {
    let (opens, closes) = span(window, tz);
    let first = Slot::from_instant_on(opens.max(now), length);
    let past = Slot::holding(closes, length).0;
    if first.0 >= past {
        return Vec::new();
    }
    let mut allowed = vec![true; (past - first.0) as usize];
    for (from, to) in quiet.forbidden_spans(first.start(length), closes, tz) {
        let from = Slot::holding(from, length).0 - first.0;
        let to = Slot::from_instant_on(to, length).0 - first.0;
        for slot in from..to.min(past - first.0) {
            allowed[slot as usize] = false;
        }
    }
    let slots = allowed.iter().enumerate().filter(|(_, allowed)| **allowed);
    slots.map(|(index, _)| Slot(first.0 + index as i64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::law::Case;
    use crate::calendar::rules::Rules;
    use crate::model::campaign::{CampaignQuiet, QuietHours};
    use crate::model::content::Category;
    use chrono_tz::{America::New_York, Asia::Kolkata};

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn window(start: &str, end: &str, zone: Option<Tz>) -> Window {
        Window { start: start.parse().unwrap(), end: end.parse().unwrap(), zone }
    }

    fn starts(window: &Window, quiet: &Quiet, tz: Tz, now: &str) -> Vec<String> {
        let slots = allowed_slots(window, quiet, tz, SlotLength::HOUR, at(now));
        let start = |slot: &Slot| slot.start(SlotLength::HOUR).format("%dT%H").to_string();
        slots.iter().map(start).collect()
    }

    fn no_evenings() -> Quiet {
        let case =
            Case { country: None, region: None, channel: "http", category: Category::Marketing };
        let hours = QuietHours::parse("18:00", "09:30").unwrap();
        Quiet::new(&Rules::built_in(), case, CampaignQuiet::Add(hours), None)
    }

    #[test]
    fn a_window_is_continuous_over_its_nights() {
        let days = window("2026-12-01T22:00:00", "2026-12-02T03:00:00", None);
        let night = starts(&days, &Quiet::default(), Tz::UTC, "2026-11-01T00:00:00Z");
        assert_eq!(night, ["01T22", "01T23", "02T00", "02T01", "02T02"]);
    }

    #[test]
    fn only_slots_wholly_within_the_window_and_outside_quiet_hours_remain() {
        let day = window("2026-12-01T08:00:00", "2026-12-01T14:59:59", None);
        let allowed = starts(&day, &no_evenings(), Tz::UTC, "2026-11-01T00:00:00Z");
        assert_eq!(allowed, ["01T10", "01T11", "01T12", "01T13"]);
        // slots begin at half past on this clock
        let allowed = starts(&day, &no_evenings(), Kolkata, "2026-11-01T00:00:00Z");
        assert_eq!(allowed, ["01T04", "01T05", "01T06", "01T07", "01T08"]);
    }

    #[test]
    fn a_slot_that_has_begun_is_gone() {
        let day = window("2026-12-01T10:00:00", "2026-12-01T13:00:00", None);
        let left = |now| starts(&day, &Quiet::default(), Tz::UTC, now);
        assert_eq!(left("2026-12-01T11:00:00Z"), ["01T11", "01T12"]);
        assert_eq!(left("2026-12-01T11:00:00.000001Z"), ["01T12"]);
        assert!(left("2027-01-01T00:00:00Z").is_empty());
    }

    #[test]
    fn a_window_with_a_zone_of_its_own_opens_at_once_for_everybody() {
        let day = window("2026-12-01T10:00:00", "2026-12-01T12:00:00", Some(New_York));
        for tz in [Kolkata, New_York] {
            let expected = (at("2026-12-01T15:00:00Z"), at("2026-12-01T17:00:00Z"));
            assert_eq!(span(&day, tz), expected);
        }
        // quiet hours stay the recipient's
        assert!(starts(&day, &no_evenings(), Kolkata, "2026-11-01T00:00:00Z").is_empty());
    }

    #[test]
    fn the_wall_clock_never_leaves_an_open_window() {
        let spans = [
            // 01:00–02:00 is shown twice: from 05:00 and from 06:00 UTC
            ("2026-11-01T01:00:00", "2026-11-01T03:00:00", "05:00", "08:00"),
            ("2026-11-01T01:30:00", "2026-11-01T03:00:00", "06:30", "08:00"),
            ("2026-11-01T00:00:00", "2026-11-01T01:30:00", "04:00", "05:30"),
            ("2026-11-01T01:10:00", "2026-11-01T01:50:00", "05:10", "05:50"),
        ];
        for (start, end, opens, closes) in spans {
            let at = |time: &str| at(&format!("2026-11-01T{time}:00Z"));
            let expected = (at(opens), at(closes));
            assert_eq!(span(&window(start, end, None), New_York), expected, "{start} to {end}");
        }
    }

    #[test]
    fn a_window_within_a_gap_is_empty() {
        let gap = window("2026-03-08T02:10:00", "2026-03-08T02:50:00", None);
        assert!(starts(&gap, &Quiet::default(), New_York, "2026-01-01T00:00:00Z").is_empty());
        let (opens, closes) = span(&gap, New_York);
        assert_eq!(opens, closes);
    }
}
