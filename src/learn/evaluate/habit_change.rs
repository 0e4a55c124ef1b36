//! Whether one person came to live by other hours, as far as the model's own change point goes: what
//! is said of a person is what the hours are learned by.

use chrono::{DateTime, TimeDelta};
use serde::Serialize;

use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::TimeSpan;
use crate::learn::data::subject::Subject;
use crate::learn::evaluate::drift::shift;
use crate::learn::infer::model::Model;
use crate::model::preference::WEEK_HOURS;
use crate::model::time::Instant;

/// A change of a person's habits that is told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HabitChange {
    /// The most probable date.
    #[schema(value_type = String, format = DateTime)]
    pub since: Instant,
    /// The probability that habits changed, then or at another date.
    pub probability: f64,
    /// How many hours later than before the day is lived, −11 to 12; none where the new hours are not
    /// the old ones moved.
    pub hours_later: Option<i32>,
}

impl Model {
    /// When a person came to live by other hours, if that is so probable that what came before
    /// hardly counts for the hours any more.
    pub fn habit_change(&self, subject: &Subject<'_>, as_of: Instant) -> Option<HabitChange> {
        /// What is so probable is told as known.
        const SURE: f64 = 0.9;
        let until = seconds(as_of);
        let observations = subject.observations(TimeSpan { from: 0, until }, &self.reporting);
        let (memory, prior) = (self.hyper.observation_weights(), self.prior(subject));
        let known = self.population.posterior(&observations, memory, &prior);
        let change =
            self.population.change_point(&observations, memory, &prior, &known.affinities)?;
        let last = subject.evidence.last(until)?;
        if change.probability < SURE {
            return None;
        }
        let before = self.population.chronotypes.rates(&change.before, &prior);
        let (mut watched, mut events) = ([0.0; 24], [0.0; 24]);
        let presences = change.after.presences / WEEK_HOURS as f32;
        for (hour, exposure) in change.after.exposure.iter().enumerate() {
            watched[hour % 24] += f64::from(known.rates.level * exposure + presences);
            events[hour % 24] += f64::from(change.after.observed[hour]);
        }
        let last = DateTime::from_timestamp(i64::from(last), 0)?;
        Some(HabitChange {
            since: last - TimeDelta::seconds((f64::from(change.days) * 86_400.0) as i64),
            probability: change.probability,
            hours_later: shift(&before.week, &watched, &events),
        })
    }
}
