//! The settings that data choose: what they are, where the search begins, and what it tries.

use serde::{Deserialize, Serialize};

use super::shape::Strengths;

/// So strong or so long that it is as if there were no end.
pub(super) const ENDLESS: f32 = 1e9;

/// What is chosen on the inner time split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Hyper {
    /// The most chronotypes.
    pub(super) classes: usize,
    /// In how many days an observation comes to count half.
    pub(super) half_life: f32,
    /// Of people around their chronotype.
    pub(super) person: Strengths,
    /// Of chronotypes around the population.
    pub(super) class: Strengths,
}

impl Default for Hyper {
    fn default() -> Self {
        Self {
            classes: 12,
            half_life: ENDLESS,
            person: Strengths { hour: 25.0, day: 10.0, part: 60.0, cell: 150.0, bandwidth: 1.0 },
            class: Strengths { hour: 10.0, day: 20.0, part: 60.0, cell: 200.0, bandwidth: 0.7 },
        }
    }
}

/// Sets one of them.
pub(super) type Knob = fn(&mut Hyper, f32);

/// What the search tries, in this order; each value is tried in place of the best so far.
pub(super) const SEARCH: &[(Knob, &[f32])] = &[
    (|h, x| h.classes = x as usize, &[6.0, 24.0, 48.0]),
    (|h, x| h.person.hour = x, &[60.0, 15.0, 120.0, 8.0, 300.0]),
    (|h, x| h.person.bandwidth = x, &[0.5, 1.5, 2.0]),
    (|h, x| h.person.day = x, &[20.0, 5.0, 40.0, 2.5, 100.0]),
    (|h, x| h.half_life = x, &[720.0, 360.0, 180.0, 90.0, 45.0]),
    (|h, x| h.person.part = x, &[30.0, 120.0, 15.0, ENDLESS]),
    (|h, x| h.person.cell = x, &[60.0, 400.0, ENDLESS]),
    (|h, x| h.person.hour = x, &[60.0, 25.0, 15.0, 120.0, 8.0]),
    (|h, x| h.class.cell = x, &[50.0, 800.0]),
];

impl Hyper {
    /// Whether the classes are fitted the same way.
    pub(super) fn same_classes(&self, other: &Self) -> bool {
        let part = |h: &Self| (h.classes, h.class, h.half_life.to_bits());
        part(self) == part(other)
    }
}
