//! What background tasks did last: a row a task and daemon, written by the daemon itself.

use serde::Serialize;

use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, run};
use crate::model::ids::NodeId;
use crate::model::time::Instant;

const PUT: &str = "INSERT INTO background_task (name, node, last_started_at, last_succeeded_at,
        last_duration_ms, last_result, last_error, runs, failures, panics, seen_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (name, node) DO UPDATE SET last_started_at = excluded.last_started_at,
        last_succeeded_at = excluded.last_succeeded_at,
        last_duration_ms = excluded.last_duration_ms, last_result = excluded.last_result,
        last_error = excluded.last_error, runs = excluded.runs, failures = excluded.failures,
        panics = excluded.panics, seen_at = excluded.seen_at";

/// More than any number of daemons at work has.
const ROWS_MAX: i64 = 1000;

/// A background task as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TaskRow {
    /// What it does, and for which provider: `send:shop:1`.
    pub name: String,
    /// The daemon that it runs in.
    pub node: String,
    /// When its last step began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_started_at: Option<Instant>,
    /// When a step last ended well.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_succeeded_at: Option<Instant>,
    /// How long the last step took that ended.
    pub last_duration_ms: Option<u64>,
    /// `ok`, `failed` or `panicked`.
    pub last_result: Option<String>,
    /// Why the last step failed that did; no address and no text of a message is in it.
    pub last_error: Option<String>,
    /// Steps that ended since the daemon started.
    pub runs: u64,
    /// Of them failed, panics not counted.
    pub failures: u64,
    /// Of them ended by a panic.
    pub panics: u64,
    /// When the daemon last wrote this.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Instant,
}

from_row! {
    struct Row {
        name: String,
        node: String,
        last_started_at: Option<i64>,
        last_succeeded_at: Option<i64>,
        last_duration_ms: Option<i64>,
        last_result: Option<String>,
        last_error: Option<String>,
        runs: i64,
        failures: i64,
        panics: i64,
        seen_at: i64,
    }
}

impl Reader {
    /// Every background task of every daemon, by name.
    pub async fn tasks(&mut self) -> Result<Vec<TaskRow>, StoreError> {
        const SQL: &str = "SELECT name, node, last_result, last_error, last_started_at,
                last_succeeded_at, last_duration_ms, runs, failures, panics, seen_at
            FROM background_task ORDER BY name, node LIMIT $1";
        let rows: Vec<Row> = on!(self, |db| sqlx::query_as(SQL).bind(ROWS_MAX).fetch_all(db).await)
            .doing("read what background tasks did")?;
        let at = |micros: Option<i64>| micros.map(|at| instant("background_task", at)).transpose();
        let row = |row: Row| {
            Ok(TaskRow {
                name: row.name,
                node: row.node,
                last_started_at: at(row.last_started_at)?,
                last_succeeded_at: at(row.last_succeeded_at)?,
                last_duration_ms: row.last_duration_ms.map(|ms| ms as u64),
                last_result: row.last_result,
                last_error: row.last_error,
                runs: row.runs as u64,
                failures: row.failures as u64,
                panics: row.panics as u64,
                seen_at: instant("background_task", row.seen_at)?,
            })
        };
        rows.into_iter().map(row).collect()
    }
}

impl Tx {
    /// Writes how a daemon's tasks stand, and drops what daemons wrote that were last seen before
    /// `gone_before`.
    pub async fn put_tasks(
        &mut self,
        rows: &[TaskRow],
        gone_before: Instant,
    ) -> Result<(), StoreError> {
        const PRUNE: &str = "DELETE FROM background_task WHERE seen_at < $1";
        let doing = "write what background tasks did";
        for row in rows {
            run!(
                self,
                PUT,
                row.name.as_str(),
                row.node.as_str(),
                row.last_started_at.map(micros),
                row.last_succeeded_at.map(micros),
                row.last_duration_ms.map(|ms| ms as i64),
                row.last_result.as_deref(),
                row.last_error.as_deref(),
                row.runs as i64,
                row.failures as i64,
                row.panics as i64,
                micros(row.seen_at)
            )
            .doing(doing)?;
        }
        run!(self, PRUNE, micros(gone_before)).doing(doing)?;
        Ok(())
    }

    /// Drops the rows of a daemon that ends.
    pub async fn drop_tasks(&mut self, node: &NodeId) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM background_task WHERE node = $1";
        run!(self, SQL, node.as_str()).doing("drop what background tasks did")?;
        Ok(())
    }
}
