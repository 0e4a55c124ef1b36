//! The night's work: from everybody's evidence to a [`Model`].
//!
//! A sample of people is read once and cut into an older and a newer part; hyper-parameters are
//! those under which the older part foretells the newer best; then the model is fitted on all of it.

use super::model::{Data, Model};
use super::parallel::map;
use super::parts::Parts;
use super::reading::Span;
use super::responses;
use super::split::Split;
use super::{Contents, FitError, Settings, Subject};
use crate::model::time::Instant;

/// Learns a population's habits from everybody's evidence up to `as_of`.
///
/// The result depends on the people and their order, on settings (but not on the number of threads)
/// and on `seed`. `progress` hears the name of a phase and the share of the whole that is done.
pub fn fit(
    people: &[Subject<'_>],
    contents: &Contents,
    settings: &Settings,
    as_of: Instant,
    seed: u64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Model, FitError> {
    let until = super::seconds(as_of);
    let people: Vec<Cut<'_>> =
        people.iter().map(|subject| Cut { subject: *subject, until }).collect();
    fit_cut(&people, contents, settings, as_of, seed, progress)
}

/// A person's history up to a date of its own; what came later is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a> {
    pub(super) subject: Subject<'a>,
    /// In seconds.
    pub(super) until: u32,
}

impl Cut<'_> {
    pub(super) fn span(&self) -> Span {
        Span { from: 0, until: self.until }
    }

    /// The older share of a person's observations, and the newer; an answer that came when newer
    /// ones had begun belongs to neither.
    pub(super) fn divide(&self, older: f64) -> (Span, Span) {
        let mut times = self.subject.evidence.times(self.until);
        times.sort_unstable();
        let first_newer = (times.len() as f64 * older).ceil() as usize;
        let from = times.get(first_newer).copied().unwrap_or(self.until);
        (Span { from: 0, until: from }, Span { from, until: self.until })
    }
}

/// Learns from what each person's own date lets be known; none is later than `as_of`.
pub(super) fn fit_cut(
    people: &[Cut<'_>],
    contents: &Contents,
    settings: &Settings,
    as_of: Instant,
    seed: u64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Model, FitError> {
    let mut model = Model::empty(contents.clone(), as_of, seed);
    progress("counting", 0.0);
    model.data = Data::of(people, settings.threads);
    if model.data.observations() == 0 {
        return Ok(model);
    }
    model.reporting = model.data.reporting;
    let sample = sample(people, settings.sample_max, seed);

    progress("choosing settings", 0.1);
    let split = Split::new(&sample, &model, settings);
    model.hyper = split.choose(&model, settings, seed, progress)?;

    progress("fitting", 0.7);
    let sights = map(&sample, settings.threads, |cut| model.sight(&cut.subject, cut.span()));
    let parts = Parts::fit(&sights, &model.hyper, &model, settings, seed)?;
    model.held_out = split.held_out(&model, settings, seed)?;
    model.take(parts);
    responses::fit(&mut model, &sample, settings.threads)?;
    model.segment(&sample, settings.threads);
    progress("done", 1.0);
    if model.is_finite() { Ok(model) } else { Err(FitError::new("model", "it is not finite")) }
}

/// A sample of those of whom anything is known, by a hash of their place and the seed.
pub(super) fn sample<'a>(people: &[Cut<'a>], most: usize, seed: u64) -> Vec<Cut<'a>> {
    let mut known: Vec<(u64, usize)> = people
        .iter()
        .enumerate()
        .filter(|(_, cut)| !cut.subject.evidence.is_empty())
        .map(|(index, _)| (mix(seed ^ mix(index as u64)), index))
        .collect();
    if known.len() > most {
        known.select_nth_unstable(most);
        known.truncate(most);
    }
    known.sort_unstable_by_key(|(_, index)| *index);
    known.into_iter().map(|(_, index)| people[index]).collect()
}

/// Steele, Lea and Flood's `SplitMix64` finalizer (2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
