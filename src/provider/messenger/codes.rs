//! What the errors of Messenger's Send API and Marketing Messages API mean for a dispatcher: a table.
//!
//! After the vendor's pages on error codes and on marketing messages, as of 2026. What is not here is
//! [`RefusalScope::Unknown`].

use chrono::TimeDelta;

use crate::model::time::Instant;
use crate::provider::graph::GraphError;
use crate::provider::{RefusalScope, Scope, SendOutcome};

/// What a code asks for.
enum Class {
    /// This message again, after 4^X seconds for the Xth failure, X from 0.
    Again,
    /// Everything waits so many seconds.
    All(u32),
    /// This person, when the next message by the subscription may go.
    NextTurn,
    /// The person has not written for a day.
    WindowClosed,
    Refused(RefusalScope),
}

/// Between two marketing messages by one subscription.
const TURN: TimeDelta = TimeDelta::hours(12);
/// The most that a failing message backs off: 4^6 seconds are 68 minutes.
const EXPONENT_MAX: u32 = 6;

fn class(code: i64, subcode: Option<i64>) -> Option<(Class, &'static str)> {
    use Class::{Again, All, NextTurn, Refused, WindowClosed};
    use RefusalScope::{Account, Person, PersonData, Unpermitted, Unreachable};
    Some(match (code, subcode) {
        (4, Some(2_018_354)) => (NextTurn, "one marketing message in twelve hours is the most"),
        (4 | 17 | 32 | 613 | 80_006, _) => (All(60), "too many calls for this page"),
        (1200, _) | (1, None) => (Again, "something went wrong at the channel"),
        (2, Some(2_018_344)) => {
            (Refused(Account), "the page's privacy terms are not accepted; an admin must do so")
        }
        (2, _) => (All(15), "the channel is not available for now"),
        (10, Some(2_018_278 | 2_018_065 | 2_534_022)) => {
            (WindowClosed, "the person has not written for a day")
        }
        (100, Some(2_018_001)) | (551, _) | (200, Some(1_545_041)) => {
            (Refused(Unreachable), "the channel does not reach this person")
        }
        (100, Some(33)) => (Refused(Account), "the page is unknown to this token; look at page_id"),
        (100, _) => {
            (Refused(PersonData), "the channel does not take a parameter or the person's id")
        }
        (2_300_004 | 2_300_005, _) => {
            (Refused(Unpermitted), "the subscription is not valid any more")
        }
        (2_300_000..=2_300_003, _) => {
            (Refused(Account), "the campaign of messages is not active; look at message_campaign")
        }
        (2_300_052, _) => (Refused(Person), "marketing messages are not available to this person"),
        (1, Some(_)) | (0 | 3 | 10 | 102 | 190 | 200..=299, _) => {
            (Refused(Account), "the token is not valid or lacks a permission; make a new one")
        }
        (368 | 9, _) => (Refused(Account), "the page is restricted; see its support page"),
        _ => return None,
    })
}

/// What an error means for the try `attempt` (from 1) that got it at `now`; `None` for one that no table has.
pub(super) fn outcome(error: &GraphError, now: Instant, attempt: u32) -> Option<SendOutcome> {
    let (code, subcode) = error.numbers()?;
    let (class, words) = class(code, subcode)?;
    let later = |after: TimeDelta, whom| SendOutcome::Later { until: now + after, whom };
    Some(match class {
        Class::Again => {
            let seconds = 4_i64.pow(attempt.saturating_sub(1).min(EXPONENT_MAX));
            later(TimeDelta::seconds(seconds), Scope::Recipient)
        }
        Class::All(seconds) => later(TimeDelta::seconds(i64::from(seconds)), Scope::Provider),
        Class::NextTurn => SendOutcome::AnotherDay { until: now + TURN },
        Class::WindowClosed => SendOutcome::NeedsTemplate,
        Class::Refused(scope) => SendOutcome::refused(scope, error.code(), words),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_tell_the_person_from_the_subscription_and_the_account() {
        let of = |code: i64, subcode: Option<i64>| {
            let error = json!({ "code": code, "error_subcode": subcode, "message": "m" });
            let error: GraphError = serde_json::from_value(error).unwrap();
            outcome(&error, Instant::UNIX_EPOCH, 2)
        };
        for (code, subcode, scope) in [
            (551, None, RefusalScope::Unreachable),
            (100, Some(2_018_001), RefusalScope::Unreachable),
            (100, None, RefusalScope::PersonData),
            (2_300_004, None, RefusalScope::Unpermitted),
            (2_300_052, None, RefusalScope::Person),
            (190, None, RefusalScope::Account),
            (10, None, RefusalScope::Account),
            (2_300_000, None, RefusalScope::Account),
        ] {
            let told = of(code, subcode).unwrap().refusal_scope();
            assert_eq!(told, Some(scope), "{code} {subcode:?}");
        }
        assert_eq!(of(10, Some(2_018_278)), Some(SendOutcome::NeedsTemplate));
        let waits = |outcome| match outcome {
            Some(SendOutcome::Later { until, whom }) => {
                ((until - Instant::UNIX_EPOCH).num_seconds(), whom)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(of(1200, None)), (4, Scope::Recipient));
        assert_eq!(waits(of(613, None)), (60, Scope::Provider));
        assert!(matches!(of(4, Some(2_018_354)), Some(SendOutcome::AnotherDay { .. })));
        assert_eq!(of(999, None), None);
    }
}
