//! The inner time split: hyper-parameters are those under which everybody's older evidence
//! foretells the newer best.

use super::hyper::{ERRORS, Hyper, SEARCH};
use super::learner::Cut;
use super::model::Model;
use super::parallel::map;
use super::parts::Parts;
use super::reading::{Receipts, Sight};
use super::score::{HeldOut, Score, score};
use super::{FitError, Settings};

/// The inner split: each sampled person's older evidence, and the newer that it should foretell.
pub(super) struct Split {
    older: Vec<Sight>,
    newer: Vec<Sight>,
    contents: usize,
}

impl Split {
    const OLDER: f64 = 0.7;

    pub(super) fn new(sample: &[Cut<'_>], model: &Model, settings: &Settings) -> Self {
        let stride = sample.len().div_ceil(settings.tune_max).max(1);
        let people: Vec<&Cut<'_>> = sample.iter().step_by(stride).collect();
        let pairs = map(&people, settings.threads, |cut| {
            let (older, newer) = cut.divide(Self::OLDER);
            let older = model.sight(&cut.subject, older);
            let mut newer = model.sight(&cut.subject, newer);
            if older.receipts != Receipts::Silent {
                newer.receipts = older.receipts;
            }
            (older, newer)
        });
        let (older, newer) = pairs.into_iter().filter(|(_, newer)| !newer.is_empty()).unzip();
        Self { older, newer, contents: model.contents.list().len() }
    }

    /// Whether there is anything by which two settings could be told apart: what a sign counts for
    /// is relative to messages, and only messages wait together.
    fn tells(&self, one: &Hyper, other: &Hyper) -> bool {
        let any = |of: fn(&Sight) -> bool| self.older.iter().any(of);
        let messages = any(|sight| sight.watches.len() > 1);
        let alike = |a: f32, b: f32| a.to_bits() == b.to_bits();
        (alike(one.signs, other.signs) || messages && any(|sight| !sight.signs.is_empty()))
            && (alike(one.shared, other.shared) || messages)
    }

    fn scores(&self, parts: &Parts, hyper: &Hyper, settings: &Settings) -> Vec<Score> {
        let pairs: Vec<(&Sight, &Sight)> = self.older.iter().zip(&self.newer).collect();
        map(&pairs, settings.threads, |(older, newer)| {
            let known = parts.meet(older, hyper.memory(), parts.chronotypes.share());
            score(&known.habit, newer, &parts.fading, |content| known.tastes.factor(content))
        })
    }

    /// Coordinate search from the defaults: a step is taken where it foretells better by more than
    /// a standard error of the paired difference.
    pub(super) fn choose(
        &self,
        settings: &Settings,
        seed: u64,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<Hyper, FitError> {
        let mut hyper = Hyper::default();
        if self.newer.len() < settings.tune_min {
            return Ok(hyper);
        }
        let mut parts = Parts::fit(&self.older, &hyper, self.contents, settings, seed)?;
        let mut best = self.scores(&parts, &hyper, settings);
        for (step, (knob, values)) in SEARCH.iter().enumerate() {
            progress("choosing settings", 0.1 + 0.6 * step as f64 / SEARCH.len() as f64);
            for value in *values {
                let mut next = hyper;
                knob(&mut next, *value);
                if next == hyper || !self.tells(&next, &hyper) {
                    continue;
                }
                let next_parts = if next.same_classes(&hyper) {
                    let chronotypes = parts.chronotypes.with(&next);
                    Parts { chronotypes, ..parts.clone() }
                } else {
                    Parts::fit(&self.older, &next, self.contents, settings, seed)?
                };
                let scores = self.scores(&next_parts, &next, settings);
                if Score::better(&scores, &best, ERRORS) {
                    (hyper, parts, best) = (next, next_parts, scores);
                }
            }
        }
        Ok(hyper)
    }

    pub(super) fn held_out(
        &self,
        hyper: &Hyper,
        settings: &Settings,
        seed: u64,
    ) -> Result<HeldOut, FitError> {
        let parts = Parts::fit(&self.older, hyper, self.contents, settings, seed)?;
        let ours = self.scores(&parts, hyper, settings);
        Ok(HeldOut::of(&ours))
    }
}
