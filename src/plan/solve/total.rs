//! Numbers with a total order, for heaps and sorting.

use std::cmp::Ordering;

/// A number that can be compared; never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TotalF64(f64);

impl TotalF64 {
    /// The number.
    pub(super) fn value(self) -> f64 {
        self.0
    }
}

impl From<f64> for TotalF64 {
    fn from(value: f64) -> Self {
        debug_assert!(!value.is_nan());
        Self(value)
    }
}

impl Eq for TotalF64 {}

impl PartialOrd for TotalF64 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TotalF64 {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
