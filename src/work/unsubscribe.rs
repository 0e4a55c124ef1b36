//! The way out that mails carry: whoever follows it has said that they want no more by this provider.

use super::{Ctx, receive, refusals};
use crate::model::consent::{ConsentChange, ConsentEntry, ConsentScope};
use crate::model::delivery::message_key;
use crate::provider::{Event, Update, UpdateOf};
use crate::store::{StoreError, UnsubscribeKey};

/// Withdraws the consent of the person whose token it is, durably; false when it is nobody's. Said twice, it
/// changes nothing more.
pub async fn withdraw(ctx: &Ctx, key: &UnsubscribeKey, token: &str) -> Result<bool, StoreError> {
    let Some((campaign, person)) = key.read(token) else { return Ok(false) };
    let row = ctx.store.read().await?.campaign_by_id(campaign).await?;
    let Some(row) = row else { return Ok(false) };
    let (name, provider) = (&row.campaign.name, &row.campaign.provider);
    if ctx.store.read().await?.without_consent((provider, None), &[person]).await?.contains(&person)
    {
        return Ok(true);
    }
    let (now, message) = (ctx.clock.now(), message_key(name, person));
    let entry = ConsentEntry {
        change: ConsentChange::Withdrawn,
        at: now,
        source: format!("{provider} unsubscribe"),
        evidence: message.to_string(),
        recorded_at: now,
        scope: ConsentScope::of(provider),
    };
    let mut tx = ctx.store.begin().await?;
    let config = ctx.config.providers.get(provider);
    let attribute = config.and_then(|config| config.address_attribute.as_deref());
    refusals::withdraw_by(&mut tx, attribute, &[(person, entry)]).await?;
    tx.commit().await?;
    // the message that it came of is one that cost a person, which plans learn from
    let of = UpdateOf::Ours(message);
    let update = Update { of, event: Event::OptedOut, at: now, names: Vec::new() };
    receive::apply(ctx, provider, vec![update]).await?;
    Ok(true)
}
