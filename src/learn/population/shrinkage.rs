//! Weeks of rates, and the one way they are refined: each level multiplies the rates of the level
//! above it by shrunken ratios of what was observed to what was expected.
//!
//! A ratio is the posterior mean of a gamma factor with mean 1: `(a + n) / (a + m)`, where `n`
//! events were observed where `m` were expected and `a` grows with the mass of the group. Under
//! uniform exposure this is the predictive mean of a Dirichlet-multinomial with `concentration`
//! pseudo- observations spread as the level above has it; under the uneven exposure of messages it
//! is the same with what could have been seen in place of all that there was.

use serde::{Deserialize, Serialize};

use crate::learn::data::week_hours::WeekRates;
use crate::model::preference::WEEK_HOURS;

/// So strong or so long that it is as if there were no end.
pub(in crate::learn) const UNBOUNDED: f32 = 1e9;

/// How a level holds to the one above it, axis by axis, coarse before fine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct Concentrations {
    /// On the hour of the day, in broad strokes.
    pub(in crate::learn) hour: AxisPrior,
    /// On the hour of the day, in what broad strokes leave.
    pub(in crate::learn) fine: AxisPrior,
    /// On working days against the weekend.
    pub(in crate::learn) weekend: AxisPrior,
    /// On the day of the week.
    pub(in crate::learn) day: AxisPrior,
    /// On the hour of a working day or of the weekend.
    pub(in crate::learn) part: AxisPrior,
    /// On each hour of the week by itself.
    pub(in crate::learn) cell: AxisPrior,
}

/// How strongly, in pseudo-observations, and how far an hour speaks for its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct AxisPrior {
    pub(in crate::learn) concentration: f32,
    /// Standard deviation in hours of the kernel over the circle of hours; 0: none.
    pub(in crate::learn) bandwidth: f32,
}

/// How the hours of the week are grouped before a ratio is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::learn) enum WeekAxis {
    /// By hour of the day.
    Hour,
    /// By hour of the day once more.
    Fine,
    /// By working days and weekend.
    Weekend,
    /// By day of the week.
    Day,
    /// By hour of a working day or of the weekend.
    Part,
    /// Not at all.
    Cell,
}

/// All axes, coarse before fine.
pub(in crate::learn) const WHOLE: [WeekAxis; 6] = [
    WeekAxis::Hour,
    WeekAxis::Fine,
    WeekAxis::Weekend,
    WeekAxis::Day,
    WeekAxis::Part,
    WeekAxis::Cell,
];
/// The first of them.
pub(in crate::learn) const HOUR: [WeekAxis; 2] = [WeekAxis::Hour, WeekAxis::Fine];
/// What is left after the first.
pub(in crate::learn) const REST: [WeekAxis; 4] =
    [WeekAxis::Weekend, WeekAxis::Day, WeekAxis::Part, WeekAxis::Cell];

/// Days, or groups of days, of 24 hours each.
type Rows = [[f32; 24]; 7];

impl WeekAxis {
    fn prior(self, concentrations: &Concentrations) -> AxisPrior {
        match self {
            Self::Hour => concentrations.hour,
            Self::Fine => concentrations.fine,
            Self::Weekend => concentrations.weekend,
            Self::Day => concentrations.day,
            Self::Part => concentrations.part,
            Self::Cell => concentrations.cell,
        }
    }

    /// How many rows there are, and which of them a day belongs to.
    fn rows(self) -> (usize, [usize; 7]) {
        match self {
            Self::Hour | Self::Fine => (1, [0; 7]),
            Self::Weekend | Self::Part => (2, [0, 0, 0, 0, 0, 1, 1]),
            Self::Day | Self::Cell => (7, [0, 1, 2, 3, 4, 5, 6]),
        }
    }

    fn by_hour(self) -> bool {
        !matches!(self, Self::Weekend | Self::Day)
    }

    /// Totals of the groups; a day's total stands in the first hour of its row.
    fn totals(self, week: &WeekRates) -> Rows {
        let mut totals = [[0.0; 24]; 7];
        for (day, row) in week.chunks_exact(24).zip(self.rows().1) {
            if self.by_hour() {
                totals[row].iter_mut().zip(day).for_each(|(total, x)| *total += x);
            } else {
                totals[row][0] += day.iter().sum::<f32>();
            }
        }
        totals
    }
}

/// Scales a week to mean 1.
pub(in crate::learn) fn normalize(week: &mut WeekRates) {
    let scale = WEEK_HOURS as f32 / week.iter().sum::<f32>();
    for rate in week {
        *rate *= scale;
    }
}

/// Weights of a Gaussian kernel over the circle of 24 hours, by distance.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct CircularKernel([f32; 24]);

impl CircularKernel {
    /// A kernel of the given standard deviation in hours.
    pub(in crate::learn) fn new(bandwidth: f32) -> Self {
        let weight = |hour: usize| {
            let distance = hour.min(24 - hour) as f32;
            if hour == 0 { 1.0 } else { (-0.5 * (distance / bandwidth.max(1e-3)).powi(2)).exp() }
        };
        let weights: [f32; 24] = std::array::from_fn(weight);
        let total: f32 = weights.iter().sum();
        Self(weights.map(|weight| weight / total))
    }

    pub(in crate::learn) fn smooth(&self, hours: &mut [f32; 24]) {
        let mut twice = [0.0; 48];
        twice[..24].copy_from_slice(hours);
        twice[24..].copy_from_slice(hours);
        *hours = [0.0; 24];
        for (distance, weight) in self.0.iter().enumerate() {
            for (smooth, raw) in hours.iter_mut().zip(&twice[distance..]) {
                *smooth += weight * raw;
            }
        }
    }
}

/// What was observed in each hour of the week, and how much was watched: the expected number of
/// events is `watched × rate`.
#[derive(Debug, Clone)]
pub(in crate::learn) struct WeekCounts {
    pub(in crate::learn) observed: WeekRates,
    pub(in crate::learn) watched: WeekRates,
}

impl Default for WeekCounts {
    fn default() -> Self {
        Self { observed: [0.0; WEEK_HOURS], watched: [0.0; WEEK_HOURS] }
    }
}

/// A share of the mass of every group is spread evenly, so that no group holds without limit to a
/// rate of nothing.
pub(in crate::learn) const EVEN: f32 = 0.1;

/// Refines weeks under given concentration; kernels are worked out once.
#[derive(Debug, Clone)]
pub(in crate::learn) struct HierarchicalShrinkage(Vec<Step>);

#[derive(Debug, Clone)]
struct Step {
    axis: WeekAxis,
    concentration: f32,
    kernel: CircularKernel,
}

impl HierarchicalShrinkage {
    pub(in crate::learn) fn new(concentrations: &Concentrations) -> Self {
        let step = |axis: WeekAxis| {
            let prior = axis.prior(concentrations);
            Step {
                axis,
                concentration: prior.concentration,
                kernel: CircularKernel::new(prior.bandwidth),
            }
        };
        Self(WHOLE.into_iter().map(step).filter(|step| step.concentration < UNBOUNDED).collect())
    }

    /// Refines a week of mean 1 by counts, axis by axis, and scales it to mean 1 again.
    pub(in crate::learn) fn shrink(
        &self,
        week: &mut WeekRates,
        counts: &WeekCounts,
        axes: &[WeekAxis],
    ) {
        for step in self.0.iter().filter(|step| axes.contains(&step.axis)) {
            step.apply(week, counts);
            normalize(week);
        }
    }
}

impl Step {
    fn apply(&self, week: &mut WeekRates, counts: &WeekCounts) {
        let Self { axis, concentration, kernel } = self;
        let expected: WeekRates = std::array::from_fn(|h| counts.watched[h] * week[h]);
        let (mut observed, mut expected) = (axis.totals(&counts.observed), axis.totals(&expected));
        let mut ratio = axis.totals(week);
        let (rows, row_of) = axis.rows();
        let groups = if axis.by_hour() { rows * 24 } else { rows };
        let even = concentration * EVEN / groups as f32;
        let mass = concentration * (1.0 - EVEN) / WEEK_HOURS as f32;
        for row in 0..rows {
            if axis.by_hour() {
                kernel.smooth(&mut observed[row]);
                kernel.smooth(&mut expected[row]);
            }
            for (ratio, (n, m)) in
                ratio[row].iter_mut().zip(observed[row].iter().zip(&expected[row]))
            {
                let prior = mass * *ratio + even;
                *ratio = (prior + n) / (prior + m);
            }
        }
        for (day, row) in week.chunks_exact_mut(24).zip(row_of) {
            if axis.by_hour() {
                day.iter_mut().zip(&ratio[row]).for_each(|(rate, ratio)| *rate *= ratio);
            } else {
                for rate in day {
                    *rate *= ratio[row][0];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: AxisPrior = AxisPrior { concentration: UNBOUNDED, bandwidth: 0.0 };
    const PLAIN: Concentrations = Concentrations {
        hour: AxisPrior { concentration: 10.0, bandwidth: 0.0 },
        fine: NEVER,
        weekend: NEVER,
        day: NEVER,
        part: NEVER,
        cell: NEVER,
    };

    #[test]
    fn under_uniform_exposure_it_is_the_dirichlet_mean() {
        let mut counts = WeekCounts::default();
        counts.observed[9] = 4.0;
        counts.observed[24 + 20] = 2.0;
        counts.watched = [6.0 / WEEK_HOURS as f32; WEEK_HOURS];
        let mut week = [1.0; WEEK_HOURS];
        HierarchicalShrinkage::new(&PLAIN).shrink(&mut week, &counts, &WHOLE);
        let share = |hour: usize| (0..7).map(|d| week[d * 24 + hour]).sum::<f32>() / 168.0;
        assert!((share(9) - (10.0 / 24.0 + 4.0) / 16.0).abs() < 1e-5);
        assert!((share(20) - (10.0 / 24.0 + 2.0) / 16.0).abs() < 1e-5);
        assert!((share(3) - (10.0 / 24.0) / 16.0).abs() < 1e-5);
    }

    #[test]
    fn an_hour_that_was_watched_in_vain_loses_to_one_that_was_not_watched() {
        let mut counts = WeekCounts::default();
        (9..17).for_each(|hour| counts.watched[hour] = 5.0);
        counts.observed[10] = 12.0;
        let mut week = [1.0; WEEK_HOURS];
        HierarchicalShrinkage::new(&PLAIN).shrink(&mut week, &counts, &WHOLE);
        assert!(week[12] < week[20] && week[20] < week[10]);
    }

    #[test]
    fn nothing_seen_changes_nothing() {
        let mut week: WeekRates = std::array::from_fn(|h| 0.5 + (h % 24) as f32);
        normalize(&mut week);
        let before = week;
        let some = AxisPrior { concentration: 5.0, bandwidth: 1.0 };
        let all = Concentrations {
            hour: some,
            fine: some,
            weekend: some,
            day: some,
            part: some,
            cell: some,
        };
        HierarchicalShrinkage::new(&all).shrink(&mut week, &WeekCounts::default(), &WHOLE);
        assert!(week.iter().zip(before).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
