//! The steps: functions that read the state and move it on.
//!
//! A step finds out by itself what is due, and is safe to run late, twice, or on two nodes at once.
//! Bells only ring; start, restart, second node and simulation share this one path. What comes in
//! from outside (files, webhooks, a person's wish) is applied here as well.

pub mod import;
pub mod learn;
pub mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calendar::rules::Rules;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::ids::{Name, NodeId};
use crate::provider::Provider;
use crate::store::Store;

/// Everything that a step works with.
#[derive(Clone)]
pub struct Ctx {
    /// What is kept.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// What was asked for.
    pub config: Arc<Config>,
    /// The countries' laws.
    pub rules: Arc<Rules>,
    /// The channels.
    pub providers: Arc<BTreeMap<Name, Arc<dyn Provider>>>,
    /// Who works.
    pub node: NodeId,
}

/// A name for this process among those that share the database.
pub fn new_node() -> NodeId {
    let chance: u64 = rand::random();
    format!("{}-{chance:016x}", std::process::id()).parse().expect("digits are a valid id")
}
