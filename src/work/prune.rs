//! Retention: what is older than the settings keep is deleted, in batches that hold nobody up.

use chrono::TimeDelta;
use serde::Serialize;

use super::Ctx;
use crate::store::{Kept, StoreError};

/// Rows deleted in one transaction: a daemon beside waits for well under a second.
const BATCH_MAX: usize = 5_000;

/// What was too old of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Pruned {
    /// What it is.
    #[schema(value_type = String)]
    pub what: Kept,
    /// Rows that were deleted, or would be.
    pub rows: u64,
}

/// What was deleted, or would be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PruneSummary {
    /// Whether it was only counted.
    pub dry_run: bool,
    /// By kind; nothing where the settings keep everything.
    pub pruned: Vec<Pruned>,
}

/// Whether it is done or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing changes.
    DryRun,
    /// It is deleted.
    Delete,
}

/// Deletes what the settings no longer keep; says what, for every kind that has a bound.
pub async fn run(ctx: &Ctx, mode: Mode) -> Result<Vec<Pruned>, StoreError> {
    let kept = ctx.config.retention;
    let bounds = [
        (Kept::Messages, kept.history),
        (Kept::Activity, kept.history),
        (Kept::Campaigns, kept.campaigns),
        (Kept::Inbound, kept.inbound),
        (Kept::Replies, kept.replies),
        (Kept::Audit, kept.audit),
    ];
    let mut pruned = Vec::new();
    for (what, span) in bounds {
        let Some(span) = span.and_then(|span| TimeDelta::from_std(span).ok()) else { continue };
        let Some(before) = ctx.clock.now().checked_sub_signed(span) else { continue };
        let mut rows = 0;
        if mode == Mode::DryRun {
            rows = ctx.store.read().await?.count_before(what, before).await?;
        } else {
            loop {
                let mut tx = ctx.store.begin().await?;
                let batch = tx.prune(what, before, BATCH_MAX).await?;
                tx.commit().await?;
                rows += batch;
                if batch < BATCH_MAX as u64 {
                    break;
                }
            }
        }
        pruned.push(Pruned { what, rows });
    }
    Ok(pruned)
}
