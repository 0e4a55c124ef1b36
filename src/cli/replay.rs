//! `replay`: scenarios on a virtual clock, with the daemon's own steps; a campaign to the workspace's
//! own people before it is submitted; or what other policies would have brought, by its history.

use std::path::PathBuf;

use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;

use super::campaign::read;
use super::print::{Show, progress, table};
use super::{BadInput, Env};
use crate::learn::Estimate;
use crate::model::campaign::WITHIN_MAX;
use crate::model::content::Goal;
use crate::model::time::Instant;
use crate::replay::policy::Policy;
use crate::replay::run::{self, ReplayResult};
use crate::replay::scenario::{Scenario, Script};
use crate::report;
use crate::work::campaigns;
use crate::work::offpolicy::{self, Findings, Question};

/// Seeds that one command replays.
const SEEDS_MAX: u64 = 1_000_000;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Scenario files.
    #[arg(required_unless_present = "history", value_name = "SCENARIO.toml")]
    scenarios: Vec<PathBuf>,
    /// Take the workspace's own history instead. With --campaign: how would these campaigns go,
    /// submitted now? Without: what would other policies have brought, by the messages that were
    /// sent at random with a known chance?
    #[arg(long, conflicts_with = "scenarios")]
    history: bool,
    /// With --history: a campaign's file, to be sent on a virtual clock to the people as the model
    /// remembers them; nothing is stored. Each seed draws another truth that the history allows.
    #[arg(long = "campaign", value_name = "FILE", requires = "history")]
    campaigns: Vec<PathBuf>,
    /// With scenarios or --campaign: who plans, one after another for the same people, instead of
    /// the scenario's own policies.
    #[arg(long = "policy", value_name = "POLICY", value_parser = policy)]
    policies: Vec<Policy>,
    /// With --history: what counts.
    #[arg(long, value_name = "GOAL", default_value = "read", requires = "history")]
    goal: Goal,
    /// With --history: within this time after sending.
    #[arg(long, value_name = "TIME", default_value = "2h", requires = "history")]
    within: humantime::Duration,
    /// With --history: the share of the randomized messages that judges; the older ones teach.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, requires = "history")]
    holdout: f64,
    /// Replay this seed alone.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Replay the seeds 1 to N instead of the file's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: Option<u64>,
    /// Write report.html, report.json and report.csv into this folder; made when it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Vec<ReplayResult>);

impl Show for Shown {
    fn text(&self) -> String {
        self.0.iter().map(text).collect::<Vec<_>>().join("\n")
    }
}

fn text(told: &ReplayResult) -> String {
    let mut text = format!("# {}\n{}\n\n", told.scenario, told.about);
    let mut policies = table(&[
        "policy",
        "engaged per 100 people",
        "more than the first",
        "share of oracle",
        "sent per 100",
        "opt-outs per 1000",
        "refused per 100",
        "p99 late, s",
    ]);
    for row in &told.policies {
        let or_dash = |figure: Option<String>| figure.unwrap_or_else(|| "–".to_owned());
        policies.add_row([
            name(&row.policy),
            row.engagement.text(2),
            or_dash(row.gain.map(|gain| gain.text(2))),
            or_dash(row.oracle_share.map(|share| share.text(2))),
            row.sent.text(1),
            row.opt_outs.text(2),
            row.refused.text(1),
            row.lateness_p99_s.text(0),
        ]);
    }
    text.push_str(&format!("{policies}\n\n"));
    let ahead = told.policies.iter().filter_map(|row| {
        let gain = row.gain.filter(|gain| gain.mean >= 0.005)?;
        Some(format!("{} by {}", name(&row.policy), gain.text(2)))
    });
    let ahead: Vec<String> = ahead.collect();
    if let (Some(first), false) = (told.policies.first(), ahead.is_empty()) {
        let first = name(&first.policy);
        text.push_str(&format!("Ahead of {first}: {}.\n\n", ahead.join(", ")));
    }
    let mut states = table(&["policy", "seed", "campaign", "state", "reason", "people"]);
    for outcome in &told.outcomes {
        for campaign in &outcome.campaigns {
            for count in &campaign.states {
                states.add_row([
                    name(&outcome.policy),
                    outcome.seed.to_string(),
                    campaign.name.clone(),
                    count.state.to_string(),
                    count.reason.to_string(),
                    count.people.to_string(),
                ]);
            }
        }
    }
    text.push_str(&format!("{states}\n"));
    let broken = told.outcomes.iter().flat_map(|o| o.broken.iter().map(move |rule| (o, rule)));
    for (outcome, rule) in broken {
        text.push_str(&format!(
            "\nBROKEN, seed {}, {}: {rule}",
            outcome.seed,
            name(&outcome.policy)
        ));
    }
    text
}

/// A policy's name as scenario files spell it.
fn name(policy: &impl Serialize) -> String {
    serde_json::to_value(policy)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[derive(Serialize)]
#[serde(transparent)]
struct ShownFindings(Findings);

impl Show for ShownFindings {
    fn text(&self) -> String {
        let found = &self.0;
        let percent = |share: f64| format!("{:.2}", 100.0 * share);
        let estimate = |estimate: &Estimate| {
            let Estimate { value, low, high } = estimate;
            format!("{} ({} to {})", percent(*value), percent(*low), percent(*high))
        };
        let goal = found.goal;
        let mut text = format!(
            "{} randomized messages judge; in per cent with goal {goal} within {} h, 95 % \
             intervals over people.\n",
            found.messages, found.within_hours
        );
        if let Some(logged) = &found.logged {
            text.push_str(&format!("What was sent at random brought {}.\n", estimate(logged)));
        }
        let mut values = table(&[
            "policy",
            "doubly robust",
            "normalized",
            "inverse propensity",
            "effective size",
            "largest weight",
        ]);
        for row in &found.policies {
            if let Some(value) = &row.value {
                values.add_row([
                    row.policy.to_owned(),
                    estimate(&value.doubly_robust),
                    estimate(&value.snips),
                    estimate(&value.ips),
                    format!("{:.0}", value.overlap.effective),
                    format!("{:.1}", value.overlap.largest_weight),
                ]);
            }
        }
        text.push_str(&format!("{values}\n"));
        for row in &found.policies {
            if let Some(refused) = &row.refused {
                text.push_str(&format!("\n{}: {refused}", row.policy));
            }
        }
        found.notes.iter().for_each(|note| text.push_str(&format!("\n{note}")));
        text
    }
}

fn policy(name: &str) -> Result<Policy, String> {
    let known = || Policy::ALL.iter().map(self::name).collect::<Vec<_>>().join(", ");
    serde_json::from_value(name.into()).map_err(|_| format!("one of {} would be right", known()))
}

async fn history(args: &Args, env: &Env) -> anyhow::Result<()> {
    if !(args.holdout > 0.0 && args.holdout < 1.0) {
        let problem = format!("--holdout {} is not between 0 and 1", args.holdout);
        anyhow::bail!(BadInput(problem));
    }
    if *args.within > WITHIN_MAX || args.within.is_zero() {
        anyhow::bail!(BadInput(format!("--within {} is not above 0 and at most 72h", args.within)));
    }
    let ctx = env.ctx().await?;
    let bar = progress("judging", Some(100));
    let shown = bar.clone();
    let tick = move |_: &str, done: f64| shown.set_position((100.0 * done) as u64);
    let (goal, within, holdout) = (args.goal, *args.within, args.holdout);
    let found = offpolicy::run(&ctx, Question { goal, within, holdout }, tick).await;
    bar.finish_and_clear();
    env.printer.show(&ShownFindings(found?))
}

/// Has those plan who were asked for, if any were.
fn cast(args: &Args, script: &mut Script) {
    if !args.policies.is_empty() {
        script.policies.clone_from(&args.policies);
    }
}

/// What was asked for, else the script's own.
fn seeds(args: &Args, script: &Script) -> Vec<u64> {
    match (args.seed, args.seeds) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (1..=count).collect(),
        (None, None) => script.seeds.clone(),
    }
}

/// Campaigns to the workspace's own people.
async fn tomorrow(args: &Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let mut campaigns = Vec::new();
    for path in &args.campaigns {
        let source = read(path)?;
        let shown = || path.display().to_string();
        let campaign = campaigns::check(&ctx, &source).await.with_context(shown)?;
        campaigns.push((campaign, toml::from_str(&source).with_context(shown)?));
    }
    let mut script = Script::tomorrow(&ctx, campaigns);
    cast(args, &mut script);
    let bar = progress("replaying", None);
    let told =
        run::recalled(&ctx, &script, &seeds(args, &script), told_by(&bar, &script.name)).await?;
    bar.finish_and_clear();
    let files: Vec<_> =
        args.campaigns.iter().map(|path| format!("--campaign {}", path.display())).collect();
    finish(args, env, vec![told], &[format!("--history {}", files.join(" "))])
}

/// Shows on a bar how far a replay is.
fn told_by(bar: &ProgressBar, name: &str) -> impl FnMut(Policy, u64, Instant) {
    move |policy, seed, at| {
        let (policy, date) = (self::name(&policy), at.date_naive());
        bar.set_message(format!("{name}: {policy}, seed {seed}, {date}"));
        bar.tick();
    }
}

/// Shows and writes what replays told; `what` names each to the command that repeats it.
fn finish(args: &Args, env: &Env, told: Vec<ReplayResult>, what: &[String]) -> anyhow::Result<()> {
    let repeat = told.iter().zip(what).find_map(|(told, what)| {
        let broken = told.outcomes.iter().find(|outcome| !outcome.broken.is_empty())?;
        let policy = name(&broken.policy);
        Some(format!("opportune replay {what} --seed {} --policy {policy}", broken.seed))
    });
    if let Some(out) = &args.out {
        report::of_replays(&told).write(out)?;
    }
    env.printer.show(&Shown(told))?;
    match repeat {
        None => Ok(()),
        Some(command) => Err(BrokenRule(command).into()),
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    if !args.campaigns.is_empty() {
        return tomorrow(&args, env).await;
    }
    if args.history {
        let seeded = args.seed.is_some() || args.seeds.is_some();
        if seeded || args.out.is_some() || !args.policies.is_empty() {
            let problem = "--seed, --seeds, --policy and --out go with scenarios or --campaign";
            anyhow::bail!(BadInput(problem.to_owned()));
        }
        return history(&args, env).await;
    }
    let scenarios = args.scenarios.iter().map(|path| Scenario::load(path));
    // all files are checked before the first takes its time
    let mut scenarios: Vec<Scenario> = scenarios.collect::<Result<_, _>>()?;
    let bar = progress("replaying", None);
    let mut told = Vec::new();
    for scenario in &mut scenarios {
        cast(&args, &mut scenario.script);
        let script = &scenario.script;
        let seeds = seeds(&args, script);
        told.push(run::all(scenario, &seeds, told_by(&bar, &script.name)).await?);
    }
    bar.finish_and_clear();
    let files: Vec<_> = args.scenarios.iter().map(|path| path.display().to_string()).collect();
    finish(&args, env, told, &files)
}

/// What must hold did not.
#[derive(Debug, thiserror::Error)]
#[error("a rule was broken; `{0}` repeats it")]
struct BrokenRule(String);
