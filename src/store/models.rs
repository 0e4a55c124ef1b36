//! The versions of the model, one of which is in use: a single value says which.

use super::row::from_row;
use super::{Doing, Reader, StoreError, Tx, instant, micros, on, run};
use crate::model::time::Instant;

/// A version without its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// Its number, from 1.
    pub version: i64,
    /// When it was learned.
    pub created_at: Instant,
    /// Nothing later taught it.
    pub as_of: Instant,
    /// Whether it is in use.
    pub active: bool,
    /// Data range, settings and held-out figures, as JSON.
    pub summary: String,
}

from_row! {
    struct Row {
        version: i64,
        created_at: i64,
        as_of: i64,
        active: bool,
        summary: String,
    }
}

impl Reader {
    /// All versions, oldest first.
    pub async fn models(&mut self) -> Result<Vec<ModelRow>, StoreError> {
        const SQL: &str =
            "SELECT m.version, m.created_at, m.as_of, u.version IS NOT NULL AS active, m.summary
            FROM model AS m LEFT JOIN model_in_use AS u ON u.version = m.version
            ORDER BY m.version";
        let rows: Vec<Row> =
            on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await).doing("list models")?;
        let model = |row: Row| {
            Ok(ModelRow {
                version: row.version,
                created_at: instant("model", row.created_at)?,
                as_of: instant("model", row.as_of)?,
                active: row.active,
                summary: row.summary,
            })
        };
        rows.into_iter().map(model).collect()
    }

    /// The number of the version in use.
    pub async fn active_version(&mut self) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "SELECT version FROM model_in_use WHERE version IS NOT NULL";
        on!(self, |db| sqlx::query_scalar(SQL).fetch_optional(db).await).doing("find the model")
    }

    /// The parameters of a version, as JSON.
    pub async fn model_parameters(&mut self, version: i64) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT parameters FROM model WHERE version = $1";
        on!(self, |db| sqlx::query_scalar(SQL).bind(version).fetch_optional(db).await)
            .doing("read the model")
    }
}

impl Tx {
    /// Adds a version and puts it in use; returns its number.
    pub async fn add_model(
        &mut self,
        now: Instant,
        as_of: Instant,
        summary: &str,
        parameters: &str,
    ) -> Result<i64, StoreError> {
        const SQL: &str = "INSERT INTO model
            (version, created_at, as_of, summary, parameters) VALUES ($1, $2, $3, $4, $5)";
        let version = self.take_numbers("model", 1).await?;
        on!(self, |db| sqlx::query(SQL)
            .bind(version)
            .bind(micros(now))
            .bind(micros(as_of))
            .bind(summary)
            .bind(parameters)
            .execute(db)
            .await
            .map(drop))
        .doing("keep the model")?;
        self.use_model(version).await?;
        Ok(version)
    }

    /// Puts a version in use; false when there is no such version.
    pub async fn use_model(&mut self, version: i64) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE model_in_use SET version = $1
            WHERE EXISTS (SELECT 1 FROM model WHERE version = $1)";
        self.lock_model_in_use().await?;
        let changed = run!(self, SQL, version).doing("put a model in use")?;
        Ok(changed > 0)
    }

    /// Drops a version that is not in use.
    pub async fn drop_model(&mut self, version: i64) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM model WHERE version = $1
            AND NOT EXISTS (SELECT 1 FROM model_in_use WHERE version = $1)";
        self.lock_model_in_use().await?;
        run!(self, SQL, version).doing("drop a model").map(drop)
    }

    /// Has one transaction at a time change which version is in use. A statement of its own: the
    /// next one sees what the transaction before committed.
    async fn lock_model_in_use(&mut self) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE model_in_use SET version = version";
        run!(self, SQL).doing("lock which model is in use").map(drop)
    }
}
