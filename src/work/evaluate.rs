//! How well the model would have foretold the workspace's own history, beside the naive methods.
//!
//! Reads and folds; changes no model. What another process is folding at this moment is left out.

use std::sync::Arc;

use super::Ctx;
use super::learn::{self, LearnError, People};
use crate::learn::{Evaluation, Settings, evaluate};

/// Learns the older part of each person's history and judges by the newer `holdout` share of it.
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
    let contents = learn::contents(&ctx.store.contents().await?);
    let people = People::load(ctx).await?;
    let config = Arc::clone(&ctx.config);
    let judge = move || {
        let taught = people.taught(config.learn_from, config.time_zone);
        let settings = Settings::default();
        evaluate(&taught, &contents, &settings, holdout, as_of, learn::SEED, &mut progress)
    };
    let judged = tokio::task::spawn_blocking(judge).await.map_err(|_| LearnError::Panicked)?;
    judged.map_err(LearnError::Fit)
}
