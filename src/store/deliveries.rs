//! What is decided about each person of a campaign, and how it ended.
//!
//! A planned delivery with a time lies in the [queue](super::queue) or in a claim.

use std::collections::HashSet;

use super::bulk::{Column, Rows, Sql, numbers, one_of};
use super::campaigns::CampaignStatus;
use super::counts::Moves;
use super::history::drawn;
use super::row::from_row;
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::action::DrawnAction;
use crate::model::delivery::{Arm, Choice, Delivery, Expectation, Reason, State};
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
    /// What was charged for it, where the channel told.
    pub charged: Option<f64>,
    /// When the row last changed.
    pub changed_at: Instant,
}

impl DeliveryRow {
    /// The same, where it is in a claim.
    fn claimed_by(mut self, claimed: &HashSet<RecipientId>) -> Self {
        let delivery = &mut self.delivery;
        if delivery.state == State::Planned && claimed.contains(&delivery.recipient) {
            delivery.state = State::Claimed;
        }
        self
    }

    /// Whether it waits for a new decision.
    pub fn is_undecided(&self) -> bool {
        self.delivery.state == State::Planned && self.delivery.choice.is_none()
    }
}

from_row! {
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
        drawn: Option<String>,
        drawn_among: Option<String>,
        expected_control: Option<f64>,
        expected_best: Option<f64>,
        expected_price: Option<f64>,
        price: Option<f64>,
        not_before: Option<i64>,
        attempts: i64,
        changed_at: i64,
    }
}

const TABLE: &str = "delivery";

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
                price: self.expected_price.unwrap_or_default(),
                runner_up: match (self.runner_up_slot, self.runner_up_value) {
                    (Some(at), Some(value)) => Some((slot(at)?, value)),
                    _ => None,
                },
                propensity: self.propensity,
                drawn: drawn(self.drawn.as_deref(), self.drawn_among.as_deref())?,
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
                expectation: (self.expected_control.zip(self.expected_best))
                    .map(|(at_control_time, at_best)| Expectation { at_control_time, at_best }),
            },
            attempts: self.attempts as u32,
            charged: self.price,
            not_before: self.not_before.map(|at| instant(TABLE, at)).transpose()?,
            changed_at: instant(TABLE, self.changed_at)?,
        })
    }
}

macro_rules! columns {
    () => {
        "recipient, state, reason, arm, variant, variant_index, slot_start, send_at, value, chance,
        runner_up_slot, runner_up_value, propensity, drawn, drawn_among, expected_control,
        expected_best, expected_price, price, not_before, attempts, changed_at"
    };
}

macro_rules! select {
    ($end:literal) => {
        concat!("SELECT ", columns!(), " FROM delivery WHERE campaign = $1 ", $end)
    };
}

const OF_CAMPAIGN: &str = select!("ORDER BY recipient");

const PUT: &str = "INSERT INTO delivery (campaign, recipient, state, reason, arm, variant,
    variant_index, slot_start, send_at, value, chance, runner_up_slot, runner_up_value, propensity,
    drawn, drawn_among, expected_control, expected_best, expected_price, attempts, changed_at)";

/// Who is planned anew, before a message of theirs came to nothing, could have got all that the first
/// plan drew from: its chances stay, as do an arm and what was expected before it was drawn.
const OVER: &str = " ON CONFLICT (campaign, recipient) DO UPDATE SET state = excluded.state,
    reason = excluded.reason, arm = COALESCE(excluded.arm, delivery.arm), variant = excluded.variant,
    variant_index = excluded.variant_index, slot_start = excluded.slot_start,
    send_at = excluded.send_at, value = excluded.value, chance = excluded.chance,
    runner_up_slot = excluded.runner_up_slot, runner_up_value = excluded.runner_up_value,
    propensity = excluded.propensity, drawn = excluded.drawn,
    drawn_among = CASE WHEN excluded.drawn IS NULL THEN NULL
        ELSE COALESCE(delivery.drawn_among, excluded.drawn_among) END,
    expected_control = COALESCE(delivery.expected_control, excluded.expected_control),
    expected_best = COALESCE(delivery.expected_best, excluded.expected_best),
    expected_price = excluded.expected_price, changed_at = excluded.changed_at
  WHERE delivery.state = 'refused' OR delivery.state = 'planned' AND delivery.send_at IS NULL
  RETURNING recipient";

const UNDECIDED: &str = select!("AND state = 'planned' AND send_at IS NULL ORDER BY recipient");

const ONE: &str = select!("AND recipient = $2");

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
        let claimed = self.claimed(campaign).await?;
        let row = |row: Row| Ok(row.into_model(length)?.claimed_by(&claimed));
        rows.into_iter().map(row).collect()
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

    /// A person's deliveries in all campaigns, with the campaigns' names.
    pub async fn deliveries_of(
        &mut self,
        recipient: RecipientId,
        length: SlotLength,
    ) -> Result<Vec<(String, DeliveryRow)>, StoreError> {
        const SQL: &str = "SELECT c.id, c.name FROM delivery d JOIN campaign c ON c.id = d.campaign
            WHERE d.recipient = $1 ORDER BY c.id";
        let campaigns: Vec<(i64, String)> =
            on!(self, |db| sqlx::query_as(SQL).bind(recipient.0).fetch_all(db).await)
                .doing("read a person's deliveries")?;
        let mut deliveries = Vec::with_capacity(campaigns.len());
        for (campaign, name) in campaigns {
            if let Some(row) = self.delivery(campaign, recipient, length).await? {
                deliveries.push((name, row));
            }
        }
        Ok(deliveries)
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
        let Some(row) = row else { return Ok(None) };
        let claimed = self.claimed(campaign).await?;
        Ok(Some(row.into_model(length)?.claimed_by(&claimed)))
    }
}

impl Tx {
    /// Writes decisions over those that are still open to change: planned and refused ones that
    /// nobody has claimed. Nothing is written to a campaign that is over.
    pub async fn put_decisions(
        &mut self,
        campaign: i64,
        deliveries: &[Delivery],
        length: SlotLength,
        now: Instant,
    ) -> Result<(), StoreError> {
        if self.lock_status(campaign).await?.is_none_or(CampaignStatus::is_over) {
            return Ok(());
        }
        for chunk in deliveries.chunks(ROWS_PER_STATEMENT) {
            let people: Vec<RecipientId> = chunk.iter().map(|d| d.recipient).collect();
            // who is in the queue is nobody's; who was claimed in between stays as it is
            let free = self.take_out(campaign, &people).await?;
            self.undecide(campaign, &free, None, now).await?;
            self.count_leaving(campaign, &people).await?;
            let written = self.write_decisions(campaign, chunk, length, now).await?;
            self.count_coming(campaign, &people).await?;
            let due = chunk.iter().filter(|d| d.state == State::Planned);
            let due = due.filter_map(|d| Some((d.choice.as_ref()?.send_at, d.recipient)));
            let due: Vec<_> = due.filter(|(_, id)| written.contains(id)).collect();
            self.put_in_queue(campaign, &due).await?;
        }
        Ok(())
    }

    async fn write_decisions(
        &mut self,
        campaign: i64,
        chunk: &[Delivery],
        length: SlotLength,
        now: Instant,
    ) -> Result<HashSet<RecipientId>, StoreError> {
        let start = |slot: Slot| micros(slot.start(length));
        let choices: Vec<Option<&Choice>> = chunk.iter().map(|d| d.choice.as_ref()).collect();
        let number = |of: &dyn Fn(&Choice) -> Option<i64>| {
            Column::Number(choices.iter().map(|c| c.and_then(of)).collect())
        };
        let real = |of: &dyn Fn(&Choice) -> Option<f64>| {
            Column::Real(choices.iter().map(|c| c.and_then(of)).collect())
        };
        let expected = |of: &dyn Fn(&Expectation) -> f64| {
            Column::Real(chunk.iter().map(|d| d.expectation.as_ref().map(of)).collect())
        };
        let drawn = |words: fn(&DrawnAction) -> String| -> Vec<Option<String>> {
            choices.iter().map(|c| c.as_ref()?.drawn.as_ref().map(words)).collect()
        };
        let (drawn, among) = (drawn(DrawnAction::action_word), drawn(DrawnAction::among_words));
        let columns = vec![
            Column::Number(vec![Some(campaign); chunk.len()]),
            Column::Number(chunk.iter().map(|d| Some(d.recipient.0)).collect()),
            Column::Text(chunk.iter().map(|d| Some(d.state.as_str())).collect()),
            Column::Text(chunk.iter().map(|d| Some(d.reason.as_str())).collect()),
            Column::Text(chunk.iter().map(|d| d.arm.map(Arm::as_str)).collect()),
            Column::Text(choices.iter().map(|c| c.map(|c| c.variant.as_str())).collect()),
            number(&|c| Some(i64::from(c.variant_index))),
            number(&|c| Some(start(c.slot))),
            number(&|c| Some(micros(c.send_at))),
            real(&|c| Some(c.value)),
            real(&|c| Some(c.chance)),
            number(&|c| c.runner_up.map(|(slot, _)| start(slot))),
            real(&|c| c.runner_up.map(|(_, value)| value)),
            real(&|c| c.propensity),
            Column::Text(drawn.iter().map(Option::as_deref).collect()),
            Column::Text(among.iter().map(Option::as_deref).collect()),
            expected(&|of| of.at_control_time),
            expected(&|of| of.at_best),
            real(&|c| Some(c.price)),
            Column::Number(vec![Some(0); chunk.len()]),
            Column::Number(vec![Some(micros(now)); chunk.len()]),
        ];
        let written: Vec<i64> = on!(self, |db| Rows::insert(PUT, columns, OVER)
            .build_query_scalar()
            .fetch_all(db)
            .await)
        .doing("write decisions")?;
        Ok(written.into_iter().map(RecipientId).collect())
    }

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
