//! What a plan is: a delivery for each person, the load of each slot, and how good it is.

use super::certificate::{BindingLimit, Certificate};
use super::decision::{CampaignDecisions, Decision, Selection};
use super::limits::others;
use super::pacing::send_times;
use super::request::{Carrier, Request, Setting};
use crate::model::delivery::{Choice, Delivery, State};
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
    /// Limits that hold the personalized part back, the dearest first; of all campaigns that were
    /// planned together.
    pub binding: Vec<BindingLimit>,
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

/// Expected engagements of the planned messages, beside the same people's at the control time.
///
/// Chances are taken as they are: people vary about them independently, and the ranges hold nine
/// times in ten if the chances are right.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Forecast {
    /// Planned messages.
    pub messages: u32,
    /// Expected engagements.
    pub engaged: ForecastRange,
    /// Expected engagements of the personalized people who could be written to at the control time.
    pub personalized: ForecastRange,
    /// Of the same people, at the control time with the first variant that fits.
    pub at_control_time: ForecastRange,
    /// Expected replies, where something bounds them.
    pub replies: f64,
    /// Expected spend, in the budget's currency.
    pub spend: f64,
}

/// A mean with the bounds that hold it nine times in ten.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ForecastRange {
    /// The mean.
    pub mean: f64,
    /// Below it one time in twenty.
    pub low: f64,
    /// Above it one time in twenty.
    pub high: f64,
}

impl ForecastRange {
    /// Of a sum of independent yes-and-noes with this mean and variance.
    pub(super) fn of_sum(mean: f64, variance: f64) -> Self {
        const NINETY: f64 = 1.645;
        let half = NINETY * variance.sqrt();
        Self { mean, low: (mean - half).max(0.0), high: mean + half }
    }
}

/// Turns decisions into a plan.
pub(super) fn conclude(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    request: &Request<'_>,
    decided: &CampaignDecisions,
    certificate: Certificate,
    binding: &[BindingLimit],
) -> Plan {
    let times = send_times(setting, request, decided);
    let slots = &decided.candidates.slots;
    let choice = |person: usize, selection: &Selection, send_at| Choice {
        variant: request.campaign.variants[usize::from(selection.variant)].name.clone(),
        variant_index: selection.variant,
        slot: slots[selection.slot as usize],
        send_at,
        value: selection.value,
        chance: selection.chance,
        price: request.people[person].price,
        runner_up: selection.runner_up.map(|(slot, value)| (slots[slot as usize], value)),
        propensity: selection.propensity,
        drawn: decided.drawn.get(&(person as u32)).cloned(),
    };
    let deliveries = (request.people.iter().zip(&decided.decisions).zip(times).enumerate())
        .map(|(index, ((person, decision), time))| match decision {
            Decision::Refused { reason, arm } => Delivery {
                recipient: person.id,
                state: State::Refused,
                reason: *reason,
                arm: *arm,
                choice: None,
                expectation: decided.expectation(index),
            },
            Decision::Planned(selection) => Delivery {
                recipient: person.id,
                state: State::Planned,
                reason: selection.reason,
                arm: Some(selection.arm),
                choice: time.map(|time| choice(index, selection, time)),
                expectation: decided.expectation(index),
            },
        })
        .collect();
    let loads = loads(setting, carrier, request, decided);
    let forecast = forecast(request, &decided.decisions);
    Plan { deliveries, slots: loads, certificate, forecast, binding: binding.to_vec() }
}

fn loads(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    request: &Request<'_>,
    decided: &CampaignDecisions,
) -> Vec<SlotLoad> {
    let length = setting.length;
    let mut planned = vec![0; decided.candidates.slots.len()];
    for decision in &decided.decisions {
        if let Decision::Planned(selection) = decision {
            planned[selection.slot as usize] += 1;
        }
    }
    let rows = decided.candidates.slots.iter().zip(planned).zip(&decided.prices);
    rows.map(|((slot, planned), price)| {
        let (from, to) = (slot.start(length), slot.end(length));
        let carried = carrier.per_second.map(|rate| {
            let most = (rate * f64::from(length.minutes()) * 60.0).floor() as u64;
            most.saturating_sub(others(carrier, setting, from, to)).min(u64::from(u32::MAX)) as u32
        });
        let mine = request.campaign.capacity.per_hour;
        let own = request.booked.iter().filter(|booking| booking.slot == *slot);
        SlotLoad {
            slot: *slot,
            capacity: mine.into_iter().chain(carried).min(),
            reserved: own.map(|booking| booking.messages).sum(),
            planned,
            price: *price,
        }
    })
    .collect()
}

fn forecast(request: &Request<'_>, decisions: &[Decision]) -> Forecast {
    let mut forecast = Forecast::default();
    let mut sums = [(0.0, 0.0); 3];
    let mut add = |at: usize, chance: f64| {
        sums[at].0 += chance;
        sums[at].1 += chance * (1.0 - chance);
    };
    for (person, decision) in request.people.iter().zip(decisions) {
        let Decision::Planned(selection) = decision else { continue };
        forecast.messages += 1;
        forecast.replies += selection.reply;
        forecast.spend += person.price;
        add(0, selection.chance);
        if let Some(at_control_time) = selection.at_control_time {
            add(1, selection.chance);
            add(2, at_control_time);
        }
    }
    let range = |at: usize| ForecastRange::of_sum(sums[at].0, sums[at].1);
    Forecast { engaged: range(0), personalized: range(1), at_control_time: range(2), ..forecast }
}
