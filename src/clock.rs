//! Time as a value that is passed around: the system's, or one that a simulation moves by hand.
//!
//! *Invariant:* `Utc::now` occurs here and nowhere else.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::watch;

use crate::model::time::Instant;

/// Tells the time, in microseconds, and sleeps until one.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Virtual {
        time: watch::Sender<DateTime<Utc>>,
        /// Up to when a step may do things at their own instants; shared by all copies.
        horizon: Arc<Mutex<DateTime<Utc>>>,
    },
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance_to`] moves it.
    pub fn starting_at(start: Instant) -> Self {
        let start = start.trunc_subsecs(6);
        Self(Source::Virtual {
            time: watch::Sender::new(start),
            horizon: Arc::new(Mutex::new(start)),
        })
    }

    /// The time now, cut to the microsecond, which is what the store keeps.
    #[expect(clippy::disallowed_methods, reason = "the one place that tells the time")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Utc::now().trunc_subsecs(6),
            Source::Virtual { time, .. } => *time.borrow(),
        }
    }

    /// Returns once the clock shows `at` or later.
    pub async fn sleep_until(&self, at: Instant) {
        match &self.0 {
            Source::System => {
                tokio::time::sleep((at - self.now()).to_std().unwrap_or_default()).await;
            }
            Source::Virtual { time, .. } => {
                // the sender lives in self, so the channel cannot close while we wait
                let _ = time.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }

    /// Waits for a moment within a step. A virtual clock stands still within a step, and does not
    /// wait.
    pub async fn pause_until(&self, at: Instant) {
        if let Source::System = &self.0 {
            self.sleep_until(at).await;
        }
    }

    /// Waits for a while within a step. A virtual clock does not.
    pub async fn pause(&self, span: std::time::Duration) {
        if let Source::System = &self.0 {
            tokio::time::sleep(span).await;
        }
    }

    /// The time of something that was waited for until `at`: now, or `at` on a virtual clock, which
    /// stands still within a step.
    pub fn at_or_after(&self, at: Instant) -> Instant {
        match &self.0 {
            Source::System => self.now(),
            Source::Virtual { .. } => at.min(self.horizon()).max(self.now()),
        }
    }

    /// Up to when a step may do things, each at its own instant: now, or later on a virtual clock,
    /// which need not stop at each of them.
    pub fn horizon(&self) -> Instant {
        match &self.0 {
            Source::System => self.now(),
            Source::Virtual { horizon, .. } => {
                let horizon = *horizon.lock().unwrap_or_else(PoisonError::into_inner);
                horizon.max(self.now())
            }
        }
    }

    /// Lets steps on a virtual clock do things up to `at`.
    pub fn look_ahead_to(&self, at: Instant) {
        if let Source::Virtual { horizon, .. } = &self.0 {
            *horizon.lock().unwrap_or_else(PoisonError::into_inner) = at;
        }
    }

    /// Moves a virtual clock forward; a step back is ignored, and so is the system's clock.
    pub fn advance_to(&self, at: Instant) {
        if let Source::Virtual { time, .. } = &self.0 {
            time.send_if_modified(|now| {
                let forward = at > *now;
                *now = (*now).max(at);
                forward
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_virtual_clock_passes() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::starting_at(start);
        let sleeper = clock.sleep_until(start + TimeDelta::hours(1));
        let mover = async {
            clock.advance_to(start + TimeDelta::minutes(59));
            tokio::task::yield_now().await;
            clock.advance_to(start + TimeDelta::hours(2));
        };
        tokio::join!(sleeper, mover);
        clock.advance_to(start);
        assert_eq!(clock.now(), start + TimeDelta::hours(2));
    }
}
