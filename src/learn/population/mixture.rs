//! Chronotypes: a mixture of weekly patterns from which people's own weeks are refined.
//!
//! A person of class `c` has the rate `level · week_c(h) · ratio(h)` in hour `h`, with a gamma
//! level and a gamma ratio of mean 1 for each hour of the day. With the ratios integrated out, what
//! was observed is negative binomial by hour of day; the level is put in at its posterior mean.

use serde::{Deserialize, Serialize};

use crate::learn::data::exposure::SufficientStatistics;
use crate::learn::data::week_hours::WeekRates;
use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::shrinkage::{
    Concentrations, EVEN, HOUR, HierarchicalShrinkage, REST, WeekCounts, normalize,
};
use crate::learn::statistics::special::{digamma, gamma_quantile, ln_gamma, sigmoid};
use crate::model::preference::WEEK_HOURS;

/// The mixture and the spread of people around it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(in crate::learn) struct ChronotypeMixture {
    stored: Stored,
    shrinkage: HierarchicalShrinkage,
    tables: Vec<Table>,
}

/// What the likelihood of a class needs, worked out once.
#[derive(Debug, Clone)]
struct Table {
    /// Logarithm of each hour's rate.
    log: WeekRates,
    /// Share of each hour of the day.
    mass: [f32; 24],
    /// Shape `a` of each hour's gamma ratio.
    shape: [f32; 24],
    /// `ln Γ(a)` of each hour.
    ln_gamma: [f64; 24],
    /// `Σ a ln a` over the hours.
    constant: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    share: Vec<f64>,
    weeks: Vec<Vec<f32>>,
    level: FrailtyPrior,
    person: Concentrations,
    sharpness: f32,
}

/// The gamma distribution of people's levels of reading, relative to fresh average messages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct FrailtyPrior {
    pub(in crate::learn) shape: f64,
    pub(in crate::learn) mean: f64,
}

/// What is known of one person's level.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct Frailty {
    /// Posterior mean.
    pub(in crate::learn) mean: f32,
    /// Logarithm of the mean; of a silent person, the mean of the logarithms under both meanings of
    /// silence.
    pub(in crate::learn) log: f32,
}

impl FrailtyPrior {
    /// The level of a person of whom, at level 1, so many reads were expected. Silence is either
    /// disinterest, or receipts that are off: the levels of both are weighed by how probable they
    /// make it (a gamma-Poisson with no events).
    fn posterior(self, summary: &SufficientStatistics, expected: f32) -> Frailty {
        let (reads, rate) = (f64::from(summary.reads), self.shape / self.mean);
        let mean = |expected: f64| (self.shape + reads) / (rate + expected);
        let Some(missing) = summary.missing else {
            let mean = mean(f64::from(expected)) as f32;
            return Frailty { mean, log: mean.ln() };
        };
        let [on, off] = [missing.if_on, missing.if_off].map(|times| f64::from(times * expected));
        let chance = |expected: f64| self.shape * (rate / (rate + expected)).ln();
        let share = f64::from(missing.off);
        // the odds that receipts are off, on the log scale: both chances may be next to nothing
        let odds = (share / (1.0 - share)).ln() + chance(off) - chance(on);
        let off_weight = sigmoid(odds);
        let weighed = |on: f64, off: f64| ((1.0 - off_weight) * on + off_weight * off) as f32;
        let [on, off] = [on, off].map(mean);
        Frailty { mean: weighed(on, off), log: weighed(on.ln(), off.ln()) }
    }

    /// By how much `E[ln L]` of a person with so many reads lies below `ln E[L]`: the posterior is
    /// a gamma distribution.
    pub(in crate::learn) fn below(self, reads: f32) -> f64 {
        let shape = self.shape + f64::from(reads);
        shape.ln() - digamma(shape)
    }

    /// A level that one person in ten thousand has.
    pub(in crate::learn) fn uncommon(self) -> f64 {
        gamma_quantile(self.shape, 0.9999) * self.mean
    }

    /// What the level adds to a log-likelihood.
    fn likelihood(self, reads: f32, level: f32) -> f64 {
        let level = f64::from(level);
        (f64::from(reads) + self.shape) * level.ln() - self.shape / self.mean * level
    }
}

/// Which classes a person may be of, and the level in each.
#[derive(Debug, Clone)]
pub(in crate::learn) struct ClassPosterior {
    pub(in crate::learn) share: Vec<f32>,
    pub(in crate::learn) level: Vec<Frailty>,
}

/// A person's events by hour of the week, where there were any, and by hour of the day.
#[derive(Debug, Clone)]
pub(in crate::learn) struct EventHours {
    events: Vec<(usize, f32)>,
    pub(in crate::learn) observed: [f32; 24],
}

impl EventHours {
    pub(in crate::learn) fn new(summary: &SufficientStatistics) -> Self {
        let events: Vec<(usize, f32)> =
            summary.observed.iter().copied().enumerate().filter(|(_, n)| *n > 0.0).collect();
        let mut observed = [0.0; 24];
        for (hour, n) in &events {
            observed[hour % 24] += n;
        }
        Self { events, observed }
    }
}

impl Table {
    fn new(week: &[f32], concentration: f32) -> Self {
        let total =
            |h: usize| (0..7).map(|day| week[day * 24 + h]).sum::<f32>() / WEEK_HOURS as f32;
        let mass: [f32; 24] = std::array::from_fn(total);
        let shape = mass.map(|mass| concentration * ((1.0 - EVEN) * mass + EVEN / 24.0));
        Self {
            log: std::array::from_fn(|h| week[h].ln()),
            mass,
            shape,
            ln_gamma: shape.map(|a| ln_gamma(f64::from(a))),
            constant: shape.iter().map(|a| f64::from(*a) * f64::from(*a).ln()).sum(),
        }
    }

    /// Log-likelihood of events by hour of the week, of which so many were observed and expected in
    /// each hour of the day.
    fn likelihood(&self, events: &EventHours, expected: &[f32; 24]) -> f64 {
        let EventHours { events, observed } = events;
        let mut sum = self.constant;
        for (hour, n) in events {
            sum += f64::from(*n) * f64::from(self.log[*hour]);
        }
        let mut terms = [0.0f32; 24];
        for (h, term) in terms.iter_mut().enumerate() {
            *term = (self.shape[h] + observed[h]) * ln(self.shape[h] + expected[h]);
        }
        for h in 0..24 {
            sum -= f64::from(terms[h]);
            if observed[h] > 0.0 {
                sum += ln_gamma(f64::from(self.shape[h] + observed[h])) - self.ln_gamma[h];
            }
        }
        sum
    }
}

/// A person's week of rates.
#[derive(Debug, Clone)]
pub(in crate::learn) struct PersonRates {
    /// Mean 1.
    pub(in crate::learn) week: WeekRates,
    /// What the classes alone make of it: nothing in it was fitted to the person's own events.
    pub(in crate::learn) plain: WeekRates,
    /// Posterior mean of the level.
    pub(in crate::learn) level: f32,
    /// Shape of the level's gamma posterior.
    pub(in crate::learn) certainty: f32,
    /// Posterior share of each class.
    pub(in crate::learn) share: Vec<f32>,
}

impl ChronotypeMixture {
    pub(in crate::learn) fn new(
        share: Vec<f64>,
        weeks: Vec<WeekRates>,
        level: FrailtyPrior,
        hyper: &HyperParameters,
    ) -> Self {
        let weeks = weeks.into_iter().map(Vec::from).collect();
        let HyperParameters { person, sharpness, .. } = *hyper;
        Stored { share, weeks, level, person, sharpness }.into()
    }

    pub(in crate::learn) fn len(&self) -> usize {
        self.stored.share.len()
    }

    pub(in crate::learn) fn share(&self) -> &[f64] {
        &self.stored.share
    }

    pub(in crate::learn) fn level(&self) -> FrailtyPrior {
        self.stored.level
    }

    pub(in crate::learn) fn week(&self, class: usize) -> &WeekRates {
        self.stored.weeks[class].first_chunk().expect("a week has 168 hours")
    }

    /// The same classes around which people vary otherwise.
    pub(in crate::learn) fn with(&self, hyper: &HyperParameters) -> Self {
        let HyperParameters { person, sharpness, .. } = *hyper;
        Stored { person, sharpness, ..self.stored.clone() }.into()
    }

    /// The E-step for one person, starting from prior shares of the classes.
    pub(in crate::learn) fn posterior(
        &self,
        summary: &SufficientStatistics,
        prior: &[f64],
    ) -> ClassPosterior {
        let events = EventHours::new(summary);
        let mut likelihood = Vec::with_capacity(self.len());
        let mut levels = Vec::with_capacity(self.len());
        for (class, prior) in prior.iter().enumerate() {
            let mut expected = self.expected(class, summary);
            let level = self.stored.level.posterior(summary, expected.iter().sum());
            for (expected, mass) in expected.iter_mut().zip(&self.tables[class].mass) {
                // the level of presence events is such that as many are expected as there were
                *expected = level.mean * *expected + summary.presences * mass;
            }
            let fit = self.tables[class].likelihood(&events, &expected);
            levels.push(level);
            likelihood
                .push(prior.ln() + fit + self.stored.level.likelihood(summary.reads, level.mean));
        }
        let top = likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = likelihood.iter().map(|l| (l - top).exp()).sum();
        let share = likelihood.iter().map(|l| ((l - top).exp() / total) as f32).collect();
        ClassPosterior { share, level: levels }
    }

    /// Reads that a class would bring by hour of the day, at level 1.
    pub(in crate::learn) fn expected(
        &self,
        class: usize,
        summary: &SufficientStatistics,
    ) -> [f32; 24] {
        let mut expected = [0.0f32; 24];
        let days = self.week(class).chunks_exact(24).zip(summary.exposure.chunks_exact(24));
        for (week, exposure) in days {
            for (total, (rate, exposure)) in expected.iter_mut().zip(week.iter().zip(exposure)) {
                *total += rate * exposure;
            }
        }
        expected
    }

    /// What the hours of the week of events add to the log-likelihood of a class, where the hours of
    /// the day are told apart by [`Self::hours_log_likelihood`].
    pub(in crate::learn) fn events_log_likelihood(&self, class: usize, events: &EventHours) -> f64 {
        let log = &self.tables[class].log;
        events.events.iter().map(|(hour, n)| f64::from(*n) * f64::from(log[*hour])).sum()
    }

    /// The logarithm of the likelihood of events by hour of the day where so many were expected, with
    /// the ratios integrated out; to about 0.001.
    pub(in crate::learn) fn hours_log_likelihood(
        &self,
        class: usize,
        observed: &[f32; 24],
        expected: &[f32; 24],
    ) -> f64 {
        let table = &self.tables[class];
        let mut terms = [0.0f32; 24];
        for (h, term) in terms.iter_mut().enumerate() {
            let shape = table.shape[h] + observed[h];
            let prior = table.shape[h] * ln(table.shape[h]) - ln_gamma_quick(table.shape[h]);
            *term = prior + ln_gamma_quick(shape) - shape * ln(table.shape[h] + expected[h]);
        }
        terms.into_iter().map(f64::from).sum()
    }

    /// A class's share of each hour of the day.
    pub(in crate::learn) fn mass(&self, class: usize) -> &[f32; 24] {
        &self.tables[class].mass
    }

    /// Sum of the shapes of the ratios by hour of the day.
    pub(in crate::learn) fn concentration(&self) -> f64 {
        f64::from(self.stored.person.hour.concentration)
    }

    /// A person's own week: each likely class's refined by the person's hours, then their mean
    /// refined by days and single hours.
    pub(in crate::learn) fn rates(
        &self,
        summary: &SufficientStatistics,
        prior: &[f64],
    ) -> PersonRates {
        const UNLIKELY: f32 = 0.01;
        let posterior = self.posterior(summary, prior);
        let presences = summary.presences / WEEK_HOURS as f32;
        let mut counts = WeekCounts { observed: summary.observed, watched: [0.0; WEEK_HOURS] };
        let mut interval = |level: f32| {
            for (watched, exposure) in counts.watched.iter_mut().zip(&summary.exposure) {
                *watched = level * exposure + presences;
            }
            counts.clone()
        };
        let (mut week, mut plain) = ([0.0; WEEK_HOURS], [0.0; WEEK_HOURS]);
        for class in 0..self.len() {
            let (share, level) = (posterior.share[class], posterior.level[class].mean);
            if share >= UNLIKELY {
                let mut own = *self.week(class);
                plain.iter_mut().zip(own).for_each(|(plain, own)| *plain += share * level * own);
                self.shrinkage.shrink(&mut own, &interval(level), &HOUR);
                week.iter_mut().zip(own).for_each(|(week, own)| *week += share * level * own);
            }
        }
        normalize(&mut week);
        normalize(&mut plain);
        let expected =
            |week: &WeekRates| week.iter().zip(&summary.exposure).map(|(w, e)| w * e).sum();
        let level = self.stored.level.posterior(summary, expected(&week)).mean;
        self.shrinkage.shrink(&mut week, &interval(level), &REST);
        if (self.stored.sharpness - 1.0).abs() > f32::EPSILON {
            for rate in &mut week {
                *rate = rate.powf(self.stored.sharpness);
            }
            normalize(&mut week);
        }
        let level = self.stored.level.posterior(summary, expected(&week)).mean;
        let certainty = self.stored.level.shape as f32 + summary.reads;
        PersonRates { week, plain, level, certainty, share: posterior.share }
    }
}

impl From<Stored> for ChronotypeMixture {
    fn from(stored: Stored) -> Self {
        let concentration = stored.person.hour.concentration;
        let tables = stored.weeks.iter().map(|week| Table::new(week, concentration)).collect();
        let shrinkage = HierarchicalShrinkage::new(&stored.person);
        Self { stored, shrinkage, tables }
    }
}

impl From<ChronotypeMixture> for Stored {
    fn from(chronotypes: ChronotypeMixture) -> Self {
        chronotypes.stored
    }
}

/// Natural logarithm of a positive, normal number to 1e-6 relative, in a form that compilers put
/// side by side: exponent and a series of `atanh` on the mantissa between √½ and √2.
fn ln(x: f32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(HALF_ROOT);
    let exponent = (bits as i32 >> 23) as f32;
    let mantissa = f32::from_bits((bits & 0x007f_ffff).wrapping_add(HALF_ROOT));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0)));
    exponent * std::f32::consts::LN_2 + 2.0 * t * series
}

/// Natural logarithm of the gamma function of a number above 0 to 1e-6 relative, in a form that compilers
/// put side by side: Stirling's series after four steps of the recursion.
fn ln_gamma_quick(x: f32) -> f32 {
    const HALF_LN_TAU: f32 = 0.918_938_5;
    let steps = x * (x + 1.0) * (x + 2.0) * (x + 3.0);
    let z = x + 4.0;
    let series = (1.0 / 12.0 - 1.0 / (360.0 * z * z)) / z;
    (z - 0.5) * ln(z) - z + HALF_LN_TAU + series - ln(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_logarithm_is_a_logarithm() {
        for i in 1..200_000 {
            let x = (i as f32 * 0.003).powi(3) * 1e-3;
            let error = (f64::from(ln(x)) - f64::from(x).ln()).abs();
            assert!(error < 1e-6 * f64::from(x).ln().abs().max(1.0), "{x}: {error}");
        }
    }

    #[test]
    fn the_quick_logarithm_of_the_gamma_function_is_one() {
        for i in 1..20_000 {
            let x = (i as f32 * 0.003).powi(2);
            let exact = ln_gamma(f64::from(x));
            let error = (f64::from(ln_gamma_quick(x)) - exact).abs();
            assert!(error < 2e-6 * exact.abs().max(10.0), "{x}: {error}");
        }
    }

    #[test]
    fn silence_that_receipts_may_explain_says_less_of_the_level() {
        let level = FrailtyPrior { shape: 1.5, mean: 0.07 };
        let observations = crate::learn::data::observations::ObservationSet {
            intervals: Vec::new(),
            presences: Vec::new(),
            receipts: crate::learn::data::observations::ReceiptState::Silent,
        };
        let memory = HyperParameters::default().observation_weights();
        let plain = SufficientStatistics::new(&observations, &Default::default(), memory, |_| 1.0);
        let silent = |off: f32| {
            let missing =
                crate::learn::data::exposure::MissingReceipts { off, if_on: 1.0, if_off: 0.05 };
            level
                .posterior(&SufficientStatistics { missing: Some(missing), ..plain.clone() }, 60.0)
                .mean
        };
        assert!((silent(0.0) - level.posterior(&plain, 60.0).mean).abs() < 1e-6);
        assert!(silent(0.15) > 1.3 * silent(0.0) && silent(1.0) > 2.5 * silent(0.0));
        assert!(silent(1.0) < 0.07);
    }

    /// Levels were looked for on a grid that ended at 8.2 times the mean.
    #[test]
    fn whoever_reads_twenty_times_as_much_as_the_mean_is_known_to() {
        let level = FrailtyPrior { shape: 1.5, mean: 0.07 };
        let observations = crate::learn::data::observations::ObservationSet {
            intervals: Vec::new(),
            presences: Vec::new(),
            receipts: crate::learn::data::observations::ReceiptState::On,
        };
        let memory = HyperParameters::default().observation_weights();
        let plain = SufficientStatistics::new(&observations, &Default::default(), memory, |_| 1.0);
        let keen = level.posterior(&SufficientStatistics { reads: 420.0, ..plain }, 300.0);
        assert!((keen.mean / (20.0 * 0.07) - 1.0).abs() < 0.1, "{keen:?}");
    }
}
