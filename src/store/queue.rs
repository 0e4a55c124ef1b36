//! The queue of what is due: claimed, settled, lost. Four functions are its contract.
//!
//! - [`Tx::claim`] takes what is due out of the queue and into a claim with an end.
//! - [`Tx::settle`] ends a claim, and writes what became of each of its messages.
//! - [`Tx::expire_claims`] declares in doubt what a claim held whose time is over.
//! - [`Tx::take_out`] takes people out of the queue who get a new decision.
//!
//! Being claimed is being in a claim: nothing is written to a delivery before it is settled. Whoever
//! deletes a row of the queue, or a claim, has what was in it to themselves: for what it is planned is as
//! the claim read it.

use std::collections::HashSet;

use super::bulk::{Column, Rows, Sql, numbers, one_of};
use super::campaigns::CampaignStatus;
use super::counts::Moves;
use super::row::from_row;
use super::settled::{self, Settled};
use super::{
    Conn, Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, json, micros, on, parsed,
    run, to_json,
};
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;
use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;

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
    /// Why it is planned so.
    pub reason: Reason,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// Until when what it is about may be written about, where it is about something.
    pub closes_at: Option<Instant>,
}

const TABLE: &str = "delivery";

macro_rules! first_due {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM queue WHERE campaign = $1 AND due_at <= $3 ORDER BY due_at, recipient LIMIT $2"
        )
    };
}

/// Reads what is first due; PostgreSQL takes it out of the queue by the same statement, and passes
/// over rows that others are claiming. Materialized, since a subquery that is run twice would claim
/// twice its limit; lateral, so that each delivery is found by its key whatever the plan.
const CLAIM: Sql = [
    concat!(
        "SELECT d.recipient, variant_index, slot_start, send_at, reason, attempts FROM (",
        first_due!("campaign, recipient"),
        ") AS q CROSS JOIN delivery AS d
            ON d.campaign = q.campaign AND d.recipient = q.recipient
        WHERE state = 'planned' AND send_at IS NOT NULL"
    ),
    concat!(
        "WITH due AS MATERIALIZED (",
        first_due!("ctid AS place"),
        " FOR UPDATE SKIP LOCKED),
        taken AS (DELETE FROM queue USING due WHERE queue.ctid = place RETURNING recipient)
        SELECT d.* FROM taken CROSS JOIN LATERAL
            (SELECT recipient, variant_index, slot_start, send_at, reason, attempts FROM delivery
                WHERE campaign = $1 AND recipient = taken.recipient
                AND state = 'planned' AND send_at IS NOT NULL OFFSET 0) AS d"
    ),
];

/// SQLite lets nobody write between the two.
const TAKE_FIRST: &str = concat!("DELETE FROM queue WHERE rowid IN (", first_due!("rowid"), ")");

const HOLD: &str = "INSERT INTO claim (lease, campaign, held_until, claimed_at, recipients)
    VALUES ($1, $2, $3, $4, $5)";

const RELEASE: &str = "DELETE FROM claim WHERE lease = $1 RETURNING recipients";

const SETTLE: &str =
    "UPDATE delivery SET state = v.state, reason = COALESCE(v.reason, delivery.reason),
    attempts = v.tries, changed_at = v.changed_at, not_before = v.not_before,
    send_at = CASE WHEN v.state = 'planned' THEN v.send_at ELSE delivery.send_at END,
    sent_at = v.sent_at, media = v.media, style = v.style, provider_message = v.provider_message,
    failure_code = v.failure_code, failure_text = v.failure_text, failed_at = NULL,
    observed_at = CASE WHEN v.sent_at IS NULL THEN delivery.observed_at ELSE v.changed_at END";

macro_rules! whose {
    ($condition:literal) => {
        concat!(
            " WHERE delivery.campaign = v.campaign AND delivery.recipient = v.recipient AND ",
            $condition
        )
    };
}

const WHILE_HELD: &str = whose!("delivery.state = 'planned'");

const AFTER_DOUBT: &str =
    whose!("delivery.state = 'in_doubt' AND delivery.attempts = v.try_number");

/// What this settlement wrote carries its time.
const DONE: Sql = one_of!(
    "SELECT recipient FROM delivery WHERE campaign = $1 AND changed_at = $2 AND recipient",
    "$3",
    ""
);

const PUT: &str = "INSERT INTO queue (campaign, due_at, recipient)";

const OVER_QUEUED: &str = " ON CONFLICT DO NOTHING";

const LOST: &str = "DELETE FROM claim WHERE held_until <= $1 RETURNING campaign, recipients";

const DOUBT: Sql = one_of!(
    "UPDATE delivery SET state = 'in_doubt', reason = 'node_lost', attempts = attempts + 1,
        changed_at = $1
        WHERE state = 'planned' AND campaign = $2 AND recipient",
    "$3",
    ""
);

const TAKE_OUT: Sql = [
    "DELETE FROM queue WHERE campaign = $1 AND (due_at, recipient) IN
        (SELECT send_at, recipient FROM delivery WHERE campaign = $1 AND send_at IS NOT NULL
            AND recipient IN (SELECT value FROM json_each($2)))
     RETURNING recipient",
    "DELETE FROM queue WHERE ctid = ANY(ARRAY(SELECT q.place FROM unnest($2) AS p (id)
        CROSS JOIN LATERAL (SELECT send_at FROM delivery
            WHERE campaign = $1 AND recipient = p.id AND send_at IS NOT NULL OFFSET 0) AS d
        CROSS JOIN LATERAL (SELECT ctid AS place FROM queue
            WHERE campaign = $1 AND due_at = d.send_at AND recipient = p.id OFFSET 0) AS q))
     RETURNING recipient",
];

const TAKE_OUT_ALL: &str =
    "DELETE FROM queue WHERE campaign = $1 AND due_at <= $2 RETURNING recipient";

const IN_CLAIMS: Sql = [
    "SELECT p.value FROM claim, json_each(claim.recipients) AS p WHERE claim.campaign = $1",
    "SELECT CAST(p.value AS BIGINT) FROM claim, json_array_elements_text(claim.recipients::json) AS p
        WHERE claim.campaign = $1",
];

const NEXT_DUE: &str = "SELECT MIN(due_at) FROM queue WHERE campaign = $1";

const WAITING: &str = "SELECT
    (SELECT COUNT(*) FROM queue WHERE campaign = $1 AND due_at <= $2),
    (SELECT COUNT(*) FROM queue WHERE campaign = $1 AND due_at <= $3),
    (SELECT COUNT(*) FROM delivery WHERE campaign = $1 AND state = 'planned' AND send_at IS NULL),
    (SELECT MIN(due_at) FROM queue WHERE campaign = $1)";

/// What of a campaign waits, apart from what is claimed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that are due.
    pub due: u64,
    /// Messages that have been due for longer than is good.
    pub late: u64,
    /// People about whom no decision was made.
    pub undecided: u64,
    /// When the next message is due, or was.
    pub next_due: Option<Instant>,
}

impl Waiting {
    /// Adds what waits of another campaign.
    pub fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.late += other.late;
        self.undecided += other.undecided;
        self.next_due = self.next_due.into_iter().chain(other.next_due).min();
    }
}

from_row! {
    struct DueRow {
        recipient: i64,
        variant_index: i64,
        slot_start: i64,
        send_at: i64,
        reason: String,
        attempts: i64,
    }
}

impl DueRow {
    fn into_model(self, length: SlotLength) -> Result<Due, StoreError> {
        Ok(Due {
            recipient: RecipientId(self.recipient),
            variant_index: self.variant_index as u16,
            slot: Slot::holding(instant(TABLE, self.slot_start)?, length),
            send_at: instant(TABLE, self.send_at)?,
            reason: parsed(TABLE, &self.reason)?,
            attempts: self.attempts as u32 + 1,
            closes_at: None,
        })
    }
}

impl Reader {
    /// Who of a campaign is in a claim.
    pub async fn claimed(&mut self, campaign: i64) -> Result<HashSet<RecipientId>, StoreError> {
        let sql = self.text(IN_CLAIMS);
        let ids: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(sql).bind(campaign).fetch_all(db).await)
                .doing("read who is claimed")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// When the next message of a campaign is due that nobody has claimed.
    pub async fn next_due(&mut self, campaign: i64) -> Result<Option<Instant>, StoreError> {
        let at: Option<i64> =
            on!(self, |db| sqlx::query_scalar(NEXT_DUE).bind(campaign).fetch_one(db).await)
                .doing("find what is due next")?;
        at.map(|at| instant("queue", at)).transpose()
    }

    /// What of a campaign waits at `now`, late where it was due at `late_by`.
    pub async fn waiting(
        &mut self,
        campaign: i64,
        (now, late_by): (Instant, Instant),
    ) -> Result<Waiting, StoreError> {
        let row: (i64, i64, i64, Option<i64>) = on!(self, |db| sqlx::query_as(WAITING)
            .bind(campaign)
            .bind(micros(now))
            .bind(micros(late_by))
            .fetch_one(db)
            .await)
        .doing("count what waits")?;
        let (due, late, undecided, next) = row;
        let next_due = next.map(|at| instant("queue", at)).transpose()?;
        let [due, late, undecided] = [due, late, undecided].map(|count| count as u64);
        Ok(Waiting { due, late, undecided, next_due })
    }
}

impl Tx {
    /// Claims up to `limit` messages of a campaign that are due at `by`, oldest first. The claim
    /// holds until it is [settled](Self::settle) or its time is over.
    pub async fn claim(
        &mut self,
        campaign: i64,
        claim: &Claim,
        (now, by): (Instant, Instant),
        limit: usize,
        length: SlotLength,
    ) -> Result<Vec<Due>, StoreError> {
        let sql = self.text(CLAIM);
        let (limit, by) = (limit as i64, micros(by));
        let mut rows: Vec<DueRow> = on!(self, |db| sqlx::query_as(sql)
            .bind(campaign)
            .bind(limit)
            .bind(by)
            .fetch_all(db)
            .await)
        .doing("claim what is due")?;
        if let Conn::Sqlite(_) = &self.conn {
            run!(self, TAKE_FIRST, campaign, limit, by).doing("claim what is due")?;
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        rows.sort_by_key(|row| (row.send_at, row.recipient));
        let held: Vec<i64> = rows.iter().map(|row| row.recipient).collect();
        let until = micros(claim.until);
        run!(self, HOLD, &claim.lease, campaign, until, micros(now), to_json(&held))
            .doing("hold a claim")?;
        rows.into_iter().map(|row| row.into_model(length)).collect()
    }

    /// Ends a claim and settles its deliveries; where its time was over and they had fallen into
    /// doubt, those still in doubt are settled. What is planned again goes back into the queue, or
    /// ends where the campaign is over. Returns those that were settled.
    pub async fn settle(
        &mut self,
        campaign: i64,
        claim: &Claim,
        settled: &[Settled],
        now: Instant,
    ) -> Result<HashSet<RecipientId>, StoreError> {
        const DOING: &str = "settle deliveries";
        // before its messages, as who looks for lost claims does: neither waits for the other
        let held: Option<String> =
            on!(self, |db| sqlx::query_scalar(RELEASE).bind(&claim.lease).fetch_optional(db).await)
                .doing("end a claim")?;
        let held: Option<HashSet<i64>> = held.map(|held| json("claim", &held)).transpose()?;
        // what was never in the claim is not its holder's to settle
        let is_held = |s: &&Settled| held.as_ref().is_none_or(|held| held.contains(&s.recipient.0));
        let mut settled: Vec<&Settled> = settled.iter().filter(is_held).collect();
        settled.sort_unstable_by_key(|s| s.recipient);
        let over = self.end_of(campaign).await?;
        let mut done = HashSet::with_capacity(settled.len());
        for chunk in settled.chunks(ROWS_PER_STATEMENT) {
            let people: Vec<RecipientId> = chunk.iter().map(|s| s.recipient).collect();
            let columns = settled::columns(campaign, chunk, over, now);
            let tail = if held.is_some() { WHILE_HELD } else { AFTER_DOUBT };
            if held.is_some() {
                self.lock_rows(campaign, &people).await?;
            } else {
                self.count_leaving(campaign, &people).await?;
            }
            let written = on!(self, |db| Rows::update(SETTLE, &settled::NAMES, columns, tail)
                .build()
                .execute(db)
                .await
                .map(|done| done.rows_affected()))
            .doing(DOING)?;
            if held.is_none() {
                self.count_coming(campaign, &people).await?;
            }
            if written == people.len() as u64 {
                done.extend(people);
            } else if written > 0 {
                // somebody was forgotten meanwhile, or given up
                let sql = self.text(DONE);
                let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
                    .bind(campaign)
                    .bind(micros(now))
                    .bind(numbers(&people))
                    .fetch_all(db)
                    .await)
                .doing(DOING)?;
                done.extend(ids.into_iter().map(RecipientId));
            }
        }
        if held.is_some() {
            let mut moves = Moves::default();
            for settled in settled.iter().filter(|s| done.contains(&s.recipient)) {
                let (state, reason) = settled.comes_to(over);
                let from = settled.planned_for;
                moves.one((State::Planned, from), (state, reason.unwrap_or(from)));
            }
            self.count_moves(campaign, &moves).await?;
        }
        if over.is_none() {
            let again = settled.iter().filter(|s| s.state == State::Planned);
            let again = again.filter_map(|s| Some((s.again_at?, s.recipient)));
            let again: Vec<_> = again.filter(|(_, id)| done.contains(id)).collect();
            self.put_in_queue(campaign, &again).await?;
        }
        Ok(done)
    }

    /// Puts people into a campaign's queue who are planned, each with the time of their message.
    pub(super) async fn put_in_queue(
        &mut self,
        campaign: i64,
        due: &[(Instant, RecipientId)],
    ) -> Result<(), StoreError> {
        for chunk in due.chunks(ROWS_PER_STATEMENT) {
            let columns = vec![
                Column::Number(vec![Some(campaign); chunk.len()]),
                Column::Number(chunk.iter().map(|(at, _)| Some(micros(*at))).collect()),
                Column::Number(chunk.iter().map(|(_, id)| Some(id.0)).collect()),
            ];
            on!(self, |db| Rows::insert(PUT, columns, OVER_QUEUED)
                .build()
                .execute(db)
                .await
                .map(drop))
            .doing("queue what is planned")?;
        }
        Ok(())
    }

    /// How a campaign's people end who are planned when it is over already; `None` while it runs.
    /// It stays so until this transaction ends.
    pub(super) async fn end_of(
        &mut self,
        campaign: i64,
    ) -> Result<Option<(State, Reason)>, StoreError> {
        Ok(match self.lock_status(campaign).await? {
            Some(CampaignStatus::Cancelled) => {
                Some((State::Cancelled, Reason::CancelledByOperator))
            }
            Some(CampaignStatus::Finished) => Some((State::Expired, Reason::WindowOver)),
            _ => None,
        })
    }

    /// Declares those in doubt whose claim has run out; returns how many.
    pub async fn expire_claims(&mut self, now: Instant) -> Result<u64, StoreError> {
        let lost: Vec<(i64, String)> =
            on!(self, |db| sqlx::query_as(LOST).bind(micros(now)).fetch_all(db).await)
                .doing("find lost claims")?;
        let sql = self.text(DOUBT);
        let mut doubtful = 0;
        for (campaign, recipients) in lost {
            let recipients: Vec<i64> = json("claim", &recipients)?;
            let people: Vec<RecipientId> = recipients.into_iter().map(RecipientId).collect();
            self.count_leaving(campaign, &people).await?;
            doubtful += run!(self, sql, micros(now), campaign, numbers(&people))
                .doing("declare lost claims in doubt")?;
            self.count_coming(campaign, &people).await?;
        }
        Ok(doubtful)
    }

    /// Takes people out of a campaign's queue; returns those who were in it and in no claim.
    pub async fn take_out(
        &mut self,
        campaign: i64,
        people: &[RecipientId],
    ) -> Result<Vec<RecipientId>, StoreError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let sql = self.text(TAKE_OUT);
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(campaign)
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("take people out of the queue")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }

    /// Takes everybody out of a campaign's queue whose message was due by some time, or everybody.
    pub(super) async fn take_out_all(
        &mut self,
        campaign: i64,
        by: Option<Instant>,
    ) -> Result<Vec<RecipientId>, StoreError> {
        let by = by.map_or(i64::MAX, micros);
        let ids: Vec<i64> = on!(self, |db| sqlx::query_scalar(TAKE_OUT_ALL)
            .bind(campaign)
            .bind(by)
            .fetch_all(db)
            .await)
        .doing("take people out of the queue")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }
}
