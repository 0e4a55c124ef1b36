//! What a world's people did before a replay begins, put into its database.

use super::ReplayError;
use crate::calendar::infer::infer;
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::message::Message;
use crate::model::recipient::Zone;
use crate::model::time::Instant;
use crate::work::Ctx;
use crate::world::World;
use crate::world::history::PersonHistory;
use crate::world::logging::Logging;

/// People who are written at once.
const PEOPLE_AT_ONCE: usize = 5_000;

/// Stores a world's people and, where they have one, their past, as the imports of the three files
/// would.
pub(super) async fn put(
    ctx: &Ctx,
    world: &World,
    history: Option<&Logging>,
) -> Result<(), ReplayError> {
    let standard = Logging::demo(ctx.clock.now());
    let mut people: Box<dyn Iterator<Item = PersonHistory> + Send> = match history {
        Some(logging) => Box::new(world.history(logging)),
        None => Box::new(world.strangers(&standard)),
    };
    loop {
        let chunk: Vec<PersonHistory> = people.by_ref().take(PEOPLE_AT_ONCE).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        put_people(ctx, chunk).await?;
    }
}

async fn put_people(ctx: &Ctx, people: Vec<PersonHistory>) -> Result<(), ReplayError> {
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
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
    let (mut consents, mut messages, mut activity) = (Vec::new(), Vec::new(), Vec::new());
    for ((id, _), person) in added.into_iter().zip(people) {
        if let Some((at, source)) = person.recipient.opted_in {
            consents.push((id, consent(ConsentChange::Granted, at, source, now)));
        }
        let optout = person.messages.iter().find_map(|m| m.response.opted_out_at);
        let withdrawn = |at| consent(ConsentChange::Withdrawn, at, "message", now);
        consents.extend(optout.map(|at| (id, withdrawn(at))));
        let of_person = |message: Message| (id, message);
        messages.extend(person.messages.into_iter().map(of_person));
        let sign = |(at, kind): (Instant, &'static str)| (id, at, kind.to_owned());
        activity.extend(person.activity.into_iter().map(sign));
    }
    tx.append_consent(&consents).await?;
    tx.add_messages(&messages, now).await?;
    tx.add_activity(&activity, now).await?;
    Ok(tx.commit().await?)
}

pub(super) fn consent(
    change: ConsentChange,
    at: Instant,
    source: &str,
    now: Instant,
) -> ConsentEntry {
    let (source, evidence) = (source.to_owned(), String::new());
    ConsentEntry { change, at, source, evidence, recorded_at: now, scope: ConsentEntry::EVERYWHERE }
}
