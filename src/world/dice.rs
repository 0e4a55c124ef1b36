//! Chance as a function: every draw is a hash of what it decides, so that the order of questions
//! never matters and a restart repeats every answer.

/// A point in the tree of all draws. Each point gives one number; [`Dice::with`] leads to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The root of a world.
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x6f70_706f_7274_756e))
    }

    /// The point below this one that `what` names.
    pub(crate) fn with(self, what: u64) -> Self {
        Self(mix(self.0.rotate_left(23) ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The point below this one that a text names.
    pub(crate) fn text(self, text: &str) -> Self {
        text.as_bytes().chunks(8).fold(self.with(text.len() as u64), |dice, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            dice.with(u64::from_le_bytes(word))
        })
    }

    /// A number to start a generator from.
    pub(crate) fn seed(self) -> u64 {
        self.0
    }

    /// Uniform in (0, 1), the ends excluded.
    pub(crate) fn unit(self) -> f64 {
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Uniform in (`low`, `high`).
    pub(crate) fn between(self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with a probability.
    pub(crate) fn chance(self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of 0 to `count` − 1, each as likely.
    pub(super) fn below(self, count: usize) -> usize {
        ((u128::from(self.0) * count as u128) >> 64) as usize
    }

    /// The index of one of `weights`, as likely as its weight.
    pub(super) fn pick(self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (index, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
            last = index;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// Standard normal (Box and Muller 1958).
    pub(super) fn normal(self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.with(1).unit()).cos()
    }

    /// Exponential with mean 1.
    pub(super) fn exponential(self) -> f64 {
        -self.unit().ln()
    }

    /// Log-normal with a median and a spread in logarithms.
    pub(super) fn around(self, median: f64, spread: f64) -> f64 {
        median * (spread * self.normal()).exp()
    }

    /// Logistic with mean 0 and scale 1: quick both ways, which keeps [`super::rhythm`] exact.
    pub(super) fn logistic(self) -> f64 {
        let u = self.unit();
        (u / (1.0 - u)).ln()
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014, variant 13 of Stafford).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_claim() {
        let count = 100_000;
        let dice = |i: u64| Dice::new(7).with(3).with(i);
        let moments = |draw: &dyn Fn(Dice) -> f64| {
            let (sum, squares) =
                (0..count).map(|i| draw(dice(i))).fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
            let mean = sum / count as f64;
            (mean, squares / count as f64 - mean * mean)
        };
        for (draw, mean, variance) in [
            (&Dice::unit as &dyn Fn(Dice) -> f64, 0.5, 1.0 / 12.0),
            (&Dice::normal, 0.0, 1.0),
            (&Dice::exponential, 1.0, 1.0),
            (&Dice::logistic, 0.0, std::f64::consts::PI.powi(2) / 3.0),
        ] {
            let (m, v) = moments(draw);
            let error = (variance / count as f64).sqrt();
            assert!((m - mean).abs() < 4.5 * error, "mean {m}, not {mean}");
            assert!((v / variance - 1.0).abs() < 0.05, "variance {v}, not {variance}");
        }
    }

    #[test]
    fn neighbours_are_not_alike() {
        let root = Dice::new(1);
        assert_ne!(root.text("ab"), root.text("ba"));
        assert_ne!(root.text("a").text("b"), root.text("ab"));
        assert_ne!(root.with(1).with(2), root.with(2).with(1));
        let picks = (0..30_000).filter(|i| root.with(*i).pick([1.0, 0.0, 2.0].into_iter()) == 2);
        assert!((19_500..20_500).contains(&picks.count()));
    }
}
