//! Decisions: what was chosen for each person of a campaign, or why nothing.

use std::collections::HashMap;

use super::eligibility::Candidates;
use crate::model::action::DrawnAction;
use crate::model::delivery::{Arm, Expectation, Reason};

/// What was decided about one person.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Refused { reason: Reason, arm: Option<Arm> },
    Planned(Selection),
}

/// A choice, in indices of its campaign.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection {
    pub(super) arm: Arm,
    pub(super) reason: Reason,
    pub(super) slot: u32,
    pub(super) variant: u16,
    pub(super) value: f64,
    pub(super) chance: f64,
    pub(super) runner_up: Option<(u32, f64)>,
    pub(super) propensity: Option<f64>,
    /// Chance of a reply, where replies are bounded.
    pub(super) reply: f64,
    /// Chance of the goal at the control time, for the personalized.
    pub(super) at_control_time: Option<f64>,
}

/// One campaign's share of a joint plan.
pub(super) struct CampaignDecisions {
    pub(super) candidates: Candidates,
    pub(super) decisions: Vec<Decision>,
    /// What was drawn for each explorer and each of the Thompson arm, and among what; by person.
    pub(super) drawn: HashMap<u32, DrawnAction>,
    /// The price of a message in each slot.
    pub(super) prices: Vec<f64>,
    /// What is expected of each person, where arms are compared; else nothing.
    pub(super) expectations: Vec<Option<Expectation>>,
}

impl CampaignDecisions {
    pub(super) fn expectation(&self, person: usize) -> Option<Expectation> {
        self.expectations.get(person).copied().flatten()
    }
}
