//! What a message adds over none: where it counts, who buys anyway is left to buy.

use opportune::calendar::rules::Rules;
use opportune::model::content::Goal;
use opportune::model::delivery::Reason;
use opportune::model::holdout::CountedConversions;
use opportune::plan::Setting;

use crate::planning::{Crowd, setting};
use crate::stage::{ARMS, EASY, Stage};

#[test]
fn values_count_what_is_added_and_chances_stay_as_they_are() {
    let rules = Rules::built_in();
    for more in ["", ARMS] {
        let crowd = Crowd::in_zone(400, chrono_tz::UTC).buying_for_messages(0.02);
        let mut stage = Stage::of(crowd, more);
        stage.campaign.goal = Goal::Convert;
        let added = Setting {
            opt_out_cost: 0.1,
            conversions: CountedConversions::Added,
            ..setting(&rules)
        };
        let all = Setting { conversions: CountedConversions::All, ..added };
        let [by_added, by_all] = [&added, &all].map(|setting| {
            stage.ask(|request| opportune::plan::plan(setting, &EASY, &[request]).remove(0))
        });
        let mut values = 0;
        for (person, (ours, usual)) in
            by_added.deliveries.iter().zip(&by_all.deliveries).enumerate()
        {
            let Some(choice) = &ours.choice else {
                // who buys anyway is worth no message
                let refused = [Reason::NoValue, Reason::Holdout].contains(&ours.reason);
                assert!(
                    refused
                        && (person % 2 == 0
                            || ours.reason == Reason::Holdout
                            || usual.choice.is_none())
                );
                continue;
            };
            assert_eq!(person % 2, 1);
            // the same message brings as much, and counts what it adds
            let preference = stage.crowd.preference(person);
            let of = |variant: u16| {
                let content = &stage.campaign.variants[usize::from(variant)].content;
                let chances = preference.chances(content, Goal::Convert, stage.campaign.within);
                (chances, preference.opt_out(content))
            };
            let usual: f32 =
                [0, 1].map(|variant| preference.at_usual_hours(&of(variant).0)).iter().sum();
            let (chances, opt_out) = of(choice.variant_index);
            let hour = opportune::calendar::zone::week_hour(
                choice.slot.start(added.length),
                chrono_tz::UTC,
            );
            assert!((choice.chance - f64::from(chances[hour])).abs() < 1e-6, "{choice:?}");
            let value = chances[hour] * 0.02 / (usual / 2.0) - 0.1 * opt_out;
            assert!((choice.value - f64::from(value)).abs() < 1e-5, "{} not {value}", choice.value);
            values += 1;
        }
        assert!(values > 100, "{values}");
        assert!(by_all.deliveries.iter().step_by(2).any(|delivery| delivery.choice.is_some()));
    }
}
