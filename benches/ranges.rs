//! Whether the ranges of forecasts hold as often as they say: replays of worlds whose campaigns differ
//! in luck, each with a campaign a week, the first of which knows no campaign before it. The range is
//! that of the plan that was sent; what came is counted as `results` counts it: reads that are told.
//! Of the first campaign in a world nobody knows how far off the world is, so that its ranges can only
//! hold over many kinds of worlds, not in each.
//!
//! `cargo bench --bench ranges -- [SEEDS] [PEOPLE]`: 50 seeds in each of four kinds of worlds and 300
//! people unless said. A share of so many replays is itself known to two standard errors only, which
//! are printed beside it.

use opportune::replay::outcome::CampaignOutcome;
use opportune::replay::policy::Policy;
use opportune::replay::run;
use opportune::replay::scenario::Scenario;
use opportune::store::{Create, Store};

/// How far shares may be from what the ranges say.
const TARGET: f64 = 0.02;
const CAMPAIGNS: usize = 4;
const HABITS: [&str; 4] = ["friendly", "hostile", "sessions", "daily"];

fn main() {
    let mut asked = std::env::args().filter_map(|number| number.parse().ok());
    let (seeds, people) = (asked.next().unwrap_or(50), asked.next().unwrap_or(300));
    let mut everywhere = [Held::default(); CAMPAIGNS];
    for habit in HABITS {
        let scenario = Scenario::parse(&scenario(habit, people), "ranges.toml".as_ref())
            .expect("the scenario is a good one");
        let mut held = [Held::default(); CAMPAIGNS];
        for found in all_replayed(&scenario, seeds) {
            held.iter_mut().zip(found).for_each(|(held, found)| held.add(&found));
        }
        tell(habit, &held);
        everywhere.iter_mut().zip(&held).for_each(|(all, held)| all.join(held));
    }
    tell("everywhere", &everywhere);
}

/// By how many campaigns were known, and in all.
fn tell(habit: &str, held: &[Held]) {
    let mut total = Held::default();
    for (before, held) in held.iter().enumerate() {
        println!("{habit}, after {before} campaigns: {}", held.told());
        total.join(held);
    }
    println!("{habit}, in all: {}", total.told());
}

/// A campaign each week, half of them to be read within two hours and half within a day.
fn scenario(habit: &str, people: u64) -> String {
    let mut text = format!(
        "about = \"Campaigns of different luck.\"\ndays = 33\nseeds = [1]\npolicies = [\"personalized\"]\n\
         learn = \"once\"\n[world]\npeople = {people}\nhabit = \"{habit}\"\n\
         campaign_luck = {{ least = 0.1, most = 0.3 }}\n\
         [history]\nweeks = 20\nmessages = {{ exact = 24 }}\npolicy = \"uniform\"\n"
    );
    for week in 0..CAMPAIGNS {
        let within = if week % 2 == 0 { "2h" } else { "24h" };
        let day = |at: usize| {
            ["06-01", "06-05", "06-08", "06-12", "06-15", "06-19", "06-22", "06-26"][at]
        };
        text.push_str(&format!(
            "[[campaign]]\nname = \"week-{week}\"\nprovider = \"simulated\"\ngoal = \"read\"\n\
             within = \"{within}\"\nsubmit_after = \"{}d\"\n\
             [campaign.window]\nstart = 2026-{}T00:00:00\nend = 2026-{}T00:00:00\n\
             [[campaign.variant]]\nname = \"text\"\nmedia = \"text\"\n\
             [[campaign.variant]]\nname = \"clip\"\nmedia = \"video\"\nstyle = \"product\"\n",
            7 * week,
            day(2 * week),
            day(2 * week + 1)
        ));
    }
    text
}

/// What a plan promised, and what came.
#[derive(Debug, Clone, Copy)]
struct Promise {
    mean: f64,
    ranges: [[f64; 2]; 2],
    came: f64,
    /// What the world brings of the same messages on average, told or not, with the campaign's luck.
    truth: f64,
}

/// Plays a world for each seed, as many at once as there are cores.
fn all_replayed(scenario: &Scenario, seeds: u64) -> Vec<Vec<Promise>> {
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let played = |worker: u64| -> Vec<Vec<Promise>> {
        let runtime = tokio::runtime::Runtime::new().expect("tokio starts");
        let mine = (1..=seeds).filter(|seed| seed % workers == worker);
        mine.map(|seed| runtime.block_on(replayed(scenario, seed))).collect()
    };
    std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || played(worker))).collect();
        started.into_iter().flat_map(|worker| worker.join().expect("it ends well")).collect()
    })
}

/// Plays one world, and reads what each campaign promised.
async fn replayed(scenario: &Scenario, seed: u64) -> Vec<Promise> {
    let dir = tempfile::tempdir().expect("there is room for a database");
    let url = format!("sqlite://{}", dir.path().join("replay.db").display());
    let store = Store::open(&url, Create::Scratch).await.expect("the database opens");
    let outcome = run::one(scenario, Policy::Model, seed, store.clone(), |_| ()).await;
    let outcome = outcome.expect("the replay runs");
    let mut reader = store.read().await.expect("the database answers");
    let mut rows = reader.open_campaigns().await.expect("campaigns are listed").rows;
    rows.extend(reader.closed_campaigns(None, 100).await.expect("campaigns are listed").rows);
    let promise = |campaign: &CampaignOutcome| {
        let row = rows.iter().find(|row| row.campaign.name.as_str() == campaign.name);
        let plan = row.and_then(|row| row.plan.as_deref()).expect("everything was planned");
        let plan: serde_json::Value = serde_json::from_str(plan).expect("plans are JSON");
        let figure = |name: &str| plan["expected"][name].as_f64().expect("plans have ranges");
        Promise {
            mean: figure("mean"),
            ranges: [[figure("low"), figure("high")], [figure("low_95"), figure("high_95")]],
            came: campaign.engaged as f64,
            truth: campaign.expected,
        }
    };
    let mut named: Vec<_> = outcome.campaigns.iter().collect();
    named.sort_by(|a, b| a.name.cmp(&b.name));
    named.into_iter().map(promise).collect()
}

/// How often ranges held.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    promises: f64,
    ninety: f64,
    more: f64,
    log_ratio: f64,
    log_truth: f64,
    width: f64,
}

impl Held {
    fn add(&mut self, promise: &Promise) {
        let holds = |[low, high]: [f64; 2]| f64::from(low <= promise.came && promise.came <= high);
        self.promises += 1.0;
        self.ninety += holds(promise.ranges[0]);
        self.more += holds(promise.ranges[1]);
        self.log_ratio += (promise.mean / promise.came.max(0.5)).ln();
        self.log_truth += (promise.mean / promise.truth.max(0.5)).ln();
        self.width += (promise.ranges[0][1] - promise.ranges[0][0]) / promise.mean;
    }

    fn join(&mut self, other: &Self) {
        self.promises += other.promises;
        self.ninety += other.ninety;
        self.more += other.more;
        self.log_ratio += other.log_ratio;
        self.log_truth += other.log_truth;
        self.width += other.width;
    }

    fn told(&self) -> String {
        let Self { promises, ninety, more, log_ratio, log_truth, width } = self;
        let share = |held: &f64, wanted: f64| {
            let error = (wanted * (1.0 - wanted) / promises).sqrt();
            let off = (held / promises - wanted).abs();
            let verdict = if off <= TARGET { "" } else { " (NOT within 2 points)" };
            format!("{:.3} ± {:.3}{verdict}", held / promises, 2.0 * error)
        };
        format!(
            "90 % ranges held {}, 95 % {}; forecast / told {:.3}, / truth {:.3}, width {:.2} of the \
             forecast, {promises} promises",
            share(ninety, 0.9),
            share(more, 0.95),
            (log_ratio / promises).exp(),
            (log_truth / promises).exp(),
            width / promises
        )
    }
}
