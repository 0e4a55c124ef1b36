//! Planning: person × allowed slot × variant, chosen together, under every limit at once.
//!
//! A plan is a function of its arguments: setting, provider, campaigns, people, habits, what is
//! booked already, and a seed. The rooms, in the order in which a plan walks through them:
//!
//! - [`request`]: what it is a function of
//! - `candidates`: who may be written to, when, with what; else the reason
//! - `arms`: who chooses, who draws, who gets the control time, and whose part of a limit is whose
//! - `limits`: campaign, provider, agents and budget as limits on slots
//! - `worth`: what a slot and a variant are worth to a person
//! - `joint`: campaigns that are planned together, arm by arm
//! - `sale`: the personalized arm as a market; `market`, `prices`, `balance`, `chains`,
//!   `rivals`, `repair`, `assign`: its solution
//! - [`outcome`]: the plan, its certificate and forecast; [`mod@explain`]: one person's part of it
//!
//! *Invariants:* reads no clock and no store; the same arguments give the same plan on any number of
//! threads; no limit is exceeded; every person of a request gets exactly one delivery, planned or
//! refused, with its reason.

mod arms;
mod eligibility;
pub mod explain;
mod joint;
mod limits;
mod objective;
pub mod outcome;
mod pacing;
mod parallel;
mod personalized;
pub mod request;
mod solve;

pub use arms::arm_of;
pub use explain::{Explanation, explain, told};
pub use outcome::{Certificate, Forecast, Plan, Range, SlotLoad};
pub use request::{Again, Booking, Carrier, Person, Request, Setting};

use std::cmp::Reverse;

use crate::model::delivery::Arm;
use crate::model::slot::Slot;
use eligibility::{Candidates, Earlier, Sent};
use objective::Worth;

/// Share of replies in the first hour after a slot, the second and the third, where nothing better
/// is known: nearly all who answer a message do so when they see it.
pub const REPLY_DELAY: [f32; 3] = [0.7, 0.2, 0.1];

/// Plans the campaigns of one provider: higher priority first, equals jointly. One plan a request,
/// in the order of the requests.
pub fn plan(setting: &Setting<'_>, carrier: &Carrier<'_>, requests: &[Request<'_>]) -> Vec<Plan> {
    let mut plans: Vec<Option<Plan>> = requests.iter().map(|_| None).collect();
    let mut booked: Vec<(Slot, u32)> = carrier.booked.to_vec();
    let mut earlier = Earlier::new();
    let is_capped = requests.len() > 1 && requests.iter().any(|r| r.caps(setting).next().is_some());
    for class in by_priority(requests) {
        let together: Vec<&Request<'_>> = class.iter().map(|at| &requests[*at]).collect();
        let carrier = Carrier { booked: &booked, ..*carrier };
        // what the others have sent or claimed is theirs; what this class has, it cuts itself
        let others: Vec<(Slot, u32)> = (requests.iter().enumerate())
            .filter(|(at, _)| !class.contains(at))
            .flat_map(|(_, other)| other.booked.iter().map(|b| (b.slot, b.messages)))
            .chain(carrier.booked.iter().copied())
            .collect();
        let carrier = Carrier { booked: &others, ..carrier };
        let joint = joint::plan(setting, &carrier, &together, &earlier);
        for (at, decided) in class.iter().zip(&joint.campaigns) {
            let certificate = Certificate { value: joint.value, bound: joint.bound };
            let plan = outcome::conclude(setting, &carrier, &requests[*at], decided, certificate);
            if is_capped {
                take_note(&requests[*at], &plan, &mut earlier);
            }
            plans[*at] = Some(plan);
        }
        for at in class {
            let plan = plans[at].as_ref().expect("the class has just been planned");
            booked.extend(plan.slots.iter().filter(|s| s.planned > 0).map(|s| (s.slot, s.planned)));
        }
    }
    plans.into_iter().map(|plan| plan.expect("every request is of one class")).collect()
}

/// Indices of requests by falling priority, equals together.
fn by_priority(requests: &[Request<'_>]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    let priority = |at: &usize| Reverse(requests[*at].campaign.priority);
    order.sort_by_key(priority);
    order.chunk_by(|a, b| priority(a) == priority(b)).map(<[usize]>::to_vec).collect()
}

/// Notes planned messages, so that caps hold across the campaigns of one plan.
fn take_note(request: &Request<'_>, plan: &Plan, earlier: &mut Earlier) {
    for delivery in &plan.deliveries {
        if let Some(choice) = &delivery.choice {
            let (at, category) = (choice.send_at, Some(request.campaign.category));
            let sent = Sent { from: at, to: at, category };
            earlier.entry(delivery.recipient).or_default().push(sent);
        }
    }
}

/// Calls `each` with request, person, slot and value of the best variant, for every personalized
/// person and every slot allowed to that person before anything is planned.
pub fn values(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    requests: &[Request<'_>],
    each: &mut dyn FnMut(usize, usize, Slot, f64),
) {
    for (at, request) in requests.iter().enumerate() {
        let candidates = Candidates::find(setting, carrier, request, &Earlier::new());
        for (index, standing) in candidates.standings.iter().enumerate() {
            let Ok(standing) = standing else { continue };
            if arm_of(request.campaign, request.people[index].key) != Arm::Personalized {
                continue;
            }
            let ground = &candidates.grounds[standing.ground as usize];
            let worth = Worth::of(setting, request, &candidates, index, standing);
            let best: Vec<f32> = ground.cells.iter().map(|cell| worth.best(cell, 0).1).collect();
            for (slot, cell) in ground.slots.iter().zip(&ground.cell_of) {
                if candidates.may_take(standing, *slot) {
                    let value = f64::from(best[*cell as usize]);
                    each(at, index, candidates.slots[*slot as usize], value);
                }
            }
        }
    }
}
