//! What a mail server's replies mean for a dispatcher, after RFC 5321 and the enhanced codes of RFC 3463.
//!
//! A reply's text may hold a person's address: its words are never kept, only the codes.

use chrono::TimeDelta;

use crate::model::time::Instant;
use crate::provider::{Code, RefusalScope, Scope, SendOutcome};

/// How far a message had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SmtpStage {
    /// The server was greeted and told who we are.
    Connect,
    /// The sender was told.
    Sender,
    /// The recipient was told.
    Recipient,
    /// The content was announced, or handed over.
    Content,
}

/// A negative reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerReply {
    /// Three digits.
    code: u16,
    /// The enhanced code behind them.
    status: Option<EnhancedStatus>,
}

/// An enhanced status code such as 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EnhancedStatus {
    class: u16,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// Reads `5.1.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        });
        let status =
            Self { class: parts.next()??, subject: parts.next()??, detail: parts.next()?? };
        (parts.next().is_none() && matches!(status.class, 2 | 4 | 5)).then_some(status)
    }

    /// Whether it says that nobody can be written to at the address, now and later: it does not exist,
    /// cannot exist, moved, or takes nothing any more. A full mailbox may be emptied.
    pub(super) fn is_dead_address(self) -> bool {
        matches!(
            (self.class, self.subject, self.detail),
            (5, 1, 1 | 2 | 3 | 6 | 9 | 10) | (5, 2, 1)
        )
    }

    pub(super) fn code(self) -> Code {
        Code::clean(&format!("{}.{}.{}", self.class, self.subject, self.detail))
    }
}

/// Words for a dead address.
pub(super) const DEAD_ADDRESS: &str = "nobody can be written to at this mail address";

/// Everything waits so long when the server has too much to do.
const THROTTLED: TimeDelta = TimeDelta::seconds(60);
/// A person is tried again after so long, then after four times as long, and so on.
const AGAIN: TimeDelta = TimeDelta::seconds(60);
/// The most that a failing message backs off: 4^4 minutes are four hours.
const EXPONENT_MAX: u32 = 4;

impl ServerReply {
    /// The first enhanced code of the reply's text counts.
    pub(super) fn new(code: u16, text: &str) -> Self {
        Self { code, status: text.split_whitespace().find_map(EnhancedStatus::parse) }
    }

    /// Whether the server is about to close the connection.
    pub(super) fn closes(self) -> bool {
        self.code == 421
    }

    fn told(self) -> Code {
        match self.status {
            Some(status) => Code::clean(&format!("{} {}", self.code, status.code())),
            None => Code::clean(&self.code.to_string()),
        }
    }

    fn subject(self) -> Option<(u16, u16)> {
        self.status.map(|status| (status.subject, status.detail))
    }

    /// What it means for the try `attempt` (from 1) that got it at `now`.
    pub(super) fn outcome(self, stage: SmtpStage, now: Instant, attempt: u32) -> SendOutcome {
        let refused = |scope, words| SendOutcome::refused(scope, Some(self.told()), words);
        if (400..500).contains(&self.code) {
            // greylisting asks one sender and one recipient to come again
            let grey = stage == SmtpStage::Recipient && self.subject() == Some((7, 1));
            let all = matches!(self.code, 421 | 451) && !grey;
            return if all || matches!(stage, SmtpStage::Connect | SmtpStage::Sender) {
                SendOutcome::Later { until: now + THROTTLED, whom: Scope::Provider }
            } else {
                let exponent = attempt.saturating_sub(1).min(EXPONENT_MAX);
                let until = now + AGAIN * 4_i32.pow(exponent);
                SendOutcome::Later { until, whom: Scope::Recipient }
            };
        }
        if matches!(self.code, 530 | 534 | 535 | 538) || self.subject() == Some((7, 8)) {
            let words = "the mail server does not let us sign in; look at url and password";
            return refused(RefusalScope::Account, words);
        }
        match stage {
            SmtpStage::Connect => {
                let words = "the mail server does not talk to us; ask whoever runs it";
                refused(RefusalScope::Account, words)
            }
            SmtpStage::Sender => {
                let words = "the mail server does not take the sender; look at from";
                refused(RefusalScope::Account, words)
            }
            SmtpStage::Recipient | SmtpStage::Content => match self.status {
                Some(status) if status.is_dead_address() => {
                    refused(RefusalScope::Unreachable, DEAD_ADDRESS)
                }
                Some(status) if status.subject == 2 => {
                    refused(RefusalScope::Person, "the mailbox takes nothing for now")
                }
                // without an enhanced code the mailbox is meant, as long as only that was told
                None if stage == SmtpStage::Recipient && matches!(self.code, 550 | 551 | 553) => {
                    refused(RefusalScope::Unreachable, DEAD_ADDRESS)
                }
                _ if matches!(self.code, 500..=504) => {
                    let words = "the mail server does not understand us; ask whoever runs it";
                    refused(RefusalScope::Account, words)
                }
                _ => {
                    let words = "the mail server refuses the message: a policy, its size or its \
                                 content";
                    refused(RefusalScope::Unknown, words)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stage: SmtpStage, code: u16, text: &str) -> SendOutcome {
        ServerReply::new(code, text).outcome(stage, Instant::UNIX_EPOCH, 1)
    }

    #[test]
    fn an_address_that_is_dead_is_told_from_a_mailbox_that_is_full_and_from_policy() {
        for (code, text, scope) in [
            (550, "5.1.1 no such user ana@example.com", RefusalScope::Unreachable),
            (550, "5.1.10 null MX", RefusalScope::Unreachable),
            (550, "5.2.1 disabled", RefusalScope::Unreachable),
            (550, "No such user", RefusalScope::Unreachable),
            (552, "5.2.2 mailbox full", RefusalScope::Person),
            (550, "5.7.1 blocked by policy", RefusalScope::Unknown),
            (554, "transaction failed", RefusalScope::Unknown),
            (530, "5.7.0 authentication required", RefusalScope::Account),
            (503, "bad sequence", RefusalScope::Account),
        ] {
            assert_eq!(of(SmtpStage::Recipient, code, text).refusal_scope(), Some(scope), "{text}");
        }
        // once the content is told, a bare 550 is about that as well
        let content = of(SmtpStage::Content, 550, "looks like spam");
        assert_eq!(content.refusal_scope(), Some(RefusalScope::Unknown));
        let SendOutcome::Refused(refusal) = of(SmtpStage::Recipient, 550, "5.1.1 ana@example.com")
        else {
            panic!("not refused")
        };
        assert_eq!(refusal.code_text(), "550 5.1.1");
        assert!(!refusal.words.as_str().contains("ana@"));
    }

    #[test]
    fn what_passes_is_waited_for_by_whom_it_is_about() {
        let whom = |stage, code, text| match of(stage, code, text) {
            SendOutcome::Later { whom, .. } => whom,
            other => panic!("{other:?}"),
        };
        assert_eq!(whom(SmtpStage::Connect, 421, "too many connections"), Scope::Provider);
        assert_eq!(whom(SmtpStage::Recipient, 421, "4.7.0 slow down"), Scope::Provider);
        assert_eq!(whom(SmtpStage::Recipient, 451, "4.3.0 try later"), Scope::Provider);
        assert_eq!(whom(SmtpStage::Recipient, 451, "4.7.1 greylisted"), Scope::Recipient);
        assert_eq!(whom(SmtpStage::Recipient, 450, "4.2.0 busy"), Scope::Recipient);
        assert_eq!(whom(SmtpStage::Content, 452, "4.3.1 no room"), Scope::Recipient);
        let wait = |attempt| {
            let reply = ServerReply::new(450, "4.2.0");
            match reply.outcome(SmtpStage::Recipient, Instant::UNIX_EPOCH, attempt) {
                SendOutcome::Later { until, .. } => (until - Instant::UNIX_EPOCH).num_minutes(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([1, 2, 3, 9].map(wait), [1, 4, 16, 256]);
    }

    #[test]
    fn a_status_is_three_numbers() {
        for text in ["5.1", "5.1.1.1", "5.x.1", "250", "3.1.1", "5..1", "5.1.1000", ""] {
            assert_eq!(EnhancedStatus::parse(text), None, "{text}");
        }
        assert!(EnhancedStatus::parse("5.1.1").unwrap().is_dead_address());
        assert!(!EnhancedStatus::parse("4.1.1").unwrap().is_dead_address());
    }
}
