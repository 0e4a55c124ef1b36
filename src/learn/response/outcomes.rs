//! What came of the messages to one person, as far as it was known at a date: features of a message
//! come from what was known when it was sent, and of what came later they know nothing.

use crate::learn::data::evidence::{Answer, PackedMessage};
use crate::learn::data::observations::{AGE_MAX, ReadOutcome};
use crate::learn::data::receipts::PersonReceipts;
use crate::learn::response::delay::AnswerDelay;
use crate::model::content::Category;
use crate::model::preference::Fatigue;

pub(in crate::learn) const GOALS: [Answer; 3] = [Answer::Click, Answer::Reply, Answer::Convert];
/// Answers, and the opt-out after them.
pub(in crate::learn) const KINDS: usize = GOALS.len() + 1;
pub(in crate::learn) const OPT_OUT: usize = GOALS.len();
/// The place of clicks among the goals.
const CLICK: usize = 0;

/// What is known of one message at a date.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct MessageOutcome {
    /// When it was delivered, and when it was first seen.
    pub(in crate::learn) delivered: u32,
    pub(in crate::learn) seen: Option<u32>,
    /// Whether a receipt told so, and not an answer.
    pub(in crate::learn) receipt: bool,
    /// Whether its channel tells clicks.
    tells_clicks: bool,
    /// Of each answer, how long after the message was seen it came; of the opt-out, after the
    /// delivery.
    pub(in crate::learn) after: [Option<u32>; KINDS],
}

impl MessageOutcome {
    /// `None` for what was not delivered, or not sent by then.
    pub(in crate::learn) fn new(
        sent: &PackedMessage,
        until: u32,
        reports: PersonReceipts,
    ) -> Option<Self> {
        let read = ReadOutcome::new(sent, until, reports)?;
        let history_at = until - sent.at;
        let told = |answer| match answer {
            Answer::Click => reports.clicked(sent),
            answer => sent.after(answer),
        };
        let happened = |answer| told(answer).filter(|after| *after <= history_at);
        let from = read.seen.unwrap_or(read.delivered);
        let after = |kind: usize| match GOALS.get(kind) {
            Some(answer) => happened(*answer).map(|after| after.saturating_sub(from)),
            None => happened(Answer::OptOut).map(|after| after.saturating_sub(read.delivered)),
        };
        Some(Self {
            delivered: sent.at.saturating_add(read.delivered),
            seen: read.seen.map(|seen| sent.at.saturating_add(seen)),
            receipt: read.receipt,
            tells_clicks: reports.clicks(sent.channel),
            after: std::array::from_fn(after),
        })
    }

    /// From when on an answer, or the opt-out, was waited for; `None` where it is not known.
    pub(in crate::learn) fn from(&self, kind: usize) -> Option<u32> {
        if kind == OPT_OUT {
            return Some(self.delivered);
        }
        let is_told = kind != CLICK || self.tells_clicks;
        self.seen.filter(|_| self.receipt && is_told)
    }
}

pub(in crate::learn) fn is_marketing(sent: &PackedMessage) -> bool {
    sent.category.is_none_or(|category| category == Category::Marketing)
}

/// Answers, and in how many messages they could have been: one that may still be answered counts as
/// far as answers have come after as long.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::learn) struct AnswerCount {
    pub(in crate::learn) happened: f64,
    pub(in crate::learn) of: f64,
}

/// What was known of a person at a date.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::learn) struct AnswerHistory {
    by_receipt: [AnswerCount; KINDS],
    /// Answers to whatever was seen, by receipt or not.
    answered: [f64; GOALS.len()],
    receipts: bool,
    pub(in crate::learn) answered_at: Option<u32>,
}

impl AnswerHistory {
    fn add(&mut self, outcome: &MessageOutcome, at: u32, answer_delays: &[AnswerDelay; KINDS]) {
        self.receipts |= outcome.receipt;
        for (kind, answer_delay) in answer_delays.iter().enumerate() {
            let answer = answer_delay.in_time(outcome.after[kind]);
            if let (Some(answered), Some(after)) = (self.answered.get_mut(kind), answer) {
                *answered += 1.0;
                let from = outcome.seen.unwrap_or(outcome.delivered);
                self.answered_at = self.answered_at.max(Some(from.saturating_add(after)));
            }
            if let Some(from) = outcome.from(kind) {
                let counts = &mut self.by_receipt[kind];
                counts.happened += f64::from(u8::from(answer.is_some()));
                counts.of +=
                    if answer.is_some() { 1.0 } else { answer_delay.come(at.saturating_sub(from)) };
            }
        }
    }

    /// Answers of a kind, and messages that a receipt told to have been seen; opt-outs, and
    /// messages that were delivered.
    pub(in crate::learn) fn by_receipt(&self, kind: usize) -> AnswerCount {
        self.by_receipt[kind]
    }

    /// Answers of a kind, and messages. Of a person whose reads were never told, `reads` says how
    /// many there probably were; where that is not known, nothing is.
    pub(in crate::learn) fn counts(&self, kind: usize, reads: Option<f64>) -> AnswerCount {
        match self.answered.get(kind) {
            Some(answered) if !self.receipts => {
                let of = |reads: f64| AnswerCount { happened: *answered, of: reads.max(*answered) };
                reads.map_or(AnswerCount::default(), of)
            }
            _ => self.by_receipt[kind],
        }
    }
}

/// All messages to a person, oldest first, with what was known at one date after another.
pub(in crate::learn) struct SentHistory<'a> {
    pub(in crate::learn) sent: &'a [PackedMessage],
    reports: PersonReceipts,
    answer_delays: &'a [AnswerDelay; KINDS],
    /// What came of the oldest, of which nothing more is waited for.
    settled: AnswerHistory,
    settled_count: usize,
}

impl<'a> SentHistory<'a> {
    pub(in crate::learn) fn new(
        sent: &'a [PackedMessage],
        reports: PersonReceipts,
        answer_delays: &'a [AnswerDelay; KINDS],
    ) -> Self {
        Self { sent, reports, answer_delays, settled: AnswerHistory::default(), settled_count: 0 }
    }

    /// What was known at a date; dates must not go back.
    pub(in crate::learn) fn history_at(&mut self, at: u32) -> AnswerHistory {
        let longest =
            self.answer_delays.iter().map(|answer_delay| answer_delay.horizon).max().unwrap_or(0);
        let settles = AGE_MAX as u32 * 3600 + longest;
        while let Some(sent) = self.sent.get(self.settled_count)
            && sent.at.saturating_add(settles) <= at
        {
            // what was read later than anybody waits is left out, whenever it is asked for
            if let Some(outcome) = MessageOutcome::new(sent, sent.at + settles, self.reports) {
                self.settled.add(&outcome, at, self.answer_delays);
            }
            self.settled_count += 1;
        }
        let mut history_at = self.settled;
        for sent in self.sent[self.settled_count..].iter().take_while(|sent| sent.at < at) {
            if let Some(outcome) = MessageOutcome::new(sent, at, self.reports) {
                history_at.add(&outcome, at, self.answer_delays);
            }
        }
        history_at
    }

    /// Messages within [`Fatigue::SPAN`] before a date.
    pub(in crate::learn) fn recent(&self, at: u32) -> usize {
        let before = |at: u32| self.sent.partition_point(|sent| sent.at < at);
        before(at) - before(at.saturating_sub(Fatigue::SPAN.num_seconds() as u32))
    }
}
