//! The messages that a batch of updates is about, read and locked once, and written back once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::delivery::{Reason, State, message_key};
use crate::model::ids::{MessageKey, Name, RecipientId};
use crate::model::message::{Message, Response};
use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::{Event, Refusal, RefusalScope, SendOutcome, Update, UpdateOf};
use crate::store::{
    Attempt, CampaignRow, CampaignStatus, Known, MessageRow, Settled, StoreError, Tx,
};
use crate::work::{Ctx, channel};

/// Tries of a message that the channel gave up after it had taken it.
const ATTEMPTS_MAX: u32 = 3;

/// The messages that a batch of updates is about.
pub(super) struct Inbox {
    /// With whether something changed. In order, so that rows are written in one order everywhere.
    messages: BTreeMap<MessageKey, (MessageRow, bool)>,
    by_provider: BTreeMap<String, MessageKey>,
    /// Where their deliveries stand, with the campaign they belong to.
    deliveries: BTreeMap<MessageKey, (Arc<CampaignRow>, Known)>,
    /// What the batch settles: campaign, the state that it was in, how, and who.
    settled: BTreeMap<(i64, State, Settled), BTreeSet<RecipientId>>,
    withdrawn: Vec<(RecipientId, ConsentEntry)>,
    /// What channels call people.
    names: BTreeMap<Name, BTreeMap<Address, RecipientId>>,
}

impl Inbox {
    pub(super) async fn open(tx: &mut Tx, updates: &[Update]) -> Result<Self, StoreError> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for update in updates {
            match &update.of {
                UpdateOf::Ours(key) | UpdateOf::Try(key, _) => ours.push(key.as_str()),
                UpdateOf::Theirs(id) => theirs.push(id.as_str()),
            }
        }
        for names in [&mut ours, &mut theirs] {
            names.sort_unstable();
            names.dedup();
        }
        let mut inbox = Self {
            messages: BTreeMap::new(),
            by_provider: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            settled: BTreeMap::new(),
            withdrawn: Vec::new(),
            names: BTreeMap::new(),
        };
        for (key, row) in tx.messages(&ours).await? {
            inbox.messages.insert(key, (row, false));
        }
        for (id, row) in tx.messages_by_provider(&theirs).await? {
            let key = row.message.key.clone();
            inbox.by_provider.insert(id.to_string(), key.clone());
            inbox.messages.entry(key).or_insert((row, false));
        }
        let named: BTreeSet<&str> =
            inbox.messages.keys().map(MessageKey::as_str).chain(ours).collect();
        inbox.deliveries = deliveries(tx, &named).await?;
        Ok(inbox)
    }

    pub(super) fn key(&self, of: &UpdateOf) -> Option<MessageKey> {
        match of {
            UpdateOf::Ours(key) | UpdateOf::Try(key, _) => Some(key.clone()),
            UpdateOf::Theirs(id) => self.by_provider.get(id.as_str()).cloned(),
        }
    }

    /// Whether the call that an update answers is not settled yet.
    pub(super) fn is_unsettled(&self, of: &UpdateOf) -> bool {
        let key = self.key(of);
        key.and_then(|key| self.deliveries.get(&key))
            .is_some_and(|(_, known)| known.state == State::Claimed)
    }

    pub(super) fn is_unknown(&self, of: &UpdateOf) -> bool {
        self.key(of).is_none()
    }

    /// Notes an update; whether it was news, or `None` if its message is not ours.
    pub(super) async fn note(
        &mut self,
        ctx: &Ctx,
        tx: &mut Tx,
        key: &MessageKey,
        update: Update,
        at: Instant,
    ) -> Result<Option<bool>, StoreError> {
        let known = self.deliveries.get(key).cloned();
        if let Some((row, known)) = &known
            && !update.names.is_empty()
        {
            let names = self.names.entry(row.campaign.provider.clone()).or_default();
            names.extend(update.names.iter().map(|name| (name.clone(), known.recipient)));
        }
        // a word about an earlier try says nothing of the latest
        let stale = match (&update.of, &known) {
            (UpdateOf::Try(_, attempt), Some((_, known))) => *attempt != known.attempts,
            _ => false,
        };
        let gave_up = matches!(update.event, Event::Failed { .. } | Event::TurnedAway { .. });
        if stale && gave_up {
            return Ok(Some(false));
        }
        let mut news = false;
        let given_up = known.as_ref().filter(|(_, known)| known.state == State::InDoubtExpired);
        if let Some((row, known)) = given_up {
            // too late to change how it ended, but it went out: history has to know
            if !gave_up && !self.messages.contains_key(key) {
                let message = found_message(ctx, tx, row, key, known.recipient, at).await?;
                let recipient = known.recipient;
                let row = MessageRow { recipient, message, provider_message: None };
                self.messages.insert(key.clone(), (row, true));
                news = true;
            }
        } else if let Some((row, known)) = &known
            && !stale
        {
            news = self.settle(ctx, tx, key, (row, *known), &update.event, at).await?;
        }
        let Some((row, changed)) = self.messages.get_mut(key) else {
            return Ok(news.then_some(true));
        };
        let at = at.max(row.message.sent_at);
        if update.event == Event::OptedOut {
            self.withdrawn.push((row.recipient, opt_out(key, at, ctx.clock.now())));
        }
        if fill(&mut row.message.response, update.event, at) {
            *changed = true;
            news = true;
        }
        Ok(Some(news))
    }

    /// What a word about a delivery settles; true when it did.
    async fn settle(
        &mut self,
        ctx: &Ctx,
        tx: &mut Tx,
        key: &MessageKey,
        (row, known): (&Arc<CampaignRow>, Known),
        event: &Event,
        at: Instant,
    ) -> Result<bool, StoreError> {
        let open = known.state != State::Sent;
        let settled = match event {
            Event::TurnedAway { code, means, .. } => {
                self.turned_away(ctx, tx, (row, known), code.as_str(), means, at).await?
            }
            Event::Failed { .. } if open => Some(end(State::Failed, Reason::Undeliverable)),
            Event::Failed { .. } => None,
            _ if open => Some(end(State::Sent, Reason::Confirmed)),
            _ => None,
        };
        let Some(settled) = settled else { return Ok(false) };
        let from = (row.id, known.state, settled);
        self.settled.entry(from).or_default().insert(known.recipient);
        if let Some((_, known)) = self.deliveries.get_mut(key) {
            known.state = settled.state;
        }
        if !matches!(settled.state, State::Sent | State::Failed | State::Refused) {
            return Ok(true);
        }
        if !self.messages.contains_key(key) {
            let message = found_message(ctx, tx, row, key, known.recipient, at).await?;
            let row = MessageRow { recipient: known.recipient, message, provider_message: None };
            self.messages.insert(key.clone(), (row, true));
        }
        Ok(true)
    }

    /// The channel took a message and gave up: by the reason it goes again, or never.
    async fn turned_away(
        &mut self,
        ctx: &Ctx,
        tx: &mut Tx,
        (row, known): (&Arc<CampaignRow>, Known),
        code: &str,
        means: &SendOutcome,
        at: Instant,
    ) -> Result<Option<Settled>, StoreError> {
        let (provider, now) = (&row.campaign.provider, ctx.clock.now());
        let open = known.state != State::Sent;
        let runs = matches!(row.status, CampaignStatus::Active | CampaignStatus::Paused)
            && row.ends_at > now;
        let failed = open.then(|| end(State::Failed, Reason::Undeliverable));
        let again = |not_before: Option<Instant>| {
            if !runs || known.attempts >= ATTEMPTS_MAX {
                return failed;
            }
            let reason = Reason::MovedThrottled;
            Some(Settled { not_before, ..end(State::Planned, reason) })
        };
        Ok(match means {
            SendOutcome::Later { until, .. } | SendOutcome::AnotherDay { until } => {
                again(Some(*until))
            }
            SendOutcome::Refused(Refusal { scope: RefusalScope::Template, .. }) => {
                let found = tx.delivery(row.id, known.recipient, ctx.config.slot_length).await?;
                let index = found.and_then(|f| f.delivery.choice).map(|c| c.variant_index);
                let variant = index.map(|index| &row.campaign.variants[usize::from(index)]);
                if let Some((variant, template)) =
                    variant.and_then(|v| Some((v, v.template.as_deref()?)))
                {
                    let fallback = row.campaign.fallback_language.as_ref();
                    let language = variant.language.as_ref().or(fallback);
                    channel::park(ctx, tx, provider, (template, language), code).await?;
                }
                again(None)
            }
            SendOutcome::NeedsTemplate => {
                tx.close_service_window(provider, known.recipient).await?;
                again(None)
            }
            SendOutcome::Refused(refusal) => match refusal.scope {
                RefusalScope::Media => again(None),
                RefusalScope::Account => {
                    let words = refusal.words.as_str();
                    channel::stop(ctx, tx, provider, refusal.code_text(), words).await?;
                    again(None)
                }
                RefusalScope::OptedOut => {
                    let key = message_key(&row.campaign.name, known.recipient).to_string();
                    let entry = channel::withdrawal(format!("{provider} {code}"), key, now);
                    self.withdrawn.push((known.recipient, ConsentEntry { at, ..entry }));
                    open.then(|| end(State::Refused, Reason::RecipientRefused))
                }
                RefusalScope::PersonData | RefusalScope::Person | RefusalScope::Unreachable => {
                    open.then(|| end(State::Refused, Reason::RecipientRefused))
                }
                RefusalScope::Template | RefusalScope::Unknown => failed,
            },
            _ => failed,
        })
    }

    /// Writes what changed.
    pub(super) async fn close(self, ctx: &Ctx, tx: &mut Tx) -> Result<(), StoreError> {
        let now = ctx.clock.now();
        for ((campaign, from, settled), people) in self.settled {
            let people: Vec<RecipientId> = people.into_iter().collect();
            tx.resolve(campaign, from, settled, &people, now).await?;
        }
        let changed = self.messages.into_values().filter(|(_, changed)| *changed);
        let changed: Vec<MessageRow> = changed.map(|(row, _)| row).collect();
        tx.put_messages(&changed, now).await?;
        tx.append_consent(&self.withdrawn).await?;
        for (provider, names) in self.names {
            tx.put_aliases(&provider, &names).await?;
        }
        Ok(())
    }
}

fn end(state: State, reason: Reason) -> Settled {
    Settled {
        state,
        reason: Some(reason),
        again_at: None,
        not_before: None,
        attempt: Attempt::Made,
    }
}

fn opt_out(key: &MessageKey, at: Instant, now: Instant) -> ConsentEntry {
    ConsentEntry {
        change: ConsentChange::Withdrawn,
        at,
        source: "opt-out".to_owned(),
        evidence: key.to_string(),
        recorded_at: now,
    }
}

/// A message whose call was lost, as far as it is known.
async fn found_message(
    ctx: &Ctx,
    tx: &mut Tx,
    row: &CampaignRow,
    key: &MessageKey,
    recipient: RecipientId,
    at: Instant,
) -> Result<Message, StoreError> {
    let found = tx.delivery(row.id, recipient, ctx.config.slot_length).await?;
    let variant = found.and_then(|found| found.delivery.choice).map(|choice| {
        let variant = &row.campaign.variants[usize::from(choice.variant_index)];
        (variant.content.clone(), choice.propensity)
    });
    let (content, propensity) = variant.unzip();
    Ok(Message {
        key: key.clone(),
        campaign: Some(row.campaign.name.to_string()),
        channel: Some(row.campaign.provider.to_string()),
        category: Some(row.campaign.category),
        media: content.as_ref().map(|content| content.media),
        style: content.and_then(|content| content.style),
        // the moment of the lost call is not known; this word is the first sign of it
        sent_at: at,
        response: Response::default(),
        propensity: propensity.flatten(),
    })
}

/// Notes an event; true when it was news.
fn fill(response: &mut Response, event: Event, at: Instant) -> bool {
    fn earliest(stored: &mut Option<Instant>, at: Instant) -> bool {
        let news = stored.is_none_or(|stored| at < stored);
        if news {
            *stored = Some(at);
        }
        news
    }
    let failed = |response: &mut Response, code| {
        if response.failed_at.is_none() {
            response.failure_code = code;
        }
        earliest(&mut response.failed_at, at)
    };
    match event {
        Event::Accepted => false,
        Event::Delivered => earliest(&mut response.delivered_at, at),
        Event::Read => earliest(&mut response.read_at, at),
        Event::Clicked => earliest(&mut response.clicked_at, at),
        Event::Replied => earliest(&mut response.replied_at, at),
        Event::Converted { amount, currency } => {
            let first = response.converted_at.is_none();
            if first {
                response.amount = amount;
                response.currency = currency;
            }
            earliest(&mut response.converted_at, at)
        }
        Event::OptedOut => earliest(&mut response.opted_out_at, at),
        Event::Failed { code } => failed(response, code.map(String::from)),
        Event::TurnedAway { code, .. } => failed(response, Some(code.into())),
    }
}

/// Where the messages' deliveries stand.
async fn deliveries(
    tx: &mut Tx,
    keys: &BTreeSet<&str>,
) -> Result<BTreeMap<MessageKey, (Arc<CampaignRow>, Known)>, StoreError> {
    let mut by_campaign: BTreeMap<Name, Vec<RecipientId>> = BTreeMap::new();
    for key in keys {
        let parts = key.rsplit_once(':');
        let parsed = parts.and_then(|(name, id)| Some((name.parse().ok()?, id.parse().ok()?)));
        if let Some((name, id)) = parsed {
            by_campaign.entry(name).or_default().push(RecipientId(id));
        }
    }
    let mut found = BTreeMap::new();
    for (name, recipients) in by_campaign {
        let Some(row) = tx.campaign(&name).await? else { continue };
        let row = Arc::new(row);
        for known in tx.known(row.id, &recipients).await? {
            found.insert(message_key(&name, known.recipient), (Arc::clone(&row), known));
        }
    }
    Ok(found)
}
