//! The main job, end to end, in a small world with hidden habits: history in, learned from,
//! planned, sent, answered, and learned from again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use serde::Serialize;

use crate::calendar::rules::Rules;
use crate::calendar::window;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, EXAMPLE};
use crate::files::{
    self, ActivityRow, FileError, MessageLine, OutputError, RecipientLine, write_activity,
    write_messages, write_recipients,
};
use crate::model::Invalid;
use crate::model::ids::Name;
use crate::model::time::Instant;
use crate::provider::{self, Provider};
use crate::replay::faults::Faulty;
use crate::replay::{ReplayError, check, drive, outcome, run};
use crate::report;
use crate::store::{Create, Store, StoreError};
use crate::work::campaigns::{self, SubmitError};
use crate::work::import::{self, ImportError, Imported, Strictness};
use crate::work::insights::{self, Insight};
use crate::work::learn::{self, Depth, LearnError};
use crate::work::plan::{self, PlanError, PlanScope, Summary};
use crate::work::results::{self, Results};
use crate::work::{Ctx, StepEnv, new_node};
use crate::world::World;
use crate::world::history::PersonHistory;
use crate::world::logging::Logging;
use crate::world::spec::Spec;

/// The demo's present: Monday 1 June 2026, 00:00 UTC. A virtual clock needs a date, and a fixed one
/// makes two runs alike.
const PRESENT: i64 = 1_780_272_000;
/// Written beside the files, so that a second run knows what it may replace.
const MARKER: &str = ".opportune-demo";
const FILES: [&str; 6] = [
    "recipients.csv",
    "messages.csv",
    "activity.csv",
    "spring-sale.toml",
    "new-arrivals.toml",
    REPORT,
];
const REPORT: &str = "report.html";

/// Two campaigns in two weeks: the first asks for a prompt read and is short of room, the second
/// asks for a click.
const CAMPAIGNS: [(&str, &str); 2] = [
    ("spring-sale.toml", include_str!("spring-sale.toml")),
    ("new-arrivals.toml", include_str!("new-arrivals.toml")),
];

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder holds something else.
    #[error("{} is not empty and no earlier demo; name another folder with --out", .0.display())]
    NotEmpty(PathBuf),
    /// A file could not be made.
    #[error("could not write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The world's description is wrong.
    #[error(transparent)]
    World(#[from] Invalid),
    /// A history file could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A history file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Importing.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Learning.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Submitting.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Planning.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Sending.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// What happened.
#[derive(Debug, Serialize)]
pub struct DemoResult {
    /// Of the world and its people's habits.
    pub seed: u64,
    /// What was imported from each of the three files.
    pub imported: [Imported; 3],
    /// The plan of each campaign.
    pub plans: Vec<Summary>,
    /// What each campaign brought.
    pub results: Vec<Results>,
    /// What was learned of the population, at the end.
    pub insights: Vec<Insight>,
    /// The model's version at the end, and its held-out figures.
    pub learned: learn::Learned,
}

/// Runs the demo with the people of `world` in `out`, which is left behind as a workspace. The same
/// world and seed tell the same.
pub async fn run(
    out: &Path,
    world: &Spec,
    seed: u64,
    mut progress: impl FnMut(&str),
) -> Result<DemoResult, DemoError> {
    prepare(out)?;
    let present = DateTime::from_timestamp(PRESENT, 0).expect("the demo's present is a date");
    let settings = EXAMPLE.replace("seed = 1\n", &format!("seed = {seed}\n"));
    write(&out.join("opportune.toml"), &settings)?;
    progress("making a world and its history");
    let world = Arc::new(World::new(world, seed)?);
    make_history(out, &world, present)?;
    let stage = Stage::open(out, &world, seed, present).await?;
    let ctx = &stage.ctx;

    progress("importing");
    let imported = import_all(ctx, out).await?;
    progress("learning");
    learn::run(ctx, None, Depth::Fit, |_, _| {}).await?;
    let (mut plans, mut results) = (Vec::new(), Vec::new());
    for (file, source) in CAMPAIGNS {
        progress("planning");
        write(&out.join(file), source)?;
        let campaign = campaigns::submit(ctx, source, "demo").await?;
        let name = campaign.name.clone();
        let row =
            ctx.store.read().await?.campaign(&name).await?.expect("it was submitted a moment ago");
        let (_, made) = plan::dry_run(ctx, vec![(row, PlanScope::Everybody)]).await?;
        plans.extend(made.iter().map(plan::CampaignPlan::summary));
        // a day longer than the window, for the answers that come late
        let until = window::ends_at(&campaign.window) + TimeDelta::days(1);
        drive(ctx, until, |now| progress(&format!("sending {name}: {}", now.date_naive()))).await?;
        let row =
            ctx.store.read().await?.campaign(&name).await?.expect("it was submitted a moment ago");
        results.push(results::results(ctx, &row).await?);
    }
    progress("learning from the answers");
    let learned = learn::run(ctx, None, Depth::Fit, |_, _| {}).await?;
    let insights = insights::run(ctx).await?;
    progress("writing the report");
    stage.report(out, &world, seed).await?;
    stage.ctx.store.close().await;
    Ok(DemoResult { seed, imported, plans, results, insights, learned })
}

/// Makes the folder, or clears an earlier demo's files out of it.
fn prepare(out: &Path) -> Result<(), DemoError> {
    let failed = |cause| DemoError::Write { path: out.to_owned(), cause };
    std::fs::create_dir_all(out).map_err(failed)?;
    let marker = out.join(MARKER);
    let empty = std::fs::read_dir(out).map_err(failed)?.next().is_none();
    if !empty && !marker.exists() {
        return Err(DemoError::NotEmpty(out.to_owned()));
    }
    let database = ["opportune.db", "opportune.db-wal", "opportune.db-shm", "opportune.toml"];
    for name in FILES.iter().chain(&database) {
        match std::fs::remove_file(out.join(name)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(DemoError::Write { path: out.join(name), cause });
            }
            Ok(()) | Err(_) => {}
        }
    }
    write(&marker, "Made by `opportune demo`, which may replace the files in this folder.\n")
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    std::fs::write(path, text).map_err(|cause| DemoError::Write { path: path.to_owned(), cause })
}

fn make_history(out: &Path, world: &World, until: Instant) -> Result<(), DemoError> {
    let logging = Logging::demo(until);
    let people: Vec<PersonHistory> = world.history(&logging).collect();
    let mut attributes: Vec<String> = people
        .iter()
        .flat_map(|person| person.recipient.profile.attributes.keys().cloned())
        .collect();
    attributes.sort();
    attributes.dedup();
    let recipients = people.iter().map(|person| {
        let row = person.recipient.clone();
        let opted_in = row.opted_in.map(|(at, source)| (at, source.to_owned()));
        RecipientLine { key: row.key, profile: row.profile, opted_in, opted_out: None }
    });
    write_recipients(&out.join("recipients.csv"), &attributes, recipients)?;
    let messages = people.iter().flat_map(|person| {
        let row = |message: &_| MessageLine {
            recipient: person.recipient.key.clone(),
            message: Clone::clone(message),
        };
        person.messages.iter().map(row)
    });
    write_messages(&out.join("messages.csv"), messages)?;
    let activity = people.iter().flat_map(|person| {
        let row = |(at, kind): &(Instant, &'static str)| ActivityRow {
            recipient: person.recipient.key.clone(),
            at: *at,
            kind: (*kind).to_owned(),
        };
        person.activity.iter().map(row)
    });
    write_activity(&out.join("activity.csv"), activity)?;
    Ok(())
}

/// The workspace that is left behind, and the world's people behind its provider.
struct Stage {
    ctx: Ctx,
    people: Arc<Faulty>,
}

impl Stage {
    async fn open(
        out: &Path,
        world: &Arc<World>,
        seed: u64,
        present: Instant,
    ) -> Result<Self, DemoError> {
        let mut config = Config::load(&out.join("opportune.toml"))?;
        // the demo is embedded, whatever the environment says
        config.database_url = format!("sqlite://{}", out.join("opportune.db").display());
        let store = Store::open(&config.database_url, Create::IfMissing).await?;
        let mut providers = provider::from_config(&config.providers, &config.outbound)?;
        let name: Name = "simulated".parse()?;
        // nothing goes wrong, and every call is remembered
        let people =
            Arc::new(Faulty::new(&name, Arc::clone(world) as _, &[], seed, &Arc::default()));
        providers.insert(name, Arc::clone(&people) as Arc<dyn Provider>);
        let ctx = Ctx {
            store,
            env: StepEnv {
                clock: Clock::starting_at(present),
                config: Arc::new(config),
                rules: Arc::new(Rules::built_in()),
                providers: Arc::new(providers),
                node: new_node(),
                preference_override: None,
            },
        };
        Ok(Self { ctx, people })
    }

    async fn report(&self, out: &Path, world: &World, seed: u64) -> Result<(), DemoError> {
        let calls = self.people.calls();
        let played = outcome::played(&self.ctx, Instant::MIN_UTC).await?;
        let mut outcome = outcome::of(&self.ctx, world, &played, &calls).await?;
        outcome.seed = seed;
        outcome.broken = check::all(&self.ctx, &played, &calls).await?;
        let told = run::ReplayResult {
            scenario: "demo".to_owned(),
            about: "Two campaigns to invented people with habits of their own: half a year of \
                history is imported and learned from, then what is planned is sent and answered."
                .to_owned(),
            policies: Vec::new(),
            outcomes: vec![outcome],
        };
        write(&out.join(REPORT), &report::of_replays(&[told]).html)
    }
}

async fn import_all(ctx: &Ctx, out: &Path) -> Result<[Imported; 3], DemoError> {
    let open = |name: &str| files::open(&out.join(name));
    let lenient = Strictness::Lenient;
    Ok([
        import::recipients(ctx, open("recipients.csv")?, lenient, |_| {}).await?,
        import::messages(ctx, open("messages.csv")?, lenient, |_| {}).await?,
        import::activity(ctx, open("activity.csv")?, lenient, |_| {}).await?,
    ])
}
