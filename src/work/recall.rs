//! What becomes of the fallbacks of a run where the occasion that it is about changes: a letter does not remind of
//! a visit that was called off after the first message was lost.

use std::collections::{BTreeMap, HashSet};

use super::fallbacks::KEY;
use crate::model::campaign::Campaign;
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;
use crate::store::{Occurrence, OccurrenceRow, StoreError, Tx};

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
    let why = if let Recall::Refuse(reason) = how { reason } else { Reason::EventMoved };
    for _ in &campaign.fallbacks {
        let next = tx.fallback_to(before).await?;
        let mut known: BTreeMap<RecipientId, OccurrenceRow> = BTreeMap::new();
        for row in tx.occurrences(before, people).await? {
            known.insert(row.occurrence.recipient, row);
        }
        let is_open = |row: &OccurrenceRow| {
            let may_leave = matches!(row.state, None | Some(State::Planned | State::Refused));
            may_leave && row.occurrence.refused.is_none()
        };
        let open = known.iter().filter(|(_, row)| is_open(row)).map(|(person, _)| *person);
        let open: Vec<RecipientId> = open.collect();
        let free = match next {
            Some(next) if !open.is_empty() => tx.withdraw_planned(next, &open, why, now).await?,
            _ => HashSet::new(),
        };
        let mut put = Vec::new();
        for person in people {
            let taken = known.remove(person);
            let is_claimed = |row: &OccurrenceRow| {
                is_open(row) && row.state == Some(State::Planned) && !free.contains(person)
            };
            waits |= taken.as_ref().is_some_and(is_claimed);
            match (how, taken) {
                (Recall::Refuse(reason), None) => put.push(untaken(*person, reason, now)),
                (Recall::Refuse(reason), Some(row)) if is_open(&row) => {
                    put.push(Occurrence { refused: Some(reason), ..row.occurrence });
                }
                (Recall::Forget, Some(row)) => {
                    let was_refused = row.occurrence.refused.is_some();
                    if was_refused || is_open(&row) && !is_claimed(&row) {
                        tx.drop_occurrence(before, *person, KEY).await?;
                    }
                }
                // it has left, or nothing was taken over
                _ => {}
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
fn untaken(recipient: RecipientId, why: Reason, now: Instant) -> Occurrence {
    Occurrence {
        recipient,
        key: KEY.to_owned(),
        event_at: now,
        opens_at: now,
        closes_at: now,
        run: None,
        refused: Some(why),
        told_at: None,
        attributes: BTreeMap::new(),
    }
}
