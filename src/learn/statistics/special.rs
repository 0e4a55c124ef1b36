//! Special functions and distributions, as `statrs` has them; and how much one person counts.

use statrs::distribution::{ContinuousCDF, Gamma};
pub(in crate::learn) use statrs::function::gamma::{digamma, ln_gamma};

/// As many observations of one person, taken together, count half of what they would if each were
/// another person's.
const VOICE: f64 = 100.0;

/// The weight of each of so many observations of one person where a figure is everybody's: all of
/// them together count as at most [`VOICE`] of different people, since what a person does many
/// times is no news of others.
pub(in crate::learn) fn person_weight(observations: f64) -> f64 {
    VOICE / (VOICE + observations)
}

/// The chance of so many log-odds.
pub(in crate::learn) fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// The logarithm of the sum of numbers whose logarithms are given.
pub(in crate::learn) fn log_sum(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln()
}

/// The point below which a share of a gamma distribution of mean 1 lies.
pub(in crate::learn) fn gamma_quantile(shape: f64, share: f64) -> f64 {
    Gamma::new(shape, shape).map_or(1.0, |gamma| gamma.inverse_cdf(share))
}

/// The place of the largest; of equals, the first.
pub(in crate::learn) fn best(values: impl Iterator<Item = f64>) -> usize {
    let larger = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
    values.enumerate().fold((0, f64::NEG_INFINITY), larger).0
}
