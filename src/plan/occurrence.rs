//! Which occurrences of a standing campaign a person has: what is new, what moved, what is called off.
//!
//! Decided for one person at a time, from what happens to them and what was decided before. A person is
//! written to once for each occasion: one that moved after it was written about counts as another only
//! where it lies [`Trigger::again_after`] from what it was.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::model::campaign::Trigger;
use crate::model::delivery::Reason;
use crate::model::time::Instant;

/// How long before its span an occurrence is planned.
pub const REACH: TimeDelta = TimeDelta::hours(24);

/// Something that happens to the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccasionOf {
    /// What tells it apart from others of its kind.
    pub key: String,
    /// Whether the caller gave the key.
    pub keyed: bool,
    /// When it happens.
    pub at: Instant,
    /// When it was first known.
    pub added_at: Instant,
    /// When it was last changed.
    pub changed_at: Instant,
}

/// How far an occurrence came that was decided before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OccurrenceState {
    /// Nothing has left, and nothing will without a new decision.
    Open,
    /// It was written about, or may have been, or its time has passed.
    Done,
    /// It is not written about: called off, or too near another.
    Refused(Reason),
}

/// An occurrence that was decided before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownOccurrence {
    /// Of which occasion.
    pub key: String,
    /// When that was to happen.
    pub at: Instant,
    /// How far it came.
    pub state: OccurrenceState,
    /// Where it moved after a message about it: for when that said it was.
    pub told: Option<Instant>,
}

impl KnownOccurrence {
    /// The times that the person was or will be written about.
    fn written_about(&self) -> impl Iterator<Item = Instant> {
        let counts = !matches!(self.state, OccurrenceState::Refused(_));
        counts.then_some(self.at).into_iter().chain(self.told)
    }

    /// The time that the last message about it said, where one left.
    pub fn told(&self) -> Option<Instant> {
        if self.state == OccurrenceState::Done { Some(self.at) } else { self.told }
    }
}

/// What becomes of an occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is written about, in the span around its time; also one that was called off and is not any
    /// more.
    Plan,
    /// It moved before it was written about.
    Move,
    /// It moved out of reach: it comes back with its time.
    PutBack,
    /// It is not written about.
    Refuse(Reason),
    /// It was called off, or moved far, after it was written about: nothing more is sent about it as it was.
    Recall(Reason),
}

/// The changes of one person's occurrences: indices into `occasions`, in order.
pub fn changes(
    trigger: &Trigger,
    now: Instant,
    occasions: &[OccasionOf],
    unless: &[OccasionOf],
    known: &[KnownOccurrence],
) -> Vec<(usize, Change)> {
    let renewed = |occasion: &OccasionOf| {
        trigger.is_renewed() && occasions.iter().any(|later| later.at > occasion.at)
    };
    let called_off =
        |occasion| renewed(occasion) || unless.iter().any(|event| calls_off(event, occasion));
    let called_off: Vec<bool> = occasions.iter().map(called_off).collect();
    let mut known = known.to_vec();
    let mut order: Vec<usize> = (0..occasions.len()).collect();
    order.sort_by_key(|index| (occasions[*index].at, *index));
    let mut changes = BTreeMap::new();
    // what gives way to another may make room for a third
    for _ in 0..=occasions.len() {
        let before = known.clone();
        for index in &order {
            let change = change(trigger, now, &occasions[*index], called_off[*index], &mut known);
            if let Some(change) = change {
                changes.insert(*index, change);
            }
        }
        if known == before {
            break;
        }
    }
    changes.into_iter().collect()
}

/// The change of one occasion, noted in what is known.
fn change(
    trigger: &Trigger,
    now: Instant,
    occasion: &OccasionOf,
    called_off: bool,
    known: &mut Vec<KnownOccurrence>,
) -> Option<Change> {
    let stored = known.iter().position(|known| known.key == occasion.key);
    let others = known.iter().enumerate().filter(|(at, _)| Some(*at) != stored);
    let told = stored.and_then(|at| known[at].told);
    let times = others.flat_map(|(_, known)| known.written_about()).chain(told);
    let apart = times.map(|at| (at - occasion.at).abs()).min();
    let verdict = if called_off {
        Some(Reason::CalledOff)
    } else if occasion.at + trigger.to <= now {
        Some(Reason::WindowOver)
    } else {
        apart.is_some_and(|apart| apart < trigger.again_after).then_some(Reason::AgainTooSoon)
    };
    let in_reach = occasion.at + trigger.from <= now + REACH;
    let change = match stored.map(|at| &known[at]) {
        None if !in_reach => return None,
        None => verdict.map_or(Change::Plan, Change::Refuse),
        Some(before) => again(trigger, before, occasion, verdict, in_reach)?,
    };
    let state = match change {
        Change::Plan | Change::Move => OccurrenceState::Open,
        Change::Refuse(reason) => OccurrenceState::Refused(reason),
        Change::PutBack => OccurrenceState::Refused(Reason::EventMoved),
        Change::Recall(_) => return Some(change),
    };
    let told = stored.and_then(|at| known[at].told());
    let decided = KnownOccurrence { key: occasion.key.clone(), at: occasion.at, state, told };
    match stored {
        Some(at) => known[at] = decided,
        None => known.push(decided),
    }
    Some(change)
}

/// What becomes of an occasion that was decided about before.
fn again(
    trigger: &Trigger,
    before: &KnownOccurrence,
    occasion: &OccasionOf,
    verdict: Option<Reason>,
    in_reach: bool,
) -> Option<Change> {
    let moved = before.at != occasion.at;
    match (before.state, verdict) {
        // what became of one whose time is over stands
        (_, Some(Reason::WindowOver)) | (OccurrenceState::Open, None) if !moved => None,
        (OccurrenceState::Refused(reason), Some(verdict)) => {
            (reason != verdict || moved).then_some(Change::Refuse(verdict))
        }
        (OccurrenceState::Refused(_), None) => in_reach.then_some(Change::Plan),
        (OccurrenceState::Open, Some(verdict)) => Some(Change::Refuse(verdict)),
        (OccurrenceState::Open, None) if in_reach => Some(Change::Move),
        (OccurrenceState::Open, None) => Some(Change::PutBack),
        (OccurrenceState::Done, None) => {
            let far = (before.at - occasion.at).abs() >= trigger.again_after;
            let gone = Change::Recall(Reason::EventMoved);
            far.then_some(if in_reach { Change::Plan } else { gone })
        }
        (OccurrenceState::Done, Some(verdict)) => {
            (moved || verdict == Reason::CalledOff).then_some(Change::Recall(verdict))
        }
    }
}

/// Whether an event calls an occasion off: it has the same key and came no earlier, or it has none and
/// lies after the occasion, or after it was first known.
fn calls_off(event: &OccasionOf, occasion: &OccasionOf) -> bool {
    if event.keyed {
        return event.key == occasion.key && event.changed_at >= occasion.changed_at;
    }
    event.at >= occasion.at.min(occasion.added_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::campaign::Occasion;
    use proptest::prelude::*;

    fn at(hour: i64) -> Instant {
        chrono::DateTime::from_timestamp(1_800_000_000 + hour * 3600, 0).unwrap()
    }

    fn appointment() -> Trigger {
        Trigger {
            on: Occasion::Event("appointment".parse().unwrap()),
            from: TimeDelta::hours(-44),
            to: TimeDelta::hours(-18),
            unless: vec!["cancelled".parse().unwrap()],
            again_after: TimeDelta::days(1),
        }
    }

    fn occasion(key: &str, hour: i64) -> OccasionOf {
        OccasionOf {
            key: key.to_owned(),
            keyed: true,
            at: at(hour),
            added_at: at(-100),
            changed_at: at(-100),
        }
    }

    fn known(key: &str, hour: i64, state: OccurrenceState) -> KnownOccurrence {
        KnownOccurrence { key: key.to_owned(), at: at(hour), state, told: None }
    }

    fn decide(
        occasions: &[OccasionOf],
        unless: &[OccasionOf],
        before: &[KnownOccurrence],
    ) -> Vec<Change> {
        let found = changes(&appointment(), at(0), occasions, unless, before);
        found.into_iter().map(|(_, change)| change).collect()
    }

    #[test]
    fn an_occasion_is_planned_when_its_span_comes_into_reach() {
        // the span of 68 begins in 24 hours
        assert_eq!(decide(&[occasion("a", 68)], &[], &[]), [Change::Plan]);
        assert_eq!(decide(&[occasion("a", 69)], &[], &[]), []);
        assert_eq!(decide(&[occasion("a", 68)], &[], &[known("a", 68, OccurrenceState::Open)]), []);
    }

    #[test]
    fn one_that_moved_moves_its_message_and_is_written_about_once() {
        let moved = [occasion("a", 50)];
        assert_eq!(decide(&moved, &[], &[known("a", 40, OccurrenceState::Open)]), [Change::Move]);
        let far = [occasion("a", 90)];
        assert_eq!(decide(&far, &[], &[known("a", 40, OccurrenceState::Open)]), [Change::PutBack]);
        // written about already: by some hours it is the same occasion, by days another
        assert_eq!(decide(&moved, &[], &[known("a", 40, OccurrenceState::Done)]), []);
        let days = [occasion("a", 65)];
        assert_eq!(decide(&days, &[], &[known("a", 40, OccurrenceState::Done)]), [Change::Plan]);
        // moved far after its message, and then half the way back
        let told = |hour| KnownOccurrence {
            told: Some(at(40)),
            ..known("a", hour, OccurrenceState::Open)
        };
        assert_eq!(decide(&days, &[], &[told(66)]), [Change::Move]);
        let soon = Change::Refuse(Reason::AgainTooSoon);
        assert_eq!(decide(&moved, &[], &[told(66)]), [soon]);
        assert_eq!(decide(&[occasion("b", 50)], &[], &[told(90)]), [soon]);
    }

    #[test]
    fn one_that_is_called_off_is_withdrawn_and_comes_back_when_it_is_booked_again() {
        let event = occasion("a", 50);
        let called = OccasionOf { changed_at: at(-10), ..occasion("a", -10) };
        let off = Change::Refuse(Reason::CalledOff);
        let open = [known("a", 50, OccurrenceState::Open)];
        assert_eq!(
            decide(std::slice::from_ref(&event), std::slice::from_ref(&called), &open),
            [off]
        );
        let refused = [known("a", 50, OccurrenceState::Refused(Reason::CalledOff))];
        let unless = std::slice::from_ref(&called);
        assert_eq!(decide(std::slice::from_ref(&event), unless, &refused), []);
        let booked = OccasionOf { changed_at: at(-5), ..event.clone() };
        assert_eq!(decide(&[booked], unless, &refused), [Change::Plan]);
        // another key calls nothing off; none calls off what was known before it
        let other = OccasionOf { key: "b".to_owned(), ..called.clone() };
        assert_eq!(decide(std::slice::from_ref(&event), &[other], &open), []);
        let none = OccasionOf { keyed: false, key: "then".to_owned(), ..called };
        assert_eq!(decide(std::slice::from_ref(&event), std::slice::from_ref(&none), &open), [off]);
        let later = OccasionOf { added_at: at(-5), ..event };
        assert_eq!(decide(&[later], &[none], &open), []);
    }

    #[test]
    fn nothing_more_is_sent_about_one_that_was_called_off_or_moved_far_after_its_message() {
        let done = [known("a", 50, OccurrenceState::Done)];
        let called = OccasionOf { changed_at: at(-10), ..occasion("a", -10) };
        assert_eq!(
            decide(&[occasion("a", 50)], &[called], &done),
            [Change::Recall(Reason::CalledOff)]
        );
        assert_eq!(decide(&[occasion("a", 50)], &[], &done), []);
        assert_eq!(decide(&[occasion("a", 55)], &[], &done), []);
        let moved = |hour| decide(&[occasion("a", hour)], &[], &done);
        assert_eq!(moved(500), [Change::Recall(Reason::EventMoved)]);
        assert_eq!(moved(-50), [Change::Recall(Reason::WindowOver)]);
    }

    #[test]
    fn the_last_of_a_kind_counts_where_a_later_one_calls_off() {
        let trigger = Trigger {
            from: TimeDelta::days(30),
            to: TimeDelta::days(33),
            unless: vec!["appointment".parse().unwrap()],
            ..appointment()
        };
        let bought = [occasion("a", -31 * 24), occasion("b", -30 * 24)];
        let found = changes(&trigger, at(0), &bought, &[], &[]);
        assert_eq!(found, [(0, Change::Refuse(Reason::CalledOff)), (1, Change::Plan)]);
    }

    #[test]
    fn what_is_known_too_late_is_refused_and_what_became_of_others_stands() {
        let over = [occasion("a", 18)];
        assert_eq!(decide(&over, &[], &[]), [Change::Refuse(Reason::WindowOver)]);
        assert_eq!(decide(&over, &[], &[known("a", 18, OccurrenceState::Open)]), []);
        assert_eq!(decide(&[occasion("a", 19)], &[], &[]), [Change::Plan]);
    }

    #[test]
    fn two_that_are_too_near_are_written_about_once() {
        let two = [occasion("a", 50), occasion("b", 60)];
        let soon = Change::Refuse(Reason::AgainTooSoon);
        assert_eq!(decide(&two, &[], &[]), [Change::Plan, soon]);
        // once the first is called off, the second has its turn
        let before = [
            known("a", 50, OccurrenceState::Refused(Reason::CalledOff)),
            known("b", 60, OccurrenceState::Refused(Reason::AgainTooSoon)),
        ];
        let called = OccasionOf { changed_at: at(-10), ..occasion("a", -10) };
        assert_eq!(decide(&two, &[called], &before), [Change::Plan]);
    }

    proptest! {
        /// Whatever happens in whatever order: deciding again changes nothing, and what counts is apart.
        #[test]
        fn deciding_twice_is_deciding_once(
            hours in proptest::collection::vec((0..8_i64, 0..6_u8), 1..6),
            off in proptest::collection::vec(0..6_u8, 0..3),
        ) {
            let trigger = appointment();
            let mut occasions: Vec<OccasionOf> = Vec::new();
            for (tens, key) in hours {
                let key = key.to_string();
                occasions.retain(|known| known.key != key);
                occasions.push(occasion(&key, 20 + tens * 7));
            }
            let unless: Vec<_> =
                off.iter().map(|key| OccasionOf { changed_at: at(-1), ..occasion(&key.to_string(), -1) }).collect();
            let mut stored: Vec<KnownOccurrence> = Vec::new();
            for (index, change) in changes(&trigger, at(0), &occasions, &unless, &stored) {
                let state = match change {
                    Change::Plan | Change::Move => OccurrenceState::Open,
                    Change::Refuse(reason) => OccurrenceState::Refused(reason),
                    Change::PutBack | Change::Recall(_) => continue,
                };
                stored.push(KnownOccurrence {
                    key: occasions[index].key.clone(), at: occasions[index].at, state, told: None,
                });
            }
            prop_assert_eq!(changes(&trigger, at(0), &occasions, &unless, &stored), vec![]);
            let counted: Vec<_> =
                stored.iter().flat_map(KnownOccurrence::written_about).collect();
            for (index, one) in counted.iter().enumerate() {
                for other in &counted[..index] {
                    prop_assert!((*one - *other).abs() >= trigger.again_after);
                }
            }
        }
    }
}
