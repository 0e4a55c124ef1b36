//! One walk over everybody: how much there is to learn from, and the sample that it is learned
//! from. Memory is bounded by the sample, not by the people.

use std::collections::{BTreeMap, BinaryHeap};

use super::evidence::Evidence;
use super::learner::{Cut, Task, mix};
use super::model::{Data, Model};
use super::observed::Contents;
use super::receipts::{Counted, Reporting};
use super::{FitError, Settings, Subject, Tuning, seconds};
use crate::model::time::Instant;

/// Takes people one by one.
#[derive(Debug)]
pub struct Survey {
    as_of: Instant,
    seed: u64,
    most: usize,
    tally: Tally,
    /// Those with the smallest hashes so far: a sample that does not depend on the order.
    chosen: BinaryHeap<(u64, u64)>,
    evidence: BTreeMap<u64, Evidence>,
}

/// What a survey found: the data as a whole, and at most so many people as a sample of it.
#[derive(Debug)]
pub struct Census {
    as_of: Instant,
    seed: u64,
    data: Data,
    reporting: Reporting,
    /// The sample, by number.
    pub people: Vec<(u64, Evidence)>,
}

impl Survey {
    /// A survey of what is known up to `as_of`, with a sample of at most `most` people drawn by
    /// `seed`.
    pub fn new(most: usize, as_of: Instant, seed: u64) -> Self {
        Self {
            as_of,
            seed,
            most,
            tally: Tally::default(),
            chosen: BinaryHeap::new(),
            evidence: BTreeMap::new(),
        }
    }

    /// Takes a person, by a number that is nobody else's.
    pub fn ask(&mut self, number: u64, evidence: Evidence) {
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
    pub fn finish(self) -> Census {
        Census {
            as_of: self.as_of,
            seed: self.seed,
            data: self.tally.data(),
            reporting: self.tally.receipts.figures(),
            people: self.evidence.into_iter().collect(),
        }
    }
}

impl Census {
    /// How much there is to learn from.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Fits a model to the sample; `subjects` are people of it, by number.
    pub fn fit(
        &self,
        subjects: &[Subject<'_>],
        contents: &Contents,
        settings: &Settings,
        tuning: Tuning<'_>,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<Model, FitError> {
        let until = seconds(self.as_of);
        let sample: Vec<Cut<'_>> =
            subjects.iter().map(|subject| Cut { subject: *subject, until }).collect();
        let Self { as_of, seed, data, ref reporting, .. } = *self;
        Task { contents, settings, as_of, seed, data, reporting }.learn(&sample, tuning, progress)
    }

    /// The same model kept fresh by what happened since it was fitted: see [`Model::refresh`].
    pub fn refresh(
        &self,
        model: &Model,
        subjects: &[Subject<'_>],
        threads: usize,
    ) -> Result<Model, FitError> {
        let mut fresh = model.refresh(subjects, self.as_of, threads)?;
        fresh.data = self.data;
        Ok(fresh)
    }
}

/// Counts of what there is.
#[derive(Debug)]
pub(super) struct Tally {
    people: u64,
    messages: u64,
    signs: u64,
    first: u32,
    last: u32,
    pub(super) receipts: Counted,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            people: 0,
            messages: 0,
            signs: 0,
            first: u32::MAX,
            last: 0,
            receipts: Counted::default(),
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, evidence: &Evidence, until: u32) {
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

    pub(super) fn merge(&mut self, other: &Self) {
        self.people += other.people;
        self.messages += other.messages;
        self.signs += other.signs;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.receipts.merge(&other.receipts);
    }

    pub(super) fn data(&self) -> Data {
        let known = self.messages + self.signs > 0;
        let instant =
            |at: u32| chrono::DateTime::from_timestamp(i64::from(at), 0).filter(|_| known);
        Data {
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
    use super::super::{Presence, PresenceKind};
    use super::*;

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
            let mut survey = Survey::new(30, as_of, 7);
            numbers.for_each(|number| survey.ask(number, seen(number as i64)));
            survey.ask(1000, Evidence::default());
            survey.finish()
        };
        let (forth, back) = (walk(&mut (0..200)), walk(&mut (0..200).rev()));
        assert_eq!(forth.people, back.people);
        assert_eq!(forth.people.len(), 30);
        assert_eq!((forth.data().people, forth.data().signs), (200, 200));
        assert!(forth.people.iter().any(|(number, _)| *number >= 100));
    }
}
