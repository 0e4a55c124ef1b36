//! What the daemon tells Prometheus: what it did since it started, and how its campaigns stand.
//!
//! Names and units are that ecosystem's: base units, `_total` for what only grows. No label has a
//! person in it.

use std::sync::atomic::AtomicU64;

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
        Self { registry, ..metrics }
    }

    /// Everything as text, with the campaigns as they stand now.
    pub(super) async fn text(&self, ctx: &Ctx) -> Result<String, StoreError> {
        let now = ctx.clock.now();
        // whoever counts keeps others from counting beside
        let mut counted = self.counted.lock().await;
        if counted.is_none_or(|at| now - at >= COUNT_EVERY) {
            self.count(ctx, now).await?;
            *counted = Some(now);
        }
        drop(counted);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        Ok(text)
    }

    async fn count(&self, ctx: &Ctx, now: Instant) -> Result<(), StoreError> {
        self.deliveries.clear();
        self.due.clear();
        self.lateness.clear();
        for row in ctx.store.read().await?.open_campaigns().await?.rows {
            if row.status.is_over() {
                continue;
            }
            let standing = campaigns::summary(ctx, &row).await?;
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
        for alert in ctx.store.read().await?.alerts().await? {
            self.alerts.get_or_create(&OfProvider { provider: alert.provider }).inc();
        }
        Ok(())
    }
}
