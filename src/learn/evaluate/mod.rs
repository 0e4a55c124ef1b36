//! What a model is worth: held-out evaluation beside baselines, drift, off-policy estimates and
//! insights; and what experiments show.

pub(in crate::learn) mod baseline_policy;
pub(in crate::learn) mod baselines;
pub(in crate::learn) mod drawn_policy;
pub(in crate::learn) mod drift;
pub mod experiment;
pub(in crate::learn) mod habit_change;
pub(in crate::learn) mod held_out;
pub(in crate::learn) mod insights;
pub(in crate::learn) mod messages;
pub mod off_policy;
pub(in crate::learn) mod presence;
