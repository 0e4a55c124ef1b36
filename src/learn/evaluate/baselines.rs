//! The methods that the model is measured against: what the field does instead.

use serde::Serialize;

use crate::learn::data::observations::ObservationSet;
use crate::learn::statistics::special::best;
use crate::model::preference::WEEK_HOURS;

/// Weights of the hours of the week.
pub(in crate::learn) type WeekWeights = [f64; WEEK_HOURS];

/// A way to guess when a person is next seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The model.
    Model,
    /// All hours alike.
    Uniform,
    /// What everybody does.
    Population,
    /// The person's own events, one added to each hour.
    Histogram,
    /// The person's own events, shrunk to what everybody does.
    ShrunkHistogram,
    /// The one hour of the day in which most people are seen.
    FixedHour,
    /// For each weekday, the hour in which most people are seen.
    HourPerWeekday,
    /// The median of the person's last hours, on the person's most frequent weekdays.
    MedianHour,
}

impl Method {
    /// All but the model.
    pub(in crate::learn) const NAIVE: [Self; 7] = [
        Self::Uniform,
        Self::Population,
        Self::Histogram,
        Self::ShrunkHistogram,
        Self::FixedHour,
        Self::HourPerWeekday,
        Self::MedianHour,
    ];

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Model => "this model",
            Self::Uniform => "all hours alike",
            Self::Population => "the population's hours",
            Self::Histogram => "the personal histogram",
            Self::ShrunkHistogram => "the shrunk personal histogram",
            Self::FixedHour => "one fixed hour",
            Self::HourPerWeekday => "the best hour per weekday",
            Self::MedianHour => "the median-hour rule",
        }
    }

    /// Whether it gives chances, and not only hours to choose.
    pub fn is_distribution(self) -> bool {
        !matches!(self, Self::FixedHour | Self::HourPerWeekday | Self::MedianHour)
    }
}

/// When a person was seen: the hour of the week, and how many days before the last time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct SeenEvent {
    pub(in crate::learn) hour: usize,
    pub(in crate::learn) days: f32,
}

/// All times at which a person was seen.
pub(in crate::learn) fn events(observations: &ObservationSet) -> Vec<SeenEvent> {
    let presences = observations
        .presences
        .iter()
        .map(|s| SeenEvent { hour: usize::from(s.hour), days: s.days });
    let reads =
        observations.intervals.iter().filter(|interval| interval.seen).map(|interval| SeenEvent {
            hour: (usize::from(interval.start) + usize::from(interval.hours)) % WEEK_HOURS,
            days: interval.days,
        });
    presences.chain(reads).collect()
}

/// What everybody does: each person counts the same.
#[derive(Debug)]
pub(in crate::learn) struct PopulationHours {
    week: WeekWeights,
}

impl PopulationHours {
    pub(in crate::learn) fn new<'a>(people: impl Iterator<Item = &'a [SeenEvent]>) -> Self {
        // an hour in which nobody was ever seen is not impossible
        const PSEUDO: f64 = 0.05;
        let mut week = [PSEUDO; WEEK_HOURS];
        for events in people {
            for event in events {
                week[event.hour] += 1.0 / events.len() as f64;
            }
        }
        Self { week: normalized(&week) }
    }

    /// What a method makes of one person's past.
    pub(in crate::learn) fn predict(&self, method: Method, events: &[SeenEvent]) -> WeekWeights {
        match method {
            Method::Model | Method::Uniform => [1.0 / WEEK_HOURS as f64; WEEK_HOURS],
            Method::Population => self.week,
            Method::Histogram => added(events, |_| 1.0),
            Method::ShrunkHistogram => {
                const CONCENTRATION: f64 = 20.0;
                added(events, |hour| CONCENTRATION * self.week[hour])
            }
            Method::FixedHour => {
                let best = best((0..24).map(|h| (0..7).map(|d| self.week[d * 24 + h]).sum()));
                self.prefer(|hour| hour % 24 == best)
            }
            Method::HourPerWeekday => {
                let best: Vec<usize> =
                    self.week.chunks_exact(24).map(|day| best(day.iter().copied())).collect();
                self.prefer(|hour| best[hour / 24] == hour % 24)
            }
            Method::MedianHour => {
                let (days, hours) = median_rule(events);
                self.prefer(|hour| days.contains(&(hour / 24)) && hours.contains(&(hour % 24)))
            }
        }
    }

    /// The chosen hours before all others, which follow as everybody has them.
    fn prefer(&self, chosen: impl Fn(usize) -> bool) -> WeekWeights {
        normalized(&std::array::from_fn(|h| self.week[h] + f64::from(u8::from(chosen(h)))))
    }
}

/// The rule of the best-known open-source system: with at least 5 events in the last 60 days, two
/// hours around the linear median of their hours on the three most frequent weekdays; else Tuesday,
/// Monday and Thursday, 9:00 to 12:00.
fn median_rule(events: &[SeenEvent]) -> (Vec<usize>, Vec<usize>) {
    const DAYS: f32 = 60.0;
    const EVENTS_MIN: usize = 5;
    let recent: Vec<usize> =
        events.iter().filter(|event| event.days <= DAYS).map(|event| event.hour).collect();
    if recent.len() < EVENTS_MIN {
        return (vec![1, 0, 3], vec![9, 10, 11]);
    }
    let mut hours: Vec<usize> = recent.iter().map(|hour| hour % 24).collect();
    hours.sort_unstable();
    let middle = hours.len() / 2;
    let median = if hours.len() % 2 == 1 {
        hours[middle]
    } else {
        usize::midpoint(hours[middle - 1], hours[middle])
    };
    let mut counts = [0usize; 7];
    for hour in &recent {
        counts[hour / 24] += 1;
    }
    let mut days: Vec<usize> = (0..7).collect();
    days.sort_by_key(|day| std::cmp::Reverse(counts[*day]));
    (days[..3].to_vec(), vec![(median + 23) % 24, median])
}

fn added(events: &[SeenEvent], prior: impl Fn(usize) -> f64) -> WeekWeights {
    let mut week: WeekWeights = std::array::from_fn(prior);
    for event in events {
        week[event.hour] += 1.0;
    }
    normalized(&week)
}

fn normalized(week: &WeekWeights) -> WeekWeights {
    let total: f64 = week.iter().sum();
    week.map(|x| x / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: &[usize]) -> Vec<SeenEvent> {
        hours.iter().map(|hour| SeenEvent { hour: *hour, days: 1.0 }).collect()
    }

    #[test]
    fn every_method_gives_weights_that_sum_to_one() {
        let people = [at(&[9, 33, 57]), at(&[20, 20, 44, 68, 92, 93])];
        let population_hours = PopulationHours::new(people.iter().map(Vec::as_slice));
        for method in Method::NAIVE {
            for events in &people {
                let weights = population_hours.predict(method, events);
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{method:?}");
                assert!(weights.iter().all(|w| *w > 0.0), "{method:?}");
            }
        }
    }

    #[test]
    fn the_median_rule_needs_five_recent_events() {
        let evenings = at(&[20, 20, 44, 68, 93]);
        assert_eq!(median_rule(&evenings), (vec![0, 1, 2], vec![19, 20]));
        assert_eq!(median_rule(&evenings[1..]).0, vec![1, 0, 3]);
        let mut old = evenings.clone();
        old[0].days = 61.0;
        assert_eq!(median_rule(&old).1, vec![9, 10, 11]);
    }
}
