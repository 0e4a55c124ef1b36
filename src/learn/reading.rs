//! Evidence read with a date and a place in mind: which hours of the person's week were watched,
//! and in which the person was seen. Censoring lives here and nowhere else.
//!
//! A delivered message is watched from the hour of its delivery until it is read, until `until`,
//! or for [`AGE_MAX`] hours; an undelivered one says nothing. An answer later than `until` has not
//! happened yet, and a message sent later does not exist.

use serde::{Deserialize, Serialize};

use super::evidence::{Answer, Evidence, Sent};
use super::hyper::Memory;
use super::local::{Offsets, week_hour};
use super::receipts::Reports;
use super::shape::Week;
use crate::model::preference::WEEK_HOURS;

/// A message that was not read within so many hours is no longer waited for.
pub(super) const AGE_MAX: usize = 72;
const DAY_SECONDS: f32 = 86_400.0;

/// A span of seconds from the epoch: what is sent or seen in it counts, what comes back after its
/// end has not happened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) until: u32,
}

/// Whether a person's reads can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipts {
    /// A read was reported once.
    On,
    /// Answered without ever having read: the receipts are off.
    Off,
    /// Neither: off, or not interested.
    Silent,
}

/// One delivered message as evidence of habit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Watch {
    /// Local hours from the epoch in which the watch began.
    pub(super) begin: i32,
    /// The hour of the week of that.
    pub(super) start: u8,
    /// Hours from there to the event, or to the end of the watch.
    pub(super) hours: u8,
    /// Whether it ended with the person's being seen.
    pub(super) seen: bool,
    /// Whether it was clicked or answered.
    pub(super) acted: bool,
    /// Its number in the contents.
    pub(super) content: Option<u16>,
    /// By how many days the person's last observation is newer.
    pub(super) days: f32,
}

/// A sign of presence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sign {
    /// The hour of the week.
    pub(super) hour: u8,
    /// By how many days the person's last observation is newer.
    pub(super) days: f32,
}

/// A person's evidence within a span, in the local hours of one zone.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) watches: Vec<Watch>,
    pub(super) signs: Vec<Sign>,
    pub(super) receipts: Receipts,
}

/// Cuts a message off at the end of a span, and tells what it is evidence of.
pub(super) struct Read {
    /// Seconds from sending to delivery.
    pub(super) delivered: u32,
    /// Seconds from sending to the first sign that the person saw it.
    pub(super) seen: Option<u32>,
    /// Whether the sign was a read receipt.
    pub(super) receipt: bool,
    /// Whether it was clicked or answered.
    pub(super) acted: bool,
}

impl Read {
    /// `None` for what was never delivered, or is no longer this side of `until`.
    pub(super) fn new(sent: &Sent, until: u32, reports: Reports) -> Option<Self> {
        let known = until.checked_sub(sent.at)?;
        let after = |answer| sent.after(answer).filter(|after| *after <= known);
        let first = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        let act = first(after(Answer::Click), after(Answer::Reply));
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

impl Sight {
    pub(super) fn new(evidence: &Evidence, offsets: Offsets, span: Span, reports: Reports) -> Self {
        let mut history = evidence.messages();
        let (mut watches, mut receipts) = (Vec::new(), Receipts::Silent);
        let last = evidence.last(span.until).unwrap_or(span.until);
        let days = |at: u32| last.saturating_sub(at) as f32 / DAY_SECONDS;
        for sent in history.by_ref().filter(|sent| span.contains(sent.at)) {
            let Some(read) = Read::new(&sent, span.until, reports) else { continue };
            match (read.receipt, read.acted) {
                (true, _) => receipts = Receipts::On,
                (false, true) if receipts == Receipts::Silent => receipts = Receipts::Off,
                _ => {}
            }
            let begin = offsets.hour(sent.at + read.delivered);
            let end = read.seen.map_or(span.until, |seen| sent.at + seen.max(read.delivered));
            let hours = (offsets.hour(end) - begin).max(0);
            watches.push(Watch {
                begin: begin as i32,
                start: week_hour(begin) as u8,
                hours: hours.min(AGE_MAX as i64) as u8,
                seen: read.seen.is_some() && hours < AGE_MAX as i64,
                acted: read.acted,
                content: sent.content,
                days: days(sent.at),
            });
        }
        let signs = history
            .presences()
            .filter(|(at, _)| span.contains(*at))
            .map(|(at, _)| Sign { hour: week_hour(offsets.hour(at)) as u8, days: days(at) })
            .collect();
        Self { watches, signs, receipts }
    }

    /// What was seen before a gap and after it: the longer before or after, the longer ago.
    pub(super) fn around(before: Self, after: Self) -> Self {
        let Self { mut watches, mut signs, receipts } = after;
        let days = watches.iter().map(|watch| watch.days).chain(signs.iter().map(|s| s.days));
        let oldest = days.fold(0.0, f32::max);
        for days in
            watches.iter_mut().map(|w| &mut w.days).chain(signs.iter_mut().map(|s| &mut s.days))
        {
            *days = oldest - *days;
        }
        watches.splice(0..0, before.watches);
        signs.splice(0..0, before.signs);
        let receipts = match (before.receipts, receipts) {
            (Receipts::On, _) | (_, Receipts::On) => Receipts::On,
            (Receipts::Off, _) | (_, Receipts::Off) => Receipts::Off,
            _ => Receipts::Silent,
        };
        Self { watches, signs, receipts }
    }

    /// Messages and signs.
    pub(super) fn observations(&self) -> usize {
        self.watches.len() + self.signs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty() && self.signs.is_empty()
    }
}

impl Span {
    pub(super) fn contains(self, at: u32) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// How fast the chance of being read fades, and what silence means: population figures that turn a
/// watch into expected events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fading {
    /// Relative hazard by the hours since delivery; one entry for each of [`AGE_MAX`].
    pub(super) decay: Vec<f32>,
    /// Share still unread at each age, among people whose reads are seen.
    pub(super) unread: Vec<f32>,
    /// Share of reads that are followed by a click or reply.
    pub(super) acted: f32,
    /// Share of people whose receipts are off.
    pub(super) off: f32,
    /// Share of them among silent people.
    pub(super) silent_off: f32,
}

/// What a person's silence may mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Silence {
    /// Share of people whose receipts are off.
    pub(super) off: f32,
    /// What was exposed where receipts are on, in multiples of the mean exposure.
    pub(super) if_on: f32,
    /// What was exposed where they are off, and only answers could be seen.
    pub(super) if_off: f32,
}

impl Default for Fading {
    fn default() -> Self {
        let decay = (0..AGE_MAX).map(|age| (-(age as f32) / 12.0).exp()).collect();
        Self { decay, unread: vec![1.0; AGE_MAX], acted: 1.0, off: 0.0, silent_off: 0.0 }
    }
}

impl Fading {
    /// How probable it is that the receipts of somebody of whom nothing came back are off: as of
    /// anybody before there were messages, and the more probable the more were not read.
    pub(super) fn silent(&self, sight: &Sight) -> f32 {
        if sight.watches.is_empty() { self.off } else { self.silent_off }
    }

    /// The hazard that a watch was exposed to at each age, relative to an unread fresh message;
    /// where receipts are off, only reads that led to an answer could be seen.
    pub(super) fn risk(
        &self,
        watch: &Watch,
        receipts: Receipts,
        risk: &mut [f32; AGE_MAX],
    ) -> usize {
        let hours = usize::from(watch.hours);
        let length = if watch.seen { hours + 1 } else { hours };
        risk[..length].copy_from_slice(&self.decay[..length]);
        if watch.seen {
            risk[hours] *= 0.5;
        }
        let off = match receipts {
            Receipts::On => return length,
            Receipts::Off => 1.0,
            Receipts::Silent => self.silent_off,
        };
        for (age, risk) in risk[..length].iter_mut().enumerate() {
            let hidden = if watch.seen { 1.0 } else { self.unread[age] };
            *risk *= off * self.acted * hidden + 1.0 - off;
        }
        length
    }
}

/// What a sight comes to, hour by hour, recent things counting more.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Events in each hour, whether reads or signs.
    pub(super) observed: Week,
    /// Hours watched, weighed by the hazard of a fresh message of average content.
    pub(super) exposure: Week,
    /// The share of `observed` that messages brought.
    pub(super) reads: f32,
    /// The share of `observed` that signs brought.
    pub(super) signs: f32,
    /// Whether what was observed may be late: answers in place of reads.
    pub(super) late: bool,
    /// Of a person of whom nothing came back.
    pub(super) silence: Option<Silence>,
    /// Effective number of observations: messages watched and signs.
    pub(super) evidence: f32,
}

impl Reading {
    /// `taste` gives the relative hazard of a content.
    pub(super) fn new(
        sight: &Sight,
        fading: &Fading,
        memory: Memory,
        taste: impl Fn(Option<u16>) -> f32,
    ) -> Self {
        let mut reading = Self {
            observed: [0.0; WEEK_HOURS],
            exposure: [0.0; WEEK_HOURS],
            reads: 0.0,
            signs: 0.0,
            late: sight.receipts == Receipts::Off,
            silence: None,
            evidence: 0.0,
        };
        let recency = |days: f32| (-days / memory.half_life).exp2();
        let (mut if_on, mut if_off) = (0.0, 0.0);
        let mut risk = [0.0; AGE_MAX];
        let waiting = if memory.shared > 0.0 { waiting(&sight.watches) } else { Vec::new() };
        // hours past the end of the week are laid behind it, and wrapped once at the end
        let mut run = [0.0f32; WEEK_HOURS + AGE_MAX];
        for (index, watch) in sight.watches.iter().enumerate() {
            let weight = recency(watch.days);
            let mut read = weight;
            let length = fading.risk(watch, sight.receipts, &mut risk);
            if let Some(waiting) = waiting.get(index) {
                let share = |n: u8| f32::from(n).powf(-memory.shared);
                risk.iter_mut().zip(waiting).for_each(|(risk, n)| *risk *= share(*n));
                if watch.seen {
                    read *= share(waiting[usize::from(watch.hours)]);
                }
            }
            let (scale, start) = (weight * taste(watch.content), usize::from(watch.start));
            for (total, risk) in run[start..start + length].iter_mut().zip(&risk) {
                *total += scale * risk;
            }
            if sight.receipts == Receipts::Silent {
                for (decay, unread) in fading.decay.iter().zip(&fading.unread).take(length) {
                    if_on += scale * decay;
                    if_off += scale * decay * fading.acted * unread;
                }
            }
            reading.evidence += weight;
            if watch.seen {
                reading.observed[(start + usize::from(watch.hours)) % WEEK_HOURS] += read;
                reading.reads += read;
            }
        }
        for (hour, exposure) in run.into_iter().enumerate() {
            reading.exposure[hour % WEEK_HOURS] += exposure;
        }
        let total: f32 = reading.exposure.iter().sum();
        if sight.receipts == Receipts::Silent && total > 0.0 {
            let (if_on, if_off) = (if_on / total, if_off / total);
            reading.silence = Some(Silence { off: fading.off, if_on, if_off });
        }
        for sign in &sight.signs {
            let weight = memory.signs * recency(sign.days);
            reading.observed[usize::from(sign.hour)] += weight;
            reading.signs += weight;
            reading.evidence += weight;
        }
        reading
    }
}

/// For each watch, how many messages waited in each of its hours, itself among them.
fn waiting(watches: &[Watch]) -> Vec<[u8; AGE_MAX]> {
    let last = |watch: &Watch| watch.begin + i32::from(watch.hours) - i32::from(!watch.seen);
    let mut waiting = vec![[1; AGE_MAX]; watches.len()];
    let mut count = |one: usize, from: i32, to: i32| {
        for hour in from..=to {
            let n: &mut u8 = &mut waiting[one][(hour - watches[one].begin) as usize];
            *n = n.saturating_add(1);
        }
    };
    for (index, watch) in watches.iter().enumerate() {
        // watches begin about in order; deliveries that were days late are not looked for
        let near = watches[..index].iter().enumerate().rev();
        for (other, earlier) in near.take_while(|(_, w)| w.begin + AGE_MAX as i32 > watch.begin) {
            let (from, to) = (watch.begin.max(earlier.begin), last(watch).min(last(earlier)));
            count(index, from, to);
            count(other, from, to);
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(begin: i32, hours: u8, seen: bool) -> Watch {
        let start = begin.rem_euclid(168) as u8;
        Watch { begin, start, hours, seen, acted: false, content: None, days: 0.0 }
    }

    #[test]
    fn hours_in_which_two_messages_wait_can_count_once() {
        let watches = [watch(100, 5, true), watch(103, 2, true), watch(400, 3, false)];
        let counted = waiting(&watches);
        assert_eq!(counted[0][..7], [1, 1, 1, 2, 2, 2, 1]);
        assert_eq!(counted[1][..4], [2, 2, 2, 1]);
        assert_eq!(counted[2][..4], [1, 1, 1, 1]);
        let sight = Sight { watches: watches.to_vec(), signs: vec![], receipts: Receipts::On };
        let read = |shared: f32| {
            let memory = Memory { half_life: 1e9, signs: 1.0, shared };
            Reading::new(&sight, &Fading::default(), memory, |_| 1.0)
        };
        assert!((read(0.0).reads - 2.0).abs() < 1e-6 && (read(1.0).reads - 1.0).abs() < 1e-6);
        assert!(read(1.0).exposure.iter().sum::<f32>() < read(0.0).exposure.iter().sum::<f32>());
    }
}
