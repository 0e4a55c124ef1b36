//! Rules: window, quiet hours, consent and caps hold, whatever is asked for, and the same is planned
//! from the same.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use opportune::calendar::rules::Rules;
use opportune::model::campaign::QuietHours;
use opportune::model::content::Category;
use opportune::model::delivery::Arm;
use opportune::model::frequency::Cap;
use opportune::model::preference::ReplyDelays;
use opportune::model::slot::{Slot, SlotLength};
use opportune::plan::{Booking, Carrier, Request, Setting, SlotLoad, plan};

use crate::planning::{Crowd, at, setting};
use crate::stage::{ARMS, EASY, Stage, by_slot, check, reasons};

#[test]
fn no_plan_breaks_a_rule_and_the_same_input_gives_the_same_plan() {
    let rules = Rules::built_in();
    for seed in 0..12 {
        let per_hour = [1, 2, 4, 7, 50][seed as usize % 5];
        let text = format!(
            "[capacity]\nper_hour = {per_hour}\n[quiet_hours]\nstart = \"21:30\"\nend = \"08:15\"\n{}",
            if seed % 3 == 0 { "" } else { ARMS }
        );
        let caps = [
            Cap { category: None, span: TimeDelta::hours(24), most: 1 },
            Cap { category: Some(Category::Marketing), span: TimeDelta::days(7), most: 2 },
        ];
        let length = SlotLength::try_from([60, 30, 15][seed as usize % 3]).unwrap();
        let setting = Setting {
            seed,
            length,
            caps: &caps,
            quiet: Some(QuietHours::parse("22:00", "07:00").unwrap()),
            ..setting(&rules)
        };
        let mut stage = Stage::of(Crowd::mixed(250, seed), &text);
        let slot = Slot::holding(at("2026-12-02T15:00:00Z"), length);
        stage.booked = vec![Booking { messages: 1, ..Booking::none(slot, Arm::Personalized) }];
        let carrier = Carrier { per_second: Some(0.002), unique_per_day: Some(60), ..EASY };
        let carrier = if seed % 2 == 0 { EASY } else { carrier };
        let plan = stage.plan(&setting, &carrier);
        if carrier.unique_per_day.is_some() {
            for first in &plan.slots {
                let (from, day) = (first.slot.start(length), TimeDelta::hours(24));
                let within = |s: &&SlotLoad| (from..from + day).contains(&s.slot.start(length));
                let sum: u32 =
                    plan.slots.iter().filter(within).map(|s| s.planned + s.reserved).sum();
                assert!(from.timestamp() % 3600 != 0 || sum <= 60, "seed {seed}: {sum} in a day");
            }
        }
        for threads in [1, 3] {
            let again = stage.plan(&Setting { threads, ..setting }, &carrier);
            assert!(again == plan, "seed {seed}");
        }
        let told = reasons(&plan);
        assert!(told.contains_key("no_consent") && told.contains_key("no_address"), "{told:?}");
    }
}

#[test]
fn messages_are_spread_over_their_slot() {
    let rules = Rules::built_in();
    let stage = Stage::of(Crowd::mixed(3000, 2), "[capacity]\nper_hour = 60\n");
    let plan = stage.plan(&setting(&rules), &EASY);
    let mut minutes: BTreeMap<i64, u32> = BTreeMap::new();
    for choice in plan.deliveries.iter().filter_map(|d| d.choice.as_ref()) {
        *minutes.entry(choice.send_at.timestamp() / 60).or_default() += 1;
    }
    assert_eq!(minutes.values().max(), Some(&1), "sixty an hour are one a minute");
}

#[test]
fn caps_hold_across_campaigns_planned_together_and_one_after_another() {
    let rules = Rules::built_in();
    let crowd = Crowd::mixed(800, 4);
    let people = crowd.people();
    let ask = |person: usize| crowd.preference(person);
    let caps = [Cap { category: None, span: TimeDelta::hours(48), most: 1 }];
    let setting = Setting { caps: &caps, ..setting(&rules) };
    let equal = [50, 50, 50];
    for (priorities, arms) in [(equal, ""), (equal, ARMS), ([70, 50, 50], ARMS), ([10, 20, 30], "")]
    {
        let campaigns: Vec<_> = (priorities.iter().enumerate())
            .map(|(at, priority)| {
                let text = format!("[capacity]\nper_hour = {}\n{arms}", 3 + at);
                let mut campaign = crowd.campaign(&text);
                campaign.name = format!("c{at}").parse().unwrap();
                campaign.priority = *priority;
                campaign
            })
            .collect();
        let delays = ReplyDelays::default();
        let requests: Vec<Request<'_>> = (campaigns.iter())
            .map(|campaign| Request {
                campaign,
                people: &people,
                preference: &ask,
                booked: &[],
                reply_delays: &delays,
                fatigue_until: None,
            })
            .collect();
        let carrier = Carrier { per_second: Some(6.0 / 3600.0), ..EASY };
        let plans = plan(&setting, &carrier, &requests);
        let mut slots: BTreeMap<Slot, u32> = BTreeMap::new();
        for (request, plan) in requests.iter().zip(&plans) {
            check(&setting, request, plan);
            by_slot(plan, None)
                .into_iter()
                .for_each(|(slot, n)| *slots.entry(slot).or_default() += n);
        }
        assert!(slots.values().all(|sum| *sum <= 6), "the provider carries six an hour");
        for person in 0..people.len() {
            let mut times: Vec<_> = (plans.iter())
                .filter_map(|plan| plan.deliveries[person].choice.as_ref())
                .map(|choice| choice.send_at)
                .collect();
            times.sort();
            let apart = |pair: &[_]| pair[1] - pair[0] >= caps[0].span;
            assert!(times.windows(2).all(apart), "{times:?}");
        }
        let planned = |at: usize| by_slot(&plans[at], None).values().sum::<u32>();
        if priorities[2] > priorities[0] {
            assert!(planned(2) > planned(0), "higher priority plans first");
        }
    }
}

#[test]
fn people_in_half_hour_zones_and_with_changed_clocks_get_whole_slots() {
    let rules = Rules::built_in();
    let stage = Stage::of(Crowd::in_zone(200, Tz::Asia__Kolkata), "");
    let plan = stage.plan(&setting(&rules), &EASY);
    assert!(plan.deliveries.iter().any(|d| d.choice.is_some()));
}
