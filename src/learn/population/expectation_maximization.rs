//! Expectation–maximization for the chronotypes: sums over people, chunk by chunk in a fixed order,
//! then weeks refined from the population's.

use crate::learn::data::exposure::SufficientStatistics;
use crate::learn::data::week_hours::WeekRates;
use crate::learn::parallel::in_chunks;
use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::mixture::{ChronotypeMixture, ClassPosterior, Frailty, FrailtyPrior};
use crate::learn::population::shrinkage::{
    Concentrations, HierarchicalShrinkage, WHOLE, WeekCounts,
};
use crate::learn::statistics::special::{digamma, person_weight};
use crate::model::preference::WEEK_HOURS;

/// How a mixture is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct EmSettings {
    pub(in crate::learn) hyper: HyperParameters,
    /// Rounds of EM.
    pub(in crate::learn) rounds: usize,
}

/// The population's own week, and the mean level in it: what is expected of a person of whom
/// nothing is known.
pub(in crate::learn) fn population(
    summaries: &[SufficientStatistics],
    prior: &Concentrations,
) -> (WeekRates, FrailtyPrior) {
    const ROUNDS: usize = 3;
    let shrinkage = HierarchicalShrinkage::new(prior);
    let mut week = [1.0; WEEK_HOURS];
    let mut level = mean_level(summaries, &week);
    for _ in 0..ROUNDS {
        let mut counts = WeekCounts::default();
        for summary in summaries {
            counts.add(summary, 1.0, level.mean as f32, prior.hour.concentration);
        }
        week = [1.0; WEEK_HOURS];
        shrinkage.shrink(&mut week, &counts, &WHOLE);
        level = mean_level(summaries, &week);
    }
    (week, level)
}

/// Fits chronotypes by expectation–maximization from a first assignment of people to classes.
pub(in crate::learn) fn expectation_maximization(
    summaries: &[SufficientStatistics],
    start: &[usize],
    classes: usize,
    fitting: EmSettings,
) -> ChronotypeMixture {
    let (base, level) = population(summaries, &fitting.hyper.class);
    let mut sums = Sums::new(classes, level);
    for (summary, class) in summaries.iter().zip(start) {
        let mut share = vec![0.0; classes];
        share[*class] = 1.0;
        let mean = level.mean as f32;
        let posterior =
            ClassPosterior { share, level: vec![Frailty { mean, log: mean.ln() }; classes] };
        sums.add(summary, &posterior, &fitting);
    }
    let mut mixture = sums.maximize(&base, &fitting);
    for _ in 0..fitting.rounds {
        let prior = mixture.share().to_vec();
        let parts = in_chunks(summaries, |chunk| {
            let mut sums = Sums::new(classes, mixture.level());
            for summary in chunk {
                sums.add(summary, &mixture.posterior(summary, &prior), &fitting);
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

fn mean_level(summaries: &[SufficientStatistics], base: &WeekRates) -> FrailtyPrior {
    let (mut reads, mut exposure) = (0.0, 0.0);
    for summary in summaries {
        let person_weight = person_weight(f64::from(summary.evidence));
        let own: f64 = summary.exposure.iter().zip(base).map(|(e, w)| f64::from(e * w)).sum();
        reads += person_weight * f64::from(summary.reads);
        exposure += person_weight * own;
    }
    FrailtyPrior { shape: 1.0, mean: if reads > 0.0 { reads / exposure } else { 1.0 } }
}

impl WeekCounts {
    /// A person who was seen often says less with each event than one who was seen once: the weight
    /// is that of a Dirichlet-multinomial, up to `concentration` events a person.
    fn add(&mut self, summary: &SufficientStatistics, share: f32, level: f32, concentration: f32) {
        if summary.late {
            return;
        }
        let weight = share * concentration / (concentration + summary.reads + summary.presences);
        let presences = summary.presences / WEEK_HOURS as f32;
        for h in 0..WEEK_HOURS {
            self.observed[h] += weight * summary.observed[h];
            self.watched[h] += weight * (level * summary.exposure[h] + presences);
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
    counts: Vec<WeekCounts>,
    /// People with messages, their levels and the logarithms of their levels.
    people: f64,
    level: f64,
    log_level: f64,
    /// What was known of levels before, and the highest that counts as it is.
    before: FrailtyPrior,
    level_max: f64,
}

impl Sums {
    fn new(classes: usize, before: FrailtyPrior) -> Self {
        Self {
            before,
            level_max: before.uncommon(),
            share: vec![0.0; classes],
            counts: vec![WeekCounts::default(); classes],
            people: 0.0,
            level: 0.0,
            log_level: 0.0,
        }
    }

    fn add(
        &mut self,
        summary: &SufficientStatistics,
        posterior: &ClassPosterior,
        fitting: &EmSettings,
    ) {
        const UNLIKELY: f32 = 1e-4;
        let (mut mean, mut log) = (0.0, 0.0);
        for (class, share) in posterior.share.iter().copied().enumerate() {
            self.share[class] += f64::from(share);
            // one person moves the population's level as if theirs were at most an uncommon one
            let level = f64::from(posterior.level[class].mean);
            let over = (level / self.level_max).max(1.0);
            mean += f64::from(share) * level / over;
            log += f64::from(share) * (f64::from(posterior.level[class].log) - over.ln());
            if share >= UNLIKELY {
                self.counts[class].add(
                    summary,
                    share,
                    posterior.level[class].mean,
                    fitting.hyper.person.hour.concentration,
                );
            }
        }
        if summary.evidence > summary.presences {
            self.people += 1.0;
            self.level += mean;
            self.log_level += log - self.before.below(summary.reads);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.share.iter_mut().zip(&other.share).for_each(|(a, b)| *a += b);
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| a.merge(b));
        self.people += other.people;
        self.level += other.level;
        self.log_level += other.log_level;
    }

    fn maximize(&self, base: &WeekRates, fitting: &EmSettings) -> ChronotypeMixture {
        const PRIOR: f64 = 0.5;
        let total: f64 = self.share.iter().map(|s| s + PRIOR).sum();
        let share = self.share.iter().map(|s| (s + PRIOR) / total).collect();
        let shrinkage = HierarchicalShrinkage::new(&fitting.hyper.class);
        let weeks = self
            .counts
            .iter()
            .map(|counts| {
                let mut week = *base;
                shrinkage.shrink(&mut week, counts, &WHOLE);
                week
            })
            .collect();
        let level = if self.people > 0.0 {
            let mean = self.level / self.people;
            let spread = mean.ln() - self.log_level / self.people;
            FrailtyPrior { shape: gamma_shape(spread), mean }
        } else {
            self.before
        };
        ChronotypeMixture::new(share, weeks, level, &fitting.hyper)
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
    use super::*;
    use crate::learn::data::exposure::ReadHazard;
    use crate::learn::data::observations::{ObservationSet, PresenceEvent, ReceiptState};
    use crate::learn::parallel::on_threads;

    fn person(hours: &[u8]) -> SufficientStatistics {
        let presences = hours.iter().map(|hour| PresenceEvent { hour: *hour, days: 0.0 }).collect();
        let observations =
            ObservationSet { intervals: Vec::new(), presences, receipts: ReceiptState::Silent };
        SufficientStatistics::new(
            &observations,
            &ReadHazard::default(),
            HyperParameters::default().observation_weights(),
            |_| 1.0,
        )
    }

    #[test]
    fn early_and_late_people_are_told_apart_from_a_poor_start() {
        let early: Vec<u8> = (0..5).map(|day| day * 24 + 7 + day % 2).collect();
        let late: Vec<u8> = (0..5).map(|day| day * 24 + 20 + day % 2).collect();
        let summaries: Vec<SufficientStatistics> =
            (0..200).map(|i| person(if i % 2 == 0 { &early } else { &late })).collect();
        let start: Vec<usize> =
            (0..200).map(|i| usize::from(i % 2 == 0) ^ usize::from(i % 5 == 0)).collect();
        let fitting = EmSettings { hyper: HyperParameters::default(), rounds: 30 };
        let fitted = on_threads(2, || expectation_maximization(&summaries, &start, 2, fitting));
        let share = fitted.posterior(&summaries[0], fitted.share()).share;
        assert!(share[0].max(share[1]) > 0.95, "{share:?}");
        assert!((fitted.share()[0] - 0.5).abs() < 0.02);
        let again = on_threads(5, || expectation_maximization(&summaries, &start, 2, fitting));
        let bits = |week: &WeekRates| week.map(f32::to_bits);
        assert_eq!(bits(fitted.week(0)), bits(again.week(0)));
    }

    #[test]
    fn the_gamma_shape_is_found_again() {
        // ln mean − mean ln of a gamma distribution with shape 2 is ln 2 − ψ(2) = 0.2704
        assert!((gamma_shape(0.2704) - 2.0).abs() < 0.001);
        assert!(gamma_shape(-0.1) > 99.0 && gamma_shape(1e3) < 0.11);
    }
}
