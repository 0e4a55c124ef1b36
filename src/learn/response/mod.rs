//! What follows a read: clicks, replies, conversions and opt-outs, how long they take, their
//! calibration, and what messages add over none.

pub(in crate::learn) mod calibration;
pub(in crate::learn) mod channel_answers;
pub(in crate::learn) mod content_effects;
pub(in crate::learn) mod delay;
pub(in crate::learn) mod estimators;
pub(in crate::learn) mod model;
pub(in crate::learn) mod outcomes;
pub(in crate::learn) mod regression;
pub(in crate::learn) mod uplift;
