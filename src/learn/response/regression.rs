//! The chance that somebody answers a message, or opts out over it: what is known of the person,
//! the content, fatigue and the time since the last answer, combined by logistic regression.
//!
//! Features of a message come from what was known when it was sent. The regression is fitted on the
//! messages of which the outcome was known first; a content's effect on one half of the people
//! comes from the other half. What is chosen, what is calibrated and what is measured on the newer
//! messages are of different people: a figure is never measured on rows that it was chosen by.

use serde::{Deserialize, Serialize};

use crate::learn::data::hash::mix;
use crate::learn::error::FitError;
use crate::learn::response::calibration;
use crate::learn::response::calibration::{curve, surely_positive, surprise};
use crate::learn::response::content_effects::{AdjustedOutcome, effects};
use crate::learn::response::estimators;
use crate::learn::statistics::special::sigmoid;
use crate::model::preference::Curve;

/// Person's rate, content's effect, fatigue, days since an answer, marketing.
pub(in crate::learn) const FEATURES: usize = 5;
/// The content's among them.
const CONTENT: usize = 1;
/// What is changed for the better is better by so many standard errors.
const ERRORS: f64 = 2.0;

/// A message as it looked before it was sent, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct RegressionRow {
    /// Whose.
    pub(in crate::learn) person: u32,
    /// From when on it was known what came of it, in seconds.
    pub(in crate::learn) settled: u32,
    pub(in crate::learn) content: Option<u16>,
    /// The content's is 0.
    pub(in crate::learn) features: [f64; FEATURES],
    pub(in crate::learn) happened: bool,
}

impl RegressionRow {
    /// One of so many groups of people.
    fn group(&self, groups: u64) -> u64 {
        mix(u64::from(self.person) ^ 0x9e37) % groups
    }

    fn answered(&self) -> AdjustedOutcome {
        let Self { content, features, happened, .. } = *self;
        AdjustedOutcome { content, log_odds: features[0], happened }
    }
}

/// From features to a chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct AnswerRegression {
    intercept: f64,
    weights: [f64; FEATURES],
    /// What each content adds to the log-odds, by its number.
    effects: Vec<f64>,
    /// From the regression's chance to a calibrated one.
    pub(in crate::learn) calibration: Curve,
    /// Expected calibration error on newer messages of people who played no part in it; absent when
    /// there were too few.
    pub(in crate::learn) error: Option<f64>,
}

impl Default for AnswerRegression {
    /// The shrunken rate of the person, moved by the content's effect.
    fn default() -> Self {
        Self {
            intercept: 0.0,
            weights: [1.0, 1.0, 0.0, 0.0, 0.0],
            effects: Vec::new(),
            calibration: Curve::default(),
            error: None,
        }
    }
}

impl AnswerRegression {
    const ROWS_MIN: usize = 200;
    const EACH_MIN: usize = 20;
    const OLDER: f64 = 0.6;

    /// Log-odds before calibration.
    pub(in crate::learn) fn log_odds(
        &self,
        features: &[f64; FEATURES],
        content: Option<u16>,
    ) -> f64 {
        let effect = content.map_or(0.0, |content| self.content_effect(usize::from(content)));
        let own = features.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>();
        self.intercept + own + effect
    }

    /// What a content adds to the log-odds.
    pub(in crate::learn) fn content_effect(&self, content: usize) -> f64 {
        self.weights[CONTENT] * self.effects.get(content).copied().unwrap_or(0.0)
    }

    /// What each log of one more than the recent messages adds to the log-odds.
    pub(in crate::learn) fn fatigue_weight(&self) -> f64 {
        self.weights[2]
    }

    /// What marketing adds to the log-odds.
    pub(in crate::learn) fn marketing_weight(&self) -> f64 {
        self.weights[4]
    }

    pub(in crate::learn) fn is_finite(&self) -> bool {
        let points = self.calibration.0.iter().flat_map(|(x, y)| [*x, *y]);
        let numbers = self.weights.iter().chain(&self.effects).chain([&self.intercept]);
        numbers.into_iter().all(|w| w.is_finite()) && points.into_iter().all(f32::is_finite)
    }

    fn odds(&self, row: &RegressionRow) -> f64 {
        self.log_odds(&row.features, row.content)
    }

    /// Fits to rows in any order.
    pub(in crate::learn) fn fit(
        mut rows: Vec<RegressionRow>,
        contents: usize,
    ) -> Result<Self, FitError> {
        sort(&mut rows);
        let (older, newer) = rows.split_at((rows.len() as f64 * Self::OLDER) as usize);
        let all: Vec<AdjustedOutcome> = rows.iter().map(RegressionRow::answered).collect();
        let known: Vec<AdjustedOutcome> = older.iter().map(RegressionRow::answered).collect();
        let mut regression = Self { effects: effects(&known, contents), ..Self::default() };
        if enough(older) {
            let line = estimators::logistic(&crossed(older, contents), &outcomes(older))?;
            let fitted =
                Self { intercept: line.intercept, weights: line.weights, ..regression.clone() };
            let of = |groups: std::ops::Range<u64>| -> Vec<RegressionRow> {
                newer.iter().filter(|row| groups.contains(&row.group(8))).copied().collect()
            };
            let (choosing, calibrating, judging, measuring) =
                (of(0..2), of(2..5), of(5..6), of(6..8));
            let gain = |row: &RegressionRow| {
                loss(regression.odds(row), row.happened) - loss(fitted.odds(row), row.happened)
            };
            if surely_positive(&choosing.iter().map(gain).collect::<Vec<f64>>(), ERRORS) {
                regression = fitted;
            }
            if enough(&calibrating) && enough(&judging) {
                regression.calibrate(&calibrating, &judging)?;
            }
            regression.error = enough(&measuring).then(|| regression.reliability(&measuring));
        }
        regression.effects = effects(&all, contents);
        Ok(regression)
    }

    /// Learns a curve, and keeps it where it surely predicts other people better.
    fn calibrate(
        &mut self,
        rows: &[RegressionRow],
        judging: &[RegressionRow],
    ) -> Result<(), FitError> {
        let curve = curve(rows.iter().map(|r| (self.chance(r), r.happened)).collect())?;
        let gain = |row: &RegressionRow| {
            let chance = self.chance(row) as f32;
            surprise(chance, row.happened) - surprise(curve.at(chance), row.happened)
        };
        let gains: Vec<f64> = judging.iter().map(gain).collect();
        if surely_positive(&gains, ERRORS) {
            self.calibration = curve;
        }
        Ok(())
    }

    fn chance(&self, row: &RegressionRow) -> f64 {
        sigmoid(self.odds(row))
    }

    fn reliability(&self, rows: &[RegressionRow]) -> f64 {
        let calibrated = |row: &RegressionRow| {
            (f64::from(self.calibration.at(self.chance(row) as f32)), row.happened)
        };
        calibration::error(rows.iter().map(calibrated).collect())
    }

    /// Follows what became known after `fitted_until`, message after message, beginning with this
    /// regression's own chances; takes what that adds to the log-odds where it predicted the
    /// messages surely better, each before it was learned from. The calibration stays.
    pub(in crate::learn) fn refresh(
        &mut self,
        mut rows: Vec<RegressionRow>,
        fitted_until: u32,
    ) -> Result<bool, FitError> {
        rows.retain(|row| row.settled >= fitted_until);
        sort(&mut rows);
        if rows.len() < Self::ROWS_MIN {
            return Ok(false);
        }
        let odds: Vec<f64> = rows.iter().map(|row| self.odds(row)).collect();
        if odds.iter().any(|odds| !odds.is_finite()) {
            return Err(FitError::new("responses between nights", "they are not finite"));
        }
        let added: Vec<[f64; FEATURES]> = rows
            .iter()
            .map(|row| {
                let mut x = row.features;
                x[CONTENT] = 1.0;
                x
            })
            .collect();
        let outcomes = outcomes(&rows);
        let mut gains = Vec::with_capacity(rows.len());
        let weights = estimators::follow(&added, &outcomes, |index, more| {
            let chance = |odds: f64| self.calibration.at(sigmoid(odds) as f32);
            let (now, before) = (chance(odds[index] + more), chance(odds[index]));
            gains.push(surprise(before, outcomes[index]) - surprise(now, outcomes[index]));
            now
        })?;
        if !surely_positive(&gains, ERRORS) {
            return Ok(false);
        }
        self.intercept += weights[CONTENT];
        for (index, (weight, added)) in self.weights.iter_mut().zip(weights).enumerate() {
            *weight += if index == CONTENT { 0.0 } else { added };
        }
        Ok(true)
    }
}

fn sort(rows: &mut [RegressionRow]) {
    rows.sort_by_key(|row| {
        (row.settled, row.person, row.happened, row.features.map(f64::to_bits), row.content)
    });
}

fn outcomes(rows: &[RegressionRow]) -> Vec<bool> {
    rows.iter().map(|row| row.happened).collect()
}

fn enough(rows: &[RegressionRow]) -> bool {
    let happened = rows.iter().filter(|row| row.happened).count();
    happened.min(rows.len() - happened) >= AnswerRegression::EACH_MIN
        && rows.len() >= AnswerRegression::ROWS_MIN
}

/// Features with each content's effect as the other half of the people show it.
fn crossed(rows: &[RegressionRow], contents: usize) -> Vec<[f64; FEATURES]> {
    let halves: [Vec<f64>; 2] = [1, 0].map(|other| {
        let of_other = rows.iter().filter(|row| row.group(2) == other);
        effects(&of_other.map(RegressionRow::answered).collect::<Vec<_>>(), contents)
    });
    let features = |row: &RegressionRow| {
        let mut features = row.features;
        let half = &halves[row.group(2) as usize];
        let effect = row.content.and_then(|content| half.get(usize::from(content)));
        features[CONTENT] = effect.copied().unwrap_or(0.0);
        features
    };
    rows.iter().map(features).collect()
}

/// Log-loss of log-odds.
fn loss(log_odds: f64, happened: bool) -> f64 {
    let against = if happened { -log_odds } else { log_odds };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rows(count: u32, from: u32, odds: impl Fn(&[f64; FEATURES]) -> f64) -> Vec<RegressionRow> {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(from) + 5);
        (0..count)
            .map(|i| {
                let features = [
                    random.gen_range(-3.0..0.0),
                    0.0,
                    random.gen_range(0.0..2.0),
                    random.gen_range(0.0..2.0),
                    1.0,
                ];
                let happened = random.gen_bool(sigmoid(odds(&features)));
                RegressionRow {
                    person: i % 977,
                    settled: from + i,
                    content: None,
                    features,
                    happened,
                }
            })
            .collect()
    }

    #[test]
    fn fatigue_is_found_and_the_chances_are_calibrated() {
        let regression =
            AnswerRegression::fit(rows(100_000, 0, |x| x[0] + 0.5 - 0.8 * x[2]), 0).unwrap();
        let tired = |by: f64| regression.log_odds(&[-1.0, 0.0, by, 1.0, 1.0], None);
        assert!((tired(0.0) - tired(1.0) - 0.8).abs() < 0.15, "{regression:?}");
        assert!(regression.error.unwrap() < 0.02, "{regression:?}");
    }

    #[test]
    fn too_few_rows_leave_the_shrunken_rates() {
        assert_eq!(
            AnswerRegression::fit(rows(150, 0, |x| x[0]), 0).unwrap(),
            AnswerRegression::default()
        );
        assert_eq!(AnswerRegression::fit(Vec::new(), 0).unwrap(), AnswerRegression::default());
    }

    /// Contents that do nothing, each with few messages: their effects fit the rows that they come
    /// from, and say nothing of others.
    #[test]
    fn contents_of_chance_are_not_taken_for_causes() {
        let mut all = rows(12_000, 0, |x| x[0] - 1.0);
        for (i, row) in (0..).zip(&mut all) {
            row.content = Some(i % 300);
        }
        let regression = AnswerRegression::fit(all, 300).unwrap();
        let effects: Vec<f64> =
            (0..300).map(|content| regression.content_effect(content)).collect();
        let spread = (effects.iter().map(|e| e * e).sum::<f64>() / 300.0).sqrt();
        assert!(spread < 0.12, "{spread}");
        assert!(regression.error.unwrap() < 0.02, "{:?}", regression.error);
    }

    #[test]
    fn a_change_between_nights_is_followed() {
        let mut regression = AnswerRegression::fit(rows(8_000, 0, |x| x[0]), 0).unwrap();
        let before = regression.clone();
        assert!(regression.refresh(rows(6_000, 8_000, |x| x[0] - 1.5), 8_000).unwrap());
        let probe = [-1.0, 0.0, 1.0, 1.0, 1.0];
        assert!(
            regression.log_odds(&probe, None) < before.log_odds(&probe, None) - 0.7,
            "{regression:?}"
        );
        assert_eq!(regression.calibration, before.calibration);
        let mut again = before.clone();
        again.refresh(rows(150, 8_000, |x| x[0]), 8_000).unwrap();
        assert_eq!(again, before);
    }

    #[test]
    fn where_nothing_changed_nothing_is_followed() {
        let regression = AnswerRegression::fit(rows(20_000, 0, |x| x[0]), 0).unwrap();
        let mut fresh = regression.clone();
        fresh.refresh(rows(1_000, 20_000, |x| x[0]), 20_000).unwrap();
        let probe = [-1.0, 0.0, 1.0, 1.0, 1.0];
        let moved = fresh.log_odds(&probe, None) - regression.log_odds(&probe, None);
        assert!(moved.abs() < 0.15, "{moved}");
    }
}
