//! How claimed deliveries are settled, and what is written of it.

use super::bulk::Column;
use super::micros;
use crate::model::content::{Content, Style};
use crate::model::delivery::{Reason, State};
use crate::model::ids::{ProviderMessage, RecipientId};
use crate::model::time::Instant;

/// How a claimed delivery is settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Whose it is.
    pub recipient: RecipientId,
    /// The number of the try that the claim was for, from 1.
    pub try_number: u32,
    /// Whether the provider was asked.
    pub attempt: Attempt,
    /// Why it was planned, as the claim read it.
    pub planned_for: Reason,
    /// Its next state.
    pub state: State,
    /// Why; `None` keeps the reason for which it was planned.
    pub reason: Option<Reason>,
    /// Of one that is planned again: when it is tried, or `None` where a new decision is due.
    pub again_at: Option<Instant>,
    /// A new decision may not choose an earlier time.
    pub not_before: Option<Instant>,
    /// What the provider took.
    pub sent: Option<Box<Sent>>,
    /// What the provider said of one that it did not take.
    pub failure: Option<Failure>,
}

impl Settled {
    /// Its next state and why; what is planned again ends where the campaign is over.
    pub(super) fn comes_to(&self, over: Option<(State, Reason)>) -> (State, Option<Reason>) {
        match over {
            Some((state, reason)) if self.state == State::Planned => (state, Some(reason)),
            _ => (self.state, self.reason),
        }
    }
}

/// A provider's code for a failure, and what it means in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    pub text: String,
}

/// What a provider took.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// What.
    pub content: Content,
    /// How the provider calls it.
    pub provider_message: Option<ProviderMessage>,
}

/// Whether a claim led to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It did.
    Made,
    /// Nothing was called.
    NotMade,
}

pub(super) const NAMES: [&str; 15] = [
    "campaign",
    "changed_at",
    "recipient",
    "try_number",
    "tries",
    "state",
    "reason",
    "send_at",
    "not_before",
    "sent_at",
    "media",
    "style",
    "provider_message",
    "failure_code",
    "failure_text",
];

/// What is settled, column by column.
pub(super) fn columns<'s>(
    campaign: i64,
    chunk: &[&'s Settled],
    over: Option<(State, Reason)>,
    now: Instant,
) -> Vec<Column<'s>> {
    let number = |of: &dyn Fn(&Settled) -> Option<i64>| {
        Column::Number(chunk.iter().map(|s| of(s)).collect())
    };
    let sent = |of: fn(&Sent) -> Option<&str>| {
        Column::Text(chunk.iter().map(|s| s.sent.as_deref().and_then(of)).collect())
    };
    let failure = |of: fn(&Failure) -> &str| {
        Column::Text(chunk.iter().map(|s| s.failure.as_ref().map(of)).collect())
    };
    let state = |s: &Settled| Some(s.comes_to(over).0.as_str());
    let reason = |s: &Settled| s.comes_to(over).1.map(Reason::as_str);
    let tries =
        |s: &Settled| Some(i64::from(s.try_number) - i64::from(s.attempt == Attempt::NotMade));
    vec![
        number(&|_| Some(campaign)),
        number(&|_| Some(micros(now))),
        number(&|s| Some(s.recipient.0)),
        number(&|s| Some(i64::from(s.try_number))),
        number(&tries),
        Column::Text(chunk.iter().map(|s| state(s)).collect()),
        Column::Text(chunk.iter().map(|s| reason(s)).collect()),
        number(&|s| s.again_at.map(micros)),
        number(&|s| s.not_before.map(micros)),
        number(&|s| s.sent.as_ref().map(|sent| micros(sent.at))),
        sent(|sent| Some(sent.content.media.as_str())),
        sent(|sent| sent.content.style.as_ref().map(Style::as_str)),
        sent(|sent| sent.provider_message.as_ref().map(ProviderMessage::as_str)),
        failure(|failure| &failure.code),
        failure(|failure| &failure.text),
    ]
}
