//! What people wrote, with what it is taken for, and who asked for no message yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use super::bulk::{List, Sql, numbers, one_of};
use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::ids::{Name, RecipientId, RecipientKey};
use crate::model::reply::{Intent, JudgedText};
use crate::model::time::Instant;

const TABLE: &str = "reply";

/// What a person wrote, and what it is taken for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reply {
    /// Its number.
    pub id: i64,
    /// The caller's id of the person.
    pub recipient: RecipientKey,
    /// The provider that it came through.
    pub provider: String,
    /// The campaign that it answers, where that is known.
    pub campaign: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Instant,
    /// What was written, on one line.
    pub text: String,
    /// Its most probable language, in BCP 47.
    pub language: String,
    /// The probability of that.
    pub language_probability: f64,
    /// What it is taken for: the most probable intent.
    pub intent: Intent,
    /// The probability of that.
    pub probability: f64,
    /// The probability that it asks for no more messages.
    pub stop_probability: f64,
    /// The intent as a person told it.
    pub label: Option<Intent>,
    /// When that was told.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub labelled_at: Option<Instant>,
    /// Whether somebody should look at it.
    pub needs_human: bool,
}

/// What a person wrote, before it is kept.
#[derive(Debug, Clone)]
pub struct NewReply {
    /// How the provider calls it.
    pub message: String,
    /// Who wrote.
    pub recipient: RecipientId,
    /// The campaign that it answers, where that is known.
    pub campaign: Option<i64>,
    /// When.
    pub received_at: Instant,
    /// What.
    pub text: String,
    /// What it is taken for.
    pub judged: JudgedText,
    /// Whether somebody should look at it.
    pub needs_human: bool,
}

/// Which replies are meant.
#[derive(Debug, Clone, Default)]
pub struct ReplyFilter {
    /// Only those of this intent: the label, else what it is taken for.
    pub intent: Option<Intent>,
    /// Only those to this campaign.
    pub campaign: Option<Name>,
    /// Only those received at or after this.
    pub since: Option<Instant>,
    /// Only those at which somebody should look.
    pub needs_human: bool,
}

/// How many replies of an intent came to a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyCount {
    /// The campaign, where one is known.
    pub campaign: Option<String>,
    /// The label, else what they are taken for.
    pub intent: Intent,
    /// How many since the time that was asked for.
    pub replies: u64,
    /// How many in the 24 hours before now.
    pub last_day: u64,
    /// How many in the 24 hours before those.
    pub day_before: u64,
}

from_row! {
    struct ReplySql {
        id: i64,
        recipient: String,
        provider: String,
        campaign: Option<String>,
        received_at: i64,
        text: String,
        language: String,
        language_probability: f64,
        intent: String,
        probability: f64,
        stop_probability: f64,
        label: Option<String>,
        labelled_at: Option<i64>,
        needs_human: bool,
    }
}

impl TryFrom<ReplySql> for Reply {
    type Error = StoreError;

    fn try_from(row: ReplySql) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            recipient: parsed("recipient", &row.recipient)?,
            provider: row.provider,
            campaign: row.campaign,
            received_at: instant(TABLE, row.received_at)?,
            text: row.text,
            language: row.language,
            language_probability: row.language_probability,
            intent: parsed(TABLE, &row.intent)?,
            probability: row.probability,
            stop_probability: row.stop_probability,
            label: row.label.map(|label| parsed(TABLE, &label)).transpose()?,
            labelled_at: row.labelled_at.map(|at| instant(TABLE, at)).transpose()?,
            needs_human: row.needs_human,
        })
    }
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT p.id, r.key AS recipient, p.provider, c.name AS campaign, p.received_at, p.text,
                p.language, p.language_probability, p.intent, p.probability, p.stop_probability,
                p.label, p.labelled_at, p.needs_human
            FROM reply p JOIN recipient r ON r.id = p.recipient
                LEFT JOIN campaign c ON c.id = p.campaign ",
            $end
        )
    };
}

const BY_ID: &str = select!("WHERE p.id = $1");

const LIST: &str = select!(
    "WHERE p.id < $1 AND ($2 = '' OR COALESCE(p.label, p.intent) = $2)
        AND ($3 = '' OR c.name = $3) AND p.received_at >= $4 AND (NOT $5 OR p.needs_human)
    ORDER BY p.id DESC LIMIT $6"
);

type Counted = (Option<String>, String, i64, i64, i64);

const COUNTS: &str =
    "SELECT (SELECT name FROM campaign c WHERE c.id = s.campaign), s.intent, s.replies,
        s.last_day, s.day_before FROM (
    SELECT campaign, COALESCE(label, intent) AS intent,
        COUNT(CASE WHEN received_at >= $2 THEN 1 END) AS replies,
        COUNT(CASE WHEN received_at >= $3 THEN 1 END) AS last_day,
        COUNT(CASE WHEN received_at >= $4 AND received_at < $3 THEN 1 END) AS day_before
    FROM reply WHERE received_at >= $1 AND received_at <= $5
    GROUP BY campaign, COALESCE(label, intent)) AS s";

const WAITING: &str = "SELECT COUNT(*) FROM reply WHERE needs_human";

const LABEL_STATE: &str = "SELECT COUNT(*), MAX(labelled_at),
    CAST(COALESCE(SUM(id * LENGTH(label)), 0) AS BIGINT) FROM reply WHERE labelled_at IS NOT NULL";

/// The last labels, which are learned from: more would make each training slower, and old ones tell
/// less of how people write today.
const LABELS: &str = "SELECT text, label FROM reply WHERE labelled_at IS NOT NULL
    ORDER BY labelled_at DESC, id DESC LIMIT 2000";

const PAUSES: &str = "SELECT recipient, paused_until FROM reply_pause WHERE paused_until > $1";

const PAUSES_OF: Sql = one_of!(
    "SELECT recipient, paused_until FROM reply_pause WHERE paused_until > $1 AND recipient",
    "$2",
    ""
);

const ANSWERED: Sql = one_of!(
    "SELECT d.provider_message, d.campaign FROM delivery d JOIN campaign c ON c.id = d.campaign
    WHERE c.provider = $1 AND d.provider_message",
    "$2",
    ""
);

const LAST_SENT: Sql = one_of!(
    "SELECT d.recipient, d.campaign, d.sent_at FROM delivery d JOIN campaign c ON c.id = d.campaign
    WHERE c.provider = $1 AND d.sent_at >= $2 AND d.recipient",
    "$3",
    " ORDER BY d.sent_at DESC"
);

const ADD: &str = "INSERT INTO reply (id, provider, provider_message, recipient, campaign,
        received_at, text, language, language_probability, intent, probability, stop_probability,
        needs_human)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (provider, provider_message) DO NOTHING";

const LABEL: &str =
    "UPDATE reply SET label = $2, labelled_at = $3, needs_human = FALSE WHERE id = $1";

const PAUSE: &str = "INSERT INTO reply_pause (recipient, reply, paused_until) VALUES ($1, $2, $3)
    ON CONFLICT (recipient) DO UPDATE
    SET reply = excluded.reply, paused_until = excluded.paused_until
    WHERE reply_pause.paused_until < excluded.paused_until";

const END_PAUSE: &str = "DELETE FROM reply_pause WHERE reply = $1";

const END_PAUSES: &str = "DELETE FROM reply_pause WHERE paused_until <= $1";

impl Reader {
    /// The reply with a number.
    pub async fn reply(&mut self, id: i64) -> Result<Option<Reply>, StoreError> {
        let row: Option<ReplySql> =
            on!(self, |db| sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await)
                .doing("read a reply")?;
        row.map(Reply::try_from).transpose()
    }

    /// Up to `limit` replies before the one with the number `before`, the newest first.
    pub async fn replies(
        &mut self,
        filter: &ReplyFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Reply>, StoreError> {
        let rows: Vec<ReplySql> = on!(self, |db| sqlx::query_as(LIST)
            .bind(before.unwrap_or(i64::MAX))
            .bind(filter.intent.map_or("", Intent::as_str))
            .bind(filter.campaign.as_ref().map_or("", Name::as_str))
            .bind(filter.since.map_or(i64::MIN, micros))
            .bind(filter.needs_human)
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("list replies")?;
        rows.into_iter().map(Reply::try_from).collect()
    }

    /// How many replies came since a time and until now, by campaign and intent.
    pub async fn reply_counts(
        &mut self,
        since: Instant,
        now: Instant,
    ) -> Result<Vec<ReplyCount>, StoreError> {
        let day = TimeDelta::days(1);
        let (last_day, day_before) = (now - day, now - day - day);
        let rows: Vec<Counted> = on!(self, |db| sqlx::query_as(COUNTS)
            .bind(micros(since.min(day_before)))
            .bind(micros(since))
            .bind(micros(last_day))
            .bind(micros(day_before))
            .bind(micros(now))
            .fetch_all(db)
            .await)
        .doing("count replies")?;
        let count = |(campaign, intent, replies, last_day, day_before): Counted| {
            let intent = parsed(TABLE, &intent)?;
            let [replies, last_day, day_before] =
                [replies, last_day, day_before].map(|count| count as u64);
            Ok(ReplyCount { campaign, intent, replies, last_day, day_before })
        };
        rows.into_iter().map(count).collect()
    }

    /// At how many replies somebody should look.
    pub async fn waiting_replies(&mut self) -> Result<u64, StoreError> {
        let count: i64 = on!(self, |db| sqlx::query_scalar(WAITING).fetch_one(db).await)
            .doing("count replies that wait")?;
        Ok(count as u64)
    }

    /// The last texts that people labelled, the newest first; read anew where a label changed since.
    pub async fn labelled_texts(&mut self) -> Result<Arc<Vec<(String, Intent)>>, StoreError> {
        const DOING: &str = "read labels of replies";
        let state = on!(self, |db| sqlx::query_as(LABEL_STATE).fetch_one(db).await).doing(DOING)?;
        if let Some(labels) = self.labels.get(state) {
            return Ok(labels);
        }
        let rows: Vec<(String, String)> =
            on!(self, |db| sqlx::query_as(LABELS).fetch_all(db).await).doing(DOING)?;
        let labels = rows.into_iter().map(|(text, label)| Ok((text, parsed(TABLE, &label)?)));
        let labels = Arc::new(labels.collect::<Result<_, StoreError>>()?);
        self.labels.keep(state, &labels);
        Ok(labels)
    }

    /// Who of the people asked for no message before a time that is still to come; of everybody
    /// without `people`.
    pub async fn reply_pauses(
        &mut self,
        people: Option<&[RecipientId]>,
        now: Instant,
    ) -> Result<HashMap<RecipientId, Instant>, StoreError> {
        let of = self.text(PAUSES_OF);
        let rows: Vec<(i64, i64)> = on!(self, |db| match people {
            Some(people) =>
                sqlx::query_as(of).bind(micros(now)).bind(numbers(people)).fetch_all(db).await,
            None => sqlx::query_as(PAUSES).bind(micros(now)).fetch_all(db).await,
        })
        .doing("read who asked to wait")?;
        let pause = |(id, until): (i64, i64)| Ok((RecipientId(id), instant("reply_pause", until)?));
        rows.into_iter().map(pause).collect()
    }

    /// The campaigns whose messages of a provider are called so.
    pub async fn campaigns_of_messages(
        &mut self,
        provider: &Name,
        messages: Vec<String>,
    ) -> Result<HashMap<String, i64>, StoreError> {
        if messages.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = self.text(ANSWERED);
        let rows: Vec<(String, i64)> = on!(self, |db| sqlx::query_as(sql)
            .bind(provider.as_str())
            .bind(List(messages))
            .fetch_all(db)
            .await)
        .doing("look up what replies answer")?;
        Ok(rows.into_iter().collect())
    }

    /// What a provider sent to people since `since`: campaign and time, the newest first.
    pub async fn last_sent(
        &mut self,
        provider: &Name,
        people: &[RecipientId],
        since: Instant,
    ) -> Result<HashMap<RecipientId, Vec<(i64, Instant)>>, StoreError> {
        let mut found: HashMap<RecipientId, Vec<(i64, Instant)>> = HashMap::new();
        if people.is_empty() {
            return Ok(found);
        }
        let sql = self.text(LAST_SENT);
        let rows: Vec<(i64, i64, i64)> = on!(self, |db| sqlx::query_as(sql)
            .bind(provider.as_str())
            .bind(micros(since))
            .bind(numbers(people))
            .fetch_all(db)
            .await)
        .doing("look up what people were sent")?;
        for (person, campaign, at) in rows {
            let sent = (campaign, instant("delivery", at)?);
            found.entry(RecipientId(person)).or_default().push(sent);
        }
        Ok(found)
    }
}

impl Tx {
    /// Keeps what people wrote, once; those that are new, with their numbers. Nothing is kept of a
    /// person who was forgotten meanwhile.
    pub async fn add_replies(
        &mut self,
        provider: &Name,
        replies: &[NewReply],
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        let people: BTreeSet<RecipientId> = replies.iter().map(|reply| reply.recipient).collect();
        let known = self.keep_people(&Vec::from_iter(people)).await?;
        let replies: Vec<_> = replies.iter().filter(|r| known.contains(&r.recipient)).collect();
        let mut new = BTreeMap::new();
        if replies.is_empty() {
            return Ok(new);
        }
        let first = self.take_numbers(TABLE, replies.len()).await?;
        for (id, reply) in (first..).zip(replies) {
            let judged = &reply.judged;
            let rows = on!(self, |db| sqlx::query(ADD)
                .bind(id)
                .bind(provider.as_str())
                .bind(&reply.message)
                .bind(reply.recipient.0)
                .bind(reply.campaign)
                .bind(micros(reply.received_at))
                .bind(&reply.text)
                .bind(judged.language)
                .bind(judged.language_probability)
                .bind(judged.intent.as_str())
                .bind(judged.probability)
                .bind(judged.stop)
                .bind(reply.needs_human)
                .execute(db)
                .await
                .map(|done| done.rows_affected()))
            .doing("keep what a person wrote")?;
            if rows > 0 {
                new.insert(reply.message.clone(), id);
            }
        }
        Ok(new)
    }

    /// Notes the intent of a reply as a person told it; nobody needs to look at it any more.
    pub async fn label_reply(
        &mut self,
        id: i64,
        label: Intent,
        now: Instant,
    ) -> Result<(), StoreError> {
        run!(self, LABEL, id, label.as_str(), micros(now)).doing("label a reply").map(drop)
    }

    /// Notes until when people asked for no message, each by a reply; the later end counts.
    pub async fn pause_people(
        &mut self,
        pauses: &[(RecipientId, i64, Instant)],
    ) -> Result<(), StoreError> {
        for (person, reply, until) in pauses {
            run!(self, PAUSE, person.0, *reply, micros(*until)).doing("note who asked to wait")?;
        }
        Ok(())
    }

    /// Ends the pauses that a reply brought: it did not mean that.
    pub async fn end_reply_pause(&mut self, reply: i64) -> Result<(), StoreError> {
        run!(self, END_PAUSE, reply).doing("end a pause").map(drop)
    }

    /// Forgets pauses that are over.
    pub async fn drop_reply_pauses(&mut self, now: Instant) -> Result<u64, StoreError> {
        run!(self, END_PAUSES, micros(now)).doing("drop pauses that are over")
    }
}
