//! The Thompson arm: exploration that pays. One possible truth is drawn for each person from what
//! is known of them, and the arm is assigned under its part of every limit as if that were true:
//! whoever is well known gets their best slot, whoever is not gets what may be best (Thompson,
//! Biometrika 25, 1933).
//!
//! What a decision is worth is told by the mean of what is known, not by the draw. Its propensity
//! is estimated by redrawing and assigning the whole arm again, so that it holds under every limit.
//!
//! The draw itself counts as one of the redraws. They are all alike, so that which of them was used
//! is a matter of a fair lot: given the set of them, what was used has exactly the chance of its share
//! in the set (the balance heuristic; Veach and Guibas, SIGGRAPH 1995). A share in the other redraws
//! alone would be 0 for what none of them chose, and the mean of its inverse too large.

use std::collections::{BTreeMap, HashMap};

use super::arms::{arm_of, generator, mix};
use super::decision::{Decision, Selection};
use super::eligibility::EarlierMessages;
use super::limits::{CampaignArm, CapacityLayout};
use super::objective::Objective;
use super::parallel::parallel_map;
use super::personalized;
use super::request::{Request, Setting};
use crate::model::action::{Action, DrawnAction, week_part};
use crate::model::delivery::{Arm, Expectation, Reason};

/// Redraws of the arm from which propensities are estimated.
const REDRAWS: u64 = 32;

/// A person of the arm, and what all draws chose.
struct Drawn {
    person: usize,
    selection: Selection,
    /// Draws that chose the same slot and variant.
    same: u32,
    /// Draws that chose each action.
    actions: BTreeMap<Action, u32>,
}

/// Decides about everybody of a campaign's Thompson arm; returns what was drawn for each and among
/// what, by person.
pub(super) fn plan_arm(
    setting: &Setting<'_>,
    part: &CampaignArm<'_>,
    layout: &CapacityLayout,
    decisions: &mut Vec<Decision>,
    earlier: &EarlierMessages,
) -> HashMap<u32, DrawnAction> {
    let undecided = decisions.clone();
    assign(setting, part, layout, (decisions, earlier), 0);
    let mut drawn: Vec<Drawn> = (decisions.iter().enumerate())
        .filter_map(|(person, decision)| match decision {
            Decision::Planned(selection) if selection.arm == Arm::Thompson => Some(Drawn {
                person,
                selection: *selection,
                same: 1,
                actions: [(action(part, person, selection), 1)].into(),
            }),
            _ => None,
        })
        .collect();
    for turn in 1..=REDRAWS {
        let mut redrawn = undecided.clone();
        assign(setting, part, layout, (&mut redrawn, earlier), turn);
        for Drawn { person, selection, same, actions } in &mut drawn {
            let Decision::Planned(again) = &redrawn[*person] else { continue };
            *same += u32::from((again.slot, again.variant) == (selection.slot, selection.variant));
            *actions.entry(action(part, *person, again)).or_default() += 1;
        }
    }
    let share = part.request.campaign.arms.share(Arm::Thompson);
    let told = parallel_map(drawn.len(), setting.threads, |range| {
        let tell = |of: &Drawn| {
            let mut selection = by_the_mean(setting, part, of.person, of.selection);
            if is_first_plan(part, of.person) {
                selection.propensity = Some(share * f64::from(of.same) / (REDRAWS + 1) as f64);
                selection.reason = Reason::Sampled;
            }
            selection
        };
        drawn[range].iter().map(tell).collect::<Vec<_>>()
    });
    let mut actions = HashMap::new();
    for (of, selection) in drawn.iter().zip(told.into_iter().flatten()) {
        if is_first_plan(part, of.person) {
            let chosen = action(part, of.person, &of.selection);
            let weights = of.actions.iter().map(|(action, draws)| (*action, f64::from(*draws)));
            let among = DrawnAction::new(chosen, weights);
            actions.extend(among.map(|among| (of.person as u32, among)));
        }
        decisions[of.person] = Decision::Planned(selection);
    }
    actions
}

/// Whether no earlier slot of the person came to nothing: a message that was moved later hangs on
/// what happened to it.
fn is_first_plan(part: &CampaignArm<'_>, person: usize) -> bool {
    part.request.people[person].replan.is_none()
}

/// The action that a choice for a person is.
fn action(part: &CampaignArm<'_>, person: usize, selection: &Selection) -> Action {
    let eligibility = part.candidates.eligibilities[person].expect("who is planned may be");
    let slot_class = &part.candidates.slot_classes[eligibility.slot_class as usize];
    let value_class = &slot_class.value_classes[slot_class.value_class(selection.slot)];
    let variant = &part.request.campaign.variants[usize::from(selection.variant)];
    // a slot belongs to the hour in which it begins
    Action::in_part(week_part(value_class.hours[0].0), variant.content.media)
}

/// Tells what is expected of the arm's people by the mean.
pub(super) fn expect(
    setting: &Setting<'_>,
    part: &CampaignArm<'_>,
    expectations: &mut [Option<Expectation>],
) {
    let candidates = part.candidates;
    let people = candidates.eligibilities.iter().zip(expectations).enumerate();
    for (person, (eligibility, expectation)) in people {
        let Ok(eligibility) = eligibility else { continue };
        if arm_of(part.request.campaign, part.request.people[person].key) == part.arm {
            let objective = Objective::of(setting, part.request, candidates, person, eligibility);
            *expectation = Some(objective.expectation(candidates, eligibility));
        }
    }
}

/// Assigns the arm by the truths of one draw.
fn assign(
    setting: &Setting<'_>,
    part: &CampaignArm<'_>,
    layout: &CapacityLayout,
    (decisions, earlier): (&mut Vec<Decision>, &EarlierMessages),
    turn: u64,
) {
    let request = part.request;
    let draw = |person: usize| {
        let number = request.people[person].id.0 as u64;
        let mut random =
            generator(setting.seed, request.campaign, "thompson", mix(turn ^ mix(number)));
        (request.preference)(person).draw(&mut random)
    };
    let request = Request { preference: &draw, ..*request };
    let part = CampaignArm { request: &request, ..*part };
    let decisions = std::slice::from_mut(decisions);
    personalized::plan_arm(setting, &[part], layout, decisions, earlier);
}

/// A selection with what is known of its slot and variant in place of what was drawn.
fn by_the_mean(
    setting: &Setting<'_>,
    part: &CampaignArm<'_>,
    person: usize,
    selection: Selection,
) -> Selection {
    let candidates = part.candidates;
    let Ok(eligibility) = candidates.eligibilities[person] else { return selection };
    let objective = Objective::of(setting, part.request, candidates, person, &eligibility);
    let slot_class = &candidates.slot_classes[eligibility.slot_class as usize];
    let value_class = &slot_class.value_classes[slot_class.value_class(selection.slot)];
    let variants = &candidates.variant_lists[eligibility.variant_list as usize];
    let Some(variant) = variants.iter().position(|variant| *variant == selection.variant) else {
        return selection;
    };
    Selection {
        value: f64::from(objective.value(variant, value_class)),
        // a draw chose it, not the height of its chance
        chance: f64::from(objective.expected_of_any(variant, value_class)),
        reply: objective.reply_in(variant, value_class),
        // it was second by the draw
        runner_up: None,
        at_control_time: None,
        ..selection
    }
}
