//! Expectation–maximization for the chronotypes: sums over people, chunk by chunk in a fixed order,
//! then weeks refined from the population's.

use super::hyper::Hyper;
use super::mixture::{Chronotypes, Level, Met, OwnLevel};
use super::numbers::{digamma, voice};
use super::parallel::in_chunks;
use super::reading::Reading;
use super::shape::{Counts, Refiner, Strengths, WHOLE, Week};
use crate::model::preference::WEEK_HOURS;

/// How a mixture is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fitting {
    pub(super) hyper: Hyper,
    /// Rounds of EM.
    pub(super) rounds: usize,
    /// For the E-step; the result does not depend on it.
    pub(super) threads: usize,
}

/// The population's own week, and the mean level in it: what is expected of a person of whom
/// nothing is known.
pub(super) fn population(readings: &[Reading], hold: &Strengths) -> (Week, Level) {
    const ROUNDS: usize = 3;
    let refiner = Refiner::new(hold);
    let mut week = [1.0; WEEK_HOURS];
    let mut level = mean_level(readings, &week);
    for _ in 0..ROUNDS {
        let mut counts = Counts::default();
        for reading in readings {
            counts.add(reading, 1.0, level.mean as f32, hold.hour.strength);
        }
        week = [1.0; WEEK_HOURS];
        refiner.refine(&mut week, &counts, &WHOLE);
        level = mean_level(readings, &week);
    }
    (week, level)
}

/// Fits chronotypes by expectation–maximization from a first assignment of people to classes.
pub(super) fn expectation_maximization(
    readings: &[Reading],
    start: &[usize],
    classes: usize,
    fitting: Fitting,
) -> Chronotypes {
    let (base, level) = population(readings, &fitting.hyper.class);
    let mut sums = Sums::new(classes, level);
    for (reading, class) in readings.iter().zip(start) {
        let mut share = vec![0.0; classes];
        share[*class] = 1.0;
        let mean = level.mean as f32;
        let met = Met { share, level: vec![OwnLevel { mean, log: mean.ln() }; classes] };
        sums.add(reading, &met, &fitting);
    }
    let mut mixture = sums.maximize(&base, &fitting);
    for _ in 0..fitting.rounds {
        let prior = mixture.share().to_vec();
        let parts = in_chunks(readings, fitting.threads, |chunk| {
            let mut sums = Sums::new(classes, mixture.level());
            for reading in chunk {
                sums.add(reading, &mixture.meet(reading, &prior), &fitting);
            }
            sums
        });
        let mut sums = Sums::new(classes, mixture.level());
        for part in &parts {
            sums.merge(part);
        }
        mixture = sums.maximize(&base, &fitting);
    }
    mixture
}

fn mean_level(readings: &[Reading], base: &Week) -> Level {
    let (mut reads, mut exposure) = (0.0, 0.0);
    for reading in readings {
        let voice = voice(f64::from(reading.evidence));
        let own: f64 = reading.exposure.iter().zip(base).map(|(e, w)| f64::from(e * w)).sum();
        reads += voice * f64::from(reading.reads);
        exposure += voice * own;
    }
    Level { shape: 1.0, mean: if reads > 0.0 { reads / exposure } else { 1.0 } }
}

impl Counts {
    /// A person who was seen often says less with each event than one who was seen once: the weight
    /// is that of a Dirichlet-multinomial, up to `strength` events a person.
    fn add(&mut self, reading: &Reading, share: f32, level: f32, strength: f32) {
        if reading.late {
            return;
        }
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
    /// What was known of levels before, and the highest that counts as it is.
    before: Level,
    level_max: f64,
}

impl Sums {
    fn new(classes: usize, before: Level) -> Self {
        Self {
            before,
            level_max: before.uncommon(),
            share: vec![0.0; classes],
            counts: vec![Counts::default(); classes],
            people: 0.0,
            level: 0.0,
            log_level: 0.0,
        }
    }

    fn add(&mut self, reading: &Reading, met: &Met, fitting: &Fitting) {
        const UNLIKELY: f32 = 1e-4;
        let (mut mean, mut log) = (0.0, 0.0);
        for (class, share) in met.share.iter().copied().enumerate() {
            self.share[class] += f64::from(share);
            // one person moves the population's level as if theirs were at most an uncommon one
            let level = f64::from(met.level[class].mean);
            let over = (level / self.level_max).max(1.0);
            mean += f64::from(share) * level / over;
            log += f64::from(share) * (f64::from(met.level[class].log) - over.ln());
            if share >= UNLIKELY {
                self.counts[class].add(
                    reading,
                    share,
                    met.level[class].mean,
                    fitting.hyper.person.hour.strength,
                );
            }
        }
        if reading.evidence > reading.signs {
            self.people += 1.0;
            self.level += mean;
            self.log_level += log - self.before.below(reading.reads);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.share.iter_mut().zip(&other.share).for_each(|(a, b)| *a += b);
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| a.merge(b));
        self.people += other.people;
        self.level += other.level;
        self.log_level += other.log_level;
    }

    fn maximize(&self, base: &Week, fitting: &Fitting) -> Chronotypes {
        const PRIOR: f64 = 0.5;
        let total: f64 = self.share.iter().map(|s| s + PRIOR).sum();
        let share = self.share.iter().map(|s| (s + PRIOR) / total).collect();
        let refiner = Refiner::new(&fitting.hyper.class);
        let weeks = self
            .counts
            .iter()
            .map(|counts| {
                let mut week = *base;
                refiner.refine(&mut week, counts, &WHOLE);
                week
            })
            .collect();
        let level = if self.people > 0.0 {
            let mean = self.level / self.people;
            let spread = mean.ln() - self.log_level / self.people;
            Level { shape: gamma_shape(spread), mean }
        } else {
            self.before
        };
        Chronotypes::new(share, weeks, level, &fitting.hyper)
    }
}

/// The shape `a` of a gamma distribution from `ln mean − mean ln = ln a − ψ(a)`, by halving on the log
/// scale; the right side falls from ∞ to 0.
fn gamma_shape(spread: f64) -> f64 {
    const STEPS: usize = 50;
    let (mut low, mut high) = (0.1f64, 100.0f64);
    for _ in 0..STEPS {
        let middle = (low * high).sqrt();
        let bound = if middle.ln() - digamma(middle) > spread { &mut low } else { &mut high };
        *bound = middle;
    }
    low
}

#[cfg(test)]
mod tests {
    use super::super::reading::Sign;
    use super::super::reading::{Fading, Receipts, Sight};
    use super::*;

    fn person(hours: &[u8]) -> Reading {
        let signs = hours.iter().map(|hour| Sign { hour: *hour, days: 0.0 }).collect();
        let sight = Sight { watches: Vec::new(), signs, receipts: Receipts::Silent };
        Reading::new(&sight, &Fading::default(), Hyper::default().memory(), |_| 1.0)
    }

    #[test]
    fn early_and_late_people_are_told_apart_from_a_poor_start() {
        let early: Vec<u8> = (0..5).map(|day| day * 24 + 7 + day % 2).collect();
        let late: Vec<u8> = (0..5).map(|day| day * 24 + 20 + day % 2).collect();
        let readings: Vec<Reading> =
            (0..200).map(|i| person(if i % 2 == 0 { &early } else { &late })).collect();
        let start: Vec<usize> =
            (0..200).map(|i| usize::from(i % 2 == 0) ^ usize::from(i % 5 == 0)).collect();
        let fitting = |threads| Fitting { hyper: Hyper::default(), rounds: 30, threads };
        let fitted = expectation_maximization(&readings, &start, 2, fitting(2));
        let share = fitted.meet(&readings[0], fitted.share()).share;
        assert!(share[0].max(share[1]) > 0.95, "{share:?}");
        assert!((fitted.share()[0] - 0.5).abs() < 0.02);
        let again = expectation_maximization(&readings, &start, 2, fitting(5));
        let bits = |week: &Week| week.map(f32::to_bits);
        assert_eq!(bits(fitted.week(0)), bits(again.week(0)));
    }

    #[test]
    fn the_gamma_shape_is_found_again() {
        // ln mean − mean ln of a gamma distribution with shape 2 is ln 2 − ψ(2) = 0.2704
        assert!((gamma_shape(0.2704) - 2.0).abs() < 0.001);
        assert!(gamma_shape(-0.1) > 99.0 && gamma_shape(1e3) < 0.11);
    }
}
