//! What happened: messages that others sent, which files brought, and signs of presence. Reads of
//! people's messages see those that campaigns sent as well.

use std::collections::{HashMap, HashSet};

use futures_util::{TryStreamExt, future};
use sqlx::QueryBuilder;

use super::bulk::{List, Sql, numbers, one_of};
use super::responses::{ResponseRow, response_columns};
use super::row::from_row;
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, instant, micros, on, parsed};
use crate::model::action::DrawnAction;
use crate::model::content::{Category, Media, Style};
use crate::model::ids::{MessageKey, RecipientId, RecipientKey};
use crate::model::message::{Merged, Message};
use crate::model::time::Instant;

/// What became of a batch of messages.
#[derive(Debug, Default)]
pub struct AddedMessages {
    /// Not seen before.
    pub new: u64,
    /// Seen before, with fields filled now that were empty.
    pub filled: u64,
    /// Seen before, and nothing new.
    pub same: u64,
    /// Index in the batch, column, stored and given value of each that contradicts what is stored.
    pub conflicts: Vec<(usize, &'static str, String, String)>,
}

/// A stored message and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Whose.
    pub recipient: RecipientId,
    /// What.
    pub message: Message,
}

/// A message that was sent at random.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomizedMessage {
    /// The message.
    pub row: MessageRow,
    /// Whether an explore or Thompson arm of ours sent it; otherwise it was imported.
    pub is_ours: bool,
    /// What was drawn, and among what; of ours, but for those of older versions.
    pub drawn: Option<DrawnAction>,
}

/// What a delivery's row says of a draw.
pub(super) fn drawn(
    action: Option<&str>,
    among: Option<&str>,
) -> Result<Option<DrawnAction>, StoreError> {
    let (Some(action), Some(among)) = (action, among) else { return Ok(None) };
    DrawnAction::parse(action, among)
        .map_err(|cause| StoreError::Corrupt { table: "delivery", cause })
}

from_row! {
    struct RandomizedRow {
        arm: Option<String>,
        drawn: Option<String>,
        drawn_among: Option<String>,
        ; message: Row
    }
}

from_row! {
    struct Row {
        key: String,
        recipient: i64,
        campaign: Option<String>,
        channel: Option<String>,
        category: Option<String>,
        media: Option<String>,
        style: Option<String>,
        sent_at: i64,
        propensity: Option<f64>,
        ; response: ResponseRow
    }
}

const TABLE: &str = "message";

impl TryFrom<Row> for MessageRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        fn word<T>(text: Option<String>) -> Result<Option<T>, StoreError>
        where
            T: std::str::FromStr<Err = crate::model::Invalid>,
        {
            text.map(|text| parsed(TABLE, &text)).transpose()
        }
        Ok(Self {
            recipient: RecipientId(row.recipient),
            message: Message {
                key: parsed(TABLE, &row.key)?,
                campaign: row.campaign,
                channel: row.channel,
                category: word(row.category)?,
                media: word(row.media)?,
                style: word(row.style)?,
                sent_at: instant(TABLE, row.sent_at)?,
                response: row.response.into_model(TABLE)?,
                propensity: row.propensity,
            },
        })
    }
}

const INSERT: &str = "INSERT INTO message (key, recipient, campaign, channel, category, media,
    style, sent_at, delivered_at, read_at, clicked_at, replied_at, converted_at, amount, currency,
    opted_out_at, failed_at, failure_code, propensity, changed_at) ";

const FILL: &str = " ON CONFLICT (key) DO UPDATE SET campaign = excluded.campaign,
    channel = excluded.channel, category = excluded.category, media = excluded.media,
    style = excluded.style, sent_at = excluded.sent_at, delivered_at = excluded.delivered_at, read_at = excluded.read_at,
    clicked_at = excluded.clicked_at, replied_at = excluded.replied_at,
    converted_at = excluded.converted_at, amount = excluded.amount, currency = excluded.currency,
    opted_out_at = excluded.opted_out_at, failed_at = excluded.failed_at,
    failure_code = excluded.failure_code, propensity = excluded.propensity,
    changed_at = excluded.changed_at";

macro_rules! select {
    ($end:literal) => {
        select!("message ", $end)
    };
    ($from:literal, $end:literal) => {
        concat!(
            "SELECT key, recipient, campaign, channel, category, media, style, sent_at, propensity, ",
            response_columns!(),
            " FROM ",
            $from,
            $end
        )
    };
}

/// They are read to be written again, and in one order by everybody.
macro_rules! to_change {
    ($column:literal) => {
        [
            one_of!(select!($column), "$1", " ORDER BY key")[0],
            one_of!(select!($column), "$1", " ORDER BY key FOR UPDATE")[1],
        ]
    };
}

const BY_KEY: Sql = to_change!("WHERE key");

/// Of the past all whose chance is known; of campaigns what was drawn.
const RANDOMIZED: &str = concat!(
    "SELECT key, recipient, campaign, channel, category, media, style, sent_at, propensity, ",
    response_columns!(),
    ", arm, drawn, drawn_among FROM sent_message
        WHERE propensity IS NOT NULL AND (arm IS NULL OR arm IN ('explore', 'thompson'))"
);

/// Of everybody who ever consented. What people write to us answers messages, which the holdout does
/// not get.
const PRESENCE: &str = "SELECT r.key,
        COALESCE(SUM(CASE WHEN a.kind = 'purchase' THEN 1 ELSE 0 END), 0), COUNT(a.at)
    FROM recipient r LEFT JOIN activity a ON a.recipient = r.id AND a.at >= $1 AND a.at <= $2
        AND a.kind <> 'inbound'
    WHERE EXISTS (SELECT 1 FROM consent c WHERE c.recipient = r.id AND c.change = 'granted')
    GROUP BY r.id, r.key";

const EVER_CONSENTED: &str = "SELECT r.id, r.key FROM recipient r
    WHERE EXISTS (SELECT 1 FROM consent c WHERE c.recipient = r.id AND c.change = 'granted')
    ORDER BY r.id";

const OF_RECIPIENT: &str = select!("sent_message ", "WHERE recipient = $1 ORDER BY sent_at, key");

const CHANNELS_OF: &str = "SELECT DISTINCT channel FROM message
    WHERE recipient = $1 AND channel IS NOT NULL ORDER BY channel";

const ACTIVITY_OF: &str =
    "SELECT recipient, at, kind FROM activity WHERE recipient = $1 ORDER BY at, kind";

impl Reader {
    /// Hands over every message whose slot and content were drawn with a known chance, in no
    /// particular order.
    pub async fn each_randomized_message(
        &mut self,
        mut take: impl FnMut(RandomizedMessage),
    ) -> Result<(), StoreError> {
        on!(self, |db| {
            let mut rows = sqlx::query_as::<_, RandomizedRow>(RANDOMIZED).fetch(db);
            while let Some(row) = rows.try_next().await.doing("read randomized messages")? {
                take(RandomizedMessage {
                    row: row.message.try_into()?,
                    is_ours: row.arm.is_some(),
                    drawn: drawn(row.drawn.as_deref(), row.drawn_among.as_deref())?,
                });
            }
        });
        Ok(())
    }

    /// Hands over everybody who ever consented, with purchases and all signs of presence between two
    /// times.
    pub async fn each_presence_since(
        &mut self,
        from: Instant,
        to: Instant,
        mut take: impl FnMut(RecipientKey, u64, u64),
    ) -> Result<(), StoreError> {
        on!(self, |db| {
            let mut rows = sqlx::query_as::<_, (String, i64, i64)>(PRESENCE)
                .bind(micros(from))
                .bind(micros(to))
                .fetch(db);
            while let Some(row) = rows.try_next().await.doing("count signs of presence")? {
                let (key, purchases, signs) = row;
                take(parsed("recipient", &key)?, purchases as u64, signs as u64);
            }
        });
        Ok(())
    }

    /// Everybody who ever consented, in the order of their numbers.
    pub async fn ever_consented(&mut self) -> Result<Vec<(RecipientId, RecipientKey)>, StoreError> {
        let rows: Vec<(i64, String)> =
            on!(self, |db| sqlx::query_as(EVER_CONSENTED).fetch_all(db).await)
                .doing("read who ever consented")?;
        let person = |(id, key): (i64, String)| Ok((RecipientId(id), parsed("recipient", &key)?));
        rows.into_iter().map(person).collect()
    }

    /// A person's messages, oldest first.
    pub async fn messages_of(
        &mut self,
        recipient: RecipientId,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(OF_RECIPIENT).bind(recipient.0).fetch_all(db).await)
                .doing("read a person's messages")?;
        rows.into_iter().map(MessageRow::try_from).collect()
    }

    /// The channels that wrote to a person, by name.
    pub async fn channels_of(&mut self, recipient: RecipientId) -> Result<Vec<String>, StoreError> {
        on!(self, |db| sqlx::query_scalar(CHANNELS_OF).bind(recipient.0).fetch_all(db).await)
            .doing("read by which channels a person was written to")
    }

    /// A person's signs of presence, oldest first.
    pub async fn activity_of(
        &mut self,
        recipient: RecipientId,
    ) -> Result<Vec<(Instant, String)>, StoreError> {
        let rows: Vec<(i64, i64, String)> =
            on!(self, |db| sqlx::query_as(ACTIVITY_OF).bind(recipient.0).fetch_all(db).await)
                .doing("read a person's signs of presence")?;
        rows.into_iter().map(|(_, at, kind)| Ok((instant("activity", at)?, kind))).collect()
    }
}

impl Tx {
    /// Adds messages of the past. One seen before takes fields that are filled now, or conflicts
    /// and stays as it was.
    pub async fn add_messages(
        &mut self,
        given: &[(RecipientId, Message)],
        now: Instant,
    ) -> Result<AddedMessages, StoreError> {
        let mut added = AddedMessages::default();
        let rows: Vec<_> = given.iter().map(|(recipient, message)| (*recipient, message)).collect();
        let written = self.write_messages(&rows, " ON CONFLICT DO NOTHING", now).await?;
        let chunks = given.chunks(ROWS_PER_STATEMENT);
        for (start, (chunk, new)) in (0..).step_by(ROWS_PER_STATEMENT).zip(chunks.zip(written)) {
            added.new += new;
            if new < chunk.len() as u64 {
                self.fill_messages(start, chunk, new, now, &mut added).await?;
            }
        }
        Ok(added)
    }

    async fn fill_messages(
        &mut self,
        start: usize,
        chunk: &[(RecipientId, Message)],
        new: u64,
        now: Instant,
        added: &mut AddedMessages,
    ) -> Result<(), StoreError> {
        let keys: Vec<&str> = chunk.iter().map(|(_, message)| message.key.as_str()).collect();
        let mut stored = self.messages(&keys).await?;
        let (mut filled, mut conflicts) = (Vec::new(), 0);
        for (index, (recipient, message)) in chunk.iter().enumerate() {
            let Some(row) = stored.get_mut(&message.key) else { continue };
            let merged = if row.recipient == *recipient {
                row.message.merge(message)
            } else {
                let [stored, given] = ["another recipient's", "this recipient's"].map(String::from);
                Merged::Conflict { column: "recipient", stored, given }
            };
            match merged {
                Merged::Same => {}
                Merged::Filled(merged) => {
                    row.message = *merged;
                    filled.push(message.key.clone());
                }
                Merged::Conflict { column, stored, given } => {
                    conflicts += 1;
                    added.conflicts.push((start + index, column, stored, given));
                }
            }
        }
        added.same += chunk.len() as u64 - new - filled.len() as u64 - conflicts;
        added.filled += filled.len() as u64;
        filled.sort();
        filled.dedup();
        let rows: Vec<MessageRow> = filled.iter().filter_map(|key| stored.remove(key)).collect();
        self.put_messages(&rows, now).await
    }

    /// The stored messages among `keys`.
    pub async fn messages(
        &mut self,
        keys: &[&str],
    ) -> Result<HashMap<MessageKey, MessageRow>, StoreError> {
        let rows = self.messages_where(BY_KEY, keys).await?;
        Ok(rows.into_iter().map(|row| (row.message.key.clone(), row)).collect())
    }

    async fn messages_where(
        &mut self,
        sql: Sql,
        values: &[&str],
    ) -> Result<Vec<MessageRow>, StoreError> {
        let (sql, values) = (self.text(sql), List(values.to_vec()));
        let rows: Vec<Row> = on!(self, |db| sqlx::query_as(sql).bind(values).fetch_all(db).await)
            .doing("look up messages")?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Writes messages as they are given, over what was stored under their keys.
    pub async fn put_messages(
        &mut self,
        rows: &[MessageRow],
        now: Instant,
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = rows.iter().map(|row| (row.recipient, &row.message)).collect();
        self.write_messages(&rows, FILL, now).await.map(drop)
    }

    /// Writes messages statement by statement; returns how many rows each of them touched. The next
    /// statement is put together while the database works on the one before.
    async fn write_messages(
        &mut self,
        rows: &[(RecipientId, &Message)],
        end: &'static str,
        now: Instant,
    ) -> Result<Vec<u64>, StoreError> {
        let at = |at: Option<Instant>| at.map(micros);
        let mut chunks = rows.chunks(ROWS_PER_STATEMENT);
        let mut written = Vec::with_capacity(chunks.len());
        on!(self, |db| {
            let mut statement = || {
                let chunk = chunks.next()?;
                let mut query = QueryBuilder::new(INSERT);
                query.push_values(chunk, |mut row, (recipient, message)| {
                    let r = &message.response;
                    row.push_bind(message.key.as_str())
                        .push_bind(recipient.0)
                        .push_bind(message.campaign.as_deref())
                        .push_bind(message.channel.as_deref())
                        .push_bind(message.category.map(Category::as_str))
                        .push_bind(message.media.map(Media::as_str))
                        .push_bind(message.style.as_ref().map(Style::as_str))
                        .push_bind(micros(message.sent_at))
                        .push_bind(at(r.delivered_at))
                        .push_bind(at(r.read_at))
                        .push_bind(at(r.clicked_at))
                        .push_bind(at(r.replied_at))
                        .push_bind(at(r.converted_at))
                        .push_bind(r.amount)
                        .push_bind(r.currency.as_deref())
                        .push_bind(at(r.opted_out_at))
                        .push_bind(at(r.failed_at))
                        .push_bind(r.failure_code.as_deref())
                        .push_bind(message.propensity)
                        .push_bind(micros(now));
                });
                query.push(end);
                Some(query)
            };
            let mut ready = statement();
            while let Some(mut query) = ready {
                let (done, next) =
                    future::join(query.build().execute(&mut *db), async { statement() }).await;
                written.push(done.doing("write messages")?.rows_affected());
                ready = next;
            }
        });
        Ok(written)
    }

    /// Which of the signs of presence are stored.
    pub async fn stored_activity(
        &mut self,
        given: &[(RecipientId, Instant, String)],
    ) -> Result<HashSet<(RecipientId, Instant, String)>, StoreError> {
        const SQL: Sql = one_of!(
            "SELECT recipient, at, kind FROM activity WHERE at >= $2 AND at <= $3 AND recipient",
            "$1",
            ""
        );
        let times = || given.iter().map(|(_, at, _)| micros(*at));
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Ok(HashSet::new());
        };
        let people: Vec<RecipientId> = given.iter().map(|(id, ..)| *id).collect();
        let sql = self.text(SQL);
        let rows: Vec<(i64, i64, String)> = on!(self, |db| sqlx::query_as(sql)
            .bind(numbers(&people))
            .bind(first)
            .bind(last)
            .fetch_all(db)
            .await)
        .doing("look up signs of presence")?;
        let sign = |(id, at, kind)| Ok((RecipientId(id), instant("activity", at)?, kind));
        rows.into_iter().map(sign).collect()
    }

    /// Adds signs of presence; returns how many were new.
    pub async fn add_activity(
        &mut self,
        given: &[(RecipientId, Instant, String)],
        now: Instant,
    ) -> Result<u64, StoreError> {
        let mut new = 0;
        for chunk in given.chunks(ROWS_PER_STATEMENT) {
            new += on!(self, |db| {
                let mut query =
                    QueryBuilder::new("INSERT INTO activity (recipient, at, kind, changed_at) ");
                query.push_values(chunk, |mut row, (recipient, at, kind)| {
                    row.push_bind(recipient.0)
                        .push_bind(micros(*at))
                        .push_bind(kind)
                        .push_bind(micros(now));
                });
                query.push(" ON CONFLICT DO NOTHING");
                query.build().execute(db).await.map(|done| done.rows_affected())
            })
            .doing("write signs of presence")?;
        }
        Ok(new)
    }
}
