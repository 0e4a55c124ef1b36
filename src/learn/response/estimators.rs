//! The doors to `linfa`: what it fits for the rest of `learn`. Owns the conversion to and from its
//! matrices; refuses to hand its types on.

use linfa::dataset::Pr;
use linfa::prelude::Predict;
use linfa::traits::Fit;
use linfa::{Dataset, ParamGuard};
use linfa_ftrl::Ftrl;
use linfa_linear::IsotonicRegression;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use rand::rngs::mock::StepRng;

use crate::learn::error::FitError;

/// A fitted logistic regression: log-odds of `true`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct LogitFit<const N: usize> {
    pub(in crate::learn) intercept: f64,
    pub(in crate::learn) weights: [f64; N],
}

fn matrix<const N: usize>(rows: &[[f64; N]]) -> Array2<f64> {
    let flat = rows.iter().flatten().copied().collect();
    Array2::from_shape_vec((rows.len(), N), flat).expect("as many numbers as rows × columns")
}

/// Fits a logistic regression with a light ridge; both outcomes must occur.
pub(in crate::learn) fn logistic<const N: usize>(
    rows: &[[f64; N]],
    outcomes: &[bool],
) -> Result<LogitFit<N>, FitError> {
    let data = Dataset::new(matrix(rows), Array1::from(outcomes.to_vec()));
    let model = LogisticRegression::default()
        .alpha(1.0)
        .max_iterations(100)
        .fit(&data)
        .map_err(|cause| FitError::new("responses", cause))?;
    // which outcome is called positive depends on which is met first and which is rarer
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    let line = LogitFit {
        intercept: sign * model.intercept(),
        weights: std::array::from_fn(|i| sign * model.params()[i]),
    };
    let finite = line.intercept.is_finite() && line.weights.iter().all(|w| w.is_finite());
    if finite { Ok(line) } else { Err(FitError::new("responses", "a weight is not finite")) }
}

/// Learns row by row what is to be added to log-odds, beginning with nothing; `chance` hears the
/// number of each row and what is added to its log-odds by then, and says the chance that this
/// makes.
pub(in crate::learn) fn follow<const N: usize>(
    rows: &[[f64; N]],
    outcomes: &[bool],
    mut chance: impl FnMut(usize, f64) -> f32,
) -> Result<[f64; N], FitError> {
    const BATCH: usize = 32;
    // its weights begin with what the generator draws: nothing but zeros
    let params = Ftrl::params_with_rng(StepRng::new(0, 0))
        .alpha(0.1)
        .beta(1.0)
        .l1_ratio(0.0)
        .l2_ratio(0.5)
        .check()
        .map_err(|cause| FitError::new("responses between nights", cause))?;
    let mut model = Ftrl::new(params, N);
    let mut index = 0;
    for (rows, outcomes) in rows.chunks(BATCH).zip(outcomes.chunks(BATCH)) {
        let data = Dataset::new(matrix(rows), Array1::from(outcomes.to_vec()));
        let added = data.records().dot(&model.get_weights());
        let mut chances = Vec::with_capacity(rows.len());
        for more in added {
            let share = chance(index, more);
            if !(0.0..=1.0).contains(&share) {
                return Err(FitError::new("responses between nights", "a chance is not finite"));
            }
            chances.push(Pr::new(share));
            index += 1;
        }
        model.update(&data, Array1::from(chances).view());
    }
    let weights = model.get_weights();
    Ok(std::array::from_fn(|i| weights[i]))
}

/// The isotonic regression of outcomes on chances, as points of a curve; to be given sorted by
/// chance.
pub(in crate::learn) fn isotonic(
    chances: &[f64],
    outcomes: &[f64],
) -> Result<Vec<(f64, f64)>, FitError> {
    assert!(chances.is_sorted(), "the fit takes the order of rows for that of chances");
    let records: Vec<[f64; 1]> = chances.iter().map(|chance| [*chance]).collect();
    let data = Dataset::new(matrix(&records), Array1::from(outcomes.to_vec()));
    let model = IsotonicRegression::new()
        .fit(&data)
        .map_err(|cause| FitError::new("calibration", cause))?;
    let fitted = model.predict(&data);
    Ok(chances.iter().copied().zip(fitted.iter().copied()).collect())
}
