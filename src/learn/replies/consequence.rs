//! What follows from a judgement. A false withdrawal takes a person from the list who wanted to stay,
//! and who is not told: it costs many times what a missed stop does, which a person in the inbox or the
//! channel's own button still brings.

use crate::model::reply::{Intent, JudgedText};

/// The cost of a false withdrawal, in missed stops.
#[cfg(test)]
pub(super) const FALSE_WITHDRAWAL_COST: f64 = 50.0;
/// The cost of showing somebody a text that is no stop, in missed stops.
#[cfg(test)]
pub(super) const LOOK_COST: f64 = 0.05;

/// From this probability on a stop is sure: where the cost is least over cross-validated examples and
/// patterns. A test measures it.
pub(super) const SURE: f64 = 0.95;
/// From this probability on a stop may be meant, and a person looks: where the cost is least.
pub(super) const POSSIBLE: f64 = 0.08;

/// What follows from a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Consent ends.
    Withdraw,
    /// A person looks at it.
    NeedsHuman,
    /// Nothing is sent for a time, as the settings say for this intent.
    Pause(Intent),
    /// Nothing.
    Nothing,
}

/// What follows from a text that was judged so.
pub fn consequence(judged: &JudgedText) -> Consequence {
    match judged.intent {
        Intent::Stop if judged.stop >= SURE => Consequence::Withdraw,
        _ if judged.stop >= POSSIBLE => Consequence::NeedsHuman,
        Intent::NotNow | Intent::Automatic => Consequence::Pause(judged.intent),
        _ => Consequence::Nothing,
    }
}
