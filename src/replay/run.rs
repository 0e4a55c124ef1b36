//! One world under one policy: its past is put in, campaigns are submitted, things happen, and the
//! daemon's own steps are run in between, until the clock has shown the scenario's end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tokio::sync::Notify;

use super::compare::{PolicyRow, compare};
use super::event::Event;
use super::faults::{Call, Faulty};
use super::outcome::{self, Outcome};
use super::policy::Policy;
use super::scenario::{Learn, Scenario};
use super::{ReplayError, check, drive};
use crate::calendar::infer::infer;
use crate::calendar::rules::Rules;
use crate::clock::Clock;
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::{Name, RecipientId};
use crate::model::message::Message;
use crate::model::recipient::{Profile, Zone};
use crate::model::time::Instant;
use crate::provider::Provider;
use crate::store::{Create, Store};
use crate::work::learn::Depth;
use crate::work::{Ctx, campaigns, learn, new_node};
use crate::world::World;
use crate::world::history::PersonHistory;

/// People whose past is stored in one transaction.
const PEOPLE_AT_ONCE: usize = 5_000;
/// A daemon that died is started again after so long.
const RESTART: TimeDelta = TimeDelta::minutes(1);

/// Something that is done between two steps.
#[derive(Clone, Copy)]
enum Turn {
    Learn,
    Submit(usize),
    Happen(usize),
}

/// What a whole scenario brought.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// The policies over all worlds.
    pub policies: Vec<PolicyRow>,
    /// Each world under each policy.
    pub outcomes: Vec<Outcome>,
}

/// Replays a scenario: every policy in the world of every seed, each in a database of its own.
/// `tick` is told the policy, the seed and the virtual time.
pub async fn all(
    scenario: &Scenario,
    seeds: &[u64],
    mut tick: impl FnMut(Policy, u64, Instant),
) -> Result<Told, ReplayError> {
    let mut outcomes = Vec::new();
    for seed in seeds {
        let dir = tempfile::tempdir().map_err(ReplayError::Folder)?;
        let file = |name: &str| dir.path().join(name);
        let open = async |path: &Path| {
            Store::open(&format!("sqlite://{}", path.display()), Create::Scratch).await
        };
        // the past is the same whoever plans: it is made and learned from once
        let past = file("past.db");
        let store = open(&past).await?;
        prepare(scenario, *seed, store.clone()).await?;
        store.close().await;
        for policy in &scenario.policies {
            let copy = file("replay.db");
            std::fs::copy(&past, &copy).map_err(ReplayError::Folder)?;
            let store = open(&copy).await?;
            let tick = |at| tick(*policy, *seed, at);
            let mut outcome = play(scenario, *policy, *seed, store.clone(), tick).await?;
            store.close().await;
            if !outcomes.is_empty() {
                // they say the same of the past, and are long
                outcome.weeks.clear();
            }
            outcomes.push(outcome);
        }
    }
    Ok(Told {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        policies: compare(&scenario.policies, &outcomes),
        outcomes,
    })
}

/// Replays a scenario's world of one seed under one policy, in an empty database. `tick` is told
/// the virtual time.
pub async fn one(
    scenario: &Scenario,
    policy: Policy,
    seed: u64,
    store: Store,
    tick: impl FnMut(Instant),
) -> Result<Outcome, ReplayError> {
    prepare(scenario, seed, store.clone()).await?;
    play(scenario, policy, seed, store, tick).await
}

/// Puts a world's people and their past into an empty database, and learns from it.
async fn prepare(scenario: &Scenario, seed: u64, store: Store) -> Result<(), ReplayError> {
    let stage = Stage::new(scenario, Policy::Model, seed, store);
    stage.make_history().await?;
    if scenario.history.is_some() && scenario.learn != Learn::Never {
        stage.learn().await?;
    }
    Ok(())
}

/// Plays a scenario in a database that is prepared.
async fn play(
    scenario: &Scenario,
    policy: Policy,
    seed: u64,
    store: Store,
    mut tick: impl FnMut(Instant),
) -> Result<Outcome, ReplayError> {
    let mut stage = Stage::new(scenario, policy, seed, store);
    stage.ctx.judge = policy.judge(&stage.ctx, &stage.world).await?;
    for (at, turn) in schedule(scenario) {
        stage.drive_until(at, &mut tick).await?;
        match turn {
            Turn::Learn => {
                stage.learn().await?;
                stage.ctx.judge = policy.judge(&stage.ctx, &stage.world).await?;
            }
            Turn::Submit(index) => {
                let table = policy.campaign(&scenario.campaigns[index].1);
                campaigns::submit(&stage.ctx, &table.to_string(), "scenario").await?;
            }
            Turn::Happen(index) => stage.happen(index).await?,
        }
    }
    stage.drive_until(scenario.end, &mut tick).await?;
    stage.outcome().await
}

/// What is done when, in order; of what comes at once, campaigns first.
fn schedule(scenario: &Scenario) -> Vec<(Instant, Turn)> {
    let mut turns: Vec<(Instant, Turn)> =
        scenario.campaigns.iter().zip(0..).map(|((at, _), i)| (*at, Turn::Submit(i))).collect();
    turns.extend(scenario.events.iter().zip(0..).map(|(event, i)| (event.from, Turn::Happen(i))));
    let every = match scenario.learn {
        Learn::Never | Learn::Once => None,
        Learn::Weekly => Some(TimeDelta::days(7)),
        Learn::Nightly => Some(TimeDelta::days(1)),
    };
    if let Some(every) = every {
        let nights = std::iter::successors(Some(scenario.start + every), |at| Some(*at + every));
        turns.extend(nights.take_while(|at| *at < scenario.end).map(|at| (at, Turn::Learn)));
    }
    turns.retain(|(at, _)| *at < scenario.end);
    turns.sort_by_key(|(at, _)| *at);
    turns
}

struct Stage<'s> {
    scenario: &'s Scenario,
    policy: Policy,
    seed: u64,
    world: Arc<World>,
    ctx: Ctx,
    channels: BTreeMap<Name, Arc<Faulty>>,
    crash: Arc<Notify>,
    chance: ChaCha8Rng,
}

impl<'s> Stage<'s> {
    fn new(scenario: &'s Scenario, policy: Policy, seed: u64, store: Store) -> Self {
        let world = Arc::new(scenario.world(seed));
        let crash = Arc::new(Notify::new());
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let mut channel = |name: &Name| {
            let seed = chance.r#gen();
            Arc::new(Faulty::new(name, &world, &scenario.events, seed, &crash))
        };
        let channels: BTreeMap<Name, Arc<Faulty>> =
            scenario.config.providers.keys().map(|name| (name.clone(), channel(name))).collect();
        let providers = channels
            .iter()
            .map(|(name, channel)| (name.clone(), Arc::clone(channel) as Arc<dyn Provider>));
        let ctx = Ctx {
            store,
            clock: Clock::starting_at(scenario.start),
            config: Arc::new(scenario.config.clone()),
            rules: Arc::new(Rules::built_in()),
            providers: Arc::new(providers.collect()),
            node: new_node(),
            judge: None,
        };
        Self { scenario, policy, seed, world, ctx, channels, crash, chance }
    }

    /// Stores the world's people and their past, as the imports of the three files would.
    async fn make_history(&self) -> Result<(), ReplayError> {
        let standard = crate::world::logging::Logging::demo(self.scenario.start);
        let logging = self.scenario.history.as_ref().unwrap_or(&standard);
        let mut people = self.world.history(logging);
        loop {
            let chunk: Vec<PersonHistory> = people.by_ref().take(PEOPLE_AT_ONCE).collect();
            if chunk.is_empty() {
                return Ok(());
            }
            self.store_people(chunk).await?;
        }
    }

    async fn store_people(&self, people: Vec<PersonHistory>) -> Result<(), ReplayError> {
        let now = self.ctx.clock.now();
        let mut tx = self.ctx.store.begin().await?;
        let profile = |person: &PersonHistory| {
            let mut profile = person.recipient.profile.clone();
            if profile.zone.is_none() {
                let place = infer(profile.country.as_ref(), profile.address.as_ref());
                profile.zone = place.map(|place| Zone { tz: place.tz, inferred: true });
            }
            (person.recipient.key.clone(), profile)
        };
        let profiles: Vec<_> = people.iter().map(profile).collect();
        let added = tx.put_recipients(&profiles).await?;
        let has_past = self.scenario.history.is_some();
        let (mut consents, mut messages, mut activity) = (Vec::new(), Vec::new(), Vec::new());
        for ((id, _), person) in added.into_iter().zip(people) {
            if let Some((at, source)) = person.recipient.opted_in {
                consents.push((id, consent(ConsentChange::Granted, at, source, now)));
            }
            if has_past {
                let optout = person.messages.iter().find_map(|m| m.response.opted_out_at);
                let withdrawn = |at| consent(ConsentChange::Withdrawn, at, "message", now);
                consents.extend(optout.map(|at| (id, withdrawn(at))));
                let of_person = |message: Message| (id, message);
                messages.extend(person.messages.into_iter().map(of_person));
                let sign = |(at, kind): (Instant, &'static str)| (id, at, kind.to_owned());
                activity.extend(person.activity.into_iter().map(sign));
            }
        }
        tx.append_consent(&consents).await?;
        tx.add_messages(&messages, now).await?;
        tx.add_activity(&activity, now).await?;
        Ok(tx.commit().await?)
    }

    async fn learn(&self) -> Result<(), ReplayError> {
        learn::run(&self.ctx, None, Depth::Fit, |_, _| {}).await?;
        Ok(())
    }

    /// Lets the daemon work until `until`; when it dies, another starts.
    async fn drive_until(
        &mut self,
        until: Instant,
        tick: &mut impl FnMut(Instant),
    ) -> Result<(), ReplayError> {
        while self.ctx.clock.now() < until {
            let crash = Arc::clone(&self.crash);
            let died = tokio::select! {
                biased;
                () = crash.notified() => true,
                done = drive(&self.ctx, until, &mut *tick) => { done?; false }
            };
            if died {
                self.ctx.clock.advance_to(self.ctx.clock.now() + RESTART);
                self.ctx.node = new_node();
            }
        }
        Ok(())
    }

    /// What an event does to people and to the daemon; what it does to calls, the channel does.
    async fn happen(&mut self, index: usize) -> Result<(), ReplayError> {
        let happening = &self.scenario.events[index];
        match happening.what {
            Event::Asleep => self.ctx.clock.advance_to(happening.until),
            Event::OptOuts { share } => {
                let now = self.ctx.clock.now();
                let entry = consent(ConsentChange::Withdrawn, now, "scenario", now);
                let gone = self.draw(share).await?;
                let entries: Vec<_> = gone.into_iter().map(|id| (id, entry.clone())).collect();
                let mut tx = self.ctx.store.begin().await?;
                tx.append_consent(&entries).await?;
                tx.commit().await?;
            }
            Event::Move { share, zone } => {
                let moved = self.draw(share).await?;
                let mut tx = self.ctx.store.begin().await?;
                let known = tx.recipients(&moved).await?;
                let zone = Some(Zone { tz: zone, inferred: false });
                let profile = Profile { zone, ..Profile::default() };
                let rows: Vec<_> = moved
                    .iter()
                    .filter_map(|id| Some((known.get(id)?.key.clone(), profile.clone())))
                    .collect();
                tx.put_recipients(&rows).await?;
                tx.commit().await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A share of everybody, at random.
    async fn draw(&mut self, share: f64) -> Result<Vec<RecipientId>, ReplayError> {
        let mut drawn = Vec::new();
        let mut after = RecipientId(0);
        loop {
            let page = self.ctx.store.recipients_after(after, PEOPLE_AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(drawn) };
            after = last.id;
            let hit = |_: &_| self.chance.r#gen::<f64>() < share;
            drawn.extend(page.iter().map(|recipient| recipient.id).filter(hit));
        }
    }

    async fn outcome(self) -> Result<Outcome, ReplayError> {
        let calls: Vec<Call> = self.channels.values().flat_map(|channel| channel.calls()).collect();
        let mut outcome = outcome::of(&self.ctx, &self.world, &calls).await?;
        outcome.policy = self.policy;
        outcome.seed = self.seed;
        outcome.broken = check::all(&self.ctx, &calls).await?;
        Ok(outcome)
    }
}

fn consent(change: ConsentChange, at: Instant, source: &str, now: Instant) -> ConsentEntry {
    let (source, evidence) = (source.to_owned(), String::new());
    ConsentEntry { change, at, source, evidence, recorded_at: now }
}
