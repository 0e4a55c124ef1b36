//! Loose ends: claims whose holder died, doubts that lasted too long, windows that are over,
//! messages that are late because the daemon was away.

use super::plan::{Back, lapse};
use super::{Ctx, Report, channel};
use crate::config::InDoubt;
use crate::model::content::Category;
use crate::model::delivery::{Reason, State};
use crate::store::{CampaignStatus, StoreError};

/// Longer than any limit looks back.
const LIMITS_KEPT: chrono::TimeDelta = chrono::TimeDelta::hours(26);

/// Ties them up.
pub async fn run(ctx: &Ctx) -> Result<Report, StoreError> {
    let now = ctx.clock.now();
    let mut done = 0;
    let mut tx = ctx.store.begin().await?;
    let lost = tx.rescue(now).await?;
    tx.commit().await?;
    if lost > 0 {
        tracing::warn!(lost, "claims of a daemon that died are in doubt now");
    }
    for row in ctx.store.read().await?.campaigns().await? {
        if row.status == CampaignStatus::Finished {
            continue;
        }
        let provider = ctx.config.providers.get(&row.campaign.provider);
        let mut tx = ctx.store.begin().await?;
        if let Some(grace) =
            provider.and_then(|p| chrono::TimeDelta::from_std(p.in_doubt_grace).ok())
        {
            let again = row.campaign.category == Category::Utility
                && provider.is_some_and(|p| p.in_doubt_utility == InDoubt::SendAgain);
            done += if again && row.status == CampaignStatus::Active {
                tx.retry_doubts(row.id, now - grace, now).await?
            } else {
                tx.give_up(row.id, now - grace, now).await?
            };
        }
        if row.ends_at <= now && row.status != CampaignStatus::Cancelled {
            done += tx.end_planned(row.id, State::Expired, Reason::WindowOver, now).await?;
        }
        if row.ends_at > now && row.status == CampaignStatus::Active {
            done += lapse(ctx, &mut tx, &row, Back::Unknown).await?;
        }
        tx.commit().await?;
        // counting everybody costs too much while there is nothing to find
        if row.ends_at > now {
            continue;
        }
        let open = ctx.store.read().await?.state_counts(row.id).await?;
        let planned = row.planned_at.is_some();
        if planned && open.iter().all(|count| count.state.is_end()) {
            let mut tx = ctx.store.begin().await?;
            let from = [CampaignStatus::Active, CampaignStatus::Paused];
            tx.set_campaign_status(row.id, &from, CampaignStatus::Finished).await?;
            tx.commit().await?;
        }
    }
    let opened = channel::open_templates(ctx).await?;
    let mut tx = ctx.store.begin().await?;
    tx.prune_admission(now - LIMITS_KEPT).await?;
    tx.commit().await?;
    Ok(Report { done: (done + lost) as usize + opened, ..Report::default() })
}
