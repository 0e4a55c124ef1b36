//! Background tasks go on after errors and panics, and hold up no other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use opportune::clock::Clock;
use opportune::config::Config;
use opportune::daemon::supervise::{StepError, Supervisor, Task, Terms, log_panics};
use opportune::model::time::Instant as Moment;
use opportune::store::{Create, Store};
use opportune::work::Ctx;
use opportune::work::tasks::{Patience, Tasks};
use tokio::sync::watch;

use crate::support;

async fn ctx_in(dir: &tempfile::TempDir) -> Ctx {
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    let store = Store::open(&url, Create::IfMissing).await.unwrap();
    support::ctx(store, Config::parse("", Path::new("x")).unwrap(), Clock::system())
}

/// Panics, fails, and goes well, in turn.
struct Unsteady(Ctx, Arc<AtomicU32>);

impl Task for Unsteady {
    async fn step(&mut self) -> Result<Moment, StepError> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("+5511999990000 is a secret"),
            1 => Err(StepError::new("could not do it")),
            _ => Ok(self.0.clock.now() + TimeDelta::milliseconds(10)),
        }
    }
}

struct Steady(Ctx, Arc<AtomicU32>);

impl Task for Steady {
    async fn step(&mut self) -> Result<Moment, StepError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clock.now() + TimeDelta::milliseconds(10))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_after_a_panic_and_an_error_and_holds_up_no_other() {
    log_panics();
    let dir = tempfile::TempDir::new().unwrap();
    let ctx = ctx_in(&dir).await;
    let (stopper, stop) = watch::channel(false);
    let tasks = Tasks::default();
    let mut supervisor = Supervisor::new(ctx.clone(), tasks.clone(), stop);
    let patience = Patience { failing: TimeDelta::seconds(1), step: TimeDelta::minutes(1) };
    let terms = Terms { patience, backoff_max: TimeDelta::milliseconds(900) };
    let [unsteady, steady] = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    supervisor.start("unsteady", terms, Unsteady(ctx.clone(), Arc::clone(&unsteady)));
    supervisor.start("steady", terms, Steady(ctx.clone(), Arc::clone(&steady)));
    let row = |name: &str| tasks.rows().into_iter().find(|(row, _)| row.name == name).unwrap();
    while row("unsteady").0.failures == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (failed, _) = row("unsteady");
    assert_eq!((failed.runs, failed.failures, failed.panics), (2, 1, 1));
    assert_eq!(failed.last_result.as_deref(), Some("failed"));
    assert_eq!(failed.last_error.as_deref(), Some("could not do it"));
    assert!(steady.load(Ordering::SeqCst) > 3, "the other waited");
    assert_eq!(tasks.problems(ctx.clock.now()), Vec::<String>::new());
    let told = tasks.problems(ctx.clock.now() + TimeDelta::seconds(5)).join(" ");
    assert!(told.contains("task unsteady has been failing"), "{told}");
    while row("unsteady").0.last_succeeded_at.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(row("unsteady").0.last_result.as_deref(), Some("ok"));
    stopper.send_replace(true);
    supervisor.join().await;
    assert_eq!(tasks.problems(ctx.clock.now() + TimeDelta::hours(9)), Vec::<String>::new());
}
