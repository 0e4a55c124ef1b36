//! What is asked of a log, and what it says.

use std::time::Duration;

use serde::Serialize;

use crate::learn::Estimate;
use crate::learn::off_policy::OffPolicyValue;
use crate::model::content::Goal;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// What counts.
    pub goal: Goal,
    /// Within this time after sending.
    pub within: Duration,
    /// The share of the randomized messages that judges, above 0 and below 1.
    pub holdout: f64,
}

/// What the log says of each policy.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// What counts.
    pub goal: Goal,
    /// Within how many hours after sending.
    pub within_hours: f64,
    /// Randomized messages that judge.
    pub messages: usize,
    /// What they brought.
    pub logged: Option<Estimate>,
    /// By policy.
    pub policies: Vec<PolicyValue>,
    /// What could not be used, and why.
    pub notes: Vec<String>,
}

/// One policy's value, or why there is none.
#[derive(Debug, Serialize)]
pub struct PolicyValue {
    /// Which.
    pub policy: &'static str,
    /// Its estimates.
    pub value: Option<OffPolicyValue>,
    /// Why not.
    pub refused: Option<String>,
}

impl PolicyValue {
    pub(super) fn refused(policy: &'static str, why: String) -> Self {
        Self { policy, value: None, refused: Some(why) }
    }
}
