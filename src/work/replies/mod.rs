//! What people wrote: listed, corrected, summed up. Nothing is answered by itself.

mod digest;
mod judge;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Ctx, StepEnv, audit, channel, refusals};
use crate::config::ReplySettings;
use crate::model::consent::ConsentEntry;
use crate::model::ids::{Name, RecipientId};
use crate::model::recipient::Profile;
use crate::model::reply::Intent;
use crate::model::time::Instant;
use crate::model::wish::Wishes;
use crate::store::{Reply, ReplyFilter, StoreError};

pub use self::digest::{
    AskedQuestion, CampaignReplies, IntentCount, IntentReplies, ReplyDigest, digest,
};
pub(in crate::work) use self::judge::{JudgedReplies, judge};

/// A page of replies, the newest first.
#[derive(Debug, Serialize)]
pub struct ReplyPage {
    /// The replies.
    pub items: Vec<Reply>,
    /// Where to go on; `None` on the last page.
    pub next: Option<String>,
}

/// Up to `limit` replies before the one with the number `before`, and the number to go on from, where
/// there may be more.
pub async fn list(
    ctx: &Ctx,
    filter: &ReplyFilter,
    before: Option<i64>,
    limit: usize,
) -> Result<(Vec<Reply>, Option<i64>), StoreError> {
    let items = ctx.store.read().await?.replies(filter, before, limit).await?;
    let next = items.last().filter(|_| items.len() == limit).map(|reply| reply.id);
    Ok((items, next))
}

/// The reply with a number.
pub async fn show(ctx: &Ctx, id: i64) -> Result<Option<Reply>, StoreError> {
    ctx.store.read().await?.reply(id).await
}

/// What a person says that a reply means.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyLabel {
    /// What it is about.
    pub intent: Intent,
    /// What the person states in it of messages to them, over what they stated before.
    #[serde(default)]
    pub wishes: Wishes,
}

/// Corrects what a reply means. Later texts are judged by it too, and what follows from the intent
/// follows now: *stop* withdraws consent, *not now* and *automatic* pause, anything else ends a pause
/// that this reply brought. A withdrawal is not taken back: only a new word of the person does that.
/// Plans obey what the person states in it.
pub async fn label(
    ctx: &Ctx,
    id: i64,
    label: &ReplyLabel,
    actor: &str,
) -> Result<Option<Reply>, StoreError> {
    let intent = label.intent;
    let mut tx = ctx.store.begin().await?;
    let Some(reply) = tx.reply(id).await? else { return Ok(None) };
    let Some(person) = tx.recipient(&reply.recipient).await? else { return Ok(None) };
    tx.label_reply(id, intent, ctx.clock.now()).await?;
    tx.end_reply_pause(id).await?;
    if intent == Intent::Stop {
        let source = format!("{} reply, labelled", reply.provider);
        let evidence = format!("reply {id}");
        let entry = channel::withdrawal(source, evidence, ctx.clock.now());
        let entry = ConsentEntry { at: reply.received_at, ..entry };
        refusals::withdraw(&mut tx, &[(person.id, entry)]).await?;
    }
    if let Some(until) = paused_until(ctx, intent, reply.received_at) {
        let shared = tx.sharing_addresses(&[person.id]).await?;
        let people = shared.into_iter().map(|(_, other)| other).chain([person.id]);
        let pauses: Vec<(RecipientId, i64, Instant)> = people.map(|who| (who, id, until)).collect();
        tx.pause_people(&pauses).await?;
    }
    if !label.wishes.is_empty() {
        let told = Profile { wishes: label.wishes.clone(), ..Profile::default() };
        tx.put_recipients(&[(person.key, told)]).await?;
        let (subject, source) = (format!("recipient #{}", person.id), format!("reply {id}"));
        audit::note(ctx, &mut tx, actor, "wish", &subject, &source).await?;
    }
    let subject = format!("reply {id}");
    audit::note(ctx, &mut tx, actor, "label reply", &subject, intent.as_str()).await?;
    let labelled = tx.reply(id).await?;
    tx.commit().await?;
    Ok(labelled)
}

/// Until when an answer of this intent, given at `at`, keeps marketing from the person, if that is
/// still to come.
pub(in crate::work) fn paused_until(env: &StepEnv, intent: Intent, at: Instant) -> Option<Instant> {
    let ReplySettings { pause_not_now, pause_automatic } = env.config.replies;
    let pause = match intent {
        Intent::NotNow => pause_not_now,
        Intent::Automatic => pause_automatic,
        _ => return None,
    };
    let until = at + TimeDelta::from_std(pause).ok()?;
    (until > env.clock.now()).then_some(until)
}

/// The withdrawal of somebody whose text surely asks for it.
pub(in crate::work) fn withdrawal(
    provider: &Name,
    message: &str,
    (at, now): (Instant, Instant),
) -> ConsentEntry {
    let entry = channel::withdrawal(format!("{provider} reply"), message.to_owned(), now);
    ConsentEntry { at, ..entry }
}
