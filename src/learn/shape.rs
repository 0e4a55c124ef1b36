//! Weeks of rates, and the one way they are refined: each level multiplies the rates of the level
//! above it by shrunken ratios of what was observed to what was expected.
//!
//! A ratio is the posterior mean of a gamma factor with mean 1: `(a + n) / (a + m)`, where `n`
//! events were observed where `m` were expected and `a` grows with the mass of the group. Under
//! uniform exposure this is the predictive mean of a Dirichlet-multinomial with `strength` pseudo-
//! observations spread as the level above has it; under the uneven exposure of messages it is the
//! same with what could have been seen in place of all that there was.

use serde::{Deserialize, Serialize};

use super::hyper::ENDLESS;
use crate::model::preference::WEEK_HOURS;

/// A number for each hour of the local week.
pub(super) type Week = [f32; WEEK_HOURS];

/// How strongly a level holds to the one above it, in pseudo-observations a week, and how far an
/// hour speaks for its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Strengths {
    /// On the hour of the day.
    pub(super) hour: f32,
    /// On the day of the week.
    pub(super) day: f32,
    /// On the hour of a working day or of the weekend.
    pub(super) part: f32,
    /// On each hour of the week by itself.
    pub(super) cell: f32,
    /// Standard deviation in hours of the kernel over the circle of hours; 0: none.
    pub(super) bandwidth: f32,
}

/// How the hours of the week are grouped before a ratio is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// By hour of the day.
    Hour,
    /// By day of the week.
    Day,
    /// By hour of a working day or of the weekend.
    Part,
    /// Not at all.
    Cell,
}

/// All axes, coarse before fine.
pub(super) const WHOLE: [Axis; 4] = [Axis::Hour, Axis::Day, Axis::Part, Axis::Cell];
/// The first of them.
pub(super) const HOUR: [Axis; 1] = [Axis::Hour];
/// What is left after the first.
pub(super) const REST: [Axis; 3] = [Axis::Day, Axis::Part, Axis::Cell];

impl Axis {
    fn group(self, hour: usize) -> usize {
        let (day, hour) = (hour / 24, hour % 24);
        match self {
            Self::Hour => hour,
            Self::Day => day,
            Self::Part => usize::from(day >= 5) * 24 + hour,
            Self::Cell => day * 24 + hour,
        }
    }

    fn strength(self, strengths: &Strengths) -> f32 {
        match self {
            Self::Hour => strengths.hour,
            Self::Day => strengths.day,
            Self::Part => strengths.part,
            Self::Cell => strengths.cell,
        }
    }

    fn totals(self, week: &Week) -> Week {
        let mut totals = [0.0; WEEK_HOURS];
        for (hour, x) in week.iter().enumerate() {
            totals[self.group(hour)] += x;
        }
        totals
    }
}

/// Scales a week to mean 1.
pub(super) fn normalize(week: &mut Week) {
    let scale = WEEK_HOURS as f32 / week.iter().sum::<f32>();
    week.iter_mut().for_each(|x| *x *= scale);
}

/// Weights of a Gaussian kernel over the circle of 24 hours, by distance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel([f32; 24]);

impl Kernel {
    /// A kernel of the given standard deviation in hours.
    pub(super) fn new(bandwidth: f32) -> Self {
        let weight = |hour: usize| {
            let distance = hour.min(24 - hour) as f32;
            if hour == 0 { 1.0 } else { (-0.5 * (distance / bandwidth.max(1e-3)).powi(2)).exp() }
        };
        let mut weights: [f32; 24] = std::array::from_fn(weight);
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        Self(weights)
    }

    pub(super) fn smooth(&self, hours: &mut [f32]) {
        let raw: [f32; 24] = std::array::from_fn(|h| hours[h]);
        for (h, smooth) in hours.iter_mut().enumerate() {
            *smooth = (0..24).map(|d| self.0[d] * raw[(h + d) % 24]).sum();
        }
    }
}

/// What was observed in each hour of the week, and how much was watched: the expected number of
/// events is `watched × rate`.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) observed: Week,
    pub(super) watched: Week,
}

impl Default for Counts {
    fn default() -> Self {
        Self { observed: [0.0; WEEK_HOURS], watched: [0.0; WEEK_HOURS] }
    }
}

/// A share of the mass of every group is spread evenly, so that no group holds without limit to a
/// rate of nothing.
pub(super) const EVEN: f32 = 0.1;

/// Refines a week of mean 1 by counts, axis by axis, and scales it to mean 1 again.
pub(super) fn refine(week: &mut Week, counts: &Counts, strengths: &Strengths, axes: &[Axis]) {
    let kernel = Kernel::new(strengths.bandwidth);
    for axis in axes {
        let strength = axis.strength(strengths);
        if strength < ENDLESS {
            apply(week, counts, *axis, strength, &kernel);
            normalize(week);
        }
    }
}

fn apply(week: &mut Week, counts: &Counts, axis: Axis, strength: f32, kernel: &Kernel) {
    let expected: Week = std::array::from_fn(|h| counts.watched[h] * week[h]);
    let (mut observed, mut expected) = (axis.totals(&counts.observed), axis.totals(&expected));
    let mass = axis.totals(week);
    let groups = axis.group(WEEK_HOURS - 1) + 1;
    if axis != Axis::Day {
        for start in (0..groups).step_by(24) {
            kernel.smooth(&mut observed[start..start + 24]);
            kernel.smooth(&mut expected[start..start + 24]);
        }
    }
    let even = EVEN / groups as f32;
    let mut ratio = [0.0; WEEK_HOURS];
    for g in 0..groups {
        let prior = strength * ((1.0 - EVEN) * mass[g] / WEEK_HOURS as f32 + even);
        ratio[g] = (prior + observed[g]) / (prior + expected[g]);
    }
    for (hour, rate) in week.iter_mut().enumerate() {
        *rate *= ratio[axis.group(hour)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Strengths =
        Strengths { hour: 10.0, day: ENDLESS, part: ENDLESS, cell: ENDLESS, bandwidth: 0.0 };

    #[test]
    fn under_uniform_exposure_it_is_the_dirichlet_mean() {
        let mut counts = Counts::default();
        counts.observed[9] = 4.0;
        counts.observed[24 + 20] = 2.0;
        counts.watched = [6.0 / WEEK_HOURS as f32; WEEK_HOURS];
        let mut week = [1.0; WEEK_HOURS];
        refine(&mut week, &counts, &PLAIN, &WHOLE);
        let share = |hour: usize| (0..7).map(|d| week[d * 24 + hour]).sum::<f32>() / 168.0;
        assert!((share(9) - (10.0 / 24.0 + 4.0) / 16.0).abs() < 1e-5);
        assert!((share(20) - (10.0 / 24.0 + 2.0) / 16.0).abs() < 1e-5);
        assert!((share(3) - (10.0 / 24.0) / 16.0).abs() < 1e-5);
    }

    #[test]
    fn an_hour_that_was_watched_in_vain_loses_to_one_that_was_not_watched() {
        let mut counts = Counts::default();
        (9..17).for_each(|hour| counts.watched[hour] = 5.0);
        counts.observed[10] = 12.0;
        let mut week = [1.0; WEEK_HOURS];
        refine(&mut week, &counts, &PLAIN, &WHOLE);
        assert!(week[12] < week[20] && week[20] < week[10]);
    }

    #[test]
    fn nothing_seen_changes_nothing() {
        let mut week: Week = std::array::from_fn(|h| 0.5 + (h % 24) as f32);
        normalize(&mut week);
        let before = week;
        let all = Strengths { day: 5.0, part: 5.0, cell: 5.0, bandwidth: 1.0, ..PLAIN };
        refine(&mut week, &Counts::default(), &all, &WHOLE);
        assert!(week.iter().zip(before).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
