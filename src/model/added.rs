//! What a message adds over none, as far as people who get none tell.

use super::preference::{Preference, WEEK_HOURS};

/// Purchases that one more message brings a person who would else get none of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddedByMessage {
    /// Weeks with a purchase that it adds; negative where it drives people away.
    pub mean: f32,
    /// The standard error of that.
    pub error: f32,
    /// The chance of a purchase in a week without any message.
    pub without: f32,
}

impl AddedByMessage {
    /// Whether it is surely not nothing.
    pub fn is_sure(&self) -> bool {
        const ERRORS: f32 = 2.0;
        self.mean.abs() > ERRORS * self.error
    }

    /// The ends of its 95 % interval.
    pub fn interval(&self) -> [f32; 2] {
        const Z: f32 = 1.96;
        [self.mean - Z * self.error, self.mean + Z * self.error]
    }
}

impl Preference {
    /// What one more message adds to the purchases of the person; `None` where nobody can tell.
    pub fn added(&self) -> Option<AddedByMessage> {
        self.person.added
    }

    /// The mean of chances over the hours in which people are written to.
    pub fn at_usual_hours(&self, chances: &[f32; WEEK_HOURS]) -> f32 {
        let hours = &self.population.sent_hours;
        if hours.len() != WEEK_HOURS || hours.iter().all(|share| *share == 0.0) {
            return chances.iter().sum::<f32>() / WEEK_HOURS as f32;
        }
        chances.iter().zip(hours).map(|(chance, share)| chance * share).sum()
    }
}
