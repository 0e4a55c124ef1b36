//! Campaigns that are planned together: arm by arm, each within its part of the limits.

use std::collections::HashMap;

use super::arms::{CapacityShare, arm_of};
use super::beside::{sent_beside, sent_by_arm, value_again};
use super::certificate::{BindingLimit, Certificate};
use super::decision::{CampaignDecisions, Decision};
use super::draws::Draw;
use super::eligibility::{Candidates, CountedMessage, EarlierMessages, Eligibility};
use super::limits::{CampaignArm, SharedCapacity, lay_out};
use super::personalized::{self, PersonalizedPlan};
use super::request::{Carrier, Request, Setting};
use super::thompson;
use crate::model::delivery::{Arm, Expectation, Reason};
use crate::model::ids::RecipientId;

/// A joint plan: its campaigns, value and bound.
pub(super) struct JointPlan {
    pub(super) campaigns: Vec<CampaignDecisions>,
    pub(super) certificate: Certificate,
    pub(super) binding: Vec<BindingLimit>,
}

/// Plans some campaigns together: the arms that do not choose draw first, one after another; what
/// they send counts against the caps of those that come after them.
pub(super) fn plan(
    setting: &Setting<'_>,
    carrier: &Carrier<'_>,
    requests: &[&Request<'_>],
    earlier: &EarlierMessages,
) -> JointPlan {
    let mut candidates: Vec<Candidates> =
        requests.iter().map(|r| Candidates::find(setting, carrier, r, earlier)).collect();
    let mut decisions: Vec<Vec<Decision>> = (requests.iter().zip(&candidates))
        .map(|(request, candidates)| sort_out(request, candidates))
        .collect();
    let shares = shares(requests, &candidates);
    let is_counted = requests.len() > 1 && requests.iter().any(|r| r.counts_others(setting));
    let mut earlier = if is_counted { earlier.clone() } else { EarlierMessages::new() };
    let chosen = shares.len() - 1;
    let mut actions: Vec<_> = requests.iter().map(|_| HashMap::new()).collect();
    // where everybody is personalized there is nothing to compare
    let mut expectations: Vec<Vec<Option<Expectation>>> = (requests.iter())
        .map(|r| {
            if r.campaign.arms.personalized < 1.0 { vec![None; r.people.len()] } else { Vec::new() }
        })
        .collect();
    for (mine, share) in shares[..chosen].iter().enumerate() {
        let (at, arm) = share.arms[0];
        let shared = shared_capacities(&shares, requests, &candidates);
        let layout = lay_out(setting, carrier, &shared, mine);
        let (request, of) = (requests[at], &candidates[at]);
        let (decided, expected) = (&mut decisions[at], &mut expectations[at]);
        let draw = |layout| Draw { setting, request, candidates: of, layout };
        match arm {
            Arm::Explore => actions[at].extend(draw(layout).explore(decided, expected)),
            Arm::Thompson => {
                let part = &shared[mine].parts[0];
                let drawn = thompson::plan_arm(setting, part, &layout, decided, &earlier);
                actions[at].extend(drawn);
                thompson::expect(setting, part, expected);
            }
            _ => draw(layout).control(decided, expected),
        }
        if is_counted {
            let sent = sent_by_arm(setting, request, of, (arm, &decisions[at]));
            for (other, request) in requests.iter().enumerate().filter(|(other, _)| *other != at) {
                let (candidates, decisions) = (&mut candidates[other], &mut decisions[other]);
                make_way(setting, request, candidates, decisions, (&sent, &earlier));
            }
            for (id, sent) in sent {
                earlier.entry(id).or_default().push(sent);
            }
        }
    }
    let shared = shared_capacities(&shares, requests, &candidates);
    let layout = lay_out(setting, carrier, &shared, chosen);
    let undecided = is_counted.then(|| decisions.clone());
    let mut chosen_arm =
        personalized::plan_arm(setting, &shared[chosen].parts, &layout, &mut decisions, &earlier);
    let planned = sent_beside(setting, requests, &candidates, &decisions);
    let ignores_joint_fatigue = planned.iter().any(|planned| !planned.is_empty());
    if let Some(undecided) = undecided.filter(|_| ignores_joint_fatigue) {
        // what each would plan alone for the same people is known to the others now
        for (candidates, planned) in candidates.iter_mut().zip(planned) {
            candidates.beside = planned;
        }
        decisions = undecided;
        let shared = shared_capacities(&shares, requests, &candidates);
        let parts = &shared[chosen].parts;
        let again = personalized::plan_arm(setting, parts, &layout, &mut decisions, &earlier);
        let changed = value_again(setting, requests, &candidates, &mut decisions);
        let value = again.value + changed;
        chosen_arm = PersonalizedPlan { value, bound: chosen_arm.bound.max(value), ..again };
    }
    for (expectations, more) in expectations.iter_mut().zip(chosen_arm.expectations) {
        for (person, expectation) in more {
            expectations[person as usize] = Some(expectation);
        }
    }
    let campaigns = (candidates
        .into_iter()
        .zip(decisions)
        .zip(actions)
        .zip(chosen_arm.prices)
        .zip(expectations))
    .map(|((((candidates, decisions), drawn), prices), expectations)| CampaignDecisions {
        candidates,
        decisions,
        drawn,
        prices,
        expectations,
    })
    .collect();
    let certificate = Certificate {
        value: chosen_arm.value,
        bound: chosen_arm.bound,
        campaigns: requests.len() as u32,
        has_other_arms: chosen > 0 || requests.iter().any(|r| r.campaign.arms.holdout > 0.0),
        splits_messages: chosen_arm.splits_messages,
        ignores_joint_caps: chosen_arm.ignores_joint_caps,
        ignores_joint_fatigue,
        slots_closed: layout.outside_agent_hours,
    };
    JointPlan { campaigns, certificate, binding: chosen_arm.binding }
}

/// Looks again at those of a campaign who get a message from another, and refuses whom caps leave
/// no slot.
fn make_way(
    setting: &Setting<'_>,
    request: &Request<'_>,
    candidates: &mut Candidates,
    decisions: &mut [Decision],
    (sent, earlier): (&HashMap<RecipientId, CountedMessage>, &EarlierMessages),
) {
    for (index, (person, decision)) in request.people.iter().zip(decisions).enumerate() {
        let Decision::Refused { arm: Some(_), .. } = decision else { continue };
        let Some(sent) = sent.get(&person.id) else { continue };
        let before = earlier.get(&person.id).into_iter().flatten();
        let more: Vec<CountedMessage> = before.chain([sent]).copied().collect();
        candidates.assess_again(setting, request, index, &more);
        if let Err(reason) = candidates.eligibilities[index] {
            *decision = Decision::Refused { reason, arm: None };
        }
    }
}

/// A part of what is shared, and whose arms share it: campaigns by index.
struct Share {
    share: CapacityShare,
    arms: Vec<(usize, Arm)>,
}

/// How the provider is shared: by the people who may be planned, and by the shares of the arms;
/// last what all personalized arms have together.
fn shares(requests: &[&Request<'_>], candidates: &[Candidates]) -> Vec<Share> {
    let people = |c: &Candidates| c.eligibilities.iter().filter(|s| s.is_ok()).count() as f64;
    let total: f64 = candidates.iter().map(people).sum::<f64>().max(1.0);
    let mut shares = Vec::new();
    let mut from = 0.0;
    for (at, (request, candidates)) in requests.iter().zip(candidates).enumerate() {
        for arm in [Arm::Explore, Arm::Control, Arm::Thompson] {
            let own = CapacityShare::of(&request.campaign.arms, arm).length();
            if own > 0.0 {
                let to = (from + own * people(candidates) / total).min(1.0);
                shares.push(Share { share: CapacityShare { from, to }, arms: vec![(at, arm)] });
                from = to;
            }
        }
    }
    let arms = (0..requests.len()).map(|at| (at, Arm::Personalized)).collect();
    shares.push(Share { share: CapacityShare { from, to: 1.0 }, arms });
    shares
}

/// The same with the campaigns themselves.
fn shared_capacities<'a>(
    shares: &[Share],
    requests: &[&'a Request<'a>],
    candidates: &'a [Candidates],
) -> Vec<SharedCapacity<'a>> {
    let part = |(at, arm): &(usize, Arm)| {
        let (request, candidates) = (requests[*at], &candidates[*at]);
        CampaignArm { request, candidates, arm: *arm }
    };
    let shared = |share: &Share| SharedCapacity {
        share: share.share,
        parts: share.arms.iter().map(part).collect(),
    };
    shares.iter().map(shared).collect()
}

/// Refusals by rule, and the arm of everybody else; a slot comes later.
fn sort_out(request: &Request<'_>, candidates: &Candidates) -> Vec<Decision> {
    let decide = |(person, eligibility): (
        &super::request::AudienceMember<'_>,
        &Result<Eligibility, Reason>,
    )| {
        if let Err(reason) = eligibility {
            return Decision::Refused { reason: *reason, arm: None };
        }
        let arm = arm_of(request.campaign, person.key);
        let reason = if arm == Arm::Holdout { Reason::Holdout } else { Reason::NoCapacity };
        Decision::Refused { reason, arm: Some(arm) }
    };
    request.people.iter().zip(&candidates.eligibilities).map(decide).collect()
}
