//! The whole fit: a sample, hyper-parameters, the population, responses and calibration.

pub(in crate::learn) mod choice_calibration;
pub(in crate::learn) mod read_calibration;
pub(in crate::learn) mod refresh;
pub(in crate::learn) mod train;
