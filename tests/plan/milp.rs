//! Whole messages: where replies, a budget and caps make fractions lie, small random plans against an
//! exact mixed-integer solver.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use microlp::{ComparisonOp, OptimizationDirection, Problem};
use opportune::calendar::rules::Rules;
use opportune::model::campaign::Campaign;
use opportune::model::frequency::Cap;
use opportune::model::preference::ReplyDelays;
use opportune::plan::{Carrier, Certificate, Request, Setting, plan, values};

use crate::planning::{Crowd, setting};
use crate::stage::EASY;

/// Which limits a problem has.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    /// Messages of a campaign in an hour.
    per_hour: Option<u32>,
    /// Replies that agents take in an hour.
    replies: Option<u32>,
    /// Money for each campaign.
    budget: Option<f64>,
    /// Campaigns planned together, of which nobody gets two messages in a day.
    campaigns: usize,
}

/// Share of replies in the hour of the message and in the next.
const DELAY: [f32; 2] = [0.75, 0.25];

/// What a limit weighs, and the most of it.
type Weighed = (Vec<(microlp::Variable, f64)>, f64);

fn campaign(limits: &Limits, at: usize, hours: u32) -> Campaign {
    let mut text = format!(
        "name = \"c{at}\"\nprovider = \"shop\"\ngoal = \"read\"\nwithin = \"2h\"\n\
         [window]\nstart = 2026-12-01T08:00:00\nend = 2026-12-01T{:02}:00:00\n\
         [[variant]]\nname = \"clip\"\nmedia = \"{}\"\n[capacity]\n",
        8 + hours,
        ["video", "image"][at % 2]
    );
    if let Some(most) = limits.per_hour {
        text += &format!("per_hour = {most}\n");
    }
    if let Some(most) = limits.replies {
        text += &format!("agents = {most}\nchats_per_agent = 1\nminutes_per_chat = 60\n");
    }
    if let Some(amount) = limits.budget {
        text += &format!("[budget]\namount = {amount}\ncurrency = \"USD\"\n");
    }
    Campaign::from_toml(&text).unwrap()
}

/// The certificate of a plan, and the most that whole messages can be worth.
fn against_exact(limits: &Limits, people: usize, hours: u32, seed: u64) -> (Certificate, f64) {
    let rules = Rules::built_in();
    let crowd = Crowd::mixed(people, seed).answering();
    let campaigns: Vec<Campaign> =
        (0..limits.campaigns).map(|at| campaign(limits, at, hours)).collect();
    let members = crowd.people();
    let ask = |person: usize| crowd.preference(person);
    let delays = ReplyDelays::same(DELAY.to_vec());
    let request = |campaign| Request {
        campaign,
        people: &members,
        preference: &ask,
        booked: &[],
        reply_delays: &delays,
        fatigue_until: None,
    };
    let requests: Vec<Request<'_>> = campaigns.iter().map(request).collect();
    let caps = [Cap { category: None, span: TimeDelta::hours(24), most: 1 }];
    let caps = if limits.campaigns > 1 { &caps[..] } else { &[] };
    let setting = Setting { seed, caps, threads: 1, ..setting(&rules) };
    let carrier: Carrier<'_> = EASY;
    let plans = plan(&setting, &carrier, &requests);
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let mut sums: BTreeMap<(&str, usize, i64), Weighed> = BTreeMap::new();
    values(&setting, &carrier, &requests, &mut |at, person, slot, value| {
        if value <= 0.0 {
            return;
        }
        let message = problem.add_binary_var(value);
        let mut add = |key, amount, most| {
            sums.entry(key).or_insert((Vec::new(), most)).0.push((message, amount));
        };
        let whole = person as i64;
        add(("one of a campaign", at, whole), 1.0, 1.0);
        if limits.campaigns > 1 {
            add(("one of all", 0, whole), 1.0, 1.0);
        }
        if let Some(most) = limits.per_hour {
            add(("messages", at, slot.0), 1.0, f64::from(most));
        }
        if let Some(amount) = limits.budget {
            add(("money", at, 0), members[person].price, amount);
        }
        if let Some(most) = limits.replies {
            let reply = crowd.reply(person, &campaigns[at], 0);
            for (later, share) in DELAY.iter().enumerate() {
                let key = ("replies", at, slot.0 + later as i64);
                add(key, reply * f64::from(*share), f64::from(most));
            }
        }
    });
    for (terms, most) in sums.into_values() {
        problem.add_constraint(terms.as_slice(), ComparisonOp::Le, most);
    }
    let exact = problem.solve().expect("no message at all is a solution").objective();
    (plans[0].certificate, exact)
}

/// Holds many random problems of a kind against the exact optimum: the bound is never below it, the
/// plan never above, and on average no farther below than `mean` of it.
fn hold(limits: Limits, people: usize, hours: u32, mean: f64) {
    let (mut shares, mut binding) = (0.0, 0);
    const SEEDS: u64 = 25;
    for seed in 0..SEEDS {
        let (certificate, exact) = against_exact(&limits, people, hours, seed);
        let name = format!("{limits:?}, seed {seed}: {certificate:?}, {exact}");
        let rounding = 1e-6 * exact.max(1.0);
        assert!(certificate.bound >= exact - rounding, "a bound below the optimum: {name}");
        assert!(certificate.value <= exact + rounding, "above the optimum: {name}");
        shares += certificate.value / exact.max(1e-9) / SEEDS as f64;
        binding += usize::from(certificate.bound > certificate.value * (1.0 + 1e-4));
        assert_eq!(
            certificate.splits_messages,
            limits.replies.or(limits.budget.map(|_| 1)).is_some()
        );
        assert_eq!(certificate.ignores_joint_caps, limits.campaigns > 1);
    }
    assert!(shares >= mean, "{limits:?}: {shares} of the optimum");
    // else fractions would have nothing to gain, and the test would say nothing
    assert!(binding * 3 > SEEDS as usize, "{limits:?}: only {binding} problems bind");
}

#[test]
fn whole_messages_within_a_budget_stay_below_the_bound_and_near_the_optimum() {
    hold(Limits { budget: Some(0.12), campaigns: 1, ..Limits::default() }, 9, 5, 0.97);
}

#[test]
fn whole_messages_within_agents_time_stay_below_the_bound_and_near_the_optimum() {
    hold(Limits { replies: Some(1), campaigns: 1, ..Limits::default() }, 12, 4, 0.95);
}

#[test]
fn replies_money_and_hours_together_stay_below_the_bound_and_near_the_optimum() {
    let limits = Limits { per_hour: Some(2), replies: Some(1), budget: Some(0.25), campaigns: 1 };
    hold(limits, 12, 4, 0.95);
}

#[test]
fn caps_between_campaigns_stay_below_the_bound_and_near_the_optimum() {
    let limits = Limits { per_hour: Some(1), campaigns: 2, ..Limits::default() };
    hold(limits, 8, 4, 0.9);
}
