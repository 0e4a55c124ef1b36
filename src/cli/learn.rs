//! `learn`, `model`: preferences from history, and the versions of them.

use clap::Subcommand;
use serde::Serialize;

use super::print::{Show, progress, table};
use super::{BadInput, Env};
use crate::model::time::{format_instant, parse_instant};
use crate::work::learn::{self, Learned};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Take this time (RFC 3339) as now, and ignore later rows.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Start over from the whole history.
    #[arg(long)]
    full: bool,
}

impl Show for Learned {
    fn text(&self) -> String {
        let summary = serde_json::to_string_pretty(&self.summary).unwrap_or_default();
        format!(
            "Model version {} is in use. Folded in: {} messages and {} signs of presence of {} \
             people.\n{summary}",
            self.version, self.messages, self.activities, self.people
        )
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let as_of = args.as_of.as_deref().map(|at| parse_instant("--as-of", at)).transpose()?;
    if as_of.is_some_and(|as_of| as_of > ctx.clock.now()) {
        anyhow::bail!(BadInput("--as-of lies in the future".to_owned()));
    }
    let bar = progress("learning", Some(100));
    let shown = bar.clone();
    let tick = move |phase: &str, share: f64| {
        shown.set_message(phase.to_owned());
        shown.set_position((share * 100.0) as u64);
    };
    let learned = learn::run(&ctx, as_of, args.full, tick).await;
    bar.finish_and_clear();
    env.printer.show(&learned?)
}

#[derive(clap::Args)]
pub(super) struct ModelArgs {
    #[command(subcommand)]
    verb: ModelVerb,
}

#[derive(Subcommand)]
enum ModelVerb {
    /// List the versions.
    List,
    /// Put an earlier version in use.
    Rollback {
        /// Its number.
        version: i64,
    },
}

#[derive(Serialize)]
struct Versions(Vec<Version>);

#[derive(Serialize)]
struct Version {
    version: i64,
    active: bool,
    created_at: String,
    as_of: String,
    summary: serde_json::Value,
}

impl Show for Versions {
    fn text(&self) -> String {
        let mut shown = table(&["version", "in use", "as of", "people", "messages", "hour loss"]);
        for version in &self.0 {
            let figure = |path: &str| match version.summary.pointer(path) {
                Some(serde_json::Value::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            shown.add_row([
                version.version.to_string(),
                if version.active { "yes" } else { "" }.to_owned(),
                version.as_of.clone(),
                figure("/data/people"),
                figure("/data/messages"),
                figure("/held_out/hour_loss"),
            ]);
        }
        shown.to_string()
    }
}

pub(super) async fn model(args: ModelArgs, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    if let ModelVerb::Rollback { version } = args.verb {
        let mut tx = ctx.store.begin().await?;
        if !tx.use_model(version).await? {
            anyhow::bail!(BadInput(format!("there is no model version {version}")));
        }
        tx.commit().await?;
        let subject = format!("model {version}");
        crate::work::audit::record(&ctx, &super::actor(), "roll back", &subject, "").await?;
    }
    let version = |row: crate::store::ModelRow| Version {
        version: row.version,
        active: row.active,
        created_at: format_instant(row.created_at),
        as_of: format_instant(row.as_of),
        summary: serde_json::from_str(&row.summary).unwrap_or_default(),
    };
    env.printer.show(&Versions(ctx.store.models().await?.into_iter().map(version).collect()))
}
