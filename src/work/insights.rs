//! What a marketer should know of the population, in plain words, computed, with sizes and ranges.

use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;

use super::Ctx;
use super::habits::{ActiveModel, Taught};
use super::learn::LearnError;
pub use crate::learn::Insight;
use crate::learn::insights;

/// The most people that insights are computed from: beyond, intervals hardly narrow.
const PEOPLE_MAX: usize = 100_000;

/// The version of the model, and its insights.
type Computed = (Option<i64>, Arc<[Insight]>);

/// The insights of the model in use, computed once for each version of it.
#[derive(Default)]
pub struct Cached {
    last: Arc<std::sync::Mutex<Option<Computed>>>,
    /// Whose turn it is to compute.
    turn: Arc<Mutex<()>>,
}

impl Cached {
    /// What was computed last, which may be of an earlier version.
    pub fn last(&self) -> Option<Arc<[Insight]>> {
        self.computed().map(|(_, insights)| insights)
    }

    fn computed(&self) -> Option<Computed> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Computes them, where that was not done before: to their end, whether or not somebody waits.
    pub async fn of_model_in_use(&self, ctx: &Ctx) -> Result<Arc<[Insight]>, LearnError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let version = ctx.store.read().await?.active_version().await?;
        if let Some((_, insights)) = self.computed().filter(|(of, _)| *of == version) {
            return Ok(insights);
        }
        let (ctx, last) = (ctx.clone(), Arc::clone(&self.last));
        let compute = async move {
            let insights: Arc<[Insight]> = run(&ctx).await?.into();
            let computed = Some((version, Arc::clone(&insights)));
            *last.lock().unwrap_or_else(PoisonError::into_inner) = computed;
            drop(turn);
            Ok(insights)
        };
        tokio::spawn(compute).await.map_err(|_| LearnError::Panicked)?
    }
}

/// Computes what is sure, and what is not, in the light of the model in use.
pub async fn run(ctx: &Ctx) -> Result<Vec<Insight>, LearnError> {
    let Some(in_use) = ActiveModel::find(ctx).await? else { return Ok(Vec::new()) };
    let taught = Taught::load(ctx, PEOPLE_MAX, in_use.as_of).await?;
    let zone = ctx.config.time_zone;
    let compute = move || {
        let subjects = taught.subjects(zone);
        insights(&in_use.model, &subjects, in_use.as_of)
    };
    tokio::task::spawn_blocking(compute).await.map_err(|_| LearnError::Panicked)
}
