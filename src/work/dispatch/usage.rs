//! How much of the limits is used that a campaign's messages go out under.

use chrono::TimeDelta;

use super::admission::{
    CALLS_BUCKET, DAY, HOUR, PEOPLE_BUCKET, portfolio_account, told_limit, told_limit_mark,
};
use crate::model::time::truncated;
use crate::store::{CampaignRow, StoreError};
use crate::work::Ctx;
use crate::work::channel::number_account;

/// What was used of one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitUse {
    /// Of what, in words.
    pub what: &'static str,
    /// So much was used.
    pub used: f64,
    /// Of so much.
    pub most: u32,
}

/// What was used of a campaign's capacity and of its provider's limits. A rate is the mean of the last
/// minute over all campaigns that run through the provider.
pub async fn of_campaign(ctx: &Ctx, row: &CampaignRow) -> Result<Vec<LimitUse>, StoreError> {
    let now = ctx.clock.now();
    let name = &row.campaign.provider;
    let mut reader = ctx.store.read().await?;
    let mut used = Vec::new();
    if let Some(most) = row.campaign.capacity.per_hour {
        let sent = reader.sent_count(Some(row.id), truncated(now, HOUR)).await?;
        used.push(LimitUse {
            what: "of this campaign in this clock hour",
            used: sent as f64,
            most,
        });
    }
    let Some(config) = ctx.config.providers.get(name) else { return Ok(used) };
    let limits = config.limits;
    if let Some(most) = limits.per_second {
        let mut sent = 0;
        let open = reader.open_campaigns().await?.rows;
        for other in open.iter().filter(|other| other.campaign.provider == *name) {
            sent += reader.sent_count(Some(other.id), now - TimeDelta::minutes(1)).await?;
        }
        let what = "messages a second, mean of the last minute";
        used.push(LimitUse { what, used: sent as f64 / 60.0, most });
    }
    let (number, portfolio) = (number_account(name), portfolio_account(config));
    let since = [(&*number, now - HOUR - CALLS_BUCKET), (&*portfolio, now - DAY - PEOPLE_BUCKET)];
    let [calls, people] = reader.quotas_used(since).await?;
    let count = |used: Option<(u64, _)>| used.map_or(0, |(used, _)| used) as f64;
    if let Some(most) = limits.calls_per_hour {
        used.push(LimitUse { what: "calls of the last hour", used: count(calls), most });
    }
    if let Some(most) = limits.unique_per_day {
        let told = reader.mark(&told_limit_mark(&config.portfolio)).await?;
        let told = told_limit(told.as_deref()).and_then(|(limit, _)| limit);
        let most = told.map_or(most, |told| most.min(told));
        let what = "different people of the last 24 hours";
        used.push(LimitUse { what, used: count(people), most });
    }
    Ok(used)
}
