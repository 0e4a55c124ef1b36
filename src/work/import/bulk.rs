//! A bulk request comes in: few rows in one transaction, each answered by itself.

use std::collections::BTreeMap;

use super::TRIES_MAX;
use super::chunk::{HistoryRows, Imported, LoadMode, Loader, Parsed, RowOutcome};
use crate::files::{Activity, BulkItem, Events, Messages, Recipients, RowError, item};
use crate::store::{AuditEntry, StoreError};
use crate::work::Ctx;

/// The most items of a request.
pub const ITEMS_MAX: usize = 1000;

/// What a bulk request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkKind {
    /// People, as in `recipients.csv`.
    Recipients,
    /// Messages of the past, as in `messages.csv`.
    Messages,
    /// Signs of presence, as in `activity.csv`.
    Activity,
    /// What happens to people, as in `events.csv`.
    Events,
}

/// Takes in items with the columns of a file as keys; what became of each, in their order, once all of
/// it is durable.
pub async fn items(
    ctx: &Ctx,
    kind: BulkKind,
    items: &[BulkItem],
    actor: &str,
) -> Result<Vec<RowOutcome>, StoreError> {
    match kind {
        BulkKind::Recipients => of::<Recipients>(ctx, items, "recipients", actor).await,
        BulkKind::Messages => of::<Messages>(ctx, items, "messages", actor).await,
        BulkKind::Events => of::<Events>(ctx, items, "events", actor).await,
        BulkKind::Activity => of::<Activity>(ctx, items, "activity", actor).await,
    }
}

async fn of<F: HistoryRows>(
    ctx: &Ctx,
    items: &[BulkItem],
    what: &str,
    actor: &str,
) -> Result<Vec<RowOutcome>, StoreError> {
    let key = ctx.store.forgotten_key().await?;
    let now = ctx.clock.now();
    let row = |(index, given): (usize, &BulkItem)| {
        let line = index as u64;
        (line, item::<F>(given, now).map_err(|problem| RowError { line, problem }))
    };
    let rows: Parsed<F::Row> = items.iter().enumerate().map(row).collect();
    let mut tries = 1;
    let outcomes = loop {
        let mut imported = Imported { each: Some(BTreeMap::new()), ..Imported::default() };
        let loader = Loader { now: ctx.clock.now(), key: &key, evidence: "API" };
        let deed = AuditEntry {
            at: loader.now,
            actor: actor.to_owned(),
            action: format!("import {what}"),
            subject: format!("{} items", rows.len()),
            detail: String::new(),
        };
        let load = LoadMode::KeepAndNote(&deed);
        match loader.load::<F>(&ctx.store, &rows, load, &mut imported).await {
            Ok(()) => break imported.each.unwrap_or_default(),
            Err(error) if error.is_conflict() && tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    };
    Ok(outcomes.into_values().collect())
}
