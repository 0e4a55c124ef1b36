//! What a person may ask for: that consent is noted, that everything stored is given out, that
//! everything is erased.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Ctx, audit};
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::delivery::{Reason, State};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::message::Message;
use crate::model::recipient::{Profile, Recipient};
use crate::model::time::Instant;
use crate::model::wish::Wishes;
use crate::store::{ForgottenCounts, Names, StoreError};

/// Tries of an erasure that another transaction crossed.
const FORGET_TRIES_MAX: usize = 5;

/// Appends to a person's ledger. Granting lets a forgotten person in again, as a new one, and
/// knows one who was never imported. False when a withdrawal names nobody.
pub async fn change_consent(
    ctx: &Ctx,
    key: &RecipientKey,
    entry: ConsentEntry,
    actor: &str,
) -> Result<bool, StoreError> {
    let known = ctx.store.read().await?.recipient(key).await?;
    let hash = ctx.store.forgotten_key().await?.hash("recipient", key.as_str());
    let mut tx = ctx.store.begin().await?;
    let id = match (known, entry.change) {
        (Some(known), _) => known.id,
        (None, ConsentChange::Withdrawn) => return Ok(false),
        (None, ConsentChange::Granted) => {
            tx.remember(&hash).await?;
            tx.put_recipients(&[(key.clone(), Profile::default())]).await?[0].0
        }
    };
    let (action, source) = (format!("consent {}", entry.change), entry.source.clone());
    tx.append_consent(&[(id, entry)]).await?;
    // by our own number: the trail outlives who asks to be forgotten
    audit::note(ctx, &mut tx, actor, &action, &format!("recipient #{id}"), &source).await?;
    tx.commit().await?;
    Ok(true)
}

/// Notes what a person states of messages, over what they stated before; `None` when nobody is known by
/// the key.
pub async fn wish(
    ctx: &Ctx,
    key: &RecipientKey,
    wishes: &Wishes,
    actor: &str,
) -> Result<Option<Wishes>, StoreError> {
    let Some(known) = ctx.store.read().await?.recipient(key).await? else { return Ok(None) };
    let told = Profile { wishes: wishes.clone(), ..Profile::default() };
    let mut tx = ctx.store.begin().await?;
    tx.put_recipients(&[(key.clone(), told)]).await?;
    audit::note(ctx, &mut tx, actor, "wish", &format!("recipient #{}", known.id), "").await?;
    tx.commit().await?;
    let stored = ctx.store.read().await?.recipient(key).await?;
    Ok(stored.map(|stored| stored.profile.wishes))
}

/// What the ledger says of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Ledger {
    /// The caller's id.
    pub recipient: RecipientKey,
    /// Whether the person may be written to.
    pub consented: bool,
    /// Every word on it, oldest first.
    pub entries: Vec<ConsentEntry>,
}

/// Reads a person's ledger.
pub async fn ledger(ctx: &Ctx, recipient: Recipient) -> Result<Ledger, StoreError> {
    let entries = ctx.store.read().await?.ledger(recipient.id).await?;
    Ok(Ledger { recipient: recipient.key, consented: recipient.consented, entries })
}

/// What was erased of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Erased {
    /// The caller's id.
    pub recipient: RecipientKey,
    /// Rows by what they told.
    pub erased: ForgottenCounts,
    /// Whether nothing of it is left in the write-ahead log.
    pub log_emptied: bool,
}

/// Lets a person be tried again by every channel; returns how many suppressions were removed.
pub async fn remove_suppressions(
    ctx: &Ctx,
    person: RecipientId,
    actor: &str,
) -> Result<u64, StoreError> {
    let mut tx = ctx.store.begin().await?;
    let removed = tx.remove_suppressions(person).await?;
    if removed > 0 {
        let subject = format!("recipient #{person}");
        audit::note(ctx, &mut tx, actor, "remove suppressions", &subject, "").await?;
    }
    tx.commit().await?;
    Ok(removed)
}

/// Everything that is stored of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Stored {
    /// The caller's id.
    recipient: RecipientKey,
    /// Whether the ledger says yes.
    consented: bool,
    /// Who it is.
    profile: Profile,
    /// What was said, and sent.
    #[serde(flatten)]
    history: PersonHistory,
    /// What else channels call the person, and addresses that were left.
    names: Names,
    /// Every other sign of presence.
    #[schema(value_type = Vec<(String, String)>)]
    activity: Vec<(Instant, String)>,
    /// The learner's packed copy of messages and activity, in bytes; it says nothing more.
    evidence_bytes: usize,
    /// Every other row about the person, by table: service windows, limits, words not passed on yet.
    other: BTreeMap<String, Vec<Map<String, Value>>>,
}

/// What a person said of messages, and what was sent to them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PersonHistory {
    /// The ledger, oldest first.
    pub consent: Vec<ConsentEntry>,
    /// Every message, oldest first.
    pub messages: Vec<Message>,
    /// Every campaign that the person was in the audience of.
    pub deliveries: Vec<StoredDelivery>,
}

impl PersonHistory {
    /// The names of campaigns that are still to write to the person.
    pub fn open_deliveries(&self) -> impl Iterator<Item = &str> {
        let open = self.deliveries.iter().filter(|delivery| !delivery.state.is_end());
        open.map(|delivery| delivery.campaign.as_str())
    }
}

/// The tables that an export shows in another place, with better words.
const SHOWN_APART: [&str; 8] = [
    "recipient",
    "consent",
    "alias",
    "former_address",
    "message",
    "activity",
    "evidence",
    "delivery",
];

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StoredDelivery {
    /// The campaign's name.
    pub campaign: String,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// What was chosen.
    pub variant: Option<String>,
    /// For when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub planned_at: Option<Instant>,
    /// How often it was tried.
    pub attempts: u32,
}

/// Reads what a person said, and was sent.
pub async fn history(ctx: &Ctx, id: RecipientId) -> Result<PersonHistory, StoreError> {
    let mut reader = ctx.store.read().await?;
    let mut deliveries = Vec::new();
    for (campaign, found) in reader.deliveries_of(id, ctx.config.slot_length).await? {
        let choice = found.delivery.choice.as_ref();
        deliveries.push(StoredDelivery {
            campaign,
            state: found.delivery.state,
            reason: found.delivery.reason,
            variant: choice.map(|choice| choice.variant.to_string()),
            planned_at: choice.map(|choice| choice.send_at),
            attempts: found.attempts,
        });
    }
    let messages = reader.messages_of(id).await?.into_iter().map(|row| row.message).collect();
    Ok(PersonHistory { consent: reader.ledger(id).await?, messages, deliveries })
}

/// Collects everything that is stored of a person.
pub async fn stored(ctx: &Ctx, recipient: Recipient) -> Result<Stored, StoreError> {
    let Recipient { id, key, profile, consented } = recipient;
    let history = history(ctx, id).await?;
    let mut other = ctx.store.read().await?.rows_about(id).await?;
    other.retain(|table, _| !SHOWN_APART.contains(&table.as_str()));
    let mut reader = ctx.store.read().await?;
    Ok(Stored {
        recipient: key,
        consented,
        profile,
        history,
        names: reader.names(id).await?,
        activity: reader.activity_of(id).await?,
        evidence_bytes: reader.evidence_of(&[id]).await?.get(&id).map_or(0, Vec::len),
        other,
    })
}

/// Erases a person everywhere; `None` when nobody is known by the key.
pub async fn forget(
    ctx: &Ctx,
    key: &RecipientKey,
    actor: &str,
) -> Result<Option<Erased>, StoreError> {
    let Some(recipient) = ctx.store.read().await?.recipient(key).await? else { return Ok(None) };
    let hasher = ctx.store.forgotten_key().await?;
    let mut hashes = vec![hasher.hash("recipient", key.as_str())];
    if let Some(address) = &recipient.profile.address {
        hashes.push(hasher.hash("address", address.as_str()));
    }
    let names = ctx.store.read().await?.names(recipient.id).await?;
    let others = names.aliases.iter().chain(&names.former_addresses);
    hashes.extend(others.map(|address| hasher.hash("address", address)));
    let mut tries = 1;
    let erased = loop {
        match forget_once(ctx, recipient.id, &hashes, actor).await {
            // a transaction that another one crossed is run again
            Err(error) if error.is_conflict() && tries < FORGET_TRIES_MAX => tries += 1,
            done => break done?,
        }
    };
    let log_emptied = ctx.store.flush_deleted().await?;
    Ok(Some(Erased { recipient: recipient.key, erased, log_emptied }))
}

async fn forget_once(
    ctx: &Ctx,
    person: RecipientId,
    hashes: &[String],
    actor: &str,
) -> Result<ForgottenCounts, StoreError> {
    let mut tx = ctx.store.begin().await?;
    let counts = tx.forget(person, hashes, ctx.clock.now()).await?;
    audit::note(ctx, &mut tx, actor, "forget", &format!("recipient #{person}"), "").await?;
    tx.commit().await?;
    Ok(counts)
}
