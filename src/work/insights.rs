//! What a marketer should know of the population, in plain words, computed, with sizes and ranges.

use std::sync::Arc;

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
pub struct Cached(Arc<Mutex<Option<Computed>>>);

impl Cached {
    /// Computes them, where that was not done before.
    pub async fn of_model_in_use(&self, ctx: &Ctx) -> Result<Arc<[Insight]>, LearnError> {
        let mut cached = Arc::clone(&self.0).lock_owned().await;
        let version = ctx.store.read().await?.active_version().await?;
        if let Some((of, insights)) = &*cached
            && *of == version
        {
            return Ok(Arc::clone(insights));
        }
        // to its end, whether or not somebody still waits
        let ctx = ctx.clone();
        let compute = async move {
            let insights: Arc<[Insight]> = run(&ctx).await?.into();
            *cached = Some((version, Arc::clone(&insights)));
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
