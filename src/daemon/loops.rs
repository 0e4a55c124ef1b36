//! The background tasks: each runs one kind of step, for one provider where steps can be told apart
//! by provider, so that one that is slow or fails holds up no other.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::watch;

use super::cron::Triggers;
use super::supervise::{StepError, Supervisor, Task, Terms};
use crate::model::ids::Name;
use crate::model::time::Instant;
use crate::work::learn::{self, Depth, LearnError};
use crate::work::tasks::{self, Patience, Tasks};
use crate::work::{Ctx, Report, dispatch, forward, maintenance, plan, receive, templates};

/// How often what may be due at any moment is looked for.
const TICK: TimeDelta = TimeDelta::seconds(1);
/// How often maintenance is done.
const MAINTAIN_EVERY: TimeDelta = TimeDelta::seconds(5);
/// How often new campaigns and undecided people are looked for.
const PLAN_EVERY: TimeDelta = TimeDelta::seconds(2);
/// How often accounts are looked at whose templates may have changed.
const TEMPLATES_EVERY: TimeDelta = TimeDelta::minutes(1);
/// How often it is written down how tasks stand.
const SAVE_EVERY: TimeDelta = TimeDelta::seconds(5);
/// The longest wait after a failure.
const BACKOFF_MAX: TimeDelta = TimeDelta::seconds(10);
/// Learning is costly, and what it needs is seldom back within seconds.
const LEARN_BACKOFF_MAX: TimeDelta = TimeDelta::minutes(30);

/// Terms of a task whose steps take at most `step`.
pub(super) fn terms(step: TimeDelta) -> Terms {
    let patience = Patience { failing: TimeDelta::minutes(1), step };
    Terms { patience, backoff_max: BACKOFF_MAX }
}

/// Starts all of them.
pub(super) fn start(
    ctx: &Ctx,
    triggers: &Arc<Triggers>,
    tasks: &Tasks,
    supervisor: &mut Supervisor,
    stop: &watch::Receiver<bool>,
) {
    // a step sends one batch a campaign, each within a lease
    let lease = TimeDelta::from_std(ctx.config.lease).unwrap_or(TimeDelta::hours(1));
    let sending = terms((lease * 2).max(TimeDelta::minutes(10)));
    for (provider, config) in &ctx.config.providers {
        let of_provider =
            || OfProvider { ctx: ctx.clone(), provider: provider.clone(), stop: stop.clone() };
        for worker in 1..=ctx.config.workers {
            let name = format!("send:{provider}:{worker}");
            supervisor.start(name, sending, Send(of_provider()));
        }
        if config.inbound.is_some() {
            let forwarding = terms(TimeDelta::minutes(10));
            supervisor.start(format!("forward:{provider}"), forwarding, Forward(of_provider()));
        }
    }
    supervisor.start("receive", terms(TimeDelta::minutes(5)), Receive(ctx.clone()));
    supervisor.start("maintain", terms(TimeDelta::minutes(10)), Maintain(ctx.clone()));
    supervisor.start("plan", terms(TimeDelta::hours(1)), Plan(ctx.clone()));
    supervisor.start("templates", terms(TimeDelta::minutes(30)), Templates(ctx.clone()));
    let learning = Terms {
        patience: Patience { failing: TimeDelta::hours(6), step: TimeDelta::hours(6) },
        backoff_max: LEARN_BACKOFF_MAX,
    };
    let learn = Learn { ctx: ctx.clone(), triggers: Arc::clone(triggers), wanted: None };
    supervisor.start("learn", learning, learn);
    let save = Save { ctx: ctx.clone(), tasks: tasks.clone() };
    supervisor.start("status", terms(TimeDelta::minutes(2)), save);
}

struct OfProvider {
    ctx: Ctx,
    provider: Name,
    stop: watch::Receiver<bool>,
}

/// When the next step begins: at once where there is more to do.
fn next(began: Instant, report: Report) -> Instant {
    let next = if report.more { began } else { began + TICK };
    report.not_before.map_or(next, |earliest| earliest.min(began + TICK))
}

/// Sends what is due through one provider.
struct Send(OfProvider);

impl Task for Send {
    async fn step(&mut self) -> Result<Instant, StepError> {
        let OfProvider { ctx, provider, stop } = &self.0;
        let began = ctx.clock.now();
        Ok(next(began, dispatch::of_provider(ctx, provider, stop).await?))
    }
}

/// Passes on what people wrote through one provider.
struct Forward(OfProvider);

impl Task for Forward {
    async fn step(&mut self) -> Result<Instant, StepError> {
        let OfProvider { ctx, provider, stop } = &self.0;
        let began = ctx.clock.now();
        Ok(next(began, forward::of_provider(ctx, provider, stop).await?))
    }
}

/// Takes what came back through providers themselves.
struct Receive(Ctx);

impl Task for Receive {
    async fn step(&mut self) -> Result<Instant, StepError> {
        let began = self.0.clock.now();
        receive::collect(&self.0).await?;
        Ok(began + TICK)
    }
}

struct Maintain(Ctx);

impl Task for Maintain {
    async fn step(&mut self) -> Result<Instant, StepError> {
        maintenance::run(&self.0).await?;
        Ok(self.0.clock.now() + MAINTAIN_EVERY)
    }
}

/// Reads the templates of accounts.
struct Templates(Ctx);

impl Task for Templates {
    async fn step(&mut self) -> Result<Instant, StepError> {
        templates::read_all(&self.0).await?;
        Ok(self.0.clock.now() + TEMPLATES_EVERY)
    }
}

struct Plan(Ctx);

impl Task for Plan {
    async fn step(&mut self) -> Result<Instant, StepError> {
        plan::run(&self.0).await?;
        Ok(self.0.clock.now() + PLAN_EVERY)
    }
}

/// Learns when a trigger fires, and again after a failure.
struct Learn {
    ctx: Ctx,
    triggers: Arc<Triggers>,
    /// What was triggered and has not been done.
    wanted: Option<Depth>,
}

impl Task for Learn {
    async fn wait(&mut self) {
        if self.wanted.is_none() {
            self.wanted = tokio::select! {
                () = self.triggers.fit.notified() => Some(Depth::Fit),
                () = self.triggers.refresh.notified() => Some(Depth::Refresh),
            };
        }
    }

    async fn step(&mut self) -> Result<Instant, StepError> {
        let depth = self.wanted.unwrap_or(Depth::Refresh);
        match learn::run(&self.ctx, None, depth, |_, _| {}).await {
            Ok(learned) => tracing::info!(
                version = learned.version,
                outcome = ?learned.outcome,
                messages = learned.messages,
                activities = learned.activities,
                "learned"
            ),
            Err(LearnError::Busy) => tracing::info!("another process is learning"),
            Err(error) => return Err(error.into()),
        }
        self.wanted = None;
        Ok(self.ctx.clock.now())
    }
}

/// Writes down how tasks stand.
struct Save {
    ctx: Ctx,
    tasks: Tasks,
}

impl Task for Save {
    async fn step(&mut self) -> Result<Instant, StepError> {
        tasks::save(&self.ctx, &self.tasks).await?;
        Ok(self.ctx.clock.now() + SAVE_EVERY)
    }
}
