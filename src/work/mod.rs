//! The steps: functions that read the state and move it on.
//!
//! A step finds out by itself what is due, and is safe to run late, twice, or on two nodes at once.
//! Timers only say when to look; start, restart, second node and simulation share this one path. What comes in
//! from outside (files, webhooks, an operator's command) is applied here as well.

mod addresses;
mod audience;
pub mod audit;
pub mod campaigns;
mod channel;
pub mod check;
pub mod clocks;
pub mod customer_data;
pub mod dispatch;
pub mod evaluate;
pub mod experiment;
pub mod export;
mod fallbacks;
mod fits;
mod fold;
mod fold_mark;
pub mod forward;
mod habits;
pub mod holdout;
pub mod import;
pub mod insights;
pub mod interval;
pub mod launch;
mod leadership;
pub mod learn;
mod links;
pub mod maintenance;
pub mod models;
pub(crate) mod occurrences;
pub mod offpolicy;
pub mod opt_outs;
mod part_names;
pub mod people;
pub mod plan;
pub mod preferences;
pub mod preview;
pub mod prune;
mod recall;
pub mod receive;
mod refusals;
pub mod replies;
pub mod results;
mod routes;
pub mod segments;
pub mod sums;
pub mod tasks;
pub mod templates;
pub mod tokens;
pub mod trial;
pub mod unsubscribe;
pub mod visits;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::calendar::rules::Rules;
use crate::clock::Clock;
use crate::config::Config;
use crate::learn::Subject;
use crate::model::campaign::Campaign;
use crate::model::ids::{Name, NodeId};
use crate::model::preference::Preference;
use crate::model::recipient::Recipient;
use crate::model::time::Instant;
use crate::provider::Provider;
use crate::store::Store;

/// Everything that a step works with.
#[derive(Clone)]
pub struct Ctx {
    /// What is kept.
    pub store: Store,
    /// All the rest.
    pub env: StepEnv,
}

/// What a step works with besides the store. Whoever is inside a transaction is given this, and so
/// has no second way to the database.
#[derive(Clone)]
pub struct StepEnv {
    /// What time it is.
    pub clock: Clock,
    /// What was asked for.
    pub config: Arc<Config>,
    /// The countries' laws.
    pub rules: Arc<Rules>,
    /// The channels; none where a command calls none.
    pub providers: Arc<BTreeMap<Name, Arc<dyn Provider>>>,
    /// Who works.
    pub node: NodeId,
    /// Whose preferences plans go by; absent, as in every daemon: those of the model in use.
    pub preference_override: Option<Arc<dyn PreferenceOverride>>,
}

impl Deref for Ctx {
    type Target = StepEnv;

    fn deref(&self) -> &StepEnv {
        &self.env
    }
}

impl DerefMut for Ctx {
    fn deref_mut(&mut self) -> &mut StepEnv {
        &mut self.env
    }
}

/// What a comparison of policies puts in the place of the model.
pub trait PreferenceOverride: Send + Sync {
    /// The habits that a campaign's plan assumes of a person.
    fn preference(
        &self,
        campaign: &Campaign,
        recipient: &Recipient,
        subject: &Subject<'_>,
    ) -> Preference;
}

/// What a step did, and whether there is more to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Things done.
    pub done: usize,
    /// More was due than one step takes.
    pub more: bool,
    /// The next step may not come earlier: a provider's rate.
    pub not_before: Option<Instant>,
}

impl Report {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            done: self.done + other.done,
            more: self.more || other.more,
            not_before: self.not_before.max(other.not_before),
        }
    }
}

/// A name for this process among those that share the database.
pub fn new_node() -> NodeId {
    let chance: u64 = rand::random();
    format!("{}-{chance:016x}", std::process::id()).parse().expect("digits are a valid id")
}
