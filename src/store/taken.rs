//! What is taken already: of slots, of people's patience, of a provider's.

use super::bulk::{Sql, numbers, one_of};
use super::row::from_row;
use super::{Doing, Reader, StoreError, instant, micros, on, parsed};
use crate::model::delivery::Arm;
use crate::model::frequency::RecentSend;
use crate::model::ids::{Name, RecipientId};
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// Messages of one arm of a campaign in one slot: sent there, or still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCount {
    /// The slot.
    pub slot: Slot,
    /// The arm.
    pub arm: Arm,
    /// How many.
    pub messages: u32,
}

/// What was sent counts where it was sent, what is planned where it is planned. What the channel took
/// and gave up later took its place all the same.
const SLOTS: &str = "SELECT COALESCE(sent_at, send_at) / $2, arm, COUNT(*)
    FROM delivery WHERE campaign = $1 AND arm IS NOT NULL
        AND (sent_at IS NOT NULL
            OR state IN ('planned', 'held', 'in_doubt', 'in_doubt_expired') AND send_at IS NOT NULL)
        AND COALESCE(sent_at, send_at) >= $3
    GROUP BY 1, 2 ORDER BY 1, 2";

/// Messages are written when they are sent or later, so that the index on that time finds them.
const SENT: &str = "SELECT recipient, sent_at, category FROM sent_message
    WHERE observed_at >= $1 AND sent_at >= $1 AND failed_at IS NULL";

const SENT_TO: Sql = one_of!(
    "SELECT recipient, sent_at, category FROM sent_message
        WHERE failed_at IS NULL AND sent_at >= $1 AND recipient",
    "$2",
    ""
);

const IN_DOUBT: Sql = one_of!(
    "SELECT recipient, changed_at FROM delivery
        WHERE state IN ('in_doubt', 'in_doubt_expired') AND sent_at IS NULL AND campaign <> $1
        AND changed_at >= $2 AND recipient",
    "$3",
    ""
);

/// Other campaigns' claims hold few people at a time.
const CLAIMED: Sql = [
    "SELECT p.value, claim.claimed_at FROM claim, json_each(claim.recipients) AS p
        WHERE claim.campaign <> $1 AND p.value IN (SELECT value FROM json_each($2))",
    "SELECT CAST(p.value AS BIGINT), claim.claimed_at
        FROM claim, json_array_elements_text(claim.recipients::json) AS p
        WHERE claim.campaign <> $1 AND CAST(p.value AS BIGINT) = ANY($2)",
];

/// What is not sent yet, or may have been without our knowing.
const TO_COME: &str = "SELECT recipient, send_at FROM delivery
    WHERE campaign = $1 AND state IN ('planned', 'in_doubt', 'in_doubt_expired')
        AND sent_at IS NULL AND send_at >= $2";

const TO_COME_OF: Sql = one_of!(
    "SELECT recipient, send_at FROM delivery
    WHERE campaign = $1 AND state IN ('planned', 'in_doubt', 'in_doubt_expired')
        AND sent_at IS NULL AND send_at >= $2 AND recipient",
    "$3",
    ""
);

const WAITS: &str = "SELECT recipient, not_before FROM delivery
    WHERE campaign = $1 AND not_before > $2";

const PAUSED_UNTIL: &str = "SELECT MAX(paused_until) FROM provider_pause
    WHERE provider = $1 AND template = '' AND paused_until > $2";

from_row! {
    struct SentRow {
        recipient: i64,
        sent_at: i64,
        category: Option<String>,
    }
}

impl SentRow {
    fn into_model(self) -> Result<(RecipientId, RecentSend), StoreError> {
        let category = self.category.map(|category| parsed("message", &category)).transpose()?;
        let at = instant("message", self.sent_at)?;
        Ok((RecipientId(self.recipient), RecentSend { at, category }))
    }
}

impl Reader {
    /// What a campaign has sent since `since` and is still to send, by slot and arm.
    pub async fn slot_counts(
        &mut self,
        campaign: i64,
        length: SlotLength,
        since: Instant,
    ) -> Result<Vec<SlotCount>, StoreError> {
        let slot_micros = i64::from(length.minutes()) * 60_000_000;
        let rows: Vec<(i64, String, i64)> = on!(self, |db| sqlx::query_as(SLOTS)
            .bind(campaign)
            .bind(slot_micros)
            .bind(micros(since))
            .fetch_all(db)
            .await)
        .doing("count messages by slot")?;
        let count = |(slot, arm, messages): (i64, String, i64)| {
            let (slot, arm) = (Slot(slot), parsed("delivery", &arm)?);
            Ok(SlotCount { slot, arm, messages: messages as u32 })
        };
        rows.into_iter().map(count).collect()
    }

    /// Every message since `since`, whoever sent it, to some people or to all.
    pub async fn sent_since(
        &mut self,
        people: Option<&[RecipientId]>,
        since: Instant,
    ) -> Result<Vec<(RecipientId, RecentSend)>, StoreError> {
        let to = self.text(SENT_TO);
        let rows: Vec<SentRow> = on!(self, |db| match people {
            Some(people) =>
                sqlx::query_as(to).bind(micros(since)).bind(numbers(people)).fetch_all(db).await,
            None => sqlx::query_as(SENT).bind(micros(since)).fetch_all(db).await,
        })
        .doing("read who was written to")?;
        rows.into_iter().map(SentRow::into_model).collect()
    }

    /// Whom a campaign will write to, or may have written to without our knowing, since `since`; of
    /// some people, or of all.
    pub async fn to_come(
        &mut self,
        campaign: i64,
        people: Option<&[RecipientId]>,
        since: Instant,
    ) -> Result<Vec<(RecipientId, Instant)>, StoreError> {
        let of = self.text(TO_COME_OF);
        let rows: Vec<(i64, i64)> = on!(self, |db| match people {
            Some(people) =>
                sqlx::query_as(of)
                    .bind(campaign)
                    .bind(micros(since))
                    .bind(numbers(people))
                    .fetch_all(db)
                    .await,
            None => sqlx::query_as(TO_COME).bind(campaign).bind(micros(since)).fetch_all(db).await,
        })
        .doing("read who will be written to")?;
        rows.into_iter().map(|(id, at)| Ok((RecipientId(id), instant("delivery", at)?))).collect()
    }

    /// Whom the provider of a campaign asked to leave alone beyond `now`, and until when.
    pub async fn waits(
        &mut self,
        campaign: i64,
        now: Instant,
    ) -> Result<Vec<(RecipientId, Instant)>, StoreError> {
        let rows: Vec<(i64, i64)> = on!(self, |db| sqlx::query_as(WAITS)
            .bind(campaign)
            .bind(micros(now))
            .fetch_all(db)
            .await)
        .doing("read whom to leave alone")?;
        rows.into_iter().map(|(id, at)| Ok((RecipientId(id), instant("delivery", at)?))).collect()
    }

    /// Until when a provider asked to wait, if it did.
    pub async fn paused_until(
        &mut self,
        provider: &Name,
        now: Instant,
    ) -> Result<Option<Instant>, StoreError> {
        let at: Option<i64> = on!(self, |db| sqlx::query_scalar(PAUSED_UNTIL)
            .bind(provider.as_str())
            .bind(micros(now))
            .fetch_one(db)
            .await)
        .doing("read how long to wait")?;
        at.map(|at| instant("provider_pause", at)).transpose()
    }

    /// What counts of each person's messages since `since`: all that were sent, and those of
    /// campaigns but `campaign` that are claimed or in doubt.
    pub async fn taken_of(
        &mut self,
        campaign: i64,
        recipients: &[RecipientId],
        since: Instant,
    ) -> Result<Vec<(RecipientId, RecentSend)>, StoreError> {
        let (sent, in_doubt, claimed) =
            (self.text(SENT_TO), self.text(IN_DOUBT), self.text(CLAIMED));
        let sent: Vec<SentRow> = on!(self, |db| sqlx::query_as(sent)
            .bind(micros(since))
            .bind(numbers(recipients))
            .fetch_all(db)
            .await)
        .doing("read who was written to")?;
        let mut under_way: Vec<(i64, i64)> = on!(self, |db| sqlx::query_as(in_doubt)
            .bind(campaign)
            .bind(micros(since))
            .bind(numbers(recipients))
            .fetch_all(db)
            .await)
        .doing("read who may have been written to")?;
        let claimed: Vec<(i64, i64)> = on!(self, |db| sqlx::query_as(claimed)
            .bind(campaign)
            .bind(numbers(recipients))
            .fetch_all(db)
            .await)
        .doing("read who is being written to")?;
        under_way.extend(claimed);
        let mut taken = Vec::with_capacity(sent.len() + under_way.len());
        for row in sent {
            taken.push(row.into_model()?);
        }
        for (id, at) in under_way {
            let at = instant("delivery", at)?;
            taken.push((RecipientId(id), RecentSend { at, category: None }));
        }
        Ok(taken)
    }
}
