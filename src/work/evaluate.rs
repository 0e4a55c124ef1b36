//! How well the model would have foretold the workspace's own history, beside the naive methods.
//!
//! Reads and folds; changes no model. What another process is folding at this moment is left out.

use super::Ctx;
use super::habits::{SEED, Taught, contents};
use super::learn::{self, LearnError};
use crate::learn::{Evaluation, Settings, evaluate};

/// The most people that methods are judged on: enough for intervals of a few thousandths.
const PEOPLE_MAX: usize = 20_000;

/// Learns the older part of the history and judges by the newer `holdout` share of it.
pub async fn run(
    ctx: &Ctx,
    holdout: f64,
    mut progress: impl FnMut(&str, f64) + Send + 'static,
) -> Result<Evaluation, LearnError> {
    progress("folding history", 0.0);
    match learn::catch_up(ctx).await {
        Ok(()) | Err(LearnError::Busy) => {}
        Err(error) => return Err(error),
    }
    let as_of = ctx.clock.now();
    let contents = contents(&ctx.store.read().await?.contents().await?);
    let taught = Taught::load(ctx, PEOPLE_MAX, as_of).await?;
    let zone = ctx.config.time_zone;
    let judge = move || {
        let people = taught.subjects(zone);
        let settings = Settings::default();
        evaluate(&people, &contents, &settings, holdout, as_of, SEED, &mut progress)
    };
    let judged = tokio::task::spawn_blocking(judge).await.map_err(|_| LearnError::Panicked)?;
    judged.map_err(LearnError::Fit)
}
