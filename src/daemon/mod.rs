//! The background service: cron triggers, signals, the supervised tasks, and the listener.
//!
//! SIGTERM and SIGINT stop softly: no new claims and no new calls, calls in flight finish, the
//! listener answers what it has begun. After [`CUT_AFTER`] calls to providers are cut off and count
//! as in doubt, so that what was claimed is settled or given back. After [`STOP_AFTER`] the daemon
//! ends, whatever hangs: what could not be settled is in doubt once its lease ends. A second signal
//! stops at once.
//!
//! [`CUT_AFTER`]: self::CUT_AFTER
//! [`STOP_AFTER`]: self::STOP_AFTER

mod cron;
mod loops;
mod service_manager;
pub mod supervise;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use self::cron::CronError;
use self::cron::{Cron, Triggers};
use self::supervise::Supervisor;
use crate::provider::{Meter, interruptible};
use crate::web::{self, ListenError};
use crate::work::Ctx;
use crate::work::clocks::ZoneTables;
use crate::work::tasks::{self, Tasks};

/// How long calls in flight may take once the daemon stops.
pub const CUT_AFTER: Duration = Duration::from_secs(8);
/// How long everything may take once the daemon stops.
pub const STOP_AFTER: Duration = Duration::from_secs(12);
/// How long the rows of this daemon's tasks may take to be dropped.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why the daemon could not start or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The listener could not be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener ended by itself.
    #[error("the listener ended unexpectedly")]
    ListenerEnded,
    /// A cron expression cannot be used.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// Signals cannot be waited for.
    #[error("could not wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Says by which tables clocks are told, and warns where clocks may have been changed since.
fn tell_of_clocks(ctx: &Ctx) {
    let clocks = ZoneTables::at(ctx.clock.now());
    let tables = &clocks.tables;
    tracing::info!(release = %tables.release, "clocks are told by {tables}");
    if let Some(warning) = clocks.warning() {
        tracing::warn!(release = %tables.release, "{warning}");
    }
}

/// Runs until a signal comes.
pub async fn run(mut ctx: Ctx) -> Result<(), DaemonError> {
    supervise::log_panics();
    let (stopper, stop) = watch::channel(false);
    let (cutter, cut) = watch::channel(false);
    let meter = Meter::default();
    ctx.providers = Arc::new(meter.over(&interruptible(&ctx.providers, &cut)));
    let listener = web::bind(&ctx).await?;
    let triggers = Arc::new(Triggers::default());
    let cron = Cron::new(&ctx, &triggers).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let providers: Vec<String> = ctx
        .config
        .providers
        .iter()
        .map(|(name, config)| format!("{name} ({})", config.kind.channel()))
        .collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %ctx.node,
        database = ctx.store.kind(),
        providers = providers.join(", "),
        listen = %ctx.config.listen,
        "the daemon is at work"
    );
    tell_of_clocks(&ctx);

    let tasks = Tasks::default();
    let mut supervisor = Supervisor::new(ctx.clone(), tasks.clone(), stop.clone());
    supervisor.start("cron", loops::terms(TimeDelta::minutes(1)), cron);
    loops::start(&ctx, &triggers, &tasks, &mut supervisor, &stop);
    let watched = tasks.clone();
    let mut serving = tokio::spawn(web::serve(ctx.clone(), meter, tasks.clone(), listener, stop));
    service_manager::ready();
    let listener_ended = tokio::select! {
        () = service_manager::watch(&ctx, &watched) => false,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        _ = &mut serving => true,
    };
    service_manager::stopping();
    tracing::info!("stopping: no new claims, what is in flight finishes");
    stopper.send_replace(true);
    let soft = async {
        supervisor.join().await;
        if !listener_ended {
            let _ = serving.await;
        }
        let farewell = tokio::time::timeout(FAREWELL, tasks::withdraw(&ctx)).await;
        if !matches!(farewell, Ok(Ok(()))) {
            tracing::warn!("the database does not answer: status shows this daemon for a while");
        }
    };
    let hard = async {
        tokio::time::sleep(CUT_AFTER).await;
        cutter.send_replace(true);
        tokio::time::sleep(STOP_AFTER.saturating_sub(CUT_AFTER)).await;
    };
    tokio::select! {
        () = soft => tracing::info!("stopped"),
        () = hard => tracing::warn!("stopped though something hangs: what it held ends by lease"),
        _ = terminate.recv() => tracing::warn!("stopped at once by a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopped at once by a second signal"),
    }
    if listener_ended { Err(DaemonError::ListenerEnded) } else { Ok(()) }
}
