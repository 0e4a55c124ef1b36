//! A figure and how sure it is.

/// A figure with the ends of the interval that holds it with a probability of 90 %.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Range {
    /// Posterior mean.
    pub mean: f32,
    /// 5 % lie below.
    pub low: f32,
    /// 5 % lie above.
    pub high: f32,
}

impl Range {
    /// Around a positive mean whose relative variance is given, log-normal.
    pub(super) fn around(mean: f32, variance: f32) -> Self {
        const Z: f32 = 1.645;
        let spread = variance.ln_1p();
        let middle = mean * (-0.5 * spread).exp();
        let factor = (Z * spread.sqrt()).exp();
        Self { mean, low: middle / factor, high: middle * factor }
    }
}
