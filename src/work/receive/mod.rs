//! What came back: updates become engagement, consent that ended, and doubts that are settled; what
//! people write opens their service window.
//!
//! Updates come twice, late, early, out of order and about messages nobody knows; all of that is
//! normal. The earliest time of an event counts, and nothing is ever taken back. An update about a
//! message whose call is not settled yet is kept, and taken up once it is.

mod callers;
mod inbox;

use std::collections::BTreeMap;

use chrono::TimeDelta;

use self::callers::Callers;
use self::inbox::Inbox;
use super::{Ctx, channel, dispatch};
use crate::calendar::infer::dialling_country;
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::{Country, Recipient};
use crate::model::time::Instant;
use crate::provider::{
    Event, InboundMessage, Incoming, PreferenceChange, PreferenceKind, StopWord, Update, UpdateOf,
};
use crate::store::{StoreError, Tx};

/// How long a service window stays open after a person's last word.
const WINDOW: TimeDelta = TimeDelta::hours(24);
/// Early updates that are taken up at once.
const EARLY_MAX: usize = 1000;
/// An early update that fits nothing within this time is about nothing of ours.
const EARLY_AGE_MAX: TimeDelta = TimeDelta::hours(6);
/// An update about an unknown message that is older than this did not come early.
const UNKNOWN_AGE_MAX: TimeDelta = TimeDelta::minutes(2);
/// Tries of a transaction that another one crossed.
const TRIES_MAX: usize = 5;

/// What became of a batch of updates.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Received {
    /// Told something new.
    pub applied: u64,
    /// Told nothing new.
    pub known: u64,
    /// Are about no message of ours.
    pub unknown: u64,
    /// Could not be read.
    pub unreadable: u64,
}

/// Takes what came back through the providers themselves, and what came early.
pub async fn collect(ctx: &Ctx) -> Result<Received, StoreError> {
    take_early(ctx).await?;
    let mut updates = Vec::new();
    for provider in ctx.providers.values() {
        updates.extend(provider.collect(ctx.clock.now()));
    }
    apply(ctx, updates).await
}

/// Applies updates, durably and all together.
pub async fn apply(ctx: &Ctx, updates: Vec<Update>) -> Result<Received, StoreError> {
    if updates.is_empty() {
        return Ok(Received::default());
    }
    for _ in 1..TRIES_MAX {
        match apply_once(ctx, updates.clone()).await {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    apply_once(ctx, updates).await
}

async fn apply_once(ctx: &Ctx, updates: Vec<Update>) -> Result<Received, StoreError> {
    let mut tx = ctx.store.begin().await?;
    let mut post = Post::new(ctx);
    post.updates(&mut tx, updates).await?;
    tx.commit().await?;
    Ok(post.received)
}

/// Takes what a provider's webhook was told, durably and all together.
pub async fn take(ctx: &Ctx, provider: &Name, told: Vec<Incoming>) -> Result<Received, StoreError> {
    if told.is_empty() {
        return Ok(Received::default());
    }
    // a transaction that another one crossed is run again
    for _ in 1..TRIES_MAX {
        match take_once(ctx, provider, told.clone()).await {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    take_once(ctx, provider, told).await
}

async fn take_once(
    ctx: &Ctx,
    provider: &Name,
    told: Vec<Incoming>,
) -> Result<Received, StoreError> {
    let mut tx = ctx.store.begin().await?;
    let mut post = Post::new(ctx);
    post.all(&mut tx, provider, told).await?;
    tx.commit().await?;
    Ok(post.received)
}

/// Takes up what came before its call was settled. A conflict is left to the next step.
async fn take_early(ctx: &Ctx) -> Result<(), StoreError> {
    if !ctx.store.any_early().await? {
        return Ok(());
    }
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    let rows = tx.take_early(EARLY_MAX).await?;
    let mut post = Post::new(ctx);
    let mut by_age: BTreeMap<Instant, Vec<Update>> = BTreeMap::new();
    for (body, first_at) in rows.into_iter().filter(|(_, at)| now - *at < EARLY_AGE_MAX) {
        // our own words; one of an older version is as good as lost
        if let Ok(update) = serde_json::from_str(&body) {
            by_age.entry(first_at).or_default().push(update);
        }
    }
    for (first_at, updates) in by_age {
        post.first_at = first_at;
        post.updates(&mut tx, updates).await?;
    }
    tx.commit().await
}

/// One transaction's worth of what came back.
struct Post<'a> {
    ctx: &'a Ctx,
    now: Instant,
    /// When its updates came first.
    first_at: Instant,
    received: Received,
}

impl<'a> Post<'a> {
    fn new(ctx: &'a Ctx) -> Self {
        let now = ctx.clock.now();
        Self { ctx, now, first_at: now, received: Received::default() }
    }

    async fn updates(&mut self, tx: &mut Tx, updates: Vec<Update>) -> Result<(), StoreError> {
        let mut inbox = Inbox::open(tx, &updates).await?;
        let mut early = Vec::new();
        for update in updates {
            // a channel's clock may be ahead of ours
            let at = update.at.min(self.now);
            if inbox.is_unsettled(&update.of)
                || inbox.is_unknown(&update.of)
                    && matches!(update.of, UpdateOf::Theirs(_))
                    && self.now - at < UNKNOWN_AGE_MAX
            {
                early.extend(serde_json::to_string(&update).ok());
                self.received.unknown += u64::from(!inbox.is_unsettled(&update.of));
                continue;
            }
            let Some(key) = inbox.key(&update.of) else {
                self.received.unknown += 1;
                continue;
            };
            let news = inbox.note(self.ctx, tx, &key, update, at).await?;
            match news {
                None => self.received.unknown += 1,
                Some(true) => self.received.applied += 1,
                Some(false) => self.received.known += 1,
            }
        }
        tx.add_early(&early, self.first_at, self.now).await?;
        inbox.close(self.ctx, tx).await
    }

    async fn all(
        &mut self,
        tx: &mut Tx,
        provider: &Name,
        told: Vec<Incoming>,
    ) -> Result<(), StoreError> {
        let mut updates = Vec::new();
        let (mut written, mut preferences, mut moves) = (Vec::new(), Vec::new(), Vec::new());
        for told in told {
            match told {
                Incoming::Update(update) => updates.push(update),
                Incoming::Message(word) => {
                    updates.extend(engagement(&word));
                    written.push(*word);
                }
                Incoming::Moved(told) => moves.push(told),
                Incoming::Preference(change) => preferences.push(change),
                Incoming::Template(change) => {
                    let known = (change.template.as_str(), change.language.as_ref());
                    if change.usable {
                        let canary = self.ctx.config.providers[provider].canary;
                        channel::try_again(tx, provider, known, canary, self.now).await?;
                    } else {
                        let reason = change.reason.as_str();
                        channel::park(self.ctx, tx, provider, known, reason).await?;
                    }
                    self.received.applied += 1;
                }
                // its notice is told as well
                Incoming::Category(_) => {}
                Incoming::UniquePerDay { limit, .. } => {
                    let portfolio = &self.ctx.config.providers[provider].portfolio;
                    let told = limit.map(|limit| limit.to_string()).unwrap_or_default();
                    tx.set_mark(&dispatch::told_limit_mark(portfolio), &told).await?;
                    self.received.applied += 1;
                }
                Incoming::Notice(notice) => {
                    if !notice.clears() {
                        let what = notice.what.as_str();
                        tx.put_alert(provider, &notice.key, what, self.now).await?;
                    }
                    self.received.applied += 1;
                }
                Incoming::Unreadable { what } => {
                    tracing::warn!(%provider, %what, "an item of a post cannot be read");
                    self.received.unreadable += 1;
                }
            }
        }
        if !updates.is_empty() {
            self.updates(tx, updates).await?;
        }
        self.moved(tx, provider, moves).await?;
        if !written.is_empty() {
            self.written(tx, provider, written).await?;
        }
        if preferences.is_empty() {
            return Ok(());
        }
        let names = preferences.iter().flat_map(|change| &change.from);
        let mut callers = Callers::open(tx, provider, names).await?;
        for change in &preferences {
            let people = callers.people(&change.from);
            self.received.unknown += u64::from(people.is_empty());
            for person in people {
                self.preference(tx, provider, person, change).await?;
            }
        }
        callers.close(tx, provider).await
    }

    /// Opens windows, notes presence and opt-outs, keeps words for an endpoint of the user's own.
    async fn written(
        &mut self,
        tx: &mut Tx,
        provider: &Name,
        written: Vec<InboundMessage>,
    ) -> Result<(), StoreError> {
        let names = written.iter().flat_map(|word| &word.from);
        let mut callers = Callers::open(tx, provider, names).await?;
        let config = &self.ctx.config.providers[provider];
        let mut windows: BTreeMap<RecipientId, Instant> = BTreeMap::new();
        let (mut presence, mut withdrawn) = (Vec::new(), Vec::new());
        for word in &written {
            let at = word.at.min(self.now);
            let ids = callers.people(&word.from);
            let is_bound = word.stop.as_ref().is_some_and(|stop| !stop.is_plain());
            let people = tx.recipients(if is_bound { &ids } else { &[] }).await?;
            for id in &ids {
                if word.kind.opens_window() {
                    let until = windows.entry(*id).or_insert(at + WINDOW);
                    *until = (at + WINDOW).max(*until);
                }
                if word.answers.is_none() && word.kind.is_presence() {
                    presence.push((*id, at, "inbound".to_owned()));
                }
                if word.stop.as_ref().is_some_and(|stop| applies(stop, word, people.get(id))) {
                    let source = format!("{provider} stop word");
                    let entry = channel::withdrawal(source, word.id.to_string(), self.now);
                    withdrawn.push((*id, ConsentEntry { at, ..entry }));
                }
            }
            if config.inbound.is_some() {
                let id = word.id.as_str();
                tx.add_inbound(provider, id, ids.first().copied(), &word.raw, self.now).await?;
            }
            if word.answers.is_none() {
                let counted = if ids.is_empty() {
                    &mut self.received.unknown
                } else {
                    &mut self.received.applied
                };
                *counted += 1;
            }
        }
        callers.close(tx, provider).await?;
        let windows: Vec<_> = windows.into_iter().collect();
        tx.open_service_windows(provider, &windows).await?;
        tx.add_activity(&presence, self.now).await?;
        tx.append_consent(&withdrawn).await?;
        if let Some(rate) = config.limits.per_second {
            let span = dispatch::interval_us(rate) * written.len() as i64;
            tx.use_rate(&dispatch::number_account(provider), self.now, span).await?;
        }
        Ok(())
    }

    /// A person's preference, told by the channel. Consent comes back only to whom the channel took it
    /// from: who withdrew elsewhere has said so elsewhere.
    async fn preference(
        &mut self,
        tx: &mut Tx,
        provider: &Name,
        person: RecipientId,
        told: &PreferenceChange,
    ) -> Result<(), StoreError> {
        let (wants, at) = (told.kind.wants(), told.at.min(self.now));
        let source = format!("{provider} user_preferences");
        let change = if wants { ConsentChange::Granted } else { ConsentChange::Withdrawn };
        let evidence = match told.kind {
            PreferenceKind::SignUp => told.evidence.to_string(),
            PreferenceKind::Stop | PreferenceKind::Resume => String::new(),
        };
        // who signs up says so for the first time, or anew
        if told.kind == PreferenceKind::Resume {
            let ledger = tx.ledger(person).await?;
            let ours = ledger.last().is_some_and(|last| {
                last.change == ConsentChange::Withdrawn
                    && last.source.starts_with(&format!("{provider} "))
            });
            if !ours {
                self.received.known += 1;
                return Ok(());
            }
        }
        let entry = ConsentEntry { change, at, source, evidence, recorded_at: self.now };
        let new = tx.append_consent(&[(person, entry)]).await?;
        self.received.applied += new;
        self.received.known += 1 - new.min(1);
        Ok(())
    }
}

/// Whether a stop word means that from this person.
fn applies(stop: &StopWord, word: &InboundMessage, person: Option<&Recipient>) -> bool {
    let profile = person.map(|person| &person.profile);
    let told = profile.and_then(|profile| profile.country.clone());
    let addresses = word.from.iter().chain(profile.and_then(|profile| profile.address.as_ref()));
    let countries: Vec<Country> = addresses.filter_map(dialling_country).chain(told).collect();
    stop.applies(profile.and_then(|profile| profile.locale.as_ref()), &countries)
}

/// What a word that answers a message says of it.
fn engagement(word: &InboundMessage) -> Vec<Update> {
    let Some(answers) = &word.answers else { return Vec::new() };
    let update = |event| {
        let of = UpdateOf::Theirs(answers.clone());
        Update { of, event, at: word.at, names: Vec::new() }
    };
    let mut updates = vec![update(Event::Replied)];
    if word.by_button {
        updates.push(update(Event::Clicked));
    }
    // whether another word is a stop is known with the person
    if word.stop.as_ref().is_some_and(StopWord::is_plain) {
        updates.push(update(Event::OptedOut));
    }
    updates
}
