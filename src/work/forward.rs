//! What people wrote is passed on to endpoints of the user's own, so that agents' tools get it.
//!
//! At least once, in the order in which it came where nothing fails; what cannot be passed on for
//! three days is dropped. Words are kept no longer than that.

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};

use super::{Ctx, Report};
use crate::config::ConfigError;
use crate::provider::Messenger;
use crate::store::StoreError;

/// Words passed on in one step.
const BATCH_MAX: usize = 100;
/// Calls to one endpoint at once.
const CALLS_MAX: usize = 8;
/// After a failure: 4 s, 16 s, and so on to about an hour.
const BACKOFF_EXPONENT_MAX: u32 = 6;
/// What is older is dropped.
const AGE_MAX: TimeDelta = TimeDelta::days(3);
/// How long one daemon has the endpoint to itself.
const LEASE: TimeDelta = TimeDelta::minutes(10);

/// Passes on what is due.
pub async fn run(ctx: &Ctx) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for (name, config) in &ctx.config.providers {
        let Some(inbound) = &config.inbound else { continue };
        let now = ctx.clock.now();
        let rows = ctx.store.read().await?.inbound_due(name, now, BATCH_MAX).await?;
        let lease = format!("forward:{name}");
        if rows.is_empty() || !ctx.store.take_lease(&lease, &ctx.node, now, now + LEASE).await? {
            continue;
        }
        let messenger = match messenger(ctx, inbound) {
            Ok(messenger) => messenger,
            Err(error) => {
                tracing::error!(%error, provider = %name, "inbound messages are not passed on");
                continue;
            }
        };
        let more = rows.len() == BATCH_MAX;
        let tell = |row: crate::store::InboundRow| {
            let messenger = &messenger;
            async move {
                let told = messenger.tell(row.body.clone()).await;
                (row, told)
            }
        };
        let calls: Vec<_> = rows.into_iter().map(tell).collect();
        let told: Vec<_> = stream::iter(calls).buffered(CALLS_MAX).collect().await;
        let now = ctx.clock.now();
        let mut tx = ctx.store.begin().await?;
        for (row, told) in told {
            let again_at = match told {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(error, provider = %name, "an inbound message was not passed on");
                    let exponent = (row.attempts + 1).min(BACKOFF_EXPONENT_MAX);
                    let wait = TimeDelta::seconds(4_i64.pow(exponent));
                    (now - row.added_at < AGE_MAX).then_some(now + wait)
                }
            };
            tx.settle_inbound(&row.id, again_at).await?;
            report.done += 1;
        }
        tx.commit().await?;
        ctx.store.drop_lease(&lease, &ctx.node).await?;
        report.more |= more;
    }
    Ok(report)
}

fn messenger(ctx: &Ctx, inbound: &crate::config::Inbound) -> Result<Messenger, ConfigError> {
    let secret = inbound.secret.read()?;
    Ok(Messenger::new(&ctx.config.outbound, inbound.url.clone(), secret))
}
