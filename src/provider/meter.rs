//! Counts what providers are asked and what they answer, whoever they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use futures_util::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Incoming, OutboundMessage, Provider, RefusalScope, Rejected, SendOutcome, Update};
use crate::model::content::Media;
use crate::model::ids::Name;
use crate::model::time::Instant;

/// From a hundredth of a second to half an hour late.
const LATENESS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 1800.0];
/// From a millisecond to a minute of a call.
const CALL: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    provider: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    provider: String,
}

/// What providers were asked and answered since the daemon started.
#[derive(Debug, Clone)]
pub struct Meter {
    calls: Family<Answered, Counter>,
    seconds: Family<Of, Histogram, fn() -> Histogram>,
    lateness: Family<Of, Histogram, fn() -> Histogram>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(CALL)),
            lateness: Family::new_with_constructor(|| Histogram::new(LATENESS)),
        }
    }
}

impl Meter {
    /// Tells a registry of everything that is counted here.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("provider_calls", "Calls to providers", self.calls.clone());
        registry.register_with_unit(
            "provider_call_duration",
            "Time until a provider answered",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register_with_unit(
            "message_lateness",
            "Time between a message's planned moment and its call",
            Unit::Seconds,
            self.lateness.clone(),
        );
    }

    /// The same providers, counted.
    pub fn over(
        &self,
        providers: &BTreeMap<Name, Arc<dyn Provider>>,
    ) -> BTreeMap<Name, Arc<dyn Provider>> {
        let metered = |(name, inner): (&Name, &Arc<dyn Provider>)| {
            let label = Of { provider: name.to_string() };
            let metered: Arc<dyn Provider> = Arc::new(Metered {
                inner: Arc::clone(inner),
                name: name.to_string(),
                calls: self.calls.clone(),
                seconds: self.seconds.get_or_create(&label).clone(),
                lateness: self.lateness.get_or_create(&label).clone(),
            });
            (name.clone(), metered)
        };
        providers.iter().map(metered).collect()
    }
}

struct Metered {
    inner: Arc<dyn Provider>,
    name: String,
    calls: Family<Answered, Counter>,
    seconds: Histogram,
    lateness: Histogram,
}

fn word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted { .. } => "accepted",
        SendOutcome::Held { .. } => "held",
        SendOutcome::Later { .. } => "later",
        SendOutcome::AnotherDay { .. } => "another_day",
        SendOutcome::NeedsTemplate => "needs_template",
        SendOutcome::Refused(refusal) => match refusal.scope {
            RefusalScope::Unpermitted => "refused_unpermitted",
            RefusalScope::PersonData => "refused_data",
            RefusalScope::Person => "refused_person",
            RefusalScope::Unreachable => "refused_unreachable",
            RefusalScope::OptedOut => "refused_opted_out",
            RefusalScope::Template => "refused_template",
            RefusalScope::Media => "refused_media",
            RefusalScope::Account => "stopped",
            RefusalScope::Unknown => "refused_unknown",
        },
        SendOutcome::InDoubt => "in_doubt",
    }
}

impl Provider for Metered {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        let late = (message.at - message.due_at).as_seconds_f64().max(0.0);
        self.lateness.observe(late);
        let begun = Stopwatch::now();
        Box::pin(async move {
            let outcome = self.inner.send(message).await;
            self.seconds.observe(begun.elapsed().as_secs_f64());
            let label = Answered { provider: self.name.clone(), outcome: word(&outcome) };
            self.calls.get_or_create(&label).inc();
            outcome
        })
    }

    fn upload<'a>(&'a self, media: Media, url: &'a str) -> BoxFuture<'a, Option<String>> {
        self.inner.upload(media, url)
    }

    fn verify(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        self.inner.verify(value)
    }

    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        self.inner.receive(signature, body)
    }

    fn thanks(&self) -> Option<&'static str> {
        self.inner.thanks()
    }

    fn collect(&self, now: Instant) -> Vec<Update> {
        self.inner.collect(now)
    }
}
