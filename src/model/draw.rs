//! One possible truth about a person, drawn from what is known: the mean over draws is the chance
//! itself.
//!
//! A drawn person's figures are quantiles of the distributions that the chances are means of: the
//! expected reads of a content are gamma-distributed, shares of answers and opt-outs beta-distributed.
//! How much of it is the level, common to all contents, and how much the taste for one, is kept (a
//! Gaussian copula). Hours move a chance in proportion, with mean 1.

use rand::Rng;
use statrs::distribution::{Beta, ContinuousCDF, Gamma, Normal};

/// The goals, and the opt-out.
const KINDS: usize = 5;

/// What was drawn for one person.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    /// Standard normal.
    level: f64,
    /// The same for each content, and for those that are not known.
    tastes: Box<[f64]>,
    /// Factors of mean 1.
    hours: [f32; 24],
    /// Shares of the distributions of answers and opt-outs that lie below.
    kinds: [f64; KINDS],
}

/// The point of a gamma distribution of mean 1 below which a share lies.
fn gamma(variance: f64, share: f64) -> f64 {
    let shape = 1.0 / variance;
    Gamma::new(shape, shape).map_or(1.0, |gamma| gamma.inverse_cdf(share))
}

impl Drawn {
    pub(super) fn new(contents: usize, certainty: &[f32; 24], random: &mut impl Rng) -> Self {
        let standard = Normal::standard();
        let mut share = || random.gen_range(1e-6..1.0 - 1e-6);
        Self {
            level: standard.inverse_cdf(share()),
            tastes: (0..=contents).map(|_| standard.inverse_cdf(share())).collect(),
            hours: certainty.map(|certainty| gamma(1.0 / f64::from(certainty), share()) as f32),
            kinds: std::array::from_fn(|_| share()),
        }
    }

    /// The factor of an hour of the day.
    pub(super) fn hour(&self, hour: usize) -> f32 {
        self.hours[hour % 24]
    }

    /// The factor of what is expected of a content, given the relative variances of the level and of
    /// the taste.
    pub(super) fn reads(&self, content: Option<usize>, level: f32, taste: f32) -> f32 {
        let (level, taste) = (f64::from(level), f64::from(taste));
        let own = self.tastes[content.unwrap_or(self.tastes.len() - 1)];
        let together = (level.sqrt() * self.level + taste.sqrt() * own) / (level + taste).sqrt();
        gamma(level + taste, Normal::standard().cdf(together)) as f32
    }

    /// A share with this mean, behind which as many messages are.
    pub(super) fn share(&self, kind: usize, mean: f32, messages: f32) -> f32 {
        let (a, b) = (f64::from(mean * messages), f64::from((1.0 - mean) * messages));
        Beta::new(a, b).map_or(mean, |beta| beta.inverse_cdf(self.kinds[kind]) as f32)
    }
}
