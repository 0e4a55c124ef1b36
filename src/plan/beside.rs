//! Campaigns that are planned together and write to the same people: what one plans changes what
//! another's message is worth.
//!
//! An assignment problem knows no such pairs. It is solved twice: first as if no campaign wrote to
//! the other's people, which bounds what any plan is worth; then with what the first solution sends
//! for the others in sight of each, the campaign whose window ends first having the first choice.
//! What comes out is valued in the order of time, each message after those before it, and a message
//! that is then worth nothing is left out.

use std::collections::{BTreeMap, HashMap};

use super::decision::{Decision, Selection};
use super::eligibility::{Candidates, CountedMessage};
use super::objective::Objective;
use super::parallel::parallel_map;
use super::request::{AudienceMember, Request, Setting};
use crate::model::delivery::{Arm, Reason};
use crate::model::ids::RecipientId;

/// What an arm sends, by person.
pub(super) fn sent_by_arm(
    setting: &Setting<'_>,
    request: &Request<'_>,
    candidates: &Candidates,
    (arm, decisions): (Arm, &[Decision]),
) -> HashMap<RecipientId, CountedMessage> {
    let sent = |(person, decision): (&AudienceMember<'_>, &Decision)| {
        let Decision::Planned(selection) = decision else { return None };
        let message = message(setting, request, candidates, selection);
        (selection.arm == arm).then_some((person.id, message))
    };
    request.people.iter().zip(decisions).filter_map(sent).collect()
}

fn message(
    setting: &Setting<'_>,
    request: &Request<'_>,
    candidates: &Candidates,
    selection: &Selection,
) -> CountedMessage {
    let slot = candidates.slots[selection.slot as usize];
    CountedMessage {
        from: slot.start(setting.length),
        to: slot.end(setting.length),
        category: Some(request.campaign.category),
    }
}

/// For each campaign, what the personalized arms of those that choose before it send to its people,
/// by index; nothing where other messages change nothing.
pub(super) fn sent_beside(
    setting: &Setting<'_>,
    requests: &[&Request<'_>],
    candidates: &[Candidates],
    decisions: &[Vec<Decision>],
) -> Vec<HashMap<usize, Vec<CountedMessage>>> {
    if requests.len() < 2 || requests.iter().all(|request| request.fatigue_until.is_none()) {
        return requests.iter().map(|_| HashMap::new()).collect();
    }
    let sent: Vec<HashMap<RecipientId, CountedMessage>> = (requests.iter().zip(candidates))
        .zip(decisions)
        .map(|((request, candidates), decisions)| {
            sent_by_arm(setting, request, candidates, (Arm::Personalized, decisions))
        })
        .collect();
    let turn = |at: usize| (candidates[at].slots.last(), at);
    let to_people_of = |(at, request): (usize, &&Request<'_>)| {
        let first: Vec<_> = (0..sent.len()).filter(|other| turn(*other) < turn(at)).collect();
        let messages = |person: &AudienceMember<'_>| -> Vec<CountedMessage> {
            first.iter().filter_map(|other| sent[*other].get(&person.id).copied()).collect()
        };
        let people = request.people.iter().map(messages).enumerate();
        people.filter(|(_, messages)| !messages.is_empty()).collect()
    };
    requests.iter().enumerate().map(to_people_of).collect()
}

/// Values the messages of those again who get one of more than one campaign, each after those
/// before it; says by how much all values changed.
pub(super) fn value_again(
    setting: &Setting<'_>,
    requests: &[&Request<'_>],
    candidates: &[Candidates],
    decisions: &mut [Vec<Decision>],
) -> f64 {
    let mut by_person: BTreeMap<RecipientId, Vec<(CountedMessage, usize, usize)>> = BTreeMap::new();
    for (at, (request, candidates)) in requests.iter().zip(candidates).enumerate() {
        for (index, (person, decision)) in request.people.iter().zip(&decisions[at]).enumerate() {
            if let Decision::Planned(selection) = decision
                && selection.arm == Arm::Personalized
            {
                let message = message(setting, request, candidates, selection);
                by_person.entry(person.id).or_default().push((message, at, index));
            }
        }
    }
    let mut groups: Vec<_> = by_person.into_values().filter(|group| group.len() > 1).collect();
    for group in &mut groups {
        group.sort_by_key(|(sent, at, _)| (sent.from, *at));
    }
    let valued = parallel_map(groups.len(), setting.threads, |range| {
        let mut valued = Vec::new();
        for group in &groups[range] {
            let mut before: Vec<CountedMessage> = Vec::new();
            for (message, at, index) in group {
                let Decision::Planned(selection) = decisions[*at][*index] else { continue };
                let (request, candidates) = (requests[*at], &candidates[*at]);
                let decision =
                    decide_after(setting, request, candidates, *index, selection, &before);
                if matches!(decision, Decision::Planned(_)) {
                    before.push(*message);
                }
                valued.push((*at, *index, decision));
            }
        }
        valued
    });
    let value = |decision: &Decision| match decision {
        Decision::Planned(selection) => selection.value,
        Decision::Refused { .. } => 0.0,
    };
    let mut changed = 0.0;
    for (at, index, decision) in valued.into_iter().flatten() {
        changed += value(&decision) - value(&decisions[at][index]);
        decisions[at][index] = decision;
    }
    changed
}

/// A selection with the value that it has after some messages of other campaigns.
fn decide_after(
    setting: &Setting<'_>,
    request: &Request<'_>,
    candidates: &Candidates,
    index: usize,
    selection: Selection,
    before: &[CountedMessage],
) -> Decision {
    let Ok(eligibility) = candidates.eligibilities[index] else {
        return Decision::Planned(selection);
    };
    let objective =
        Objective::after(setting, request, candidates, (index, &eligibility), Some(before));
    let slot_class = &candidates.slot_classes[eligibility.slot_class as usize];
    let value_class = &slot_class.value_classes[slot_class.value_class(selection.slot)];
    let variants = &candidates.variant_lists[eligibility.variant_list as usize];
    let Some(variant) = variants.iter().position(|variant| *variant == selection.variant) else {
        return Decision::Planned(selection);
    };
    let chosen = objective.chosen(variant, value_class);
    if chosen.value <= 0.0 {
        return Decision::Refused { reason: Reason::NoValue, arm: Some(selection.arm) };
    }
    Decision::Planned(Selection {
        value: chosen.value,
        chance: chosen.chance(),
        reply: objective.reply_in(variant, value_class),
        ..selection
    })
}
