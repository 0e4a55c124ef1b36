//! Work that one node does at a time: under a lease that is renewed while the work goes on.
//!
//! Who leads holds a term. What is stored in it calls [`Tx::hold_term`](crate::store::Tx::hold_term)
//! in its transaction, so that a leader that was frozen past its lease stores nothing once another
//! has taken over. The window in which a leader trusts its lease begins when a renewal is tried,
//! not when it is answered, and ends before the lease does; a leader that could not renew within it
//! stops its work.

use std::future::Future;

use chrono::TimeDelta;

use super::Ctx;
use crate::model::time::Instant;
use crate::store::{StoreError, Term};

/// The lease under which one node plans.
pub(super) const PLANNING: &str = "plan";
/// How long a lease is held without renewal.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Between renewals.
const RENEW_EVERY: TimeDelta = TimeDelta::seconds(20);
/// Between tries of a renewal that failed.
const RETRY_EVERY: TimeDelta = TimeDelta::seconds(2);
/// How much sooner than the lease the trust in it ends: what the clocks of two nodes may differ by.
const DISTRUST: TimeDelta = TimeDelta::seconds(5);

/// Does `work` if the lease is free; `None` when another holds it. The work is dropped where it
/// stands when the lease is lost.
pub(super) async fn lead<T, E, W>(
    ctx: &Ctx,
    lease: &str,
    work: impl FnOnce(Term) -> W,
) -> Result<Option<T>, E>
where
    E: From<StoreError>,
    W: Future<Output = Result<T, E>>,
{
    let tried = ctx.clock.now();
    let Some(term) = ctx.store.take_lease(lease, &ctx.node, tried, tried + LEASE).await? else {
        return Ok(None);
    };
    let done = tokio::select! {
        // work that is done counts, though the lease be lost in the same moment
        biased;
        done = work(term.clone()) => done,
        lost = keep(ctx, &term, tried) => return Err(lost.into()),
    };
    // a lease that is not given back lapses by itself
    if let Err(error) = ctx.store.give_back_lease(&term).await {
        let error = error.outline();
        tracing::warn!(error, lease, "a lease was not given back; it lapses within a minute");
    }
    done.map(Some)
}

/// Renews the lease again and again; returns when it is lost.
async fn keep(ctx: &Ctx, term: &Term, taken: Instant) -> StoreError {
    let mut trusted_until = taken + LEASE - DISTRUST;
    let mut next = taken + RENEW_EVERY;
    loop {
        ctx.clock.sleep_until(next).await;
        let tried = ctx.clock.now();
        let renewed = tokio::select! {
            renewed = ctx.store.renew_lease(term, tried + LEASE) => renewed,
            () = ctx.clock.sleep_until(trusted_until) => return term.lost(),
        };
        match renewed {
            Ok(()) => {
                trusted_until = tried + LEASE - DISTRUST;
                next = tried + RENEW_EVERY;
            }
            Err(error) if error.is_transient() && tried < trusted_until => {
                let error = error.outline();
                tracing::warn!(
                    error,
                    lease = term.lease(),
                    "a lease was not renewed; trying again"
                );
                next = tried + RETRY_EVERY;
            }
            Err(error) => return error,
        }
    }
}
