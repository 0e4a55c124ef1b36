//! What a person says of consent holds for everybody with their address: one telephone is one person,
//! under however many ids. A refusal that is later than another id's consent ends that as well.

use std::collections::BTreeSet;

use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::store::{StoreError, Tx};

/// Appends withdrawals to the ledgers of those who said so, and of whoever shares their address.
/// Returns how many of the former were new.
pub(super) async fn withdraw(
    tx: &mut Tx,
    entries: &[(RecipientId, ConsentEntry)],
) -> Result<u64, StoreError> {
    withdraw_by(tx, None, entries).await
}

/// The same where a channel has addresses of its own, in an attribute.
pub(super) async fn withdraw_by(
    tx: &mut Tx,
    attribute: Option<&str>,
    entries: &[(RecipientId, ConsentEntry)],
) -> Result<u64, StoreError> {
    if entries.is_empty() {
        return Ok(0);
    }
    let new = tx.append_consent(entries).await?;
    let said: BTreeSet<RecipientId> = entries.iter().map(|(id, _)| *id).collect();
    let said = Vec::from_iter(said);
    let mut pairs = tx.sharing_addresses(&said).await?;
    if let Some(attribute) = attribute {
        pairs.extend(tx.sharing_attribute(attribute, &said).await?);
    }
    let of = |id: RecipientId| entries.iter().filter(move |(who, _)| *who == id);
    let shared: Vec<(RecipientId, ConsentEntry)> = (pairs.iter())
        .flat_map(|(id, other)| of(*id).map(|(_, entry)| (*other, entry.clone())))
        .collect();
    tx.append_consent(&shared).await?;
    Ok(new)
}

/// Brings the ledgers of people together whose address may be new: the latest refusal of somebody
/// who has not agreed since ends every consent at that address that is older. Returns how many
/// entries were new.
pub(super) async fn share(
    tx: &mut Tx,
    people: &[RecipientId],
    now: Instant,
) -> Result<u64, StoreError> {
    let pairs = tx.sharing_addresses(people).await?;
    let both: BTreeSet<RecipientId> = pairs.iter().flat_map(|(id, other)| [*id, *other]).collect();
    let last = tx.last_consents(&Vec::from_iter(both)).await?;
    let mut entries = Vec::new();
    for (one, other) in pairs.iter().flat_map(|(one, other)| [(one, other), (other, one)]) {
        let (Some(said), Some(known)) = (last.get(one), last.get(other)) else { continue };
        let refused = said.change == ConsentChange::Withdrawn;
        if refused && known.change == ConsentChange::Granted && known.at < said.at {
            entries.push((*other, ConsentEntry { recorded_at: now, ..said.clone() }));
        }
    }
    tx.append_consent(&entries).await
}
