//! What people like to be written with: how much more readily a person reads one content than
//! another, shrunk to what everybody does.
//!
//! The hazard of person `i` for content `v` is `level_i · m_i(v)` times what the hour gives, with
//! `ln m_i(v)` normal around the population's `mean_v`. A person's level is integrated out, not put
//! in: a level learned from the same reads would hide half of the spread of tastes.

use serde::{Deserialize, Serialize};

use super::parallel::in_chunks;

const LEVELS: usize = 12;
const GRID: usize = 11;
const GRID_MAX: f64 = 2.8;
const SPREAD_FIRST: f64 = 0.6;
const ROUNDS: usize = 8;

/// The population's tastes; contents by their number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tastes {
    /// Mean of `ln m` of each content.
    pub(super) mean: Vec<f64>,
    /// Standard deviation of a person's `ln m` around it.
    pub(super) spread: f64,
    /// Prior weight of each level on the grid.
    levels: Vec<f64>,
}

/// What one person did with one content: reads, and the reads expected of level 1 and taste 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tried {
    pub(super) content: u16,
    pub(super) reads: f64,
    pub(super) expected: f64,
}

/// A person's taste for one content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taste {
    pub(super) content: u16,
    /// Posterior mean of `m`, weighed by the level.
    pub(super) mean: f64,
    /// Posterior standard deviation of `ln m`.
    pub(super) spread: f64,
}

fn level(index: usize) -> f64 {
    -3.0 + 5.1 * index as f64 / (LEVELS - 1) as f64
}

fn grid(index: usize) -> f64 {
    GRID_MAX * (2.0 * index as f64 / (GRID - 1) as f64 - 1.0)
}

/// Weights of a standard normal on the grid.
fn normal() -> [f64; GRID] {
    let weights: [f64; GRID] = std::array::from_fn(|g| (-0.5 * grid(g).powi(2)).exp());
    let total: f64 = weights.iter().sum();
    weights.map(|weight| weight / total)
}

/// Posterior over the levels, and over the grid of one content for each level.
struct Posterior {
    levels: [f64; LEVELS],
    grids: Vec<[[f64; GRID]; LEVELS]>,
}

impl Tastes {
    /// Equal tastes for so many contents.
    pub(super) fn even(contents: usize) -> Self {
        let weights: [f64; LEVELS] =
            std::array::from_fn(|u| (-0.5 * (level(u) + 0.3).powi(2)).exp());
        let total: f64 = weights.iter().sum();
        let levels = weights.iter().map(|weight| weight / total).collect();
        Self { mean: vec![0.0; contents], spread: SPREAD_FIRST, levels }
    }

    /// Mean of `m` among people of whom it is not known: that of the log-normal distribution.
    pub(super) fn usual(&self, content: usize) -> f64 {
        (self.mean[content] + 0.5 * self.spread * self.spread).exp()
    }

    /// Fits means and spread by expectation–maximization, from where they are.
    pub(super) fn refit(&mut self, people: &[Vec<Tried>], threads: usize) {
        let normal = normal();
        let normal_variance: f64 = (0..GRID).map(|g| normal[g] * grid(g).powi(2)).sum();
        for _ in 0..ROUNDS {
            let parts = in_chunks(people, threads, |chunk| {
                let mut sums = vec![[0.0f64; 3]; self.mean.len()];
                let mut levels = [0.0f64; LEVELS];
                for tried in chunk.iter().filter(|tried| !tried.is_empty()) {
                    self.gather(tried, &normal, &mut sums, &mut levels);
                }
                (sums, levels)
            });
            let mut sums = vec![[0.0; 3]; self.mean.len()];
            let mut levels = [0.01; LEVELS];
            for (part, part_levels) in &parts {
                for (total, part) in sums.iter_mut().zip(part) {
                    (0..3).for_each(|i| total[i] += part[i]);
                }
                (0..LEVELS).for_each(|u| levels[u] += part_levels[u]);
            }
            self.maximize(&sums, &levels, normal_variance);
        }
    }

    fn gather(
        &self,
        tried: &[Tried],
        normal: &[f64; GRID],
        sums: &mut [[f64; 3]],
        levels: &mut [f64; LEVELS],
    ) {
        let posterior = self.posterior(tried, normal);
        for (tried, grids) in tried.iter().zip(&posterior.grids) {
            let sum = &mut sums[usize::from(tried.content)];
            for (of_level, grid_weights) in posterior.levels.iter().zip(grids) {
                for (g, of_grid) in grid_weights.iter().enumerate() {
                    let (weight, z) = (of_level * of_grid, grid(g));
                    sum[0] += weight;
                    sum[1] += weight * z;
                    sum[2] += weight * z * z;
                }
            }
        }
        (0..LEVELS).for_each(|u| levels[u] += posterior.levels[u]);
    }

    /// `sums` hold weight, first and second moment of the standardized taste of each content.
    fn maximize(&mut self, sums: &[[f64; 3]], levels: &[f64], normal_variance: f64) {
        // as many imaginary people of average taste as keep a content that few saw near the rest
        const IMAGINARY: f64 = 5.0;
        let (mut weight, mut squares) = (0.0, 0.0);
        for (mean, [n, first, second]) in self.mean.iter_mut().zip(sums) {
            if *n > 0.0 {
                let shift = first / n;
                weight += n;
                squares += second - n * shift * shift;
                *mean = (*mean + self.spread * shift) * n / (n + IMAGINARY);
            }
        }
        if weight > 0.0 {
            // over-relaxed, because expectation–maximization of a variance is slow
            let ratio = (squares / weight / normal_variance).sqrt();
            self.spread = (self.spread * ratio.powi(4)).clamp(0.1, 1.5);
        }
        let total: f64 = levels.iter().sum();
        self.levels = levels.iter().map(|w| w / total).collect();
    }

    fn posterior(&self, tried: &[Tried], normal: &[f64; GRID]) -> Posterior {
        let mut log = [0.0f64; LEVELS];
        let mut grids = Vec::with_capacity(tried.len());
        let step = (level(1) - level(0)).exp();
        for tried in tried {
            let mean = self.mean[usize::from(tried.content)];
            let mut grid_of: [[f64; GRID]; LEVELS] = [[0.0; GRID]; LEVELS];
            let factor: [f64; GRID] = std::array::from_fn(|g| (mean + self.spread * grid(g)).exp());
            let mut scale = level(0).exp();
            for u in 0..LEVELS {
                let mut total = 0.0;
                for g in 0..GRID {
                    let theta = mean + self.spread * grid(g) + level(u);
                    let exponent = tried.reads * theta - tried.expected * scale * factor[g];
                    grid_of[u][g] = normal[g] * exponent.exp();
                    total += grid_of[u][g];
                }
                let total = total.max(f64::MIN_POSITIVE);
                grid_of[u].iter_mut().for_each(|w| *w /= total);
                log[u] += total.ln();
                scale *= step;
            }
            grids.push(grid_of);
        }
        let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: [f64; LEVELS] = std::array::from_fn(|u| self.levels[u] * (log[u] - top).exp());
        let total: f64 = weights.iter().sum();
        Posterior { levels: weights.map(|weight| weight / total), grids }
    }

    /// One person's tastes for the contents that were tried on them.
    pub(super) fn of(&self, tried: &[Tried]) -> Vec<Taste> {
        let posterior = self.posterior(tried, &normal());
        let mean_level: f64 = (0..LEVELS).map(|u| posterior.levels[u] * level(u).exp()).sum();
        tried
            .iter()
            .zip(&posterior.grids)
            .map(|(tried, grids)| {
                let mean = self.mean[usize::from(tried.content)];
                let (mut first, mut z1, mut z2) = (0.0, 0.0, 0.0);
                let factor: [f64; GRID] =
                    std::array::from_fn(|g| (mean + self.spread * grid(g)).exp());
                for (u, grid_weights) in grids.iter().enumerate() {
                    let (of_level, scale) = (posterior.levels[u], level(u).exp());
                    for (g, of_grid) in grid_weights.iter().enumerate() {
                        let (weight, z) = (of_level * of_grid, grid(g));
                        first += weight * scale * factor[g];
                        z1 += weight * z;
                        z2 += weight * z * z;
                    }
                }
                let spread = self.spread * (z2 - z1 * z1).max(0.0).sqrt();
                Taste { content: tried.content, mean: first / mean_level, spread }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(content: u16, reads: f64, expected: f64) -> Tried {
        Tried { content, reads, expected }
    }

    #[test]
    fn what_everybody_reads_more_is_liked_more_by_a_newcomer_too() {
        let mut tastes = Tastes::even(2);
        let people: Vec<_> = (0..200)
            .map(|i| vec![tried(0, f64::from(1 + i % 2), 3.0), tried(1, 3.0, 3.0)])
            .collect();
        tastes.refit(&people, 2);
        assert!(tastes.mean[1] > tastes.mean[0] + 0.35);
    }

    #[test]
    fn one_ignored_message_says_less_than_five() {
        let mut tastes = Tastes::even(2);
        let people: Vec<_> = (0..400)
            .map(|i| vec![tried(0, f64::from(i % 4), 1.5), tried(1, f64::from((i / 4) % 4), 1.5)])
            .collect();
        tastes.refit(&people, 1);
        let liking = |expected| tastes.of(&[tried(0, 0.0, expected), tried(1, 2.0, 2.0)])[0].mean;
        assert!(liking(1.0) > liking(5.0));
        assert!(liking(5.0) > 0.1);
    }
}
