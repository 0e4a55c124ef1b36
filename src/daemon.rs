//! The background service: bells, the loops that they wake, and the listener.
//!
//! tokio-cron-scheduler only rings. Loops run steps: some for each provider that send, one that
//! receives and tends, one that plans and learns, so that neither a long fit nor a slow provider
//! holds up another's message. SIGTERM and SIGINT stop softly: no new claims, calls
//! in flight finish, the listener answers what it has begun; a second signal stops at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::model::ids::Name;
use crate::provider::Meter;
use crate::store::StoreError;
use crate::web::{self, ListenError};
use crate::work::{Ctx, dispatch, forward, learn, plan, receive, tend};

/// How often the sending loop looks around when nothing rings.
const TICK: TimeDelta = TimeDelta::seconds(1);
/// How often loose ends are tied up.
const TEND_EVERY: TimeDelta = TimeDelta::seconds(5);
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
    #[error("could not set the bell {expression:?} of daemon.learn_bell")]
    Bell {
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
    let learn_bell = Arc::new(Notify::new());
    let mut bells = set_bells(&ctx, Arc::clone(&learn_bell)).await?;
    let (stopper, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    tracing::info!(node = %ctx.node, listen = %ctx.config.listen, "the daemon is at work");

    let serving = tokio::spawn(web::serve(ctx.clone(), meter, listener, stop.clone()));
    let mut sending = JoinSet::new();
    for name in ctx.providers.keys() {
        for _ in 0..ctx.config.lanes {
            sending.spawn(send(ctx.clone(), name.clone(), stop.clone()));
        }
    }
    let sending = sending.join_all();
    let receiving = tokio::spawn(receive_and_tend(ctx.clone(), stop.clone()));
    let thinking = tokio::spawn(think(ctx, learn_bell, stop));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new claims, what is in flight finishes");
    stopper.send_replace(true);
    let soft = async { tokio::join!(serving, sending, receiving, thinking) };
    tokio::select! {
        _ = soft => {}
        _ = terminate.recv() => tracing::warn!("stopped at once by a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopped at once by a second signal"),
    }
    // the scheduler's own error on shutdown has nothing left to break
    let _ = bells.shutdown().await;
    Ok(())
}

async fn set_bells(ctx: &Ctx, learn: Arc<Notify>) -> Result<JobScheduler, DaemonError> {
    let expression = ctx.config.learn_bell.clone();
    let failed = |cause| DaemonError::Bell { expression: expression.clone(), cause };
    let bells = JobScheduler::new().await.map_err(failed)?;
    let job = Job::new(expression.as_str(), move |_, _| learn.notify_one()).map_err(failed)?;
    bells.add(job).await.map_err(failed)?;
    bells.start().await.map_err(failed)?;
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
async fn receive_and_tend(ctx: Ctx, stop: watch::Receiver<bool>) {
    let mut tended = ctx.clock.now() - TEND_EVERY;
    while !*stop.borrow() {
        let began = ctx.clock.now();
        let step = async {
            receive::collect(&ctx).await?;
            if began - tended >= TEND_EVERY {
                tend::run(&ctx).await?;
                tended = began;
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

/// Plans, and learns when the bell rings.
async fn think(ctx: Ctx, learn_bell: Arc<Notify>, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = plan::run(&ctx).await {
            tracing::error!(error = &error as &dyn std::error::Error, "planning failed");
        }
        let next = ctx.clock.now() + PLAN_EVERY;
        tokio::select! {
            () = wait_until(&ctx, next, &stop) => {}
            () = learn_bell.notified() => match learn::run(&ctx, None, false, |_, _| {}).await {
                Ok(learned) => tracing::info!(
                    version = learned.version,
                    messages = learned.messages,
                    activities = learned.activities,
                    "learned"
                ),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "learning failed");
                }
            },
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
