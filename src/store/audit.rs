//! Who did what.

use super::{Doing, Reader, StoreError, Tx, instant, micros, on};
use crate::model::time::Instant;

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// Who: a person at the command line, a token, a provider.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it.
    pub detail: String,
}

impl Reader {
    /// Up to `limit` things that were done before the one with the number `before`, newest first;
    /// each with its number.
    pub async fn audit(
        &mut self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        const SQL: &str = "SELECT id, at, actor, action, subject, detail FROM audit
            WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let rows: Vec<(i64, i64, String, String, String, String)> =
            on!(self, |db| sqlx::query_as(SQL)
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit as i64)
                .fetch_all(db)
                .await)
            .doing("read the audit trail")?;
        rows.into_iter()
            .map(|(id, at, actor, action, subject, detail)| {
                let at = instant("audit", at)?;
                Ok((id, AuditEntry { at, actor, action, subject, detail }))
            })
            .collect()
    }
}

impl Tx {
    /// Notes what somebody did.
    pub async fn note_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit (id, at, actor, action, subject, detail)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let id = self.take_numbers("audit", 1).await?;
        on!(self, |db| sqlx::query(SQL)
            .bind(id)
            .bind(micros(entry.at))
            .bind(&entry.actor)
            .bind(&entry.action)
            .bind(&entry.subject)
            .bind(&entry.detail)
            .execute(db)
            .await
            .map(drop))
        .doing("note what was done")
    }
}
