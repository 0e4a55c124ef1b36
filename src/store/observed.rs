//! History as the learner reads it: no more columns than teach something, whole or by the time at
//! which it was written.

use std::borrow::Cow;
use std::ops::Range;

use futures_util::TryStreamExt;
use serde::Deserialize;

use super::bulk::Sql;
use super::{Doing, Reader, StoreError, instant, json, micros, on, parsed};
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
    /// The name of the channel that it was sent by.
    pub channel: Option<String>,
    /// What was sent.
    pub content: Option<Content>,
    /// What came back; amounts and codes are left out.
    pub response: Response,
}

/// A message's columns in one value: handed over one by one, they cost several times what it takes
/// to write and read them as JSON.
#[derive(Deserialize)]
struct Observed<'r> {
    recipient: i64,
    #[serde(borrow)]
    key: Cow<'r, str>,
    sent_at: i64,
    #[serde(borrow)]
    category: Option<Cow<'r, str>>,
    #[serde(borrow)]
    channel: Option<Cow<'r, str>>,
    #[serde(borrow)]
    media: Option<Cow<'r, str>>,
    #[serde(borrow)]
    style: Option<Cow<'r, str>>,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
    clicked_at: Option<i64>,
    replied_at: Option<i64>,
    converted_at: Option<i64>,
    opted_out_at: Option<i64>,
    failed_at: Option<i64>,
}

impl TryFrom<Observed<'_>> for ObservedRow {
    type Error = StoreError;

    fn try_from(row: Observed<'_>) -> Result<Self, StoreError> {
        let at = |micros: Option<i64>| micros.map(|micros| instant(TABLE, micros)).transpose();
        let media = row.media.map(|text| parsed(TABLE, &text)).transpose()?;
        let style = row.style.map(|text| parsed(TABLE, &text)).transpose()?;
        Ok(Self {
            recipient: RecipientId(row.recipient),
            key: row.key.into_owned(),
            sent_at: instant(TABLE, row.sent_at)?,
            category: row.category.map(|text| parsed(TABLE, &text)).transpose()?,
            channel: row.channel.map(Cow::into_owned),
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

macro_rules! observed_sql {
    ($array:literal, $as_text:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            $array,
            "(recipient, key, sent_at, category, channel, media, style, delivered_at, read_at,
                clicked_at, replied_at, converted_at, opted_out_at, failed_at)",
            $as_text,
            " FROM sent_message ",
            $condition
        )
    };
    ($condition:literal) => {
        [
            observed_sql!("json_array", "", $condition),
            observed_sql!("json_build_array", "::text", $condition),
        ]
    };
}

const OBSERVED: Sql = observed_sql!("");

const OBSERVED_CHANGED: Sql = observed_sql!("WHERE observed_at >= $1 AND observed_at < $2");

const ACTIVITY: &str = "SELECT recipient, at, kind FROM activity";

const ACTIVITY_CHANGED: &str =
    "SELECT recipient, at, kind FROM activity WHERE changed_at >= $1 AND changed_at < $2";

const MESSAGE_SECONDS: &str = "SELECT observed_at / 1000000, COUNT(*),
        CAST(SUM(observed_at % 1000000) AS BIGINT)
    FROM sent_message WHERE observed_at >= $1 GROUP BY observed_at / 1000000 ORDER BY 1";

const ACTIVITY_SECONDS: &str = "SELECT changed_at / 1000000, COUNT(*),
        CAST(SUM(changed_at % 1000000) AS BIGINT)
    FROM activity WHERE changed_at >= $1 GROUP BY changed_at / 1000000 ORDER BY 1";

impl Reader {
    /// Hands over every message, or those written within some time, in no particular order.
    pub async fn each_message(
        &mut self,
        written: Option<Range<Instant>>,
        mut take: impl FnMut(ObservedRow),
    ) -> Result<(), StoreError> {
        let (all, changed) = (self.text(OBSERVED), self.text(OBSERVED_CHANGED));
        on!(self, |db| {
            let query = match &written {
                None => sqlx::query_scalar::<_, String>(all),
                Some(span) => {
                    sqlx::query_scalar(changed).bind(micros(span.start)).bind(micros(span.end))
                }
            };
            let mut rows = query.fetch(db);
            while let Some(row) = rows.try_next().await.doing("read messages")? {
                take(json::<Observed<'_>>(TABLE, &row)?.try_into()?);
            }
        });
        Ok(())
    }

    /// Hands over every sign of presence, or those written within some time.
    pub async fn each_activity(
        &mut self,
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
    pub async fn message_seconds(&mut self, since: Instant) -> Result<Vec<Second>, StoreError> {
        let rows =
            on!(self, |db| sqlx::query_as(MESSAGE_SECONDS).bind(micros(since)).fetch_all(db).await);
        rows.doing("look for new messages")
    }

    /// The same of signs of presence.
    pub async fn activity_seconds(&mut self, since: Instant) -> Result<Vec<Second>, StoreError> {
        let rows = on!(self, |db| sqlx::query_as(ACTIVITY_SECONDS)
            .bind(micros(since))
            .fetch_all(db)
            .await);
        rows.doing("look for new signs of presence")
    }
}
