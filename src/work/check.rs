//! A campaign looked at before it is launched: what would be planned now, and what is probably not meant.

use serde::Serialize;
use utoipa::ToSchema;

use super::Ctx;
use super::campaigns::{self, SubmitError};
use super::plan::{self, PlanError, Summary};
use crate::model::ids::Name;
use crate::store::StoreError;

/// Why a campaign cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl From<StoreError> for CheckError {
    fn from(error: StoreError) -> Self {
        Self::Submit(error.into())
    }
}

/// What a campaign would do, or that it is stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checked {
    /// Its name.
    pub name: Name,
    /// Whether it was submitted; else it was only looked at.
    pub stored: bool,
    /// What would be planned now.
    pub plan: Option<Summary>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// Checks a campaign file and plans it on a copy of what is stored.
pub async fn check(ctx: &Ctx, source: &str) -> Result<Checked, CheckError> {
    let campaign = campaigns::check(ctx, source).await?;
    let name = campaign.name.clone();
    let warnings = campaigns::left_out(ctx, &campaign).await?.into_iter().collect();
    let plan = Some(plan::forecast(ctx, campaign).await?.1.summary());
    Ok(Checked { name, stored: false, plan, warnings })
}

/// Checks a campaign file and stores it.
pub async fn submit(ctx: &Ctx, source: &str, actor: &str) -> Result<Checked, SubmitError> {
    let name = campaigns::submit(ctx, source, actor).await?.name;
    Ok(Checked { name, stored: true, plan: None, warnings: Vec::new() })
}
