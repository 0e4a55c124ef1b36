//! Chronotypes: a mixture of weekly patterns from which people's own weeks are refined.
//!
//! A person of class `c` has the rate `level · week_c(h) · ratio(h)` in hour `h`, with a gamma level
//! and a gamma ratio of mean 1 for each hour of the day. With the ratios integrated out, what was
//! observed is negative binomial by hour of day; the level is put in at its posterior mean.

use serde::{Deserialize, Serialize};

use super::parallel::in_chunks;
use super::reading::Reading;
use super::shape::{Counts, EVEN, HOUR, REST, Strengths, WHOLE, Week, normalize, refine};
use crate::model::preference::WEEK_HOURS;

/// The mixture and the spread of people around it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(super) struct Chronotypes {
    stored: Stored,
    /// Logarithm of each week.
    log: Vec<Box<Week>>,
    /// Share of each hour of the day in each week, as a pseudo-count prior.
    prior: Vec<[f64; 24]>,
    /// `Σ a ln a − ln Γ(a)` over a class's hours.
    constant: Vec<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    share: Vec<f64>,
    weeks: Vec<Vec<f32>>,
    level: Level,
    person: Strengths,
}

/// The gamma distribution of people's levels of reading, relative to fresh average messages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Level {
    pub(super) shape: f64,
    pub(super) mean: f64,
}

impl Level {
    /// Posterior mean after `reads` where a person of level 1 was expected to read `exposure`.
    fn meet(self, reads: f32, exposure: f32) -> f32 {
        ((self.shape + f64::from(reads)) / (self.shape / self.mean + f64::from(exposure))) as f32
    }
}

/// Which classes a person may be of, and the level in each.
#[derive(Debug, Clone)]
pub(super) struct Met {
    pub(super) share: Vec<f32>,
    pub(super) level: Vec<f32>,
    /// Log-likelihood of the reading, up to a constant that no parameter of a class enters.
    pub(super) evidence: f64,
}

/// A person's week of rates.
#[derive(Debug, Clone)]
pub(super) struct Habit {
    /// Mean 1.
    pub(super) week: Week,
    /// Posterior mean of the level.
    pub(super) level: f32,
    /// Posterior share of each class.
    pub(super) share: Vec<f32>,
}

impl Chronotypes {
    pub(super) fn new(share: Vec<f64>, weeks: Vec<Week>, level: Level, person: Strengths) -> Self {
        let weeks = weeks.into_iter().map(Vec::from).collect();
        Stored { share, weeks, level, person }.into()
    }

    pub(super) fn len(&self) -> usize {
        self.stored.share.len()
    }

    pub(super) fn share(&self) -> &[f64] {
        &self.stored.share
    }

    pub(super) fn level(&self) -> Level {
        self.stored.level
    }

    pub(super) fn week(&self, class: usize) -> &Week {
        self.stored.weeks[class].first_chunk().expect("a week has 168 hours")
    }

    /// The same classes around which people vary otherwise.
    pub(super) fn with_strengths(&self, person: Strengths) -> Self {
        Stored { person, ..self.stored.clone() }.into()
    }

    /// The E-step for one person, starting from prior shares of the classes.
    pub(super) fn meet(&self, reading: &Reading, prior: &[f64]) -> Met {
        let events: Vec<(usize, f32)> =
            reading.observed.iter().copied().enumerate().filter(|(_, n)| *n > 0.0).collect();
        let mut observed = [0.0f32; 24];
        events.iter().for_each(|(hour, n)| observed[hour % 24] += n);
        let watched = reading.exposure.iter().any(|x| *x > 0.0);
        let mut met = Met {
            share: Vec::with_capacity(self.len()),
            level: Vec::with_capacity(self.len()),
            evidence: 0.0,
        };
        let mut likelihood = Vec::with_capacity(self.len());
        for class in 0..self.len() {
            let mut expected = [0.0f32; 24];
            if watched {
                let week = self.week(class);
                for day in 0..7 {
                    for (h, expected) in expected.iter_mut().enumerate() {
                        *expected += reading.exposure[day * 24 + h] * week[day * 24 + h];
                    }
                }
            }
            let level = self.stored.level.meet(reading.reads, expected.iter().sum());
            met.level.push(level);
            likelihood.push(
                prior[class].ln()
                    + self.likelihood(class, level, reading, &events, &observed, &expected),
            );
        }
        let top = likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = likelihood.iter().map(|l| (l - top).exp()).sum();
        met.share.extend(likelihood.iter().map(|l| ((l - top).exp() / total) as f32));
        met.evidence = top + total.ln();
        met
    }

    fn likelihood(
        &self,
        class: usize,
        level: f32,
        reading: &Reading,
        events: &[(usize, f32)],
        observed: &[f32; 24],
        expected: &[f32; 24],
    ) -> f64 {
        let log = &self.log[class];
        let mut sum: f64 =
            events.iter().map(|(hour, n)| f64::from(*n) * f64::from(log[*hour])).sum();
        sum += self.constant[class];
        let strength = f64::from(self.stored.person.hour);
        for h in 0..24 {
            let a = self.prior[class][h];
            let n = f64::from(observed[h]);
            // the signs' own level is such that as many are expected as there were
            let share = (a / strength - f64::from(EVEN) / 24.0) / f64::from(1.0 - EVEN);
            let m = f64::from(level) * f64::from(expected[h]) + f64::from(reading.signs) * share;
            if n > 0.0 {
                sum += ln_gamma(a + n);
            } else {
                sum += ln_gamma(a);
            }
            sum -= (a + n) * (a + m).ln();
        }
        let Level { shape, mean } = self.stored.level;
        let level = f64::from(level);
        sum + (f64::from(reading.reads) + shape) * level.ln() - shape / mean * level
    }

    /// A person's own week: each likely class's refined by the person's hours, then their mean
    /// refined by days and single hours.
    pub(super) fn habit(&self, reading: &Reading, prior: &[f64]) -> Habit {
        const UNLIKELY: f32 = 0.01;
        let met = self.meet(reading, prior);
        let signs = reading.signs / WEEK_HOURS as f32;
        let mut counts = Counts { observed: reading.observed, watched: [0.0; WEEK_HOURS] };
        let mut watch = |level: f32| {
            for (watched, exposure) in counts.watched.iter_mut().zip(&reading.exposure) {
                *watched = level * exposure + signs;
            }
            counts.clone()
        };
        let mut week = [0.0; WEEK_HOURS];
        for class in 0..self.len() {
            let (share, level) = (met.share[class], met.level[class]);
            if share >= UNLIKELY {
                let mut own = *self.week(class);
                refine(&mut own, &watch(level), &self.stored.person, &HOUR);
                week.iter_mut().zip(own).for_each(|(week, own)| *week += share * level * own);
            }
        }
        normalize(&mut week);
        let expected = |week: &Week| week.iter().zip(&reading.exposure).map(|(w, e)| w * e).sum();
        let level = self.stored.level.meet(reading.reads, expected(&week));
        refine(&mut week, &watch(level), &self.stored.person, &REST);
        let level = self.stored.level.meet(reading.reads, expected(&week));
        Habit { week, level, share: met.share }
    }
}

impl From<Stored> for Chronotypes {
    fn from(stored: Stored) -> Self {
        let strength = f64::from(stored.person.hour);
        let log =
            stored.weeks.iter().map(|w| Box::new(std::array::from_fn(|h| w[h].ln()))).collect();
        let prior: Vec<[f64; 24]> = stored
            .weeks
            .iter()
            .map(|week| {
                std::array::from_fn(|h| {
                    let mass: f32 = (0..7).map(|day| week[day * 24 + h]).sum();
                    strength * f64::from((1.0 - EVEN) * mass / WEEK_HOURS as f32 + EVEN / 24.0)
                })
            })
            .collect();
        let constant =
            prior.iter().map(|a| a.iter().map(|a| a * a.ln() - ln_gamma(*a)).sum()).collect();
        Self { stored, log, prior, constant }
    }
}

impl From<Chronotypes> for Stored {
    fn from(chronotypes: Chronotypes) -> Self {
        chronotypes.stored
    }
}

/// Logarithm of the gamma function: the recurrence up to 8, then Stirling's series.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 8.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let series =
        inverse * (1.0 / 12.0 - inverse * inverse * (1.0 / 360.0 - inverse * inverse / 1260.0));
    (x - 0.5) * x.ln() - x + 0.918_938_533_204_672_8 + series - product.ln()
}

/// How a mixture is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fitting {
    /// Of people around their class.
    pub(super) person: Strengths,
    /// Of classes around the population.
    pub(super) class: Strengths,
    /// Rounds of EM.
    pub(super) rounds: usize,
    /// For the E-step; the result does not depend on it.
    pub(super) threads: usize,
}

/// The population's own week: what is expected of a person of whom nothing is known.
pub(super) fn population(readings: &[Reading], whole: &Strengths) -> Week {
    let mut counts = Counts::default();
    for reading in readings {
        counts.add(reading, 1.0, 1.0, whole.hour);
    }
    let mut week = [1.0; WEEK_HOURS];
    refine(&mut week, &counts, &Strengths { hour: 1.0, ..*whole }, &WHOLE);
    week
}

/// Fits chronotypes by expectation–maximization from a first assignment of people to classes.
pub(super) fn expectation_maximization(
    readings: &[Reading],
    start: &[usize],
    classes: usize,
    fitting: Fitting,
) -> Chronotypes {
    let base = population(readings, &fitting.class);
    let mut sums = Sums::new(classes);
    let level = first_level(readings, &base);
    for (reading, class) in readings.iter().zip(start) {
        let mut share = vec![0.0; classes];
        share[*class] = 1.0;
        let met = Met { share, level: vec![level.mean as f32; classes], evidence: 0.0 };
        sums.add(reading, &met, &fitting);
    }
    let mut mixture = sums.maximize(&base, level, &fitting);
    for _ in 0..fitting.rounds {
        let prior = mixture.share().to_vec();
        let parts = in_chunks(readings, fitting.threads, |chunk| {
            let mut sums = Sums::new(classes);
            for reading in chunk {
                sums.add(reading, &mixture.meet(reading, &prior), &fitting);
            }
            sums
        });
        let mut sums = Sums::new(classes);
        parts.iter().for_each(|part| sums.merge(part));
        mixture = sums.maximize(&base, mixture.level(), &fitting);
    }
    mixture
}

fn first_level(readings: &[Reading], base: &Week) -> Level {
    let (mut reads, mut exposure) = (0.0, 0.0);
    for reading in readings {
        reads += f64::from(reading.reads);
        exposure += reading.exposure.iter().zip(base).map(|(e, w)| f64::from(e * w)).sum::<f64>();
    }
    Level { shape: 1.0, mean: if reads > 0.0 { reads / exposure } else { 1.0 } }
}

impl Counts {
    /// A person who was seen often says less with each event than one who was seen once: the weight
    /// is that of a Dirichlet-multinomial, up to `strength` events a person.
    fn add(&mut self, reading: &Reading, share: f32, level: f32, strength: f32) {
        let weight = share * strength / (strength + reading.reads + reading.signs);
        let signs = reading.signs / WEEK_HOURS as f32;
        for h in 0..WEEK_HOURS {
            self.observed[h] += weight * reading.observed[h];
            self.watched[h] += weight * (level * reading.exposure[h] + signs);
        }
    }

    fn merge(&mut self, other: &Self) {
        for h in 0..WEEK_HOURS {
            self.observed[h] += other.observed[h];
            self.watched[h] += other.watched[h];
        }
    }
}

/// What an E-step leaves for the M-step.
struct Sums {
    share: Vec<f64>,
    counts: Vec<Counts>,
    /// People with messages, their levels and the logarithms of their levels.
    people: f64,
    level: f64,
    log_level: f64,
}

impl Sums {
    fn new(classes: usize) -> Self {
        Self {
            share: vec![0.0; classes],
            counts: vec![Counts::default(); classes],
            people: 0.0,
            level: 0.0,
            log_level: 0.0,
        }
    }

    fn add(&mut self, reading: &Reading, met: &Met, fitting: &Fitting) {
        const UNLIKELY: f32 = 1e-4;
        let mut mean = 0.0;
        for (class, share) in met.share.iter().copied().enumerate() {
            self.share[class] += f64::from(share);
            mean += f64::from(share * met.level[class]);
            if share >= UNLIKELY {
                self.counts[class].add(reading, share, met.level[class], fitting.person.hour);
            }
        }
        if reading.evidence > reading.signs {
            self.people += 1.0;
            self.level += mean;
            // E[ln L] of a gamma posterior lies below the logarithm of its mean by about 1/2n
            let n = 1.0 + f64::from(reading.reads);
            self.log_level += mean.ln() - 0.5 / n - 1.0 / (12.0 * n * n);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.share.iter_mut().zip(&other.share).for_each(|(a, b)| *a += b);
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| a.merge(b));
        self.people += other.people;
        self.level += other.level;
        self.log_level += other.log_level;
    }

    fn maximize(&self, base: &Week, before: Level, fitting: &Fitting) -> Chronotypes {
        const PRIOR: f64 = 0.5;
        let total: f64 = self.share.iter().map(|s| s + PRIOR).sum();
        let share = self.share.iter().map(|s| (s + PRIOR) / total).collect();
        let weeks = self
            .counts
            .iter()
            .map(|counts| {
                let mut week = *base;
                refine(&mut week, counts, &fitting.class, &WHOLE);
                week
            })
            .collect();
        let level = if self.people > 0.0 {
            let mean = self.level / self.people;
            let spread = mean.ln() - self.log_level / self.people;
            Level { shape: gamma_shape(spread), mean }
        } else {
            before
        };
        Chronotypes::new(share, weeks, level, fitting.person)
    }
}

/// The shape of a gamma distribution from `ln mean − mean ln`, by Minka's starting value
/// ("Estimating a Gamma distribution", 2002).
fn gamma_shape(spread: f64) -> f64 {
    let s = spread.max(1e-3);
    ((3.0 - s + ((s - 3.0).powi(2) + 24.0 * s).sqrt()) / (12.0 * s)).clamp(0.3, 6.0)
}
