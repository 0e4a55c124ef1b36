//! What a person's observations come to, hour of the week by hour of the week: events, and the
//! exposure under which they were made.
//!
//! A delivered message that was not read is exposed in hour `h` at age `k` by the hazard of its age
//! `β(k)` times the affinity of its content; the expected number of reads in an hour is the rate of
//! the person in that hour times the sum of these. Recent observations count more:
//! `2^(−days / half-life)`.

use serde::{Deserialize, Serialize};

use crate::learn::data::observations::{AGE_MAX, AtRiskInterval, ObservationSet, ReceiptState};
use crate::learn::data::week_hours::WeekRates;
use crate::model::preference::WEEK_HOURS;

/// What an observation counts for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct ObservationWeights {
    /// In how many days it comes to count half.
    pub(in crate::learn) half_life: f32,
    /// What a presence event counts for, where a read message counts 1.
    pub(in crate::learn) presence_weight: f32,
    /// How far an hour in which several messages waited counts once.
    pub(in crate::learn) shared: f32,
    /// How often a person comes to live by other hours, in changes a year.
    pub(in crate::learn) changes_a_year: f32,
}

impl ObservationWeights {
    /// What an observation of so many days before the last counts, of 1.
    pub(in crate::learn) fn recency(self, days: f32) -> f32 {
        (-days / self.half_life).exp2()
    }
}

/// How the hazard of a read falls with age, and what silence means: population figures that turn a
/// message at risk into expected reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct ReadHazard {
    /// Relative hazard by the hours since delivery; one entry for each of [`AGE_MAX`].
    pub(in crate::learn) decay: Vec<f32>,
    /// Share still unread at each age, among people whose reads are seen.
    pub(in crate::learn) unread: Vec<f32>,
    /// Share of reads that are followed by a click or reply.
    pub(in crate::learn) acted: f32,
    /// Share of people whose receipts are off.
    pub(in crate::learn) off: f32,
    /// Share of them among silent people.
    pub(in crate::learn) silent_off: f32,
}

/// What a person's silence may mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct MissingReceipts {
    /// Share of people whose receipts are off.
    pub(in crate::learn) off: f32,
    /// What was exposed where receipts are on, in multiples of the mean exposure.
    pub(in crate::learn) if_on: f32,
    /// What was exposed where they are off, and only answers could be seen.
    pub(in crate::learn) if_off: f32,
}

impl Default for ReadHazard {
    fn default() -> Self {
        let decay = (0..AGE_MAX).map(|age| (-(age as f32) / 12.0).exp()).collect();
        Self { decay, unread: vec![1.0; AGE_MAX], acted: 1.0, off: 0.0, silent_off: 0.0 }
    }
}

impl ReadHazard {
    /// How probable it is that the receipts of somebody of whom nothing came back are off: as of
    /// anybody before there were messages, and the more probable the more were not read.
    pub(in crate::learn) fn silent(&self, observations: &ObservationSet) -> f32 {
        if observations.intervals.is_empty() { self.off } else { self.silent_off }
    }

    /// The hazard that a message was exposed to at each age, relative to an unread fresh message;
    /// where receipts are off, only reads that led to an answer could be seen.
    pub(in crate::learn) fn risk(
        &self,
        interval: &AtRiskInterval,
        receipts: ReceiptState,
        risk: &mut [f32; AGE_MAX],
    ) -> usize {
        let hours = usize::from(interval.hours);
        let length = if interval.seen { hours + 1 } else { hours };
        risk[..length].copy_from_slice(&self.decay[..length]);
        if interval.seen {
            risk[hours] *= 0.5;
        }
        let off = match receipts {
            ReceiptState::On => return length,
            ReceiptState::Off => 1.0,
            ReceiptState::Silent => self.silent_off,
        };
        for (age, risk) in risk[..length].iter_mut().enumerate() {
            let hidden = if interval.seen { 1.0 } else { self.unread[age] };
            *risk *= off * self.acted * hidden + 1.0 - off;
        }
        length
    }
}

/// What a set of observations comes to, hour by hour, recent things counting more.
#[derive(Debug, Clone)]
pub(in crate::learn) struct SufficientStatistics {
    /// Events in each hour, whether reads or presence events.
    pub(in crate::learn) observed: WeekRates,
    /// Hours watched, weighed by the hazard of a fresh message of average content.
    pub(in crate::learn) exposure: WeekRates,
    /// The share of `observed` that messages brought.
    pub(in crate::learn) reads: f32,
    /// The share of `observed` that presence events brought.
    pub(in crate::learn) presences: f32,
    /// Whether what was observed may be late: answers in place of reads.
    pub(in crate::learn) late: bool,
    /// Of a person of whom nothing came back.
    pub(in crate::learn) missing: Option<MissingReceipts>,
    /// Effective number of observations: messages at risk and presence events.
    pub(in crate::learn) evidence: f32,
}

impl SufficientStatistics {
    fn none(late: bool) -> Self {
        Self {
            observed: [0.0; WEEK_HOURS],
            exposure: [0.0; WEEK_HOURS],
            reads: 0.0,
            presences: 0.0,
            late,
            missing: None,
            evidence: 0.0,
        }
    }

    /// `taste` gives the relative hazard of a content.
    pub(in crate::learn) fn new(
        observations: &ObservationSet,
        hazard: &ReadHazard,
        memory: ObservationWeights,
        taste: impl Fn(Option<u16>) -> f32,
    ) -> Self {
        Self::by_age(observations, hazard, memory, taste, &[]).remove(0)
    }

    /// The same in parts, the newest first: each cut, in days, parts what is older from what is not.
    pub(in crate::learn) fn by_age(
        observations: &ObservationSet,
        hazard: &ReadHazard,
        memory: ObservationWeights,
        taste: impl Fn(Option<u16>) -> f32,
        cuts: &[f32],
    ) -> Vec<Self> {
        let late = observations.receipts == ReceiptState::Off;
        let mut parts = vec![Self::none(late); cuts.len() + 1];
        let part = |days: f32| cuts.iter().take_while(|cut| days > **cut).count();
        let mut silence = vec![(0.0f32, 0.0f32); parts.len()];
        let mut risk = [0.0; AGE_MAX];
        let waiting =
            if memory.shared > 0.0 { waiting(&observations.intervals) } else { Vec::new() };
        // hours past the end of the week are laid behind it, and wrapped once at the end
        let mut runs = vec![[0.0f32; WEEK_HOURS + AGE_MAX]; parts.len()];
        for (index, interval) in observations.intervals.iter().enumerate() {
            let weight = memory.recency(interval.days);
            let mut read = weight;
            let length = hazard.risk(interval, observations.receipts, &mut risk);
            if let Some(waiting) = waiting.get(index) {
                let share = |n: u8| f32::from(n).powf(-memory.shared);
                risk.iter_mut().zip(waiting).for_each(|(risk, n)| *risk *= share(*n));
                if interval.seen {
                    read *= share(waiting[usize::from(interval.hours)]);
                }
            }
            let part = part(interval.days);
            let (scale, start) = (weight * taste(interval.content), usize::from(interval.start));
            for (total, risk) in runs[part][start..start + length].iter_mut().zip(&risk) {
                *total += scale * risk;
            }
            if observations.receipts == ReceiptState::Silent {
                let (if_on, if_off) = &mut silence[part];
                for (decay, unread) in hazard.decay.iter().zip(&hazard.unread).take(length) {
                    *if_on += scale * decay;
                    *if_off += scale * decay * hazard.acted * unread;
                }
            }
            let part = &mut parts[part];
            part.evidence += weight;
            if interval.seen {
                part.observed[(start + usize::from(interval.hours)) % WEEK_HOURS] += read;
                part.reads += read;
            }
        }
        for ((part, run), (if_on, if_off)) in parts.iter_mut().zip(runs).zip(silence) {
            for (hour, exposure) in run.into_iter().enumerate() {
                part.exposure[hour % WEEK_HOURS] += exposure;
            }
            let total: f32 = part.exposure.iter().sum();
            if observations.receipts == ReceiptState::Silent && total > 0.0 {
                let (if_on, if_off) = (if_on / total, if_off / total);
                part.missing = Some(MissingReceipts { off: hazard.off, if_on, if_off });
            }
        }
        for presence in &observations.presences {
            let weight = memory.presence_weight * memory.recency(presence.days);
            let part = &mut parts[part(presence.days)];
            part.observed[usize::from(presence.hour)] += weight;
            part.presences += weight;
            part.evidence += weight;
        }
        parts
    }

    /// Adds another part of the same person's, weighed.
    pub(in crate::learn) fn add(&mut self, part: &Self, weight: f32) {
        self.missing = match (self.missing, part.missing) {
            (Some(one), Some(more)) => {
                let [a, b] = [&self.exposure, &part.exposure].map(|week| week.iter().sum::<f32>());
                let mean = |one: f32, more: f32| (a * one + weight * b * more) / (a + weight * b);
                let if_on = mean(one.if_on, more.if_on);
                Some(MissingReceipts { off: one.off, if_on, if_off: mean(one.if_off, more.if_off) })
            }
            (one, more) => one.or(more),
        };
        let sums = self.observed.iter_mut().zip(&part.observed);
        for (sum, more) in sums.chain(self.exposure.iter_mut().zip(&part.exposure)) {
            *sum += weight * more;
        }
        self.reads += weight * part.reads;
        self.presences += weight * part.presences;
        self.evidence += weight * part.evidence;
    }
}

/// For each message, how many messages waited in each of its hours, itself among them; 1 beyond.
fn waiting(intervals: &[AtRiskInterval]) -> Vec<[u8; AGE_MAX]> {
    let end = |interval: &AtRiskInterval| {
        interval.begin + i32::from(interval.hours) + i32::from(interval.seen)
    };
    let Some(first) = intervals.iter().map(|interval| interval.begin).min() else {
        return Vec::new();
    };
    let last = intervals.iter().map(end).max().unwrap_or(first);
    let at = |hour: i32| (hour - first) as usize;
    let mut waiting = vec![0_i32; at(last) + 1];
    for interval in intervals {
        waiting[at(interval.begin)] += 1;
        waiting[at(end(interval))] -= 1;
    }
    let mut now = 0;
    for count in &mut waiting {
        now += *count;
        *count = now;
    }
    let of = |interval: &AtRiskInterval| {
        let hours = waiting[at(interval.begin)..at(end(interval))].iter();
        let mut counts = [1; AGE_MAX];
        for (count, waiting) in counts.iter_mut().zip(hours) {
            *count = (*waiting).min(i32::from(u8::MAX)) as u8;
        }
        counts
    };
    intervals.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(begin: i32, hours: u8, seen: bool) -> AtRiskInterval {
        let start = begin.rem_euclid(168) as u8;
        AtRiskInterval { begin, start, hours, seen, acted: false, content: None, days: 0.0 }
    }

    #[test]
    fn hours_in_which_two_messages_wait_can_count_once() {
        let intervals = [interval(100, 5, true), interval(103, 2, true), interval(400, 3, false)];
        let counted = waiting(&intervals);
        assert_eq!(counted[0][..7], [1, 1, 1, 2, 2, 2, 1]);
        assert_eq!(counted[1][..4], [2, 2, 2, 1]);
        assert_eq!(counted[2][..4], [1, 1, 1, 1]);
        let observations = ObservationSet {
            intervals: intervals.to_vec(),
            presences: vec![],
            receipts: ReceiptState::On,
        };
        let read = |shared: f32| {
            let memory = ObservationWeights {
                half_life: 1e9,
                presence_weight: 1.0,
                shared,
                changes_a_year: 0.0,
            };
            SufficientStatistics::new(&observations, &ReadHazard::default(), memory, |_| 1.0)
        };
        assert!((read(0.0).reads - 2.0).abs() < 1e-6 && (read(1.0).reads - 1.0).abs() < 1e-6);
        assert!(read(1.0).exposure.iter().sum::<f32>() < read(0.0).exposure.iter().sum::<f32>());
    }
}
