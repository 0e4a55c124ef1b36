//! From computed chances to calibrated ones, by isotonic regression.
//!
//! A curve is learned from some people and kept only where it surely predicts others better; how
//! far chances and shares then lie apart is measured on people who played no part in either.

use crate::learn::error::FitError;
use crate::learn::response::estimators;
use crate::learn::statistics::reliability::{calibration_error, reliability};
use crate::model::preference::Curve;

/// A curve is kept for a gain of so many standard errors.
pub(in crate::learn) const ERRORS: f64 = 2.0;

/// A curve through an isotonic regression: straight between the middles of its steps, so that what
/// was apart stays apart.
pub(in crate::learn) fn curve(mut pairs: Vec<(f64, bool)>) -> Result<Curve, FitError> {
    const BINS_MAX: usize = 40;
    const BIN_MIN: usize = 100;
    const STEPS_MIN: usize = 2;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let bins = (pairs.len() / BIN_MIN).clamp(2, BINS_MAX);
    let bins = reliability(numbers(pairs), bins);
    let (chances, shares): (Vec<f64>, Vec<f64>) = bins.into_iter().unzip();
    let mut steps: Vec<(f64, f64, f64)> = Vec::new();
    for (chance, share) in estimators::isotonic(&chances, &shares)? {
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

fn numbers(pairs: Vec<(f64, bool)>) -> Vec<(f64, f64)> {
    let number = |(chance, happened)| (chance, f64::from(u8::from(happened)));
    pairs.into_iter().map(number).collect()
}

/// Expected calibration error in ten bins of equal size.
pub(in crate::learn) fn error(pairs: Vec<(f64, bool)>) -> f64 {
    calibration_error(&reliability(numbers(pairs), 10))
}

/// Log-loss of a chance.
pub(in crate::learn) fn surprise(chance: f32, happened: bool) -> f64 {
    let chance = f64::from(chance).clamp(1e-6, 1.0 - 1e-6);
    -(if happened { chance } else { 1.0 - chance }).ln()
}

/// Whether the mean of independent gains is above 0 by so many standard errors.
pub(in crate::learn) fn surely_positive(gains: &[f64], errors: f64) -> bool {
    let n = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / n;
    mean > errors * (variance / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_learns_that_chances_are_half_of_what_is_said() {
        let pairs = |from: usize| -> Vec<(f64, bool)> {
            (from..from + 20_000)
                .map(|i| {
                    let chance = ((i * 7_919) % 1_000) as f64 / 2_000.0 + 0.01;
                    (chance, ((i * 104_729) % 10_007) as f64 / 10_007.0 < chance / 2.0)
                })
                .collect()
        };
        let curve = curve(pairs(0)).unwrap();
        for chance in [0.1f32, 0.2, 0.3, 0.4] {
            assert!(
                (curve.at(chance) - chance / 2.0).abs() < 0.02,
                "{chance}: {}",
                curve.at(chance)
            );
        }
        let calibrated =
            |(chance, happened): (f64, bool)| (f64::from(curve.at(chance as f32)), happened);
        let after = error(pairs(50_000).into_iter().map(calibrated).collect());
        assert!(after < 0.01 && error(pairs(50_000)) > 0.1, "{after}");
    }

    #[test]
    fn a_gain_is_sure_when_it_is_far_from_chance() {
        let gains: Vec<f64> = (0..1_000).map(|i| f64::from(i % 2) - 0.45).collect();
        assert!(surely_positive(&gains, 2.0) && !surely_positive(&gains[..100], 2.0));
        assert!(!surely_positive(&[], 2.0));
    }
}
