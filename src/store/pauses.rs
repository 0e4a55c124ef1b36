//! Providers, or single templates of theirs, that asked to wait.

use std::collections::HashSet;

use super::{Doing, Reader, StoreError, Tx, micros, on};
use crate::model::ids::Name;
use crate::model::time::Instant;

impl Reader {
    /// The templates of a provider that are asked for later than `now`; `""` is the whole provider.
    pub async fn paused(
        &mut self,
        provider: &Name,
        now: Instant,
    ) -> Result<HashSet<String>, StoreError> {
        const SQL: &str =
            "SELECT template FROM provider_pause WHERE provider = $1 AND paused_until > $2";
        let rows: Vec<String> = on!(self, |db| sqlx::query_scalar(SQL)
            .bind(provider.as_str())
            .bind(micros(now))
            .fetch_all(db)
            .await)
        .doing("read who asked to wait")?;
        Ok(rows.into_iter().collect())
    }
}

impl Tx {
    /// Notes that a provider (`""`) or one of its templates asked to wait; the later end counts.
    pub async fn pause_provider(
        &mut self,
        provider: &Name,
        template: &str,
        until: Instant,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO provider_pause (provider, template, paused_until)
            VALUES ($1, $2, $3) ON CONFLICT (provider, template) DO UPDATE
            SET paused_until = excluded.paused_until
            WHERE provider_pause.paused_until < excluded.paused_until";
        on!(self, |db| sqlx::query(SQL)
            .bind(provider.as_str())
            .bind(template)
            .bind(micros(until))
            .execute(db)
            .await
            .map(drop))
        .doing("note who asked to wait")
    }
}
