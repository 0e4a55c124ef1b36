//! What is known of a provider's side: media that were handed over, templates, alerts, and what
//! people wrote until an endpoint of the user's own was told.

use sqlx::QueryBuilder;

use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, parsed, run};
use crate::model::content::{Category, word_type};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;

word_type! {
    /// How far a template is trusted.
    Stage, "stage", "one of canary, open, parked" {
        /// A few messages go first, and their fate is waited for.
        Canary = "canary",
        /// Everybody gets it.
        Open = "open",
        /// Nobody gets it.
        Parked = "parked",
    }
}

/// A template as dispatch knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRow {
    /// Its name.
    pub template: String,
    /// Its language, or nothing.
    pub language: String,
    /// How far it is trusted.
    pub stage: Stage,
    /// Messages that may go while it is tried.
    pub remaining: u64,
    /// Of the first messages those that were taken.
    pub accepted: u64,
    /// Why it is where it is.
    pub reason: String,
    /// The category that the channel put it in, where it said so.
    pub category: Option<Category>,
    /// Since when.
    pub changed_at: Instant,
}

/// What people should know of a provider's account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Alert {
    /// Which provider.
    pub provider: String,
    /// The channel's code.
    pub code: String,
    /// What to do.
    pub what: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
}

/// A message that an endpoint of the user's own is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRow {
    /// How the provider calls it.
    pub id: String,
    /// JSON.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it came.
    pub added_at: Instant,
}

from_row! {
    struct TemplateSql {
        template: String,
        language: String,
        stage: String,
        room: i64,
        accepted: i64,
        reason: String,
        category: Option<String>,
        changed_at: i64,
    }
}

const TEMPLATES: &str = "SELECT template, language, stage, room, accepted, reason, category,
        changed_at
    FROM provider_template WHERE provider = $1 ORDER BY template, language";

const ADD_TEMPLATE: &str = "INSERT INTO provider_template
        (provider, template, language, stage, room, reason, changed_at)
    VALUES ($1, $2, $3, $4, $5, 'new', $6) ON CONFLICT DO NOTHING";

/// In a stage by the channel's word of some time; an older word changes nothing.
const TELL_TEMPLATE: &str = "INSERT INTO provider_template
        (provider, template, language, stage, room, reason, changed_at, told_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (provider, template, language) DO UPDATE
    SET stage = excluded.stage, room = excluded.room, accepted = 0, reason = excluded.reason,
        changed_at = excluded.changed_at, told_at = excluded.told_at
    WHERE provider_template.told_at <= excluded.told_at";

const TELL_CATEGORY: &str = "INSERT INTO provider_template
        (provider, template, language, stage, room, reason, changed_at, category, category_at)
    VALUES ($1, $2, $3, $4, $5, 'new', $6, $7, $8)
    ON CONFLICT (provider, template, language) DO UPDATE
    SET category = excluded.category, category_at = excluded.category_at
    WHERE provider_template.category_at <= excluded.category_at";

const USE_CANARY: &str = "UPDATE provider_template SET room = room - $4, changed_at = $5
    WHERE provider = $1 AND template = $2 AND language = $3 AND stage = 'canary'";

const SETTLE_CANARY: &str = "UPDATE provider_template SET room = room + $4,
        accepted = accepted + $5, changed_at = $6
    WHERE provider = $1 AND template = $2 AND language = $3 AND stage = 'canary'";

const OPEN_TEMPLATE: &str = "UPDATE provider_template SET stage = 'open', changed_at = $4
    WHERE provider = $1 AND template = $2 AND language = $3 AND stage = 'canary'";

const ADD_INBOUND: &str = "INSERT INTO inbound
        (id, provider, recipient, body, attempts, due_at, added_at)
    VALUES ($1, $2, $3, $4, 0, $5, $5) ON CONFLICT DO NOTHING";

impl Reader {
    /// How the provider knows a file that was handed over after `since`.
    pub async fn media_handle(
        &mut self,
        provider: &Name,
        url: &str,
        since: Instant,
    ) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT handle FROM provider_media
            WHERE provider = $1 AND url = $2 AND uploaded_at > $3";
        on!(self, |db| sqlx::query_scalar(SQL)
            .bind(provider.as_str())
            .bind(url)
            .bind(micros(since))
            .fetch_optional(db)
            .await)
        .doing("look for media that were handed over")
    }

    /// The templates of a provider that were ever sent or spoken of.
    pub async fn templates(&mut self, provider: &Name) -> Result<Vec<TemplateRow>, StoreError> {
        let rows: Vec<TemplateSql> =
            on!(self, |db| sqlx::query_as(TEMPLATES).bind(provider.as_str()).fetch_all(db).await)
                .doing("read templates")?;
        rows.into_iter().map(TemplateSql::into_model).collect()
    }

    /// Everything that people should know of providers' accounts, and that is not over at `now`.
    pub async fn alerts(&mut self, now: Instant) -> Result<Vec<Alert>, StoreError> {
        const SQL: &str = "SELECT provider, code, what, at FROM provider_alert
            WHERE what <> '' AND (until_at IS NULL OR until_at > $1) ORDER BY at";
        let rows: Vec<(String, String, String, i64)> =
            on!(self, |db| sqlx::query_as(SQL).bind(micros(now)).fetch_all(db).await)
                .doing("read alerts")?;
        let alert = |(provider, code, what, at): (String, String, String, i64)| {
            Ok(Alert { provider, code, what, at: instant("provider_alert", at)? })
        };
        rows.into_iter().map(alert).collect()
    }

    /// What an endpoint of the user's own is to be told at `now`, oldest first.
    pub async fn inbound_due(
        &mut self,
        provider: &Name,
        now: Instant,
        limit: usize,
    ) -> Result<Vec<InboundRow>, StoreError> {
        const SQL: &str = "SELECT id, body, attempts, added_at FROM inbound
            WHERE provider = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3";
        let rows: Vec<(String, String, i64, i64)> = on!(self, |db| sqlx::query_as(SQL)
            .bind(provider.as_str())
            .bind(micros(now))
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("read what people wrote")?;
        let row = |(id, body, attempts, added_at): (String, String, i64, i64)| {
            let added_at = instant("inbound", added_at)?;
            Ok(InboundRow { id, body, attempts: attempts as u32, added_at })
        };
        rows.into_iter().map(row).collect()
    }
}

impl Reader {
    /// Whether anything came back early.
    pub async fn any_early(&mut self) -> Result<bool, StoreError> {
        let one: Option<i32> =
            on!(self, |db| sqlx::query_scalar("SELECT 1 FROM early_update LIMIT 1")
                .fetch_optional(db)
                .await)
            .doing("look for early updates")?;
        Ok(one.is_some())
    }
}

/// Where a template begins of which so many messages go first.
fn first_stage(first: u32) -> Stage {
    if first == 0 { Stage::Open } else { Stage::Canary }
}

impl TemplateSql {
    fn into_model(self) -> Result<TemplateRow, StoreError> {
        const TABLE: &str = "provider_template";
        Ok(TemplateRow {
            template: self.template,
            language: self.language,
            stage: parsed(TABLE, &self.stage)?,
            remaining: self.room.max(0) as u64,
            accepted: self.accepted.max(0) as u64,
            reason: self.reason,
            category: self.category.map(|text| parsed(TABLE, &text)).transpose()?,
            changed_at: instant(TABLE, self.changed_at)?,
        })
    }
}

impl Tx {
    /// Keeps how the provider knows a file.
    pub async fn put_media_handle(
        &mut self,
        provider: &Name,
        url: &str,
        handle: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO provider_media (provider, url, handle, uploaded_at)
            VALUES ($1, $2, $3, $4) ON CONFLICT (provider, url) DO UPDATE
            SET handle = excluded.handle, uploaded_at = excluded.uploaded_at";
        on!(self, |db| sqlx::query(SQL)
            .bind(provider.as_str())
            .bind(url)
            .bind(handle)
            .bind(micros(now))
            .execute(db)
            .await
            .map(drop))
        .doing("keep how media are known")
    }

    /// Drops a file's handle that is of no use any more.
    pub async fn drop_media_handle(
        &mut self,
        provider: &Name,
        url: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM provider_media WHERE provider = $1 AND url = $2";
        on!(self, |db| sqlx::query(SQL)
            .bind(provider.as_str())
            .bind(url)
            .execute(db)
            .await
            .map(drop))
        .doing("drop how media are known")
    }

    /// Adds a template that nobody has sent yet: a few messages go first, or all.
    pub async fn add_template(
        &mut self,
        provider: &Name,
        template: &str,
        language: &str,
        first: u32,
        now: Instant,
    ) -> Result<(), StoreError> {
        let stage = first_stage(first).as_str();
        let (provider, first) = (provider.as_str(), i64::from(first));
        run!(self, ADD_TEMPLATE, provider, template, language, stage, first, micros(now))
            .doing("note a new template")
            .map(drop)
    }

    /// Parks a template by a word of `told_at`; false when a later word is known.
    pub async fn park_template(
        &mut self,
        provider: &Name,
        (template, language): (&str, &str),
        reason: &str,
        (told_at, now): (Instant, Instant),
    ) -> Result<bool, StoreError> {
        let (provider, stage) = (provider.as_str(), Stage::Parked.as_str());
        let (told_at, now) = (micros(told_at), micros(now));
        run!(self, TELL_TEMPLATE, provider, template, language, stage, 0_i64, reason, now, told_at)
            .doing("park a template")
            .map(|rows| rows > 0)
    }

    /// Begins a template anew by a word of `told_at`; false when a later word is known.
    pub async fn restart_template(
        &mut self,
        provider: &Name,
        (template, language): (&str, &str),
        first: u32,
        (told_at, now): (Instant, Instant),
    ) -> Result<bool, StoreError> {
        let (provider, stage) = (provider.as_str(), first_stage(first).as_str());
        let (told_at, now, first) = (micros(told_at), micros(now), i64::from(first));
        run!(
            self,
            TELL_TEMPLATE,
            provider,
            template,
            language,
            stage,
            first,
            "approved",
            now,
            told_at
        )
        .doing("begin a template anew")
        .map(|rows| rows > 0)
    }

    /// Notes the category that a channel put a template in; false when a later word is known.
    pub async fn put_template_category(
        &mut self,
        provider: &Name,
        (template, language): (&str, &str),
        first: u32,
        category: Option<Category>,
        (told_at, now): (Instant, Instant),
    ) -> Result<bool, StoreError> {
        let (provider, stage) = (provider.as_str(), first_stage(first).as_str());
        let (told_at, now, first) = (micros(told_at), micros(now), i64::from(first));
        let category = category.map(Category::as_str);
        run!(
            self,
            TELL_CATEGORY,
            provider,
            template,
            language,
            stage,
            first,
            now,
            category,
            told_at
        )
        .doing("note a template's category")
        .map(|rows| rows > 0)
    }

    /// Reserves first messages of a template that is tried.
    pub async fn use_canary(
        &mut self,
        provider: &Name,
        template: &str,
        language: &str,
        messages: u64,
        now: Instant,
    ) -> Result<(), StoreError> {
        let (provider, messages) = (provider.as_str(), messages as i64);
        run!(self, USE_CANARY, provider, template, language, messages, micros(now))
            .doing("reserve a template's first messages")
            .map(drop)
    }

    /// Gives back first messages that were not called, and counts those that were taken.
    pub async fn settle_canary(
        &mut self,
        provider: &Name,
        template: &str,
        language: &str,
        (returned, accepted): (u64, u64),
        now: Instant,
    ) -> Result<(), StoreError> {
        let (provider, returned, accepted) = (provider.as_str(), returned as i64, accepted as i64);
        run!(self, SETTLE_CANARY, provider, template, language, returned, accepted, micros(now))
            .doing("settle a template's first messages")
            .map(drop)
    }

    /// Opens a template that is tried; false when it is not any more.
    pub async fn open_template(
        &mut self,
        provider: &Name,
        template: &str,
        language: &str,
        now: Instant,
    ) -> Result<bool, StoreError> {
        run!(self, OPEN_TEMPLATE, provider.as_str(), template, language, micros(now))
            .doing("open a template")
            .map(|rows| rows > 0)
    }

    /// Tells people something of a provider's account, under a key of what it speaks of. The latest
    /// word of a key counts, by its own time; an empty one answers those before it. With `until` it
    /// is over then by itself.
    pub async fn put_alert(
        &mut self,
        provider: &Name,
        key: &str,
        what: &str,
        (at, until): (Instant, Option<Instant>),
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO provider_alert (provider, code, what, at, until_at)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (provider, code) DO UPDATE
            SET what = excluded.what, at = excluded.at, until_at = excluded.until_at
            WHERE provider_alert.at <= excluded.at";
        run!(self, SQL, provider.as_str(), key, what, micros(at), until.map(micros))
            .doing("raise an alert")
            .map(|rows| rows > 0)
    }

    /// Takes a provider's alerts as seen to.
    pub async fn clear_alerts(&mut self, provider: &Name) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM provider_alert WHERE provider = $1";
        on!(self, |db| sqlx::query(SQL).bind(provider.as_str()).execute(db).await.map(drop))
            .doing("clear alerts")
    }

    /// Keeps what came back before the call that it answers was settled.
    pub async fn add_early(
        &mut self,
        bodies: &[String],
        first_at: Instant,
        now: Instant,
    ) -> Result<(), StoreError> {
        for chunk in bodies.chunks(super::ROWS_PER_STATEMENT) {
            on!(self, |db| {
                let mut query =
                    QueryBuilder::new("INSERT INTO early_update (body, first_at, tried_at) ");
                query.push_values(chunk, |mut row, body| {
                    row.push_bind(body).push_bind(micros(first_at)).push_bind(micros(now));
                });
                query.push(" ON CONFLICT DO NOTHING");
                query.build().execute(db).await.map(drop)
            })
            .doing("keep early updates")?;
        }
        Ok(())
    }

    /// Takes out what came back early, what was tried longest ago first; with when it came.
    pub async fn take_early(&mut self, limit: usize) -> Result<Vec<(String, Instant)>, StoreError> {
        const SQL: &str = "DELETE FROM early_update WHERE body IN
            (SELECT body FROM early_update ORDER BY tried_at LIMIT $1) RETURNING body, first_at";
        let rows: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(SQL).bind(limit as i64).fetch_all(db).await)
                .doing("take out early updates")?;
        rows.into_iter().map(|(body, at)| Ok((body, instant("early_update", at)?))).collect()
    }

    /// Keeps what a person wrote until the endpoint was told; once.
    pub async fn add_inbound(
        &mut self,
        provider: &Name,
        id: &str,
        recipient: Option<RecipientId>,
        body: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        on!(self, |db| sqlx::query(ADD_INBOUND)
            .bind(id)
            .bind(provider.as_str())
            .bind(recipient.map(|id| id.0))
            .bind(body)
            .bind(micros(now))
            .execute(db)
            .await
            .map(drop))
        .doing("keep what a person wrote")
    }

    /// Drops what the endpoint was told, or puts it off until `again_at`.
    pub async fn settle_inbound(
        &mut self,
        id: &str,
        again_at: Option<Instant>,
    ) -> Result<(), StoreError> {
        const AGAIN: &str = "UPDATE inbound SET attempts = attempts + 1, due_at = $2 WHERE id = $1";
        const DROP: &str = "DELETE FROM inbound WHERE id = $1";
        on!(self, |db| match again_at {
            Some(at) => sqlx::query(AGAIN).bind(id).bind(micros(at)).execute(db).await.map(drop),
            None => sqlx::query(DROP).bind(id).execute(db).await.map(drop),
        })
        .doing("note what the endpoint was told")
    }
}
