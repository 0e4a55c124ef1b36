//! What WeChat's return codes mean for a dispatcher: a table, after the vendor's pages on return codes and on
//! subscription messages. A code that is not here is [`RefusalScope::Unknown`].

use chrono::{Days, FixedOffset, NaiveTime, TimeDelta};

use crate::model::time::Instant;
use crate::provider::{Code, RefusalScope, Scope, SendOutcome};

/// Whether the access token is not valid any more.
pub(super) fn is_stale_token(code: i64) -> bool {
    matches!(code, 40_001 | 40_014 | 41_001 | 42_001)
}

/// The most that a failing message backs off: 4^6 seconds are 68 minutes.
const EXPONENT_MAX: u32 = 6;

/// What a code means for the try `attempt` (from 1) that got it at `now`; `permitted` where it went by a permit.
pub(super) fn outcome(code: i64, now: Instant, attempt: u32, permitted: bool) -> SendOutcome {
    use RefusalScope::{Account, Person, PersonData, Template, Unknown, Unpermitted, Unreachable};
    let again = || {
        let seconds = 4_i64.pow(attempt.saturating_sub(1).min(EXPONENT_MAX));
        SendOutcome::Later { until: now + TimeDelta::seconds(seconds), whom: Scope::Recipient }
    };
    let all = |until| SendOutcome::Later { until, whom: Scope::Provider };
    let (scope, words) = match code {
        -1 | 43_108 => return again(),
        45_011 => return all(now + TimeDelta::seconds(60)),
        45_009 => return all(next_day_in_china(now)),
        45_015 => return SendOutcome::NeedsTemplate,
        43_101 => (Unpermitted, "the person permitted no such message, or took it back"),
        45_047 if permitted => (Unpermitted, "the person was answered as often as is allowed"),
        45_047 => (Person, "the person was answered as often as is allowed"),
        40_003 | 43_004 | 43_005 => (Unreachable, "the person does not follow the account"),
        40_037 | 41_030 | 41_028 | 41_029 => (Template, "the template or its page does not exist"),
        47_003 | 47_001 | 45_002 | 45_168 => {
            (PersonData, "the channel does not take a value: its form, its length or its words")
        }
        40_001 | 40_014 | 41_001 | 42_001 | 40_013 | 40_125 => {
            (Account, "the account cannot sign in; look at app_id and app_secret")
        }
        40_164 | 61_004 => (Account, "the address of this machine is not on the account's list"),
        43_107 | 48_001 | 48_002 | 48_004 | 50_002 | 50_001 => {
            (Account, "the account may not send such messages; see its own pages")
        }
        _ => (Unknown, "the channel gave a code that is not known"),
    };
    SendOutcome::refused(scope, Some(Code::clean(&code.to_string())), words)
}

/// Daily quotas begin anew at midnight in China, which has one clock and no summer time.
fn next_day_in_china(now: Instant) -> Instant {
    const EAST_S: i32 = 8 * 3600;
    let zone = FixedOffset::east_opt(EAST_S).expect("eight hours are an offset");
    let tomorrow = (now + TimeDelta::hours(8)).date_naive() + Days::new(1);
    let midnight = tomorrow.and_time(NaiveTime::MIN);
    let local = midnight.and_local_timezone(zone).single();
    local.map_or(now + TimeDelta::days(1), |at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_permits_people_templates_and_the_account_apart() {
        let of = |code| outcome(code, Instant::UNIX_EPOCH, 3, true);
        for (code, scope) in [
            (43_101, RefusalScope::Unpermitted),
            (45_047, RefusalScope::Unpermitted),
            (40_003, RefusalScope::Unreachable),
            (40_037, RefusalScope::Template),
            (47_003, RefusalScope::PersonData),
            (40_001, RefusalScope::Account),
            (48_004, RefusalScope::Account),
            (99_999, RefusalScope::Unknown),
        ] {
            assert_eq!(of(code).refusal_scope(), Some(scope), "{code}");
        }
        let until = |code| match of(code) {
            SendOutcome::Later { until, whom } => (until.to_rfc3339(), whom),
            other => panic!("{other:?}"),
        };
        assert_eq!(until(-1), ("1970-01-01T00:00:16+00:00".to_owned(), Scope::Recipient));
        assert_eq!(until(45_011), ("1970-01-01T00:01:00+00:00".to_owned(), Scope::Provider));
        assert_eq!(until(45_009), ("1970-01-01T16:00:00+00:00".to_owned(), Scope::Provider));
        assert_eq!(of(45_015), SendOutcome::NeedsTemplate);
    }
}
