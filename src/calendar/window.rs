//! The slots that a window and the quiet hours leave. Cheap for one group of people who share zone,
//! country and region; keeping the answer for a group is the caller's.

use chrono::{TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::quiet::Quiet;
use super::zone::{instant, local};
use crate::model::campaign::Window;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// The first instant of a window and the first after it, for people in `tz`, unless the window names
/// a zone of its own.
///
/// Throughout, the wall clock shows no time before the window's start and none at or past its end.
/// So a window that starts within an hour that the clock shows twice opens in the second of them,
/// unless it starts together with that hour. A window that lies in a gap is empty.
pub fn span(window: &Window, tz: Tz) -> (Instant, Instant) {
    let tz = window.zone.unwrap_or(tz);
    let earlier = instant(window.start, tz);
    let opens = match tz.from_local_datetime(&window.start).latest() {
        Some(later) if local(later.to_utc() - TimeDelta::nanoseconds(1), tz) < window.start => {
            later.to_utc()
        }
        _ => earlier,
    };
    (opens, instant(window.end, tz).max(opens))
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
