//! What is told of a choice is what is to be expected of it; what chooses is left as it is.

use opportune::calendar::rules::Rules;
use opportune::calendar::zone::week_hour;
use opportune::model::content::Goal;
use opportune::model::delivery::Arm;
use opportune::model::slot::SlotLength;
use opportune::plan::Plan;

use crate::planning::{Crowd, setting};
use crate::stage::{EASY, Stage, one};

const ALL_ARMS: &str = "[arms]\npersonalized = 0.4\nexplore = 0.2\ncontrol = 0.2\nthompson = 0.2\n";

/// A week with 400 people in one zone, and what was computed of each choice of the plan.
fn planned(crowd: Crowd) -> (Plan, Vec<f64>) {
    let stage = Stage::of(crowd, ALL_ARMS);
    let rules = Rules::built_in();
    let plan = stage.ask(|request| one(&setting(&rules), &EASY, request));
    let computed = plan.deliveries.iter().enumerate().filter_map(|(person, delivery)| {
        let choice = delivery.choice.as_ref()?;
        let variant = &stage.campaign.variants[usize::from(choice.variant_index)];
        let hour = week_hour(choice.slot.start(SlotLength::HOUR), chrono_tz::UTC);
        let preference = stage.crowd.preference(person);
        let chances = preference.chances(&variant.content, Goal::Read, stage.campaign.within);
        Some(f64::from(chances[hour]))
    });
    let computed = computed.collect();
    (plan, computed)
}

#[test]
fn a_plan_tells_the_corrected_chance_in_every_arm_and_chooses_as_before() {
    let crowd = || Crowd::in_zone(400, chrono_tz::UTC);
    let (plain, _) = planned(crowd());
    let (lower, computed) = planned(crowd().corrected(-0.3, 0.0));
    let (flatter, _) = planned(crowd().corrected(-0.3, -0.4));
    let choices = |plan: &Plan| -> Vec<_> {
        let planned = plan.deliveries.iter().filter_map(|d| Some((d.arm?, d.choice.clone()?)));
        planned.collect()
    };
    let (plain, lower_choices) = (choices(&plain), choices(&lower));
    assert!(plain.len() > 350 && plain.len() == lower_choices.len());
    let mut arms = [0; 4];
    for (((arm, plain), (_, lower)), (computed, (_, flatter))) in
        plain.iter().zip(&lower_choices).zip(computed.iter().zip(choices(&flatter)))
    {
        assert_eq!((lower.slot, lower.variant_index), (plain.slot, plain.variant_index));
        assert_eq!((lower.value, lower.propensity), (plain.value, plain.propensity));
        assert!((plain.chance - computed).abs() < 1e-5, "{plain:?} for {computed}");
        // reads come at e^-0.3 of the rate at which they were computed
        let expected = 1.0 - (1.0 - computed).powf(f64::exp(-0.3));
        assert!((lower.chance - expected).abs() < 1e-4, "{lower:?} for {expected}");
        // and what was chosen for its height is luck in part, in the arm that chooses so alone
        let is_chosen = *arm == Arm::Personalized;
        assert!(flatter.chance <= lower.chance);
        assert!(is_chosen || flatter.chance.to_bits() == lower.chance.to_bits(), "{arm:?}");
        let of_all = [Arm::Personalized, Arm::Explore, Arm::Control, Arm::Thompson];
        arms[of_all.iter().position(|of| of == arm).unwrap()] += 1;
    }
    assert!(arms.iter().all(|people| *people > 40), "{arms:?}");
    let sum: f64 = lower_choices.iter().map(|(_, choice)| choice.chance).sum();
    assert!((lower.forecast.engaged.mean - sum).abs() < 1e-6 * sum);
    let personalized = |choices: &[(Arm, opportune::model::delivery::Choice)]| -> f64 {
        let of = choices.iter().filter(|(arm, _)| *arm == Arm::Personalized);
        of.map(|(_, choice)| choice.chance).sum()
    };
    assert!(personalized(&choices(&flatter)) < 0.9 * personalized(&lower_choices));
}
