//! Messages go out: claim, call, settle.
//!
//! A batch is claimed with a lease that has an end; each message is checked once more and admitted
//! under the provider's limits in the same transaction; then each is handed to the provider with no
//! transaction open, and the batch is settled, by whoever shows the claim, in the transaction that
//! claims the next. While it is called, consent and status are looked at again twice a second, and
//! no call goes out on an older look. What follows when the daemon dies:
//!
//! | it died                            | then                                                  |
//! |------------------------------------|-------------------------------------------------------|
//! | before the claim is committed      | nothing happened; the next claim takes the message    |
//! | between claim and call             | the lease ends, the message is in doubt               |
//! | between call and settlement        | the same: nobody can tell the two apart               |
//! | while the settlement is committed  | the database knows: settled, or in doubt as above     |
//! | after the settlement               | nothing; the message is settled                       |
//!
//! And when it does not die:
//!
//! | what happened                      | then                                                  |
//! |------------------------------------|-------------------------------------------------------|
//! | it was frozen past its lease       | what it had not called is not called: the lease is    |
//! |                                    | looked at before each call                            |
//! | the answer was lost                | the message is in doubt at once                       |
//! | the database went away             | calls in flight finish, and their settlement is tried |
//! |                                    | until the lease ends; then they are in doubt          |
//! | a settlement comes after the lease | it counts, as long as nobody gave the message up      |
//!
//! A message in doubt is not sent again. It is settled by the provider's word when that comes (see
//! [`receive`](super::receive)), and given up after the provider's grace time (see
//! [`maintenance`](super::maintenance)); only a utility message is sent again, where the settings say so.

mod admission;
mod batch;
mod check;
mod claimed;
mod conclude;
mod rights;
mod templates;
pub mod usage;

use tokio::sync::watch;

use super::{Ctx, Report};
use crate::model::ids::Name;
use crate::store::{CampaignStatus, StoreError};

pub(super) use admission::{interval_us, told_limit, told_limit_mark, told_limit_text};

/// Sends what is due. When `stop` turns true, nothing more is called: calls in flight finish, and
/// what was claimed but not called is given back.
pub async fn run(ctx: &Ctx, stop: &watch::Receiver<bool>) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for name in ctx.providers.keys() {
        report = report.and(of_provider(ctx, name, stop).await?);
    }
    Ok(report)
}

/// The same for the campaigns of one provider, so that a slow one holds up nobody else's. A campaign
/// that fails does not keep the next ones back; the last failure is told once all had their turn.
pub async fn of_provider(
    ctx: &Ctx,
    name: &Name,
    stop: &watch::Receiver<bool>,
) -> Result<Report, StoreError> {
    let (mut report, mut failure) = (Report::default(), None);
    let (Some(provider), Some(config)) = (ctx.providers.get(name), ctx.config.providers.get(name))
    else {
        return Ok(report);
    };
    let campaigns = ctx.store.read().await?.open_campaigns().await?;
    for row in campaigns.rows {
        if row.campaign.provider != *name
            || row.status != CampaignStatus::Active
            || row.planned_at.is_none()
            || *stop.borrow()
        {
            continue;
        }
        let batches =
            claimed::Batches { ctx, row: &row, provider: provider.as_ref(), config, stop };
        match batches.run().await {
            Ok(more) => report = report.and(more),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(
                    error = error.outline(),
                    campaign = %row.campaign.name,
                    "a campaign's messages could not be sent"
                );
                failure = Some(error);
            }
        }
    }
    failure.map_or(Ok(report), Err)
}
