//! The inner cross-validation: hyper-parameters are those under which the rest of everybody's
//! evidence predicts when they were seen in a block of it that was held out.

use std::collections::BTreeMap;

use crate::learn::data::observations::{ObservationSet, ReceiptState};
use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::subject::CensoredSubject;
use crate::learn::error::FitError;
use crate::learn::parallel::map;
use crate::learn::population::backfitting::{PersonAffinities, PopulationModel};
use crate::learn::population::change_point::PersonStatistics;
use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::select::grid::{BEYOND_MAX, ERRORS, SEARCH, Setter, Step};
use crate::learn::select::score::{HeldOut, HeldOutScore, is_better, score};
use crate::learn::settings::Settings;

/// Each sampled person's history with one block of it held out: the newest, and, where that alone
/// holds too little to tell settings apart, each of the others in its turn.
pub(in crate::learn) struct CrossValidation {
    folds: Vec<Fold>,
    contents: usize,
}

/// One block held out; people in the same order.
struct Fold {
    /// Places of these people in the sample: somebody may be in several folds, and counts once.
    people: Vec<usize>,
    rest: Vec<ObservationSet>,
    held_out: Vec<ObservationSet>,
}

/// A fold seen with some settings, as far as those of persons do not change it.
struct FittedFold {
    population: PopulationModel,
    people: Vec<(PersonStatistics, PersonAffinities)>,
}

impl Fold {
    fn new(people: &[&CensoredSubject<'_>], reporting: &ReceiptModel, block: usize) -> Self {
        let pairs = map(people, |censored| {
            let [before, within, after] = censored
                .around(block, CrossValidation::BLOCKS)
                .map(|span| censored.subject.observations(span, reporting));
            let rest = ObservationSet::around(before, after);
            let mut held_out = within;
            if rest.receipts != ReceiptState::Silent {
                held_out.receipts = rest.receipts;
            }
            (rest, held_out)
        });
        let told = |(rest, held_out): &(ObservationSet, ObservationSet)| {
            !rest.is_empty() && !held_out.is_empty()
        };
        let mut fold = Self { people: Vec::new(), rest: Vec::new(), held_out: Vec::new() };
        for (person, (rest, held_out)) in pairs.into_iter().enumerate().filter(|(_, p)| told(p)) {
            fold.people.push(person);
            fold.rest.push(rest);
            fold.held_out.push(held_out);
        }
        fold
    }

    fn fit(
        &self,
        hyper: &HyperParameters,
        contents: usize,
        bounds: FitBounds<'_>,
    ) -> Result<FittedFold, FitError> {
        let FitBounds { settings, seed } = bounds;
        let population = PopulationModel::fit(&self.rest, hyper, contents, settings, seed)?;
        let people = map(&self.rest, |rest| {
            let known = population.posterior(
                rest,
                hyper.observation_weights(),
                population.chronotypes.share(),
            );
            (known.statistics, known.affinities)
        });
        Ok(FittedFold { population, people })
    }

    /// The same people with chronotypes of other settings; how the hazard of a read falls with the
    /// age of a message and what is liked hardly depends on these.
    fn fit_classes(
        &self,
        fitted: &FittedFold,
        hyper: &HyperParameters,
        bounds: FitBounds<'_>,
    ) -> Result<FittedFold, FitError> {
        let affinities = fitted.people.iter().map(|(_, affinities)| affinities);
        let people: Vec<_> = self.rest.iter().zip(affinities.clone()).collect();
        let FitBounds { settings, seed } = bounds;
        let (population, statistics) =
            fitted.population.with_classes(&people, hyper, settings, seed)?;
        Ok(FittedFold {
            population,
            people: statistics.into_iter().zip(affinities.cloned()).collect(),
        })
    }

    /// Scores of everybody under settings of persons that the fit may not have known.
    fn scores(&self, fitted: &FittedFold, hyper: &HyperParameters) -> Vec<HeldOutScore> {
        let chronotypes = fitted.population.chronotypes.with(hyper);
        let pairs: Vec<_> = fitted.people.iter().zip(&self.held_out).collect();
        map(&pairs, |((statistics, affinities), held_out)| {
            let rates = statistics.rates(&chronotypes, chronotypes.share());
            score(&rates, held_out, &fitted.population.hazard, affinities)
        })
    }
}

/// The best settings so far, and everybody's scores under them.
struct Best {
    hyper: HyperParameters,
    fitted: Vec<FittedFold>,
    scores: Vec<f64>,
}

#[derive(Clone, Copy)]
struct FitBounds<'a> {
    settings: &'a Settings,
    seed: u64,
}

impl CrossValidation {
    const BLOCKS: usize = 3;
    /// So many held-out observations tell settings apart.
    const ENOUGH: usize = 20_000;

    pub(in crate::learn) fn new(
        sample: &[CensoredSubject<'_>],
        reporting: &ReceiptModel,
        contents: usize,
        settings: &Settings,
    ) -> Self {
        let stride = sample.len().div_ceil(settings.tune_max).max(1);
        let people: Vec<&CensoredSubject<'_>> = sample.iter().step_by(stride).collect();
        let mut folds = Vec::new();
        for block in (0..Self::BLOCKS).rev() {
            let fold = Fold::new(&people, reporting, block);
            let observations: usize = fold.held_out.iter().map(ObservationSet::observations).sum();
            folds.push(fold);
            if observations >= Self::ENOUGH {
                break;
            }
        }
        Self { folds, contents }
    }

    /// The fold whose newest block is held out.
    fn newest(&self) -> &Fold {
        &self.folds[0]
    }

    /// Whether there is anything by which two settings could be told apart: what a presence event
    /// counts for is relative to messages, and only messages wait together.
    fn tells(&self, one: &HyperParameters, other: &HyperParameters) -> bool {
        let any = |of: fn(&ObservationSet) -> bool| self.newest().rest.iter().any(of);
        let messages = any(|observations| observations.intervals.len() > 1);
        let alike = |a: f32, b: f32| a.to_bits() == b.to_bits();
        (alike(one.presence_weight, other.presence_weight)
            || messages && any(|observations| !observations.presences.is_empty()))
            && (alike(one.shared, other.shared) || messages)
    }

    fn fit_classes(
        &self,
        fitted: &[FittedFold],
        hyper: &HyperParameters,
        bounds: FitBounds<'_>,
    ) -> Result<Vec<FittedFold>, FitError> {
        let folds = self.folds.iter().zip(fitted);
        folds.map(|(fold, fitted)| fold.fit_classes(fitted, hyper, bounds)).collect()
    }

    /// The mean score of each person over the folds: blocks of one person are not independent.
    fn scores(&self, fitted: &[FittedFold], hyper: &HyperParameters) -> Vec<f64> {
        let mut by_person: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (fold, fitted) in self.folds.iter().zip(fitted) {
            for (person, score) in fold.people.iter().zip(fold.scores(fitted, hyper)) {
                let (sum, count) = by_person.entry(*person).or_default();
                *sum += score.value;
                *count += 1.0;
            }
        }
        by_person.into_values().map(|(sum, count)| sum / count).collect()
    }

    /// Coordinate search from the defaults: a step is taken where it predicts better by more than
    /// chance would have it.
    pub(in crate::learn) fn choose(
        &self,
        settings: &Settings,
        seed: u64,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<HyperParameters, FitError> {
        let hyper = HyperParameters::default();
        if self.newest().held_out.len() < settings.tune_min {
            return Ok(hyper);
        }
        let bounds = FitBounds { settings, seed };
        let mut fitted = Vec::with_capacity(self.folds.len());
        for fold in &self.folds {
            fitted.push(fold.fit(&hyper, self.contents, bounds)?);
        }
        let scores = self.scores(&fitted, &hyper);
        let mut best = Best { hyper, fitted, scores };
        for (step, Step { set, values, edge }) in SEARCH.iter().enumerate() {
            progress("choosing settings", 0.1 + 0.6 * step as f64 / SEARCH.len() as f64);
            let mut taken = None;
            for value in *values {
                if self.attempt(&mut best, *set, *value, bounds)? {
                    taken = Some(*value);
                }
            }
            // the list ends where a search has to begin somewhere, not where the data do
            let factor = taken.and_then(|value| edge.beyond(values, value));
            if let (Some(mut value), Some(factor)) = (taken, factor) {
                for _ in 0..BEYOND_MAX {
                    value *= factor;
                    if !self.attempt(&mut best, *set, value, bounds)? {
                        break;
                    }
                }
            }
        }
        Ok(best.hyper)
    }

    /// Takes a value where it predicts surely better than the best so far; says whether it did.
    fn attempt(
        &self,
        best: &mut Best,
        set: Setter,
        value: f32,
        bounds: FitBounds<'_>,
    ) -> Result<bool, FitError> {
        let mut next = best.hyper;
        set(&mut next, value);
        if next == best.hyper || !self.tells(&next, &best.hyper) {
            return Ok(false);
        }
        let anew = if next.same_classes(&best.hyper) {
            None
        } else {
            Some(self.fit_classes(&best.fitted, &next, bounds)?)
        };
        let scores = self.scores(anew.as_ref().unwrap_or(&best.fitted), &next);
        let is_better = is_better(&scores, &best.scores, ERRORS);
        if is_better {
            (best.hyper, best.scores) = (next, scores);
            if let Some(anew) = anew {
                best.fitted = anew;
            }
        }
        Ok(is_better)
    }

    /// How well the rest predicts the newest block.
    pub(in crate::learn) fn held_out(
        &self,
        hyper: &HyperParameters,
        settings: &Settings,
        seed: u64,
    ) -> Result<HeldOut, FitError> {
        let fitted = self.newest().fit(hyper, self.contents, FitBounds { settings, seed })?;
        Ok(HeldOut::of(&self.newest().scores(&fitted, hyper)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use chrono_tz::Tz;

    use super::*;
    use crate::learn::data::evidence::Evidence;
    use crate::learn::data::observed::{Presence, PresenceKind};
    use crate::learn::data::subject::Subject;

    #[test]
    fn where_there_is_little_every_observation_is_held_out_once() {
        let at = |hours: i64| DateTime::from_timestamp(1_767_225_600 + 3_600 * hours, 0).unwrap();
        let evidence: Vec<Evidence> = (2..30)
            .map(|count| {
                let presence = |i: i64| Presence { at: at(50 * i), kind: PresenceKind::Session };
                let mut evidence = Evidence::default();
                evidence.fold(&[], &(0..count).map(presence).collect::<Vec<_>>());
                evidence
            })
            .collect();
        let as_of = at(5_000);
        let censored: Vec<CensoredSubject<'_>> = evidence
            .iter()
            .map(|evidence| {
                let subject = Subject { zone: Tz::UTC, country: None, tags: &[], evidence };
                CensoredSubject {
                    subject,
                    until: crate::learn::data::evidence::seconds(as_of + TimeDelta::hours(1)),
                }
            })
            .collect();
        let split =
            CrossValidation::new(&censored, &ReceiptModel::default(), 0, &Settings::default());
        assert_eq!(split.folds.len(), CrossValidation::BLOCKS);
        let observations = |observation_sets: &[ObservationSet]| {
            observation_sets.iter().map(ObservationSet::observations).sum::<usize>()
        };
        let held_out: usize = split.folds.iter().map(|fold| observations(&fold.held_out)).sum();
        assert_eq!(held_out, (2..30).sum::<i64>() as usize);
        for fold in &split.folds {
            for (rest, held_out) in fold.rest.iter().zip(&fold.held_out) {
                let (rest, held_out) = (rest.observations(), held_out.observations());
                assert!(held_out.abs_diff(rest / 2) <= 1, "{rest} beside {held_out}");
            }
        }
        let farthest =
            |fold: &Fold| fold.rest.last().unwrap().presences.iter().map(|s| s.days as i32).max();
        assert!(farthest(&split.folds[1]) < farthest(&split.folds[0]), "days count from the gap");
        // three blocks of a person are one person
        let hyper = HyperParameters::default();
        let settings = Settings::default();
        let bounds = FitBounds { settings: &settings, seed: 1 };
        let fitted: Vec<FittedFold> =
            split.folds.iter().map(|fold| fold.fit(&hyper, 0, bounds).unwrap()).collect();
        assert_eq!(split.scores(&fitted, &hyper).len(), evidence.len());
    }
}
