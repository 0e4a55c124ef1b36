//! A bulk request comes in: few rows in one transaction, each answered by itself.

use std::collections::BTreeMap;

use super::TRIES_MAX;
use super::chunk::{HistoryRows, Imported, LoadMode, Loader, Parsed, RowOutcome};
use crate::files::{Activity, BulkItem, Events, Messages, OptOuts, Recipients, RowError, item};
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
    /// Whom nobody must write to, as in `opt-outs.csv`.
    OptOuts,
}

/// Through what items come.
#[derive(Debug, Clone, Copy)]
pub(in crate::work) struct BulkSource {
    /// What proves consent that they tell of.
    pub(in crate::work) evidence: &'static str,
    /// Through what consent ends that they say has ended.
    pub(in crate::work) withdrawn_by: &'static str,
}

const API: BulkSource = BulkSource { evidence: "API", withdrawn_by: "import" };

/// Takes in items with the columns of a file as keys; what became of each, in their order, once all of
/// it is durable.
pub async fn items(
    ctx: &Ctx,
    kind: BulkKind,
    items: &[BulkItem],
    actor: &str,
) -> Result<Vec<RowOutcome>, StoreError> {
    items_from(ctx, kind, items, API, actor).await
}

/// As [`items`], from another source.
pub(in crate::work) async fn items_from(
    ctx: &Ctx,
    kind: BulkKind,
    items: &[BulkItem],
    source: BulkSource,
    actor: &str,
) -> Result<Vec<RowOutcome>, StoreError> {
    match kind {
        BulkKind::Recipients => of::<Recipients>(ctx, items, source, ("recipients", actor)).await,
        BulkKind::Messages => of::<Messages>(ctx, items, source, ("messages", actor)).await,
        BulkKind::Events => of::<Events>(ctx, items, source, ("events", actor)).await,
        BulkKind::OptOuts => of::<OptOuts>(ctx, items, source, ("opt-outs", actor)).await,
        BulkKind::Activity => of::<Activity>(ctx, items, source, ("activity", actor)).await,
    }
}

async fn of<F: HistoryRows>(
    ctx: &Ctx,
    items: &[BulkItem],
    source: BulkSource,
    (what, actor): (&str, &str),
) -> Result<Vec<RowOutcome>, StoreError> {
    let key = ctx.store.forgotten_key().await?;
    let (now, own_addresses) = (ctx.clock.now(), ctx.config.own_addresses());
    let own_addresses = own_addresses.as_slice();
    let row = |(index, given): (usize, &BulkItem)| {
        let line = index as u64;
        (line, item::<F>(given, now).map_err(|problem| RowError { line, problem }))
    };
    let rows: Parsed<F::Row> = items.iter().enumerate().map(row).collect();
    let mut tries = 1;
    let outcomes = loop {
        let mut imported = Imported { each: Some(BTreeMap::new()), ..Imported::default() };
        let BulkSource { evidence, withdrawn_by } = source;
        let now = ctx.clock.now();
        let loader = Loader { now, key: &key, own_addresses, evidence, withdrawn_by };
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
