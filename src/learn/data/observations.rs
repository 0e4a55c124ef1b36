//! Evidence read with a date and a place in mind: which hours of the person's week were watched,
//! and in which the person was seen. Censoring lives here and nowhere else.
//!
//! A delivered message is watched from the hour of its delivery until it is read, until `until`,
//! or for [`AGE_MAX`] hours; an undelivered one says nothing. An answer later than `until` has not
//! happened yet, and a message sent later does not exist.

use serde::{Deserialize, Serialize};

use crate::learn::data::evidence::{Answer, Evidence, PackedMessage};
use crate::learn::data::receipts::PersonReceipts;
use crate::learn::data::week_hours::{ZoneOffsets, week_hour};

/// A message that was not read within so many hours is no longer waited for.
pub(in crate::learn) const AGE_MAX: usize = 72;
const DAY_SECONDS: f32 = 86_400.0;

/// A span of seconds from the epoch: what is sent or seen in it counts, what comes back after its
/// end has not happened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::learn) struct TimeSpan {
    pub(in crate::learn) from: u32,
    pub(in crate::learn) until: u32,
}

/// Whether a person's reads can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::learn) enum ReceiptState {
    /// A read was reported once.
    On,
    /// Answered without ever having read: the receipts are off.
    Off,
    /// Neither: off, or not interested.
    Silent,
}

/// One delivered message as evidence of habit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct AtRiskInterval {
    /// Local hours from the epoch in which it began.
    pub(in crate::learn) begin: i32,
    /// The hour of the week of that.
    pub(in crate::learn) start: u8,
    /// Hours from there to the event, or to the end of observation.
    pub(in crate::learn) hours: u8,
    /// Whether it ended with the person's being seen.
    pub(in crate::learn) seen: bool,
    /// Whether it was clicked or answered.
    pub(in crate::learn) acted: bool,
    /// Its number in the contents.
    pub(in crate::learn) content: Option<u16>,
    /// By how many days the person's last observation is newer.
    pub(in crate::learn) days: f32,
}

/// A presence event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct PresenceEvent {
    /// The hour of the week.
    pub(in crate::learn) hour: u8,
    /// By how many days the person's last observation is newer.
    pub(in crate::learn) days: f32,
}

/// A person's evidence within a span, in the local hours of one zone.
#[derive(Debug, Clone)]
pub(in crate::learn) struct ObservationSet {
    pub(in crate::learn) intervals: Vec<AtRiskInterval>,
    pub(in crate::learn) presences: Vec<PresenceEvent>,
    pub(in crate::learn) receipts: ReceiptState,
}

/// Cuts a message off at the end of a span, and tells what it is evidence of.
pub(in crate::learn) struct ReadOutcome {
    /// Seconds from sending to delivery.
    pub(in crate::learn) delivered: u32,
    /// Seconds from sending to the first sign that the person saw it.
    pub(in crate::learn) seen: Option<u32>,
    /// Whether the presence event was a read receipt.
    pub(in crate::learn) receipt: bool,
    /// Whether it was clicked or answered.
    pub(in crate::learn) acted: bool,
}

impl ReadOutcome {
    /// `None` for what was never delivered, or is no longer this side of `until`.
    pub(in crate::learn) fn new(
        sent: &PackedMessage,
        until: u32,
        reports: PersonReceipts,
    ) -> Option<Self> {
        let known = until.checked_sub(sent.at)?;
        let after = |answer| sent.after(answer).filter(|after| *after <= known);
        let first = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        let clicked = reports.clicked(sent).filter(|after| *after <= known);
        let act = first(clicked, after(Answer::Reply));
        // what the person did is hidden behind the machine, unless an answer shows it
        let read = after(Answer::Read).filter(|_| !reports.is_machine(sent.channel));
        let reported = after(Answer::Failed).is_some() || reports.deliveries(sent.channel);
        let delivered = match after(Answer::Delivered) {
            Some(delivered) => delivered,
            None if read.is_some() || act.is_some() => 0,
            None if reported => return None,
            None => 0,
        };
        Some(Self { delivered, seen: read.or(act), receipt: read.is_some(), acted: act.is_some() })
    }
}

impl ObservationSet {
    pub(in crate::learn) fn new(
        evidence: &Evidence,
        offsets: ZoneOffsets,
        span: TimeSpan,
        reports: PersonReceipts,
    ) -> Self {
        let mut history = evidence.messages();
        let (mut intervals, mut receipts) = (Vec::new(), ReceiptState::Silent);
        let last = evidence.last(span.until).unwrap_or(span.until);
        let days = |at: u32| last.saturating_sub(at) as f32 / DAY_SECONDS;
        for sent in history.by_ref().filter(|sent| span.contains(sent.at)) {
            let Some(read) = ReadOutcome::new(&sent, span.until, reports) else { continue };
            match (read.receipt, read.acted) {
                (true, _) => receipts = ReceiptState::On,
                (false, true) if receipts == ReceiptState::Silent => receipts = ReceiptState::Off,
                _ => {}
            }
            let begin = offsets.hour(sent.at + read.delivered);
            let end = read.seen.map_or(span.until, |seen| sent.at + seen.max(read.delivered));
            let hours = (offsets.hour(end) - begin).max(0);
            intervals.push(AtRiskInterval {
                begin: begin as i32,
                start: week_hour(begin) as u8,
                hours: hours.min(AGE_MAX as i64) as u8,
                seen: read.seen.is_some() && hours < AGE_MAX as i64,
                acted: read.acted,
                content: sent.content,
                days: days(sent.at),
            });
        }
        let presences = history
            .presences()
            .filter(|(at, _)| span.contains(*at))
            .map(|(at, _)| PresenceEvent {
                hour: week_hour(offsets.hour(at)) as u8,
                days: days(at),
            })
            .collect();
        Self { intervals, presences, receipts }
    }

    /// What was seen before a gap and after it: the longer before or after, the longer ago.
    pub(in crate::learn) fn around(before: Self, after: Self) -> Self {
        let Self { mut intervals, mut presences, receipts } = after;
        let days =
            intervals.iter().map(|interval| interval.days).chain(presences.iter().map(|s| s.days));
        let oldest = days.fold(0.0, f32::max);
        for days in intervals
            .iter_mut()
            .map(|w| &mut w.days)
            .chain(presences.iter_mut().map(|s| &mut s.days))
        {
            *days = oldest - *days;
        }
        intervals.splice(0..0, before.intervals);
        presences.splice(0..0, before.presences);
        let receipts = match (before.receipts, receipts) {
            (ReceiptState::On, _) | (_, ReceiptState::On) => ReceiptState::On,
            (ReceiptState::Off, _) | (_, ReceiptState::Off) => ReceiptState::Off,
            _ => ReceiptState::Silent,
        };
        Self { intervals, presences, receipts }
    }

    /// Messages and presence events.
    pub(in crate::learn) fn observations(&self) -> usize {
        self.intervals.len() + self.presences.len()
    }

    pub(in crate::learn) fn is_empty(&self) -> bool {
        self.intervals.is_empty() && self.presences.is_empty()
    }
}

impl TimeSpan {
    pub(in crate::learn) fn contains(self, at: u32) -> bool {
        (self.from..self.until).contains(&at)
    }
}
