//! A campaign looked at before it is launched: what would be planned now, and what is probably not meant.

use serde::Serialize;
use utoipa::ToSchema;

use super::campaigns::{self, SubmitError};
use super::fallbacks::{self, FallbackOutlook};
use super::occurrences;
use super::plan::{self, CampaignPlan, PlanError, PlanInputs, Summary};
use super::{Ctx, fits, templates};
use crate::model::campaign::Campaign;
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
    /// What would be planned now; a standing campaign is planned as its occasions come into reach.
    pub plan: Option<Summary>,
    /// Of a standing campaign that waits for what happens to people: those to whom it happens in a way
    /// that they would be written to within the next 30 days, before any rule.
    pub upcoming: Option<u64>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
    /// Where the campaign goes on by other channels: what is expected to come to each.
    pub fallbacks: Vec<FallbackOutlook>,
}

/// Checks a campaign file and plans it on a copy of what is stored.
pub async fn check(ctx: &Ctx, source: &str) -> Result<Checked, CheckError> {
    let campaign = campaigns::check(ctx, source).await?;
    if campaign.trigger.is_none() {
        return Ok(planned(ctx, campaign, |_| ()).await?.0);
    }
    awaited(ctx, &campaign).await
}

/// What a standing campaign waits for; its runs are planned as occasions come into reach.
pub(super) async fn awaited(ctx: &Ctx, campaign: &Campaign) -> Result<Checked, CheckError> {
    let mut warnings = warnings(ctx, campaign).await?;
    let (upcoming, more) = occurrences::upcoming(ctx, campaign).await?;
    warnings.extend(more);
    let name = campaign.name.clone();
    let fallbacks = fallbacks::outlook(ctx, campaign, None).await?;
    Ok(Checked { name, stored: false, plan: None, upcoming, warnings, fallbacks })
}

/// What a campaign with a window would do, and what its plan is made of; `step` is told what is being done.
pub(super) async fn planned(
    ctx: &Ctx,
    campaign: Campaign,
    step: impl Fn(&'static str),
) -> Result<(Checked, PlanInputs, CampaignPlan), CheckError> {
    step("counting people");
    let warnings = warnings(ctx, &campaign).await?;
    step("planning");
    let name = campaign.name.clone();
    let (inputs, plan) = plan::forecast(ctx, campaign.clone()).await?;
    let fallbacks = fallbacks::outlook(ctx, &campaign, Some(&plan.plan)).await?;
    let plan_told = Some(plan.summary());
    let checked =
        Checked { name, stored: false, plan: plan_told, upcoming: None, warnings, fallbacks };
    Ok((checked, inputs, plan))
}

/// What is allowed and probably not meant.
async fn warnings(ctx: &Ctx, campaign: &Campaign) -> Result<Vec<String>, CheckError> {
    let mut told: Vec<String> = campaigns::left_out(ctx, campaign).await?.into_iter().collect();
    for carried in std::iter::once(campaign.clone()).chain(campaign.carried_on()) {
        told.extend(fits::warning(ctx, &carried));
        told.extend(templates::problems(ctx, &carried).await.map_err(SubmitError::Store)?);
    }
    told.extend(fallbacks::warnings(ctx, campaign));
    Ok(told)
}

/// Checks a campaign file and stores it.
pub async fn submit(ctx: &Ctx, source: &str, actor: &str) -> Result<Checked, SubmitError> {
    let name = campaigns::submit(ctx, source, actor).await?.name;
    Ok(Checked {
        name,
        stored: true,
        plan: None,
        upcoming: None,
        warnings: Vec::new(),
        fallbacks: Vec::new(),
    })
}
