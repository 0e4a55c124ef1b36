//! Bounds on the work of a fit.

/// Bounds on the work of a fit; none of them is a habit of anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most people that the population's figures are fitted to.
    pub sample_max: usize,
    /// The most people that hyper-parameters are chosen on.
    pub tune_max: usize,
    /// With fewer people than this, hyper-parameters stay at their defaults.
    pub tune_min: usize,
    /// Rounds of expectation–maximization.
    pub rounds: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sample_max: 10_000, tune_max: 5_000, tune_min: 50, rounds: 20 }
    }
}
