//! The versions of what was learned, and which of them is in use.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Ctx, audit};
use crate::model::time::Instant;
use crate::store::{ModelRow, StoreError};

/// A version of the model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelVersion {
    /// Its number, from 1.
    pub version: i64,
    /// Whether plans go by it.
    pub active: bool,
    /// When it was fitted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Instant,
    /// What came later is not in it.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Instant,
    /// Its data, settings and figures on held-out history.
    #[schema(value_type = Object)]
    pub summary: Value,
}

impl From<ModelRow> for ModelVersion {
    fn from(row: ModelRow) -> Self {
        let summary = serde_json::from_str(&row.summary).unwrap_or_default();
        let ModelRow { version, active, created_at, as_of, .. } = row;
        Self { version, active, created_at, as_of, summary }
    }
}

/// All versions, the oldest first.
pub async fn list(ctx: &Ctx) -> Result<Vec<ModelVersion>, StoreError> {
    let rows = ctx.store.read().await?.models().await?;
    Ok(rows.into_iter().map(ModelVersion::from).collect())
}

/// Puts an earlier version in use, and notes who did; false when there is no such version.
pub async fn roll_back(ctx: &Ctx, version: i64, actor: &str) -> Result<bool, StoreError> {
    let mut tx = ctx.store.begin().await?;
    if !tx.use_model(version).await? {
        return Ok(false);
    }
    audit::note(ctx, &mut tx, actor, "roll back", &format!("model {version}"), "").await?;
    tx.commit().await?;
    Ok(true)
}
