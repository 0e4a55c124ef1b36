//! What becomes of the fallbacks of a run where the occasion that it is about changes: a letter does not remind of
//! a visit that was called off after the first message was lost.

use std::collections::BTreeMap;

use super::fallbacks::KEY;
use crate::model::campaign::Campaign;
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::store::{Occurrence, StoreError, Tx};

/// What becomes of messages of fallbacks that have not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recall {
    /// The occasion is not written about any more, and no later fallback takes over.
    Refuse(Reason),
    /// It is decided about anew, as if nothing had been taken over.
    Forget,
}

/// Recalls what a run's fallbacks have not sent to people yet; whether somebody is in a claim, and has to be looked
/// at again.
pub(super) async fn recall(
    tx: &mut Tx,
    campaign: &Campaign,
    run: i64,
    (people, how): (&[RecipientId], Recall),
    now: Instant,
) -> Result<bool, StoreError> {
    let (mut before, mut waits) = (run, false);
    for _ in &campaign.fallbacks {
        let next = tx.fallback_to(before).await?;
        let why = if let Recall::Refuse(reason) = how { reason } else { Reason::EventMoved };
        let free = match next {
            Some(next) => tx.withdraw_planned(next, people, why, now).await?,
            None => Default::default(),
        };
        let mut known: BTreeMap<RecipientId, _> = BTreeMap::new();
        for row in tx.occurrences(before, people).await? {
            known.insert(row.occurrence.recipient, row);
        }
        let mut put = Vec::new();
        for person in people {
            let taken = known.remove(person);
            let has_left = taken.as_ref().is_some_and(|row| {
                row.occurrence.refused.is_none()
                    && !matches!(row.state, None | Some(State::Planned | State::Refused))
            });
            if has_left {
                continue;
            }
            let is_open = taken.as_ref().is_some_and(|row| row.occurrence.refused.is_none());
            waits |= is_open && !free.contains(person);
            match how {
                Recall::Refuse(reason) => {
                    let taken = taken.map_or_else(|| untaken(*person, now), |row| row.occurrence);
                    let refused = taken.refused.or(Some(reason));
                    put.push(Occurrence { refused, ..taken });
                }
                Recall::Forget => {
                    if taken.is_some() && (free.contains(person) || !is_open) {
                        tx.drop_occurrence(before, *person, KEY).await?;
                    }
                }
            }
        }
        tx.put_occurrences(before, &put).await?;
        let Some(next) = next else { break };
        before = next;
    }
    Ok(waits)
}

/// Has fallbacks tell of occasions as they are described now.
pub(super) async fn describe(
    tx: &mut Tx,
    campaign: &Campaign,
    described: &[Occurrence],
) -> Result<(), StoreError> {
    let mut by_run: BTreeMap<i64, BTreeMap<RecipientId, &Occurrence>> = BTreeMap::new();
    for of in described {
        if let Some(run) = of.run {
            by_run.entry(run).or_default().insert(of.recipient, of);
        }
    }
    for (run, described) in by_run {
        let people: Vec<RecipientId> = described.keys().copied().collect();
        let mut before = run;
        for _ in &campaign.fallbacks {
            let taken = tx.occurrences(before, &people).await?;
            let anew = taken.into_iter().map(|row| Occurrence {
                attributes: described[&row.occurrence.recipient].attributes.clone(),
                ..row.occurrence
            });
            let anew: Vec<Occurrence> = anew.collect();
            tx.put_occurrences(before, &anew).await?;
            let Some(next) = tx.fallback_to(before).await? else { break };
            before = next;
        }
    }
    Ok(())
}

/// A message that no fallback has taken over, and none will.
fn untaken(recipient: RecipientId, now: Instant) -> Occurrence {
    Occurrence {
        recipient,
        key: KEY.to_owned(),
        event_at: now,
        opens_at: now,
        closes_at: now,
        run: None,
        refused: None,
        told_at: None,
        attributes: BTreeMap::new(),
    }
}
