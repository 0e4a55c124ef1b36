//! The messages that a batch of updates is about, read and locked once, and written back once.
//!
//! Updates count for messages of the provider that they come from, and for nobody else's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::charges::{self, ToldCharge};
use super::responses::{fill, note_failure};
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::delivery::{Reason, State, message_key, parse_message_key};
use crate::model::ids::{MessageKey, Name, RecipientId};
use crate::model::message::Response;
use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::{Event, RefusalScope, SendOutcome, Update, UpdateOf};
use crate::store::{Answered, CampaignRow, CampaignStatus, MessageRow, StoreError, Tx};
use crate::work::StepEnv;
use crate::work::channel::{self, TemplateKey};
use crate::work::refusals;

/// Tries of a message that the channel gave up after it had taken it.
const ATTEMPTS_MAX: u32 = 3;

/// A message that updates may be about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UpdateSubject {
    /// A person's delivery in a campaign of ours.
    Delivery(i64, RecipientId),
    /// One that a file brought.
    Imported(MessageKey),
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    News,
    Known,
    Unknown,
    /// The call that it answers is not settled yet, or its message is not known yet.
    Early,
}

/// The messages that a batch of updates of one provider is about.
pub(super) struct StatusBatch<'a> {
    env: &'a StepEnv,
    provider: &'a Name,
    campaigns: HashMap<i64, Arc<CampaignRow>>,
    by_name: HashMap<Name, i64>,
    /// In order, so that rows are written in one order everywhere.
    deliveries: BTreeMap<(i64, RecipientId), Open<Answered>>,
    imported: BTreeMap<MessageKey, Open<MessageRow>>,
    by_provider: BTreeMap<String, (i64, RecipientId)>,
    /// Who is in a claim.
    claimed: BTreeSet<(i64, RecipientId)>,
    parked: BTreeSet<TemplateKey>,
    stopped: BTreeSet<String>,
    withdrawn: Vec<(RecipientId, ConsentEntry)>,
    reached: BTreeMap<RecipientId, Instant>,
    /// What the channel calls people.
    names: BTreeMap<Address, RecipientId>,
    /// How it charges for what it delivered, and when that was told.
    charges: BTreeMap<(i64, RecipientId), ToldCharge>,
}

struct Open<T> {
    row: T,
    changed: bool,
    /// Whether the state changed, which a closed campaign's sums do not know.
    moved: bool,
}

impl<T> From<T> for Open<T> {
    fn from(row: T) -> Self {
        Self { row, changed: false, moved: false }
    }
}

impl<'a> StatusBatch<'a> {
    pub(super) async fn open(
        env: &'a StepEnv,
        tx: &mut Tx,
        provider: &'a Name,
        updates: &[Update],
    ) -> Result<Self, StoreError> {
        let mut batch = Self {
            env,
            provider,
            campaigns: HashMap::new(),
            by_name: HashMap::new(),
            deliveries: BTreeMap::new(),
            imported: BTreeMap::new(),
            by_provider: BTreeMap::new(),
            claimed: BTreeSet::new(),
            parked: BTreeSet::new(),
            stopped: BTreeSet::new(),
            withdrawn: Vec::new(),
            reached: BTreeMap::new(),
            names: BTreeMap::new(),
            charges: BTreeMap::new(),
        };
        let (mut ours, mut theirs) = (BTreeMap::<Name, BTreeSet<RecipientId>>::new(), Vec::new());
        let mut keys = Vec::new();
        for update in updates {
            match &update.of {
                UpdateOf::Ours(key) | UpdateOf::Try(key, _) => match parse_message_key(key) {
                    Some((name, person)) => {
                        ours.entry(name).or_default().insert(person);
                        keys.push(key.as_str());
                    }
                    None => keys.push(key.as_str()),
                },
                UpdateOf::Theirs(id) => theirs.push(id.as_str()),
            }
        }
        for (name, people) in ours {
            let Some(id) = batch.campaign_named(tx, &name).await? else { continue };
            let people: Vec<RecipientId> = people.into_iter().collect();
            for row in tx.lock_deliveries(id, &people).await? {
                batch.deliveries.insert((id, row.recipient), row.into());
            }
        }
        theirs.sort_unstable();
        theirs.dedup();
        for row in tx.lock_deliveries_called(&theirs).await? {
            if !batch.has_campaign(tx, row.campaign).await? {
                continue;
            }
            let key = (row.campaign, row.recipient);
            let called = row.provider_message.as_ref().map(ToString::to_string);
            batch.by_provider.insert(called.unwrap_or_default(), key);
            batch.deliveries.entry(key).or_insert_with(|| row.into());
        }
        let planned = |open: &Open<Answered>| open.row.state == State::Planned;
        let planned: BTreeSet<i64> = batch
            .deliveries
            .iter()
            .filter(|(_, open)| planned(open))
            .map(|((campaign, _), _)| *campaign)
            .collect();
        for campaign in planned {
            let people = tx.claimed(campaign).await?;
            batch.claimed.extend(people.into_iter().map(|person| (campaign, person)));
        }
        keys.sort_unstable();
        keys.dedup();
        for (key, row) in tx.messages(&keys).await? {
            // a file's message belongs to whom it says it went through
            if row.message.channel.as_deref() == Some(provider.as_str()) {
                batch.imported.insert(key, row.into());
            }
        }
        Ok(batch)
    }

    async fn campaign_named(
        &mut self,
        tx: &mut Tx,
        name: &Name,
    ) -> Result<Option<i64>, StoreError> {
        let found = readable(tx.campaign(name).await)?;
        let Some(row) = found.filter(|row| row.campaign.provider == *self.provider) else {
            return Ok(None);
        };
        let id = row.id;
        self.by_name.insert(name.clone(), id);
        self.campaigns.insert(id, Arc::new(row));
        Ok(Some(id))
    }

    /// Whether a campaign is this provider's.
    async fn has_campaign(&mut self, tx: &mut Tx, id: i64) -> Result<bool, StoreError> {
        if self.campaigns.contains_key(&id) {
            return Ok(true);
        }
        let found = readable(tx.campaign_by_id(id).await)?;
        let Some(row) = found.filter(|row| row.campaign.provider == *self.provider) else {
            return Ok(false);
        };
        self.campaigns.insert(id, Arc::new(row));
        Ok(true)
    }

    fn subject(&self, of: &UpdateOf) -> Option<UpdateSubject> {
        let delivery = match of {
            UpdateOf::Ours(key) | UpdateOf::Try(key, _) => {
                let delivery = parse_message_key(key).and_then(|(name, person)| {
                    let key = (*self.by_name.get(&name)?, person);
                    self.deliveries.contains_key(&key).then_some(key)
                });
                if delivery.is_none() && self.imported.contains_key(key) {
                    return Some(UpdateSubject::Imported(key.clone()));
                }
                delivery
            }
            UpdateOf::Theirs(id) => self.by_provider.get(id.as_str()).copied(),
        };
        delivery.map(|(campaign, person)| UpdateSubject::Delivery(campaign, person))
    }

    /// Notes an update of `at`.
    pub(super) async fn note(
        &mut self,
        tx: &mut Tx,
        update: &Update,
        at: Instant,
    ) -> Result<Noted, StoreError> {
        let Some(subject) = self.subject(&update.of) else { return Ok(Noted::Unknown) };
        let (campaign, person) = match subject {
            UpdateSubject::Delivery(campaign, person) => (campaign, person),
            UpdateSubject::Imported(key) => {
                let Some(open) = self.imported.get(&key) else { return Ok(Noted::Unknown) };
                let at = at.max(open.row.message.sent_at);
                if let Some(source) = update.event.ends_consent() {
                    let entry = self.opt_out(source, key.to_string(), at);
                    self.withdrawn.push((open.row.recipient, entry));
                }
                let Some(open) = self.imported.get_mut(&key) else { return Ok(Noted::Unknown) };
                let news = fill(&mut open.row.message.response, &update.event, at);
                open.changed |= news;
                return Ok(if news { Noted::News } else { Noted::Known });
            }
        };
        self.names.extend(update.names.iter().map(|name| (name.clone(), person)));
        if let Some(source) = update.event.ends_consent() {
            // it names a person: whatever became of the message
            let evidence = self.campaigns[&campaign].campaign.name.clone();
            let evidence = message_key(&evidence, person).to_string();
            let entry = self.opt_out(source, evidence, at);
            self.withdrawn.push((person, entry));
        }
        if self.claimed.contains(&(campaign, person)) {
            return Ok(Noted::Early);
        }
        let news = self.apply(tx, (campaign, person), update, at).await?;
        Ok(if news || update.event.ends_consent().is_some() { Noted::News } else { Noted::Known })
    }

    /// Puts an update on its delivery; true when it was news.
    async fn apply(
        &mut self,
        tx: &mut Tx,
        key: (i64, RecipientId),
        update: &Update,
        at: Instant,
    ) -> Result<bool, StoreError> {
        let campaign = Arc::clone(&self.campaigns[&key.0]);
        let Some(open) = self.deliveries.get(&key) else { return Ok(false) };
        let row = &open.row;
        let was_called = row.attempts > 0;
        let gave_up = matches!(update.event, Event::Failed { .. } | Event::TurnedAway { .. });
        // a word about an earlier try says nothing of the latest
        let stale = matches!(update.of, UpdateOf::Try(_, attempt) if attempt != row.attempts);
        if !was_called || stale && gave_up {
            return Ok(false);
        }
        let next = match row.state {
            // too late to change how it ended, but it went out: history has to know
            State::InDoubtExpired => None,
            _ if stale => None,
            state => self.next(tx, &campaign, row.clone(), state, &update.event, at).await?,
        };
        let Some(open) = self.deliveries.get_mut(&key) else { return Ok(false) };
        let mut news = false;
        if let Some(next) = next {
            news = true;
            open.moved = true;
            open.row.state = next.state;
            open.row.reason = next.reason;
            if next.state == State::Planned {
                open.row.send_at = None;
                open.row.not_before = next.not_before;
                open.row.sent_at = None;
                open.row.content = None;
                open.row.provider_message = None;
                open.row.response = Response::default();
                open.row.charged_as = None;
                open.row.price = None;
            }
        }
        let went_out = open.row.state == State::InDoubtExpired && !gave_up
            || open.moved && open.row.state != State::Planned;
        if went_out && open.row.sent_at.is_none() {
            // the instant of a lost call is not known; this word is the first sign of it
            open.row.sent_at = Some(at);
            let variant = open.row.variant_index.map(usize::from);
            let variant = variant.and_then(|index| campaign.campaign.variants.get(index));
            open.row.content = variant.map(|variant| variant.content.clone());
            news = true;
        }
        if let (Some(sent_at), true) = (open.row.sent_at, open.row.state != State::Planned) {
            let at = at.max(sent_at);
            if matches!(update.event, Event::Delivered | Event::Read) {
                // it came after all
                let response = &mut open.row.response;
                if response.failed_at.take().is_some() {
                    response.failure_code = None;
                    open.row.failure_text = None;
                }
            }
            news |= fill(&mut open.row.response, &update.event, at);
            if let Event::Charged(charge) = update.event
                && open.row.charged_as.is_none()
            {
                open.row.charged_as = Some(charge.to_string());
                let category = campaign.campaign.category;
                self.charges.insert(key, ToldCharge { charge, category, at });
                news = true;
            }
        }
        if gave_up && news {
            note_failure(&mut open.row, &update.event);
        }
        let reached = matches!(
            update.event,
            Event::Delivered | Event::Read | Event::Clicked | Event::Replied
        );
        if reached {
            let last = self.reached.entry(key.1).or_insert(at);
            *last = at.max(*last);
        }
        open.changed |= news;
        Ok(news)
    }

    /// Where a word moves a delivery, if anywhere.
    async fn next(
        &mut self,
        tx: &mut Tx,
        campaign: &CampaignRow,
        row: Answered,
        state: State,
        event: &Event,
        at: Instant,
    ) -> Result<Option<Next>, StoreError> {
        Ok(match (event, state) {
            (Event::TurnedAway { code, means, .. }, _) if may_fail(state) => {
                Some(self.turned_away(tx, campaign, &row, code.as_str(), means, at).await?)
            }
            (Event::Failed { .. }, _) if may_fail(state) => {
                Some(Next::end(State::Failed, Reason::Undeliverable))
            }
            (
                Event::Failed { .. }
                | Event::TurnedAway { .. }
                | Event::OptedOut
                | Event::Complained,
                _,
            )
            | (Event::Accepted, State::Failed) => None,
            (_, State::InDoubt | State::Held) => Some(Next::end(State::Sent, Reason::Confirmed)),
            // it came after all
            (_, State::Failed) if row.sent_at.is_some() => {
                Some(Next::end(State::Sent, Reason::Confirmed))
            }
            _ => None,
        })
    }

    /// The channel took a message and gave up: by the reason it goes again, or never.
    async fn turned_away(
        &mut self,
        tx: &mut Tx,
        campaign: &CampaignRow,
        row: &Answered,
        code: &str,
        means: &SendOutcome,
        at: Instant,
    ) -> Result<Next, StoreError> {
        let (env, provider, now) = (self.env, self.provider, self.env.clock.now());
        let runs = matches!(campaign.status, CampaignStatus::Active | CampaignStatus::Paused)
            && campaign.ends_at > now;
        // what was taken has failed; of what may have been taken the channel says that it was not
        let end = |reason| {
            let state = if row.state == State::Sent { State::Failed } else { State::Refused };
            Next::end(state, reason)
        };
        let again = |not_before: Option<Instant>| {
            if runs && row.attempts < ATTEMPTS_MAX {
                Next { not_before, ..Next::end(State::Planned, Reason::MovedThrottled) }
            } else {
                Next::end(State::Failed, Reason::Undeliverable)
            }
        };
        let refusal = match means {
            SendOutcome::Later { until, .. } | SendOutcome::AnotherDay { until } => {
                return Ok(again(Some(*until)));
            }
            SendOutcome::NeedsTemplate => {
                tx.close_service_window(provider, row.recipient).await?;
                return Ok(again(None));
            }
            SendOutcome::Refused(refusal) => refusal,
            _ => return Ok(Next::end(State::Failed, Reason::Undeliverable)),
        };
        Ok(match refusal.scope {
            RefusalScope::Template => {
                let file = &campaign.campaign;
                let variant = row.variant_index.and_then(|at| file.variants.get(usize::from(at)));
                if let Some(variant) = variant.filter(|variant| variant.template.is_some()) {
                    let template = TemplateKey::of_variant(file, variant);
                    // once a batch, however many say so
                    if self.parked.insert(template.clone()) {
                        channel::park(env, tx, provider, &template, code, at).await?;
                    }
                }
                again(None)
            }
            RefusalScope::Media => again(None),
            RefusalScope::Account => {
                if self.stopped.insert(code.to_owned()) {
                    channel::stop(env, tx, provider, code, refusal.words.as_str(), None).await?;
                }
                again(None)
            }
            RefusalScope::OptedOut => {
                let evidence = message_key(&campaign.campaign.name, row.recipient).to_string();
                let entry = channel::withdrawal(format!("{provider} {code}"), evidence, now);
                self.withdrawn.push((row.recipient, ConsentEntry { at, ..entry }));
                end(Reason::ConsentWithdrawn)
            }
            RefusalScope::Unreachable => {
                tx.suppress(provider, row.recipient, code, at).await?;
                end(Reason::Suppressed)
            }
            RefusalScope::Unpermitted => end(Reason::NoPermit),
            RefusalScope::PersonData | RefusalScope::Person => end(Reason::RecipientRefused),
            RefusalScope::Unknown => Next::end(State::Failed, Reason::Undeliverable),
        })
    }

    /// A withdrawal by what came back of a message; where a channel has a switch for it, of that channel.
    fn opt_out(&self, source: &str, evidence: String, at: Instant) -> ConsentEntry {
        let kind = self.env.config.providers.get(self.provider).map(|provider| &provider.kind);
        let scope = match kind {
            Some(kind) if kind.is_left_alone() => ConsentScope::of(self.provider),
            _ => ConsentEntry::EVERYWHERE,
        };
        let recorded_at = self.env.clock.now();
        let (change, source) = (ConsentChange::Withdrawn, source.to_owned());
        ConsentEntry { change, at, source, evidence, recorded_at, scope }
    }

    /// Writes what changed.
    pub(super) async fn close(self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = self.env.clock.now();
        let moved = self.deliveries.iter().filter(|(_, open)| open.moved);
        let moved: BTreeSet<i64> = moved.map(|((campaign, _), _)| *campaign).collect();
        let closed = moved.into_iter().filter(|id| self.campaigns[id].closed_at.is_some());
        let closed: Vec<i64> = closed.collect();
        if !closed.is_empty() {
            tx.reopen_campaigns(&closed).await?;
        }
        let changed = self.deliveries.into_values().filter(|open| open.changed);
        let mut changed: Vec<Answered> = changed.map(|open| open.row).collect();
        charges::price(self.env, tx, self.provider, &mut changed, &self.charges).await?;
        tx.put_answered(&changed, now).await?;
        let changed = self.imported.into_values().filter(|open| open.changed);
        let changed: Vec<MessageRow> = changed.map(|open| open.row).collect();
        tx.put_messages(&changed, now).await?;
        let config = self.env.config.providers.get(self.provider);
        let attribute = config.and_then(|config| config.address_attribute.as_deref());
        refusals::withdraw_by(tx, attribute, &self.withdrawn).await?;
        tx.lift_suppressions(self.provider, &self.reached).await?;
        channel::learn_names(self.env, tx, self.provider, &self.names).await
    }
}

/// Where a delivery goes.
struct Next {
    state: State,
    reason: Reason,
    not_before: Option<Instant>,
}

impl Next {
    fn end(state: State, reason: Reason) -> Self {
        Self { state, reason, not_before: None }
    }
}

/// Whether the channel's giving up moves a delivery.
fn may_fail(state: State) -> bool {
    matches!(state, State::InDoubt | State::Held | State::Sent)
}

/// A campaign that this version cannot read is nobody's.
fn readable(
    found: Result<Option<CampaignRow>, StoreError>,
) -> Result<Option<CampaignRow>, StoreError> {
    match found {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        found => found,
    }
}
