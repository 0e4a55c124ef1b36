//! Habits of the known-truth worlds: a person opens a waiting message at a rate that depends on
//! the hour of the local week and falls with the message's age. The rate is a plain function, so
//! the chance to open within a span is a closed sum.
//!
//! *Friendly*: one of a few weekly patterns with a weekend of its own, personal noise, a level a
//! person, a decay over half a day. *Hostile*: no patterns: a blend of shifted shapes, leans by
//! weekday, strong noise, a decay of one's own. Frozen: nothing is tuned to these numbers.

use chrono_tz::Tz;

use super::dice::Dice;
use super::local;
use crate::model::preference::WEEK_HOURS;

/// Messages are followed for a week.
const FOLLOWED_HOURS: f64 = 168.0;
/// Weekly patterns of a friendly world.
const PATTERNS: usize = 7;
/// Decay of a message's pull, hours.
const DECAY_HOURS: f64 = 12.0;
/// Median rate an hour on a fresh message; half the people lie between 0.63 and 1.6 times it.
const LEVEL: f64 = 0.06;
const LEVEL_SPREAD: f64 = 0.7;

/// Seven days of hours.
type Week = [f64; WEEK_HOURS];

/// What the people of one world have in common.
#[derive(Debug)]
pub(super) struct Patterns {
    friendly: Vec<Week>,
    shares: Vec<f64>,
}

/// When one person opens messages.
#[derive(Debug, Clone)]
pub(super) struct Rates {
    zone: Tz,
    /// Rate an hour on a fresh message of neutral content.
    hourly: Week,
    highest: f64,
    decay_hours: f64,
}

impl Patterns {
    pub(super) fn new(dice: Dice) -> Self {
        let week = |index: usize| {
            let dice = dice.with(index as u64);
            // main hours spread over the waking day, second ones elsewhere, weekends later
            let slice = |index: usize, draw: u64| {
                6.0 + 17.0 * (index as f64 + dice.with(draw).unit()) / PATTERNS as f64
            };
            let (main, second) = (slice(index, 1), slice((3 * index + 2) % PATTERNS, 2));
            let later = dice.with(3).between(0.0, 4.0);
            let weight = dice.with(4).between(0.2, 0.6);
            let day = |first: f64, width: f64, second: f64| {
                let (first, second) = (bump(first, width), bump(second, 1.5));
                let day: [f64; 24] = std::array::from_fn(|h| 0.01 + first[h] + weight * second[h]);
                let mean = day.iter().sum::<f64>() / 24.0;
                day.map(|rate| rate / mean)
            };
            let weekday = day(main, dice.with(5).between(1.0, 2.5), second);
            let weekend = day(main + later, 2.5, dice.with(6).between(9.0, 25.0));
            let lift = dice.with(7).between(0.4, 1.4);
            std::array::from_fn(|hour| match hour {
                0..120 => weekday[hour % 24],
                _ => lift * weekend[hour % 24],
            })
        };
        let share = |index: usize| dice.with(100 + index as u64).between(0.5, 1.5);
        Self {
            friendly: (0..PATTERNS).map(week).collect(),
            shares: (0..PATTERNS).map(share).collect(),
        }
    }

    /// A person of the friendly world.
    pub(super) fn friendly(&self, zone: Tz, dice: Dice) -> Rates {
        let pattern = &self.friendly[dice.with(1).pick(self.shares.iter().copied())];
        let weekend = dice.with(2).around(1.0, 0.5);
        let mut hourly = [0.0; WEEK_HOURS];
        for (hour, rate) in hourly.iter_mut().enumerate() {
            let own = dice.with(3).with(hour as u64).around(1.0, 0.35);
            *rate = pattern[hour] * own * if hour < 120 { 1.0 } else { weekend };
        }
        Rates::new(zone, &hourly, dice.with(4), DECAY_HOURS)
    }

    /// A person of the hostile world.
    pub(super) fn hostile(zone: Tz, dice: Dice) -> Rates {
        // morning, noon, evening, night: each moved by hours, weighed anew, weekends half apart
        const PEAKS: [(f64, f64); 4] = [(8.0, 1.2), (13.0, 1.5), (19.0, 2.5), (23.0, 1.5)];
        let blend = |dice: Dice| {
            let mut day = [0.02; 24];
            for (index, (center, width)) in PEAKS.into_iter().enumerate() {
                let dice = dice.with(index as u64);
                let shape = bump(center + 3.0 * dice.normal(), width);
                let weight = dice.with(2).exponential();
                day.iter_mut().zip(shape).for_each(|(rate, height)| *rate += weight * height);
            }
            day
        };
        let (weekday, other) = (blend(dice.with(1)), blend(dice.with(2)));
        let leans: [f64; 7] =
            std::array::from_fn(|day| dice.with(3).with(day as u64).around(1.0, 0.35));
        let mut hourly = [0.0; WEEK_HOURS];
        for (hour, rate) in hourly.iter_mut().enumerate() {
            let own = dice.with(4).with(hour as u64).around(1.0, 0.8);
            let apart = if hour < 120 { 0.0 } else { 0.5 };
            *rate = leans[hour / 24]
                * own
                * (weekday[hour % 24] * (1.0 - apart) + other[hour % 24] * apart);
        }
        Rates::new(zone, &hourly, dice.with(5), dice.with(6).around(DECAY_HOURS, 0.6))
    }
}

impl Rates {
    fn new(zone: Tz, hourly: &Week, level: Dice, decay_hours: f64) -> Self {
        let level = level.around(LEVEL, LEVEL_SPREAD);
        let hourly = normalized(hourly).map(|rate| rate * level);
        let highest = hourly.iter().copied().fold(0.0, f64::max);
        Self { zone, hourly, highest, decay_hours }
    }

    /// When a message is opened, seconds of UTC; `pull` multiplies the rate.
    pub(super) fn opened(&self, arrived: f64, pull: f64, message: Dice) -> Option<f64> {
        let mut left = message.exponential() / pull;
        for (age, fresh, rate, area) in self.hours(self.week_hour(arrived), FOLLOWED_HOURS) {
            let passed = rate * area;
            if left < passed {
                // invert rate · decay · (fresh − e^(−age/decay)) = left
                let pulled = fresh - left / (rate * self.decay_hours);
                let at = -self.decay_hours * pulled.max(f64::MIN_POSITIVE).ln();
                return Some(arrived + 3_600.0 * at.max(age));
            }
            left -= passed;
            if left > self.highest * self.decay_hours * fresh {
                break; // no rate that is left could reach it
            }
        }
        None
    }

    /// The chance that [`Rates::opened`] is within `hours` of the arrival.
    pub(super) fn chance(&self, arrived: f64, hours: f64, pull: f64) -> f64 {
        let passed: f64 = self
            .hours(self.week_hour(arrived), hours.min(FOLLOWED_HOURS))
            .map(|(_, _, rate, area)| rate * area)
            .sum();
        1.0 - (-pull * passed).exp()
    }

    /// Sessions of a day counted from the epoch, `weekly` on average in seven days.
    pub(super) fn sessions(&self, day: i64, weekly: f64, dice: Dice) -> Vec<f64> {
        let total: f64 = self.hourly.iter().sum();
        let midnight = local::utc(self.zone, day * local::DAY) as f64;
        let first = local::of_week(day * local::DAY) as usize / 3_600;
        let session = |hour: usize| {
            let draw = dice.with(day as u64).with(hour as u64);
            let at = midnight + 3_600.0 * (hour as f64 + draw.with(1).unit());
            draw.chance(weekly * self.hourly[first + hour] / total).then_some(at)
        };
        (0..24).filter_map(session).collect()
    }

    /// Whether the person is hardly ever there at this hour.
    pub(super) fn sleeps(&self, at: f64) -> bool {
        let mean = self.hourly.iter().sum::<f64>() / WEEK_HOURS as f64;
        self.hourly[self.week_hour(at) as usize % WEEK_HOURS] < 0.3 * mean
    }

    /// The clock on the wall at the arrival stays the message's clock, over a change of time too.
    fn week_hour(&self, arrived: f64) -> f64 {
        let whole = arrived.floor();
        let wall = local::wall(self.zone, whole as i64);
        (local::of_week(wall) as f64 + arrived - whole) / 3_600.0
    }

    /// The clock hours that a message waits through: age at their begin in hours, pull at that
    /// age, rate, and the area under the pull.
    fn hours(&self, from: f64, span: f64) -> impl Iterator<Item = (f64, f64, f64, f64)> {
        let hour_decay = (-1.0 / self.decay_hours).exp();
        let (mut age, mut fresh) = (0.0, 1.0);
        let mut hour = from as usize % WEEK_HOURS;
        let mut next = (from.floor() + 1.0 - from).min(span);
        std::iter::from_fn(move || {
            (age < span).then(|| {
                let step = next - age;
                let whole = step > 1.0 - 1e-9;
                let kept = if whole { hour_decay } else { (-step / self.decay_hours).exp() };
                let item = (age, fresh, self.hourly[hour], self.decay_hours * fresh * (1.0 - kept));
                (age, fresh, hour) = (next, fresh * kept, (hour + 1) % WEEK_HOURS);
                next = (age + 1.0).min(span);
                item
            })
        })
    }
}

/// A bell over the hours of a day, on the circle, 1 at its centre.
fn bump(center: f64, width: f64) -> [f64; 24] {
    std::array::from_fn(|hour| {
        let apart = (hour as f64 + 0.5 - center).rem_euclid(24.0);
        (-0.5 * (apart.min(24.0 - apart) / width).powi(2)).exp()
    })
}

/// Mean 1.
fn normalized(week: &Week) -> Week {
    let mean = week.iter().sum::<f64>() / WEEK_HOURS as f64;
    week.map(|rate| rate / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRIENDLY: f64 = 23.091_591_060_802_13;
    const HOSTILE: f64 = 20.951_010_527_067_847;

    #[test]
    fn the_chance_is_the_frequency() {
        let patterns = Patterns::new(Dice::new(4));
        for hours in [0.3, 2.0, 24.0, 160.0] {
            for hostile in [false, true] {
                let (mut expected, mut variance, mut opened) = (0.0, 0.0, 0.0);
                for i in 0..6_000u64 {
                    let dice = Dice::new(9).with(i);
                    let rates = if hostile {
                        Patterns::hostile(Tz::Asia__Kolkata, dice)
                    } else {
                        patterns.friendly(Tz::Asia__Kolkata, dice)
                    };
                    let arrived = 1_773_150_000.25 + i as f64 * 1_177.0;
                    let chance = rates.chance(arrived, hours, 1.3);
                    assert!((0.0..=1.0).contains(&chance));
                    expected += chance;
                    variance += chance * (1.0 - chance);
                    let at = rates.opened(arrived, 1.3, dice.with(77));
                    assert!(at.is_none_or(|at| at >= arrived));
                    let in_time = at.is_some_and(|at| at <= arrived + hours * 3_600.0);
                    opened += f64::from(u8::from(in_time));
                }
                let off = (opened - expected) / variance.sqrt();
                assert!(off.abs() < 4.0, "{hours} h: {opened}, not {expected}");
            }
        }
    }

    #[test]
    fn hours_tile_the_wait() {
        let rates = Patterns::hostile(Tz::Europe__London, Dice::new(1));
        for (from, span) in [(0.0, 24.0), (167.75, 30.5), (13.5, 0.2), (5.0, 168.0)] {
            let tau = rates.decay_hours;
            let area: f64 = rates.hours(from, span).map(|(.., area)| area).sum();
            assert!((area - tau * (1.0 - (-span / tau).exp())).abs() < 1e-9, "{from} {span}");
        }
    }

    #[test]
    fn the_known_truth_is_frozen() {
        let patterns = Patterns::new(Dice::new(1));
        let [mut friendly, mut hostile] = [0.0, 0.0];
        for i in 0..50u64 {
            let (dice, arrived) = (Dice::new(2).with(i), 1_773_150_000.0 + i as f64 * 7_200.0);
            friendly += patterns.friendly(Tz::Asia__Kolkata, dice).chance(arrived, 24.0, 1.0);
            hostile += Patterns::hostile(Tz::Asia__Kolkata, dice).chance(arrived, 24.0, 1.0);
        }
        assert!((friendly - FRIENDLY).abs() < 1e-9, "{friendly}");
        assert!((hostile - HOSTILE).abs() < 1e-9, "{hostile}");
    }
}
