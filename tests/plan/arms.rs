//! Arms: each keeps to its part of the limits and to what it promises.

use chrono::{Datelike, Timelike};
use chrono_tz::Tz;
use opportune::calendar::rules::Rules;
use opportune::calendar::zone::local;
use opportune::model::action::Action;
use opportune::model::content::Media;
use opportune::model::delivery::{Arm, Reason};
use opportune::model::slot::SlotLength;
use opportune::plan::{Plan, Replan, Request, Setting};

use crate::planning::{Crowd, at, setting};
use crate::stage::{ARMS, EASY, Stage, by_slot, one, reasons};

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
            // the nearest later slot where the hour of the first day is full
            let on_time = delivery.reason == Reason::ControlTime;
            assert!(on_time || delivery.reason == Reason::ControlMoved);
            assert!(!on_time || (0..60).contains(&early.num_minutes()), "{time}");
            assert_eq!(choice.propensity.is_some(), on_time, "{time}");
        }
    }
}

/// A week of UTC, everybody in control.
fn all_control(people: usize, per_hour: u32) -> Stage {
    let text =
        format!("[capacity]\nper_hour = {per_hour}\n[arms]\npersonalized = 0.0\ncontrol = 1.0\n");
    Stage::of(Crowd::in_zone(people, Tz::UTC), &text)
}

#[test]
fn control_spills_over_to_the_nearest_later_room_and_is_refused_only_without_any() {
    let rules = Rules::built_in();
    // the window is 158 hours: ten o'clock of its first day is its third
    for (people, planned) in [(20, 20), (300, 300), (316, 316), (400, 316)] {
        let plan = all_control(people, 2).plan(&setting(&rules), &EASY);
        let used = by_slot(&plan, None);
        assert_eq!(used.values().sum::<u32>() as usize, planned, "{people}: {used:?}");
        let reasons = reasons(&plan);
        assert_eq!(reasons.get("control_time"), Some(&2), "{people}: {reasons:?}");
        assert_eq!(reasons.get("control_moved"), Some(&(planned - 2)));
        assert_eq!(reasons.get("no_capacity").copied().unwrap_or(0), people - planned);
        let hours: Vec<u32> = used.keys().map(|s| s.start(SlotLength::HOUR).hour()).collect();
        let days: Vec<u32> = used.keys().map(|s| s.start(SlotLength::HOUR).day()).collect();
        if people == 20 {
            // the first day, hour after hour
            assert_eq!(hours, (10..20).collect::<Vec<_>>());
            assert!(days.iter().all(|day| *day == 1) && used.values().all(|sum| *sum == 2));
        }
        // only those at the time itself may be weighed
        let known = plan.deliveries.iter().filter_map(|d| d.choice.as_ref()?.propensity);
        assert_eq!(known.count(), 2);
    }
    // 28 fill the first day from ten on: the next goes to ten o'clock of the second
    let plan = all_control(29, 2).plan(&setting(&rules), &EASY);
    let last = *by_slot(&plan, None).keys().last().unwrap();
    let last = last.start(SlotLength::HOUR);
    assert_eq!((last.day(), last.hour()), (2, 10));
}

#[test]
fn control_takes_the_first_day_on_which_its_time_is_allowed() {
    let rules = Rules::built_in();
    let stage = all_control(8, 100);
    // ten o'clock of the first day has begun
    let setting = Setting { now: at("2026-12-01T10:20:00Z"), ..setting(&rules) };
    let plan = stage.plan(&setting, &EASY);
    for choice in plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref()) {
        assert_eq!(choice.slot.start(SlotLength::HOUR), at("2026-12-02T10:00:00Z"));
        assert_eq!(choice.propensity, Some(1.0));
    }
    // where it is never allowed, the nearest later slot
    let text = "[quiet_hours]\nstart = \"09:00\"\nend = \"12:00\"\n[arms]\npersonalized = 0.0\ncontrol = 1.0\n";
    let stage = Stage::of(Crowd::in_zone(8, Tz::UTC), text);
    let plan = stage.plan(&setting, &EASY);
    assert_eq!(reasons(&plan), [("control_moved", 8)].into());
    for choice in plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref()) {
        assert_eq!(choice.slot.start(SlotLength::HOUR), at("2026-12-01T12:00:00Z"));
        assert_eq!(choice.propensity, None);
    }
}

#[test]
fn messages_that_are_decided_again_leave_the_sets_that_are_weighed() {
    let rules = Rules::built_in();
    for arm in ["explore", "control", "thompson", "personalized"] {
        let personalized = if arm == "personalized" { "" } else { "personalized = 0.0\n" };
        let text = format!("[arms]\n{personalized}{arm} = 1.0\n");
        let stage = Stage::of(Crowd::in_zone(30, Tz::UTC), &text);
        let known = |plan: &Plan| {
            let choices = plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref());
            choices.filter(|choice| choice.propensity.is_some()).count()
        };
        let plan = stage.plan(&setting(&rules), &EASY);
        assert_eq!(known(&plan), 30, "{arm}");
        let late = stage.ask(|request| {
            let from = setting(&rules).now;
            let mut people = request.people.to_vec();
            people.iter_mut().for_each(|person| {
                person.replan = Some(Replan { reason: Reason::MovedLate, from });
            });
            one(&setting(&rules), &EASY, Request { people: &people, ..request })
        });
        assert_eq!(known(&late), 0, "{arm}");
    }
}

#[test]
fn explorers_draw_the_same_on_any_number_of_threads() {
    let rules = Rules::built_in();
    let text = "[capacity]\nper_hour = 2\n[arms]\npersonalized = 0.0\nexplore = 1.0\n";
    let stage = Stage::of(Crowd::mixed(600, 4), text);
    let on = |threads| stage.plan(&Setting { threads, ..setting(&rules) }, &EASY);
    let one = on(1);
    assert!(one.deliveries.iter().any(|delivery| delivery.reason == Reason::NoCapacity));
    assert!([2, 3, 7].into_iter().all(|threads| on(threads) == one));
}

/// Where chances are right, the mean of one over the chance is the number of options.
#[test]
fn one_over_the_propensity_is_unbiased_under_capacity() {
    let rules = Rules::built_in();
    // 158 hours of one week of UTC and two variants; in the second case there is room for all
    for (people, per_hour) in [(300_u32, 2), (60, 60)] {
        let text = format!("[capacity]\nper_hour = {per_hour}\n[arms]\nexplore = 1.0\n");
        let stage = Stage::of(Crowd::in_zone(people as usize, Tz::UTC), &text);
        let (mut drawn, mut cells, mut actions, mut kinds) = (0.0, 0.0, 0.0, 0.0);
        for seed in 0..6 {
            let plan = stage.plan(&Setting { seed, ..setting(&rules) }, &EASY);
            for choice in plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref()) {
                let of = choice.drawn.as_ref().expect("explorers know among what they drew");
                let chance = of.among.iter().find(|(action, _)| *action == of.action).unwrap().1;
                drawn += 1.0;
                cells += 1.0 / choice.propensity.expect("explorers know theirs");
                actions += 1.0 / chance;
                kinds += of.among.len() as f64;
            }
        }
        assert!(drawn > 6.0 * f64::from(people) * 0.998, "{drawn}");
        let mean = cells / drawn / (158.0 * 2.0);
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((actions / kinds - 1.0).abs() < 0.05, "{actions} for {kinds}");
    }
}

#[test]
fn an_explorers_action_has_the_chance_of_its_slots_and_variants() {
    let rules = Rules::built_in();
    let text = "[quiet_hours]\nstart = \"20:00\"\nend = \"09:00\"\n[arms]\nexplore = 1.0\n";
    let stage = Stage::of(Crowd::in_zone(40, Tz::UTC), text);
    let plan = stage.plan(&setting(&rules), &EASY);
    let media: Vec<Media> = stage.campaign.variants.iter().map(|v| v.content.media).collect();
    for choice in plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref()) {
        let drawn = choice.drawn.as_ref().unwrap();
        let start = choice.slot.start(SlotLength::HOUR);
        let hour = start.weekday().num_days_from_monday() as usize * 24 + start.hour() as usize;
        let variant = &stage.campaign.variants[usize::from(choice.variant_index)];
        assert_eq!(drawn.action, Action::of(hour, variant.content.media));
        assert!((drawn.among.iter().map(|(_, chance)| chance).sum::<f64>() - 1.0).abs() < 1e-5);
        for (action, chance) in &drawn.among {
            let share = media.iter().filter(|m| **m == action.media).count() as f64;
            let hours = plan.slots.iter().filter(|slot| {
                let at = slot.slot.start(SlotLength::HOUR);
                let day = at.weekday().num_days_from_monday() as usize;
                action.hours().any(|hour| hour == day * 24 + at.hour() as usize)
            });
            let all = plan.slots.len() as f64 * media.len() as f64;
            let expected = hours.count() as f64 * share / all;
            assert!((chance - expected).abs() < 1e-5, "{action}: {chance}, not {expected}");
        }
        // nothing between midnight and six may be drawn
        assert!(drawn.among.iter().all(|(action, _)| action.hours().any(|hour| hour % 24 >= 9)));
    }
}

#[test]
fn the_thompson_arm_draws_within_its_part_and_tells_the_mean() {
    let rules = Rules::built_in();
    let text = "[capacity]\nper_hour = 4\n[arms]\npersonalized = 0.5\nthompson = 0.5\n";
    let stage = Stage::of(Crowd::mixed(160, 5), text);
    let on = |seed, threads| stage.plan(&Setting { seed, threads, ..setting(&rules) }, &EASY);
    let plans: Vec<Plan> = (0..5).map(|seed| on(seed, 1)).collect();
    assert!(on(3, 4) == plans[3], "the same on any number of threads");
    let (mut changed, mut drawn, mut propensities) = (0, 0, 0.0);
    let (mut inverse, mut kinds) = (0.0, 0.0);
    for (seed, plan) in plans.iter().enumerate() {
        assert!(by_slot(plan, Some(Arm::Thompson)).values().all(|sum| *sum <= 2));
        for (person, delivery) in plan.deliveries.iter().enumerate() {
            let (Some(Arm::Thompson), Some(choice)) = (delivery.arm, &delivery.choice) else {
                continue;
            };
            assert_eq!(delivery.reason, Reason::Sampled);
            let known = choice.propensity.expect("a draw has a chance");
            assert!(known > 0.0 && known <= 0.5);
            let content = &stage.campaign.variants[usize::from(choice.variant_index)].content;
            let zone = stage.crowd.people()[person].zone;
            let hours = opportune::calendar::zone::week_hours(choice.slot, SlotLength::HOUR, zone);
            let preference = stage.crowd.preference(person);
            let chances = preference.chances(content, stage.campaign.goal, stage.campaign.within);
            let hours: Vec<(usize, f64)> = hours.collect();
            let of = choice.drawn.as_ref().expect("what is drawn is known");
            assert_eq!(of.action, Action::of(hours[0].0, content.media));
            assert!((of.among.iter().map(|(_, chance)| chance).sum::<f64>() - 1.0).abs() < 1e-9);
            let chance = of.among.iter().find(|(action, _)| *action == of.action).unwrap().1;
            // an action is several slots and variants
            assert!(chance >= known / 0.5 - 1e-9, "{chance} for {known}");
            (inverse, kinds) = (inverse + 1.0 / chance, kinds + of.among.len() as f64);
            let mean: f64 =
                hours.iter().map(|(hour, share)| f64::from(chances[*hour]) * share).sum();
            assert!((choice.chance - mean).abs() < 1e-5, "{} is not {mean}", choice.chance);
            // how often the next seed chooses the same is what the propensity estimates
            if let Some(next) = plans.get(seed + 1) {
                let next = next.deliveries[person].choice.as_ref();
                let slot = |c: &opportune::model::delivery::Choice| (c.slot, c.variant_index);
                changed += u32::from(next.map(slot) != Some(slot(choice)));
                drawn += 1;
                propensities += known / 0.5;
            }
        }
    }
    let (stays, expected) =
        (1.0 - f64::from(changed) / f64::from(drawn), propensities / f64::from(drawn));
    assert!(changed > 0 && drawn > 200, "{changed} of {drawn}");
    // a redraw more counts than is drawn: the draw itself
    assert!((stays - expected).abs() < 0.05, "{stays} stay, {expected} expected");
    // which makes it fair: the mean inverse chance is the number of actions that could be told apart
    assert!((inverse / kinds - 1.0).abs() < 0.1, "{inverse} for {kinds}");
}
