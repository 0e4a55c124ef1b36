//! What the daemon tells a service manager: that it is ready, alive, or stopping (systemd's `sd_notify`).
//!
//! Without one (no `NOTIFY_SOCKET`) nothing is told. Where the manager watches (`WATCHDOG_USEC`), it is told
//! of life twice in its time, but not while a step of a task hangs: then it starts the daemon anew.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::work::Ctx;
use crate::work::tasks::Tasks;

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Everything is at work.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The daemon ends.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Tells of life for ever, where the manager wants that.
pub(super) async fn watch(ctx: &Ctx, tasks: &Tasks) {
    let Some(every) = sd_notify::watchdog_enabled().map(|limit| limit / 2) else {
        return std::future::pending().await;
    };
    let mut turns = tokio::time::interval(every.max(Duration::from_millis(100)));
    loop {
        turns.tick().await;
        if tasks.hang(ctx.clock.now()) {
            tracing::error!("a step hangs: the service manager is told of no life");
        } else {
            tell(NotifyState::Watchdog);
        }
    }
}
