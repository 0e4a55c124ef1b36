//! What the WhatsApp Cloud API's error codes mean for a dispatcher: a table, and nothing else.
//!
//! After the vendor's pages on error codes, the Graph API's error handling, the platform's limits
//! and per-user limits, and what public reports say of them. Built on the code; the subcode tells
//! only where one code stands for two things. Titles and HTTP statuses change. A code that is not
//! here means [`RefusalScope::Unknown`]: the vendor adds codes without notice.

use crate::model::time::Instant;
use crate::provider::graph::{GraphError, Number, SUBCODE_OBJECT};
use crate::provider::{Event, RefusalScope, Scope, SendOutcome, Wording};
use chrono::TimeDelta;

/// What a code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// This message again, after 4^X seconds for the Xth failure, X from 0.
    Pair,
    /// Everything waits so many seconds.
    All(u32),
    /// Everything of this template waits so many seconds.
    Template(u32),
    /// This person, on another day.
    AnotherDay,
    /// The service window is closed: send a template.
    WindowClosed,
    /// It is over for what the scope says.
    Refused(RefusalScope),
}

const OBJECT: &str =
    "the phone number id is unknown to this token; look at phone_number_id and the token";

/// The class of a code with its meaning in words; `None` for one that the table does not know.
fn class(code: i64, subcode: Option<i64>) -> Option<(Class, &'static str)> {
    use Class::{All, AnotherDay, Pair, Refused, Template, WindowClosed};
    use RefusalScope::{Account, Media, OptedOut, Person, PersonData, Unknown, Unreachable};
    Some(match code {
        // retry soon
        131_056 => (Pair, "too many messages to this person in a short time"),
        131_000 | 1 => (Pair, "something went wrong at the channel"),
        130_429 => (All(2), "too many messages a second from this number"),
        131_016 | 2 | 133_004 => (All(15), "the channel is not available for now"),
        131_057 => (All(60), "the account is being moved to a higher throughput"),
        // the rate of the app's calls is counted by the hour
        4 | 17 | 32 | 341 | 613 | 80_007 | 80_008 => (All(60), "too many calls from this app"),
        134_101 => (Template(600), "the template is not ready yet"),
        // another day, or another message
        131_049 => (AnotherDay, "the person gets too much marketing in these days"),
        131_047 => (WindowClosed, "the person has not written for a day; a template is needed"),
        // one person
        100 if subcode == Some(SUBCODE_OBJECT) => (Refused(Account), OBJECT),
        100 => (Refused(PersonData), "the channel does not take a parameter or the address"),
        131_008 => (Refused(PersonData), "a parameter is missing or empty"),
        131_009 => (Refused(PersonData), "a parameter's value is not valid"),
        132_000 => (Refused(PersonData), "the number of parameters is not the template's"),
        132_005 => (Refused(PersonData), "the text is too long with this person's values"),
        132_012 => (Refused(PersonData), "a parameter has not the form that the template asks"),
        132_018 => {
            (Refused(PersonData), "a parameter holds a line break, a tab or too many blanks")
        }
        135_000 => (Refused(PersonData), "the channel does not take the parameters"),
        // the experiment's page has no advice, so it is final for this campaign
        130_472 => (Refused(Person), "the person is part of an experiment of the channel"),
        131_021 => (Refused(Person), "the person's number is the sender's own"),
        130_497 => (Refused(Person), "the business may not write to people of this country"),
        131_026 => {
            let words = "the channel cannot deliver to this number: not on WhatsApp, an old app, \
                         or its terms are not accepted";
            (Refused(Unreachable), words)
        }
        130_403 => (Refused(Unreachable), "the business has blocked this person"),
        131_050 => (Refused(OptedOut), "the person has stopped marketing of this business"),
        // nobody but the numbers of a list, or one odd person
        131_030 => (Refused(Unknown), "the number is not on the list of allowed recipients"),
        131_052 | 131_053 => (Refused(Media), "the media file cannot be read or is not allowed"),
        // the template
        132_001 => {
            let words = "the template does not exist in this language or is not approved";
            (Refused(RefusalScope::Template), words)
        }
        132_007 => (Refused(RefusalScope::Template), "the template breaks a policy"),
        132_015 => (Refused(RefusalScope::Template), "the template is paused for low quality"),
        132_016 => (Refused(RefusalScope::Template), "the template is disabled for low quality"),
        132_068 => (Refused(RefusalScope::Template), "the template's flow is blocked"),
        132_069 => (Refused(RefusalScope::Template), "the template's flow is throttled"),
        131_051 => {
            (Refused(RefusalScope::Template), "the channel does not know this kind of message")
        }
        _ => (Refused(Account), account(code)?),
    })
}

/// What somebody has to do about codes of the account.
fn account(code: i64) -> Option<&'static str> {
    Some(match code {
        131_048 => "the number is limited for spam; look at its quality before you resume",
        131_064 => "a template's category was misused; the limit is lifted by itself",
        131_031 | 368 => "the account is restricted or locked; see the business's support page",
        131_042 => "there is a problem with the payment; mend it in the business's billing",
        131_045 | 133_010 | 131_037 => {
            "the number is not registered or not yet allowed to send; register it"
        }
        33 | 803 => OBJECT,
        131_063 => "marketing is disabled on the Cloud API; set api = \"marketing\"",
        131_055 | 134_100 | 134_102 => {
            "this API does not take such messages; change `api` in the settings"
        }
        12 | 2635 | 2500 => {
            "the version or path of the API is not served; look at base_url in the settings"
        }
        0 | 3 | 10 | 101 | 102 | 104 | 190 | 200..=299 | 131_005 => {
            "the token is not valid or lacks a permission; make a new one"
        }
        133_000 | 133_005 | 133_006 | 133_008 | 133_009 | 133_015 | 133_016 => {
            "the number's registration is not complete; an operator must finish it"
        }
        _ => return None,
    })
}

/// The most that a failing message backs off: 4^6 seconds are 68 minutes.
const EXPONENT_MAX: u32 = 6;
/// A person who gets too much marketing is left alone for a day and a little.
const ANOTHER_DAY: TimeDelta = TimeDelta::minutes(24 * 60 + 5);

impl GraphError {
    /// Whether the table knows its code.
    pub(super) fn is_known(&self) -> bool {
        self.class().is_some()
    }

    fn class(&self) -> Option<(Class, &'static str)> {
        let subcode = match self.error_subcode {
            Some(Number::Known(subcode)) => Some(subcode),
            _ => None,
        };
        match self.code {
            Some(Number::Known(code)) => class(code, subcode),
            _ => None,
        }
    }

    /// What it says in words: the table's, or for an unknown code the channel's title, which names
    /// no person.
    pub(super) fn words(&self) -> Wording {
        if let Some((_, words)) = self.class() {
            return Wording::clean(words);
        }
        let told = self.title.as_deref().or(self.message.as_deref());
        Wording::clean(told.unwrap_or("the channel gave a code that is not known"))
    }

    /// What it means for the try `attempt` (from 1) that got it at `now`.
    pub(super) fn outcome(&self, now: Instant, attempt: u32) -> SendOutcome {
        let seconds = |seconds: u32| now + TimeDelta::seconds(i64::from(seconds));
        let later = |after, whom| SendOutcome::Later { until: seconds(after), whom };
        let refused = |scope| SendOutcome::refused(scope, self.code(), self.words().as_str());
        match self.class().map(|(class, _)| class) {
            None => refused(RefusalScope::Unknown),
            Some(Class::Pair) => {
                later(4_u32.pow(attempt.saturating_sub(1).min(EXPONENT_MAX)), Scope::Recipient)
            }
            Some(Class::All(after)) => later(after, Scope::Provider),
            Some(Class::Template(after)) => later(after, Scope::Template),
            Some(Class::AnotherDay) => SendOutcome::AnotherDay { until: now + ANOTHER_DAY },
            Some(Class::WindowClosed) => SendOutcome::NeedsTemplate,
            Some(Class::Refused(scope)) => refused(scope),
        }
    }

    /// The end of a message that the channel had taken.
    pub(super) fn event(&self, at: Instant, attempt: u32) -> Event {
        match self.code() {
            None => Event::Failed { code: None },
            Some(code) => Event::TurnedAway {
                code,
                words: self.words(),
                means: Box::new(self.outcome(at, attempt)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::provider::Code;

    use super::*;

    fn told(error: Value) -> GraphError {
        serde_json::from_value(error).unwrap()
    }

    fn of(code: i64) -> SendOutcome {
        told(json!({ "code": code, "title": "a title" })).outcome(Instant::UNIX_EPOCH, 1)
    }

    #[test]
    fn every_code_of_the_vendors_table_says_what_it_is_about() {
        let scopes = |codes: &[i64], wanted: RefusalScope| {
            for code in codes {
                let SendOutcome::Refused(refusal) = of(*code) else { panic!("{code}") };
                assert_eq!(refusal.scope, wanted, "{code}");
                assert_eq!(refusal.code_text(), code.to_string());
                assert!(!refusal.words.is_empty() && refusal.words.as_str() != "a title");
            }
        };
        let data = [100, 131_008, 131_009, 132_000, 132_005, 132_012, 132_018, 135_000];
        scopes(&data, RefusalScope::PersonData);
        scopes(&[130_472, 131_021, 130_497], RefusalScope::Person);
        scopes(&[131_026, 130_403], RefusalScope::Unreachable);
        scopes(&[131_050], RefusalScope::OptedOut);
        scopes(&[131_052, 131_053], RefusalScope::Media);
        let template = [132_001, 132_007, 132_015, 132_016, 132_068, 132_069, 131_051];
        scopes(&template, RefusalScope::Template);
        let account = [
            131_048, 131_064, 131_031, 368, 131_042, 131_045, 133_010, 33, 131_037, 131_063,
            131_055, 134_100, 134_102, 0, 190, 3, 10, 200, 250, 299, 131_005, 133_000, 133_005,
            133_006, 133_008, 133_009, 133_015, 133_016, 102, 104, 803, 2635,
        ];
        scopes(&account, RefusalScope::Account);
        for code in [130_429, 131_016, 2, 133_004, 131_057, 4, 80_007, 613] {
            let outcome = of(code);
            assert!(matches!(outcome, SendOutcome::Later { whom: Scope::Provider, .. }), "{code}");
        }
        for code in [131_056, 131_000, 1] {
            let outcome = of(code);
            assert!(matches!(outcome, SendOutcome::Later { whom: Scope::Recipient, .. }), "{code}");
        }
        assert!(matches!(of(134_101), SendOutcome::Later { whom: Scope::Template, .. }));
        assert_eq!(of(131_047), SendOutcome::NeedsTemplate);
    }

    #[test]
    fn a_code_that_no_table_has_is_told_with_the_channels_title() {
        for unknown in [-1, 5, 199, 300, 131_001, 131_058, 999_999] {
            let SendOutcome::Refused(refusal) = of(unknown) else { panic!("{unknown}") };
            assert_eq!(refusal.scope, RefusalScope::Unknown, "{unknown}");
            assert_eq!(refusal.words.as_str(), "a title");
        }
        let odd = told(json!({ "code": "NOT_A_NUMBER\u{0}", "message": "m" }));
        let SendOutcome::Refused(refusal) = odd.outcome(Instant::UNIX_EPOCH, 1) else { panic!() };
        assert_eq!((refusal.scope, refusal.code_text()), (RefusalScope::Unknown, "NOT_A_NUMBER"));
    }

    #[test]
    fn an_unknown_number_id_is_the_accounts_and_one_bad_parameter_a_persons() {
        let object = json!({ "code": 100, "error_subcode": 33, "message": "does not exist" });
        for error in [object, json!({ "code": "100", "error_subcode": "33" })] {
            let SendOutcome::Refused(refusal) = told(error).outcome(Instant::UNIX_EPOCH, 1) else {
                panic!("not refused")
            };
            assert_eq!(refusal.scope, RefusalScope::Account);
            assert_eq!(refusal.code_text(), "100/33");
            assert!(refusal.words.as_str().contains("phone_number_id"));
        }
        let other = told(json!({ "code": 100, "error_subcode": 2_494_010 }));
        let outcome = other.outcome(Instant::UNIX_EPOCH, 1);
        assert_eq!(outcome.refusal_scope(), Some(RefusalScope::PersonData));
    }

    #[test]
    fn codes_come_as_numbers_and_as_text_and_not_at_all() {
        for (error, code) in [
            (json!({ "code": 131_050 }), Some("131050")),
            (json!({ "code": "131050" }), Some("131050")),
            (json!({ "code": 131_050.0 }), Some("131050")),
            (json!({ "code": null }), None),
            (json!({ "code": "" }), None),
            (json!({ "title": null }), None),
        ] {
            assert_eq!(told(error.clone()).code().as_ref().map(Code::as_str), code, "{error}");
        }
        let long = told(json!({ "code": "9".repeat(10_000) }));
        assert!(long.code().unwrap().as_str().len() <= Code::MAX);
    }

    #[test]
    fn a_pair_backs_off_by_powers_of_four() {
        let now = Instant::UNIX_EPOCH;
        let waits: Vec<i64> = (1..=8)
            .map(|attempt| match told(json!({ "code": 131_056 })).outcome(now, attempt) {
                SendOutcome::Later { until, whom: Scope::Recipient } => (until - now).num_seconds(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [1, 4, 16, 64, 256, 1024, 4096, 4096]);
    }

    #[test]
    fn too_much_marketing_waits_for_a_day_at_least() {
        let SendOutcome::AnotherDay { until } = of(131_049) else { panic!("not another day") };
        assert!(until - Instant::UNIX_EPOCH >= TimeDelta::hours(24));
    }
}
