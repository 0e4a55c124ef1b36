//! What a plan is: a delivery for each person, the load of each slot, and how good it is.

use crate::model::delivery::Delivery;
use crate::model::slot::Slot;

/// The plan of one campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One for each person of the request, in its order: planned or refused.
    pub deliveries: Vec<Delivery>,
    /// The slots that are allowed to anybody, in order.
    pub slots: Vec<SlotLoad>,
    /// How good the personalized part is; campaigns planned together share one.
    pub certificate: Certificate,
    /// What to expect.
    pub forecast: Forecast,
}

/// One slot of a campaign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotLoad {
    /// The slot.
    pub slot: Slot,
    /// Messages that the campaign and its provider allow in it; `None` where nothing bounds it.
    pub capacity: Option<u32>,
    /// Of those, booked before this plan.
    pub reserved: u32,
    /// Of those, planned here, all arms.
    pub planned: u32,
    /// What one more message of the personalized arm in it would be worth; 0 where it has room.
    pub price: f64,
}

/// Value reached, and proof that no plan under the same limits is worth more than `bound`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// Sum of the values of the personalized messages.
    pub value: f64,
    /// The Lagrangian dual's bound on it.
    pub bound: f64,
}

impl Certificate {
    /// What might be missing, as a share of the bound; 0 is proven optimal.
    pub fn gap(&self) -> f64 {
        if self.bound > 0.0 { ((self.bound - self.value) / self.bound).max(0.0) } else { 0.0 }
    }
}

/// Expected engagements of the planned messages, beside the same people's at the control time.
///
/// Chances are taken as they are: people vary about them independently, and the ranges hold nine
/// times in ten if the chances are right.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Forecast {
    /// Planned messages.
    pub messages: u32,
    /// Expected engagements.
    pub engaged: Range,
    /// Expected engagements of the personalized people who could be written to at the control time.
    pub personalized: Range,
    /// Of the same people, at the control time with the first variant that fits.
    pub at_control_time: Range,
    /// Expected replies, where something bounds them.
    pub replies: f64,
    /// Expected spend, in the budget's currency.
    pub spend: f64,
}

/// A mean with the bounds that hold it nine times in ten.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Range {
    /// The mean.
    pub mean: f64,
    /// Below it one time in twenty.
    pub low: f64,
    /// Above it one time in twenty.
    pub high: f64,
}

impl Range {
    /// Of a sum of independent yes-and-noes with this mean and variance.
    pub(super) fn of_sum(mean: f64, variance: f64) -> Self {
        const NINETY: f64 = 1.645;
        let half = NINETY * variance.sqrt();
        Self { mean, low: (mean - half).max(0.0), high: mean + half }
    }
}
