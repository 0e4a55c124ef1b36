//! What is decided about each person of a campaign, and how it ended.
//!
//! A planned delivery with a time lies in the [queue](super::queue) or in a claim.

use std::collections::HashSet;

use super::bulk::{Column, Rows};
use super::campaigns::CampaignStatus;
use super::history::drawn;
use super::row::from_row;
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed};
use crate::model::action::DrawnAction;
use crate::model::delivery::{Arm, Choice, Delivery, Expectation, State};
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

from_row! {
    struct NamedRow {
        campaign: i64,
        name: String,
        ; row: Row
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

const OF_PERSON: &str = concat!(
    "SELECT campaign, name, ",
    columns!(),
    " FROM delivery JOIN campaign ON campaign.id = campaign WHERE recipient = $1 ORDER BY id"
);

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
        let rows: Vec<NamedRow> =
            on!(self, |db| sqlx::query_as(OF_PERSON).bind(recipient.0).fetch_all(db).await)
                .doing("read a person's deliveries")?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for NamedRow { campaign, name, row } in rows {
            let row = row.into_model(length)?;
            let may_be_claimed = row.delivery.state == State::Planned;
            let claimed =
                if may_be_claimed { self.claimed(campaign).await? } else { HashSet::new() };
            deliveries.push((name, row.claimed_by(&claimed)));
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
            self.count_leaving(campaign, &people).await?;
            self.undecide(campaign, &free, None, now).await?;
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
}
