//! How a fit fails.

use std::fmt;

/// A fit that did not come to a finite answer; the last good model stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fit of the {part} failed: {cause}")]
pub struct FitError {
    part: &'static str,
    cause: String,
}

impl FitError {
    pub(in crate::learn) fn new(part: &'static str, cause: impl fmt::Display) -> Self {
        Self { part, cause: cause.to_string() }
    }
}

impl From<linfa::Error> for FitError {
    fn from(cause: linfa::Error) -> Self {
        Self::new("chronotypes", cause)
    }
}
