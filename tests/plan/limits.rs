//! Limits: capacity, replies and money are kept, and used.

use std::collections::BTreeMap;

use chrono::{Datelike, Timelike};
use opportune::calendar::rules::Rules;
use opportune::calendar::zone::{local, week_hour};
use opportune::model::preference::ReplyDelays;
use opportune::plan::Setting;

use crate::planning::{Crowd, setting};
use crate::stage::{EASY, Stage, reasons};

#[test]
fn one_more_unit_of_capacity_never_lowers_the_value() {
    let rules = Rules::built_in();
    let mut last = 0.0;
    for per_hour in 1..9 {
        let text = format!("[capacity]\nper_hour = {per_hour}\n");
        let plan = Stage::of(Crowd::mixed(600, 5), &text).plan(&setting(&rules), &EASY);
        let certificate = plan.certificate;
        let slack = certificate.bound - certificate.value;
        assert!(
            certificate.value >= last - slack,
            "{per_hour}: {} after {last}",
            certificate.value
        );
        assert!(certificate.gap() < 1e-3, "{per_hour}: gap {}", certificate.gap());
        last = certificate.value;
    }
}

#[test]
fn expected_replies_stay_within_what_agents_can_answer() {
    let rules = Rules::built_in();
    for (seed, agents) in [(1, 1), (2, 2), (3, 4)] {
        let text = format!(
            "[capacity]\nagents = {agents}\nchats_per_agent = 1\nminutes_per_chat = 20\nagent_hours = [\"Mon-Sat 09:00-18:00\"]\n"
        );
        let mut stage = Stage::of(Crowd::mixed(3000, seed), &text);
        let delay = [0.75, 0.25];
        stage.reply_delays = ReplyDelays::same(delay.to_vec());
        let setting = Setting { seed, ..setting(&rules) };
        let plan = stage.plan(&setting, &EASY);
        let mut hours: BTreeMap<i64, f64> = BTreeMap::new();
        for (person, delivery) in plan.deliveries.iter().enumerate() {
            let Some(choice) = &delivery.choice else { continue };
            let variant = usize::from(choice.variant_index);
            let reply = stage.crowd.reply(person, &stage.campaign, variant);
            for (later, share) in delay.iter().enumerate() {
                let hour = choice.slot.start(setting.length).timestamp() / 3600 + later as i64;
                *hours.entry(hour).or_default() += reply * f64::from(*share);
            }
            let at = local(choice.slot.start(setting.length), setting.zone);
            assert!(
                (9..18).contains(&at.hour()) && at.weekday().num_days_from_monday() < 6,
                "{at}"
            );
        }
        let most = f64::from(agents) * 3.0;
        let fullest = hours.values().copied().fold(0.0, f64::max);
        // what spills over into the hour after the last is more than a fifth of the replies
        assert!(fullest <= most + 1e-6, "{fullest} replies where {most} can be answered");
        let refused = reasons(&plan).contains_key("no_capacity");
        assert!(!refused || fullest > most * 0.95, "{fullest} of {most}: agents idle");
        // few people with lumps of replies: what is left over is no message's size
        assert!(plan.certificate.gap() < 6e-3, "gap {}", plan.certificate.gap());
        assert!(agents > 1 || refused);
    }
}

/// What is sent at night is answered in the morning: it uses the agents' time then.
#[test]
fn replies_are_counted_in_the_hour_in_which_people_of_that_slot_answer() {
    const MORNING: usize = 9;
    let rules = Rules::built_in();
    let text = "[capacity]\nagents = 2\nchats_per_agent = 1\nminutes_per_chat = 20\n\
                agent_hours = [\"Mon-Sun 09:00-18:00\"]\n[quiet_hours]\nnone = true\n";
    let setting = setting(&rules);
    let mut stage = Stage::of(Crowd::in_zone(2000, setting.zone), text);
    let waits = |hour: usize| MORNING.saturating_sub(hour % 24);
    let by_hour = |hour: usize| {
        let mut shares = vec![0.0; waits(hour) + 1];
        shares[waits(hour)] = 1.0;
        shares
    };
    stage.reply_delays = ReplyDelays::by_hour((0..168).map(by_hour).collect());
    let plan = stage.plan(&setting, &EASY);
    let mut hours: BTreeMap<i64, f64> = BTreeMap::new();
    let mut at_night = 0;
    for (person, delivery) in plan.deliveries.iter().enumerate() {
        let Some(choice) = &delivery.choice else { continue };
        let start = choice.slot.start(setting.length);
        let local_hour = week_hour(start, setting.zone);
        at_night += u32::from(local_hour % 24 < MORNING);
        let hour = start.timestamp() / 3600 + waits(local_hour) as i64;
        let reply = stage.crowd.reply(person, &stage.campaign, usize::from(choice.variant_index));
        *hours.entry(hour).or_default() += reply;
    }
    let fullest = hours.values().copied().fold(0.0, f64::max);
    assert!(fullest <= 6.0 + 1e-6, "{fullest} replies where 6 can be answered");
    assert!(at_night > 20, "{at_night} at night, though they are answered in working hours");
}

#[test]
fn bounded_replies_leave_no_more_than_a_thousandth_of_the_value_unproven() {
    let rules = Rules::built_in();
    // messages and replies both bind: a third of the hours, and most of the agents' time
    let text =
        "[capacity]\nper_hour = 72\nagents = 5\nchats_per_agent = 1\nminutes_per_chat = 60\n";
    let stage = Stage::of(Crowd::mixed(10_000, 7), text);
    let plan = stage.plan(&setting(&rules), &EASY);
    assert!(plan.certificate.gap() < 1e-3, "gap {}", plan.certificate.gap());
    assert!(plan.slots.iter().filter(|slot| slot.price > 0.0).count() > 30);
    // a slot that replies have a price on hangs on who else is in the arm
    let choices = || plan.deliveries.iter().filter_map(|delivery| delivery.choice.as_ref());
    let known = choices().filter(|choice| choice.propensity.is_some()).count();
    assert!(known * 5 < choices().count(), "{known}");
}

#[test]
fn the_budget_is_kept_and_goes_to_those_who_gain_most() {
    let rules = Rules::built_in();
    let stage = Stage::of(Crowd::mixed(2000, 9), "[budget]\namount = 40\ncurrency = \"USD\"\n");
    let plan = stage.plan(&setting(&rules), &EASY);
    let people = stage.crowd.people();
    let planned = plan.deliveries.iter().zip(&people).filter(|(d, _)| d.choice.is_some());
    let spend: f64 = planned.map(|(_, person)| person.price).sum();
    assert!(spend <= 40.0 + 1e-9 && spend > 39.8, "{spend}");
    assert!((spend - plan.forecast.spend).abs() < 1e-6);
    assert!(plan.certificate.gap() < 1e-3, "gap {}", plan.certificate.gap());
    assert!(reasons(&plan).contains_key("no_budget"));
}
