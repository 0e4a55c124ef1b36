//! What people like to be written with: how much more readily a person reads one content than
//! another, shrunk to what everybody does.
//!
//! Of `x` reads that level 1 and affinity 1 would bring, `n ~ Poisson(x · exp(u + θ))` come, where
//! `u ~ N(μ, τ²)` is the person's level and `θ ~ N(mean_v, spread²)` the affinity for the content `v`, both
//! on the log scale. The level is integrated out, not put in: a level learned from the same reads
//! would hide half of the spread of affinities.
//!
//! Integrals are adaptive Gauss–Hermite sums around the posterior's mode, on the log scale (Liu and
//! Pierce, "A note on Gauss–Hermite quadrature", Biometrika 81, 1994): they are as good for one
//! message as for thousands, and no number of reads is too large for them.

use serde::{Deserialize, Serialize};

use crate::learn::parallel::in_chunks;

const SPREAD_FIRST: f64 = 0.6;
const ROUNDS: usize = 8;
/// A level or affinity more standard deviations from the mean than this is of another kind, and
/// moves the population's figures the less the farther it lies.
const FARTHEST: f64 = 3.0;
/// Fewer expected reads than these are as good as none.
const EXPECTED_MIN: f64 = 1e-6;

/// Nodes and weights of the Gauss–Hermite sum of degree 7, for the weight function `exp(−t²)`.
const HERMITE: [(f64, f64); 7] = [
    (-2.651_961_356_835_233, 9.717_812_450_995_19e-4),
    (-1.673_551_628_767_471, 5.451_558_281_912_7e-2),
    (-0.816_287_882_858_965, 4.256_072_526_101_278e-1),
    (0.0, 8.102_646_175_568_073e-1),
    (0.816_287_882_858_965, 4.256_072_526_101_278e-1),
    (1.673_551_628_767_471, 5.451_558_281_912_7e-2),
    (2.651_961_356_835_233, 9.717_812_450_995_19e-4),
];

/// The population's affinities; contents by their number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct AffinityModel {
    /// Mean of `ln m` of each content.
    pub(in crate::learn) mean: Vec<f64>,
    /// Standard deviation of a person's `ln m` around it.
    pub(in crate::learn) spread: f64,
    /// Mean and standard deviation of people's levels on the log scale.
    level: (f64, f64),
}

/// What one person did with one content: reads, and the reads expected of level 1 and affinity 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct ContentReads {
    pub(in crate::learn) content: u16,
    pub(in crate::learn) reads: f64,
    pub(in crate::learn) expected: f64,
}

/// A person's affinity for one content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct AffinityPosterior {
    pub(in crate::learn) content: u16,
    /// Posterior mean of `m`, weighed by the level.
    pub(in crate::learn) mean: f64,
    /// Posterior standard deviation of `ln m`.
    pub(in crate::learn) spread: f64,
}

/// A posterior of one affinity given the level, as nodes and weights that sum to 1.
#[derive(Debug, Clone, Copy)]
struct Nodes([(f64, f64); HERMITE.len()]);

/// A level, its posterior weight, and the affinities of all contents that were tried given it.
struct AtLevel {
    level: f64,
    weight: f64,
    affinities: Vec<Nodes>,
}

/// One content of one person in the light of the population.
#[derive(Debug, Clone, Copy)]
struct ContentTrial {
    reads: f64,
    expected: f64,
    mean: f64,
    variance: f64,
}

impl ContentTrial {
    /// `y = spread² · x · exp(u + θ)` at the mode of `θ`, which solves
    /// `y + ln y = ln(spread² x) + u + mean + spread² n` (Lambert's function, by Newton's steps).
    fn mode(&self, level: f64) -> f64 {
        const STEPS: usize = 4;
        let c =
            (self.variance * self.expected).ln() + level + self.mean + self.variance * self.reads;
        let mut y = if c > 1.0 { c - c.ln() } else { c.exp() / (1.0 + c.exp()) };
        for _ in 0..STEPS {
            y = (y * (1.0 + c - y.ln()) / (1.0 + y)).max(f64::MIN_POSITIVE);
        }
        y
    }

    /// `θ` at the mode.
    fn theta(&self, y: f64) -> f64 {
        self.mean + self.variance * self.reads - y
    }

    /// The logarithm of the likelihood with the affinity integrated out, and the affinity's
    /// posterior.
    fn integrate(&self, level: f64) -> (f64, Nodes) {
        let y = self.mode(level);
        let theta = self.theta(y);
        let width = (2.0 * self.variance / (1.0 + y)).sqrt();
        let log = |theta: f64| {
            let rate = level + theta;
            let off = theta - self.mean;
            self.reads * rate - self.expected * rate.exp() - 0.5 * off * off / self.variance
        };
        let top = log(theta);
        let mut total = 0.0;
        let mut nodes = HERMITE.map(|(t, weight)| {
            let at = theta + width * t;
            let weight = weight * (t * t + log(at) - top).exp();
            total += weight;
            (at, weight)
        });
        for (_, weight) in &mut nodes {
            *weight /= total;
        }
        (top + (total * width).ln(), Nodes(nodes))
    }
}

impl Nodes {
    /// The posterior mean of something.
    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.0.iter().map(|(theta, weight)| weight * of(*theta)).sum()
    }
}

impl AffinityModel {
    /// Equal affinities for so many contents.
    pub(in crate::learn) fn even(contents: usize) -> Self {
        Self { mean: vec![0.0; contents], spread: SPREAD_FIRST, level: (-0.3, 1.0) }
    }

    /// Mean of `m` among people of whom it is not known: that of the log-normal distribution.
    pub(in crate::learn) fn usual(&self, content: usize) -> f64 {
        (self.mean[content] + 0.5 * self.spread * self.spread).exp()
    }

    pub(in crate::learn) fn is_finite(&self) -> bool {
        let own = [self.spread, self.level.0, self.level.1];
        self.mean.iter().chain(&own).all(|x| x.is_finite())
    }

    /// Fits means and spread by expectation–maximization, from where they are.
    pub(in crate::learn) fn refit(&mut self, people: &[Vec<ContentReads>]) {
        for _ in 0..ROUNDS {
            let parts = in_chunks(people, |chunk| {
                let mut sums = Sums::new(self.mean.len());
                for content_reads in chunk.iter().filter(|content_reads| !content_reads.is_empty())
                {
                    self.gather(content_reads, &mut sums);
                }
                sums
            });
            let mut sums = Sums::new(self.mean.len());
            for part in &parts {
                sums.merge(part);
            }
            self.maximize(&sums);
        }
    }

    fn gather(&self, content_reads: &[ContentReads], sums: &mut Sums) {
        let near = |z: f64| if z.abs() > FARTHEST { FARTHEST * FARTHEST / z } else { z };
        for at in self.posterior(content_reads) {
            let z = near((at.level - self.level.0) / self.level.1);
            sums.level.add(at.weight, z, z * z);
            for (content_reads, nodes) in content_reads.iter().zip(&at.affinities) {
                let mean = self.mean[usize::from(content_reads.content)];
                let z = |theta: f64| near((theta - mean) / self.spread);
                let first = nodes.mean(z);
                let second = nodes.mean(|theta| z(theta).powi(2));
                sums.contents[usize::from(content_reads.content)].add(at.weight, first, second);
            }
        }
    }

    fn maximize(&mut self, sums: &Sums) {
        // as many imaginary people of average affinity as keep a content that few saw near the rest
        const IMAGINARY: f64 = 5.0;
        let (mut weight, mut squares) = (0.0, 0.0);
        for (mean, Moments { weight: n, first, second }) in self.mean.iter_mut().zip(&sums.contents)
        {
            if *n > 0.0 {
                let shift = first / n;
                weight += n;
                squares += second - n * shift * shift;
                *mean = (*mean + self.spread * shift) * n / (n + IMAGINARY);
            }
        }
        if weight > 0.0 {
            // over-relaxed, because expectation–maximization of a variance is slow
            let ratio = (squares / weight).sqrt();
            self.spread = (self.spread * ratio.powi(4)).clamp(0.05, 2.0);
        }
        let Moments { weight: people, first, second } = sums.level;
        if people > 0.0 {
            let (mean, spread) = self.level;
            // one imaginary person at a standard deviation keeps a spread of nothing away
            let shift = first / people;
            let variance = (second - people * shift * shift + 1.0) / (people + 1.0);
            self.level = (mean + spread * shift, (spread * variance.sqrt()).clamp(0.05, 3.0));
        }
    }

    /// The posterior of a person's level, and of the affinities given each level.
    fn posterior(&self, content_reads: &[ContentReads]) -> Vec<AtLevel> {
        let variance = self.spread * self.spread;
        let trials: Vec<ContentTrial> = content_reads
            .iter()
            .map(|content_reads| ContentTrial {
                reads: content_reads.reads,
                expected: content_reads.expected.max(EXPECTED_MIN),
                mean: self.mean[usize::from(content_reads.content)],
                variance,
            })
            .collect();
        let (level, width) = self.level_mode(&trials);
        let mut logs = [0.0; HERMITE.len()];
        let mut at: Vec<AtLevel> = Vec::with_capacity(HERMITE.len());
        for (log, (t, weight)) in logs.iter_mut().zip(HERMITE) {
            let level = level + width * t;
            let off = (level - self.level.0) / self.level.1;
            *log = weight.ln() + t * t - 0.5 * off * off;
            let affinities = trials.iter().map(|trial| {
                let (likelihood, nodes) = trial.integrate(level);
                *log += likelihood;
                nodes
            });
            at.push(AtLevel { level, weight: 0.0, affinities: affinities.collect() });
        }
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|log| (log - top).exp()).sum();
        for (at, log) in at.iter_mut().zip(logs) {
            at.weight = (log - top).exp() / total;
        }
        at
    }

    /// The mode of the level with the affinities at theirs, and the width of its posterior there,
    /// as a Gauss–Hermite sum takes it.
    fn level_mode(&self, trials: &[ContentTrial]) -> (f64, f64) {
        const STEPS: usize = 6;
        const LONGEST: f64 = 2.0;
        let (mean, spread) = self.level;
        let precision = 1.0 / (spread * spread);
        let (reads, expected) =
            trials.iter().fold((1.0, 1.0), |(n, x), trial| (n + trial.reads, x + trial.expected));
        let mut level = (reads / expected).ln();
        let mut curvature = precision;
        for _ in 0..STEPS {
            let mut slope = -(level - mean) * precision;
            curvature = precision;
            for trial in trials {
                let y = trial.mode(level);
                slope += (trial.theta(y) - trial.mean) / trial.variance;
                curvature += y / (1.0 + y) / trial.variance;
            }
            level += (slope / curvature).clamp(-LONGEST, LONGEST);
        }
        (level, (2.0 / curvature).sqrt())
    }

    /// One person's affinities for the contents that were tried on them.
    pub(in crate::learn) fn of(&self, content_reads: &[ContentReads]) -> Vec<AffinityPosterior> {
        let posterior = self.posterior(content_reads);
        let top = posterior.iter().map(|at| at.level).fold(f64::NEG_INFINITY, f64::max);
        let scale = |at: &AtLevel| at.weight * (at.level - top).exp();
        let total: f64 = posterior.iter().map(scale).sum();
        let affinity = |(index, content_reads): (usize, &ContentReads)| {
            let (mut mean, mut first, mut second) = (0.0, 0.0, 0.0);
            for at in &posterior {
                let nodes = at.affinities[index];
                mean += scale(at) * nodes.mean(f64::exp);
                first += at.weight * nodes.mean(|theta| theta);
                second += at.weight * nodes.mean(|theta| theta * theta);
            }
            let spread = (second - first * first).max(0.0).sqrt();
            AffinityPosterior { content: content_reads.content, mean: mean / total, spread }
        };
        content_reads.iter().enumerate().map(affinity).collect()
    }
}

/// Weight, first and second moment of something standardized.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    weight: f64,
    first: f64,
    second: f64,
}

impl Moments {
    fn add(&mut self, weight: f64, first: f64, second: f64) {
        self.weight += weight;
        self.first += weight * first;
        self.second += weight * second;
    }
}

/// What an E-step leaves for the M-step.
struct Sums {
    contents: Vec<Moments>,
    level: Moments,
}

impl Sums {
    fn new(contents: usize) -> Self {
        Self { contents: vec![Moments::default(); contents], level: Moments::default() }
    }

    fn merge(&mut self, other: &Self) {
        let pairs = self.contents.iter_mut().zip(&other.contents);
        for (total, part) in pairs.chain([(&mut self.level, &other.level)]) {
            total.weight += part.weight;
            total.first += part.first;
            total.second += part.second;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content_reads(content: u16, reads: f64, expected: f64) -> ContentReads {
        ContentReads { content, reads, expected }
    }

    #[test]
    fn what_everybody_reads_more_is_liked_more_by_a_newcomer_too() {
        let mut affinities = AffinityModel::even(2);
        let people: Vec<_> = (0..200)
            .map(|i| vec![content_reads(0, f64::from(1 + i % 2), 3.0), content_reads(1, 3.0, 3.0)])
            .collect();
        affinities.refit(&people);
        assert!(affinities.mean[1] > affinities.mean[0] + 0.35);
    }

    #[test]
    fn one_ignored_message_says_less_than_five() {
        let mut affinities = AffinityModel::even(2);
        let people: Vec<_> = (0..400)
            .map(|i| {
                vec![
                    content_reads(0, f64::from(i % 4), 1.5),
                    content_reads(1, f64::from((i / 4) % 4), 1.5),
                ]
            })
            .collect();
        affinities.refit(&people);
        let liking = |expected| {
            affinities.of(&[content_reads(0, 0.0, expected), content_reads(1, 2.0, 2.0)])[0].mean
        };
        assert!(liking(1.0) > liking(5.0));
        assert!(liking(5.0) > 0.1);
    }

    /// A sum over a fine grid of level and both affinities, each over ten standard deviations.
    fn by_brute_force(affinities: &AffinityModel, content_reads: &[ContentReads]) -> Vec<f64> {
        let log = |u: f64, v: usize, theta: f64| {
            let z = (theta - affinities.mean[v]) / affinities.spread;
            content_reads[v].reads * (u + theta)
                - content_reads[v].expected * (u + theta).exp()
                - 0.5 * z * z
        };
        let steps: Vec<f64> = (-1500..=1500).map(|i| f64::from(i) / 150.0).collect();
        let prior = |z: f64| -0.5 * z * z;
        let mut rows = Vec::new();
        for z in &steps {
            let u = affinities.level.0 + affinities.level.1 * z;
            let of = |v: usize| {
                let at = |z: &f64| affinities.mean[v] + affinities.spread * z;
                let top = steps.iter().map(|z| log(u, v, at(z))).fold(f64::MIN, f64::max);
                let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
                    steps.iter().map(|z| of(at(z)) * (log(u, v, at(z)) - top).exp()).sum()
                };
                let total = sum(&|_| 1.0);
                (top + total.ln(), sum(&f64::exp) / total)
            };
            let both = [of(0), of(1)];
            rows.push((prior(*z) + both[0].0 + both[1].0, u, [both[0].1, both[1].1]));
        }
        let top = rows.iter().map(|row| row.0).fold(f64::MIN, f64::max);
        type Row = (f64, f64, [f64; 2]);
        let mean = |of: &dyn Fn(&Row) -> f64| -> f64 {
            rows.iter().map(|row| of(row) * (row.0 - top).exp()).sum()
        };
        let level = mean(&|row| row.1.exp());
        (0..2).map(|v| mean(&|row| row.1.exp() * row.2[v]) / level).collect()
    }

    #[test]
    fn the_sums_are_the_integrals_for_one_message_and_for_thousands() {
        let affinities = AffinityModel { mean: vec![0.1, -0.2], spread: 0.5, level: (-0.2, 0.9) };
        for pair in [
            [content_reads(0, 0.0, 0.01), content_reads(1, 1.0, 0.4)],
            [content_reads(0, 3.0, 1.0), content_reads(1, 0.0, 2.0)],
            [content_reads(0, 40.0, 2.0), content_reads(1, 10.0, 2.0)],
            [content_reads(0, 600.0, 9.0), content_reads(1, 300.0, 12.0)],
            [content_reads(0, 0.0, 400.0), content_reads(1, 0.0, 400.0)],
        ] {
            let exact = by_brute_force(&affinities, &pair);
            for (affinity, exact) in affinities.of(&pair).iter().zip(exact) {
                assert!(
                    (affinity.mean / exact - 1.0).abs() < 0.01,
                    "{pair:?}: {} {exact}",
                    affinity.mean
                );
            }
        }
    }

    #[test]
    fn no_number_of_reads_is_too_large_and_one_person_is_one_of_many() {
        let people = |busy: &[ContentReads]| -> Vec<Vec<ContentReads>> {
            let usual = |i: u32| {
                vec![
                    content_reads(0, f64::from(i % 4), 1.5),
                    content_reads(1, f64::from((i / 4) % 4), 1.5),
                ]
            };
            (0..200).map(usual).chain([busy.to_vec()]).collect()
        };
        let fitted = |busy: &[ContentReads]| {
            let mut affinities = AffinityModel::even(2);
            affinities.refit(&people(busy));
            affinities
        };
        let without = fitted(&[]);
        for busy in [
            [content_reads(0, 2200.0, 80.0), content_reads(1, 1900.0, 80.0)],
            [content_reads(0, 400.0, 0.001), content_reads(1, 400.0, 0.001)],
            [content_reads(0, 0.0, 1e6), content_reads(1, 5000.0, 1e-9)],
        ] {
            let with = fitted(&busy);
            assert!(with.is_finite());
            assert!(with.of(&busy).iter().all(|t| t.mean.is_finite() && t.spread.is_finite()));
            for (with, without) in with.mean.iter().zip(&without.mean) {
                assert!((with - without).abs() < 0.05, "{busy:?}: {with}, not {without}");
            }
            assert!((with.spread - without.spread).abs() < 0.05, "{busy:?}: {}", with.spread);
        }
    }
}
