//! The Thompson arm: exploration that pays. One possible truth is drawn for each person from what
//! is known of them, and the arm is assigned under its part of every limit as if that were true:
//! whoever is well known gets their best slot, whoever is not gets what may be best (Thompson,
//! Biometrika 25, 1933).
//!
//! What a decision is worth is told by the mean of what is known, not by the draw. Its propensity
//! is estimated by redrawing and assigning the whole arm again, so that it holds under every limit.

use super::arms::{arm_of, generator, mix};
use super::decision::{Decision, Selection};
use super::eligibility::EarlierMessages;
use super::limits::{CampaignArm, CapacityLayout};
use super::objective::Objective;
use super::parallel::parallel_map;
use super::personalized;
use super::request::{Request, Setting};
use crate::model::delivery::{Arm, Expectation, Reason};

/// Redraws of the arm from which propensities are estimated.
const REDRAWS: u64 = 32;

/// Decides about everybody of a campaign's Thompson arm.
pub(super) fn plan_arm(
    setting: &Setting<'_>,
    part: &CampaignArm<'_>,
    layout: &CapacityLayout,
    decisions: &mut Vec<Decision>,
    earlier: &EarlierMessages,
) {
    let undecided = decisions.clone();
    assign(setting, part, layout, (decisions, earlier), 0);
    let drawn: Vec<(usize, Selection)> = (decisions.iter().enumerate())
        .filter_map(|(person, decision)| match decision {
            Decision::Planned(selection) if selection.arm == Arm::Thompson => {
                Some((person, *selection))
            }
            _ => None,
        })
        .collect();
    // the draw itself counts as one of them: whatever was chosen had a chance
    let mut same = vec![1_u32; drawn.len()];
    for turn in 1..=REDRAWS {
        let mut redrawn = undecided.clone();
        assign(setting, part, layout, (&mut redrawn, earlier), turn);
        for ((person, first), same) in drawn.iter().zip(&mut same) {
            let Decision::Planned(again) = &redrawn[*person] else { continue };
            *same += u32::from((again.slot, again.variant) == (first.slot, first.variant));
        }
    }
    let share = part.request.campaign.arms.share(Arm::Thompson);
    let told = parallel_map(drawn.len(), setting.threads, |range| {
        let tell = |at: usize| {
            let (person, selection) = drawn[at];
            let mut selection = by_the_mean(setting, part, person, selection);
            // a message that was moved later hangs on what happened to it
            let first_plan = part.request.people[person].replan.is_none();
            let chance = f64::from(same[at]) / (REDRAWS + 1) as f64;
            selection.propensity = first_plan.then_some(share * chance);
            if first_plan {
                selection.reason = Reason::Sampled;
            }
            selection
        };
        range.map(tell).collect::<Vec<_>>()
    });
    for ((person, _), selection) in drawn.iter().zip(told.into_iter().flatten()) {
        decisions[*person] = Decision::Planned(selection);
    }
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
        chance: f64::from(objective.chance(variant, value_class)),
        reply: objective.reply_in(variant, value_class),
        // it was second by the draw
        runner_up: None,
        at_control_time: None,
        ..selection
    }
}
