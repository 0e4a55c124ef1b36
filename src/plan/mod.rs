//! Planning: person × allowed slot × variant, chosen together, under every limit at once.
//!
//! A plan is a function of its arguments: setting, provider, campaigns, people, habits, what is
//! booked already, and a seed. The modules, in the order in which a plan walks through them:
//!
//! - [`request`]: what it is a function of
//! - `eligibility`: who may be written to, when; `variants`: with what; else the reason
//! - `arms`: who is in which arm, and each arm's share of capacity
//! - `limits`: campaign, provider, agents and budget as limits on slots
//! - `fatigue`: what other messages to a person change; `objective`: what a slot and a variant are
//!   worth to a person
//! - `joint`: campaigns that are planned together, arm by arm; `beside`: what they change for each
//!   other
//! - `draws`: the explore and the control arm; `personalized`: the arm that is optimized, as an
//!   assignment problem; `solve`: its solution, in numbers only; `thompson`: the same assignment
//!   of possible truths
//! - `decision`, `pacing`: what was decided about each person, and the instant within the slot
//! - [`certificate`]: how good the optimized part is, and what that is a proof of
//! - [`occurrence`]: which occurrences of a standing campaign a person has
//! - [`outcome`]: the plan and its forecast; [`mod@explain`]: one person's part of it
//!
//! *Invariants:* reads no clock and no store; the same arguments give the same plan on any number
//! of threads; no limit is exceeded; every person of a request gets exactly one delivery, planned
//! or refused, with its reason.

mod arms;
mod beside;
pub mod certificate;
mod decision;
mod draws;
mod eligibility;
pub mod explain;
mod fatigue;
mod joint;
mod limits;
mod objective;
pub mod occurrence;
pub mod outcome;
mod pacing;
mod parallel;
mod personalized;
pub mod request;
mod solve;
mod thompson;
mod variants;

pub use arms::arm_of;
pub use certificate::{BindingLimit, Certificate, LimitKind};
pub use explain::{Explanation, explain, reason_sentence};
pub use outcome::{Forecast, ForecastRange, Plan, SlotLoad};
pub use request::{AudienceMember, Booking, Carrier, Replan, Request, Setting};

use std::cmp::Reverse;

use crate::model::delivery::Arm;
use crate::model::slot::Slot;
use eligibility::{Candidates, CountedMessage, EarlierMessages};
use objective::Objective;

/// Plans the campaigns of one provider: higher priority first, equals jointly. One plan a request,
/// in the order of the requests.
pub fn plan(setting: &Setting<'_>, carrier: &Carrier<'_>, requests: &[Request<'_>]) -> Vec<Plan> {
    let mut plans: Vec<Option<Plan>> = requests.iter().map(|_| None).collect();
    let mut booked: Vec<(Slot, u32)> = carrier.booked.to_vec();
    let mut earlier = EarlierMessages::new();
    let is_counted = requests.len() > 1 && requests.iter().any(|r| r.counts_others(setting));
    for class in by_priority(requests) {
        let together: Vec<&Request<'_>> = class.iter().map(|at| &requests[*at]).collect();
        let carrier = Carrier { booked: &booked, ..*carrier };
        // what the others have sent or claimed is theirs; what this class has, it cuts itself
        let others: Vec<(Slot, u32)> = (requests.iter().enumerate())
            .filter(|(at, _)| !class.contains(at))
            .flat_map(|(_, other)| other.booked.iter().filter(|b| b.is_carried))
            .map(|b| (b.slot, b.messages))
            .chain(carrier.booked.iter().copied())
            .collect();
        let carrier = Carrier { booked: &others, ..carrier };
        let joint = joint::plan(setting, &carrier, &together, &earlier);
        for (at, decided) in class.iter().zip(&joint.campaigns) {
            let certificate = joint.certificate;
            let request = &requests[*at];
            let plan =
                outcome::conclude(setting, &carrier, request, decided, certificate, &joint.binding);
            if is_counted {
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

/// Notes planned messages, which count for caps and fatigue across the campaigns of one plan.
fn take_note(request: &Request<'_>, plan: &Plan, earlier: &mut EarlierMessages) {
    for delivery in &plan.deliveries {
        if let Some(choice) = &delivery.choice {
            let (at, category) = (choice.send_at, Some(request.campaign.category));
            let sent = CountedMessage { from: at, to: at, category };
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
        let candidates = Candidates::find(setting, carrier, request, &EarlierMessages::new());
        for (index, eligibility) in candidates.eligibilities.iter().enumerate() {
            let Ok(eligibility) = eligibility else { continue };
            if arm_of(request.campaign, request.people[index].key) != Arm::Personalized {
                continue;
            }
            let slot_class = &candidates.slot_classes[eligibility.slot_class as usize];
            let objective = Objective::of(setting, request, &candidates, index, eligibility);
            let best = objective.best(0);
            let best: Vec<f32> =
                slot_class.value_classes.iter().map(|class| best.in_class(class).1).collect();
            for (slot, value_class) in slot_class.slots.iter().zip(&slot_class.value_class_of) {
                if candidates.may_take(eligibility, *slot) {
                    let value = f64::from(best[*value_class as usize]);
                    each(at, index, candidates.slots[*slot as usize], value);
                }
            }
        }
    }
}
