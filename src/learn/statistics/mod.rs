//! Figures with intervals, calibration errors, small systems and special functions.

pub(in crate::learn) mod estimate;
pub(in crate::learn) mod linear;
pub(in crate::learn) mod reliability;
pub(in crate::learn) mod special;
