//! What the WhatsApp Cloud API's error codes mean for a dispatcher: a table, and nothing else.
//!
//! After the vendor's pages on error codes, the platform's limits and per-user limits. Built on the
//! code alone: titles, subcodes and HTTP statuses change.

use chrono::TimeDelta;

use crate::model::time::Instant;
use crate::provider::{RefusalScope, Scope, SendOutcome};

/// What a code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// This message again, after 4^X seconds for the Xth failure, X from 0.
    Pair,
    /// Everything waits so many seconds.
    All(u32),
    /// Everything of this template waits so many seconds.
    Template(u32),
    /// This person, on another day.
    AnotherDay,
    /// This person, never.
    Person(RefusalScope),
    /// The service window is closed: send a template.
    WindowClosed,
    /// What was uploaded cannot be used.
    Media,
    /// Nothing more of this template.
    StopTemplate,
    /// Nothing more at all, until somebody did what the text says.
    Stop(&'static str),
}

/// The class of a code; `None` for one that the table does not know.
#[expect(clippy::match_same_arms, reason = "the table reads as the vendor's does")]
pub(super) fn class(code: i64) -> Option<Class> {
    use Class::{All, AnotherDay, Media, Pair, Person, Stop, StopTemplate, Template, WindowClosed};
    Some(match code {
        // retry soon
        131_056 | 131_000 | 1 => Pair,
        130_429 => All(2),
        131_016 | 2 | 133_004 => All(15),
        131_057 => All(60),
        // the rate of the app's calls is counted by the hour
        4 | 80_007 => All(60),
        // another day; the experiment's page has no advice, so it is final for this campaign
        131_049 => AnotherDay,
        130_472 => Person(RefusalScope::Campaign),
        // never
        131_050 | 131_026 | 130_403 => Person(RefusalScope::Channel),
        131_021 | 130_497 | 131_030 => Person(RefusalScope::Campaign),
        // another message
        131_047 => WindowClosed,
        131_052 | 131_053 => Media,
        131_051 => StopTemplate,
        // stop the template
        132_015 | 132_016 | 132_000 | 132_001 | 132_005 | 132_007 | 132_012 | 132_018 | 131_008
        | 131_009 | 100 | 135_000 | 132_068 | 132_069 => StopTemplate,
        // stop the number
        131_048 => Stop("the number is limited for spam; look at its quality before you resume"),
        131_064 => Stop("a template's category was misused; the limit is lifted by itself"),
        131_031 | 368 => {
            Stop("the account is restricted or locked; see the business's support page")
        }
        131_042 => Stop("there is a problem with the payment; mend it in the business's billing"),
        131_045 | 133_010 | 33 | 131_037 => {
            Stop("the number is not registered or not yet allowed to send; register it")
        }
        // the other interface
        134_101 => Template(600),
        131_063 => Stop("marketing is disabled on the Cloud API; set api = \"marketing\""),
        131_055 | 134_100 | 134_102 => {
            Stop("this API does not take such messages; change `api` in the settings")
        }
        // a human
        0 | 190 | 3 | 10 | 200..=299 | 131_005 => {
            Stop("the token is not valid or lacks a permission; make a new one")
        }
        133_000 | 133_005 | 133_006 | 133_008 | 133_009 | 133_015 | 133_016 => {
            Stop("the number's registration is not complete; an operator must finish it")
        }
        _ => return None,
    })
}

/// The most that a failing message backs off: 4^6 seconds are 68 minutes.
const EXPONENT_MAX: u32 = 6;
/// A person who gets too much marketing is left alone for a day and a little.
const ANOTHER_DAY: TimeDelta = TimeDelta::minutes(24 * 60 + 5);

/// What a code means for the try `attempt` (from 1) that got it at `now`.
pub(super) fn outcome(code: i64, now: Instant, attempt: u32) -> SendOutcome {
    let seconds = |seconds: u32| now + TimeDelta::seconds(i64::from(seconds));
    let later = |after, whom| SendOutcome::Later { until: seconds(after), whom };
    let code_text = Some(code.to_string());
    match class(code) {
        None => SendOutcome::Failed,
        Some(Class::Pair) => {
            later(4_u32.pow(attempt.saturating_sub(1).min(EXPONENT_MAX)), Scope::Recipient)
        }
        Some(Class::All(after)) => later(after, Scope::Provider),
        Some(Class::Template(after)) => later(after, Scope::Template),
        Some(Class::AnotherDay) => SendOutcome::AnotherDay { until: now + ANOTHER_DAY },
        Some(Class::Person(scope)) => SendOutcome::RefusedPerson { scope, code: code_text },
        Some(Class::WindowClosed) => SendOutcome::NeedsTemplate,
        Some(Class::Media) => SendOutcome::StaleMedia,
        Some(Class::StopTemplate) => SendOutcome::RefusedTemplate { code: code_text },
        Some(Class::Stop(advice)) => {
            SendOutcome::Stopped { code: code.to_string(), advice: advice.to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_vendors_table_has_its_class() {
        let of = |codes: &[i64], wanted: &dyn Fn(Class) -> bool| {
            for code in codes {
                let found = class(*code);
                assert!(found.is_some_and(wanted), "{code} is {found:?}");
            }
        };
        of(&[130_429, 131_016, 2, 133_004, 131_057, 4, 80_007], &|c| matches!(c, Class::All(_)));
        of(&[131_056, 131_000, 1], &|c| c == Class::Pair);
        of(&[131_049], &|c| c == Class::AnotherDay);
        of(&[131_050, 131_026, 130_403], &|c| c == Class::Person(RefusalScope::Channel));
        of(&[130_472, 131_021, 130_497, 131_030], &|c| c == Class::Person(RefusalScope::Campaign));
        of(&[131_047], &|c| c == Class::WindowClosed);
        of(&[131_052, 131_053], &|c| c == Class::Media);
        let template = [
            132_015, 132_016, 132_001, 132_000, 132_005, 132_007, 132_012, 132_018, 131_008,
            131_009, 100, 135_000, 132_068, 132_069, 131_051,
        ];
        of(&template, &|c| c == Class::StopTemplate);
        of(&[134_101], &|c| c == Class::Template(600));
        let stop = [
            131_048, 131_064, 131_031, 368, 131_042, 131_045, 133_010, 33, 131_037, 131_063,
            131_055, 134_100, 134_102, 0, 190, 3, 10, 200, 250, 299, 131_005, 133_000, 133_005,
            133_006, 133_008, 133_009, 133_015, 133_016,
        ];
        of(&stop, &|c| matches!(c, Class::Stop(_)));
        for unknown in [-1, 5, 199, 300, 131_001, 999_999] {
            assert_eq!(class(unknown), None);
        }
    }

    #[test]
    fn a_pair_backs_off_by_powers_of_four() {
        let now = Instant::UNIX_EPOCH;
        let waits: Vec<i64> = (1..=8)
            .map(|attempt| match outcome(131_056, now, attempt) {
                SendOutcome::Later { until, whom: Scope::Recipient } => (until - now).num_seconds(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [1, 4, 16, 64, 256, 1024, 4096, 4096]);
    }

    #[test]
    fn too_much_marketing_waits_for_a_day_at_least() {
        let SendOutcome::AnotherDay { until } = outcome(131_049, Instant::UNIX_EPOCH, 1) else {
            panic!("not another day")
        };
        assert!(until - Instant::UNIX_EPOCH >= TimeDelta::hours(24));
    }
}
