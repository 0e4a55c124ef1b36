//! Expectation–maximization for the chronotypes, as a linfa estimator: [`MixtureParams`] are
//! checked, start from linfa's k-means and are fitted to [`PersonRecords`].
//!
//! The E-step gives each person's share of each class and the level in it; the M-step takes each
//! class's events and hours watched as matrix products over people, chunk by chunk in a fixed
//! order, shrinks the class's week to the population's by them, and takes the levels' gamma
//! distribution by moments (Dempster, Laird and Rubin, JRSS B 39, 1977).

use linfa::ParamGuard;
use linfa::dataset::{DatasetBase, Records};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayView1, Axis, Slice};

use crate::learn::data::exposure::SufficientStatistics;
use crate::learn::data::week_hours::WeekRates;
use crate::learn::error::FitError;
use crate::learn::parallel::map;
use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::k_means::group;
use crate::learn::population::mixture::{ChronotypeMixture, ClassPosterior, Frailty, FrailtyPrior};
use crate::learn::population::shrinkage::{
    AxisPrior, Concentrations, HierarchicalShrinkage, WHOLE, WeekCounts,
};
use crate::learn::statistics::special::{digamma, person_weight};
use crate::model::preference::WEEK_HOURS;

/// The sufficient statistics of people, as the records of a linfa data set.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct PersonRecords<'a>(pub(in crate::learn) &'a [SufficientStatistics]);

impl Records for PersonRecords<'_> {
    type Elem = f32;

    fn nsamples(&self) -> usize {
        self.0.len()
    }

    /// Events and exposure, hour by hour.
    fn nfeatures(&self) -> usize {
        2 * WEEK_HOURS
    }
}

/// How a mixture is fitted, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::learn) struct MixtureParams(MixtureValidParams);

/// How a mixture is fitted.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::learn) struct MixtureValidParams {
    hyper: HyperParameters,
    /// Rounds of expectation–maximization.
    rounds: usize,
    seed: u64,
}

impl MixtureParams {
    pub(in crate::learn) fn new(hyper: &HyperParameters, rounds: usize, seed: u64) -> Self {
        Self(MixtureValidParams { hyper: *hyper, rounds, seed })
    }
}

impl ParamGuard for MixtureParams {
    type Checked = MixtureValidParams;
    type Error = FitError;

    fn check_ref(&self) -> Result<&MixtureValidParams, FitError> {
        let bad = |what: &str| Err(FitError::new("chronotypes", what));
        let HyperParameters { classes, half_life, presence_weight, person, class, .. } =
            self.0.hyper;
        let changes_a_year = self.0.hyper.changes_a_year;
        if classes == 0 {
            return bad("a mixture needs at least one class");
        }
        if !(half_life > 0.0 && presence_weight >= 0.0) {
            return bad("a half-life must be above 0 days, and a weight of presence not below 0");
        }
        if !(changes_a_year >= 0.0 && changes_a_year.is_finite()) {
            return bad("changes of habits a year must not be below 0");
        }
        let axes = [person, class].map(|c| [c.hour, c.fine, c.weekend, c.day, c.part, c.cell]);
        let is_good = |axis: &AxisPrior| axis.concentration > 0.0 && axis.bandwidth >= 0.0;
        if !axes.as_flattened().iter().all(is_good) {
            return bad("concentrations must be above 0, and bandwidths not below 0 hours");
        }
        Ok(&self.0)
    }

    fn check(self) -> Result<MixtureValidParams, FitError> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl Fit<PersonRecords<'_>, (), FitError> for MixtureValidParams {
    type Object = ChronotypeMixture;

    /// Starts from linfa's k-means over people's profiles.
    fn fit(&self, data: &DatasetBase<PersonRecords<'_>, ()>) -> Result<Self::Object, FitError> {
        let PersonRecords(summaries) = data.records;
        let start = group(summaries, self.hyper.classes, self.seed)?;
        Ok(self.fit_from(summaries, &start))
    }
}

impl PredictInplace<PersonRecords<'_>, Array2<f32>> for ChronotypeMixture {
    /// The posterior share of each class, a row a person.
    fn predict_inplace<'a>(&'a self, people: &'a PersonRecords<'_>, shares: &mut Array2<f32>) {
        for (summary, mut row) in people.0.iter().zip(shares.rows_mut()) {
            let posterior = self.posterior(summary, self.share());
            row.iter_mut().zip(posterior.share).for_each(|(to, share)| *to = share);
        }
    }

    fn default_target(&self, people: &PersonRecords<'_>) -> Array2<f32> {
        Array2::zeros((people.nsamples(), self.len()))
    }
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
            let weight = event_weight(summary, prior.hour.concentration);
            counts.add(summary, level.mean as f32, weight);
        }
        week = [1.0; WEEK_HOURS];
        shrinkage.shrink(&mut week, &counts, &WHOLE);
        level = mean_level(summaries, &week);
    }
    (week, level)
}

impl MixtureValidParams {
    /// Fits chronotypes by expectation–maximization from a first assignment of people to classes.
    fn fit_from(&self, summaries: &[SufficientStatistics], start: &[usize]) -> ChronotypeMixture {
        let classes = start.iter().max().map_or(1, |most| most + 1);
        let (base, level) = population(summaries, &self.hyper.class);
        let mean = level.mean as f32;
        let first: Vec<ClassPosterior> = start
            .iter()
            .map(|class| {
                let mut share = vec![0.0; classes];
                share[*class] = 1.0;
                ClassPosterior { share, level: vec![Frailty { mean, log: mean.ln() }; classes] }
            })
            .collect();
        let people = PersonMatrices::new(summaries);
        let chunks: Vec<usize> = (0..summaries.len()).step_by(PersonMatrices::CHUNK).collect();
        let step = |level: FrailtyPrior, posterior: &(dyn Fn(usize) -> ClassPosterior + Sync)| {
            let sums = map(&chunks, |from| {
                let to = summaries.len().min(from + PersonMatrices::CHUNK);
                let posteriors: Vec<ClassPosterior> = (*from..to).map(posterior).collect();
                let mut sums = Sums::new(classes, level);
                sums.add(*from, summaries, &people, &posteriors, &self.hyper);
                sums
            });
            let mut all = Sums::new(classes, level);
            for sums in &sums {
                all.merge(sums);
            }
            all.maximize(&base, &self.hyper)
        };
        let mut mixture = step(level, &|person| first[person].clone());
        for _ in 0..self.rounds {
            let prior = mixture.share().to_vec();
            let next =
                step(mixture.level(), &|person| mixture.posterior(&summaries[person], &prior));
            mixture = next;
        }
        mixture
    }
}

/// Events and exposure of all people, a row a person and a column an hour of the week.
struct PersonMatrices {
    observed: Array2<f32>,
    exposure: Array2<f32>,
}

impl PersonMatrices {
    /// People whose sums are taken together; fixed, so that sums do not depend on threads.
    const CHUNK: usize = 256;

    fn new(summaries: &[SufficientStatistics]) -> Self {
        let matrix = |of: fn(&SufficientStatistics) -> &WeekRates| {
            let flat = summaries.iter().flat_map(of).copied().collect();
            Array2::from_shape_vec((summaries.len(), WEEK_HOURS), flat)
                .expect("every week has 168 hours")
        };
        Self { observed: matrix(|s| &s.observed), exposure: matrix(|s| &s.exposure) }
    }
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

/// What each event of a person weighs for others: a person who was seen often says less with each
/// event than one who was seen once. The weight is that of a Dirichlet-multinomial, up to
/// `concentration` events a person; answers that stand for unseen reads may be late and weigh
/// nothing.
fn event_weight(summary: &SufficientStatistics, concentration: f32) -> f32 {
    if summary.late {
        return 0.0;
    }
    concentration / (concentration + summary.reads + summary.presences)
}

impl WeekCounts {
    fn add(&mut self, summary: &SufficientStatistics, level: f32, weight: f32) {
        let presences = summary.presences / WEEK_HOURS as f32;
        for h in 0..WEEK_HOURS {
            self.observed[h] += weight * summary.observed[h];
            self.watched[h] += weight * (level * summary.exposure[h] + presences);
        }
    }
}

/// What an E-step leaves for the M-step.
struct Sums {
    share: Vec<f64>,
    /// Events, and hours watched, a row a class and a column an hour of the week.
    observed: Array2<f32>,
    watched: Array2<f32>,
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
            observed: Array2::zeros((classes, WEEK_HOURS)),
            watched: Array2::zeros((classes, WEEK_HOURS)),
            people: 0.0,
            level: 0.0,
            log_level: 0.0,
        }
    }

    /// Adds people who stand together in the matrices: `N = Rᵀ O` events and `M = (R ∘ L)ᵀ E + Rᵀ
    /// p` hours watched, where `R` are the classes' weights, `L` the levels and `p` the presence
    /// events spread over the week.
    fn add(
        &mut self,
        from: usize,
        summaries: &[SufficientStatistics],
        people: &PersonMatrices,
        posteriors: &[ClassPosterior],
        hyper: &HyperParameters,
    ) {
        const UNLIKELY: f32 = 1e-4;
        let shape = (posteriors.len(), self.share.len());
        let (mut weights, mut by_level) = (Array2::zeros(shape), Array2::zeros(shape));
        let mut presences = Array1::zeros(self.share.len());
        for (row, posterior) in posteriors.iter().enumerate() {
            let summary = &summaries[from + row];
            let (mut mean, mut log) = (0.0, 0.0);
            let person = event_weight(summary, hyper.person.hour.concentration);
            for (class, share) in posterior.share.iter().copied().enumerate() {
                self.share[class] += f64::from(share);
                // one person moves the population's level as if theirs were at most an uncommon one
                let level = f64::from(posterior.level[class].mean);
                let over = (level / self.level_max).max(1.0);
                mean += f64::from(share) * level / over;
                log += f64::from(share) * (f64::from(posterior.level[class].log) - over.ln());
                if share >= UNLIKELY {
                    weights[[row, class]] = person * share;
                    by_level[[row, class]] = person * share * posterior.level[class].mean;
                    presences[class] += person * share * summary.presences / WEEK_HOURS as f32;
                }
            }
            if summary.evidence > summary.presences {
                self.people += 1.0;
                self.level += mean;
                self.log_level += log - self.before.below(summary.reads);
            }
        }
        let rows = Slice::from(from..from + posteriors.len());
        self.observed += &weights.t().dot(&people.observed.slice_axis(Axis(0), rows));
        self.watched += &by_level.t().dot(&people.exposure.slice_axis(Axis(0), rows));
        self.watched += &presences.insert_axis(Axis(1));
    }

    fn merge(&mut self, other: &Self) {
        self.share.iter_mut().zip(&other.share).for_each(|(a, b)| *a += b);
        self.observed += &other.observed;
        self.watched += &other.watched;
        self.people += other.people;
        self.level += other.level;
        self.log_level += other.log_level;
    }

    fn maximize(&self, base: &WeekRates, hyper: &HyperParameters) -> ChronotypeMixture {
        const PRIOR: f64 = 0.5;
        let total: f64 = self.share.iter().map(|s| s + PRIOR).sum();
        let share = self.share.iter().map(|s| (s + PRIOR) / total).collect();
        let shrinkage = HierarchicalShrinkage::new(&hyper.class);
        let week_of = |row: ArrayView1<'_, f32>| -> WeekRates { std::array::from_fn(|h| row[h]) };
        let rows = self.observed.rows().into_iter().zip(self.watched.rows());
        let weeks = rows
            .map(|(observed, watched)| {
                let counts = WeekCounts { observed: week_of(observed), watched: week_of(watched) };
                let mut week = *base;
                shrinkage.shrink(&mut week, &counts, &WHOLE);
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
        ChronotypeMixture::new(share, weeks, level, hyper)
    }
}

/// The shape `a` of a gamma distribution from `ln mean − mean ln = ln a − ψ(a)`, by halving on the
/// log scale; the right side falls from ∞ to 0.
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
            (0..600).map(|i| person(if i % 2 == 0 { &early } else { &late })).collect();
        let start: Vec<usize> =
            (0..600).map(|i| usize::from(i % 2 == 0) ^ usize::from(i % 5 == 0)).collect();
        let mixture = MixtureParams::new(&HyperParameters::default(), 30, 1).check().unwrap();
        let fitted = on_threads(2, || mixture.fit_from(&summaries, &start));
        let share = fitted.posterior(&summaries[0], fitted.share()).share;
        assert!(share[0].max(share[1]) > 0.95, "{share:?}");
        assert!((fitted.share()[0] - 0.5).abs() < 0.02);
        let bits = |fitted: &ChronotypeMixture| [0, 1].map(|c| fitted.week(c).map(f32::to_bits));
        for threads in [1, 5] {
            let again = on_threads(threads, || mixture.fit_from(&summaries, &start));
            assert_eq!(bits(&fitted), bits(&again), "{threads} threads");
        }
        let records = PersonRecords(&summaries[..3]);
        let mut shares = fitted.default_target(&records);
        fitted.predict_inplace(&records, &mut shares);
        assert_eq!(shares.dim(), (3, 2));
        assert_eq!(shares[[0, 0]].to_bits(), share[0].to_bits());
    }

    #[test]
    fn a_mixture_of_no_classes_or_without_memory_is_refused_with_words() {
        let hyper = HyperParameters::default();
        let refused = |hyper| MixtureParams::new(&hyper, 3, 1).check().unwrap_err().to_string();
        assert!(refused(HyperParameters { classes: 0, ..hyper }).contains("one class"));
        assert!(refused(HyperParameters { half_life: 0.0, ..hyper }).contains("half-life"));
        assert!(refused(HyperParameters { changes_a_year: -0.1, ..hyper }).contains("changes"));
        let mut flat = hyper;
        flat.person.day.concentration = f32::NAN;
        assert!(refused(flat).contains("concentrations"));
    }

    /// One row a person, the E-step and the M-step as loops over people, hours and classes.
    #[test]
    fn the_matrix_products_are_the_sums_over_people() {
        let people: Vec<SufficientStatistics> =
            (0u8..40).map(|i| person(&[i, i * 4, 100 + i])).collect();
        let before = FrailtyPrior { shape: 1.0, mean: 0.5 };
        let posterior = |i: usize| {
            let share = i as f32 / 40.0;
            let level = Frailty { mean: 0.5, log: 0.5f32.ln() };
            ClassPosterior { share: vec![share, 1.0 - share], level: vec![level; 2] }
        };
        let posteriors: Vec<ClassPosterior> = (0..40).map(posterior).collect();
        let hyper = HyperParameters::default();
        let mut sums = Sums::new(2, before);
        sums.add(0, &people, &PersonMatrices::new(&people), &posteriors, &hyper);
        for class in 0..2 {
            let mut counts = WeekCounts::default();
            for (summary, posterior) in people.iter().zip(&posteriors) {
                let weight = event_weight(summary, hyper.person.hour.concentration);
                counts.add(summary, 0.5, weight * posterior.share[class]);
            }
            for hour in 0..WEEK_HOURS {
                let of = [(&sums.observed, &counts.observed), (&sums.watched, &counts.watched)];
                for (matrix, loops) in of {
                    assert!((matrix[[class, hour]] - loops[hour]).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn the_gamma_shape_is_found_again() {
        // ln mean − mean ln of a gamma distribution with shape 2 is ln 2 − ψ(2) = 0.2704
        assert!((gamma_shape(0.2704) - 2.0).abs() < 0.001);
        assert!(gamma_shape(-0.1) > 99.0 && gamma_shape(1e3) < 0.11);
    }
}
