//! History as the learner reads it: no more columns than teach something, whole or by the time at
//! which it was written.

use std::ops::Range;

use futures_util::TryStreamExt;
use sqlx::FromRow;

use super::{Doing, Store, StoreError, instant, micros, on, parsed};
use crate::model::content::{Category, Content};
use crate::model::ids::RecipientId;
use crate::model::message::Response;
use crate::model::time::Instant;

const TABLE: &str = "message";

/// A second from the epoch, the rows written in it, and a sum over their microseconds.
pub type Second = (i64, i64, i64);

/// What a message teaches, and of whom.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedRow {
    /// Who was sent it.
    pub recipient: RecipientId,
    /// The caller's id of the message.
    pub key: String,
    /// When.
    pub sent_at: Instant,
    /// Its business purpose.
    pub category: Option<Category>,
    /// What was sent.
    pub content: Option<Content>,
    /// What came back; amounts and codes are left out.
    pub response: Response,
}

#[derive(FromRow)]
struct Observed {
    recipient: i64,
    key: String,
    sent_at: i64,
    category: Option<String>,
    media: Option<String>,
    style: Option<String>,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
    clicked_at: Option<i64>,
    replied_at: Option<i64>,
    converted_at: Option<i64>,
    opted_out_at: Option<i64>,
    failed_at: Option<i64>,
}

impl TryFrom<Observed> for ObservedRow {
    type Error = StoreError;

    fn try_from(row: Observed) -> Result<Self, StoreError> {
        let at = |micros: Option<i64>| micros.map(|micros| instant(TABLE, micros)).transpose();
        let media = row.media.map(|text| parsed(TABLE, &text)).transpose()?;
        let style = row.style.map(|text| parsed(TABLE, &text)).transpose()?;
        Ok(Self {
            recipient: RecipientId(row.recipient),
            key: row.key,
            sent_at: instant(TABLE, row.sent_at)?,
            category: row.category.map(|text| parsed(TABLE, &text)).transpose()?,
            content: media.map(|media| Content { media, style }),
            response: Response {
                delivered_at: at(row.delivered_at)?,
                read_at: at(row.read_at)?,
                clicked_at: at(row.clicked_at)?,
                replied_at: at(row.replied_at)?,
                converted_at: at(row.converted_at)?,
                opted_out_at: at(row.opted_out_at)?,
                failed_at: at(row.failed_at)?,
                ..Response::default()
            },
        })
    }
}

const OBSERVED: &str =
    "SELECT recipient, key, sent_at, category, media, style, delivered_at, read_at,
    clicked_at, replied_at, converted_at, opted_out_at, failed_at FROM message";

const OBSERVED_CHANGED: &str = "SELECT recipient, key, sent_at, category, media, style,
    delivered_at, read_at, clicked_at, replied_at, converted_at, opted_out_at, failed_at
    FROM message WHERE changed_at >= $1 AND changed_at < $2";

const ACTIVITY: &str = "SELECT recipient, at, kind FROM activity";

const ACTIVITY_CHANGED: &str =
    "SELECT recipient, at, kind FROM activity WHERE changed_at >= $1 AND changed_at < $2";

const MESSAGE_SECONDS: &str = "SELECT changed_at / 1000000, COUNT(*),
        CAST(SUM(changed_at % 1000000) AS BIGINT)
    FROM message WHERE changed_at >= $1 GROUP BY changed_at / 1000000 ORDER BY 1";

const ACTIVITY_SECONDS: &str = "SELECT changed_at / 1000000, COUNT(*),
        CAST(SUM(changed_at % 1000000) AS BIGINT)
    FROM activity WHERE changed_at >= $1 GROUP BY changed_at / 1000000 ORDER BY 1";

impl Store {
    /// Hands over every message, or those written within some time, in no particular order.
    pub async fn each_message(
        &self,
        written: Option<Range<Instant>>,
        mut take: impl FnMut(ObservedRow),
    ) -> Result<(), StoreError> {
        on!(self, |db| {
            let query = match &written {
                None => sqlx::query_as::<_, Observed>(OBSERVED),
                Some(span) => {
                    sqlx::query_as(OBSERVED_CHANGED).bind(micros(span.start)).bind(micros(span.end))
                }
            };
            let mut rows = query.fetch(db);
            while let Some(row) = rows.try_next().await.doing("read messages")? {
                take(row.try_into()?);
            }
        });
        Ok(())
    }

    /// Hands over every sign of presence, or those written within some time.
    pub async fn each_activity(
        &self,
        written: Option<Range<Instant>>,
        mut take: impl FnMut(RecipientId, Instant, &str),
    ) -> Result<(), StoreError> {
        on!(self, |db| {
            let query = match &written {
                None => sqlx::query_as::<_, (i64, i64, String)>(ACTIVITY),
                Some(span) => {
                    sqlx::query_as(ACTIVITY_CHANGED).bind(micros(span.start)).bind(micros(span.end))
                }
            };
            let mut rows = query.fetch(db);
            while let Some((recipient, at, kind)) =
                rows.try_next().await.doing("read signs of presence")?
            {
                take(RecipientId(recipient), instant("activity", at)?, &kind);
            }
        });
        Ok(())
    }

    /// For each second from `since` on in which messages were written: how many are there, and a
    /// sum that changes with their times. Two seconds that agree hold the same rows.
    pub async fn message_seconds(&self, since: Instant) -> Result<Vec<Second>, StoreError> {
        let rows =
            on!(self, |db| sqlx::query_as(MESSAGE_SECONDS).bind(micros(since)).fetch_all(db).await);
        rows.doing("look for new messages")
    }

    /// The same of signs of presence.
    pub async fn activity_seconds(&self, since: Instant) -> Result<Vec<Second>, StoreError> {
        let rows = on!(self, |db| sqlx::query_as(ACTIVITY_SECONDS)
            .bind(micros(since))
            .fetch_all(db)
            .await);
        rows.doing("look for new signs of presence")
    }
}
