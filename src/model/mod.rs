//! The nouns of the house: values that cannot be wrong once they exist.
//!
//! Parsed once at the edge, used everywhere, and dependent on nothing else in the crate. No clock,
//! no chance, no I/O. *Invariant:* a value of a type here was checked when it was made.

pub mod action;
mod added;
pub mod campaign;
pub mod choice;
pub mod consent;
pub mod content;
mod curve;
mod delays;
pub mod delivery;
mod draw;
pub mod event;
mod fatigue;
pub mod frequency;
pub mod hash;
pub mod holdout;
pub mod ids;
pub mod link;
pub mod message;
pub mod part_of_day;
pub mod phone;
pub mod preference;
mod range;
pub mod recipient;
pub mod reply;
mod saturate;
pub mod slot;
mod stamp;
pub mod tariff;
pub mod template;
pub mod time;
pub mod wish;
pub(crate) mod written;

use std::fmt;

/// Input that is not what it must be: what it is, the value, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not {wanted}")]
pub struct Invalid {
    /// The noun: a column, key or type.
    pub what: &'static str,
    /// The value as it was given, cut to a printable length.
    pub value: String,
    /// What would have been right, as it completes "is not …".
    pub wanted: &'static str,
}

impl Invalid {
    /// Names `value` as an instance of `what` that is not `wanted`.
    pub fn new(what: &'static str, value: impl fmt::Display, wanted: &'static str) -> Self {
        const SHOWN_MAX: usize = 80;
        let full = value.to_string();
        let mut value: String = full.chars().take(SHOWN_MAX).collect();
        if value.len() < full.len() {
            value.push('…');
        }
        Self { what, value, wanted }
    }
}
