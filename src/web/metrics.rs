//! What the daemon tells Prometheus: what it did since it started, and how its campaigns stand.
//!
//! Names and units are that ecosystem's: base units, `_total` for what only grows. No label has a
//! person in it.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use tokio::sync::Mutex;

use crate::model::time::Instant;
use crate::provider::Meter;
use crate::store::StoreError;
use crate::work::tasks::Tasks;
use crate::work::{Ctx, campaigns};

/// The format that [`Metrics::text`] writes.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Counting everybody costs more the more there are; figures may be this old.
const COUNT_EVERY: TimeDelta = TimeDelta::seconds(15);
/// From a millisecond to ten seconds.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Webhook {
    pub(super) provider: String,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Standing {
    campaign: String,
    state: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCampaign {
    campaign: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProvider {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: String,
}

/// What background tasks did; the tasks themselves count.
#[derive(Default)]
struct TaskMetrics {
    runs: Family<OfTask, Counter>,
    failures: Family<OfTask, Counter>,
    panics: Family<OfTask, Counter>,
    running: Family<OfTask, Gauge>,
    last_started: Family<OfTask, Gauge<f64, AtomicU64>>,
    last_success: Family<OfTask, Gauge<f64, AtomicU64>>,
    last_duration: Family<OfTask, Gauge<f64, AtomicU64>>,
}

impl TaskMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("task_runs", "Steps of background tasks that ended", self.runs.clone());
        let failures = self.failures.clone();
        registry.register("task_failures", "Steps that ended with an error", failures);
        registry.register("task_panics", "Steps that ended by a panic", self.panics.clone());
        registry.register("task_running", "Whether a step goes on now", self.running.clone());
        registry.register_with_unit(
            "task_last_start_timestamp",
            "When the last step began",
            Unit::Seconds,
            self.last_started.clone(),
        );
        registry.register_with_unit(
            "task_last_success_timestamp",
            "When a step last ended well",
            Unit::Seconds,
            self.last_success.clone(),
        );
        registry.register_with_unit(
            "task_last_duration",
            "How long the last step took",
            Unit::Seconds,
            self.last_duration.clone(),
        );
    }
}

/// Everything that is counted.
pub(super) struct Metrics {
    registry: Registry,
    /// Updates that webhooks brought, by what became of them.
    pub(super) updates: Family<Webhook, Counter>,
    /// Posts to webhooks, by status.
    pub(super) posts: Family<Webhook, Counter>,
    /// How long webhooks took to answer.
    pub(super) webhook_seconds: Histogram,
    deliveries: Family<Standing, Gauge>,
    due: Family<OfCampaign, Gauge>,
    lateness: Family<OfCampaign, Gauge<f64, AtomicU64>>,
    alerts: Family<OfProvider, Gauge>,
    /// Whether the database answered.
    pub(super) database_up: Gauge,
    tasks: TaskMetrics,
    /// When everybody was counted last.
    counted: Mutex<Option<Instant>>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let mut registry = Registry::with_prefix("opportune");
        meter.register(&mut registry);
        let metrics = Self {
            updates: Family::default(),
            posts: Family::default(),
            webhook_seconds: Histogram::new(SECONDS),
            deliveries: Family::default(),
            due: Family::default(),
            lateness: Family::default(),
            alerts: Family::default(),
            database_up: Gauge::default(),
            tasks: TaskMetrics::default(),
            counted: Mutex::new(None),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("webhook_updates", "Updates that webhooks brought", m.updates.clone());
        registry.register("webhook_requests", "Posts to webhooks", m.posts.clone());
        registry.register_with_unit(
            "webhook_duration",
            "Time until a post to a webhook was durable and answered",
            Unit::Seconds,
            m.webhook_seconds.clone(),
        );
        registry.register(
            "deliveries",
            "People of campaigns that are not over",
            m.deliveries.clone(),
        );
        registry.register(
            "deliveries_due",
            "Planned messages whose moment has come",
            m.due.clone(),
        );
        registry.register_with_unit(
            "deliveries_oldest_due",
            "How long the oldest of them has been due",
            Unit::Seconds,
            m.lateness.clone(),
        );
        registry.register("provider_alerts", "Alerts that nobody has seen to", m.alerts.clone());
        let up = metrics.database_up.clone();
        registry.register("database_up", "Whether the database answered in time", up);
        metrics.tasks.register(&mut registry);
        Self { registry, ..metrics }
    }

    /// Everything as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }

    /// Takes over how the daemon's tasks stand.
    pub(super) fn take_tasks(&self, tasks: &Tasks) {
        let seconds = |at: Instant| at.timestamp_micros() as f64 / 1e6;
        for (row, running) in tasks.rows() {
            let (m, label) = (&self.tasks, OfTask { task: row.name });
            for (counters, count) in
                [(&m.runs, row.runs), (&m.failures, row.failures), (&m.panics, row.panics)]
            {
                counters.get_or_create(&label).inner().store(count, Ordering::Relaxed);
            }
            m.running.get_or_create(&label).set(i64::from(running));
            for (gauges, value) in [
                (&m.last_started, row.last_started_at.map(seconds)),
                (&m.last_success, row.last_succeeded_at.map(seconds)),
                (&m.last_duration, row.last_duration_ms.map(|ms| ms as f64 / 1e3)),
            ] {
                value.map(|value| gauges.get_or_create(&label).set(value));
            }
        }
    }

    /// Counts how campaigns stand now; what is not old is not counted anew. Figures that could not
    /// be counted are left out.
    pub(super) async fn count(&self, ctx: &Ctx) -> Result<(), StoreError> {
        let now = ctx.clock.now();
        // whoever counts keeps others from counting beside
        let mut counted = self.counted.lock().await;
        if counted.is_some_and(|at| now - at < COUNT_EVERY) {
            return Ok(());
        }
        *counted = None;
        self.deliveries.clear();
        self.due.clear();
        self.lateness.clear();
        let found = ctx.store.read().await?.open_campaigns().await?.rows;
        for row in found {
            if row.status.is_over() {
                continue;
            }
            let standing = match campaigns::summary(ctx, &row).await {
                Ok(standing) => standing,
                // `status` tells of it
                Err(StoreError::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            };
            let campaign = standing.name.to_string();
            for count in standing.states {
                let label = Standing {
                    campaign: campaign.clone(),
                    state: count.state.to_string(),
                    reason: count.reason.to_string(),
                };
                self.deliveries.get_or_create(&label).set(count.people as i64);
            }
            let label = OfCampaign { campaign };
            self.due.get_or_create(&label).set(standing.due as i64);
            let late = standing.next_due.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
            self.lateness.get_or_create(&label).set(late);
        }
        self.alerts.clear();
        for name in ctx.config.providers.keys() {
            self.alerts.get_or_create(&OfProvider { provider: name.to_string() }).set(0);
        }
        let found = ctx.store.read().await?.alerts(ctx.clock.now()).await?;
        for alert in found {
            self.alerts.get_or_create(&OfProvider { provider: alert.provider }).inc();
        }
        *counted = Some(now);
        Ok(())
    }
}
