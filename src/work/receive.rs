//! What came back: updates become engagement, consent that ended, and doubts that are settled.
//!
//! Updates come twice, late, out of order and about messages nobody knows; all of that is normal.
//! The earliest time of an event counts, and nothing is ever taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Ctx;
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::delivery::{Reason, State, message_key};
use crate::model::ids::{MessageKey, Name, RecipientId};
use crate::model::message::{Message, Response};
use crate::model::time::Instant;
use crate::provider::{Event, Update, UpdateOf};
use crate::store::{CampaignRow, MessageRow, StoreError, Tx};

/// What became of a batch of updates.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Received {
    /// Told something new.
    pub applied: u64,
    /// Told nothing new.
    pub known: u64,
    /// Are about no message of ours.
    pub unknown: u64,
}

/// Takes what came back through the providers themselves.
pub async fn collect(ctx: &Ctx) -> Result<Received, StoreError> {
    let mut updates = Vec::new();
    for provider in ctx.providers.values() {
        updates.extend(provider.collect(ctx.clock.now()));
    }
    apply(ctx, updates).await
}

/// Applies updates, durably and all together.
pub async fn apply(ctx: &Ctx, updates: Vec<Update>) -> Result<Received, StoreError> {
    let mut received = Received::default();
    if updates.is_empty() {
        return Ok(received);
    }
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    let mut inbox = Inbox::open(ctx, &mut tx, &updates).await?;
    let mut withdrawals = Vec::new();
    for update in updates {
        // a channel's clock may be ahead of ours
        let at = update.at.min(now);
        let Some(key) = inbox.key(&update.of) else {
            received.unknown += 1;
            continue;
        };
        if inbox.settle_doubt(ctx, &mut tx, &key, &update.event, at).await? {
            received.applied += 1;
        }
        let Some((row, changed)) = inbox.messages.get_mut(&key) else {
            received.unknown += 1;
            continue;
        };
        let at = at.max(row.message.sent_at);
        if update.event == Event::OptedOut {
            withdrawals.push((row.recipient, opt_out(&key, at, now)));
        }
        if note(&mut row.message.response, update.event, at) {
            *changed = true;
            received.applied += 1;
        } else {
            received.known += 1;
        }
    }
    let changed = inbox.messages.into_values().filter(|(_, changed)| *changed);
    let changed: Vec<MessageRow> = changed.map(|(row, _)| row).collect();
    tx.put_messages(&changed, now).await?;
    tx.append_consent(&withdrawals).await?;
    tx.commit().await?;
    Ok(received)
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

/// Notes an event; true when it was news.
fn note(response: &mut Response, event: Event, at: Instant) -> bool {
    fn earliest(stored: &mut Option<Instant>, at: Instant) -> bool {
        let news = stored.is_none_or(|stored| at < stored);
        if news {
            *stored = Some(at);
        }
        news
    }
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
        Event::Failed { code } => {
            let first = response.failed_at.is_none();
            if first {
                response.failure_code = code;
            }
            earliest(&mut response.failed_at, at)
        }
    }
}

/// The messages that a batch of updates is about.
struct Inbox {
    /// With whether something changed. In order, so that rows are written in one order everywhere.
    messages: BTreeMap<MessageKey, (MessageRow, bool)>,
    by_provider: BTreeMap<String, MessageKey>,
    /// Those in doubt or held, with the campaign they belong to.
    doubtful: BTreeMap<MessageKey, (Arc<CampaignRow>, RecipientId)>,
}

impl Inbox {
    async fn open(ctx: &Ctx, tx: &mut Tx, updates: &[Update]) -> Result<Self, StoreError> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for update in updates {
            match &update.of {
                UpdateOf::Ours(key) => ours.push(key.as_str()),
                UpdateOf::Theirs(id) => theirs.push(id.as_str()),
            }
        }
        let mut inbox = Self {
            messages: BTreeMap::new(),
            by_provider: BTreeMap::new(),
            doubtful: BTreeMap::new(),
        };
        for (key, row) in tx.messages(&ours).await? {
            inbox.messages.insert(key, (row, false));
        }
        for (id, row) in tx.messages_by_provider(&theirs).await? {
            let key = row.message.key.clone();
            inbox.by_provider.insert(id.to_string(), key.clone());
            inbox.messages.entry(key).or_insert((row, false));
        }
        let named = inbox.messages.keys().map(MessageKey::as_str).chain(ours);
        inbox.doubtful = doubtful(ctx, tx, named).await?;
        Ok(inbox)
    }

    fn key(&self, of: &UpdateOf) -> Option<MessageKey> {
        match of {
            UpdateOf::Ours(key) => Some(key.clone()),
            UpdateOf::Theirs(id) => self.by_provider.get(id.as_str()).cloned(),
        }
    }

    /// A word about a message that is in doubt or held settles it; true when it did.
    async fn settle_doubt(
        &mut self,
        ctx: &Ctx,
        tx: &mut Tx,
        key: &MessageKey,
        event: &Event,
        at: Instant,
    ) -> Result<bool, StoreError> {
        let Some((row, recipient)) = self.doubtful.remove(key) else { return Ok(false) };
        let failed = matches!(event, Event::Failed { .. });
        let (state, reason) = if failed {
            (State::Failed, Reason::Undeliverable)
        } else {
            (State::Sent, Reason::Confirmed)
        };
        tx.resolve(row.id, recipient, state, reason, ctx.clock.now()).await?;
        if !self.messages.contains_key(key) {
            let found = tx.delivery(row.id, recipient, ctx.config.slot_length).await?;
            let variant = found.and_then(|found| found.delivery.choice).map(|choice| {
                let variant = &row.campaign.variants[usize::from(choice.variant_index)];
                (variant.content.clone(), choice.propensity)
            });
            let (content, propensity) = variant.unzip();
            let message = Message {
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
            };
            let row = MessageRow { recipient, message, provider_message: None };
            self.messages.insert(key.clone(), (row, true));
        }
        Ok(true)
    }
}

/// Those of the messages whose deliveries are in doubt or held.
async fn doubtful(
    ctx: &Ctx,
    tx: &mut Tx,
    keys: impl Iterator<Item = &str>,
) -> Result<BTreeMap<MessageKey, (Arc<CampaignRow>, RecipientId)>, StoreError> {
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
        let Some(row) = ctx.store.campaign(&name).await? else { continue };
        let row = Arc::new(row);
        for id in tx.doubtful(row.id, &recipients).await? {
            found.insert(message_key(&name, id), (Arc::clone(&row), id));
        }
    }
    Ok(found)
}
