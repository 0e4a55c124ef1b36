//! How well a habit predicts what a person did next: the measure that settings are chosen by.

use serde::{Deserialize, Serialize};

use crate::learn::data::exposure::ReadHazard;
use crate::learn::data::observations::{AGE_MAX, ObservationSet};
use crate::learn::population::backfitting::PersonAffinities;
use crate::learn::population::mixture::PersonRates;
use crate::model::preference::WEEK_HOURS;

/// One person's held-out figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct HeldOutScore {
    /// Mean log-likelihood of when a held-out observation was made, relative to knowing nothing.
    pub(in crate::learn) value: f64,
    /// Mean log-loss of a held-out presence event by hour of day, in nats.
    pub(in crate::learn) hour_loss: Option<f64>,
    /// Mean log-loss of a held-out presence event by weekday and four hours, in nats.
    pub(in crate::learn) cell_loss: Option<f64>,
    /// Mean log-likelihood of a held-out message, relative to the population's hazard.
    pub(in crate::learn) message: Option<f64>,
}

/// Minus the log-likelihood of the age of a read if all ages were equally likely: the same whatever
/// setting is tried.
const BY_CHANCE: f64 = 4.276_666_119_016_055;

/// Scores one habit against evidence of the same person that it was not learned from.
///
/// Settings are about when, not about who: of a message that was read, what counts is the hour,
/// given that it was read at all. Whether it was read is nearly all person, and a level that is a
/// few hundredths off would outweigh all that there is to be known of days.
pub(in crate::learn) fn score(
    rates: &PersonRates,
    held_out: &ObservationSet,
    hazard: &ReadHazard,
    affinities: &PersonAffinities,
) -> HeldOutScore {
    let mut hours = [0.0f64; 24];
    let mut cells = [0.0f64; 42];
    for (h, rate) in rates.week.iter().enumerate() {
        let share = f64::from(*rate) / WEEK_HOURS as f64;
        hours[h % 24] += share;
        cells[h / 24 * 6 + h % 24 / 4] += share;
    }
    let (mut hour_loss, mut cell_loss) = (0.0, 0.0);
    for presence in &held_out.presences {
        let h = usize::from(presence.hour);
        hour_loss -= hours[h % 24].ln();
        cell_loss -= cells[h / 24 * 6 + h % 24 / 4].ln();
    }
    let (mut message, mut timing, mut reads) = (0.0, 0.0, 0.0);
    let mut risk = [0.0; AGE_MAX];
    for interval in &held_out.intervals {
        let length = hazard.risk(interval, held_out.receipts, &mut risk);
        let (affinity, spread) = affinities.of_content(interval.content);
        let scale = rates.level * affinity;
        let start = usize::from(interval.start);
        for (age, risk) in risk[..length].iter().enumerate() {
            message -= f64::from(scale * risk * rates.week[(start + age) % WEEK_HOURS]);
        }
        if interval.seen {
            let hour = (start + usize::from(interval.hours)) % WEEK_HOURS;
            message += f64::from(scale * rates.week[hour]).ln();
            let shape = 1.0 / (1.0 / rates.certainty + spread * spread);
            let chance = age_chance(usize::from(interval.hours), f64::from(shape), |age| {
                scale * hazard.decay[age] * rates.week[(start + age) % WEEK_HOURS]
            });
            timing += chance.ln() + BY_CHANCE;
            reads += 1.0;
        }
    }
    let (presences, messages) = (held_out.presences.len() as f64, held_out.intervals.len() as f64);
    let presence =
        presences * (24f64.ln() + 42f64.ln()) / 2.0 - f64::midpoint(hour_loss, cell_loss);
    HeldOutScore {
        value: (presence + timing) / (presences + reads).max(1.0),
        hour_loss: (presences > 0.0).then(|| hour_loss / presences),
        cell_loss: (presences > 0.0).then(|| cell_loss / presences),
        message: (messages > 0.0).then(|| message / messages),
    }
}

/// The chance that a message which is read is read at this age, where `hazard` is the mean of a
/// gamma distribution of the given shape.
fn age_chance(age: usize, shape: f64, hazard: impl Fn(usize) -> f32) -> f64 {
    let unread = |passed: f64| (1.0 + passed / shape).powf(-shape);
    let (mut passed, mut before, mut chance) = (0.0, 1.0, 0.0);
    for other in 0..AGE_MAX {
        passed += f64::from(hazard(other));
        let after = unread(passed);
        if other == age {
            chance = before - after;
        }
        before = after;
    }
    chance.max(f64::MIN_POSITIVE) / (1.0 - before).max(f64::MIN_POSITIVE)
}

/// Whether the new means of people are better than the old by more than so many standard errors of
/// the paired difference.
pub(in crate::learn) fn is_better(new: &[f64], old: &[f64], errors: f64) -> bool {
    let n = new.len() as f64;
    let differences = || new.iter().zip(old).map(|(new, old)| new - old);
    let mean = differences().sum::<f64>() / n;
    let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    mean > errors * (variance / n).sqrt()
}

/// Held-out figures of a model: means over people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// People whose newer evidence was predicted.
    pub people: usize,
    /// Log-likelihood of when an observation was made, relative to knowing nothing, in nats: what
    /// settings are chosen by.
    pub value: f64,
    /// Its standard error over people.
    pub error: f64,
    /// Log-loss of the next presence event by hour of day, in nats; `None` without presence events.
    pub hour_loss: Option<f64>,
    /// Log-loss of the next presence event by weekday and four hours, in nats; `None` without
    /// presence events.
    pub cell_loss: Option<f64>,
    /// Log-likelihood of a message's fate, in nats; `None` without messages.
    pub message: Option<f64>,
}

impl HeldOut {
    pub(in crate::learn) fn of(scores: &[HeldOutScore]) -> Self {
        let mean = |part: fn(&HeldOutScore) -> Option<f64>| {
            let known: Vec<f64> = scores.iter().filter_map(part).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let n = (scores.len() as f64).max(1.0);
        let value = scores.iter().map(|s| s.value).sum::<f64>() / n;
        let squares: f64 = scores.iter().map(|s| (s.value - value).powi(2)).sum();
        Self {
            people: scores.len(),
            value,
            error: squares.sqrt() / n,
            hour_loss: mean(|s| s.hour_loss),
            cell_loss: mean(|s| s.cell_loss),
            message: mean(|s| s.message),
        }
    }

    /// Whether settings surely predict less than at another time.
    pub(in crate::learn) fn is_worse_than(&self, then: &Self) -> bool {
        const ERRORS: f64 = 2.0;
        !self.value.is_finite() || self.value < then.value - ERRORS * self.error.hypot(then.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::data::observations::{AtRiskInterval, ReceiptState};

    fn rates(peak: usize, level: f32) -> PersonRates {
        let mut week = [0.4; WEEK_HOURS];
        (0..7).for_each(|day| week[day * 24 + peak] = 14.8);
        PersonRates { week, plain: week, level, certainty: 3.0, share: vec![1.0] }
    }

    /// Messages of 10:00 that were read at 20:00, or not within two days.
    fn evening(seen: &[bool]) -> ObservationSet {
        let interval = |(day, seen): (i32, &bool)| AtRiskInterval {
            begin: day * 72 + 10,
            start: (day * 72 + 10).rem_euclid(168) as u8,
            hours: if *seen { 10 } else { 48 },
            seen: *seen,
            acted: false,
            content: None,
            days: 0.0,
        };
        let intervals = (0..).zip(seen).map(interval).collect();
        ObservationSet { intervals, presences: Vec::new(), receipts: ReceiptState::On }
    }

    fn judge(rates: &PersonRates, observations: &ObservationSet) -> HeldOutScore {
        score(rates, observations, &ReadHazard::default(), &PersonAffinities::default())
    }

    #[test]
    fn who_reads_much_does_not_decide_when() {
        let observations = evening(&[true, false, true, false]);
        let (right, wrong) =
            (judge(&rates(20, 0.1), &observations), judge(&rates(9, 0.1), &observations));
        assert!(right.value > wrong.value + 2.5, "{right:?} {wrong:?}");
        let keen = judge(&rates(20, 0.15), &observations);
        assert!((keen.value - right.value).abs() < 0.1, "{keen:?} {right:?}");
        let unread = evening(&[true, false, true, false, false, false]);
        assert!((judge(&rates(20, 0.1), &unread).value - right.value).abs() < 1e-9);
        assert!(judge(&rates(20, 0.1), &unread).message < right.message);
    }

    /// A flat week at any level was worth 0, as if each setting had a baseline of its own.
    #[test]
    fn the_baseline_does_not_move_with_the_setting() {
        let flat = |level| PersonRates {
            week: [1.0; WEEK_HOURS],
            plain: [1.0; WEEK_HOURS],
            level,
            certainty: 3.0,
            share: vec![1.0],
        };
        let read_after_ten_hours = evening(&[true, true]);
        let slow = judge(&flat(0.02), &read_after_ten_hours).value;
        let quick = judge(&flat(2.0), &read_after_ten_hours).value;
        assert!(slow > quick + 0.5, "{slow} {quick}");
        assert!((BY_CHANCE - (AGE_MAX as f64).ln()).abs() < 1e-12);
    }

    #[test]
    fn the_chances_of_all_ages_sum_to_one() {
        let hazard = |age: usize| if age % 24 == 10 { 0.4 } else { 0.01 };
        let total: f64 = (0..AGE_MAX).map(|age| age_chance(age, 2.5, hazard)).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }
}
