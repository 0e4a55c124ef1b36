//! History as the learner reads it: no more columns than teach something, whole or by the time at
//! which it was written.

use std::borrow::Cow;
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::bulk::Sql;
use super::{Doing, Pool, Reader, Store, StoreError, instant, json, micros, on, parsed};
use crate::model::content::{Category, Content};
use crate::model::ids::RecipientId;
use crate::model::message::Response;
use crate::model::time::Instant;

const TABLE: &str = "message";
const READ: &str = "read messages";

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

/// What a message teaches besides whose it is, which one, and how it was sent.
macro_rules! teaches {
    () => {
        "media, style, delivered_at, read_at, clicked_at, replied_at, converted_at, opted_out_at,
            failed_at"
    };
}

macro_rules! observed_sql {
    ($array:literal, $as_text:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            $array,
            "(recipient, key, sent_at, category, channel, ",
            teaches!(),
            ")",
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

macro_rules! page_sql {
    ($key:literal, $channel:literal, $from:literal, $rowid:literal) => {
        concat!(
            "SELECT '[' || group_concat(json_array(recipient, ",
            $key,
            ", sent_at, category, ",
            $channel,
            ", ",
            teaches!(),
            ")) || ']' FROM ",
            $from,
            " WHERE sent_at IS NOT NULL AND ",
            $rowid,
            " BETWEEN $1 AND $2"
        )
    };
}

/// The two tables of `sent_message` in SQLite, by ranges of their rows: a page is one value, since
/// its driver hands rows from thread to thread one by one. Each with its number of the last row.
const PAGES: [[&str; 2]; 2] = [
    [page_sql!("key", "channel", "message", "rowid"), "SELECT MAX(rowid) FROM message"],
    [
        page_sql!(
            "name || ':' || recipient",
            "provider",
            "delivery JOIN campaign ON campaign.id = campaign",
            "delivery.rowid"
        ),
        "SELECT MAX(rowid) FROM delivery",
    ],
];
const PAGE_ROWS: i64 = 1000;
/// Pages that are read at once, each on a connection of its own.
const PAGES_AT_ONCE: usize = 4;

const ACTIVITY: &str = "SELECT recipient, at, kind FROM activity";

const ACTIVITY_CHANGED: &str =
    "SELECT recipient, at, kind FROM activity WHERE changed_at >= $1 AND changed_at < $2";

const MESSAGE_SECONDS: &str = "SELECT observed_at / 1000000, COUNT(*),
        CAST(SUM(observed_at % 1000000) AS BIGINT)
    FROM sent_message WHERE observed_at >= $1 GROUP BY observed_at / 1000000 ORDER BY 1";

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
        if written.is_some() || matches!(&self.pool, Pool::Postgres(_)) {
            return self.read().await?.each_message(written, take).await;
        }
        for [page, last] in PAGES {
            let last: Option<i64> = self.read().await?.number(last).await?;
            let starts = (1..=last.unwrap_or_default()).step_by(PAGE_ROWS as usize);
            let read = |first| async move { self.read().await?.page(page, first).await };
            let mut pages = stream::iter(starts).map(read).buffered(PAGES_AT_ONCE);
            while let Some(rows) = pages.try_next().await? {
                rows.into_iter().for_each(&mut take);
            }
        }
        Ok(())
    }
}

impl Reader {
    async fn each_message(
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
            while let Some(row) = rows.try_next().await.doing(READ)? {
                take(json::<Observed<'_>>(TABLE, &row)?.try_into()?);
            }
        });
        Ok(())
    }

    async fn number(&mut self, sql: &'static str) -> Result<Option<i64>, StoreError> {
        on!(self, |db| sqlx::query_scalar(sql).fetch_one(db).await).doing(READ)
    }

    async fn page(
        &mut self,
        sql: &'static str,
        first: i64,
    ) -> Result<Vec<ObservedRow>, StoreError> {
        let page: Option<String> = on!(self, |db| sqlx::query_scalar(sql)
            .bind(first)
            .bind(first + PAGE_ROWS - 1)
            .fetch_one(db)
            .await)
        .doing(READ)?;
        let Some(page) = page else { return Ok(Vec::new()) };
        json::<Vec<Observed<'_>>>(TABLE, &page)?.into_iter().map(TryInto::try_into).collect()
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
