//! The inner splits: hyper-parameters are those under which the rest of everybody's evidence
//! foretells when they were seen in a block of it that was held out.

use super::hyper::{ERRORS, Hyper, SEARCH};
use super::learner::Cut;
use super::model::Model;
use super::parallel::map;
use super::parts::{OwnTastes, Parts};
use super::reading::{Reading, Receipts, Sight};
use super::score::{HeldOut, Score, score};
use super::{FitError, Settings};

/// Each sampled person's history with one block of it held out: the newest, and, where that alone
/// holds too little to tell settings apart, each of the others in its turn.
pub(super) struct Split {
    folds: Vec<Fold>,
    contents: usize,
}

/// One block held out; people in the same order.
struct Fold {
    rest: Vec<Sight>,
    held_out: Vec<Sight>,
}

/// A fold seen with some settings, as far as those of persons do not change it.
struct Fitted {
    parts: Parts,
    people: Vec<(Reading, OwnTastes)>,
}

impl Fold {
    fn new(people: &[&Cut<'_>], model: &Model, threads: usize, block: usize) -> Self {
        let pairs = map(people, threads, |cut| {
            let [before, within, after] =
                cut.around(block, Split::BLOCKS).map(|span| model.sight(&cut.subject, span));
            let rest = Sight::around(before, after);
            let mut held_out = within;
            if rest.receipts != Receipts::Silent {
                held_out.receipts = rest.receipts;
            }
            (rest, held_out)
        });
        let told = |(rest, held_out): &(Sight, Sight)| !rest.is_empty() && !held_out.is_empty();
        let (rest, held_out) = pairs.into_iter().filter(told).unzip();
        Self { rest, held_out }
    }

    fn fit(&self, hyper: &Hyper, split: &Split, bounds: Bounds<'_>) -> Result<Fitted, FitError> {
        let Bounds { settings, seed } = bounds;
        let parts = Parts::fit(&self.rest, hyper, split.contents, settings, seed)?;
        let people = map(&self.rest, settings.threads, |rest| {
            let known = parts.meet(rest, hyper.memory(), parts.chronotypes.share());
            (known.reading, known.tastes)
        });
        Ok(Fitted { parts, people })
    }

    /// The same people with chronotypes of other settings; how messages fade and what is liked hardly
    /// depends on these.
    fn fit_classes(
        &self,
        fitted: &Fitted,
        hyper: &Hyper,
        bounds: Bounds<'_>,
    ) -> Result<Fitted, FitError> {
        let tastes = fitted.people.iter().map(|(_, tastes)| tastes);
        let people: Vec<_> = self.rest.iter().zip(tastes.clone()).collect();
        let Bounds { settings, seed } = bounds;
        let (parts, readings) = fitted.parts.with_classes(&people, hyper, settings, seed)?;
        Ok(Fitted { parts, people: readings.into_iter().zip(tastes.cloned()).collect() })
    }

    /// Scores of everybody under settings of persons that the fit may not have known.
    fn scores(&self, fitted: &Fitted, hyper: &Hyper, threads: usize) -> Vec<Score> {
        let chronotypes = fitted.parts.chronotypes.with(hyper);
        let pairs: Vec<_> = fitted.people.iter().zip(&self.held_out).collect();
        map(&pairs, threads, |((reading, tastes), held_out)| {
            let habit = chronotypes.habit(reading, chronotypes.share());
            score(&habit, held_out, &fitted.parts.fading, tastes)
        })
    }
}

#[derive(Clone, Copy)]
struct Bounds<'a> {
    settings: &'a Settings,
    seed: u64,
}

impl Split {
    const BLOCKS: usize = 3;
    /// So many held-out observations tell settings apart.
    const ENOUGH: usize = 20_000;

    pub(super) fn new(sample: &[Cut<'_>], model: &Model, settings: &Settings) -> Self {
        let stride = sample.len().div_ceil(settings.tune_max).max(1);
        let people: Vec<&Cut<'_>> = sample.iter().step_by(stride).collect();
        let mut folds = Vec::new();
        for block in (0..Self::BLOCKS).rev() {
            let fold = Fold::new(&people, model, settings.threads, block);
            let observations: usize = fold.held_out.iter().map(Sight::observations).sum();
            folds.push(fold);
            if observations >= Self::ENOUGH {
                break;
            }
        }
        Self { folds, contents: model.contents.list().len() }
    }

    /// The fold whose newest block is held out.
    fn newest(&self) -> &Fold {
        &self.folds[0]
    }

    /// Whether there is anything by which two settings could be told apart: what a sign counts for
    /// is relative to messages, and only messages wait together.
    fn tells(&self, one: &Hyper, other: &Hyper) -> bool {
        let any = |of: fn(&Sight) -> bool| self.newest().rest.iter().any(of);
        let messages = any(|sight| sight.watches.len() > 1);
        let alike = |a: f32, b: f32| a.to_bits() == b.to_bits();
        (alike(one.signs, other.signs) || messages && any(|sight| !sight.signs.is_empty()))
            && (alike(one.shared, other.shared) || messages)
    }

    fn fit_classes(
        &self,
        fitted: &[Fitted],
        hyper: &Hyper,
        bounds: Bounds<'_>,
    ) -> Result<Vec<Fitted>, FitError> {
        let folds = self.folds.iter().zip(fitted);
        folds.map(|(fold, fitted)| fold.fit_classes(fitted, hyper, bounds)).collect()
    }

    fn scores(&self, fitted: &[Fitted], hyper: &Hyper, settings: &Settings) -> Vec<Score> {
        let folds = self.folds.iter().zip(fitted);
        folds.flat_map(|(fold, fitted)| fold.scores(fitted, hyper, settings.threads)).collect()
    }

    /// Coordinate search from the defaults: a step is taken where it foretells better by more than
    /// chance would have it.
    pub(super) fn choose(
        &self,
        settings: &Settings,
        seed: u64,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<Hyper, FitError> {
        let mut hyper = Hyper::default();
        if self.newest().held_out.len() < settings.tune_min {
            return Ok(hyper);
        }
        let bounds = Bounds { settings, seed };
        let mut fitted = Vec::with_capacity(self.folds.len());
        for fold in &self.folds {
            fitted.push(fold.fit(&hyper, self, bounds)?);
        }
        let mut best = self.scores(&fitted, &hyper, settings);
        for (step, (knob, values)) in SEARCH.iter().enumerate() {
            progress("choosing settings", 0.1 + 0.6 * step as f64 / SEARCH.len() as f64);
            for value in *values {
                let mut next = hyper;
                knob(&mut next, *value);
                if next == hyper || !self.tells(&next, &hyper) {
                    continue;
                }
                let anew = if next.same_classes(&hyper) {
                    None
                } else {
                    Some(self.fit_classes(&fitted, &next, bounds)?)
                };
                let scores = self.scores(anew.as_ref().unwrap_or(&fitted), &next, settings);
                if Score::better(&scores, &best, ERRORS) {
                    (hyper, best) = (next, scores);
                    fitted = anew.unwrap_or(fitted);
                }
            }
        }
        Ok(hyper)
    }

    /// How well the rest foretells the newest block.
    pub(super) fn held_out(
        &self,
        hyper: &Hyper,
        settings: &Settings,
        seed: u64,
    ) -> Result<HeldOut, FitError> {
        let fitted = self.newest().fit(hyper, self, Bounds { settings, seed })?;
        Ok(HeldOut::of(&self.newest().scores(&fitted, hyper, settings.threads)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use chrono_tz::Tz;

    use super::super::{Contents, Evidence, Presence, PresenceKind, Subject};
    use super::*;

    #[test]
    fn where_there_is_little_every_observation_is_held_out_once() {
        let at = |hours: i64| DateTime::from_timestamp(1_767_225_600 + 3_600 * hours, 0).unwrap();
        let evidence: Vec<Evidence> = (2..30)
            .map(|count| {
                let sign = |i: i64| Presence { at: at(50 * i), kind: PresenceKind::Session };
                let mut evidence = Evidence::default();
                evidence.fold(&[], &(0..count).map(sign).collect::<Vec<_>>());
                evidence
            })
            .collect();
        let as_of = at(5_000);
        let cuts: Vec<Cut<'_>> = evidence
            .iter()
            .map(|evidence| {
                let subject = Subject { zone: Tz::UTC, country: None, tags: &[], evidence };
                Cut { subject, until: super::super::seconds(as_of + TimeDelta::hours(1)) }
            })
            .collect();
        let model = Model::empty(Contents::default(), as_of, 1);
        let split = Split::new(&cuts, &model, &Settings::default());
        assert_eq!(split.folds.len(), Split::BLOCKS);
        let observations = |sights: &[Sight]| sights.iter().map(Sight::observations).sum::<usize>();
        let held_out: usize = split.folds.iter().map(|fold| observations(&fold.held_out)).sum();
        assert_eq!(held_out, (2..30).sum::<i64>() as usize);
        for fold in &split.folds {
            for (rest, held_out) in fold.rest.iter().zip(&fold.held_out) {
                let (rest, held_out) = (rest.observations(), held_out.observations());
                assert!(held_out.abs_diff(rest / 2) <= 1, "{rest} beside {held_out}");
            }
        }
        let farthest =
            |fold: &Fold| fold.rest.last().unwrap().signs.iter().map(|s| s.days as i32).max();
        assert!(farthest(&split.folds[1]) < farthest(&split.folds[0]), "days count from the gap");
    }
}
