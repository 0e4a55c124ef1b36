//! What people answer with: intents, and how sure a judgement of a text is.

use super::content::word_type;

word_type! {
    /// What a person wants with a text.
    Intent, "intent", "one of stop, not_now, question, interest, complaint, thanks, automatic, other" {
        /// Wants no more messages.
        Stop = "stop",
        /// Has no time or no money at the moment.
        NotNow = "not_now",
        /// Asks something.
        Question = "question",
        /// Wants what was offered, or more of it.
        Interest = "interest",
        /// Something went wrong.
        Complaint = "complaint",
        /// Is content.
        Thanks = "thanks",
        /// A machine answers.
        Automatic = "automatic",
        /// Anything else.
        Other = "other",
    }
}

/// What a text is taken for. Probabilities are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgedText {
    /// The most probable intent.
    pub intent: Intent,
    /// Its probability.
    pub probability: f64,
    /// The probability of [`Intent::Stop`].
    pub stop: f64,
    /// The most probable language, in BCP 47.
    pub language: &'static str,
    /// Its probability.
    pub language_probability: f64,
}
