//! Fatigue: what other messages of the last days change about the next.

use chrono::TimeDelta;

use super::preference::{Answers, Preference};

/// Added to log-odds for each natural log of one more than the messages within [`Fatigue::SPAN`]
/// before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fatigue {
    /// To those of each answer to what was seen.
    pub answers: Answers<f32>,
    /// To those of an opt-out.
    pub opt_out: f32,
}

impl Fatigue {
    /// Messages are counted so far back.
    pub const SPAN: TimeDelta = TimeDelta::days(7);

    /// Whether other messages change nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Preference {
    /// What the person does with a message that comes after so many others within
    /// [`Fatigue::SPAN`].
    #[must_use]
    pub fn after(mut self, messages: usize) -> Self {
        let (more, of) = ((messages as f32).ln_1p() - self.person.recent, self.population.fatigue);
        self.person.answers.click += more * of.answers.click;
        self.person.answers.reply += more * of.answers.reply;
        self.person.answers.convert += more * of.answers.convert;
        self.person.opt_out += more * of.opt_out;
        self.person.recent += more;
        self
    }

    /// What other messages change for everybody.
    pub fn fatigue(&self) -> Fatigue {
        self.population.fatigue
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::content::{Content, Goal, Media};
    use crate::model::preference::{Person, Population};

    #[test]
    fn a_message_after_others_is_answered_less_and_drives_more_away() {
        let of = Answers { click: -0.5, reply: 0.0, convert: 0.0 };
        let population =
            Population { fatigue: Fatigue { answers: of, opt_out: 0.4 }, ..Population::default() };
        let person = Person {
            week: [1.0; 168],
            certainty: [1.0; 24],
            level: 0.1,
            level_certainty: 1.0,
            tastes: [].into(),
            answers: Answers { click: -1.0, reply: -1.0, convert: -1.0 },
            answer_certainty: Answers::default(),
            opt_out: -5.0,
            opt_out_certainty: 1.0,
            // told after one message
            recent: 2.0_f32.ln(),
            added: None,
            chronotype: 0,
            chronotype_share: 1.0,
            evidence: 0.0,
        };
        let told = Preference::new(Arc::new(population), person);
        let text = Content { media: Media::Text, style: None };
        let share = |log_odds: f64| 1.0 / (1.0 + (-log_odds).exp());
        for (messages, more) in [(0, -(2.0_f64.ln())), (1, 0.0), (3, 2.0_f64.ln())] {
            let then = told.clone().after(messages);
            let click = f64::from(then.answer_chance(&text, Goal::Click));
            assert!((click - share(-1.0 - 0.5 * more)).abs() < 1e-5, "{messages}: {click}");
            let opt_out = f64::from(then.opt_out(&text));
            assert!((opt_out - share(-5.0 + 0.4 * more)).abs() < 1e-5, "{messages}: {opt_out}");
            let reply = then.answer_chance(&text, Goal::Reply);
            assert_eq!(reply, told.answer_chance(&text, Goal::Reply));
        }
    }
}
