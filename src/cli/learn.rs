//! `learn`, `model`: preferences from history, and the versions of them.

use clap::Subcommand;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;

use super::print::{Show, progress, table};
use super::{BadInput, Env};
use crate::model::time::{format_instant, parse_instant};
use crate::work::learn::{self, Depth, FitOutcome, Learned};
use crate::work::models::{self, ModelVersion};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Take this time (RFC 3339) as now, and ignore later rows.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Start over: read the whole history again, and choose settings.
    #[arg(long)]
    full: bool,
    /// With --full: keep the settings in use. The same history gives the same preferences.
    #[arg(long, requires = "full")]
    keep_settings: bool,
    /// Only follow the answers that came back since the last fit, as the daemon does between nights.
    #[arg(long, conflicts_with_all = ["full", "as_of"])]
    refresh: bool,
}

impl Show for Learned {
    fn text(&self) -> String {
        let came_to = match self.outcome {
            FitOutcome::Unchanged => "nothing was new",
            FitOutcome::Refreshed => "answers since the last fit were followed",
            FitOutcome::Fitted => "fitted at the settings in use",
            FitOutcome::Tuned => "settings were chosen anew",
        };
        let data = &self.summary.data;
        let mut text = format!(
            "Model version {} is in use: {came_to}.\nFolded in: {} messages and {} signs of presence \
             of {} people.\nLearned from: {} messages and {} signs of {} people",
            self.version,
            self.messages,
            self.activities,
            self.people,
            data.messages,
            data.signs,
            data.people
        );
        if let (Some(first), Some(last)) = (data.first, data.last) {
            text.push_str(&format!(", {} to {}", format_instant(first), format_instant(last)));
        }
        text.push_str(".\n");
        let held_out = &self.summary.held_out;
        if held_out.people > 0 {
            text.push_str(&format!("Held out, of {} people:", held_out.people));
            for (what, figure) in [
                ("log-loss of the next sign by hour of day", held_out.hour_loss),
                ("by weekday and four hours", held_out.cell_loss),
                ("log-likelihood of a message's fate", held_out.message),
            ] {
                if let Some(figure) = figure {
                    text.push_str(&format!(" {what} {figure:.4};"));
                }
            }
            text.pop();
            text.push_str(" nats.\n");
        }
        let shares = self.summary.chronotypes.iter();
        let shares: Vec<String> =
            shares.map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
        text.push_str(&format!("Chronotypes: {}.\n", shares.join(", ")));
        text.push_str(&added(&self.summary.settings).unwrap_or_default());
        let drift = &self.summary.drift;
        for words in drift.words() {
            text.push_str(&format!("- {words}\n"));
        }
        text
    }
}

/// What messages add to purchases over none, where a holdout tells.
fn added(settings: &Value) -> Option<String> {
    let points = |path: &str| {
        let found = settings.pointer(&format!("/purchases_added_by_a_message/{path}"));
        found.and_then(Value::as_f64).map(|share| 100.0 * share)
    };
    let (mean, low, high) = (points("mean")?, points("interval/0")?, points("interval/1")?);
    Some(format!(
        "One more message adds {mean:+.2} points ({low:+.2} to {high:+.2}) to the chance of a purchase in \
         a week.\n"
    ))
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let as_of = args.as_of.as_deref().map(|at| parse_instant("--as-of", at)).transpose()?;
    if as_of.is_some_and(|as_of| as_of > ctx.clock.now()) {
        anyhow::bail!(BadInput("--as-of lies in the future".to_owned()));
    }
    let depth = match (args.full, args.keep_settings, args.refresh) {
        (true, true, _) => Depth::FullAtSettings,
        (true, false, _) => Depth::Full,
        (false, _, true) => Depth::Refresh,
        (false, _, false) => Depth::Fit,
    };
    let (bar, tick) = learning_bar("learning");
    let learned = learn::run(&ctx, as_of, depth, tick).await;
    bar.finish_and_clear();
    env.printer.show(&learned?)
}

/// A bar on the standard error, and what moves it.
pub(super) fn learning_bar(what: &'static str) -> (ProgressBar, impl FnMut(&str, f64) + use<>) {
    let bar = progress(what, Some(100));
    let shown = bar.clone();
    let tick = move |phase: &str, share: f64| {
        shown.set_message(phase.to_owned());
        shown.set_position((share * 100.0) as u64);
    };
    (bar, tick)
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
#[serde(transparent)]
struct Versions(Vec<ModelVersion>);

/// A figure of a version's summary.
fn figure(version: &ModelVersion, path: &str) -> String {
    match version.summary.pointer(path) {
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.4}", number.as_f64().unwrap_or_default())
        }
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The date of an instant in the summary.
fn date(version: &ModelVersion, path: &str) -> String {
    figure(version, path).chars().take(10).collect()
}

fn settings(version: &ModelVersion) -> String {
    let number = |path: &str| version.summary.pointer(path).and_then(Value::as_f64);
    let Some(classes) = number("/settings/settings/classes") else { return String::new() };
    let half_life = match number("/settings/settings/half_life") {
        Some(days) if days < 1e6 => format!("half-life {days} days"),
        _ => "no fading".to_owned(),
    };
    format!("up to {classes} chronotypes, {half_life}, of {}", date(version, "/tuned/as_of"))
}

impl Show for Versions {
    fn text(&self) -> String {
        let mut shown = table(&[
            "version",
            "in use",
            "as of",
            "outcome",
            "data from",
            "to",
            "people",
            "messages",
            "signs",
            "hour loss",
            "cell loss",
            "message fit",
            "settings",
        ]);
        for version in &self.0 {
            shown.add_row([
                version.version.to_string(),
                if version.active { "yes" } else { "" }.to_owned(),
                format_instant(version.as_of),
                figure(version, "/outcome"),
                date(version, "/data/first"),
                date(version, "/data/last"),
                figure(version, "/data/people"),
                figure(version, "/data/messages"),
                figure(version, "/data/signs"),
                figure(version, "/held_out/hour_loss"),
                figure(version, "/held_out/cell_loss"),
                figure(version, "/held_out/message"),
                settings(version),
            ]);
        }
        shown.to_string()
    }
}

pub(super) async fn model(args: ModelArgs, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    if let ModelVerb::Rollback { version } = args.verb
        && !models::roll_back(&ctx, version, &super::actor()).await?
    {
        anyhow::bail!(BadInput(format!("there is no model version {version}")));
    }
    env.printer.show(&Versions(models::list(&ctx).await?))
}
