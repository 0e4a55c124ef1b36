//! Planning against an exact solver, and how it grows: `cargo bench --bench plan`.
//!
//! Plain figures with ratios. Sizes can be given (`cargo bench --bench plan -- 100000`); 0 leaves the
//! growth out. The exact solver comes last, and is left when it has taken [`TIMES`] times as long.

#[path = "../tests/planning/mod.rs"]
mod planning;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use opportune::calendar::rules::Rules;
use opportune::model::campaign::Campaign;
use opportune::model::preference::ReplyDelays;
use opportune::plan::{Carrier, Plan, Request, plan, values};
use planning::{Crowd, exact, setting};

const CARRIER: Carrier<'_> =
    Carrier { channel: "http", per_second: None, unique_per_day: None, booked: &[] };
/// People of the comparison with the exact solver.
const EXACT_PEOPLE: usize = 10_000;
/// How many times as long as ours the exact solver may take, and how many seconds at least.
const TIMES: f64 = 300.0;
const SECONDS_LEAST: f64 = 60.0;
/// Besides the two that every campaign of the crowd has.
const THIRD_VARIANT: &str = "[[variant]]\nname = \"words\"\nmedia = \"text\"\n";

/// Plans campaigns for everybody, from habits in memory to plans in memory; also in seconds.
fn timed(crowd: &Crowd, campaigns: &[Campaign], carrier: &Carrier<'_>) -> (Vec<Plan>, f64) {
    let rules = Rules::built_in();
    let people = crowd.people();
    let ask = |person: usize| crowd.preference(person);
    let delays = ReplyDelays::default();
    let request = |campaign| Request {
        campaign,
        people: &people,
        preference: &ask,
        booked: &[],
        reply_delays: &delays,
        fatigue_until: None,
    };
    let requests: Vec<Request<'_>> = campaigns.iter().map(request).collect();
    let start = Instant::now();
    let plans = plan(&setting(&rules), carrier, &requests);
    (plans, start.elapsed().as_secs_f64())
}

/// The largest resident size so far, MiB; 0 where the system does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn tell(name: &str, plans: &[Plan], seconds: f64) {
    let plan = &plans[0];
    let priced = plan.slots.iter().filter(|slot| slot.price > 0.0).count();
    let planned: u32 = plans.iter().flat_map(|plan| &plan.slots).map(|slot| slot.planned).sum();
    let (gap, slots, peak) = (100.0 * plan.certificate.gap(), plan.slots.len(), peak_mib());
    println!(
        "{name}: {seconds:.2} s, gap {gap:.5} %, {priced} of {slots} slots bind, \
         {planned} planned, peak {peak} MiB with the people's habits"
    );
}

fn beside_exact() {
    let crowd = Crowd::in_zone(EXACT_PEOPLE, chrono_tz::Tz::UTC);
    let per_hour = EXACT_PEOPLE * 2 / 168;
    let campaign = crowd.campaign(&format!("[capacity]\nper_hour = {per_hour}\n"));
    let (plans, seconds) = timed(&crowd, std::slice::from_ref(&campaign), &CARRIER);
    tell(&format!("{EXACT_PEOPLE} people"), &plans, seconds);
    let rules = Rules::built_in();
    let people = crowd.people();
    let ask = |person: usize| crowd.preference(person);
    let delays = ReplyDelays::default();
    let request = Request {
        campaign: &campaign,
        people: &people,
        preference: &ask,
        booked: &[],
        reply_delays: &delays,
        fatigue_until: None,
    };
    let mut rows = Vec::new();
    values(&setting(&rules), &CARRIER, &[request], &mut |_, person, slot, value| {
        if value > 0.0 {
            rows.push((person, slot.0, value));
        }
    });
    let groups: Vec<(Vec<i64>, f64)> =
        plans[0].slots.iter().map(|slot| (vec![slot.slot.0], per_hour as f64)).collect();
    let columns = rows.len();
    let most = (seconds * TIMES).max(SECONDS_LEAST);
    let (tell, told) = channel();
    let start = Instant::now();
    // its own limit holds between its steps, and the first may take longer than that
    std::thread::spawn(move || tell.send(exact::best_within(&rows, &groups, most)));
    let best = match told.recv_timeout(Duration::from_secs_f64(most)) {
        Ok(best) => best,
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => panic!("the exact solver failed"),
    };
    let exactly = start.elapsed().as_secs_f64();
    let times = exactly / seconds;
    if let Some(best) = best {
        let share = 100.0 * plans[0].certificate.value / best;
        println!(
            "  the exact solver: {exactly:.1} s for {columns} columns; ours reached {share:.5} % of \
             its value, {times:.0} times as fast"
        );
    } else {
        println!(
            "  the exact solver had not ended after {exactly:.1} s with {columns} columns: ours is more \
             than {times:.0} times as fast, and by its own proof within the gap above of the best"
        );
    }
}

fn main() {
    let mut sizes: Vec<usize> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000];
    }
    for size in sizes.into_iter().filter(|size| *size > 0) {
        let crowd = Crowd::mixed(size, 7);
        // so that a third of the hours is full
        let per_hour = (size * 6 / 5).div_ceil(168);
        let hourly = format!("{THIRD_VARIANT}[capacity]\nper_hour = {per_hour}\n");
        let (plans, seconds) = timed(&crowd, &[crowd.campaign(&hourly)], &CARRIER);
        tell(&format!("{size} people, 3 variants"), &plans, seconds);
        drop(plans);
        let agents = (size / 20_000).max(1);
        let chats =
            format!("{hourly}agents = {agents}\nchats_per_agent = 1\nminutes_per_chat = 6\n");
        let (plans, seconds) = timed(&crowd, &[crowd.campaign(&chats)], &CARRIER);
        tell(&format!("{size} people, replies bounded"), &plans, seconds);
    }
    let crowd = Crowd::mixed(30_000, 7);
    let campaigns: Vec<Campaign> = (0..10)
        .map(|at| {
            let mut campaign = crowd.campaign("");
            campaign.name = format!("campaign-{at}").parse().expect("a valid name");
            campaign
        })
        .collect();
    let carrier = Carrier { per_second: Some(1.0), ..CARRIER };
    let (plans, seconds) = timed(&crowd, &campaigns, &carrier);
    tell("ten campaigns to 30000 people, one provider", &plans, seconds);
    beside_exact();
}
