//! The settings that data choose: what they are, where the search begins, and what it tries.

use serde::{Deserialize, Serialize};

use super::shape::{Hold, Strengths};

/// So strong or so long that it is as if there were no end.
pub(super) const ENDLESS: f32 = 1e9;

/// What is chosen on the inner splits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Hyper {
    /// The most chronotypes.
    pub(super) classes: usize,
    /// In how many days an observation comes to count half.
    pub(super) half_life: f32,
    /// What a sign of presence counts for, where a read message counts 1.
    pub(super) signs: f32,
    /// How far an hour in which several messages waited counts once, and not for each of them: from
    /// 0 for not at all to 1.
    pub(super) shared: f32,
    /// The power to which a person's week is taken in the end: below 1 where habits hold less than
    /// the past says.
    pub(super) sharpness: f32,
    /// Of people around their chronotype.
    pub(super) person: Strengths,
    /// Of chronotypes around the population.
    pub(super) class: Strengths,
}

impl Default for Hyper {
    fn default() -> Self {
        let hold = |strength, bandwidth| Hold { strength, bandwidth };
        Self {
            classes: 12,
            half_life: ENDLESS,
            signs: 1.0,
            shared: 0.0,
            sharpness: 1.0,
            person: Strengths {
                hour: hold(40.0, 2.5),
                fine: hold(80.0, 1.0),
                weekend: hold(40.0, 0.0),
                day: hold(40.0, 0.0),
                part: hold(120.0, 2.5),
                cell: hold(ENDLESS, 0.5),
            },
            class: Strengths {
                hour: hold(50.0, 0.7),
                fine: hold(ENDLESS, 0.7),
                weekend: hold(50.0, 0.0),
                day: hold(100.0, 0.0),
                part: hold(40.0, 0.7),
                cell: hold(ENDLESS, 0.7),
            },
        }
    }
}

/// What an observation counts for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Memory {
    /// In how many days it comes to count half.
    pub(super) half_life: f32,
    /// What a sign of presence counts for, where a read message counts 1.
    pub(super) signs: f32,
    /// How far an hour in which several messages waited counts once.
    pub(super) shared: f32,
}

/// Sets one of them.
pub(super) type Knob = fn(&mut Hyper, f32);

/// A step of the search is taken for a gain of so many standard errors: some thirty are tried, and
/// at one standard error five of them would be taken by chance.
pub(super) const ERRORS: f64 = 2.0;

/// What the search tries, in this order; each value is tried in place of the best so far.
/// Days come before the weekend: while days are free, they stand in for it.
pub(super) const SEARCH: &[(Knob, &[f32])] = &[
    (|h, x| h.classes = x as usize, &[6.0, 24.0]),
    (|h, x| h.half_life = x, &[1000.0, 500.0, 250.0]),
    (|h, x| h.signs = x, &[0.5, 0.2]),
    (|h, x| h.shared = x, &[1.0]),
    (|h, x| h.person.hour.strength = x, &[20.0, 80.0, 10.0, 160.0]),
    (|h, x| h.person.fine.strength = x, &[40.0, 160.0, 20.0, ENDLESS]),
    (|h, x| h.person.day.strength = x, &[150.0, 500.0, 15.0]),
    (|h, x| h.person.weekend.strength = x, &[10.0, 150.0, 3.0]),
    (|h, x| h.person.part.strength = x, &[40.0, 400.0, 15.0]),
    (|h, x| h.person.cell.strength = x, &[300.0, 100.0]),
    (|h, x| h.person.cell.bandwidth = x, &[2.5]),
    (|h, x| h.person.hour.bandwidth = x, &[1.5, 0.7]),
    (|h, x| h.sharpness = x, &[0.9, 0.8, 1.1]),
    (|h, x| h.class.cell.strength = x, &[1600.0, 400.0]),
];

impl Hyper {
    /// Whether the classes are fitted the same way.
    pub(super) fn same_classes(&self, other: &Self) -> bool {
        (self.classes, self.class, self.memory()) == (other.classes, other.class, other.memory())
    }

    /// What an observation counts for.
    pub(super) fn memory(&self) -> Memory {
        Memory { half_life: self.half_life, signs: self.signs, shared: self.shared }
    }
}
