//! Calls of customer data platforms (Segment, `RudderStack`) are taken in: a track is an event, an
//! identify updates a person, and what else follows stands in the settings.
//!
//! Platforms send a call again until it is answered. Every step leaves as it is what is known
//! already, so that a retry completes what broke off and changes nothing else.

mod meaning;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use self::meaning::{KnownPerson, SOURCE, cause, happened, truth};
use super::import::{BulkItem, BulkKind, BulkSource, ITEMS_MAX, RowOutcome, items_from};
use super::{Ctx, audit, receive, refusals};
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::{Name, RecipientId, RecipientKey};
use crate::model::time::{Instant, format_instant};
use crate::provider::{Update, UpdateOf};
use crate::store::{Reader, StoreError};

pub use self::meaning::{CustomerCall, IdentifyCall, TrackCall};

/// Tries of a transaction that another one crossed.
const TRIES_MAX: usize = 10;

const CALLS: BulkSource = BulkSource { evidence: "Segment", withdrawn_by: SOURCE };

/// A call that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedCall {
    /// Which one of the request, from 0.
    pub index: usize,
    /// Why.
    pub detail: String,
}

/// Takes in the calls of a request, each with its index there; those that are refused, once all the
/// others are durable.
pub async fn take(
    ctx: &Ctx,
    calls: Vec<(usize, CustomerCall)>,
    actor: &str,
) -> Result<Vec<RefusedCall>, StoreError> {
    let (mut tracks, mut identifies) = (Vec::new(), Vec::new());
    for (index, call) in calls {
        match call {
            CustomerCall::Track(call) => tracks.push((index, call)),
            CustomerCall::Identify(call) => identifies.push((index, call)),
        }
    }
    let mut refused = identify(ctx, identifies, actor).await?;
    refused.extend(track(ctx, tracks, actor).await?);
    refused.sort_by_key(|call| call.index);
    Ok(refused)
}

/// Rows of a file, in transactions of bounded size; why each was refused that was.
async fn put(
    ctx: &Ctx,
    kind: BulkKind,
    rows: &[BulkItem],
    actor: &str,
) -> Result<Vec<Option<String>>, StoreError> {
    let mut refused = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(ITEMS_MAX) {
        let outcomes = items_from(ctx, kind, chunk, CALLS, actor).await?;
        refused.extend(outcomes.into_iter().map(|outcome| match outcome {
            RowOutcome::Refused(detail) => Some(detail),
            _ => None,
        }));
    }
    Ok(refused)
}

/// Updates people, with consent where the settings map a trait to it.
async fn identify(
    ctx: &Ctx,
    calls: Vec<(usize, IdentifyCall)>,
    actor: &str,
) -> Result<Vec<RefusedCall>, StoreError> {
    let (settings, now) = (&ctx.config.segment, ctx.clock.now());
    let mut known: HashMap<RecipientKey, KnownPerson> = HashMap::new();
    let mut rows = Vec::with_capacity(calls.len());
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = ctx.store.read().await?;
    for (_, call) in &calls {
        if !known.contains_key(&call.recipient) {
            let person = known_person(&mut reader, ctx, &call.recipient).await?;
            known.insert(call.recipient.clone(), person);
        }
        let at = call.at.map_or(now, |at| at.min(now));
        rows.extend(known.get_mut(&call.recipient).map(|known| call.item(settings, known, at)));
    }
    drop(reader);
    let outcomes = put(ctx, BulkKind::Recipients, &rows, actor).await?;
    let (mut refused, mut withdrawn) = (Vec::new(), Vec::new());
    for ((index, call), outcome) in calls.into_iter().zip(outcomes) {
        let Some(detail) = outcome else { continue };
        refused.push(RefusedCall { index, detail });
        // whatever else is wrong with the row: a no is heard
        if call.opted_in(settings) == Some(false) {
            let at = call.at.map_or(now, |at| at.min(now));
            withdrawn.push((call.recipient, at, "identify".to_owned()));
        }
    }
    withdraw(ctx, &withdrawn, actor).await?;
    Ok(refused)
}

async fn known_person(
    reader: &mut Reader,
    ctx: &Ctx,
    key: &RecipientKey,
) -> Result<KnownPerson, StoreError> {
    let Some(person) = reader.recipient(key).await? else { return Ok(KnownPerson::default()) };
    let name = ctx.config.segment.consent_trait.as_ref();
    let told = name.and_then(|name| person.profile.attributes.get(name));
    let ledger = if name.is_some() { reader.ledger(person.id).await? } else { Vec::new() };
    Ok(KnownPerson {
        opted_in: told.and_then(|told| truth(told)),
        address: person.profile.address,
        country: person.profile.country,
        consent: ledger.last().map(|entry| entry.change),
    })
}

/// Adds events, then what the settings make of them.
async fn track(
    ctx: &Ctx,
    calls: Vec<(usize, TrackCall)>,
    actor: &str,
) -> Result<Vec<RefusedCall>, StoreError> {
    let (settings, now) = (&ctx.config.segment, ctx.clock.now());
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let mut timed = Vec::with_capacity(calls.len());
    let mut reader = ctx.store.read().await?;
    for (index, call) in calls {
        let at = match (call.at, &call.key) {
            (Some(at), _) => at,
            // one that came before without a time happened then
            (None, Some(key)) => {
                reader.event_time(&call.recipient, &call.event, key).await?.unwrap_or(now)
            }
            (None, None) => now,
        };
        timed.push((index, call, at));
    }
    drop(reader);
    let rows: Vec<BulkItem> = timed.iter().map(|(_, call, at)| call.item(*at)).collect();
    let outcomes = put(ctx, BulkKind::Events, &rows, actor).await?;
    let (mut refused, mut presence) = (Vec::new(), Vec::new());
    let (mut withdrawn, mut purchases) = (Vec::new(), Vec::new());
    for ((index, call, at), outcome) in timed.iter().zip(outcomes) {
        if let Some(detail) = outcome {
            refused.push(RefusedCall { index: *index, detail });
            continue;
        }
        if settings.opt_out.contains(&call.event) {
            let evidence = call.key.as_ref().map_or(call.event.as_str(), |key| key.as_str());
            withdrawn.push((call.recipient.clone(), (*at).min(now), evidence.to_owned()));
        }
        let Some(at) = happened(*at, now) else { continue };
        presence.extend(call.activity(settings).into_iter().map(|kind| {
            let row = [
                ("recipient", call.recipient.to_string()),
                ("at", format_instant(at)),
                ("kind", kind.to_owned()),
            ];
            BulkItem::from_iter(row.map(|(column, value)| (column.to_owned(), value.into())))
        }));
        if settings.convert.contains(&call.event) {
            purchases.push((call, at));
        }
    }
    withdraw(ctx, &withdrawn, actor).await?;
    put(ctx, BulkKind::Activity, &presence, actor).await?;
    convert(ctx, &purchases).await?;
    Ok(refused)
}

/// Withdraws consent of those who are known, each with when and what proves it.
async fn withdraw(
    ctx: &Ctx,
    said: &[(RecipientKey, Instant, String)],
    actor: &str,
) -> Result<(), StoreError> {
    if said.is_empty() {
        return Ok(());
    }
    let mut tries = 1;
    loop {
        match withdraw_once(ctx, said, actor).await {
            Err(error) if error.is_conflict() && tries < TRIES_MAX => tries += 1,
            done => return done,
        }
    }
}

async fn withdraw_once(
    ctx: &Ctx,
    said: &[(RecipientKey, Instant, String)],
    actor: &str,
) -> Result<(), StoreError> {
    let mut tx = ctx.store.begin().await?;
    let ids = tx.recipient_ids(said.iter().map(|(key, ..)| key)).await?;
    // in one order by everybody
    let mut entries: BTreeMap<RecipientId, Vec<ConsentEntry>> = BTreeMap::new();
    for (key, at, evidence) in said {
        let Some(id) = ids.get(key) else { continue };
        entries.entry(*id).or_default().push(ConsentEntry {
            change: ConsentChange::Withdrawn,
            at: *at,
            source: SOURCE.to_owned(),
            evidence: evidence.clone(),
            recorded_at: ctx.clock.now(),
            scope: ConsentEntry::EVERYWHERE,
        });
    }
    for (id, entries) in entries {
        let action = format!("consent {}", ConsentChange::Withdrawn);
        let entries: Vec<_> = entries.into_iter().map(|entry| (id, entry)).collect();
        if refusals::withdraw(&mut tx, &entries).await? > 0 {
            let subject = format!("recipient #{id}");
            audit::note(ctx, &mut tx, actor, &action, &subject, SOURCE).await?;
        }
    }
    tx.commit().await
}

/// Each purchase is a conversion of the last message that the person was sent before it.
async fn convert(ctx: &Ctx, purchases: &[(&TrackCall, Instant)]) -> Result<(), StoreError> {
    if purchases.is_empty() {
        return Ok(());
    }
    let mut updates: BTreeMap<Name, Vec<Update>> = BTreeMap::new();
    let mut reader = ctx.store.read().await?;
    for (call, at) in purchases {
        let Some(person) = reader.recipient(&call.recipient).await? else { continue };
        let messages = reader.messages_of(person.id).await?;
        let Some(row) = cause(&messages, *at) else { continue };
        // a message of a file that names no channel takes no answers
        let channel = row.message.channel.as_deref().map(str::parse);
        let Some(Ok(provider)) = channel else { continue };
        updates.entry(provider).or_default().push(Update {
            of: UpdateOf::Ours(row.message.key.clone()),
            event: call.conversion(),
            at: *at,
            names: Vec::new(),
        });
    }
    drop(reader);
    for (provider, updates) in updates {
        receive::apply(ctx, &provider, updates).await?;
    }
    Ok(())
}
