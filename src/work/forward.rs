//! What people wrote is passed on to endpoints of the user's own, so that agents' tools get it.
//!
//! At least once, in the order in which it came where nothing fails; what cannot be passed on for
//! three days is dropped. Words are kept no longer than that.

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;

use super::leadership::lead;
use super::{Ctx, Report};
use crate::config::{ConfigError, Inbound};
use crate::model::ids::Name;
use crate::provider::Messenger;
use crate::store::{InboundRow, StoreError, Term};

/// Words passed on in one step.
const BATCH_MAX: usize = 100;
/// Calls to one endpoint at once.
const CALLS_MAX: usize = 8;
/// After a failure: 4 s, 16 s, and so on to about an hour.
const BACKOFF_EXPONENT_MAX: u32 = 6;
/// What is older is dropped.
const AGE_MAX: TimeDelta = TimeDelta::days(3);

/// Why words were not passed on.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret of the endpoint is not where the settings say.
    #[error("provider {provider}: inbound messages are not passed on")]
    Secret {
        /// Of this provider.
        provider: Name,
        /// Why.
        #[source]
        cause: ConfigError,
    },
}

/// Passes on what is due of every provider; the first error is told once all had their turn.
pub async fn run(ctx: &Ctx) -> Result<Report, ForwardError> {
    let (_keep, stop) = watch::channel(false);
    let mut report = Ok(Report::default());
    for name in ctx.config.providers.keys() {
        report = match (report, of_provider(ctx, name, &stop).await) {
            (Ok(all), Ok(one)) => Ok(all.and(one)),
            (Err(first), _) | (Ok(_), Err(first)) => Err(first),
        };
    }
    report
}

/// The same for one provider, so that an endpoint that hangs holds up nobody else's. When `stop`
/// turns true no further call begins.
pub async fn of_provider(
    ctx: &Ctx,
    name: &Name,
    stop: &watch::Receiver<bool>,
) -> Result<Report, ForwardError> {
    let inbound = ctx.config.providers.get(name).and_then(|config| config.inbound.as_ref());
    let Some(inbound) = inbound else { return Ok(Report::default()) };
    let due = async || ctx.store.read().await?.inbound_due(name, ctx.clock.now(), BATCH_MAX).await;
    // a look costs less than a lease
    if due().await?.is_empty() {
        return Ok(Report::default());
    }
    let secret = |cause| ForwardError::Secret { provider: name.clone(), cause };
    let messenger = messenger(ctx, inbound).map_err(secret)?;
    let lease = format!("forward:{name}");
    let passed = lead(ctx, &lease, async |term: Term| {
        // what was due before may have been passed on by the node that had the lease
        let rows = due().await?;
        let more = rows.len() == BATCH_MAX;
        let tell = |row: InboundRow| {
            let messenger = &messenger;
            async move {
                if *stop.borrow() {
                    return None;
                }
                let told = messenger.tell(row.body.clone()).await;
                Some((row, told))
            }
        };
        let calls: Vec<_> = rows.into_iter().map(tell).collect();
        let told: Vec<_> = stream::iter(calls).buffered(CALLS_MAX).collect().await;
        let done = settle(ctx, &term, name, told.into_iter().flatten().collect()).await?;
        Ok(Report { done, more, ..Report::default() })
    });
    Ok(passed.await.map_err(ForwardError::Store)?.unwrap_or_default())
}

async fn settle(
    ctx: &Ctx,
    term: &Term,
    name: &Name,
    told: Vec<(InboundRow, Result<(), String>)>,
) -> Result<usize, StoreError> {
    let (now, done) = (ctx.clock.now(), told.len());
    let mut tx = ctx.store.begin().await?;
    tx.hold_term(term).await?;
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
    }
    tx.commit().await?;
    Ok(done)
}

fn messenger(ctx: &Ctx, inbound: &Inbound) -> Result<Messenger, ConfigError> {
    let secret = inbound.secret.read()?;
    Ok(Messenger::new(&ctx.config.outbound, inbound.url.clone(), secret))
}
