//! What the search of hyper-parameters tries, and in which order.

use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::shrinkage::UNBOUNDED;

/// Sets one of them.
pub(in crate::learn) type Setter = fn(&mut HyperParameters, f32);

/// A step of the search is taken for a gain of so many standard errors: some thirty are tried, and
/// at one standard error five of them would be taken by chance.
pub(in crate::learn) const ERRORS: f64 = 2.0;

/// Values beyond the end of a list that are tried at most, each twice as far as the one before.
pub(in crate::learn) const BEYOND_MAX: usize = 6;

/// A hyper-parameter, and the values that are tried in place of the best so far.
pub(in crate::learn) struct Step {
    pub(in crate::learn) set: Setter,
    pub(in crate::learn) values: &'static [f32],
    pub(in crate::learn) edge: Edge,
}

/// Whether values beyond the list are tried where one at its end was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::learn) enum Edge {
    /// They are: the list is where the search begins.
    Open,
    /// There are none, or none that would be a different model.
    Closed,
}

impl Edge {
    /// By what to go on from a value that was taken, if it lies at an end of the list.
    pub(in crate::learn) fn beyond(self, values: &[f32], taken: f32) -> Option<f32> {
        if self == Self::Closed || taken >= UNBOUNDED {
            return None;
        }
        let tried = || values.iter().copied().filter(|value| *value < UNBOUNDED);
        if tried().all(|value| taken <= value) {
            Some(0.5)
        } else {
            tried().all(|value| taken >= value).then_some(2.0)
        }
    }
}

/// What the search tries, in this order. Days come before the weekend: while days are free, they
/// stand in for it.
pub(in crate::learn) const SEARCH: &[Step] = &[
    // the search halves them as long as that predicts better, and people who are all alike are of one
    Step { set: |h, x| h.classes = (x as usize).max(1), values: &[6.0, 24.0], edge: Edge::Open },
    Step { set: |h, x| h.half_life = x, values: &[1000.0, 500.0, 250.0], edge: Edge::Open },
    // a history is searched for one change: more than one a year are beyond it
    Step { set: |h, x| h.changes_a_year = x, values: &[0.0, 1.0], edge: Edge::Closed },
    Step { set: |h, x| h.presence_weight = x, values: &[0.5, 0.2], edge: Edge::Open },
    Step { set: |h, x| h.shared = x, values: &[1.0], edge: Edge::Closed },
    Step {
        set: |h, x| h.person.hour.concentration = x,
        values: &[20.0, 80.0, 10.0, 160.0],
        edge: Edge::Open,
    },
    Step {
        set: |h, x| h.person.fine.concentration = x,
        values: &[40.0, 160.0, 20.0, UNBOUNDED],
        edge: Edge::Open,
    },
    Step {
        set: |h, x| h.person.day.concentration = x,
        values: &[150.0, 500.0, 15.0],
        edge: Edge::Open,
    },
    Step {
        set: |h, x| h.person.weekend.concentration = x,
        values: &[10.0, 150.0, 3.0],
        edge: Edge::Open,
    },
    Step {
        set: |h, x| h.person.part.concentration = x,
        values: &[40.0, 400.0, 15.0],
        edge: Edge::Open,
    },
    Step { set: |h, x| h.person.cell.concentration = x, values: &[300.0, 100.0], edge: Edge::Open },
    Step { set: |h, x| h.person.cell.bandwidth = x, values: &[2.5], edge: Edge::Closed },
    Step { set: |h, x| h.person.hour.bandwidth = x, values: &[1.5, 0.7], edge: Edge::Closed },
    Step { set: |h, x| h.sharpness = x, values: &[0.9, 0.8, 1.1], edge: Edge::Closed },
    Step { set: |h, x| h.class.cell.concentration = x, values: &[1600.0, 400.0], edge: Edge::Open },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_class() {
        let mut hyper = HyperParameters::default();
        for value in [24.0, 6.0, 1.5, 0.75, 0.1] {
            (SEARCH[0].set)(&mut hyper, value);
            assert!((1..=24).contains(&hyper.classes), "{value}");
        }
    }

    #[test]
    fn the_search_goes_on_where_the_end_of_a_list_was_taken() {
        assert_eq!(Edge::Open.beyond(&[20.0, 80.0, 10.0], 10.0), Some(0.5));
        assert_eq!(Edge::Open.beyond(&[20.0, 80.0, 10.0], 80.0), Some(2.0));
        assert_eq!(Edge::Open.beyond(&[20.0, 80.0, 10.0], 20.0), None);
        assert_eq!(Edge::Open.beyond(&[20.0, UNBOUNDED], UNBOUNDED), None);
        assert_eq!(Edge::Closed.beyond(&[1.5, 0.7], 0.7), None);
    }
}
