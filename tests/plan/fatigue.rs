//! Fatigue: what a slot is worth hangs on the messages shortly before it, sent or planned.

use chrono::TimeDelta;
use opportune::calendar::rules::Rules;
use opportune::calendar::zone::week_hour;
use opportune::model::delivery::{Choice, Reason};
use opportune::model::preference::{Answers, Fatigue, ReplyDelays};
use opportune::model::slot::SlotLength;
use opportune::model::time::Instant;
use opportune::plan::{Request, Setting, plan};

use crate::planning::{Crowd, at, setting};
use crate::stage::{ARMS, EASY, Stage, check};

/// One more message in the week halves the odds of a click, and makes those of an opt-out half as
/// large again.
const TIRING: Fatigue =
    Fatigue { answers: Answers { click: -1.0, reply: -0.7, convert: 0.0 }, opt_out: 0.6 };
const CLICKS: &str = "[capacity]\nper_hour = 20\n";

fn clicks(crowd: &Crowd, more: &str) -> opportune::model::campaign::Campaign {
    let mut campaign = crowd.campaign(more);
    campaign.goal = opportune::model::content::Goal::Click;
    campaign
}

/// Messages in the week before the middle of a choice's slot.
fn before(choice: &Choice, sent: &[Instant]) -> usize {
    let middle = choice.slot.start(SlotLength::HOUR) + TimeDelta::minutes(30);
    sent.iter().filter(|at| **at <= middle && **at > middle - Fatigue::SPAN).count()
}

/// Messages in the week before it or after it.
fn around(choice: &Choice, sent: &[Instant]) -> usize {
    let middle = choice.slot.start(SlotLength::HOUR) + TimeDelta::minutes(30);
    let felt = |at: &&Instant| **at > middle - Fatigue::SPAN && **at <= middle + Fatigue::SPAN;
    sent.iter().filter(felt).count()
}

/// The value of a choice among some messages, and its chance after some of them.
fn truth(
    crowd: &Crowd,
    request: &Request<'_>,
    person: usize,
    choice: &Choice,
    (around, before): (usize, usize),
) -> (f64, f64) {
    let campaign = request.campaign;
    let content = &campaign.variants[usize::from(choice.variant_index)].content;
    let hour = week_hour(choice.slot.start(SlotLength::HOUR), request.people[person].zone);
    let after = |count: usize| {
        let then = crowd.preference(person).after(count);
        (then.chances(content, campaign.goal, campaign.within)[hour], then.opt_out(content))
    };
    let (chance, harm) = after(around);
    (f64::from(chance - harm), f64::from(after(before).0))
}

#[test]
fn values_and_chances_are_those_after_the_messages_before_each_slot() {
    let rules = Rules::built_in();
    let setting = Setting { opt_out_cost: 1.0, ..setting(&rules) };
    let mut levels = [0; 3];
    for more in ["", ARMS] {
        let mut stage = Stage::of(Crowd::mixed(600, 3).tiring(TIRING), &format!("{CLICKS}{more}"));
        stage.campaign = clicks(&stage.crowd, &format!("{CLICKS}{more}"));
        stage.fatigue_until = Some(at("2026-12-20T00:00:00Z"));
        let plan = stage.plan(&setting, &EASY);
        stage.ask(|request| {
            for (person, delivery) in plan.deliveries.iter().enumerate() {
                let Some(choice) = &delivery.choice else { continue };
                // half-hour zones have slots in two hours
                if request.people[person].zone.name() == "Asia/Kolkata"
                    || request.people[person].zone.name() == "Asia/Kathmandu"
                {
                    continue;
                }
                let sent: Vec<Instant> =
                    request.people[person].taken.iter().map(|t| t.at).collect();
                let count = before(choice, &sent);
                let counts = (around(choice, &sent), count);
                let (value, chance) = truth(&stage.crowd, &request, person, choice, counts);
                assert!((choice.value - value).abs() < 1e-5, "{} not {value}", choice.value);
                assert!((choice.chance - chance).abs() < 1e-5, "{} not {chance}", choice.chance);
                levels[count] += 1;
            }
        });
    }
    assert!(levels.iter().all(|count| *count > 5), "{levels:?}");
}

#[test]
fn campaigns_of_one_plan_count_each_other_s_messages() {
    let rules = Rules::built_in();
    let setting = setting(&rules);
    let crowd = Crowd::in_zone(300, chrono_tz::UTC).tiring(TIRING);
    let people = crowd.people();
    let ask = |person: usize| crowd.preference(person);
    let delays = ReplyDelays::default();
    for priorities in [[50, 50], [50, 60]] {
        let campaigns: Vec<_> = (priorities.iter().enumerate())
            .map(|(at, priority)| {
                let mut campaign = clicks(&crowd, CLICKS);
                campaign.name = format!("c{at}").parse().unwrap();
                campaign.priority = *priority;
                campaign
            })
            .collect();
        let request = |campaign| Request {
            campaign,
            people: &people,
            preference: &ask,
            booked: &[],
            reply_delays: &delays,
            fatigue_until: Some(at("2026-12-20T00:00:00Z")),
        };
        let requests: Vec<Request<'_>> = campaigns.iter().map(request).collect();
        let plans = plan(&setting, &EASY, &requests);
        let mut total = 0.0;
        let mut tired = 0;
        for (mine, (request, plan)) in requests.iter().zip(&plans).enumerate() {
            check(&setting, request, plan);
            for (person, delivery) in plan.deliveries.iter().enumerate() {
                let Some(choice) = &delivery.choice else {
                    assert_eq!(delivery.reason, Reason::NoValue);
                    continue;
                };
                total += choice.value;
                let other = plans[1 - mine].deliveries[person].choice.as_ref();
                // the one that was decided first does not know what comes
                let equal = priorities[0] == priorities[1];
                let known = other.filter(|_| equal || mine == 0);
                let sent: Vec<Instant> = known.map(|other| other.send_at).into_iter().collect();
                // of two in one slot the second is the one that comes after
                let same = other.is_some_and(|other| other.slot == choice.slot);
                let count = if same && equal { mine } else { before(choice, &sent) };
                let felt = if equal { count } else { around(choice, &sent) };
                let (value, chance) = truth(&crowd, request, person, choice, (felt, count));
                assert!((choice.value - value).abs() < 1e-5, "{} not {value}", choice.value);
                assert!((choice.chance - chance).abs() < 1e-5);
                tired += count;
            }
        }
        let planned =
            plans.iter().map(|plan| plan.deliveries.iter().filter(|d| d.choice.is_some()).count());
        let planned: Vec<usize> = planned.collect();
        assert!(tired > 100, "{tired} {planned:?}");
        let certificate = plans[0].certificate;
        if priorities[0] == priorities[1] {
            assert!((certificate.value - total).abs() < 1e-6 * total, "{certificate:?} {total}");
            assert!(certificate.relaxed().contains(&"fatigue_between_campaigns"));
        }
    }
}
