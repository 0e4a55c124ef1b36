//! Loose ends: claims whose holder died, doubts that lasted too long, windows that are over,
//! messages that are late because the daemon was away, campaigns in which nothing more happens.

use chrono::TimeDelta;

use super::plan::{Resumed, reschedule};
use super::{Ctx, Report, channel, sums};
use crate::config::InDoubt;
use crate::model::content::Category;
use crate::model::delivery::{Reason, State};
use crate::store::{CampaignRow, CampaignStatus, StoreError};

/// Longer than any limit looks back.
const LIMITS_KEPT: TimeDelta = TimeDelta::hours(26);
/// For how long the API gives the same answer to a request with the same idempotency key.
pub const ANSWERS_KEPT: TimeDelta = TimeDelta::hours(24);
/// How long after the end of its window, or its last change, a held message is waited for: the
/// vendor decides within hours.
const HELD_MAX: TimeDelta = TimeDelta::hours(48);

/// Ties them up. A campaign that fails does not keep the others back.
pub async fn run(ctx: &Ctx) -> Result<Report, StoreError> {
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    let lost = tx.expire_claims(now).await?;
    tx.commit().await?;
    if lost > 0 {
        tracing::warn!(lost, "claims of a daemon that died are in doubt now");
    }
    let (mut done, mut failure) = (lost, None);
    let found = ctx.store.read().await?.open_campaigns().await?.rows;
    for row in found {
        match of_campaign(ctx, &row).await {
            Ok(more) => done += more,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(
                    error = error.outline(),
                    campaign = %row.campaign.name,
                    "a campaign could not be looked after"
                );
                failure = Some(error);
            }
        }
    }
    let opened = channel::open_templates(ctx).await?;
    let mut tx = ctx.store.begin().await?;
    tx.prune_admission(now - LIMITS_KEPT).await?;
    tx.prune_permits(now - LIMITS_KEPT).await?;
    tx.prune_answers(now - ANSWERS_KEPT).await?;
    tx.drop_reply_pauses(now).await?;
    tx.commit().await?;
    let report = Report { done: done as usize + opened, ..Report::default() };
    failure.map_or(Ok(report), Err)
}

async fn of_campaign(ctx: &Ctx, row: &CampaignRow) -> Result<u64, StoreError> {
    let now = ctx.clock.now();
    let provider = ctx.config.providers.get(&row.campaign.provider);
    let mut done = 0;
    let mut tx = ctx.store.begin().await?;
    if let Some(grace) = provider.and_then(|p| TimeDelta::from_std(p.in_doubt_grace).ok()) {
        let again = row.campaign.category == Category::Utility
            && provider.is_some_and(|p| p.in_doubt_utility == InDoubt::SendAgain);
        done += if again && row.status == CampaignStatus::Active {
            tx.retry_doubts(row.id, now - grace, now).await?
        } else {
            tx.give_up(row.id, now - grace, now).await?
        };
    }
    if row.ends_at <= now || row.status == CampaignStatus::Cancelled {
        done += tx.give_up_held(row.id, now - HELD_MAX, now).await?;
        // also whoever came back from a call after the campaign was over
        let (state, reason) = match row.status {
            CampaignStatus::Cancelled => (State::Cancelled, Reason::CancelledByOperator),
            _ => (State::Expired, Reason::WindowOver),
        };
        done += tx.end_planned(row.id, state, reason, now).await?;
    } else if row.status == CampaignStatus::Active {
        done += reschedule(ctx, &mut tx, row, Resumed::Unknown).await?;
    }
    tx.fold_counts(row.id).await?;
    tx.commit().await?;
    if row.ends_at <= now || row.status == CampaignStatus::Cancelled {
        end(ctx, row).await?;
    }
    Ok(done)
}

/// Finishes a campaign in which everybody has ended, and closes it once every answer that counts has
/// come: its sums are kept, and no loop reads it any more.
async fn end(ctx: &Ctx, row: &CampaignRow) -> Result<(), StoreError> {
    let now = ctx.clock.now();
    let mut tx = ctx.store.begin().await?;
    if !tx.open_parts(row).await?.is_empty() {
        return Ok(());
    }
    let counts = tx.state_counts(row.id).await?;
    let never_planned =
        row.planned_at.is_none() && row.status != CampaignStatus::Cancelled && !row.is_standing();
    if never_planned || !counts.iter().all(|count| count.state.is_end()) {
        return Ok(());
    }
    let from = [CampaignStatus::Active, CampaignStatus::Paused];
    tx.set_campaign_status(row.id, &from, CampaignStatus::Finished).await?;
    let within = TimeDelta::from_std(row.campaign.within).unwrap_or(TimeDelta::zero());
    let last = tx.last_sent_at(row.id).await?;
    // the day's limits of the account still look back at what it sent
    if last.is_none_or(|last| last + within.max(LIMITS_KEPT) <= now) {
        let goal = row.campaign.goal;
        let tracks = tx.track(row.id, goal, row.campaign.within, now).await?;
        tx.put_track(row.id, goal, tracks).await?;
        let sums = sums::sums(&mut tx, row, now, sums::Counted::All).await?;
        let sums = serde_json::to_string(&sums).unwrap_or_default();
        tx.close_campaign(row.id, now, &sums).await?;
    }
    tx.commit().await
}
