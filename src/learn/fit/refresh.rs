//! A model kept fresh between fits: its response models follow what became known since.

use crate::learn::data::evidence::seconds;
use crate::learn::data::subject::{CensoredSubject, Subject};
use crate::learn::error::FitError;
use crate::learn::infer::model::Model;
use crate::model::time::Instant;

impl Model {
    /// The same model, its responses kept fresh by what happened since it was fitted: people's
    /// evidence up to `as_of`, newer than the model, is followed message by message.
    pub fn refresh(&self, people: &[Subject<'_>], as_of: Instant) -> Result<Self, FitError> {
        const BEFORE: u32 = 30 * 86_400;
        let fitted_until = seconds(self.as_of());
        let until = seconds(as_of);
        let recent = |subject: &&Subject<'_>| {
            subject.evidence.last(until).is_some_and(|last| last + BEFORE >= fitted_until)
        };
        let people: Vec<CensoredSubject<'_>> =
            people.iter().filter(recent).map(|s| CensoredSubject { subject: *s, until }).collect();
        let mut responses = self.fitted_responses().clone();
        responses.refresh(&people, &self.reporting, fitted_until)?;
        if !responses.is_finite() {
            return Err(FitError::new("responses between nights", "they are not finite"));
        }
        Ok(self.with_responses(responses))
    }
}
