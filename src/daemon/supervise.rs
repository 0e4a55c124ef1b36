//! One supervisor for every background task: it runs a task's steps one after the other, notes when
//! each began and how it ended, and goes on after an error or a panic.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Instant as Stopwatch;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::time::Instant;
use crate::store::StoreError;
use crate::work::Ctx;
use crate::work::forward::ForwardError;
use crate::work::learn::LearnError;
use crate::work::plan::PlanError;
use crate::work::tasks::{Ended, Patience, Tasks};

/// After the first failure in a row; each further one doubles it.
const BACKOFF: TimeDelta = TimeDelta::seconds(1);

thread_local! {
    /// Where this thread panicked last, from the hook to whoever catches it.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A background task.
pub trait Task: Send + 'static {
    /// Returns when there is something to do.
    fn wait(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Does it; returns when the next step may begin.
    fn step(&mut self) -> impl Future<Output = Result<Instant, StepError>> + Send;
}

/// Why a step failed, in words that hold neither address nor text of a message.
#[derive(Debug)]
pub struct StepError(String);

impl StepError {
    /// Holds the words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self(error.outline())
    }
}

impl From<LearnError> for StepError {
    fn from(error: LearnError) -> Self {
        Self(error.outline())
    }
}

impl From<PlanError> for StepError {
    fn from(error: PlanError) -> Self {
        Self(error.outline())
    }
}

impl From<ForwardError> for StepError {
    fn from(error: ForwardError) -> Self {
        match error {
            ForwardError::Store(error) => error.into(),
            ForwardError::Secret { ref cause, .. } => Self(format!("{error}: {cause}")),
        }
    }
}

/// How a task is watched.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// When its lack of success is told.
    pub patience: Patience,
    /// The longest wait between a failure and the next step.
    pub backoff_max: TimeDelta,
}

/// Runs tasks until it is told to stop.
pub struct Supervisor {
    ctx: Ctx,
    tasks: Tasks,
    stop: watch::Receiver<bool>,
    running: JoinSet<()>,
}

impl Supervisor {
    /// Runs nothing yet; what its tasks do is noted in `tasks`.
    pub fn new(ctx: Ctx, tasks: Tasks, stop: watch::Receiver<bool>) -> Self {
        Self { ctx, tasks, stop, running: JoinSet::new() }
    }

    /// Starts a task.
    pub fn start(&mut self, name: impl Into<String>, terms: Terms, task: impl Task) {
        let name = name.into();
        self.tasks.register(&self.ctx, &name, terms.patience);
        let (ctx, tasks, stop) = (self.ctx.clone(), self.tasks.clone(), self.stop.clone());
        self.running.spawn(run(ctx, tasks, stop, name, terms, task));
    }

    /// Returns once every task has finished the step that it was at.
    pub async fn join(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

async fn run(
    ctx: Ctx,
    tasks: Tasks,
    mut stop: watch::Receiver<bool>,
    name: String,
    terms: Terms,
    mut task: impl Task,
) {
    let mut failures = 0;
    while !*stop.borrow() {
        tokio::select! {
            () = task.wait() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let stopwatch = Stopwatch::now();
        tasks.began(&name, ctx.clock.now());
        let ended = AssertUnwindSafe(task.step()).catch_unwind().await;
        let (now, took) = (ctx.clock.now(), stopwatch.elapsed());
        let next = match ended {
            Ok(Ok(next)) => {
                tasks.ended(&name, now, took, Ended::Ok);
                failures = 0;
                next
            }
            Ok(Err(StepError(error))) => {
                tasks.ended(&name, now, took, Ended::Failed(&error));
                failures += 1;
                let next = now + backoff(failures, terms.backoff_max);
                tracing::error!(task = name, error, failures, "a step failed; trying again");
                next
            }
            Err(panic) => {
                let place = place_of(panic);
                tasks.ended(&name, now, took, Ended::Panicked(&place));
                failures += 1;
                tracing::error!(task = name, place, failures, "a step panicked; starting again");
                now + backoff(failures, terms.backoff_max)
            }
        };
        tokio::select! {
            () = ctx.clock.sleep_until(next) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// 1 s, 2 s, 4 s, and so on to `most`.
fn backoff(failures: u32, most: TimeDelta) -> TimeDelta {
    let doubled = BACKOFF * 2_i32.pow((failures - 1).min(20));
    doubled.min(most)
}

/// Logs where the program panicked, without the panic's message: it may quote what is worked on.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
        PANICKED_AT.with_borrow_mut(|at| *at = Some(place));
    }));
}

fn place_of(panic: Box<dyn Any + Send>) -> String {
    // a payload whose own end panics must not end the task
    std::mem::forget(panic);
    PANICKED_AT.with_borrow_mut(Option::take).unwrap_or_else(|| "an unknown place".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_panic_is_told_by_its_place_and_never_by_its_message() {
        log_panics();
        let caught = std::panic::catch_unwind(|| panic!("+5511999990000")).unwrap_err();
        let place = place_of(caught);
        assert!(place.starts_with("src/daemon/supervise.rs:"), "{place}");
    }

    #[test]
    fn the_wait_after_failures_doubles_to_a_bound() {
        let most = TimeDelta::seconds(10);
        let waits: Vec<i64> = (1..7).map(|n| backoff(n, most).num_seconds()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff(u32::MAX, most), most);
    }
}
