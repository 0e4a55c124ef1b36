//! What came of the messages to one person, as far as it was known at a date: features of a message
//! come from what was known when it was sent, and of what came later they know nothing.

use super::evidence::{Answer, Sent};
use super::reading::{AGE_MAX, Read};
use super::receipts::Reports;
use super::wait::Wait;
use crate::model::content::Category;

pub(super) const GOALS: [Answer; 3] = [Answer::Click, Answer::Reply, Answer::Convert];
/// Answers, and the opt-out after them.
pub(super) const KINDS: usize = GOALS.len() + 1;
pub(super) const OPT_OUT: usize = GOALS.len();
const WEEK: u32 = 7 * 86_400;

/// What is known of one message at a date.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// When it was delivered, and when it was first seen.
    pub(super) delivered: u32,
    pub(super) seen: Option<u32>,
    /// Whether a receipt told so, and not an answer.
    pub(super) receipt: bool,
    /// Of each answer, how long after the message was seen it came; of the opt-out, after the delivery.
    pub(super) after: [Option<u32>; KINDS],
}

impl Outcome {
    /// `None` for what was not delivered, or not sent by then.
    pub(super) fn new(sent: &Sent, until: u32, reports: Reports) -> Option<Self> {
        let read = Read::new(sent, until, reports)?;
        let known = until - sent.at;
        let happened = |answer| sent.after(answer).filter(|after| *after <= known);
        let from = read.seen.unwrap_or(read.delivered);
        let after = |kind: usize| match GOALS.get(kind) {
            Some(answer) => happened(*answer).map(|after| after.saturating_sub(from)),
            None => happened(Answer::OptOut).map(|after| after.saturating_sub(read.delivered)),
        };
        Some(Self {
            delivered: sent.at.saturating_add(read.delivered),
            seen: read.seen.map(|seen| sent.at.saturating_add(seen)),
            receipt: read.receipt,
            after: std::array::from_fn(after),
        })
    }

    /// From when on an answer, or the opt-out, was waited for; `None` where it is not known.
    pub(super) fn from(&self, kind: usize) -> Option<u32> {
        if kind == OPT_OUT { Some(self.delivered) } else { self.seen.filter(|_| self.receipt) }
    }
}

pub(super) fn is_marketing(sent: &Sent) -> bool {
    sent.category.is_none_or(|category| category == Category::Marketing)
}

/// Answers, and in how many messages they could have been: one that may still be answered counts as far
/// as answers have come after as long.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tried {
    pub(super) happened: f64,
    pub(super) of: f64,
}

/// What was known of a person at a date.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    by_receipt: [Tried; KINDS],
    /// Answers to whatever was seen, by receipt or not.
    answered: [f64; GOALS.len()],
    receipts: bool,
    pub(super) answered_at: Option<u32>,
}

impl Known {
    fn add(&mut self, outcome: &Outcome, at: u32, waits: &[Wait; KINDS]) {
        self.receipts |= outcome.receipt;
        for (kind, wait) in waits.iter().enumerate() {
            let answer = wait.in_time(outcome.after[kind]);
            if let (Some(answered), Some(after)) = (self.answered.get_mut(kind), answer) {
                *answered += 1.0;
                let from = outcome.seen.unwrap_or(outcome.delivered);
                self.answered_at = self.answered_at.max(Some(from.saturating_add(after)));
            }
            if let Some(from) = outcome.from(kind) {
                let tried = &mut self.by_receipt[kind];
                tried.happened += f64::from(u8::from(answer.is_some()));
                tried.of += if answer.is_some() { 1.0 } else { wait.come(at.saturating_sub(from)) };
            }
        }
    }

    /// Answers of a kind, and messages that a receipt told to have been seen; opt-outs, and messages
    /// that were delivered.
    pub(super) fn by_receipt(&self, kind: usize) -> Tried {
        self.by_receipt[kind]
    }

    /// Answers of a kind, and messages. Of a person whose reads were never told, `reads` says how many
    /// there probably were; where that is not known, nothing is.
    pub(super) fn tried(&self, kind: usize, reads: Option<f64>) -> Tried {
        match self.answered.get(kind) {
            Some(answered) if !self.receipts => {
                let of = |reads: f64| Tried { happened: *answered, of: reads.max(*answered) };
                reads.map_or(Tried::default(), of)
            }
            _ => self.by_receipt[kind],
        }
    }
}

/// All messages to a person, oldest first, with what was known at one date after another.
pub(super) struct Past<'a> {
    pub(super) sent: &'a [Sent],
    reports: Reports,
    waits: &'a [Wait; KINDS],
    /// What came of the oldest, of which nothing more is waited for.
    settled: Known,
    settled_count: usize,
}

impl<'a> Past<'a> {
    pub(super) fn new(sent: &'a [Sent], reports: Reports, waits: &'a [Wait; KINDS]) -> Self {
        Self { sent, reports, waits, settled: Known::default(), settled_count: 0 }
    }

    /// What was known at a date; dates must not go back.
    pub(super) fn known(&mut self, at: u32) -> Known {
        let longest = self.waits.iter().map(|wait| wait.horizon).max().unwrap_or(0);
        let settles = AGE_MAX as u32 * 3600 + longest;
        while let Some(sent) = self.sent.get(self.settled_count)
            && sent.at.saturating_add(settles) <= at
        {
            // what was read later than anybody waits is left out, whenever it is asked for
            if let Some(outcome) = Outcome::new(sent, sent.at + settles, self.reports) {
                self.settled.add(&outcome, at, self.waits);
            }
            self.settled_count += 1;
        }
        let mut known = self.settled;
        for sent in self.sent[self.settled_count..].iter().take_while(|sent| sent.at < at) {
            if let Some(outcome) = Outcome::new(sent, at, self.reports) {
                known.add(&outcome, at, self.waits);
            }
        }
        known
    }

    /// Messages in the seven days before a date.
    pub(super) fn recent(&self, at: u32) -> usize {
        let before = |at: u32| self.sent.partition_point(|sent| sent.at < at);
        before(at) - before(at.saturating_sub(WEEK))
    }
}
