//! From history to preferences: what each person's habits are, as far as sparse, one-sided and
//! censored evidence tells.
//!
//! Owns the statistics, and is the only place that names `linfa`. Pure: time, seed and limits are
//! arguments; no clock, no store, no logging, no order from a hash map.
//!
//! - [`Evidence`] is what is kept of one person: packed observations, folded in once each.
//! - [`fit()`] learns a [`Model`] of the population from everybody's evidence.
//! - [`Model::preference`] reads one person's evidence in the light of a model.
//!
//! *Invariant:* a preference is a function of (model, person, date): whatever was folded in first,
//! and however many threads worked, it comes out the same to the bit.

mod calibration;
pub mod contest;
mod decay;
pub mod drift;
mod effects;
mod estimate;
pub mod evaluate;
mod evidence;
mod fit;
mod hyper;
pub mod insight;
mod learner;
mod local;
mod maximize;
mod mixture;
mod model;
mod naive;
mod names;
mod numbers;
mod observed;
pub mod offpolicy;
mod outcome;
mod parallel;
mod parts;
mod reading;
mod receipts;
mod responses;
mod rule;
mod score;
mod shape;
mod split;
mod stack;
mod survey;
mod taste;
pub mod trials;
mod wait;

use std::fmt;

use chrono_tz::Tz;

pub use self::drift::{Drift, drift};
pub use self::estimate::Estimate;
pub use self::evaluate::{Evaluation, evaluate};
pub use self::evidence::{BadEvidence, Evidence};
pub use self::insight::{Insight, insights};
pub use self::learner::fit;
pub use self::model::{BadModel, Data, Mix, Model, Tuned};
pub use self::naive::Method;
pub use self::observed::{Channel, Contents, Observed, Presence, PresenceKind};
pub use self::rule::Rule;
pub use self::score::HeldOut;
pub use self::survey::{Census, Survey};
use crate::model::recipient::Country;
use crate::model::time::Instant;

/// A person as the learner sees one.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whose clock the person lives by.
    pub zone: Tz,
    /// Where the person is, if that is known.
    pub country: Option<&'a Country>,
    /// The person's labels.
    pub tags: &'a [String],
    /// What is remembered of the person.
    pub evidence: &'a Evidence,
}

impl Subject<'_> {
    /// Keys of the groups that the person belongs to.
    fn segments(&self) -> impl Iterator<Item = String> {
        let zone = std::iter::once(format!("zone {}", self.zone.name()));
        let country = self.country.map(|country| format!("country {country}"));
        zone.chain(country).chain(self.tags.iter().map(|tag| format!("tag {tag}")))
    }
}

/// Bounds on the work of a fit; none of them is a habit of anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most people that the population's figures are fitted to.
    pub sample_max: usize,
    /// The most people that hyper-parameters are chosen on.
    pub tune_max: usize,
    /// With fewer people than this, hyper-parameters stay at their defaults.
    pub tune_min: usize,
    /// Rounds of expectation–maximization.
    pub rounds: usize,
    /// Threads; the result does not depend on them.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sample_max: 10_000, tune_max: 5_000, tune_min: 50, rounds: 20, threads: 2 }
    }
}

/// Where a fit has its hyper-parameters from.
#[derive(Debug, Clone, Copy)]
pub enum Tuning<'m> {
    /// They are chosen anew on the inner splits.
    Choose,
    /// Those of an earlier model, whatever they are worth now: the same evidence gives the same
    /// model to the bit.
    Hold(&'m Model),
    /// Those of an earlier model while they foretell what is held out no worse, by two standard
    /// errors, than when they were chosen; else they are chosen anew.
    Trust(&'m Model),
}

/// A fit that did not come to a finite answer; the last good model stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fit of the {part} failed: {cause}")]
pub struct FitError {
    part: &'static str,
    cause: String,
}

impl FitError {
    fn new(part: &'static str, cause: impl fmt::Display) -> Self {
        Self { part, cause: cause.to_string() }
    }
}

fn seconds(at: Instant) -> u32 {
    u32::try_from(at.timestamp().max(0)).unwrap_or(u32::MAX)
}
