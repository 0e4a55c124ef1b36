//! Shares and their differences, never without an interval.

use serde::Serialize;

/// A figure and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Interval {
    /// The estimate.
    pub mean: f64,
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The 97.5 % point of the standard normal distribution.
const Z: f64 = 1.959_963_985;

impl Interval {
    /// A share with the interval of Wilson, JASA 22 (1927).
    pub fn of_share(hits: u64, of: u64) -> Self {
        Self::of_share_within(hits, of, Z)
    }

    /// The same, so many standard errors to each side.
    pub(super) fn of_share_within(hits: u64, of: u64, z: f64) -> Self {
        if of == 0 {
            return Self { mean: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, p) = (of as f64, hits as f64 / of as f64);
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        Self { mean: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }

    /// The difference of two independent shares with the interval of Newcombe, Statistics in
    /// Medicine 17 (1998), method 10.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let mean = self.mean - other.mean;
        let down = (self.mean - self.low).hypot(other.high - other.mean);
        let up = (self.high - self.mean).hypot(other.mean - other.low);
        Self { mean, low: mean - down, high: mean + up }
    }

    /// A difference of shares in points, as people read it.
    pub fn points(self) -> String {
        let [mean, low, high] = [self.mean, self.low, self.high].map(|share| 100.0 * share);
        format!("{mean:+.2} points ({low:+.2} to {high:+.2})")
    }

    /// In per cent, as people read it.
    pub fn percent(self) -> String {
        let [mean, low, high] = [self.mean, self.low, self.high].map(|share| 100.0 * share);
        format!("{mean:.1} % ({low:.1} to {high:.1})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe, Statistics in Medicine 17 (1998) 857–872, table I: 81 of 263
        let interval = Interval::of_share(81, 263);
        assert!((interval.low - 0.2553).abs() < 5e-5 && (interval.high - 0.3662).abs() < 5e-5);
        assert!((Interval::of_share(0, 0).high - 1.0).abs() < 1e-12);
    }

    #[test]
    fn newcombes_difference_is_the_published_one() {
        // Newcombe, Statistics in Medicine 17 (1998) 873–890, table II (a): 56/70 − 48/80
        let difference = Interval::of_share(56, 70).minus(Interval::of_share(48, 80));
        assert!((difference.mean - 0.2).abs() < 1e-9);
        assert!((difference.low - 0.0524).abs() < 5e-5 && (difference.high - 0.3339).abs() < 5e-5);
    }
}
