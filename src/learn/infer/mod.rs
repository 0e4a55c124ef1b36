//! The one way from a person's evidence and a model to a prediction.

pub(in crate::learn) mod model;
pub(in crate::learn) mod predict;
