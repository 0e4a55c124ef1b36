//! History as the learner reads it: no more columns than teach something, whole or by the time at
//! which it was written.

use std::ops::Range;

use futures_util::StreamExt;
use futures_util::{TryStreamExt, stream};

use super::{Doing, Pool, Reader, Store, StoreError, instant, micros, on, parsed};
use crate::model::Invalid;
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
pub struct ObservedRow<'r> {
    /// Who was sent it.
    pub recipient: RecipientId,
    /// The caller's id of the message.
    pub key: &'r str,
    /// When.
    pub sent_at: Instant,
    /// Its business purpose.
    pub category: Option<Category>,
    /// The name of the channel that it was sent by.
    pub channel: Option<&'r str>,
    /// What was sent.
    pub content: Option<Content>,
    /// What came back; amounts and codes are left out.
    pub response: Response,
}

/// A message's columns as one line, which [`ObservedRow::read`] takes apart: handed over one by
/// one, they cost several times as much. No id and no word holds a tab or the end of a line.
macro_rules! line {
    ($key:literal, $channel:literal) => {
        concat!(
            "concat(recipient, '\t', sent_at, '\t', delivered_at, '\t', read_at, '\t', \
                clicked_at, '\t', replied_at, '\t', converted_at, '\t', opted_out_at, '\t', \
                failed_at, '\t', category, '\t', ",
            $channel,
            ", '\t', media, '\t', style, '\t', ",
            $key,
            ")"
        )
    };
}

impl<'r> ObservedRow<'r> {
    fn read(line: &'r str) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt {
            table: TABLE,
            cause: Invalid::new("row", line, "the columns of this version"),
        };
        let mut rest = Some(line);
        let mut text = || {
            let left = rest?;
            let (column, after) = match left.split_once('\t') {
                Some((column, after)) => (column, Some(after)),
                None => (left, None),
            };
            rest = after;
            Some(column).filter(|column| !column.is_empty())
        };
        let mut number =
            || text().map(|text| text.parse::<i64>().map_err(|_| corrupt())).transpose();
        let recipient = RecipientId(number()?.ok_or_else(corrupt)?);
        let mut time = || number()?.map(|micros| instant(TABLE, micros)).transpose();
        let sent_at = time()?.ok_or_else(corrupt)?;
        let response = Response {
            delivered_at: time()?,
            read_at: time()?,
            clicked_at: time()?,
            replied_at: time()?,
            converted_at: time()?,
            opted_out_at: time()?,
            failed_at: time()?,
            ..Response::default()
        };
        let category = text().map(|text| parsed(TABLE, text)).transpose()?;
        let channel = text();
        let media = text().map(|text| parsed(TABLE, text)).transpose()?;
        let style = text().map(|text| parsed(TABLE, text)).transpose()?;
        let content = media.map(|media| Content { media, style });
        let key = text().ok_or_else(corrupt)?;
        Ok(Self { recipient, key, sent_at, category, channel, content, response })
    }
}

/// Both tables of messages, in PostgreSQL: all of them, and those written within some time.
const OF_BOTH: [&str; 2] = [
    concat!("SELECT ", line!("key", "channel"), " FROM sent_message"),
    concat!(
        "SELECT ",
        line!("key", "channel"),
        " FROM sent_message WHERE observed_at >= $1 AND observed_at < $2"
    ),
];

macro_rules! of_table {
    ($key:literal, $channel:literal, $from:literal, $condition:literal) => {
        concat!(
            "SELECT group_concat(",
            line!($key, $channel),
            ", '\n') FROM ",
            $from,
            " WHERE sent_at IS NOT NULL AND ",
            $condition
        )
    };
}

/// Each of the two in SQLite, many messages in one value, since its driver hands rows from thread
/// to thread one by one: a range of rows, the number of the last row, and what was written within
/// some time, as much as was written at once.
const OF_EACH: [[&str; 3]; 2] = [
    [
        of_table!("key", "channel", "message", "rowid BETWEEN $1 AND $2"),
        "SELECT MAX(rowid) FROM message",
        of_table!(
            "key",
            "channel",
            "message",
            "changed_at >= $1 AND changed_at < $2 GROUP BY changed_at"
        ),
    ],
    [
        of_table!(
            "name || ':' || recipient",
            "provider",
            "delivery JOIN campaign ON campaign.id = campaign",
            "delivery.rowid BETWEEN $1 AND $2"
        ),
        "SELECT MAX(rowid) FROM delivery",
        of_table!(
            "name || ':' || recipient",
            "provider",
            "delivery JOIN campaign ON campaign.id = campaign",
            "observed_at >= $1 AND observed_at < $2 GROUP BY observed_at"
        ),
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
        mut take: impl FnMut(ObservedRow<'_>),
    ) -> Result<(), StoreError> {
        let mut take_lines = |lines: String| {
            lines.split('\n').try_for_each(|line| ObservedRow::read(line).map(&mut take))
        };
        let [all, changed] = OF_BOTH;
        match (&self.pool, &written) {
            (Pool::Postgres(_), None) => self.read().await?.lines(all, None, take_lines).await,
            (Pool::Postgres(_), Some(_)) => {
                self.read().await?.lines(changed, written, take_lines).await
            }
            (Pool::Sqlite { .. }, Some(_)) => {
                for [_, _, changed] in OF_EACH {
                    self.read().await?.lines(changed, written.clone(), &mut take_lines).await?;
                }
                Ok(())
            }
            (Pool::Sqlite { .. }, None) => {
                for [page, last, _] in OF_EACH {
                    let last = self.read().await?.number(last).await?;
                    let starts = (1..=last.unwrap_or_default()).step_by(PAGE_ROWS as usize);
                    let read = |first| async move { self.read().await?.page(page, first).await };
                    let mut pages = stream::iter(starts).map(read).buffered(PAGES_AT_ONCE);
                    while let Some(lines) = pages.try_next().await? {
                        lines.map_or(Ok(()), &mut take_lines)?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Reader {
    /// Hands over what a statement gives, all or of what was written within some time.
    async fn lines(
        &mut self,
        sql: &'static str,
        written: Option<Range<Instant>>,
        mut take: impl FnMut(String) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        on!(self, |db| {
            let query = sqlx::query_scalar::<_, String>(sql);
            let query = match written {
                None => query,
                Some(span) => query.bind(micros(span.start)).bind(micros(span.end)),
            };
            let mut rows = query.fetch(db);
            while let Some(lines) = rows.try_next().await.doing(READ)? {
                take(lines)?;
            }
        });
        Ok(())
    }

    async fn number(&mut self, sql: &'static str) -> Result<Option<i64>, StoreError> {
        on!(self, |db| sqlx::query_scalar(sql).fetch_one(db).await).doing(READ)
    }

    async fn page(&mut self, sql: &'static str, first: i64) -> Result<Option<String>, StoreError> {
        let query = on!(self, |db| sqlx::query_scalar(sql)
            .bind(first)
            .bind(first + PAGE_ROWS - 1)
            .fetch_one(db)
            .await);
        query.doing(READ)
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
