//! History as the learner reads it: no more columns than teach something, whole or by the time at
//! which it was written.

use std::collections::HashMap;
use std::num::ParseIntError;
use std::ops::{Range, RangeInclusive};

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::{TryStreamExt, stream};

use super::{Doing, Pool, Reader, Store, StoreError, instant, micros, on, parsed};
use crate::model::Invalid;
use crate::model::content::{Category, Content, Style};
use crate::model::ids::RecipientId;
use crate::model::time::Instant;

const TABLE: &str = "message";
const READ: &str = "read messages";

/// A second from the epoch, the rows written in it, and a sum over their microseconds.
pub type Second = (i64, i64, i64);

/// What a message teaches, and of whom; times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObservedRow<'r> {
    /// Who was sent it.
    pub recipient: RecipientId,
    /// The caller's id of the message.
    pub key: &'r str,
    /// When.
    pub sent_at: i64,
    /// Its business purpose.
    pub category: Option<Category>,
    /// The name of the channel that it was sent by.
    pub channel: Option<&'r str>,
    /// What was sent.
    pub content: Option<&'r Content>,
    /// When each answer came, in the order of [`Response::answered_at`](crate::model::message::Response).
    pub answered_at: [Option<i64>; 7],
}

/// A message's columns as one line, which [`LineReader`] takes apart: handed over one by one, they
/// cost several times as much. No id and no word holds a tab or the end of a line.
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

/// Contents that are kept at once: as many as the learner tells apart.
const CONTENTS_MAX: usize = 1 << 16;

/// Takes lines apart, and keeps the contents that it met: they are few, and their words need not be
/// read again.
#[derive(Default)]
struct LineReader {
    contents: Vec<Content>,
    /// By their columns.
    places: HashMap<String, usize>,
}

/// What is left of a line.
struct Columns<'r>(&'r str);

impl<'r> Columns<'r> {
    /// The next column, unless it is empty.
    fn text(&mut self) -> Option<&'r str> {
        let end = self.0.bytes().position(|byte| byte == b'\t').unwrap_or(self.0.len());
        let (column, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        Some(column).filter(|column| !column.is_empty())
    }

    /// The next column as a number.
    fn number(&mut self) -> Result<Option<i64>, ParseIntError> {
        self.text().map(str::parse).transpose()
    }
}

/// A time in microseconds that an instant can hold, as nearly all are.
fn in_calendar(micros: i64) -> Result<i64, StoreError> {
    const CALENDAR: RangeInclusive<i64> =
        DateTime::<Utc>::MIN_UTC.timestamp_micros()..=DateTime::<Utc>::MAX_UTC.timestamp_micros();
    if CALENDAR.contains(&micros) {
        return Ok(micros);
    }
    instant(TABLE, micros).map(|at| at.timestamp_micros())
}

impl LineReader {
    fn read<'r>(&'r mut self, line: &'r str) -> Result<ObservedRow<'r>, StoreError> {
        let corrupt = || StoreError::Corrupt {
            table: TABLE,
            cause: Invalid::new("row", line, "the columns of this version"),
        };
        let mut columns = Columns(line);
        let mut number = || columns.number().map_err(|_| corrupt());
        let recipient = RecipientId(number()?.ok_or_else(corrupt)?);
        let mut time = || number()?.map(in_calendar).transpose();
        let sent_at = time()?.ok_or_else(corrupt)?;
        let mut answered_at = [None; 7];
        for at in &mut answered_at {
            *at = time()?;
        }
        let category = columns.text().map(|text| parsed(TABLE, text)).transpose()?;
        let channel = columns.text();
        let rest = columns.0;
        let (media, style) = (columns.text(), columns.text());
        let words = &rest[..rest.len() - columns.0.len()];
        let content = match (media, style) {
            (Some(media), _) => {
                let place = self.place(words, media, style)?;
                Some(&self.contents[place])
            }
            (None, Some(style)) => {
                parsed::<Style>(TABLE, style)?;
                None
            }
            (None, None) => None,
        };
        let key = columns.text().ok_or_else(corrupt)?;
        Ok(ObservedRow { recipient, key, sent_at, category, channel, content, answered_at })
    }

    /// Where the content of some columns is kept.
    fn place(
        &mut self,
        words: &str,
        media: &str,
        style: Option<&str>,
    ) -> Result<usize, StoreError> {
        if let Some(place) = self.places.get(words) {
            return Ok(*place);
        }
        if self.contents.len() >= CONTENTS_MAX {
            self.contents.clear();
            self.places.clear();
        }
        let style = style.map(|style| parsed(TABLE, style)).transpose()?;
        self.contents.push(Content { media: parsed(TABLE, media)?, style });
        self.places.insert(words.to_owned(), self.contents.len() - 1);
        Ok(self.contents.len() - 1)
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
        let mut reader = LineReader::default();
        let mut take_lines = |lines: String| {
            for line in lines.split('\n') {
                take(reader.read(line)?);
            }
            Ok(())
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
