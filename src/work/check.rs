//! A campaign looked at before it is launched: what would be planned now, and what is probably not meant.

use serde::Serialize;
use utoipa::ToSchema;

use super::campaigns::{self, SubmitError};
use super::occurrences;
use super::plan::{self, CampaignPlan, PlanError, PlanInputs, Summary};
use super::{Ctx, fits};
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
}

/// Checks a campaign file and plans it on a copy of what is stored.
pub async fn check(ctx: &Ctx, source: &str) -> Result<Checked, CheckError> {
    let campaign = campaigns::check(ctx, source).await?;
    if campaign.trigger.is_none() {
        return Ok(planned(ctx, source, |_| ()).await?.1);
    }
    let mut warnings: Vec<String> =
        campaigns::left_out(ctx, &campaign).await?.into_iter().collect();
    warnings.extend(fits::warning(ctx, &campaign));
    let (upcoming, more) = occurrences::upcoming(ctx, &campaign).await?;
    warnings.extend(more);
    Ok(Checked { name: campaign.name, stored: false, plan: None, upcoming, warnings })
}

/// The same, with the campaign and what its plan is made of; `step` is told what is being done.
pub(super) async fn planned(
    ctx: &Ctx,
    source: &str,
    step: impl Fn(&'static str),
) -> Result<(Campaign, Checked, PlanInputs, CampaignPlan), CheckError> {
    step("reading the campaign");
    let campaign = campaigns::check(ctx, source).await?;
    if campaign.trigger.is_some() {
        let told = "trigger: such a campaign is planned run by run, as its occasions come into reach; \
            `campaign check` counts them, and each run shows what it does";
        return Err(SubmitError::Unfit(told.to_owned()).into());
    }
    step("counting people");
    let left_out = campaigns::left_out(ctx, &campaign).await?.into_iter();
    let warnings = left_out.chain(fits::warning(ctx, &campaign)).collect();
    step("planning");
    let (inputs, plan) = plan::forecast(ctx, campaign.clone()).await?;
    let (name, summary) = (campaign.name.clone(), Some(plan.summary()));
    let checked = Checked { name, stored: false, plan: summary, upcoming: None, warnings };
    Ok((campaign, checked, inputs, plan))
}

/// Checks a campaign file and stores it.
pub async fn submit(ctx: &Ctx, source: &str, actor: &str) -> Result<Checked, SubmitError> {
    let name = campaigns::submit(ctx, source, actor).await?.name;
    Ok(Checked { name, stored: true, plan: None, upcoming: None, warnings: Vec::new() })
}
