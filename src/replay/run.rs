//! One world under one policy: its past is put in, campaigns are submitted, things happen, and the
//! daemon's own steps are run in between, until the clock has shown the scenario's end.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::bookings::{BookingChange, Bookings};
use super::compare::{PolicyRow, compare};
use super::event::ScenarioEvent;
use super::faults::{Call, Faulty};
use super::outcome::{self, Outcome};
use super::past::{self, consent};
use super::policy::{Cast, Policy};
use super::recalled::Memory;
use super::scenario::{Learn, Scenario, Script};
use super::{ReplayError, check, drive};
use crate::clock::Clock;
use crate::model::consent::ConsentChange;
use crate::model::event::{EventKind, PersonEvent};
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::{Profile, Recipient, Zone};
use crate::model::time::Instant;
use crate::provider::Provider;
use crate::store::{Create, Store};
use crate::work::learn::Depth;
use crate::work::occurrences::LOOK_EVERY;
use crate::work::{Ctx, StepEnv, campaigns, learn, new_node};
use crate::world::Crowd;

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
pub struct ReplayResult {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// The policies over all worlds.
    pub policies: Vec<PolicyRow>,
    /// Each world under each policy.
    pub outcomes: Vec<Outcome>,
}

impl ReplayResult {
    fn new(script: &Script, outcomes: Vec<Outcome>) -> Self {
        Self {
            scenario: script.name.clone(),
            about: script.about.clone(),
            policies: compare(&script.policies, &outcomes),
            outcomes,
        }
    }
}

/// Replays a scenario: every policy in the world of every seed, each in a database of its own.
/// `tick` is told the policy, the seed and the virtual time.
pub async fn all(
    scenario: &Scenario,
    seeds: &[u64],
    mut tick: impl FnMut(Policy, u64, Instant),
) -> Result<ReplayResult, ReplayError> {
    let script = &scenario.script;
    let mut outcomes = Vec::new();
    for seed in seeds {
        let room = Room::new()?;
        // the past is the same whoever plans: it is made and learned from once
        let store = room.open(PAST).await?;
        let cast = prepare(scenario, *seed, store.clone()).await?;
        store.close().await;
        room.play(script, &cast, *seed, &mut outcomes, &mut tick).await?;
    }
    Ok(ReplayResult::new(script, outcomes))
}

/// Plays a script with the people of a workspace as its model remembers them, in copies of its
/// database: every policy for every seed's truth about them.
pub async fn recalled(
    ctx: &Ctx,
    script: &Script,
    seeds: &[u64],
    mut tick: impl FnMut(Policy, u64, Instant),
) -> Result<ReplayResult, ReplayError> {
    let mut outcomes = Vec::new();
    let room = Room::new()?;
    ctx.store.copy_to(&room.file(PAST)).await?;
    // read from the copy: people may come and go meanwhile
    let store = room.open(PAST).await?;
    let memory = Memory::load(&Ctx { store: store.clone(), ..ctx.clone() }).await?;
    store.close().await;
    for seed in seeds {
        let cast = Cast::Recalled(Arc::new(memory.draw(*seed)));
        room.play(script, &cast, *seed, &mut outcomes, &mut tick).await?;
    }
    Ok(ReplayResult::new(script, outcomes))
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
    let cast = prepare(scenario, seed, store.clone()).await?;
    play(&scenario.script, policy, &cast, seed, store, tick).await
}

/// Puts a world's people and their past into an empty database, and learns from it.
async fn prepare(scenario: &Scenario, seed: u64, store: Store) -> Result<Cast, ReplayError> {
    let script = &scenario.script;
    let world = Arc::new(scenario.world(seed));
    let cast = Cast::Invented(Arc::clone(&world));
    let stage = Stage::new(script, Policy::Model, &cast, seed, store);
    past::put(&stage.ctx, &world, scenario.history.as_ref()).await?;
    if scenario.history.is_some() && script.learn != Learn::Never {
        stage.learn().await?;
    }
    Ok(cast)
}

/// A folder for databases that are thrown away.
struct Room(TempDir);

const PAST: &str = "past.db";
const PRESENT: &str = "replay.db";

impl Room {
    fn new() -> Result<Self, ReplayError> {
        tempfile::tempdir().map(Self).map_err(ReplayError::Folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn open(&self, name: &str) -> Result<Store, ReplayError> {
        let url = format!("sqlite://{}", self.file(name).display());
        Ok(Store::open(&url, Create::Scratch).await?)
    }

    /// Plays a script under each policy, each in a copy of the past.
    async fn play(
        &self,
        script: &Script,
        cast: &Cast,
        seed: u64,
        outcomes: &mut Vec<Outcome>,
        tick: &mut impl FnMut(Policy, u64, Instant),
    ) -> Result<(), ReplayError> {
        for policy in &script.policies {
            std::fs::copy(self.file(PAST), self.file(PRESENT)).map_err(ReplayError::Folder)?;
            let store = self.open(PRESENT).await?;
            let tick = |at| tick(*policy, seed, at);
            let mut outcome = play(script, *policy, cast, seed, store.clone(), tick).await?;
            store.close().await;
            if !outcomes.is_empty() {
                // they say the same of the past, and are long
                outcome.weeks.clear();
            }
            outcomes.push(outcome);
        }
        Ok(())
    }
}

/// Plays a script in a database that is prepared.
async fn play(
    script: &Script,
    policy: Policy,
    cast: &Cast,
    seed: u64,
    store: Store,
    mut tick: impl FnMut(Instant),
) -> Result<Outcome, ReplayError> {
    let mut stage = Stage::new(script, policy, cast, seed, store);
    stage.ctx.preference_override = policy.preference_override(&stage.ctx, script, cast).await?;
    for (at, turn) in schedule(script) {
        stage.drive_until(at, &mut tick).await?;
        match turn {
            Turn::Learn => {
                stage.learn().await?;
                stage.ctx.preference_override =
                    policy.preference_override(&stage.ctx, script, cast).await?;
            }
            Turn::Submit(index) => {
                let table = policy.campaign(&script.campaigns[index].1);
                campaigns::submit(&stage.ctx, &table.to_string(), "scenario").await?;
            }
            Turn::Happen(index) => stage.happen(index).await?,
        }
    }
    stage.drive_until(script.end, &mut tick).await?;
    stage.outcome().await
}

/// What is done when, in order; of what comes at once, campaigns first.
fn schedule(script: &Script) -> Vec<(Instant, Turn)> {
    let mut turns: Vec<(Instant, Turn)> =
        script.campaigns.iter().zip(0..).map(|((at, _), i)| (*at, Turn::Submit(i))).collect();
    turns.extend(script.events.iter().zip(0..).map(|(event, i)| (event.from, Turn::Happen(i))));
    let every = match script.learn {
        Learn::Never | Learn::Once => None,
        Learn::Weekly => Some(TimeDelta::days(7)),
        Learn::Nightly => Some(TimeDelta::days(1)),
    };
    if let Some(every) = every {
        let nights = std::iter::successors(Some(script.start + every), |at| Some(*at + every));
        turns.extend(nights.take_while(|at| *at < script.end).map(|at| (at, Turn::Learn)));
    }
    turns.retain(|(at, _)| *at < script.end);
    turns.sort_by_key(|(at, _)| *at);
    turns
}

struct Stage<'s> {
    script: &'s Script,
    policy: Policy,
    seed: u64,
    crowd: Arc<dyn Crowd>,
    ctx: Ctx,
    channels: BTreeMap<Name, Arc<Faulty>>,
    crash: Arc<Notify>,
    chance: ChaCha8Rng,
    bookings: Bookings,
}

impl<'s> Stage<'s> {
    fn new(script: &'s Script, policy: Policy, cast: &Cast, seed: u64, store: Store) -> Self {
        let crowd = cast.crowd();
        let crash = Arc::new(Notify::new());
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let mut channel = |name: &Name| {
            let (crowd, seed) = (Arc::clone(&crowd), chance.r#gen());
            Arc::new(Faulty::new(name, crowd, &script.events, seed, &crash))
        };
        let channels: BTreeMap<Name, Arc<Faulty>> =
            script.config.providers.keys().map(|name| (name.clone(), channel(name))).collect();
        let providers = channels
            .iter()
            .map(|(name, channel)| (name.clone(), Arc::clone(channel) as Arc<dyn Provider>));
        let ctx = Ctx {
            store,
            env: StepEnv {
                clock: Clock::starting_at(script.start),
                config: Arc::new(script.config.clone()),
                rules: Arc::clone(&script.rules),
                providers: Arc::new(providers.collect()),
                node: new_node(),
                preference_override: None,
            },
        };
        Self {
            script,
            policy,
            seed,
            crowd,
            ctx,
            channels,
            crash,
            chance,
            bookings: Bookings::default(),
        }
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
        let happening = &self.script.events[index];
        let now = self.ctx.clock.now();
        match &happening.what {
            ScenarioEvent::Asleep => self.ctx.clock.advance_to(happening.until),
            ScenarioEvent::OptOuts { share } => {
                let entry = consent(ConsentChange::Withdrawn, now, "scenario", now);
                let gone = self.draw(*share).await?;
                let entries: Vec<_> = gone.into_iter().map(|id| (id, entry.clone())).collect();
                let mut tx = self.ctx.store.begin().await?;
                tx.append_consent(&entries).await?;
                tx.commit().await?;
            }
            ScenarioEvent::Move { share, zone } => {
                let moved = self.draw(*share).await?;
                let mut tx = self.ctx.store.begin().await?;
                let known = tx.recipients(&moved).await?;
                let zone = Some(Zone { tz: *zone, inferred: false });
                let profile = Profile { zone, ..Profile::default() };
                let rows: Vec<_> = moved
                    .iter()
                    .filter_map(|id| Some((known.get(id)?.key.clone(), profile.clone())))
                    .collect();
                tx.put_recipients(&rows).await?;
                tx.commit().await?;
            }
            ScenarioEvent::Bookings { share, event, times } => {
                let drawn: HashSet<RecipientId> = self.draw(*share).await?.into_iter().collect();
                let people = self.people().await?.into_iter();
                let people: Vec<_> = people.filter(|(one, _)| drawn.contains(&one.id)).collect();
                let events = self.bookings.book(event, &people, *times, (now, &mut self.chance));
                self.tell(&events).await?;
            }
            ScenarioEvent::Rebookings { share, event, times } => {
                self.rebook(event, *share, &BookingChange::To(*times)).await?;
            }
            ScenarioEvent::Cancellations { share, event, by } => {
                let cancelled = BookingChange::Cancelled { by: by.clone() };
                self.rebook(event, *share, &cancelled).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Everybody, with the clock that they live by.
    async fn people(&self) -> Result<Vec<(Recipient, Tz)>, ReplayError> {
        let people = self.ctx.store.read().await?.everybody().await?.into_iter();
        let zone = self.ctx.config.time_zone;
        Ok(people
            .map(|one| {
                let zone = one.profile.zone_or(zone);
                (one, zone)
            })
            .collect())
    }

    async fn rebook(
        &mut self,
        kind: &EventKind,
        share: f64,
        what: &BookingChange,
    ) -> Result<(), ReplayError> {
        let people = self.people().await?.into_iter();
        let people = people.map(|(one, zone)| (one.key, (one.id, zone))).collect();
        let at = (self.ctx.clock.now(), &mut self.chance);
        let events = self.bookings.change(kind, share, &people, what, at);
        self.tell(&events).await
    }

    async fn tell(&self, events: &[(RecipientId, PersonEvent)]) -> Result<(), ReplayError> {
        let mut tx = self.ctx.store.begin().await?;
        tx.put_events(events, self.ctx.clock.now()).await?;
        tx.commit().await?;
        // the next round looks for what happened
        self.ctx.clock.advance_to(self.ctx.clock.now() + LOOK_EVERY);
        Ok(())
    }

    /// A share of everybody, at random.
    async fn draw(&mut self, share: f64) -> Result<Vec<RecipientId>, ReplayError> {
        let people = self.ctx.store.read().await?.everybody().await?;
        let ids = people.iter().map(|recipient| recipient.id);
        Ok(ids.filter(|_| self.chance.r#gen::<f64>() < share).collect())
    }

    async fn outcome(self) -> Result<Outcome, ReplayError> {
        let calls: Vec<Call> = self.channels.values().flat_map(|channel| channel.calls()).collect();
        let played = outcome::played(&self.ctx, self.script.start).await?;
        let mut outcome = outcome::of(&self.ctx, &*self.crowd, &played, &calls).await?;
        outcome.policy = self.policy;
        outcome.seed = self.seed;
        outcome.broken = check::all(&self.ctx, &played, &calls).await?;
        let campaigns = outcome::all_campaigns(&self.ctx).await?;
        outcome.broken.extend(self.bookings.check(&self.ctx, &campaigns, &calls).await?);
        outcome.broken.truncate(check::TOLD_MAX);
        Ok(outcome)
    }
}
