//! One walk over everybody: how much there is to learn from, and the sample that it is learned
//! from. Memory is bounded by the sample, not by the people.

use std::collections::{BTreeMap, BinaryHeap};

use serde::{Deserialize, Serialize};

use crate::learn::data::evidence::Evidence;
use crate::learn::data::hash::mix;
use crate::learn::data::receipts::{ReceiptCounts, ReceiptModel};
use crate::learn::data::subject::seconds;
use crate::model::time::Instant;

/// Takes people one by one.
#[derive(Debug)]
pub struct Sampler {
    as_of: Instant,
    seed: u64,
    most: usize,
    tally: DataTally,
    /// Those with the smallest hashes so far: a sample that does not depend on the order.
    chosen: BinaryHeap<(u64, u64)>,
    evidence: BTreeMap<u64, Evidence>,
}

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

impl Sampler {
    /// Samples what is known up to `as_of`, with a sample of at most `most` people drawn by
    /// `seed`.
    pub fn new(most: usize, as_of: Instant, seed: u64) -> Self {
        Self {
            as_of,
            seed,
            most,
            tally: DataTally::default(),
            chosen: BinaryHeap::new(),
            evidence: BTreeMap::new(),
        }
    }

    /// Takes a person, by a number that is nobody else's.
    pub fn add(&mut self, number: u64, evidence: Evidence) {
        if evidence.is_empty() {
            return;
        }
        self.tally.add(&evidence, seconds(self.as_of));
        let hash = mix(self.seed ^ mix(number));
        if self.chosen.len() == self.most {
            match self.chosen.peek().copied() {
                Some(largest) if (hash, number) < largest => {
                    self.chosen.pop();
                    self.evidence.remove(&largest.1);
                }
                _ => return,
            }
        }
        self.chosen.push((hash, number));
        self.evidence.insert(number, evidence);
    }

    /// Ends the walk.
    pub fn finish(self) -> Sample {
        Sample {
            as_of: self.as_of,
            seed: self.seed,
            data: self.tally.data(),
            reporting: self.tally.receipts.figures(),
            people: self.evidence.into_iter().collect(),
        }
    }
}

impl Sample {
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

/// Counts of what there is.
#[derive(Debug)]
pub(in crate::learn) struct DataTally {
    people: u64,
    messages: u64,
    signs: u64,
    first: u32,
    last: u32,
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
            receipts: ReceiptCounts::default(),
        }
    }
}

impl DataTally {
    pub(in crate::learn) fn add(&mut self, evidence: &Evidence, until: u32) {
        self.people += u64::from(!evidence.is_empty());
        self.receipts.add(evidence, until);
        let mut history = evidence.messages();
        for sent in history.by_ref().filter(|sent| sent.at < until) {
            self.messages += 1;
            self.first = self.first.min(sent.at);
            self.last = self.last.max(sent.at);
        }
        for (at, _) in history.presences().filter(|(at, _)| *at < until) {
            self.signs += 1;
            self.first = self.first.min(at);
            self.last = self.last.max(at);
        }
    }

    pub(in crate::learn) fn merge(&mut self, other: &Self) {
        self.people += other.people;
        self.messages += other.messages;
        self.signs += other.signs;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
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
    use super::*;
    use crate::learn::data::observed::{Presence, PresenceKind};

    fn seen(days: i64) -> Evidence {
        let at = chrono::DateTime::from_timestamp(1_767_225_600 + days * 86_400, 0).unwrap();
        let mut evidence = Evidence::default();
        evidence.fold(&[], &[Presence { at, kind: PresenceKind::Session }]);
        evidence
    }

    #[test]
    fn any_order_gives_the_same_sample_and_nobody_is_counted_twice() {
        let as_of = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let walk = |numbers: &mut dyn Iterator<Item = u64>| {
            let mut sampler = Sampler::new(30, as_of, 7);
            numbers.for_each(|number| sampler.add(number, seen(number as i64)));
            sampler.add(1000, Evidence::default());
            sampler.finish()
        };
        let (forth, back) = (walk(&mut (0..200)), walk(&mut (0..200).rev()));
        assert_eq!(forth.people, back.people);
        assert_eq!(forth.people.len(), 30);
        assert_eq!((forth.data().people, forth.data().signs), (200, 200));
        assert!(forth.people.iter().any(|(number, _)| *number >= 100));
    }
}
