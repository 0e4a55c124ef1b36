//! The background service: bells, the loops that they wake, and the listener.
//!
//! tokio-cron-scheduler only rings. Loops run steps: some for each provider that send, one that
//! receives and tends, one that plans, one that learns, so that neither a long fit nor a slow
//! provider holds up a message or a plan. SIGTERM and SIGINT stop softly: no new claims, calls
//! in flight finish, the listener answers what it has begun; a second signal stops at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::calendar::zone;
use crate::model::ids::Name;
use crate::provider::Meter;
use crate::store::StoreError;
use crate::web::{self, ListenError};
use crate::work::learn::{self, Depth, LearnError};
use crate::work::{Ctx, dispatch, forward, maintenance, plan, receive};

/// How often the sending loop looks around when nothing rings.
const TICK: TimeDelta = TimeDelta::seconds(1);
/// How often maintenance runs.
const MAINTENANCE_EVERY: TimeDelta = TimeDelta::seconds(5);
/// How often new campaigns and undecided people are looked for.
const PLAN_EVERY: TimeDelta = TimeDelta::seconds(2);
/// How long to wait after the database failed.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Why the daemon could not start or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The bell.
    #[error("could not set the bell {expression:?} of daemon.{key}")]
    Bell {
        /// Which setting.
        key: &'static str,
        /// As it stands in the settings.
        expression: String,
        /// Why.
        #[source]
        cause: JobSchedulerError,
    },
    /// The signals.
    #[error("could not wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until a signal comes.
pub async fn run(mut ctx: Ctx) -> Result<(), DaemonError> {
    let meter = Meter::default();
    ctx.providers = Arc::new(meter.over(&ctx.providers));
    let listener = web::bind(&ctx).await?;
    let learn_bells = Arc::new(LearnBells::default());
    let mut bells = set_bells(&ctx, &learn_bells).await?;
    let (stopper, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    tracing::info!(node = %ctx.node, listen = %ctx.config.listen, "the daemon is at work");
    let zone_tables = zone::tables();
    if zone_tables.is_outdated(ctx.clock.now()) {
        tracing::warn!(
            release = %zone_tables.release,
            "the time zones are more than a year old; install a newer tzdata or opportune"
        );
    }

    let serving = tokio::spawn(web::serve(ctx.clone(), meter, listener, stop.clone()));
    let mut sending = JoinSet::new();
    for name in ctx.providers.keys() {
        for _ in 0..ctx.config.lanes {
            sending.spawn(send(ctx.clone(), name.clone(), stop.clone()));
        }
    }
    let sending = sending.join_all();
    let receiving = tokio::spawn(receive_and_maintain(ctx.clone(), stop.clone()));
    let learning = tokio::spawn(learn(ctx.clone(), learn_bells, stop.clone()));
    let thinking = tokio::spawn(think(ctx, stop));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new claims, what is in flight finishes");
    stopper.send_replace(true);
    let soft = async { tokio::join!(serving, sending, receiving, thinking, learning) };
    tokio::select! {
        _ = soft => {}
        _ = terminate.recv() => tracing::warn!("stopped at once by a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopped at once by a second signal"),
    }
    // the scheduler's own error on shutdown has nothing left to break
    let _ = bells.shutdown().await;
    Ok(())
}

/// What rings for learning: the night, and the hours between nights.
#[derive(Default)]
struct LearnBells {
    fit: Notify,
    refresh: Notify,
}

async fn set_bells(ctx: &Ctx, learn: &Arc<LearnBells>) -> Result<JobScheduler, DaemonError> {
    type Bell = fn(&LearnBells) -> &Notify;
    let set: [(&str, &str, Bell); 2] = [
        ("learn_bell", &ctx.config.learn_bell, |bells| &bells.fit),
        ("refresh_bell", &ctx.config.refresh_bell, |bells| &bells.refresh),
    ];
    let failed = |key, expression: &str| {
        let expression = expression.to_owned();
        move |cause| DaemonError::Bell { key, expression, cause }
    };
    let (key, expression, _) = set[0];
    let bells = JobScheduler::new().await.map_err(failed(key, expression))?;
    for (key, expression, bell) in set {
        let learn = Arc::clone(learn);
        let job = Job::new(expression, move |_, _| bell(&learn).notify_one());
        let job = job.map_err(failed(key, expression))?;
        bells.add(job).await.map_err(failed(key, expression))?;
    }
    let (key, expression, _) = set[0];
    bells.start().await.map_err(failed(key, expression))?;
    Ok(bells)
}

/// Sends what is due through one provider.
async fn send(ctx: Ctx, provider: Name, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let began = ctx.clock.now();
        match dispatch::of_provider(&ctx, &provider, &stop).await {
            Ok(report) => {
                let next = if report.more { began } else { began + TICK };
                let next = report.not_before.map_or(next, |earliest| earliest.min(began + TICK));
                wait_until(&ctx, next, &stop).await;
            }
            Err(error) => failed("sending", &error, &stop).await,
        }
    }
}

/// Takes what came back, passes on what people wrote, ties up loose ends.
async fn receive_and_maintain(ctx: Ctx, stop: watch::Receiver<bool>) {
    let mut maintained = ctx.clock.now() - MAINTENANCE_EVERY;
    while !*stop.borrow() {
        let began = ctx.clock.now();
        let step = async {
            receive::collect(&ctx).await?;
            if began - maintained >= MAINTENANCE_EVERY {
                maintenance::run(&ctx).await?;
                maintained = began;
            }
            forward::run(&ctx).await
        };
        match step.await {
            Ok(report) => {
                let next = if report.more { began } else { began + TICK };
                wait_until(&ctx, next, &stop).await;
            }
            Err(error) => failed("receiving", &error, &stop).await,
        }
    }
}

/// Plans what needs it.
async fn think(ctx: Ctx, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = plan::run(&ctx).await {
            tracing::error!(error = &error as &dyn std::error::Error, "planning failed");
        }
        let next = ctx.clock.now() + PLAN_EVERY;
        wait_until(&ctx, next, &stop).await;
    }
}

/// Learns when a bell rings.
async fn learn(ctx: Ctx, bells: Arc<LearnBells>, mut stop: watch::Receiver<bool>) {
    loop {
        let depth = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = bells.fit.notified() => Depth::Fit,
            () = bells.refresh.notified() => Depth::Refresh,
        };
        match learn::run(&ctx, None, depth, |_, _| {}).await {
            Ok(learned) => tracing::info!(
                version = learned.version,
                outcome = ?learned.outcome,
                messages = learned.messages,
                activities = learned.activities,
                "learned"
            ),
            Err(LearnError::Busy) => tracing::info!("another process is learning"),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "learning failed");
            }
        }
    }
}

async fn failed(doing: &str, error: &StoreError, stop: &watch::Receiver<bool>) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        transient = error.is_transient(),
        "{doing} failed; trying again"
    );
    let mut stop = stop.clone();
    let _ = tokio::time::timeout(STORE_PAUSE, stop.wait_for(|stop| *stop)).await;
}

async fn wait_until(ctx: &Ctx, at: crate::model::time::Instant, stop: &watch::Receiver<bool>) {
    let mut stop = stop.clone();
    tokio::select! {
        () = ctx.clock.sleep_until(at) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
