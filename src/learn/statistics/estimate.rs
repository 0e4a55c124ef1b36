//! Figures that are never told without their interval.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 400;
/// The 97.5 % point of the standard normal distribution.
pub(in crate::learn) const Z: f64 = 1.959_963_985;

/// A figure with the ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// 2.5 % lie below.
    pub low: f64,
    /// 2.5 % lie above.
    pub high: f64,
}

impl Estimate {
    /// The mean over people, with percentiles of its bootstrap: people are resampled.
    pub(in crate::learn) fn bootstrap(figures: &[f64], random: &mut ChaCha8Rng) -> Self {
        let n = figures.len();
        let mean = |sum: f64| sum / n as f64;
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| mean((0..n).map(|_| figures[random.gen_range(0..n)]).sum()))
            .collect();
        means.sort_by(f64::total_cmp);
        let value = mean(figures.iter().sum());
        let tail = RESAMPLES / 40;
        Self { value, low: means[tail], high: means[RESAMPLES - 1 - tail] }
    }

    /// A share of so many, by Wilson (1927).
    pub(in crate::learn) fn share(count: usize, of: usize) -> Self {
        let (n, p) = (of as f64, count as f64 / of as f64);
        let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { value: p, low: middle - half, high: middle + half }
    }

    /// For people, multiplied by a scale: `2.213 (2.190 to 2.236)`.
    pub fn text(&self, scale: f64, digits: usize) -> String {
        let [value, low, high] = [self.value, self.low, self.high].map(|x| scale * x);
        format!("{value:.digits$} ({low:.digits$} to {high:.digits$})")
    }

    /// Whether the interval holds a value.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Whether the interval holds 0.
    pub(in crate::learn) fn is_unsure(&self) -> bool {
        self.low <= 0.0 && 0.0 <= self.high
    }

    /// How many times as many people would bring 0 out of the interval, if the figure is as it
    /// seems; the interval shrinks with the root of their number.
    pub(in crate::learn) fn times_needed(&self) -> f64 {
        let half = (self.high - self.low) / 2.0;
        (half / self.value.abs().max(1e-12)).powi(2)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn an_interval_holds_its_share_and_narrows_with_people() {
        let (few, many) = (Estimate::share(5, 20), Estimate::share(500, 2000));
        assert!(few.low < 0.25 && 0.25 < few.high && many.high - many.low < few.high - few.low);
        assert!(Estimate::share(0, 20).low.abs() < 1e-12 && Estimate::share(0, 20).high > 0.1);
    }

    #[test]
    fn the_bootstrap_finds_the_standard_error() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let figures: Vec<f64> = (0..900).map(|i| f64::from(i % 2) * 2.0 - 0.9).collect();
        let estimate = Estimate::bootstrap(&figures, &mut random);
        assert!((estimate.value - 0.1).abs() < 1e-9 && !Estimate { ..estimate }.low.is_nan());
        assert!((estimate.high - estimate.low - 2.0 * Z / 30.0).abs() < 0.02, "{estimate:?}");
        // an interval of ±0.065 around 0.1 would still be sure with 0.43 times as many
        assert!((estimate.times_needed() - 0.43).abs() < 0.15 && !estimate.is_unsure());
    }
}
