//! What came back of a message, as history and deliveries both store it.

use super::bulk::Column;
use super::row::from_row;
use super::{StoreError, instant, micros};
use crate::model::message::Response;
use crate::model::time::Instant;

/// The columns, in the order of [`COLUMNS`].
macro_rules! response_columns {
    () => {
        "delivered_at, read_at, clicked_at, replied_at, converted_at, amount, currency, \
         opted_out_at, failed_at, failure_code"
    };
}
pub(super) use response_columns;

/// Whether a sent message of a row brought the goal `$2` within `$3` microseconds. Who clicks or
/// answers has read, whether receipts are on or off.
macro_rules! engaged_in_time {
    () => {
        "CASE $2
            WHEN 'read' THEN read_at - sent_at <= $3 OR clicked_at - sent_at <= $3
                OR replied_at - sent_at <= $3
            WHEN 'click' THEN clicked_at - sent_at <= $3
            WHEN 'reply' THEN replied_at - sent_at <= $3
            ELSE converted_at - sent_at <= $3 END"
    };
}
pub(super) use engaged_in_time;

/// Their names.
pub(super) const COLUMNS: [&str; 10] = [
    "delivered_at",
    "read_at",
    "clicked_at",
    "replied_at",
    "converted_at",
    "amount",
    "currency",
    "opted_out_at",
    "failed_at",
    "failure_code",
];

from_row! {
    /// A row's part.
    pub(super) struct ResponseRow {
        delivered_at: Option<i64>,
        read_at: Option<i64>,
        clicked_at: Option<i64>,
        replied_at: Option<i64>,
        converted_at: Option<i64>,
        amount: Option<f64>,
        currency: Option<String>,
        opted_out_at: Option<i64>,
        failed_at: Option<i64>,
        failure_code: Option<String>,
    }
}

impl ResponseRow {
    /// The response of a row of `table`.
    pub(super) fn into_model(self, table: &'static str) -> Result<Response, StoreError> {
        let at = |micros: Option<i64>| micros.map(|micros| instant(table, micros)).transpose();
        Ok(Response {
            delivered_at: at(self.delivered_at)?,
            read_at: at(self.read_at)?,
            clicked_at: at(self.clicked_at)?,
            replied_at: at(self.replied_at)?,
            converted_at: at(self.converted_at)?,
            amount: self.amount,
            currency: self.currency,
            opted_out_at: at(self.opted_out_at)?,
            failed_at: at(self.failed_at)?,
            failure_code: self.failure_code,
        })
    }
}

/// Responses, column by column.
pub(super) fn columns<'r>(responses: &[&'r Response]) -> Vec<Column<'r>> {
    let time = |of: fn(&Response) -> Option<Instant>| {
        Column::Number(responses.iter().map(|response| of(response).map(micros)).collect())
    };
    let text = |of: fn(&Response) -> Option<&str>| {
        Column::Text(responses.iter().map(|response| of(response)).collect())
    };
    vec![
        time(|response| response.delivered_at),
        time(|response| response.read_at),
        time(|response| response.clicked_at),
        time(|response| response.replied_at),
        time(|response| response.converted_at),
        Column::Real(responses.iter().map(|response| response.amount).collect()),
        text(|response| response.currency.as_deref()),
        time(|response| response.opted_out_at),
        time(|response| response.failed_at),
        text(|response| response.failure_code.as_deref()),
    ]
}
