//! Who is to get what when, who is at work on it, and how it ended.

use sqlx::{FromRow, QueryBuilder};

use super::bulk::{List, Sql, numbers, one_of};
use super::{
    Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, json, micros, on, parsed, run,
    to_json,
};
use crate::model::delivery::{Arm, Choice, Delivery, Reason, State};
use crate::model::ids::RecipientId;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

/// A stored delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRow {
    /// What was decided.
    pub delivery: Delivery,
    /// How often it was tried.
    pub attempts: u32,
    /// The provider asked not to try before.
    pub not_before: Option<Instant>,
    /// When the row last changed.
    pub changed_at: Instant,
}

impl DeliveryRow {
    /// Whether it waits for a new decision.
    pub fn is_undecided(&self) -> bool {
        self.delivery.state == State::Planned && self.delivery.choice.is_none()
    }
}

/// A claim on deliveries: who settles them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Unique to the claim, not only to the daemon.
    pub lease: String,
    /// When others may think its holder dead.
    pub until: Instant,
}

/// A claimed delivery: what a call needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Due {
    /// Whom to write to.
    pub recipient: RecipientId,
    /// The position of what is sent among the campaign's variants.
    pub variant_index: u16,
    /// The slot that it takes room in.
    pub slot: Slot,
    /// When to send.
    pub send_at: Instant,
    /// The chance with which this action was drawn, where a draw decided.
    pub propensity: Option<f64>,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

/// How a claimed delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settled {
    /// Its next state.
    pub state: State,
    /// Why; `None` keeps the reason for which it was planned.
    pub reason: Option<Reason>,
    /// Of one that is planned again: when it is tried, or `None` where a new decision is due.
    pub again_at: Option<Instant>,
    /// A new decision may not choose an earlier time.
    pub not_before: Option<Instant>,
    /// Whether the provider was asked.
    pub attempt: Attempt,
}

/// Whether a claim led to a call that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// It did.
    Made,
    /// Nothing was called, or everybody was sent away: the claim is taken back.
    NotMade,
}

#[derive(FromRow)]
struct Row {
    recipient: i64,
    state: String,
    reason: String,
    arm: Option<String>,
    variant: Option<String>,
    variant_index: Option<i64>,
    slot_start: Option<i64>,
    send_at: Option<i64>,
    value: Option<f64>,
    chance: Option<f64>,
    runner_up_slot: Option<i64>,
    runner_up_value: Option<f64>,
    propensity: Option<f64>,
    not_before: Option<i64>,
    attempts: i64,
    changed_at: i64,
}

#[derive(FromRow)]
struct DueRow {
    recipient: i64,
    variant_index: i64,
    slot_start: i64,
    send_at: i64,
    propensity: Option<f64>,
    attempts: i64,
}

const TABLE: &str = "delivery";

impl DueRow {
    fn into_model(self, length: SlotLength) -> Result<Due, StoreError> {
        Ok(Due {
            recipient: RecipientId(self.recipient),
            variant_index: self.variant_index as u16,
            slot: Slot::holding(instant(TABLE, self.slot_start)?, length),
            send_at: instant(TABLE, self.send_at)?,
            propensity: self.propensity,
            attempts: self.attempts as u32,
        })
    }
}

impl Row {
    fn into_model(self, length: SlotLength) -> Result<DeliveryRow, StoreError> {
        let slot = |at: i64| Ok(Slot::holding(instant(TABLE, at)?, length));
        let choice = match (self.variant, self.variant_index, self.slot_start, self.send_at) {
            (Some(variant), Some(index), Some(start), Some(send_at)) => Some(Choice {
                variant: parsed(TABLE, &variant)?,
                variant_index: index as u16,
                slot: slot(start)?,
                send_at: instant(TABLE, send_at)?,
                value: self.value.unwrap_or_default(),
                chance: self.chance.unwrap_or_default(),
                runner_up: match (self.runner_up_slot, self.runner_up_value) {
                    (Some(at), Some(value)) => Some((slot(at)?, value)),
                    _ => None,
                },
                propensity: self.propensity,
            }),
            _ => None,
        };
        let arm: Option<Arm> = self.arm.map(|arm| parsed(TABLE, &arm)).transpose()?;
        Ok(DeliveryRow {
            delivery: Delivery {
                recipient: RecipientId(self.recipient),
                state: parsed(TABLE, &self.state)?,
                reason: parsed(TABLE, &self.reason)?,
                arm,
                choice,
            },
            attempts: self.attempts as u32,
            not_before: self.not_before.map(|at| instant(TABLE, at)).transpose()?,
            changed_at: instant(TABLE, self.changed_at)?,
        })
    }
}

macro_rules! columns {
    () => {
        "recipient, state, reason, arm, variant, variant_index, slot_start, send_at, value, chance,
        runner_up_slot, runner_up_value, propensity, not_before, attempts, changed_at"
    };
}

macro_rules! select {
    ($end:literal) => {
        concat!("SELECT ", columns!(), " FROM delivery WHERE campaign = $1 ", $end)
    };
}

const OF_CAMPAIGN: &str = select!("ORDER BY recipient");

const UNDECIDED: &str = select!("AND state = 'planned' AND send_at IS NULL ORDER BY recipient");

const ONE: &str = select!("AND recipient = $2");

/// The text of the claim, by what a dialect calls the place of a row; PostgreSQL passes over rows
/// that others are claiming. Materialized, since a subquery that is run twice would claim twice its
/// limit.
macro_rules! claim_sql {
    ($place:literal, $suffix:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT ",
            $place,
            " AS place FROM delivery
                WHERE campaign = $1 AND state = 'planned' AND send_at <= $4
                ORDER BY send_at LIMIT $2",
            $suffix,
            ")
             UPDATE delivery SET state = 'claimed', lease = $3, attempts = attempts + 1,
                changed_at = $4
             FROM due WHERE delivery.",
            $place,
            " = place
             RETURNING recipient, variant_index, slot_start, send_at, propensity, attempts"
        )
    };
}

const CLAIM: Sql = [claim_sql!("rowid", ""), claim_sql!("ctid", " FOR UPDATE SKIP LOCKED")];

const HOLD: &str =
    "INSERT INTO claim (lease, campaign, held_until, recipients) VALUES ($1, $2, $3, $4)";

const RELEASE: &str = "DELETE FROM claim WHERE lease = $1";

/// The text of a settlement of those whom a condition holds for; see [`Settled`].
macro_rules! settle_sql {
    ($condition:literal) => {
        one_of!(
            concat!(
                "UPDATE delivery SET state = $3, not_before = $4, changed_at = $5,
                    reason = COALESCE($6, reason), attempts = attempts - $7,
                    send_at = CASE WHEN $3 = 'planned' THEN $8 ELSE send_at END
                 WHERE campaign = $1 AND ",
                $condition,
                " AND recipient"
            ),
            "$9",
            " RETURNING recipient"
        )
    };
}

const SETTLE: Sql = settle_sql!("lease = $2 AND state IN ('claimed', 'in_doubt')");

const RESOLVE: Sql = settle_sql!("state = $2");

const LOST: &str = "DELETE FROM claim WHERE held_until <= $1 RETURNING lease, campaign, recipients";

const RESCUE: Sql = one_of!(
    "UPDATE delivery SET state = 'in_doubt', reason = 'node_lost', changed_at = $1
        WHERE state = 'claimed' AND lease = $2 AND campaign = $3 AND recipient",
    "$4",
    ""
);

const GIVE_UP: &str = "UPDATE delivery SET state = 'in_doubt_expired',
    reason = 'never_confirmed', changed_at = $2
    WHERE campaign = $1 AND state = 'in_doubt' AND changed_at <= $3";

const END_PLANNED: &str = "UPDATE delivery SET state = $2, reason = $3, changed_at = $4
    WHERE campaign = $1 AND state = 'planned'";

impl Reader {
    /// Everybody of a campaign, in the order of their numbers.
    pub async fn deliveries(
        &mut self,
        campaign: i64,
        length: SlotLength,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(OF_CAMPAIGN).bind(campaign).fetch_all(db).await)
                .doing("read deliveries")?;
        rows.into_iter().map(|row| row.into_model(length)).collect()
    }

    /// Those of a campaign who wait for a new decision, in the order of their numbers.
    pub async fn undecided(
        &mut self,
        campaign: i64,
        length: SlotLength,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(UNDECIDED).bind(campaign).fetch_all(db).await)
                .doing("read who waits for a decision")?;
        rows.into_iter().map(|row| row.into_model(length)).collect()
    }

    /// One person's delivery.
    pub async fn delivery(
        &mut self,
        campaign: i64,
        recipient: RecipientId,
        length: SlotLength,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let row: Option<Row> = on!(self, |db| sqlx::query_as(ONE)
            .bind(campaign)
            .bind(recipient.0)
            .fetch_optional(db)
            .await)
        .doing("read a delivery")?;
        row.map(|row| row.into_model(length)).transpose()
    }
}

impl Tx {
    /// Writes decisions over those that are still open to change: planned and refused ones.
    pub async fn put_decisions(
        &mut self,
        campaign: i64,
        deliveries: &[Delivery],
        length: SlotLength,
        now: Instant,
    ) -> Result<(), StoreError> {
        for chunk in deliveries.chunks(ROWS_PER_STATEMENT) {
            on!(self, |db| {
                let mut query = QueryBuilder::new(
                    "INSERT INTO delivery (campaign, recipient, state, reason, arm, variant,
                        variant_index, slot_start, send_at, value, chance, runner_up_slot,
                        runner_up_value, propensity, attempts, changed_at) ",
                );
                query.push_values(chunk, |mut row, delivery| {
                    let choice = delivery.choice.as_ref();
                    let start = |slot: Slot| micros(slot.start(length));
                    let runner_up = choice.and_then(|c| c.runner_up);
                    row.push_bind(campaign)
                        .push_bind(delivery.recipient.0)
                        .push_bind(delivery.state.as_str())
                        .push_bind(delivery.reason.as_str())
                        .push_bind(delivery.arm.map(Arm::as_str))
                        .push_bind(choice.map(|c| c.variant.as_str()))
                        .push_bind(choice.map(|c| i64::from(c.variant_index)))
                        .push_bind(choice.map(|c| start(c.slot)))
                        .push_bind(choice.map(|c| micros(c.send_at)))
                        .push_bind(choice.map(|c| c.value))
                        .push_bind(choice.map(|c| c.chance))
                        .push_bind(runner_up.map(|(slot, _)| start(slot)))
                        .push_bind(runner_up.map(|(_, value)| value))
                        .push_bind(choice.and_then(|c| c.propensity))
                        .push_bind(0_i64)
                        .push_bind(micros(now));
                });
                query.push(
                    " ON CONFLICT (campaign, recipient) DO UPDATE SET state = excluded.state,
                        reason = excluded.reason, arm = excluded.arm, variant = excluded.variant,
                        variant_index = excluded.variant_index, slot_start = excluded.slot_start,
                        send_at = excluded.send_at, value = excluded.value,
                        chance = excluded.chance, runner_up_slot = excluded.runner_up_slot,
                        runner_up_value = excluded.runner_up_value,
                        propensity = excluded.propensity, changed_at = excluded.changed_at
                      WHERE delivery.state IN ('planned', 'refused')",
                );
                query.build().execute(db).await.map(drop)
            })
            .doing("write decisions")?;
        }
        Ok(())
    }

    /// Claims up to `limit` messages of a campaign that are due at `now`, oldest first. The claim
    /// holds until it is [released](Self::release) or its time is over.
    pub async fn claim(
        &mut self,
        campaign: i64,
        claim: &Claim,
        now: Instant,
        limit: usize,
        length: SlotLength,
    ) -> Result<Vec<Due>, StoreError> {
        let sql = self.text(CLAIM);
        let mut rows: Vec<DueRow> = on!(self, |db| sqlx::query_as(sql)
            .bind(campaign)
            .bind(limit as i64)
            .bind(&claim.lease)
            .bind(micros(now))
            .fetch_all(db)
            .await)
        .doing("claim due deliveries")?;
        rows.sort_by_key(|row| (row.send_at, row.recipient));
        if !rows.is_empty() {
            let recipients: Vec<i64> = rows.iter().map(|row| row.recipient).collect();
            run!(self, HOLD, &claim.lease, campaign, micros(claim.until), to_json(&recipients))
                .doing("hold a claim")?;
        }
        rows.into_iter().map(|row| row.into_model(length)).collect()
    }

    /// Ends a claim: everything under it is settled in this transaction, after this.
    pub async fn release(&mut self, claim: &Claim) -> Result<(), StoreError> {
        run!(self, RELEASE, &claim.lease).doing("end a claim").map(drop)
    }

    /// Settles claimed deliveries alike, where the claim still holds them, or had them fall into
    /// doubt. Returns those that were settled.
    pub async fn settle(
        &mut self,
        campaign: i64,
        claim: &Claim,
        settled: Settled,
        recipients: &[RecipientId],
        now: Instant,
    ) -> Result<Vec<RecipientId>, StoreError> {
        self.settle_alike(SETTLE, (campaign, &claim.lease), settled, recipients, now)
            .await
            .doing("settle deliveries")
    }

    /// Settles, by the word of the provider, what still is in the state `from`; returns how many.
    pub async fn resolve(
        &mut self,
        campaign: i64,
        from: State,
        settled: Settled,
        recipients: &[RecipientId],
        now: Instant,
    ) -> Result<u64, StoreError> {
        // a try that led to a provider's word was made
        assert_eq!(settled.attempt, Attempt::Made);
        self.settle_alike(RESOLVE, (campaign, from.as_str()), settled, recipients, now)
            .await
            .doing("settle by the provider's word")
            .map(|done| done.len() as u64)
    }

    async fn settle_alike(
        &mut self,
        sql: Sql,
        (campaign, of): (i64, &str),
        settled: Settled,
        recipients: &[RecipientId],
        now: Instant,
    ) -> Result<Vec<RecipientId>, sqlx::Error> {
        let sql = self.text(sql);
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(campaign)
            .bind(of)
            .bind(settled.state.as_str())
            .bind(settled.not_before.map(micros))
            .bind(micros(now))
            .bind(settled.reason.map(Reason::as_str))
            .bind(i64::from(settled.attempt == Attempt::NotMade))
            .bind(settled.again_at.map(micros))
            .bind(numbers(recipients))
            .fetch_all(db)
            .await)?;
        let mut done: Vec<_> = ids.into_iter().map(RecipientId).collect();
        done.sort_unstable();
        Ok(done)
    }

    /// Declares those in doubt whose claim has run out; returns how many.
    pub async fn rescue(&mut self, now: Instant) -> Result<u64, StoreError> {
        let lost: Vec<(String, i64, String)> =
            on!(self, |db| sqlx::query_as(LOST).bind(micros(now)).fetch_all(db).await)
                .doing("find lost claims")?;
        let sql = self.text(RESCUE);
        let mut rescued = 0;
        for (lease, campaign, recipients) in lost {
            let recipients: Vec<i64> = json("claim", &recipients)?;
            rescued += run!(self, sql, micros(now), lease, campaign, List(recipients))
                .doing("declare lost claims in doubt")?;
        }
        Ok(rescued)
    }

    /// Gives up those that have been in doubt since `before`; returns how many.
    pub async fn give_up(
        &mut self,
        campaign: i64,
        before: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        run!(self, GIVE_UP, campaign, micros(now), micros(before)).doing("give up what is in doubt")
    }

    /// Ends everybody who is still only planned; returns how many.
    pub async fn end_planned(
        &mut self,
        campaign: i64,
        state: State,
        reason: Reason,
        now: Instant,
    ) -> Result<u64, StoreError> {
        run!(self, END_PLANNED, campaign, state.as_str(), reason.as_str(), micros(now))
            .doing("end planned deliveries")
    }
}
