//! Who did what, and who may use the API.

use super::{Doing, Reader, StoreError, Tx, instant, micros, on};
use crate::model::ids::Name;
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

/// A token for the API, without itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Instant,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Instant>,
}

type TokenSql = (String, String, i64, Option<i64>);

fn token((name, scopes, created_at, revoked_at): TokenSql) -> Result<TokenRow, StoreError> {
    const TABLE: &str = "api_token";
    Ok(TokenRow {
        name,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        created_at: instant(TABLE, created_at)?,
        revoked_at: revoked_at.map(|at| instant(TABLE, at)).transpose()?,
    })
}

impl Reader {
    /// The last `limit` things that were done, newest first.
    pub async fn audit(&mut self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        const SQL: &str = "SELECT at, actor, action, subject, detail FROM audit
            ORDER BY id DESC LIMIT $1";
        let rows: Vec<(i64, String, String, String, String)> =
            on!(self, |db| sqlx::query_as(SQL).bind(limit as i64).fetch_all(db).await)
                .doing("read the audit trail")?;
        rows.into_iter()
            .map(|(at, actor, action, subject, detail)| {
                Ok(AuditEntry { at: instant("audit", at)?, actor, action, subject, detail })
            })
            .collect()
    }

    /// The token with a hash that was not taken back.
    pub async fn token_by_hash(&mut self, hash: &str) -> Result<Option<TokenRow>, StoreError> {
        const SQL: &str = "SELECT name, scopes, created_at, revoked_at FROM api_token
            WHERE hash = $1 AND revoked_at IS NULL";
        let row: Option<TokenSql> =
            on!(self, |db| sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
                .doing("look up a token")?;
        row.map(token).transpose()
    }

    /// All tokens.
    pub async fn tokens(&mut self) -> Result<Vec<TokenRow>, StoreError> {
        const SQL: &str =
            "SELECT name, scopes, created_at, revoked_at FROM api_token ORDER BY name";
        let rows: Vec<TokenSql> =
            on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await).doing("list tokens")?;
        rows.into_iter().map(token).collect()
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

    /// Keeps a token's hash; false when its name is taken.
    pub async fn add_token(
        &mut self,
        name: &Name,
        hash: &str,
        scopes: &str,
        now: Instant,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO api_token (name, hash, scopes, created_at)
            VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let added = on!(self, |db| sqlx::query(SQL)
            .bind(name.as_str())
            .bind(hash)
            .bind(scopes)
            .bind(micros(now))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("keep a token")?;
        Ok(added > 0)
    }

    /// Takes a token back; false when there is none in use of that name.
    pub async fn revoke_token(&mut self, name: &Name, now: Instant) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE api_token SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL";
        let changed = on!(self, |db| sqlx::query(SQL)
            .bind(name.as_str())
            .bind(micros(now))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        .doing("take a token back")?;
        Ok(changed > 0)
    }
}
