//! Messages as they are on the moment that they go out: nothing came back yet, so that a row is
//! short, and many of them are quick to write.

use sqlx::QueryBuilder;

use super::{Doing, MessageRow, ROWS_PER_STATEMENT, StoreError, Tx, micros, within};
use crate::model::content::{Category, Media, Style};
use crate::model::ids::ProviderMessage;
use crate::model::time::Instant;

const INSERT: &str = "INSERT INTO message (key, recipient, campaign, channel, category, media,
    style, sent_at, propensity, provider_message, changed_at) ";

/// One that is sent again, since the channel gave it up, begins anew.
const AGAIN: &str = " ON CONFLICT (key) DO UPDATE SET media = excluded.media,
    style = excluded.style, sent_at = excluded.sent_at, propensity = excluded.propensity,
    provider_message = excluded.provider_message, changed_at = excluded.changed_at,
    delivered_at = NULL, read_at = NULL, clicked_at = NULL, replied_at = NULL,
    converted_at = NULL, amount = NULL, currency = NULL, opted_out_at = NULL, failed_at = NULL,
    failure_code = NULL";

impl Tx {
    /// Writes messages that went out a moment ago; what they came back with is not looked at.
    pub async fn put_sent(&mut self, rows: &[&MessageRow], now: Instant) -> Result<(), StoreError> {
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            within!(self, |db| {
                let mut query = QueryBuilder::new(INSERT);
                query.push_values(chunk, |mut row, sent| {
                    let message = &sent.message;
                    row.push_bind(message.key.as_str())
                        .push_bind(sent.recipient.0)
                        .push_bind(message.campaign.as_deref())
                        .push_bind(message.channel.as_deref())
                        .push_bind(message.category.map(Category::as_str))
                        .push_bind(message.media.map(Media::as_str))
                        .push_bind(message.style.as_ref().map(Style::as_str))
                        .push_bind(micros(message.sent_at))
                        .push_bind(message.propensity)
                        .push_bind(sent.provider_message.as_ref().map(ProviderMessage::as_str))
                        .push_bind(micros(now));
                });
                query.push(AGAIN);
                query.build().execute(db).await.map(drop)
            })
            .doing("write what was sent")?;
        }
        Ok(())
    }
}
