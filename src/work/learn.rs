//! History becomes preferences: what is new is folded into everybody's evidence, then the
//! population is fitted, as deeply as is asked for.
//!
//! The evidence of each person is folded forward; the population is always fitted to a sample of it
//! from the beginning, so that no fit depends on the one before but through its settings. Settings
//! are costly to choose, and are kept until much is new or until they foretell less than they did.
//! Nothing here stops a delivery: a fit that fails leaves the version in use as it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(super) use super::fold::Folded;
use super::fold::fold;
pub use super::habits::{ActiveModel, People, subject};
use super::habits::{Taught, contents};
use super::leadership::lead;
use super::{Ctx, holdout};
use crate::learn::{self, Drift, FitError, Model, Settings, Tuning, drift};
use crate::model::time::Instant;
use crate::store::{StoreError, Term};

const LEASE_NAME: &str = "learn";
/// Settings are chosen anew when so large a share of all observations is new since they were.
const NEW_SHARE: f64 = 0.05;

/// How much a learning step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Between nights: folds, and moves the chances of answers by what came back since the fit.
    Refresh,
    /// Every night: folds, and fits. Settings are kept while less than a twentieth of the
    /// observations is new since they were chosen, and while they foretell as well as then.
    Fit,
    /// Starts over: reads the whole history again, and chooses settings.
    Full,
    /// Reads the whole history again, and keeps the settings in use.
    FullAtSettings,
}

/// What a learning step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitOutcome {
    /// Nothing was new enough to make a version of.
    Unchanged,
    /// The responses of the fit in use were moved.
    Refreshed,
    /// The population was fitted at the settings that were in use.
    Fitted,
    /// Settings were chosen, and the population was fitted.
    Tuned,
}

/// What a learning step did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Learned {
    /// The version that is in use now.
    pub version: i64,
    /// What it came to.
    pub outcome: FitOutcome,
    /// Nothing later taught it.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Instant,
    /// Messages that were new or changed.
    pub messages: u64,
    /// Signs of presence that were new.
    pub activities: u64,
    /// People whose evidence was touched.
    pub people: u64,
    /// What it was learned from and what came of it.
    #[schema(value_type = Object)]
    pub summary: FitSummary,
}

/// What is kept of a version beside its parameters.
#[derive(Debug, Clone, Serialize)]
pub struct FitSummary {
    /// What it came to.
    pub outcome: FitOutcome,
    /// How much there was to learn from, and from when to when.
    pub data: learn::DataSummary,
    /// The settings that were chosen, and figures of the population.
    pub settings: serde_json::Value,
    /// When the settings were chosen, and on what.
    pub tuned: learn::Tuned,
    /// Messages and signs that were new or changed since the settings were chosen.
    pub new_since_tuned: u64,
    /// How well it foretold what it had not seen.
    pub held_out: learn::HeldOut,
    /// Names and shares of the chronotypes.
    pub chronotypes: Vec<(String, f64)>,
    /// Whether habits moved lately.
    pub drift: Drift,
}

/// The part of an earlier version's summary that the next one builds on.
#[derive(Deserialize)]
struct Earlier {
    outcome: FitOutcome,
    new_since_tuned: u64,
}

/// Why learning ended without a new version. The one in use stays.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process is learning.
    #[error("another process is learning in this database")]
    Busy,
    /// The fit failed; the last good version stays in use.
    #[error("the fit failed; the last good version stays in use")]
    Fit(#[source] FitError),
    /// The fit's thread ended without a word.
    #[error("the fit stopped unexpectedly; the last good version stays in use")]
    Panicked,
}

impl LearnError {
    /// What went wrong, for logs and `status`: nothing that is stored.
    pub fn outline(&self) -> String {
        match self {
            Self::Store(error) => error.outline(),
            Self::Fit(cause) => format!("{self}: {cause}"),
            error => error.to_string(),
        }
    }
}

/// Folds what is new and fits the population as of `as_of` (now, if absent).
pub async fn run(
    ctx: &Ctx,
    as_of: Option<Instant>,
    depth: Depth,
    mut progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Learned, LearnError> {
    let now = ctx.clock.now();
    let learn = async |term: Term| {
        progress("folding history", 0.0);
        let starts_over = matches!(depth, Depth::Full | Depth::FullAtSettings);
        let folded = Box::pin(fold(ctx, &term, now, starts_over)).await?;
        teach(ctx, &term, now, as_of.unwrap_or(now), depth, folded, progress).await
    };
    lead(ctx, LEASE_NAME, learn).await?.ok_or(LearnError::Busy)
}

/// Folds what is new, and no more.
pub(super) async fn catch_up(ctx: &Ctx) -> Result<(), LearnError> {
    let now = ctx.clock.now();
    let catch_up = async |term: Term| Box::pin(fold(ctx, &term, now, false)).await;
    let folded = lead(ctx, LEASE_NAME, catch_up);
    folded.await?.map(drop).ok_or(LearnError::Busy)
}

/// Makes a version of what the evidence teaches, and puts it in use.
async fn teach(
    ctx: &Ctx,
    term: &Term,
    now: Instant,
    as_of: Instant,
    depth: Depth,
    folded: Folded,
    mut progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Learned, LearnError> {
    let settings = Settings::default();
    let contents = contents(&ctx.store.read().await?.contents().await?);
    let taught = Taught::load(ctx, settings.sample_max, as_of).await?;
    let last = ActiveModel::find(ctx).await?;
    let earlier = earlier(ctx, last.as_ref()).await?;
    let new = earlier.as_ref().map_or(0, |earlier| earlier.new_since_tuned)
        + folded.messages
        + folded.activities;
    let much_is_new = new as f64 > NEW_SHARE * taught.sample.data().observations() as f64;
    let zone = ctx.config.time_zone;
    let trial = if depth == Depth::Refresh { None } else { holdout::trial(ctx, as_of).await? };
    let model_in_use = last.as_ref().map(|last| Arc::clone(&last.model));
    let fit = move || {
        let subjects = taught.subjects(zone);
        let sample = &taught.sample;
        let model = match (depth, model_in_use.as_deref()) {
            (Depth::Refresh, Some(last)) => sample.refresh(last, &subjects),
            (_, last) => {
                let tuning = match (depth, last) {
                    (Depth::FullAtSettings, Some(last)) => Tuning::Hold(last),
                    // settings that were chosen later know what is still to come
                    (Depth::Fit, Some(last)) if !much_is_new && last.tuned().as_of <= as_of => {
                        Tuning::Trust(last)
                    }
                    _ => Tuning::Choose,
                };
                sample.fit(&subjects, &contents, &settings, tuning, &mut progress)
            }
        }?;
        let model = match &trial {
            Some((trial, people)) => model.with_uplift(*trial, people, &subjects),
            None => model,
        };
        let drift = drift(&model, &subjects, as_of);
        Ok((model, drift))
    };
    let fitted = tokio::task::spawn_blocking(fit).await.map_err(|_| LearnError::Panicked)?;
    let (model, drift) = fitted.map_err(LearnError::Fit)?;

    let outcome = match (depth, &last) {
        (Depth::Refresh, Some(_)) if folded.messages + folded.activities == 0 => {
            FitOutcome::Unchanged
        }
        (Depth::Refresh, Some(_)) => FitOutcome::Refreshed,
        (_, Some(last)) if last.model.tuned() == model.tuned() => FitOutcome::Fitted,
        _ => FitOutcome::Tuned,
    };
    let new_since_tuned = if outcome == FitOutcome::Tuned { 0 } else { new };
    let summary = summary(&model, outcome, new_since_tuned, drift);
    let version = match last.and_then(|last| last.version) {
        Some(version) if outcome == FitOutcome::Unchanged => version,
        version => {
            // of the refreshed versions of one fit, the newest is enough
            let earlier = earlier.filter(|earlier| earlier.outcome == FitOutcome::Refreshed);
            let stale = version.filter(|_| earlier.is_some() && outcome == FitOutcome::Refreshed);
            keep(ctx, term, now, as_of, &summary, &model, stale).await?
        }
    };
    let Folded { messages, activities, people } = folded;
    Ok(Learned { version, outcome, as_of, messages, activities, people, summary })
}

/// What the version in use built on.
async fn earlier(ctx: &Ctx, last: Option<&ActiveModel>) -> Result<Option<Earlier>, LearnError> {
    let Some(version) = last.and_then(|last| last.version) else { return Ok(None) };
    let row =
        ctx.store.read().await?.models().await?.into_iter().find(|row| row.version == version);
    Ok(row.and_then(|row| serde_json::from_str(&row.summary).ok()))
}

/// Stores a version and puts it in use; `stale` is dropped for it.
async fn keep(
    ctx: &Ctx,
    term: &Term,
    now: Instant,
    as_of: Instant,
    summary: &FitSummary,
    model: &Model,
    stale: Option<i64>,
) -> Result<i64, LearnError> {
    let json = |text: serde_json::Result<String>| text.map_err(|_| LearnError::Panicked);
    let summary = json(serde_json::to_string(summary))?;
    let parameters = json(serde_json::to_string(model))?;
    let mut tx = ctx.store.begin().await?;
    tx.hold_term(term).await?;
    let version = tx.add_model(now, as_of, &summary, &parameters).await?;
    if let Some(stale) = stale {
        tx.drop_model(stale).await?;
    }
    tx.commit().await?;
    Ok(version)
}

fn summary(model: &Model, outcome: FitOutcome, new_since_tuned: u64, drift: Drift) -> FitSummary {
    let chronotypes = model.chronotypes();
    FitSummary {
        outcome,
        data: *model.data(),
        settings: serde_json::from_str(&model.describe()).unwrap_or_default(),
        tuned: *model.tuned(),
        new_since_tuned,
        held_out: *model.held_out(),
        chronotypes: chronotypes
            .into_iter()
            .map(|(name, share)| (name.to_owned(), share))
            .collect(),
        drift,
    }
}
