//! Hyper-parameters: what the data choose, and where the search begins.

use serde::{Deserialize, Serialize};

use crate::learn::data::exposure::ObservationWeights;
use crate::learn::population::shrinkage::{AxisPrior, Concentrations, UNBOUNDED};

/// What is chosen on the inner cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct HyperParameters {
    /// The most chronotypes.
    pub(in crate::learn) classes: usize,
    /// In how many days an observation comes to count half.
    pub(in crate::learn) half_life: f32,
    /// How often a person comes to live by other hours, in changes a year; 0: never.
    #[serde(default)]
    pub(in crate::learn) changes_a_year: f32,
    /// What a presence event counts for, where a read message counts 1.
    pub(in crate::learn) presence_weight: f32,
    /// How far an hour in which several messages waited counts once, and not for each of them: from
    /// 0 for not at all to 1.
    pub(in crate::learn) shared: f32,
    /// The power to which a person's week is taken in the end: below 1 where habits hold less than
    /// the past says.
    pub(in crate::learn) sharpness: f32,
    /// Of people around their chronotype.
    pub(in crate::learn) person: Concentrations,
    /// Of chronotypes around the population.
    pub(in crate::learn) class: Concentrations,
}

impl Default for HyperParameters {
    fn default() -> Self {
        let prior = |concentration, bandwidth| AxisPrior { concentration, bandwidth };
        Self {
            classes: 12,
            half_life: UNBOUNDED,
            changes_a_year: 0.25,
            presence_weight: 1.0,
            shared: 0.0,
            sharpness: 1.0,
            person: Concentrations {
                hour: prior(40.0, 2.5),
                fine: prior(80.0, 1.0),
                weekend: prior(40.0, 0.0),
                day: prior(40.0, 0.0),
                part: prior(120.0, 2.5),
                cell: prior(UNBOUNDED, 0.5),
            },
            class: Concentrations {
                hour: prior(50.0, 0.7),
                fine: prior(UNBOUNDED, 0.7),
                weekend: prior(50.0, 0.0),
                day: prior(100.0, 0.0),
                part: prior(40.0, 0.7),
                cell: prior(UNBOUNDED, 0.7),
            },
        }
    }
}

impl HyperParameters {
    /// Whether the classes are fitted the same way.
    pub(in crate::learn) fn same_classes(&self, other: &Self) -> bool {
        (self.classes, self.class, self.observation_weights())
            == (other.classes, other.class, other.observation_weights())
    }

    /// What an observation counts for.
    pub(in crate::learn) fn observation_weights(&self) -> ObservationWeights {
        ObservationWeights {
            half_life: self.half_life,
            presence_weight: self.presence_weight,
            shared: self.shared,
            changes_a_year: self.changes_a_year,
        }
    }
}
