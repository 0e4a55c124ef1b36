//! Which hyper-parameters predict held-out observations best.

pub(in crate::learn) mod cross_validation;
pub(in crate::learn) mod grid;
pub(in crate::learn) mod score;
