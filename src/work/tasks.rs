//! What the background tasks of this daemon did last, for `status`, metrics and readiness.
//!
//! Kept in memory, which answers while the database does not, and written to the database every few
//! seconds, where every node and command finds it. An error is kept as the names of what was tried;
//! none of them holds an address or a text of a message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use super::Ctx;
use crate::model::time::Instant;
use crate::store::{StoreError, TaskRow};

/// What a daemon wrote that was not seen for so long is dropped.
const GONE_AFTER: TimeDelta = TimeDelta::hours(1);
/// The longest error that is kept.
const ERROR_MAX: usize = 500;

/// How long a task may be without success before the daemon is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While its steps fail.
    pub failing: TimeDelta,
    /// While one step goes on.
    pub step: TimeDelta,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// Well.
    Ok,
    /// With an error.
    Failed(&'a str),
    /// With a panic, at this place of the source.
    Panicked(&'a str),
}

/// The tasks of one daemon.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Mutex<BTreeMap<String, Task>>>);

#[derive(Debug)]
struct Task {
    patience: Patience,
    row: TaskRow,
    /// Since when a step has been going on.
    running_since: Option<Instant>,
    /// When the first step failed after the last that ended well.
    failing_since: Option<Instant>,
}

impl Tasks {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Task>) -> T) -> T {
        // rows are whole after every change, whoever panicked beside them
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a task known.
    pub fn register(&self, ctx: &Ctx, name: &str, patience: Patience) {
        let row = TaskRow {
            name: name.to_owned(),
            node: ctx.node.to_string(),
            last_started_at: None,
            last_succeeded_at: None,
            last_duration_ms: None,
            last_result: None,
            last_error: None,
            runs: 0,
            failures: 0,
            panics: 0,
            seen_at: ctx.clock.now(),
        };
        let task = Task { patience, row, running_since: None, failing_since: None };
        self.with(|tasks| tasks.insert(name.to_owned(), task));
    }

    /// Notes that a step begins.
    pub fn began(&self, name: &str, at: Instant) {
        self.with(|tasks| {
            if let Some(task) = tasks.get_mut(name) {
                task.row.last_started_at = Some(at);
                task.running_since = Some(at);
            }
        });
    }

    /// Notes how a step ended.
    pub fn ended(&self, name: &str, at: Instant, took: Duration, how: Ended<'_>) {
        self.with(|tasks| {
            let Some(task) = tasks.get_mut(name) else { return };
            task.running_since = None;
            let row = &mut task.row;
            row.runs += 1;
            row.last_duration_ms = Some(took.as_millis() as u64);
            let (result, error) = match how {
                Ended::Ok => ("ok", None),
                Ended::Failed(error) => ("failed", Some(error.to_owned())),
                Ended::Panicked(place) => ("panicked", Some(format!("it panicked at {place}"))),
            };
            row.last_result = Some(result.to_owned());
            row.failures += u64::from(matches!(how, Ended::Failed(_)));
            row.panics += u64::from(matches!(how, Ended::Panicked(_)));
            if let Some(mut error) = error {
                error.truncate(error.floor_char_boundary(ERROR_MAX));
                row.last_error = Some(error);
                task.failing_since.get_or_insert(at);
            } else {
                row.last_succeeded_at = Some(at);
                task.failing_since = None;
            }
        });
    }

    /// Every task, with whether a step of it goes on.
    pub fn rows(&self) -> Vec<(TaskRow, bool)> {
        let row = |task: &Task| (task.row.clone(), task.running_since.is_some());
        self.with(|tasks| tasks.values().map(row).collect())
    }

    /// Whether a step has been going on for longer than steps take: a new start would help, where an error
    /// is tried again by itself.
    pub fn hang(&self, now: Instant) -> bool {
        let hangs =
            |task: &Task| task.running_since.is_some_and(|since| now - since > task.patience.step);
        self.with(|tasks| tasks.values().any(hangs))
    }

    /// What keeps the daemon from being ready, in words; empty when nothing does.
    pub fn problems(&self, now: Instant) -> Vec<String> {
        let problem = |(name, task): (&String, &Task)| {
            let since = |since: Instant, most: TimeDelta| {
                Some((now - since).num_seconds()).filter(|_| now - since > most)
            };
            let (failing, running) = (task.failing_since, task.running_since);
            if let Some(seconds) = failing.and_then(|at| since(at, task.patience.failing)) {
                let why = task.row.last_error.as_deref().unwrap_or_default();
                return Some(format!("task {name} has been failing for {seconds} s: {why}"));
            }
            let seconds = running.and_then(|at| since(at, task.patience.step))?;
            Some(format!("a step of task {name} has been going on for {seconds} s"))
        };
        self.with(|tasks| tasks.iter().filter_map(problem).collect())
    }
}

/// Writes how the tasks stand, and drops what daemons wrote that are gone.
pub async fn save(ctx: &Ctx, tasks: &Tasks) -> Result<(), StoreError> {
    let now = ctx.clock.now();
    let rows = tasks.rows().into_iter().map(|(row, _)| TaskRow { seen_at: now, ..row });
    let rows: Vec<TaskRow> = rows.collect();
    let mut tx = ctx.store.begin().await?;
    tx.put_tasks(&rows, now - GONE_AFTER).await?;
    tx.commit().await
}

/// Drops what this daemon wrote, at its end.
pub async fn withdraw(ctx: &Ctx) -> Result<(), StoreError> {
    let mut tx = ctx.store.begin().await?;
    tx.drop_tasks(&ctx.node).await?;
    tx.commit().await
}
