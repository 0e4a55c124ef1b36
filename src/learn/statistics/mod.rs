//! Figures with intervals, calibration errors and special functions.

pub(in crate::learn) mod estimate;
pub(in crate::learn) mod reliability;
pub(in crate::learn) mod special;
