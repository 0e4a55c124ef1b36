//! A channel whose people are not real: they answer by the hidden habits of a known-truth world, or
//! as a history lets expect.
//!
//! Answers are a function of the seed, the person and the message, and are handed out as their
//! times come. Those that are still to come when the process ends are lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use futures_util::future::BoxFuture;

use super::{
    Code, Event, Incoming, OutboundMessage, Provider, Rejected, SendOutcome, Update, UpdateOf,
};
use crate::model::ids::{MessageKey, Name, RecipientKey};
use crate::model::message::Response;
use crate::model::time::Instant;
use crate::world::person::Sent;
use crate::world::spec::Spec;
use crate::world::{Crowd, Whom, World};

/// How long a person remembers having been written to.
const MEMORY: TimeDelta = TimeDelta::days(7);

/// See the module.
pub struct Simulated {
    name: Name,
    people: Arc<dyn Crowd>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By time, then by a running number that keeps the order of making.
    coming: BTreeMap<(Instant, u64), Update>,
    made: u64,
    recent: HashMap<RecipientKey, Vec<Instant>>,
}

impl Simulated {
    /// A channel to these people.
    pub fn new(name: Name, people: Arc<dyn Crowd>) -> Self {
        Self { name, people, state: Mutex::default() }
    }

    /// A channel to people like the demo's.
    pub(super) fn demo(name: Name, seed: u64) -> Self {
        let world = World::new(&Spec::demo(), seed).expect("the demo's spec is within its bounds");
        Self::new(name, Arc::new(world))
    }

    fn answer(&self, message: &OutboundMessage) {
        // a poisoned lock means that another delivery panicked; the answers in it are still good
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = state.recent.entry(message.recipient.clone()).or_default();
        recent.retain(|at| message.at - *at < MEMORY);
        let sent = Sent {
            key: &message.key,
            at: message.at,
            content: &message.content,
            category: message.category,
            recent,
            campaign: Some(message.campaign.as_str()),
        };
        let response =
            self.people.answer(Whom { key: &message.recipient, zone: message.zone }, &sent);
        recent.push(message.at);
        for (at, event) in events(response) {
            state.made += 1;
            let number = state.made;
            let of = UpdateOf::Ours(message.key.clone());
            state.coming.insert((at, number), Update { of, event, at, names: Vec::new() });
        }
    }
}

fn events(response: Response) -> impl Iterator<Item = (Instant, Event)> {
    let converted = Event::Converted { amount: response.amount, currency: response.currency };
    [
        (response.delivered_at, Event::Delivered),
        (response.read_at, Event::Read),
        (response.clicked_at, Event::Clicked),
        (response.replied_at, Event::Replied),
        (response.converted_at, converted),
        (response.opted_out_at, Event::OptedOut),
        (response.failed_at, Event::Failed { code: response.failure_code.map(Code::from) }),
    ]
    .into_iter()
    .filter_map(|(at, event)| Some((at?, event)))
}

impl Provider for Simulated {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        self.answer(message);
        Box::pin(std::future::ready(SendOutcome::Accepted {
            id: provider_id(&message.key),
            alias: None,
        }))
    }

    fn receive(&self, _: Option<&str>, _: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        Err(Rejected::NoWebhook(self.name.clone()))
    }

    fn collect(&self, now: Instant) -> Vec<Update> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let later = state.coming.split_off(&(now, u64::MAX));
        std::mem::replace(&mut state.coming, later).into_values().collect()
    }
}

fn provider_id(key: &MessageKey) -> Option<crate::model::ids::ProviderMessage> {
    format!("sim.{key}").parse().ok()
}
