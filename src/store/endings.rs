//! Deliveries that come to something else without a message: given up, ended, decided about anew.

use super::bulk::{Sql, numbers, one_of};
use super::counts::Moves;
use super::{Doing, ROWS_PER_STATEMENT, StoreError, Tx, micros, on, run};
use crate::model::delivery::{Reason, State};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;

/// Who has been somewhere since a time.
macro_rules! since {
    ($where:literal) => {
        [since!(@ $where, ""), since!(@ $where, " FOR UPDATE")]
    };
    (@ $where:literal, $end:literal) => {
        concat!(
            "SELECT recipient FROM delivery WHERE campaign = $1 AND changed_at <= $2 AND ",
            $where,
            " ORDER BY recipient",
            $end
        )
    };
}

const IN_DOUBT: Sql = since!("state = 'in_doubt'");
const HELD: Sql = since!("state = 'held'");
const WITHOUT_TIME: Sql = since!("state = 'planned' AND send_at IS NULL");
const TEMPLATE_REFUSED: Sql = since!("state = 'refused' AND reason = 'template_refused'");

/// A new decision is due of whom comes to be planned.
const MOVE: Sql = one_of!(
    "UPDATE delivery SET state = $2, reason = $3, changed_at = $4,
        send_at = CASE WHEN $2 = 'planned' THEN NULL ELSE send_at END,
        not_before = CASE WHEN $2 = 'planned' THEN NULL ELSE not_before END
        WHERE campaign = $1 AND recipient",
    "$5",
    ""
);

/// Takes the time from people who were taken out of the queue.
const UNDECIDE: Sql = one_of!(
    "UPDATE delivery SET send_at = NULL, reason = COALESCE($3, reason), not_before = NULL,
        changed_at = $2
        WHERE campaign = $1 AND state = 'planned' AND recipient",
    "$4",
    ""
);

const OF_VARIANT: &str = "SELECT recipient FROM delivery
    WHERE campaign = $1 AND variant_index = $2 AND state = 'planned' AND send_at IS NOT NULL";

/// What takes a place between two times: sent there, still to be sent there, or perhaps sent.
const TAKEN: &str = "SELECT COUNT(*) FROM delivery WHERE campaign = $1
    AND (sent_at IS NOT NULL
        OR state IN ('planned', 'held', 'in_doubt', 'in_doubt_expired') AND send_at IS NOT NULL)
    AND COALESCE(sent_at, send_at) >= $2 AND COALESCE(sent_at, send_at) < $3";

const LAST_IN_QUEUE: &str = "SELECT recipient FROM queue
    WHERE campaign = $1 AND due_at >= $2 AND due_at < $3
    ORDER BY due_at DESC, recipient DESC LIMIT $4";

impl Tx {
    /// Gives up those that have been in doubt since `before`; returns how many.
    pub async fn give_up(
        &mut self,
        campaign: i64,
        before: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let to = (State::InDoubtExpired, Reason::NeverConfirmed);
        self.move_found(campaign, (IN_DOUBT, Some(before)), to, now).await
    }

    /// Gives up those that the provider has held since `before`; returns how many.
    pub async fn give_up_held(
        &mut self,
        campaign: i64,
        before: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let to = (State::InDoubtExpired, Reason::NeverConfirmed);
        self.move_found(campaign, (HELD, Some(before)), to, now).await
    }

    /// Has messages that were in doubt since `before` decided about anew; returns how many.
    pub async fn retry_doubts(
        &mut self,
        campaign: i64,
        before: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let to = (State::Planned, Reason::MovedLate);
        self.move_found(campaign, (IN_DOUBT, Some(before)), to, now).await
    }

    /// Ends everybody who is still only planned and in no claim; returns how many.
    pub async fn end_planned(
        &mut self,
        campaign: i64,
        state: State,
        reason: Reason,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let queued = self.take_out_all(campaign, None).await?;
        self.undecide(campaign, &queued, None, now).await?;
        self.move_found(campaign, (WITHOUT_TIME, None), (state, reason), now).await
    }

    /// Has those who are planned with a variant decided about anew; returns how many.
    pub async fn reopen_variant(
        &mut self,
        campaign: i64,
        variant_index: usize,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let index = variant_index as i64;
        let people: Vec<i64> = on!(self, |db| sqlx::query_scalar(OF_VARIANT)
            .bind(campaign)
            .bind(index)
            .fetch_all(db)
            .await)
        .doing("find a variant's people")?;
        let people: Vec<RecipientId> = people.into_iter().map(RecipientId).collect();
        let free = self.take_out(campaign, &people).await?;
        self.undecide(campaign, &free, Some(Reason::MovedThrottled), now).await
    }

    /// Has those decided about anew who were refused since no template could be sent; returns how
    /// many.
    pub async fn plan_refused_templates(
        &mut self,
        campaign: i64,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let to = (State::Planned, Reason::MovedThrottled);
        self.move_found(campaign, (TEMPLATE_REFUSED, None), to, now).await
    }

    /// Takes the time from planned messages that were due by `late`: they need a new decision.
    /// Returns how many.
    pub async fn reopen_late(
        &mut self,
        campaign: i64,
        late: Instant,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let queued = self.take_out_all(campaign, Some(late)).await?;
        self.undecide(campaign, &queued, Some(Reason::MovedLate), now).await
    }

    /// Takes the time from the last of a campaign's planned messages between two times, until no more
    /// than `most` are there; returns how many. What is claimed stays.
    pub async fn reopen_surplus(
        &mut self,
        campaign: i64,
        (from, to): (Instant, Instant),
        most: u64,
        now: Instant,
    ) -> Result<u64, StoreError> {
        const DOING: &str = "find what an hour does not hold";
        let mut moved = 0;
        loop {
            let taken: i64 = on!(self, |db| sqlx::query_scalar(TAKEN)
                .bind(campaign)
                .bind(micros(from))
                .bind(micros(to))
                .fetch_one(db)
                .await)
            .doing(DOING)?;
            let surplus = (taken as u64).saturating_sub(most).min(ROWS_PER_STATEMENT as u64);
            if surplus == 0 {
                return Ok(moved);
            }
            let last: Vec<i64> = on!(self, |db| sqlx::query_scalar(LAST_IN_QUEUE)
                .bind(campaign)
                .bind(micros(from))
                .bind(micros(to))
                .bind(surplus as i64)
                .fetch_all(db)
                .await)
            .doing(DOING)?;
            let last: Vec<RecipientId> = last.into_iter().map(RecipientId).collect();
            let free = self.take_out(campaign, &last).await?;
            if free.is_empty() {
                return Ok(moved);
            }
            moved += self.undecide(campaign, &free, Some(Reason::MovedThrottled), now).await?;
        }
    }

    pub(super) async fn undecide(
        &mut self,
        campaign: i64,
        people: &[RecipientId],
        reason: Option<Reason>,
        now: Instant,
    ) -> Result<u64, StoreError> {
        if people.is_empty() {
            return Ok(0);
        }
        let (sql, word) = (self.text(UNDECIDE), reason.map(Reason::as_str));
        if reason.is_some() {
            self.count_leaving(campaign, people).await?;
        } else {
            self.lock_rows(campaign, people).await?;
        }
        let moved = run!(self, sql, campaign, micros(now), word, numbers(people))
            .doing("take planned messages out of the queue")?;
        if reason.is_some() {
            self.count_coming(campaign, people).await?;
        }
        Ok(moved)
    }

    /// Moves whom a statement finds, of those that changed by a time if one is given; returns how many.
    async fn move_found(
        &mut self,
        campaign: i64,
        (found, by): (Sql, Option<Instant>),
        to: (State, Reason),
        now: Instant,
    ) -> Result<u64, StoreError> {
        let (sql, by) = (self.text(found), by.map_or(i64::MAX, micros));
        let people: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(sql).bind(campaign).bind(by).fetch_all(db).await)
                .doing("find deliveries to be moved")?;
        if people.is_empty() {
            return Ok(0);
        }
        let people: Vec<RecipientId> = people.into_iter().map(RecipientId).collect();
        self.count_leaving(campaign, &people).await?;
        let (sql, (state, reason)) = (self.text(MOVE), to);
        let (state, reason) = (state.as_str(), reason.as_str());
        let moved = run!(self, sql, campaign, state, reason, micros(now), numbers(&people))
            .doing("move deliveries")?;
        let mut moves = Moves::default();
        moves.add(to, moved as i64);
        self.count_moves(campaign, &moves).await?;
        Ok(moved)
    }
}
