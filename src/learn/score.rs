//! How well a habit foretells what a person did next: the measure that settings are chosen by.

use serde::{Deserialize, Serialize};

use super::mixture::Habit;
use super::parts::OwnTastes;
use super::reading::{AGE_MAX, Fading, Sight};
use crate::model::preference::WEEK_HOURS;

/// One person's held-out figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// Mean log-likelihood of when a held-out observation was made, relative to knowing nothing.
    pub(super) value: f64,
    /// Mean log-loss of a held-out sign by hour of day, in nats.
    pub(super) hour_loss: Option<f64>,
    /// Mean log-loss of a held-out sign by weekday and four hours, in nats.
    pub(super) cell_loss: Option<f64>,
    /// Mean log-likelihood of a held-out message, relative to the population's hazard.
    pub(super) message: Option<f64>,
}

/// Scores one habit against evidence of the same person that it was not learned from.
///
/// Settings are about when, not about who: of a message that was read, what counts is the hour, given
/// that it was read at all. Whether it was read is nearly all person, and a level that is a few
/// hundredths off would outweigh all that there is to be known of days.
pub(super) fn score(habit: &Habit, held_out: &Sight, fading: &Fading, tastes: &OwnTastes) -> Score {
    let mut hours = [0.0f64; 24];
    let mut cells = [0.0f64; 42];
    for (h, rate) in habit.week.iter().enumerate() {
        let share = f64::from(*rate) / WEEK_HOURS as f64;
        hours[h % 24] += share;
        cells[h / 24 * 6 + h % 24 / 4] += share;
    }
    let (mut hour_loss, mut cell_loss) = (0.0, 0.0);
    for sign in &held_out.signs {
        let h = usize::from(sign.hour);
        hour_loss -= hours[h % 24].ln();
        cell_loss -= cells[h / 24 * 6 + h % 24 / 4].ln();
    }
    let (mut message, mut timing, mut reads) = (0.0, 0.0, 0.0);
    let mut risk = [0.0; AGE_MAX];
    for watch in &held_out.watches {
        let length = fading.risk(watch, held_out.receipts, &mut risk);
        let (taste, spread) = tastes.of_content(watch.content);
        let scale = habit.level * taste;
        let start = usize::from(watch.start);
        for (age, risk) in risk[..length].iter().enumerate() {
            message -= f64::from(scale * risk * habit.week[(start + age) % WEEK_HOURS]);
        }
        if watch.seen {
            let hour = (start + usize::from(watch.hours)) % WEEK_HOURS;
            message += f64::from(scale * habit.week[hour]).ln();
            let shape = 1.0 / (1.0 / habit.certainty + spread * spread);
            let chance = |week: &dyn Fn(usize) -> f32| {
                let hazard = |age: usize| scale * fading.decay[age] * week(start + age);
                age_chance(usize::from(watch.hours), f64::from(shape), hazard)
            };
            timing += (chance(&|h| habit.week[h % WEEK_HOURS]) / chance(&|_| 1.0)).ln();
            reads += 1.0;
        }
    }
    let (signs, messages) = (held_out.signs.len() as f64, held_out.watches.len() as f64);
    let presence = signs * (24f64.ln() + 42f64.ln()) / 2.0 - f64::midpoint(hour_loss, cell_loss);
    Score {
        value: (presence + timing) / (signs + reads).max(1.0),
        hour_loss: (signs > 0.0).then(|| hour_loss / signs),
        cell_loss: (signs > 0.0).then(|| cell_loss / signs),
        message: (messages > 0.0).then(|| message / messages),
    }
}

/// The chance that a message which is read is read at this age, where `hazard` is the mean of a gamma
/// distribution of the given shape.
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

impl Score {
    /// Whether the new scores are better than the old by more than so many standard errors of the
    /// paired difference.
    pub(super) fn better(new: &[Self], old: &[Self], errors: f64) -> bool {
        let n = new.len() as f64;
        let differences = || new.iter().zip(old).map(|(new, old)| new.value - old.value);
        let mean = differences().sum::<f64>() / n;
        let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        mean > errors * (variance / n).sqrt()
    }
}

/// Held-out figures of a model: means over people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// People whose newer evidence was foretold.
    pub people: usize,
    /// Log-likelihood of when an observation was made, relative to knowing nothing, in nats: what
    /// settings are chosen by.
    pub value: f64,
    /// Its standard error over people.
    pub error: f64,
    /// Log-loss of the next sign by hour of day, in nats; `None` without signs.
    pub hour_loss: Option<f64>,
    /// Log-loss of the next sign by weekday and four hours, in nats; `None` without signs.
    pub cell_loss: Option<f64>,
    /// Log-likelihood of a message's fate, in nats; `None` without messages.
    pub message: Option<f64>,
}

impl HeldOut {
    pub(super) fn of(scores: &[Score]) -> Self {
        let mean = |part: fn(&Score) -> Option<f64>| {
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

    /// Whether settings surely foretell less than at another time.
    pub(super) fn is_worse_than(&self, then: &Self) -> bool {
        const ERRORS: f64 = 2.0;
        !self.value.is_finite() || self.value < then.value - ERRORS * self.error.hypot(then.error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reading::{Receipts, Watch};
    use super::*;

    fn habit(peak: usize, level: f32) -> Habit {
        let mut week = [0.4; WEEK_HOURS];
        (0..7).for_each(|day| week[day * 24 + peak] = 14.8);
        Habit { week, plain: week, level, certainty: 3.0, share: vec![1.0] }
    }

    /// Messages of 10:00 that were read at 20:00, or not within two days.
    fn evening(seen: &[bool]) -> Sight {
        let watch = |(day, seen): (i32, &bool)| Watch {
            begin: day * 72 + 10,
            start: (day * 72 + 10).rem_euclid(168) as u8,
            hours: if *seen { 10 } else { 48 },
            seen: *seen,
            acted: false,
            content: None,
            days: 0.0,
        };
        let watches = (0..).zip(seen).map(watch).collect();
        Sight { watches, signs: Vec::new(), receipts: Receipts::On }
    }

    fn judge(habit: &Habit, sight: &Sight) -> Score {
        score(habit, sight, &Fading::default(), &OwnTastes::default())
    }

    #[test]
    fn who_reads_much_does_not_decide_when() {
        let sight = evening(&[true, false, true, false]);
        let (right, wrong) = (judge(&habit(20, 0.1), &sight), judge(&habit(9, 0.1), &sight));
        assert!(right.value > 2.5 && wrong.value < 0.0, "{right:?} {wrong:?}");
        let keen = judge(&habit(20, 0.15), &sight);
        assert!((keen.value - right.value).abs() < 0.1, "{keen:?} {right:?}");
        let unread = evening(&[true, false, true, false, false, false]);
        assert!((judge(&habit(20, 0.1), &unread).value - right.value).abs() < 1e-9);
        assert!(judge(&habit(20, 0.1), &unread).message < right.message);
    }

    #[test]
    fn the_chances_of_all_ages_sum_to_one() {
        let hazard = |age: usize| if age % 24 == 10 { 0.4 } else { 0.01 };
        let total: f64 = (0..AGE_MAX).map(|age| age_chance(age, 2.5, hazard)).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }
}
