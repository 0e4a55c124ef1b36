//! Messages as they are on the moment that they go out: nothing came back yet, so that a row is
//! short, and many of them are quick to write.

use super::bulk::{Column, Rows};
use super::{Doing, MessageRow, StoreError, Tx, micros, on};
use crate::model::content::{Category, Media, Style};
use crate::model::ids::ProviderMessage;
use crate::model::message::Message;
use crate::model::time::Instant;

const INSERT: &str = "INSERT INTO message (key, recipient, campaign, channel, category, media,
    style, sent_at, propensity, provider_message, changed_at)";

/// One that is sent again, since the channel gave it up, begins anew.
const AGAIN: &str = " ON CONFLICT (key) DO UPDATE SET media = excluded.media,
    style = excluded.style, sent_at = excluded.sent_at, propensity = excluded.propensity,
    provider_message = excluded.provider_message, changed_at = excluded.changed_at,
    delivered_at = NULL, read_at = NULL, clicked_at = NULL, replied_at = NULL,
    converted_at = NULL, amount = NULL, currency = NULL, opted_out_at = NULL, failed_at = NULL,
    failure_code = NULL";

impl Tx {
    /// Writes up to [`ROWS_PER_STATEMENT`](super::ROWS_PER_STATEMENT) messages that went out a moment
    /// ago; what they came back with is not looked at.
    pub async fn put_sent(&mut self, rows: &[&MessageRow], now: Instant) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let text = |of: fn(&Message) -> Option<&str>| {
            Column::Text(rows.iter().map(|row| of(&row.message)).collect())
        };
        let number = |of: &dyn Fn(&MessageRow) -> i64| {
            Column::Number(rows.iter().map(|row| Some(of(row))).collect())
        };
        let theirs =
            rows.iter().map(|row| row.provider_message.as_ref().map(ProviderMessage::as_str));
        let columns = vec![
            text(|message| Some(message.key.as_str())),
            number(&|row| row.recipient.0),
            text(|message| message.campaign.as_deref()),
            text(|message| message.channel.as_deref()),
            text(|message| message.category.map(Category::as_str)),
            text(|message| message.media.map(Media::as_str)),
            text(|message| message.style.as_ref().map(Style::as_str)),
            number(&|row| micros(row.message.sent_at)),
            Column::Real(rows.iter().map(|row| row.message.propensity).collect()),
            Column::Text(theirs.collect()),
            number(&|_| micros(now)),
        ];
        on!(self, |db| Rows::insert(INSERT, columns, AGAIN).build().execute(db).await.map(drop))
            .doing("write what was sent")
    }
}
