//! The provider of a replay: its people behind a channel that fails as the scenario says,
//! and that remembers every call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use chrono_tz::Tz;
use futures_util::future::{self, BoxFuture};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

use super::event::{Happening, ScenarioEvent};
use crate::model::content::Content;
use crate::model::ids::{MessageKey, Name, RecipientKey};
use crate::model::time::Instant;
use crate::provider::{
    self, OutboundMessage, Provider, Rejected, Scope, SendOutcome, Simulated, Update,
};
use crate::world::Crowd;

/// What a provider that is down is given before it is asked again.
const OUTAGE_WAIT: TimeDelta = TimeDelta::minutes(1);

/// A call, as the provider heard it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(super) key: MessageKey,
    pub(super) recipient: RecipientKey,
    pub(super) campaign: Name,
    pub(super) provider: Name,
    pub(super) at: Instant,
    pub(super) zone: Tz,
    pub(super) content: Content,
    /// Whether the message reached the provider and so, in the end, the person.
    pub(super) heard: bool,
}

/// See the module.
pub(crate) struct Faulty {
    name: Name,
    people: Simulated,
    events: Vec<Happening>,
    state: Mutex<State>,
    crash: Arc<Notify>,
}

struct State {
    chance: ChaCha8Rng,
    calls: Vec<Call>,
    /// Kept back, by the time at which they are let go.
    held: BTreeMap<(Instant, u64), OutboundMessage>,
    /// What comes back later than it should.
    late: BTreeMap<(Instant, u64), Update>,
    made: u64,
}

/// How one call ends.
enum Fate {
    Answers(SendOutcome),
    /// The daemon dies; the message was heard or not.
    Crash {
        heard: bool,
    },
    /// Taken, and kept back so long.
    Held(TimeDelta),
    /// Taken, whatever the daemon is told.
    Heard {
        told: bool,
    },
}

impl Faulty {
    /// `crash` is rung when the daemon is to die.
    pub(crate) fn new(
        name: &Name,
        people: Arc<dyn Crowd>,
        events: &[Happening],
        seed: u64,
        crash: &Arc<Notify>,
    ) -> Self {
        let state = State {
            chance: ChaCha8Rng::seed_from_u64(seed),
            calls: Vec::new(),
            held: BTreeMap::new(),
            late: BTreeMap::new(),
            made: 0,
        };
        Self {
            name: name.clone(),
            people: Simulated::new(name.clone(), people),
            events: events.to_vec(),
            state: Mutex::new(state),
            crash: Arc::clone(crash),
        }
    }

    /// Every call so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a poisoned lock means that another call panicked; what is in it is still good
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, at: Instant) -> impl Iterator<Item = &ScenarioEvent> {
        let active = move |event: &&Happening| (event.from..event.until).contains(&at);
        self.events.iter().filter(active).map(|event| &event.what)
    }

    fn fate(&self, message: &OutboundMessage, chance: &mut ChaCha8Rng) -> Fate {
        let mut hit = |share: &f64| chance.r#gen::<f64>() < *share;
        for event in self.now(message.at) {
            let later = |until, whom| Fate::Answers(SendOutcome::Later { until, whom });
            match event {
                ScenarioEvent::Outage => return later(message.at + OUTAGE_WAIT, Scope::Provider),
                ScenarioEvent::PausedTemplate { template }
                    if message.template.as_ref() == Some(template) =>
                {
                    return later(self.end_of(event, message.at), Scope::Template);
                }
                ScenarioEvent::Throttled { share, wait } if hit(share) => {
                    return later(message.at + *wait, Scope::Recipient);
                }
                ScenarioEvent::Crashes { share } if hit(share) => {
                    return Fate::Crash { heard: hit(&0.5) };
                }
                ScenarioEvent::LostCalls { share } if hit(share) => {
                    return Fate::Answers(SendOutcome::InDoubt);
                }
                ScenarioEvent::LostAnswers { share } if hit(share) => {
                    return Fate::Heard { told: false };
                }
                ScenarioEvent::Held { share, wait } if hit(share) => return Fate::Held(*wait),
                _ => {}
            }
        }
        Fate::Heard { told: true }
    }

    fn end_of(&self, event: &ScenarioEvent, at: Instant) -> Instant {
        let same = |h: &&Happening| h.what == *event && (h.from..h.until).contains(&at);
        self.events.iter().find(same).map_or(at, |happening| happening.until)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

impl Provider for Faulty {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        let mut state = self.state();
        let fate = self.fate(message, &mut state.chance);
        let heard = match fate {
            Fate::Answers(_) => false,
            Fate::Crash { heard } => heard,
            Fate::Held(_) | Fate::Heard { .. } => true,
        };
        state.calls.push(Call {
            key: message.key.clone(),
            recipient: message.recipient.clone(),
            campaign: message.campaign.clone(),
            provider: self.name.clone(),
            at: message.at,
            zone: message.zone,
            content: message.content.clone(),
            heard,
        });
        if let Fate::Held(wait) = fate {
            let number = state.number();
            state.held.insert((message.at + wait, number), message.clone());
            return Box::pin(future::ready(SendOutcome::Held { id: None }));
        }
        drop(state);
        let answer = heard.then(|| self.people.send(message));
        match (fate, answer) {
            (Fate::Heard { told: true }, Some(answer)) => answer,
            (Fate::Crash { .. }, _) => {
                self.crash.notify_one();
                Box::pin(future::pending())
            }
            (Fate::Answers(outcome), _) => Box::pin(future::ready(outcome)),
            _ => Box::pin(future::ready(SendOutcome::InDoubt)),
        }
    }

    fn receive(
        &self,
        signature: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<provider::Incoming>, Rejected> {
        self.people.receive(signature, body)
    }

    fn collect(&self, now: Instant) -> Vec<Update> {
        let mut state = self.state();
        let later = state.held.split_off(&(now, u64::MAX));
        let released = std::mem::replace(&mut state.held, later);
        let mut updates = Vec::new();
        for ((at, _), message) in released {
            // the answer of the provider is no news any more; its people's are
            drop(self.people.send(&OutboundMessage { at, ..message.clone() }));
            let of = provider::UpdateOf::Ours(message.key);
            let event = provider::Event::Accepted;
            updates.push(Update { of, event, at, names: Vec::new() });
        }
        for update in self.people.collect(now) {
            let mut twice = false;
            let mut wait = None;
            for event in self.now(update.at) {
                match event {
                    ScenarioEvent::Duplicates { share } => {
                        twice |= state.chance.r#gen::<f64>() < *share;
                    }
                    ScenarioEvent::LateWebhooks { share, wait: late }
                        if state.chance.r#gen::<f64>() < *share =>
                    {
                        wait = Some(*late);
                    }
                    _ => {}
                }
            }
            for _ in 0..=usize::from(twice) {
                match wait {
                    None => updates.push(update.clone()),
                    Some(wait) => {
                        let number = state.number();
                        state.late.insert((update.at + wait, number), update.clone());
                    }
                }
            }
        }
        let later = state.late.split_off(&(now, u64::MAX));
        updates.extend(std::mem::replace(&mut state.late, later).into_values());
        updates
    }
}
