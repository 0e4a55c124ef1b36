//! What people's messages say of contents, parts of the day and days, person by person, for
//! contrasts in which a person is only ever compared with the same person at a like time.

use std::collections::BTreeMap;

use crate::learn::data::observations::{AtRiskInterval, ObservationSet};
use crate::learn::evaluate::insights::ratio::Piece;
use crate::model::part_of_day::{COUNT, part_of};
use crate::model::preference::WEEK_HOURS;

/// Days of the week.
pub(super) const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// A message is engaged with if it is read, clicked or answered within so many hours.
const WITHIN: u8 = 24;
/// Older messages say little of the hour in which they are read.
const AGES: usize = 48;

/// What is asked of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Time {
    /// A part of the day beside the others.
    Part(usize),
    /// Saturday and Sunday beside the others.
    Weekend,
    /// One day beside the others.
    Day(usize),
}

/// Pieces of one person by what they say something of.
pub(super) type Pieces<K> = BTreeMap<K, Vec<Piece>>;

/// Sums by key and day.
struct Sums<K>(BTreeMap<(K, i32), Piece>);

impl<K: Ord + Copy> Sums<K> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn piece(&mut self, key: K, day: i32) -> &mut Piece {
        self.0.entry((key, day)).or_insert(Piece {
            day,
            inside: 0.0,
            outside: 0.0,
            events: [0.0; 2],
        })
    }

    /// An event, in a stratum in which shares of the exposure were each key's.
    fn event(&mut self, of: K, day: i32, shares: impl Iterator<Item = (K, f64)>) {
        for (key, share) in shares.filter(|(_, share)| *share > 0.0 && *share < 1.0) {
            let piece = self.piece(key, day);
            if key == of {
                piece.inside += 1.0 - share;
                piece.events[0] += 1.0;
            } else {
                piece.outside += share;
                piece.events[1] += 1.0;
            }
        }
    }

    fn pieces(self) -> Pieces<K> {
        let mut pieces: Pieces<K> = BTreeMap::new();
        for ((key, _), piece) in self.0 {
            pieces.entry(key).or_default().push(piece);
        }
        pieces
    }
}

/// Each content beside the others that the same person was sent in the same part of the day.
pub(super) fn by_content(observations: &ObservationSet) -> Pieces<u16> {
    let mut sums = Sums::new();
    for part in 0..COUNT {
        let known = |message: &&AtRiskInterval| {
            part_of(usize::from(message.start)) == part && (message.seen || message.hours >= WITHIN)
        };
        let messages: Vec<(u16, &AtRiskInterval)> = (observations.intervals.iter())
            .filter(known)
            .filter_map(|message| Some((message.content?, message)))
            .collect();
        let mut counts: BTreeMap<u16, f64> = BTreeMap::new();
        for (content, _) in &messages {
            *counts.entry(*content).or_default() += 1.0;
        }
        let total = messages.len() as f64;
        for (content, message) in &messages {
            if message.seen && message.hours < WITHIN {
                let shares = counts.iter().map(|(content, count)| (*content, count / total));
                sums.event(*content, message.begin.div_euclid(24), shares);
            }
        }
    }
    sums.pieces()
}

/// When waiting messages were read, beside the same person's messages of the same age at other times.
pub(super) fn by_time(observations: &ObservationSet) -> Pieces<Time> {
    // by age and hour of the week
    let mut waited = vec![[0u16; WEEK_HOURS]; AGES];
    for message in &observations.intervals {
        let hours = usize::from(message.hours) + usize::from(message.seen);
        for (age, waited) in waited.iter_mut().enumerate().take(hours) {
            let hour = (usize::from(message.start) + age) % WEEK_HOURS;
            waited[hour] = waited[hour].saturating_add(1);
        }
    }
    let mut sums = Sums::new();
    for message in observations.intervals.iter().filter(|message| message.seen) {
        let age = usize::from(message.hours);
        let Some(waited) = waited.get(age) else { continue };
        let day = message.begin.div_euclid(24);
        let read = (usize::from(message.start) + age) % WEEK_HOURS;
        let (mut parts, mut days) = ([0.0; 5], [0.0; 7]);
        for (hour, count) in waited.iter().enumerate().filter(|(_, count)| **count > 0) {
            parts[part_of(hour)] += f64::from(*count);
            if part_of(hour) == part_of(read) {
                days[hour / 24] += f64::from(*count);
            }
        }
        let shares = |counts: &[f64]| -> Vec<f64> {
            let total: f64 = counts.iter().sum();
            counts.iter().map(|count| count / total).collect()
        };
        let (parts, days) = (shares(&parts), shares(&days));
        let of_part = parts.into_iter().enumerate().map(|(part, share)| (Time::Part(part), share));
        sums.event(Time::Part(part_of(read)), day, of_part);
        let of_day = days.iter().enumerate().map(|(day, share)| (Time::Day(day), *share));
        sums.event(Time::Day(read / 24), day, of_day);
        let weekend = days[5] + days[6];
        if weekend > 0.0 && weekend < 1.0 {
            let piece = sums.piece(Time::Weekend, day);
            if read / 24 >= 5 {
                piece.inside += 1.0 - weekend;
                piece.events[0] += 1.0;
            } else {
                piece.outside += weekend;
                piece.events[1] += 1.0;
            }
        }
    }
    sums.pieces()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::data::observations::ReceiptState;

    fn message(begin: i32, hours: u8, seen: bool, content: u16) -> AtRiskInterval {
        let start = begin.rem_euclid(168) as u8;
        AtRiskInterval {
            begin,
            start,
            hours,
            seen,
            acted: false,
            content: Some(content),
            days: 0.0,
        }
    }

    fn observations(intervals: Vec<AtRiskInterval>) -> ObservationSet {
        ObservationSet { intervals, presences: vec![], receipts: ReceiptState::On }
    }

    #[test]
    fn contents_are_compared_within_a_part_of_the_day_alone() {
        // one content in the morning, another in the evening: nothing tells them apart
        let apart = observations(vec![message(8, 1, true, 0), message(20, 50, false, 1)]);
        assert!(by_content(&apart).is_empty());
        let beside = observations(vec![message(8, 1, true, 0), message(9, 50, false, 1)]);
        let pieces = by_content(&beside);
        assert_eq!((pieces[&0][0].inside, pieces[&0][0].outside), (0.5, 0.0));
        assert_eq!((pieces[&1][0].inside, pieces[&1][0].outside), (0.0, 0.5));
        // what may still be read tells nothing yet
        let open = observations(vec![message(8, 1, true, 0), message(9, 3, false, 1)]);
        assert!(by_content(&open).is_empty());
    }

    #[test]
    fn one_fixed_hour_tells_age_and_hour_not_apart() {
        let fixed: Vec<AtRiskInterval> =
            (0..20).map(|day| message(10 + 24 * day, 9, true, 0)).collect();
        assert!(!by_time(&observations(fixed)).contains_key(&Time::Part(3)));
        let varied = |day: i32| {
            let is_late = day % 2 == 1;
            message(
                24 * day + if is_late { 19 } else { 10 },
                if is_late { 2 } else { 5 },
                is_late,
                0,
            )
        };
        let varied: Vec<AtRiskInterval> = (0..20).map(varied).collect();
        let pieces = by_time(&observations(varied));
        assert!(pieces[&Time::Part(3)].iter().map(|piece| piece.inside).sum::<f64>() > 4.0);
    }
}
