//! Arms: each keeps to its part of the limits and to what it promises.

use chrono_tz::Tz;
use opportune::calendar::rules::Rules;
use opportune::calendar::zone::local;
use opportune::model::delivery::{Arm, Reason};
use opportune::model::slot::SlotLength;
use opportune::plan::Setting;

use crate::planning::{Crowd, setting};
use crate::stage::{ARMS, EASY, Stage, by_slot};

#[test]
fn arms_keep_to_their_part_of_every_hour() {
    let rules = Rules::built_in();
    let stage = Stage::of(Crowd::mixed(4000, 3), &format!("[capacity]\nper_hour = 18\n{ARMS}"));
    let plan = stage.plan(&setting(&rules), &EASY);
    let people = stage.crowd.people();
    for (arm, share) in [(Arm::Personalized, 0.7), (Arm::Explore, 0.1), (Arm::Control, 0.1)] {
        // holdout sends nothing and has no part
        let most = (18.0_f64 * share / 0.9).ceil() as u32;
        let sums = by_slot(&plan, Some(arm));
        assert!(sums.values().all(|sum| *sum <= most), "{arm}: {sums:?}");
        assert!(sums.values().any(|sum| *sum >= most - 1), "{arm} is never near its part");
    }
    let control = plan.deliveries.iter().zip(&people).filter(|(d, _)| d.arm == Some(Arm::Control));
    for (delivery, person) in control {
        if let Some(choice) = &delivery.choice {
            let time = local(choice.slot.start(SlotLength::HOUR), person.zone).time();
            let ten = chrono::NaiveTime::from_hms_opt(10, 0, 0).unwrap();
            let early = ten - time;
            assert!((0..60).contains(&early.num_minutes()), "{time} does not hold ten o'clock");
            assert_eq!(delivery.reason, Reason::ControlTime);
        }
    }
}

#[test]
fn explorers_draw_as_often_as_their_propensity_says() {
    let rules = Rules::built_in();
    let text = "[capacity]\nper_hour = 2\n[arms]\nexplore = 1.0\n";
    let stage = Stage::of(Crowd::in_zone(300, Tz::UTC), text);
    // room for all, and none of 158 hours and two variants is better than another: however full it
    // is at a person's turn, each had one chance in 316
    let options = 158.0 * 2.0;
    let (mut drawn, mut sum) = (0.0, 0.0);
    for seed in 0..12 {
        let setting = Setting { seed, ..setting(&rules) };
        let plan = stage.plan(&setting, &EASY);
        for choice in plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref()) {
            drawn += 1.0;
            sum += choice.propensity.expect("explorers know theirs");
        }
    }
    let mean = sum / drawn * options;
    assert!(drawn > 12.0 * 299.5, "{drawn}");
    assert!((mean - 1.0).abs() < 0.1, "{mean}");
}
