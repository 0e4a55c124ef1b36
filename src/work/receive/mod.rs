//! What came back: updates become engagement, consent that ended, and doubts that are settled; what
//! people write opens their service window, and is told by what it means.
//!
//! Updates come twice, late, early, out of order and about messages nobody knows; all of that is
//! normal. The earliest time of an event counts, and nothing is ever taken back. An update about a
//! message whose call is not settled yet is kept, and taken up once it is. What a person says of
//! consent is applied at once; where nobody knows the person yet, it is kept until somebody does.
//!
//! *Invariant:* a webhook speaks for its own provider: it touches no message of another.

mod charges;
mod moves;
mod permits;
mod replies;
mod responses;
mod seen;
mod senders;
mod statuses;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use self::replies::ReplyBatch;
use self::senders::SenderLookup;
use self::statuses::{Noted, StatusBatch};
use super::channel::{self, TemplateKey};
use super::replies::{JudgedReplies, judge, withdrawal};
use super::{Ctx, StepEnv, dispatch, refusals, templates};
use crate::calendar::infer::dialling_country;
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::content::Category;
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::{Country, Recipient};
use crate::model::time::Instant;
use crate::provider::{
    CategoryChange, Event, InboundMessage, Incoming, Notice, PreferenceChange, PreferenceKind,
    StopWord, TemplateCategory, TemplateChange, Update, UpdateOf,
};
use crate::store::{StoreError, Tx};

/// Early updates that are taken up at once.
const EARLY_MAX: usize = 1000;
/// An early update that fits nothing within this time is about nothing of ours.
const EARLY_AGE_MAX: TimeDelta = TimeDelta::hours(6);
/// An opt-out that answers a message nobody knows is kept that long.
const OPT_OUT_AGE_MAX: TimeDelta = TimeDelta::days(30);
/// An update about an unknown message that is older than this did not come early.
const UNKNOWN_AGE_MAX: TimeDelta = TimeDelta::minutes(2);
/// Tries of a transaction that another one crossed.
const TRIES_MAX: usize = 5;

/// What became of a batch of updates.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Told something new.
    pub applied: u64,
    /// Told nothing new.
    pub known: u64,
    /// Are about no message or person of ours.
    pub unknown: u64,
    /// Could not be read.
    pub unreadable: u64,
}

impl Received {
    fn and(self, other: Self) -> Self {
        Self {
            applied: self.applied + other.applied,
            known: self.known + other.known,
            unknown: self.unknown + other.unknown,
            unreadable: self.unreadable + other.unreadable,
        }
    }
}

/// Takes what came back through the providers themselves, and what came early. One provider's
/// failure keeps nobody else's back.
pub async fn collect(ctx: &Ctx) -> Result<Received, StoreError> {
    take_early(ctx).await?;
    let (mut received, mut failure) = (Received::default(), None);
    for (name, provider) in ctx.providers.iter() {
        let updates = provider.collect(ctx.clock.now());
        match apply(ctx, name, updates).await {
            Ok(more) => received = received.and(more),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(received), Err)
}

/// Applies a provider's updates, durably and all together.
pub async fn apply(
    ctx: &Ctx,
    provider: &Name,
    updates: Vec<Update>,
) -> Result<Received, StoreError> {
    take(ctx, provider, updates.into_iter().map(Incoming::Update).collect()).await
}

/// Takes what a provider's webhook was told, durably and all together.
pub async fn take(ctx: &Ctx, provider: &Name, told: Vec<Incoming>) -> Result<Received, StoreError> {
    if told.is_empty() {
        return Ok(Received::default());
    }
    let judged = judge(ctx, &told).await?;
    // a transaction that another one crossed is run again
    for _ in 1..TRIES_MAX {
        match take_once(ctx, provider, told.clone(), judged.clone()).await {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    take_once(ctx, provider, told, judged).await
}

async fn take_once(
    ctx: &Ctx,
    provider: &Name,
    told: Vec<Incoming>,
    judged: JudgedReplies,
) -> Result<Received, StoreError> {
    let mut tx = ctx.store.begin().await?;
    let mut batch = WebhookBatch { judged, ..WebhookBatch::new(ctx, provider) };
    batch.all(&mut tx, told).await?;
    tx.commit().await?;
    Ok(batch.received)
}

/// An update as it is kept until its message is known.
#[derive(Serialize, Deserialize)]
struct EarlyUpdate {
    provider: Name,
    update: Update,
}

/// Takes up what came before its call was settled. A conflict is left to the next step.
async fn take_early(ctx: &Ctx) -> Result<(), StoreError> {
    if !ctx.store.read().await?.any_early().await? {
        return Ok(());
    }
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    let rows = tx.take_early(EARLY_MAX).await?;
    let mut by_age: BTreeMap<(Name, Instant), Vec<Update>> = BTreeMap::new();
    for (body, first_at) in rows {
        // our own words; one of an older version is of whatever provider knows its message
        let found = match serde_json::from_str::<EarlyUpdate>(&body) {
            Ok(early) => vec![early],
            Err(_) => serde_json::from_str::<Update>(&body).map_or_else(
                |_| Vec::new(),
                |update| {
                    let of = |provider: &Name| EarlyUpdate {
                        provider: provider.clone(),
                        update: update.clone(),
                    };
                    ctx.providers.keys().map(of).collect()
                },
            ),
        };
        for EarlyUpdate { provider, update } in found {
            if now - first_at < kept_for(&update) {
                by_age.entry((provider, first_at)).or_default().push(update);
            }
        }
    }
    for ((provider, first_at), updates) in by_age {
        let mut batch = WebhookBatch { first_at, ..WebhookBatch::new(ctx, &provider) };
        batch.updates(&mut tx, updates).await?;
    }
    tx.commit().await
}

fn kept_for(update: &Update) -> TimeDelta {
    if update.event.ends_consent().is_some() { OPT_OUT_AGE_MAX } else { EARLY_AGE_MAX }
}

/// One transaction's worth of what came back from one provider.
struct WebhookBatch<'a> {
    env: &'a StepEnv,
    provider: &'a Name,
    now: Instant,
    /// When its updates came first.
    first_at: Instant,
    /// What the texts of people are taken for.
    judged: JudgedReplies,
    received: Received,
}

impl<'a> WebhookBatch<'a> {
    fn new(env: &'a StepEnv, provider: &'a Name) -> Self {
        let now = env.clock.now();
        let (judged, received) = (JudgedReplies::new(), Received::default());
        Self { env, provider, now, first_at: now, judged, received }
    }

    async fn updates(&mut self, tx: &mut Tx, updates: Vec<Update>) -> Result<(), StoreError> {
        let mut batch = StatusBatch::open(self.env, tx, self.provider, &updates).await?;
        let mut early = Vec::new();
        for update in updates {
            // a channel's clock may be ahead of ours
            let at = update.at.min(self.now);
            // a charge comes with what it is for, which is counted
            let one = u64::from(!matches!(update.event, Event::Charged(_)));
            let mut noted = batch.note(tx, &update, at).await?;
            let may_come = update.event.ends_consent().is_some() || self.now - at < UNKNOWN_AGE_MAX;
            if noted == Noted::Unknown && matches!(update.of, UpdateOf::Theirs(_)) && may_come {
                self.received.unknown += one;
                noted = Noted::Early;
            }
            match noted {
                Noted::News => self.received.applied += one,
                Noted::Known => self.received.known += one,
                Noted::Unknown => self.received.unknown += one,
                Noted::Early => {
                    let provider = self.provider.clone();
                    early.extend(serde_json::to_string(&EarlyUpdate { provider, update }).ok());
                }
            }
        }
        tx.add_early(&early, self.first_at, self.now).await?;
        batch.close(tx).await
    }

    async fn all(&mut self, tx: &mut Tx, told: Vec<Incoming>) -> Result<(), StoreError> {
        let mut updates = Vec::new();
        let (mut written, mut preferences, mut moves) = (Vec::new(), Vec::new(), Vec::new());
        let (mut permits, mut seen) = (Vec::new(), Vec::new());
        for told in told {
            match told {
                Incoming::Update(update) => updates.push(update),
                Incoming::Seen { from, until } => seen.push((from, until)),
                Incoming::Message(word) => {
                    let is_stop = replies::is_sure_stop(&word, &self.judged);
                    updates.extend(engagement(&word, is_stop));
                    written.push(*word);
                }
                Incoming::Moved(told) => moves.push(told),
                Incoming::Permit(change) => permits.push(change),
                Incoming::Preference(change) => preferences.push(change),
                Incoming::Template(change) => {
                    self.template(tx, &change).await?;
                    templates::outdate(tx, self.provider).await?;
                }
                Incoming::Category(change) => {
                    self.category(tx, &change).await?;
                    templates::outdate(tx, self.provider).await?;
                }
                Incoming::UniquePerDay { limit, at } => {
                    self.unique_per_day(tx, limit, at).await?;
                }
                Incoming::Notice(notice) => {
                    self.notice(tx, &notice).await?;
                    if notice.is_of_template() {
                        templates::outdate(tx, self.provider).await?;
                    }
                }
                Incoming::Unreadable { what } => {
                    tracing::warn!(provider = %self.provider, %what, "an item cannot be read");
                    self.received.unreadable += 1;
                }
            }
        }
        updates.extend(self.seen(tx, &seen).await?);
        if !updates.is_empty() {
            self.updates(tx, updates).await?;
        }
        self.moved(tx, moves).await?;
        self.permitted(tx, permits).await?;
        if !written.is_empty() {
            self.written(tx, written).await?;
        }
        if preferences.is_empty() { Ok(()) } else { self.preferences(tx, preferences).await }
    }

    fn count(&mut self, is_news: bool) {
        *(if is_news { &mut self.received.applied } else { &mut self.received.known }) += 1;
    }

    async fn template(&mut self, tx: &mut Tx, change: &TemplateChange) -> Result<(), StoreError> {
        let key = TemplateKey::new(&change.template, change.language.as_ref());
        let told_at = change.at.unwrap_or(self.now).min(self.now);
        let news = if change.usable {
            let canary = self.env.config.providers[self.provider].canary;
            channel::restart(self.env, tx, self.provider, &key, (canary, told_at)).await?
        } else {
            let reason = change.reason.as_str();
            channel::park(self.env, tx, self.provider, &key, reason, told_at).await?
        };
        self.count(news);
        Ok(())
    }

    /// A template that became marketing goes with no utility campaign, until it is utility again.
    async fn category(&mut self, tx: &mut Tx, change: &CategoryChange) -> Result<(), StoreError> {
        if change.announced {
            return Ok(());
        }
        let key = TemplateKey::new(&change.template, change.language.as_ref());
        let told_at = change.at.unwrap_or(self.now).min(self.now);
        let category = match change.category {
            TemplateCategory::Marketing => Some(Category::Marketing),
            TemplateCategory::Utility => Some(Category::Utility),
            TemplateCategory::Authentication | TemplateCategory::Other => None,
        };
        let first = self.env.config.providers[self.provider].canary.messages;
        let names = (key.name.as_str(), key.language.as_str());
        let times = (told_at, self.now);
        let news = tx.put_template_category(self.provider, names, first, category, times).await?;
        self.count(news);
        if news && category == Some(Category::Marketing) {
            channel::decide_anew(self.env, tx, self.provider, &key).await?;
        } else if news {
            channel::plan_refused_again(self.env, tx, self.provider, &key).await?;
        }
        Ok(())
    }

    /// The channel's own limit of different people a day; an older word changes nothing.
    async fn unique_per_day(
        &mut self,
        tx: &mut Tx,
        limit: Option<u32>,
        at: Option<Instant>,
    ) -> Result<(), StoreError> {
        let portfolio = &self.env.config.providers[self.provider].portfolio;
        let mark = dispatch::told_limit_mark(portfolio);
        let at = at.unwrap_or(self.now).min(self.now);
        let known = tx.mark(&mark).await?;
        let news = dispatch::told_limit(known.as_deref()).is_none_or(|(_, told_at)| told_at <= at);
        if news {
            tx.set_mark(&mark, &dispatch::told_limit_text(limit, at)).await?;
        }
        self.count(news);
        Ok(())
    }

    /// Good news answers the alert of its key; what stops an account pauses its campaigns.
    async fn notice(&mut self, tx: &mut Tx, notice: &Notice) -> Result<(), StoreError> {
        let at = notice.at.unwrap_or(self.now).min(self.now);
        let what = if notice.clears() { "" } else { notice.what.as_str() };
        let news = tx.put_alert(self.provider, &notice.key, what, (at, notice.until)).await?;
        let is_over = notice.until.is_some_and(|until| until <= self.now);
        if news && notice.stops() && !is_over {
            channel::stop(self.env, tx, self.provider, &notice.key, what, notice.until).await?;
        }
        self.count(news);
        Ok(())
    }

    /// Opens windows, notes presence and opt-outs, keeps texts and words for an endpoint of the user's
    /// own.
    async fn written(
        &mut self,
        tx: &mut Tx,
        written: Vec<InboundMessage>,
    ) -> Result<(), StoreError> {
        let (env, provider) = (self.env, self.provider);
        let names = written.iter().flat_map(|word| &word.from);
        let mut senders = SenderLookup::open(tx, provider, names).await?;
        let config = &env.config.providers[provider];
        let answered_within = TimeDelta::from_std(config.kind.answers_within()).unwrap_or_default();
        let mut windows: BTreeMap<RecipientId, Instant> = BTreeMap::new();
        let mut reached: BTreeMap<RecipientId, Instant> = BTreeMap::new();
        let (mut presence, mut withdrawn) = (Vec::new(), Vec::new());
        let mut replies = ReplyBatch::default();
        for word in &written {
            let at = word.at.min(self.now);
            let ids = senders.people(&word.from);
            let is_bound = word.stop.as_ref().is_some_and(|stop| !stop.is_plain());
            let people = tx.recipients(if is_bound { &ids } else { &[] }).await?;
            let source = || format!("{provider} stop word");
            let entry = channel::withdrawal(source(), word.id.to_string(), self.now);
            let entry = ConsentEntry { at, ..entry };
            for id in &ids {
                if word.kind.opens_window() {
                    let until = windows.entry(*id).or_insert(at + answered_within);
                    *until = (at + answered_within).max(*until);
                    let last = reached.entry(*id).or_insert(at);
                    *last = at.max(*last);
                }
                if word.answers.is_none() && word.kind.is_presence() {
                    presence.push((*id, at, "inbound".to_owned()));
                }
                if word.stop.as_ref().is_some_and(|stop| applies(stop, word, people.get(id))) {
                    withdrawn.push((*id, entry.clone()));
                }
            }
            let is_stop = withdrawn.last().is_some_and(|(_, last)| last.evidence == entry.evidence);
            replies.add(word, &self.judged, (&ids, at), is_stop);
            // where nobody is known, the dialling code alone tells whether a bound word counts
            if ids.is_empty() && word.stop.as_ref().is_some_and(|stop| applies(stop, word, None)) {
                tx.keep_consent(Some(provider), &word.from, &entry).await?;
            }
            if ids.is_empty() && replies::is_sure_stop(word, &self.judged) {
                let entry = withdrawal(provider, word.id.as_str(), (at, self.now));
                tx.keep_consent(Some(provider), &word.from, &entry).await?;
            }
            if config.inbound.is_some() {
                let id = word.id.as_str();
                tx.add_inbound(provider, id, ids.first().copied(), &word.raw, self.now).await?;
            }
            if word.answers.is_none() && ids.is_empty() {
                self.received.unknown += 1;
            } else if word.answers.is_none() {
                self.received.applied += 1;
            }
        }
        senders.close(env, tx, provider).await?;
        let windows: Vec<_> = windows.into_iter().collect();
        tx.open_service_windows(provider, &windows).await?;
        self.count_answers(tx, &windows).await?;
        tx.lift_suppressions(provider, &reached).await?;
        tx.add_activity(&presence, self.now).await?;
        withdrawn.extend(replies.keep(env, tx, provider).await?);
        refusals::withdraw(tx, &withdrawn).await?;
        if let Some(rate) = config.limits.per_second {
            let span = dispatch::interval_us(rate) * written.len() as i64;
            tx.use_rate(&channel::number_account(provider), self.now, span).await?;
        }
        Ok(())
    }

    /// What people told the channel's own switch: their own word, also where they want messages.
    async fn preferences(
        &mut self,
        tx: &mut Tx,
        changes: Vec<PreferenceChange>,
    ) -> Result<(), StoreError> {
        let provider = self.provider;
        let names = changes.iter().flat_map(|change| &change.from);
        let mut senders = SenderLookup::open(tx, provider, names).await?;
        for told in &changes {
            let at = told.at.min(self.now);
            let wants = told.kind.wants();
            let change = if wants { ConsentChange::Granted } else { ConsentChange::Withdrawn };
            let source = match told.kind {
                PreferenceKind::SignUp => format!("{provider} sign-up"),
                PreferenceKind::Stop | PreferenceKind::Resume => {
                    format!("{provider} user_preferences")
                }
            };
            let evidence = told.evidence.to_string();
            let alone = self.env.config.providers[provider].kind.is_left_alone();
            let entry = ConsentEntry {
                change,
                at,
                source,
                evidence,
                recorded_at: self.now,
                scope: if alone { ConsentScope::of(provider) } else { ConsentEntry::EVERYWHERE },
            };
            let people = senders.people(&told.from);
            if people.is_empty() {
                self.received.unknown += 1;
                tx.keep_consent(Some(provider), &told.from, &entry).await?;
            }
            for person in people {
                let entries = [(person, entry.clone())];
                let new = match change {
                    ConsentChange::Granted => tx.append_consent(&entries).await?,
                    ConsentChange::Withdrawn => refusals::withdraw(tx, &entries).await?,
                };
                self.count(new > 0);
            }
        }
        senders.close(self.env, tx, provider).await
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
fn engagement(word: &InboundMessage, is_stop: bool) -> Vec<Update> {
    let Some(answers) = &word.answers else { return Vec::new() };
    let update = |event| {
        let of = UpdateOf::Theirs(answers.clone());
        Update { of, event, at: word.at, names: Vec::new() }
    };
    let mut updates = vec![update(Event::Replied)];
    if word.by_button {
        updates.push(update(Event::Clicked));
    }
    // whether another word of the list is a stop is known with the person
    if is_stop || word.stop.as_ref().is_some_and(StopWord::is_plain) {
        updates.push(update(Event::OptedOut));
    }
    updates
}
