//! Numbers with a total order, for heaps and sorting.

use std::cmp::Ordering;

/// A number that can be compared; never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::plan) struct Key(f64);

impl Key {
    /// The number.
    pub(in crate::plan) fn value(self) -> f64 {
        self.0
    }
}

impl From<f64> for Key {
    fn from(value: f64) -> Self {
        debug_assert!(!value.is_nan());
        Self(value)
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
