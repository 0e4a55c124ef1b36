//! How much there is to learn from, counted over everybody, and the sample of people that it is
//! learned from. Memory is bounded by the sample, not by the people.

use serde::{Deserialize, Serialize};

use crate::learn::data::evidence::{Evidence, seconds};
use crate::learn::data::hash::mix;
use crate::learn::data::receipts::{ReceiptCounts, ReceiptModel};
use crate::model::time::Instant;

/// What was found: the data as a whole, and at most so many people as a sample of it.
#[derive(Debug)]
pub struct Sample {
    pub(in crate::learn) as_of: Instant,
    pub(in crate::learn) seed: u64,
    pub(in crate::learn) data: DataSummary,
    pub(in crate::learn) reporting: ReceiptModel,
    /// The sample, by number.
    pub people: Vec<(u64, Evidence)>,
}

/// Draws at most `most` of some people, in the order of their numbers: those with the smallest
/// hashes, so that the sample does not depend on an order.
pub fn draw(mut numbers: Vec<u64>, most: usize, seed: u64) -> Vec<u64> {
    if numbers.len() > most {
        numbers.select_nth_unstable_by_key(most, |number| (mix(seed ^ mix(*number)), *number));
        numbers.truncate(most);
    }
    numbers.sort_unstable();
    numbers
}

impl Sample {
    /// People drawn by `seed`, in the order of their numbers, of all that `tally` counted.
    pub fn new(tally: &DataTally, people: Vec<(u64, Evidence)>, as_of: Instant, seed: u64) -> Self {
        let (data, reporting) = (tally.data(), tally.receipts.figures());
        Self { as_of, seed, data, reporting, people }
    }

    /// How much there is to learn from.
    pub fn data(&self) -> &DataSummary {
        &self.data
    }
}

/// What a model was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// People of whom anything is known.
    pub people: u64,
    /// Messages sent up to `as_of`.
    pub messages: u64,
    /// Presence events up to `as_of`.
    pub signs: u64,
    /// The oldest of them.
    pub first: Option<Instant>,
    /// The newest of them.
    pub last: Option<Instant>,
}

impl DataSummary {
    /// Messages and presence events.
    pub fn observations(&self) -> u64 {
        self.messages + self.signs
    }
}

/// Counts of what there is, of everybody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DataTally {
    people: u64,
    messages: u64,
    signs: u64,
    first: u32,
    last: u32,
    /// Of everything that happened, also of what came back.
    newest: u32,
    pub(in crate::learn) receipts: ReceiptCounts,
}

impl Default for DataTally {
    fn default() -> Self {
        Self {
            people: 0,
            messages: 0,
            signs: 0,
            first: u32::MAX,
            last: 0,
            newest: 0,
            receipts: ReceiptCounts::default(),
        }
    }
}

impl DataTally {
    /// Counts a person's evidence as far as it is known at `as_of`.
    pub fn count(&mut self, evidence: &Evidence, as_of: Instant) {
        self.add(evidence, seconds(as_of));
    }

    /// Counts what is known of a person now in place of what was, whenever it happened.
    pub fn replace(&mut self, was: &Evidence, now: &Evidence) {
        if !was.is_empty() {
            self.people -= 1;
            self.messages -= u64::from(was.message_count());
            self.signs -= u64::from(was.presence_count());
            self.receipts.remove(was, u32::MAX);
        }
        self.add(now, u32::MAX);
    }

    /// How many people it counts.
    pub fn people(&self) -> u64 {
        self.people
    }

    /// Whether everything that it counts was known at `as_of`.
    pub fn is_known_at(&self, as_of: Instant) -> bool {
        self.newest < seconds(as_of)
    }

    pub(in crate::learn) fn add(&mut self, evidence: &Evidence, until: u32) {
        self.people += u64::from(!evidence.is_empty());
        self.receipts.add(evidence, until);
        let mut history = evidence.messages();
        for sent in history.by_ref() {
            self.newest = self.newest.max(sent.newest());
            if sent.at < until {
                self.messages += 1;
                self.first = self.first.min(sent.at);
                self.last = self.last.max(sent.at);
            }
        }
        for (at, _) in history.presences() {
            self.newest = self.newest.max(at);
            if at < until {
                self.signs += 1;
                self.first = self.first.min(at);
                self.last = self.last.max(at);
            }
        }
    }

    pub(in crate::learn) fn merge(&mut self, other: &Self) {
        self.people += other.people;
        self.messages += other.messages;
        self.signs += other.signs;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.newest = self.newest.max(other.newest);
        self.receipts.merge(&other.receipts);
    }

    pub(in crate::learn) fn data(&self) -> DataSummary {
        let known = self.messages + self.signs > 0;
        let instant =
            |at: u32| chrono::DateTime::from_timestamp(i64::from(at), 0).filter(|_| known);
        DataSummary {
            people: self.people,
            messages: self.messages,
            signs: self.signs,
            first: instant(self.first),
            last: instant(self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::learn::data::observed::{Channel, Observed, Presence, PresenceKind};
    use crate::model::message::Response;

    #[test]
    fn any_order_gives_the_same_sample() {
        let (forth, back) = ((0..200).collect(), (0..200).rev().collect());
        let drawn = draw(forth, 30, 7);
        assert_eq!(drawn, draw(back, 30, 7));
        assert_eq!(drawn.len(), 30);
        assert!(drawn.iter().any(|number| *number >= 100));
        assert_eq!(draw(vec![3, 1, 2], 3, 7), [1, 2, 3]);
    }

    #[test]
    fn what_is_counted_as_it_comes_is_what_one_walk_over_everybody_counts() {
        let as_of = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut people = vec![Evidence::default(); 40];
        let mut kept = DataTally::default();
        for step in 0..200u32 {
            let person = (step * 7 % 40) as usize;
            let sent_at = as_of - TimeDelta::hours(i64::from(step) + 30);
            let after =
                |seconds: u32| (step % 3 > 0).then(|| sent_at + TimeDelta::seconds(seconds.into()));
            let response = Response {
                delivered_at: after(1),
                read_at: after(1 + step % 5),
                clicked_at: after(9 * (step % 4)).filter(|_| step % 2 == 0),
                ..Response::default()
            };
            let (content, category) = (None, None);
            // each message comes twice, the second time with what came back
            let message = |response| Observed {
                hash: step,
                sent_at,
                content,
                category,
                channel: Channel::named(if person.is_multiple_of(2) { "mail" } else { "chat" }),
                response,
            };
            for response in [Response::default(), response] {
                let mut now = people[person].clone();
                now.fold(
                    &[message(response)],
                    &[Presence { at: sent_at, kind: PresenceKind::Other }],
                );
                kept.replace(&people[person], &now);
                people[person] = now;
            }
        }
        let mut walk = DataTally::default();
        people.iter().for_each(|evidence| walk.count(evidence, as_of));
        assert!(kept.is_known_at(as_of) && !kept.is_known_at(as_of - TimeDelta::hours(30)));
        assert_eq!(kept.people(), 40);
        assert_eq!(kept.data(), walk.data());
        assert_eq!(kept.receipts.figures(), walk.receipts.figures());
        let stored = serde_json::to_string(&kept).unwrap();
        let read: DataTally = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.receipts.figures(), walk.receipts.figures());
    }
}
