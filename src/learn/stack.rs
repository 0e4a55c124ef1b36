//! The chance that somebody answers a message, or opts out over it: what is known of the person,
//! the content, fatigue and the time since the last answer, stacked by logistic regression.
//!
//! Features of a message come from what happened before it was sent: figures of the same window
//! would know the outcome. The regression is fitted on the older messages and calibrated on the
//! newer ones, and stands only if it foretells those better than the shrunken rates alone.

use serde::{Deserialize, Serialize};

use super::FitError;
use super::fit;
use crate::model::preference::Curve;

/// Person's rate, content's effect, fatigue, days since an answer, marketing.
pub(super) const FEATURES: usize = 5;

/// A message as it looked before it was sent, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// When it was sent, in seconds.
    pub(super) at: u32,
    pub(super) features: [f64; FEATURES],
    pub(super) happened: bool,
}

/// From features to a chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stack {
    intercept: f64,
    weights: [f64; FEATURES],
    /// From the regression's chance to a calibrated one.
    pub(super) calibration: Curve,
    /// Expected calibration error on the newer messages; absent when there were too few.
    pub(super) error: Option<f64>,
}

impl Default for Stack {
    /// The shrunken rate of the person, moved by the content's effect.
    fn default() -> Self {
        Self {
            intercept: 0.0,
            weights: [1.0, 1.0, 0.0, 0.0, 0.0],
            calibration: Curve::default(),
            error: None,
        }
    }
}

impl Stack {
    const ROWS_MIN: usize = 200;
    const EACH_MIN: usize = 20;
    const OLDER: f64 = 0.7;

    /// Log-odds before calibration.
    pub(super) fn log_odds(&self, features: &[f64; FEATURES]) -> f64 {
        self.intercept + features.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()
    }

    /// How much the content's effect counts.
    pub(super) fn content_weight(&self) -> f64 {
        self.weights[1]
    }

    /// What marketing adds to the log-odds.
    pub(super) fn marketing_weight(&self) -> f64 {
        self.weights[4]
    }

    pub(super) fn is_finite(&self) -> bool {
        let points = self.calibration.0.iter().flat_map(|(x, y)| [*x, *y]);
        self.weights.iter().chain([&self.intercept]).all(|w| w.is_finite())
            && points.into_iter().all(f32::is_finite)
    }

    fn loss(&self, rows: &[Row]) -> f64 {
        rows.iter().map(|row| loss(self.log_odds(&row.features), row.happened)).sum()
    }

    /// Fits to rows in any order.
    pub(super) fn fit(mut rows: Vec<Row>) -> Result<Self, FitError> {
        let mut stack = Self::default();
        rows.sort_by(|a, b| {
            let key = |row: &Row| (row.at, row.happened, row.features.map(f64::to_bits));
            key(a).cmp(&key(b))
        });
        let (older, newer) = rows.split_at((rows.len() as f64 * Self::OLDER) as usize);
        let enough = |rows: &[Row]| {
            let happened = rows.iter().filter(|row| row.happened).count();
            happened.min(rows.len() - happened) >= Self::EACH_MIN && rows.len() >= Self::ROWS_MIN
        };
        if !enough(older) {
            return Ok(stack);
        }
        let features: Vec<[f64; FEATURES]> = older.iter().map(|row| row.features).collect();
        let outcomes: Vec<bool> = older.iter().map(|row| row.happened).collect();
        let line = fit::logistic(&features, &outcomes)?;
        let fitted = Self { intercept: line.intercept, weights: line.weights, ..stack.clone() };
        if fitted.loss(newer) < stack.loss(newer) {
            stack = fitted;
        }
        if enough(newer) {
            stack.calibrate(newer)?;
        }
        Ok(stack)
    }

    /// Calibrates on the first half of newer rows, measures on the second.
    fn calibrate(&mut self, newer: &[Row]) -> Result<(), FitError> {
        let (first, second) = newer.split_at(newer.len() / 2);
        let plain = self.reliability(second);
        self.calibration = curve(first.iter().map(|r| (self.chance(r), r.happened)))?;
        let curved = self.reliability(second);
        if curved > plain {
            self.calibration = Curve::default();
        }
        self.error = Some(curved.min(plain));
        Ok(())
    }

    fn chance(&self, row: &Row) -> f64 {
        1.0 / (1.0 + (-self.log_odds(&row.features)).exp())
    }

    fn reliability(&self, rows: &[Row]) -> f64 {
        let mut pairs: Vec<(f64, bool)> = rows
            .iter()
            .map(|r| (f64::from(self.calibration.at(self.chance(r) as f32)), r.happened))
            .collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = bins(&pairs, 10);
        bins.iter().map(|(chance, share)| (chance - share).abs()).sum::<f64>() / bins.len() as f64
    }

    /// Follows newer rows one after another, and takes the weights that this leads to where they
    /// foretold those after `fitted_until` better than its own.
    pub(super) fn refresh(
        &mut self,
        mut rows: Vec<Row>,
        fitted_until: u32,
        seed: u64,
    ) -> Result<bool, FitError> {
        rows.sort_by(|a, b| {
            let key = |row: &Row| (row.at, row.happened, row.features.map(f64::to_bits));
            key(a).cmp(&key(b))
        });
        let new = rows.len() - rows.partition_point(|row| row.at < fitted_until);
        if new < Self::ROWS_MIN {
            return Ok(false);
        }
        // it starts from this stack's log-odds, and learns what to add to them
        let features: Vec<[f64; FEATURES + 1]> = rows
            .iter()
            .map(|row| {
                let mut x = [1.0; FEATURES + 1];
                x[0] = self.log_odds(&row.features);
                x[2..].copy_from_slice(&row.features[1..]);
                x
            })
            .collect();
        let outcomes: Vec<bool> = rows.iter().map(|row| row.happened).collect();
        let mut chances = Vec::with_capacity(rows.len());
        let weights = fit::follow(&features, &outcomes, seed, |c| chances.extend_from_slice(c))?;
        let newest = rows.len() - new..rows.len();
        let followed: f64 = newest
            .clone()
            .map(|i| {
                let chance = f64::from(chances[i]).clamp(1e-6, 1.0 - 1e-6);
                loss((chance / (1.0 - chance)).ln(), outcomes[i])
            })
            .sum();
        if followed >= self.loss(&rows[newest]) {
            return Ok(false);
        }
        let [scale, intercept, added @ ..] = weights;
        self.intercept = scale * self.intercept + intercept;
        self.weights.iter_mut().for_each(|w| *w *= scale);
        self.weights[1..].iter_mut().zip(added).for_each(|(w, added): (_, f64)| *w += added);
        self.calibration = Curve::default();
        Ok(true)
    }
}

/// Log-loss of log-odds.
fn loss(log_odds: f64, happened: bool) -> f64 {
    let against = if happened { -log_odds } else { log_odds };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

/// Mean chance and share of so many bins of sorted pairs.
fn bins(pairs: &[(f64, bool)], count: usize) -> Vec<(f64, f64)> {
    let mean = |bin: &[(f64, bool)]| {
        let n = bin.len() as f64;
        let share = bin.iter().filter(|(_, happened)| *happened).count() as f64 / n;
        (bin.iter().map(|(chance, _)| chance).sum::<f64>() / n, share)
    };
    pairs.chunks(pairs.len().div_ceil(count).max(1)).map(mean).collect()
}

/// A calibration curve through an isotonic regression: straight between the middles of its steps,
/// so that what was apart stays apart.
pub(super) fn curve(pairs: impl Iterator<Item = (f64, bool)>) -> Result<Curve, FitError> {
    const BINS: usize = 40;
    const STEPS_MIN: usize = 2;
    let mut pairs: Vec<(f64, bool)> = pairs.collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (chances, shares): (Vec<f64>, Vec<f64>) = bins(&pairs, BINS).into_iter().unzip();
    let mut steps: Vec<(f64, f64, f64)> = Vec::new();
    for (chance, share) in fit::isotonic(&chances, &shares)? {
        match steps.last_mut() {
            Some((sum, n, last)) if share - *last < 1e-9 => {
                *sum += chance;
                *n += 1.0;
            }
            _ => steps.push((chance, 1.0, share)),
        }
    }
    let points: Vec<(f32, f32)> = steps
        .into_iter()
        .map(|(sum, n, share)| ((sum / n) as f32, share as f32))
        .filter(|(chance, share)| *chance > 0.0 && *chance < 1.0 && *share > 0.0)
        .collect();
    Ok(if points.len() < STEPS_MIN { Curve::default() } else { Curve(points) })
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rows(count: u32, from: u32, odds: impl Fn(&[f64; FEATURES]) -> f64) -> Vec<Row> {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(from) + 5);
        (0..count)
            .map(|i| {
                let features = [
                    random.gen_range(-3.0..0.0),
                    random.gen_range(-0.5..0.5),
                    random.gen_range(0.0..2.0),
                    random.gen_range(0.0..2.0),
                    1.0,
                ];
                let chance = 1.0 / (1.0 + (-odds(&features)).exp());
                Row { at: from + i, features, happened: random.gen_bool(chance) }
            })
            .collect()
    }

    #[test]
    fn fatigue_is_found_and_the_chances_are_calibrated() {
        let stack = Stack::fit(rows(20_000, 0, |x| x[0] + 0.5 - 0.8 * x[2])).unwrap();
        let tired = |by: f64| stack.log_odds(&[-1.0, 0.0, by, 1.0, 1.0]);
        assert!((tired(0.0) - tired(1.0) - 0.8).abs() < 0.15, "{stack:?}");
        assert!(stack.error.unwrap() < 0.02, "{stack:?}");
    }

    #[test]
    fn too_few_rows_leave_the_shrunken_rates() {
        assert_eq!(Stack::fit(rows(150, 0, |x| x[0])).unwrap(), Stack::default());
        assert_eq!(Stack::fit(Vec::new()).unwrap(), Stack::default());
    }

    #[test]
    fn a_change_between_nights_is_followed() {
        let mut stack = Stack::fit(rows(8_000, 0, |x| x[0])).unwrap();
        let mut newer = rows(2_000, 6_000, |x| x[0]);
        newer.retain(|row| row.at < 8_000);
        newer.extend(rows(6_000, 8_000, |x| x[0] - 1.5));
        let before = stack.clone();
        assert!(stack.refresh(newer, 8_000, 3).unwrap());
        let probe = [-1.0, 0.0, 1.0, 1.0, 1.0];
        assert!(stack.log_odds(&probe) < before.log_odds(&probe) - 0.7, "{stack:?}");
        let still = before.clone();
        let mut again = before;
        again.refresh(rows(150, 8_000, |x| x[0]), 8_000, 3).unwrap();
        assert_eq!(again, still);
    }
}
