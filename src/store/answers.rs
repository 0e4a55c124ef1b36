//! Deliveries as a channel's word finds them, and what the word makes of them.

use std::collections::BTreeMap;

use super::bulk::{Column, List, Rows, Sql, numbers, one_of};
use super::counts::Moves;
use super::responses::{self, ResponseRow, response_columns};
use super::row::from_row;
use super::{Doing, ROWS_PER_STATEMENT, StoreError, Tx, instant, micros, on, parsed};
use crate::model::content::{Content, Media, Style};
use crate::model::delivery::{Reason, State};
use crate::model::ids::{Name, ProviderMessage, RecipientId};
use crate::model::message::Response;
use crate::model::time::Instant;

/// A delivery that was claimed at least once, or may have been.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Our number of its campaign.
    pub campaign: i64,
    /// Whose it is.
    pub recipient: RecipientId,
    /// Where it stands; planned also while it is in a claim.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Where it stood and why when it was read.
    stood: (State, Reason),
    /// How often it was tried.
    pub attempts: u32,
    /// The position of what was chosen among the campaign's variants.
    pub variant_index: Option<u16>,
    /// Its time, while it is planned.
    pub send_at: Option<Instant>,
    /// A new decision may not choose an earlier time.
    pub not_before: Option<Instant>,
    /// When it was taken.
    pub sent_at: Option<Instant>,
    /// What was taken.
    pub content: Option<Content>,
    /// How the provider calls it.
    pub provider_message: Option<ProviderMessage>,
    /// What came back.
    pub response: Response,
    /// The channel's words for a failure.
    pub failure_text: Option<String>,
    /// How the channel charged for it, in words.
    pub charged_as: Option<String>,
    /// What that came to, in the currency of the provider's tariff.
    pub price: Option<f64>,
    /// What it was expected to cost; read only.
    pub expected_price: Option<f64>,
}

from_row! {
    struct Row {
        campaign: i64,
        recipient: i64,
        state: String,
        reason: String,
        attempts: i64,
        variant_index: Option<i64>,
        send_at: Option<i64>,
        not_before: Option<i64>,
        sent_at: Option<i64>,
        media: Option<String>,
        style: Option<String>,
        provider_message: Option<String>,
        failure_text: Option<String>,
        charged_as: Option<String>,
        price: Option<f64>,
        expected_price: Option<f64>,
        ; response: ResponseRow
    }
}

const TABLE: &str = "delivery";

impl TryFrom<Row> for Answered {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let at = |micros: Option<i64>| micros.map(|micros| instant(TABLE, micros)).transpose();
        let media: Option<Media> = row.media.map(|text| parsed(TABLE, &text)).transpose()?;
        let style: Option<Style> = row.style.map(|text| parsed(TABLE, &text)).transpose()?;
        let (state, reason) = (parsed(TABLE, &row.state)?, parsed(TABLE, &row.reason)?);
        Ok(Self {
            campaign: row.campaign,
            recipient: RecipientId(row.recipient),
            state,
            reason,
            stood: (state, reason),
            attempts: row.attempts as u32,
            variant_index: row.variant_index.map(|index| index as u16),
            send_at: at(row.send_at)?,
            not_before: at(row.not_before)?,
            sent_at: at(row.sent_at)?,
            content: media.map(|media| Content { media, style }),
            provider_message: row.provider_message.map(|text| parsed(TABLE, &text)).transpose()?,
            response: row.response.into_model(TABLE)?,
            failure_text: row.failure_text,
            charged_as: row.charged_as,
            price: row.price,
            expected_price: row.expected_price,
        })
    }
}

/// They are read to be written again, and in one order by everybody.
macro_rules! select {
    ($condition:literal, $parameter:literal) => {
        [
            one_of!(select!(@ $condition), $parameter, " ORDER BY campaign, recipient")[0],
            one_of!(select!(@ $condition), $parameter, " ORDER BY campaign, recipient FOR UPDATE")[1],
        ]
    };
    (@ $condition:literal) => {
        concat!(
            "SELECT campaign, recipient, state, reason, attempts, variant_index, send_at, not_before,
                sent_at, media, style, provider_message, failure_text, charged_as, price,
                expected_price, ",
            response_columns!(),
            " FROM delivery WHERE ",
            $condition
        )
    };
}

const OF_PEOPLE: Sql = select!("campaign = $1 AND recipient", "$2");

const BY_PROVIDER: Sql = select!("provider_message", "$1");

const PUT: &str = "UPDATE delivery SET state = v.state, reason = v.reason, send_at = v.send_at,
    not_before = v.not_before, sent_at = v.sent_at, media = v.media, style = v.style,
    provider_message = v.provider_message, delivered_at = v.delivered_at, read_at = v.read_at,
    clicked_at = v.clicked_at, replied_at = v.replied_at, converted_at = v.converted_at,
    amount = v.amount, currency = v.currency, opted_out_at = v.opted_out_at,
    failed_at = v.failed_at, failure_code = v.failure_code, failure_text = v.failure_text,
    charged_as = v.charged_as, price = v.price,
    changed_at = CASE WHEN v.state = delivery.state THEN delivery.changed_at ELSE v.observed_at END,
    observed_at = CASE WHEN v.sent_at IS NULL THEN delivery.observed_at ELSE v.observed_at END";

const PUT_END: &str = " WHERE delivery.campaign = v.campaign AND delivery.recipient = v.recipient";

/// Beside the response's.
const NAMES: [&str; 14] = [
    "campaign",
    "recipient",
    "state",
    "reason",
    "send_at",
    "not_before",
    "sent_at",
    "media",
    "style",
    "provider_message",
    "failure_text",
    "charged_as",
    "price",
    "observed_at",
];

impl Tx {
    /// How a provider calls the latest messages that it took for a person up to a time and that nobody told
    /// to be read, at most `limit`.
    pub async fn unread(
        &mut self,
        provider: &Name,
        person: RecipientId,
        until: Instant,
        limit: usize,
    ) -> Result<Vec<ProviderMessage>, StoreError> {
        const SQL: &str = "SELECT d.provider_message FROM delivery d
            JOIN campaign c ON c.id = d.campaign
            WHERE d.recipient = $1 AND c.provider = $2 AND d.sent_at <= $3
                AND d.read_at IS NULL AND d.provider_message IS NOT NULL
            ORDER BY d.sent_at DESC, d.campaign LIMIT $4";
        let ids: Vec<String> = on!(self, |db| sqlx::query_scalar(SQL)
            .bind(person.0)
            .bind(provider.as_str())
            .bind(micros(until))
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("look for messages that were not read")?;
        ids.iter().map(|id| parsed("delivery", id)).collect()
    }

    /// The deliveries of some people of a campaign, locked until the transaction ends.
    pub async fn lock_deliveries(
        &mut self,
        campaign: i64,
        people: &[RecipientId],
    ) -> Result<Vec<Answered>, StoreError> {
        let sql = self.text(OF_PEOPLE);
        let rows: Vec<Row> = on!(self, |db| sqlx::query_as(sql)
            .bind(campaign)
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("look up deliveries")?;
        rows.into_iter().map(Answered::try_from).collect()
    }

    /// The deliveries that providers call so, locked until the transaction ends. Two providers may
    /// call theirs alike.
    pub async fn lock_deliveries_called(
        &mut self,
        ids: &[&str],
    ) -> Result<Vec<Answered>, StoreError> {
        let sql = self.text(BY_PROVIDER);
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(sql).bind(List(ids.to_vec())).fetch_all(db).await)
                .doing("look up deliveries")?;
        rows.into_iter().map(Answered::try_from).collect()
    }

    /// Writes what became of locked deliveries, once each.
    pub async fn put_answered(
        &mut self,
        rows: &[Answered],
        now: Instant,
    ) -> Result<(), StoreError> {
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            let number = |of: &dyn Fn(&Answered) -> Option<i64>| {
                Column::Number(chunk.iter().map(of).collect())
            };
            let time = |of: fn(&Answered) -> Option<Instant>| {
                Column::Number(chunk.iter().map(|row| of(row).map(micros)).collect())
            };
            let text =
                |of: fn(&Answered) -> Option<&str>| Column::Text(chunk.iter().map(of).collect());
            let mut columns = vec![
                number(&|row| Some(row.campaign)),
                number(&|row| Some(row.recipient.0)),
                text(|row| Some(row.state.as_str())),
                text(|row| Some(row.reason.as_str())),
                time(|row| row.send_at),
                time(|row| row.not_before),
                time(|row| row.sent_at),
                text(|row| row.content.as_ref().map(|content| content.media.as_str())),
                text(|row| row.content.as_ref()?.style.as_ref().map(Style::as_str)),
                text(|row| row.provider_message.as_ref().map(ProviderMessage::as_str)),
                text(|row| row.failure_text.as_deref()),
                text(|row| row.charged_as.as_deref()),
                Column::Real(chunk.iter().map(|row| row.price).collect()),
                number(&|_| Some(micros(now))),
            ];
            let answers: Vec<&Response> = chunk.iter().map(|row| &row.response).collect();
            columns.extend(responses::columns(&answers));
            let names = [&NAMES[..], &responses::COLUMNS].concat();
            on!(self, |db| Rows::update(PUT, &names, columns, PUT_END)
                .build()
                .execute(db)
                .await
                .map(drop))
            .doing("write what came back")?;
        }
        let mut moved: BTreeMap<i64, Moves> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.stood != (row.state, row.reason)) {
            moved.entry(row.campaign).or_default().one(row.stood, (row.state, row.reason));
        }
        for (campaign, moves) in &moved {
            self.count_moves(*campaign, moves).await?;
        }
        Ok(())
    }
}
