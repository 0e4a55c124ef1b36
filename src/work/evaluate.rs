//! How well the model would have foretold the workspace's own history, beside the naive methods.
//!
//! Reads and folds; changes no model. What another process is folding at this moment is left out.

use tokio::sync::Mutex;

use super::Ctx;
use super::habits::{SEED, Taught, contents};
use super::learn::{self, LearnError};
pub use crate::learn::Evaluation;
use crate::learn::{Settings, evaluate};

/// Outside these shares, one of the two parts teaches or judges nothing.
pub const HOLDOUT: std::ops::RangeInclusive<f64> = 0.05..=0.9;
/// The share that is held out unless another is asked for.
pub const HOLDOUT_UNSET: f64 = 0.3;

/// The most people that methods are judged on: enough for intervals of a few thousandths.
const PEOPLE_MAX: usize = 20_000;

/// The last evaluation, while the model in use is the same.
#[derive(Default)]
pub struct LastEvaluation(Mutex<Option<(Option<i64>, Evaluation)>>);

impl LastEvaluation {
    /// Evaluates, where the last one was of another model or another share. One runs at a time.
    pub async fn of_model_in_use(&self, ctx: &Ctx, holdout: f64) -> Result<Evaluation, LearnError> {
        let mut last = self.0.lock().await;
        let version = ctx.store.read().await?.active_version().await?;
        if let Some((of, evaluation)) = &*last
            && *of == version
            && evaluation.holdout.to_bits() == holdout.to_bits()
        {
            return Ok(evaluation.clone());
        }
        let evaluation = run(ctx, holdout, |_, _| ()).await?;
        *last = Some((version, evaluation.clone()));
        Ok(evaluation)
    }
}

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
