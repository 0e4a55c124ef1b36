//! The cron triggers of learning.
//!
//! tokio-cron-scheduler only notifies. It runs tasks of its own, which the supervisor cannot see:
//! the task here looks whether they live, and sets the triggers anew where they do not.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::supervise::{StepError, Task};
use crate::model::time::Instant;
use crate::work::Ctx;

/// How often the scheduler is looked at.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(30);
/// How long a sound scheduler takes to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// An expression that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "daemon.{key}: {expression:?} is no cron expression with seconds, such as \"0 15 3 * * *\""
)]
pub struct CronError {
    /// Which setting.
    key: &'static str,
    /// As it stands in the settings.
    expression: String,
    /// Why.
    #[source]
    cause: JobSchedulerError,
}

/// What learning waits for: the night, and the hours between nights.
#[derive(Default)]
pub(super) struct Triggers {
    pub(super) fit: Notify,
    pub(super) refresh: Notify,
}

/// Keeps the triggers set.
pub(super) struct Cron {
    ctx: Ctx,
    triggers: Arc<Triggers>,
    scheduler: Option<JobScheduler>,
}

impl Cron {
    /// Sets the triggers; refuses an expression that is none.
    pub(super) async fn new(ctx: &Ctx, triggers: &Arc<Triggers>) -> Result<Self, CronError> {
        let scheduler = Some(set(ctx, triggers).await?);
        Ok(Self { ctx: ctx.clone(), triggers: Arc::clone(triggers), scheduler })
    }
}

impl Task for Cron {
    async fn step(&mut self) -> Result<Instant, StepError> {
        let next = self.ctx.clock.now() + LOOK_EVERY;
        let mut scheduler = match self.scheduler.take() {
            Some(scheduler) => scheduler,
            None => set(&self.ctx, &self.triggers)
                .await
                .map_err(|error| StepError::new(error.to_string()))?,
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, scheduler.time_till_next_job()).await {
            Ok(Ok(Some(_))) => {
                self.scheduler = Some(scheduler);
                Ok(next)
            }
            Ok(Ok(None)) => {
                let _ = tokio::time::timeout(ANSWER_TIMEOUT, scheduler.shutdown()).await;
                Err(StepError::new("no cron trigger is set any more"))
            }
            Ok(Err(_)) | Err(_) => Err(StepError::new("the cron scheduler does not answer")),
        }
    }
}

async fn set(ctx: &Ctx, triggers: &Arc<Triggers>) -> Result<JobScheduler, CronError> {
    type Trigger = fn(&Triggers) -> &Notify;
    let all: [(&str, &str, Trigger); 2] = [
        ("learn_schedule", &ctx.config.learn_schedule, |triggers| &triggers.fit),
        ("refresh_schedule", &ctx.config.refresh_schedule, |triggers| &triggers.refresh),
    ];
    let failed = |key, expression: &str| {
        let expression = expression.to_owned();
        move |cause: JobSchedulerError| CronError { key, expression, cause }
    };
    let (key, expression, _) = all[0];
    let scheduler = JobScheduler::new().await.map_err(failed(key, expression))?;
    for (key, expression, trigger) in all {
        let triggers = Arc::clone(triggers);
        let job = Job::new(expression, move |_, _| trigger(&triggers).notify_one());
        let job = job.map_err(failed(key, expression))?;
        scheduler.add(job).await.map_err(failed(key, expression))?;
    }
    let (key, expression, _) = all[0];
    scheduler.start().await.map_err(failed(key, expression))?;
    Ok(scheduler)
}
