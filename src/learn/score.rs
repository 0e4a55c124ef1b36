//! How well a habit foretells what a person did next: the measure that settings are chosen by.

use serde::{Deserialize, Serialize};

use super::mixture::Habit;
use super::reading::{AGE_MAX, Fading, Sight};
use crate::model::preference::WEEK_HOURS;

/// One person's held-out figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// Mean log-likelihood of a held-out observation, relative to knowing nothing.
    pub(super) value: f64,
    /// Mean log-loss of a held-out sign by hour of day, in nats.
    pub(super) hour_loss: Option<f64>,
    /// Mean log-loss of a held-out sign by weekday and four hours, in nats.
    pub(super) cell_loss: Option<f64>,
    /// Mean log-likelihood of a held-out message, relative to the population's hazard.
    pub(super) message: Option<f64>,
}

/// Scores one habit against the same person's newer evidence.
pub(super) fn score(
    habit: &Habit,
    newer: &Sight,
    fading: &Fading,
    taste: impl Fn(Option<u16>) -> f32,
) -> Score {
    let mut hours = [0.0f64; 24];
    let mut cells = [0.0f64; 42];
    for (h, rate) in habit.week.iter().enumerate() {
        let share = f64::from(*rate) / WEEK_HOURS as f64;
        hours[h % 24] += share;
        cells[h / 24 * 6 + h % 24 / 4] += share;
    }
    let (mut hour_loss, mut cell_loss) = (0.0, 0.0);
    for sign in &newer.signs {
        let h = usize::from(sign.hour);
        hour_loss -= hours[h % 24].ln();
        cell_loss -= cells[h / 24 * 6 + h % 24 / 4].ln();
    }
    let mut message = 0.0;
    let mut risk = [0.0; AGE_MAX];
    for watch in &newer.watches {
        let length = fading.risk(watch, newer.receipts, &mut risk);
        let scale = habit.level * taste(watch.content);
        let start = usize::from(watch.start);
        for (age, risk) in risk[..length].iter().enumerate() {
            message -= f64::from(scale * risk * habit.week[(start + age) % WEEK_HOURS]);
        }
        if watch.seen {
            let hour = (start + usize::from(watch.hours)) % WEEK_HOURS;
            message += f64::from(scale * habit.week[hour]).ln();
        }
    }
    let (signs, messages) = (newer.signs.len() as f64, newer.watches.len() as f64);
    let presence = signs * (24f64.ln() + 42f64.ln()) / 2.0 - f64::midpoint(hour_loss, cell_loss);
    Score {
        value: (presence + message) / (signs + messages).max(1.0),
        hour_loss: (signs > 0.0).then(|| hour_loss / signs),
        cell_loss: (signs > 0.0).then(|| cell_loss / signs),
        message: (messages > 0.0).then(|| message / messages),
    }
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
    /// Log-likelihood of an observation, relative to knowing nothing, in nats: what settings are
    /// chosen by.
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
