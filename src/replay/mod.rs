//! The daemon's own steps on a virtual clock: tomorrow's plan today.
//!
//! Nothing here decides: it moves the clock from one moment at which something is due to the next
//! and runs the steps one after another, on one thread of control. *Invariant:* what a replay does,
//! the daemon would do.

mod bookings;
pub(crate) mod check;
pub mod compare;
pub mod event;
pub(crate) mod faults;
mod limits;
pub mod outcome;
mod past;
pub mod policy;
mod recalled;
pub mod run;
pub mod scenario;
mod volume;

use chrono::TimeDelta;
use tokio::sync::watch;

use crate::model::slot::{Slot, SlotLength};
use crate::model::time::Instant;
use crate::store::{CampaignStatus, StoreError};
use crate::work::campaigns::SubmitError;
use crate::work::learn::LearnError;
use crate::work::plan::PlanError;
use crate::work::{Ctx, Report, dispatch, maintenance, plan, receive};

/// Moments closer than this are one: what is due within them goes out together.
const GRAIN: TimeDelta = TimeDelta::minutes(2);
/// The clock never stands longer than this, so that answers are taken in their hour.
const STRIDE: TimeDelta = TimeDelta::hours(1);
/// Loose ends and plans are looked at this often: what a daemon does every few seconds would be most
/// of a replay's work.
const ROUND: TimeDelta = TimeDelta::minutes(10);

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no room for a database.
    #[error("could not make a temporary folder for the replay")]
    Folder(#[source] std::io::Error),
    /// There is no model that people could be recalled by.
    #[error("nothing was learned yet, so nobody can be recalled; run `opportune learn` first")]
    NothingLearned,
    /// A step failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Planning failed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Learning failed.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// A campaign could not be submitted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Runs the steps until the virtual clock shows `until`; `tick` is told the time.
pub async fn drive(
    ctx: &Ctx,
    until: Instant,
    mut tick: impl FnMut(Instant),
) -> Result<(), ReplayError> {
    let (_keep, stop) = watch::channel(false);
    let mut next_round = ctx.clock.now();
    loop {
        let now = ctx.clock.now();
        tick(now);
        receive::collect(ctx).await?;
        if now >= next_round.min(until) {
            maintenance::run(ctx).await?;
            plan::run(ctx).await?;
            next_round = now + ROUND;
        }
        // what is due in a slot is claimed at once, and each message called at its own instant
        let slot_end = Slot::holding(now, ctx.config.slot_length).end(ctx.config.slot_length);
        ctx.clock.look_ahead_to(slot_end.min(until) - TimeDelta::microseconds(1));
        loop {
            let Report { more, not_before, .. } = dispatch::run(ctx, &stop).await?;
            // a provider's rate: time passes while its messages go out
            match not_before.filter(|at| *at < until) {
                Some(at) => ctx.clock.advance_to(at),
                None if more => {}
                None => break,
            }
        }
        if now >= until {
            return Ok(());
        }
        let mut due = None;
        let mut reader = ctx.store.read().await?;
        for row in reader.open_campaigns().await?.rows {
            if row.status == CampaignStatus::Active {
                due = due.into_iter().chain(reader.next_due(row.id).await?).min();
            }
        }
        drop(reader);
        ctx.clock.advance_to(next_moment(now, due, ctx.config.slot_length).min(until));
    }
}

/// When the clock stops next, where the next message is due at `due`. What is due in a slot goes
/// out in it: the clock does not step over its last moment.
fn next_moment(now: Instant, due: Option<Instant>, slot: SlotLength) -> Instant {
    let next = due.map_or(now + STRIDE, |due| due.min(now + STRIDE)).max(now + GRAIN);
    let last = Slot::holding(now, slot).end(slot) - TimeDelta::microseconds(1);
    if now < last && due.is_some_and(|due| due <= last) { next.min(last) } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_to_what_is_due_and_no_slot_is_stepped_over() {
        let at = |text: &str| format!("2026-06-02T{text}Z").parse::<Instant>().unwrap();
        let next = |now, due| next_moment(at(now), due, SlotLength::HOUR);
        assert_eq!(next("10:00:00", None), at("11:00:00"));
        assert_eq!(next("10:00:00", Some(at("10:20:00"))), at("10:20:00"));
        // what is due in the same two minutes goes out together
        assert_eq!(next("10:20:00", Some(at("10:20:05"))), at("10:22:00"));
        assert_eq!(next("10:59:00", Some(at("10:59:30"))), at("10:59:59.999999"));
        assert_eq!(next("10:59:59.999999", Some(at("10:59:59.999999"))), at("11:01:59.999999"));
        assert_eq!(next("10:59:00", Some(at("11:00:10"))), at("11:01:00"));
    }
}
