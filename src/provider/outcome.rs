//! What a call to a channel led to, as a value.
//!
//! A refusal tells what it is about. What follows from it is decided by whoever called: a channel
//! sees one message and not the campaign.

#![expect(missing_docs, reason = "the names of some fields and variants say all")]

use serde::{Deserialize, Serialize};

use super::{Code, Wording};
use crate::model::ids::ProviderMessage;
use crate::model::recipient::Address;
use crate::model::time::Instant;

/// Whom a request to wait is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// This person alone.
    Recipient,
    /// Everybody who would get this template.
    Template,
    /// Everybody.
    Provider,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefusalScope {
    /// What was sent for this person: a parameter or the address. The template may be at fault
    /// instead, which shows only where several different people in a row are refused so.
    PersonData,
    /// This person and this campaign; it says nothing of anybody else.
    Person,
    /// The channel does not reach this person, until it does. It says nothing of consent.
    Unreachable,
    /// The person permits no message about this subject any more. It says nothing of others.
    Unpermitted,
    /// The person told the channel that they want no more: their own word.
    OptedOut,
    /// The template: nobody can get it.
    Template,
    /// The picture, film or document: it must be handed over again, or is broken.
    Media,
    /// The account, its number, its token or the endpoint: nobody can be sent to until somebody
    /// has seen to it.
    Account,
    /// A code that no table has. Several different people in a row mean more than one person.
    Unknown,
}

/// A message that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub scope: RefusalScope,
    /// The channel's code, where it told one.
    pub code: Option<Code>,
    /// What it means and what to do, for people.
    pub words: Wording,
}

impl Refusal {
    /// The code, or `refused` where the channel told none.
    pub fn code_text(&self) -> &str {
        self.code.as_ref().map_or("refused", Code::as_str)
    }
}

/// What happened to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendOutcome {
    /// It was taken.
    Accepted {
        /// How the provider calls it.
        id: Option<ProviderMessage>,
        /// How the provider calls the person, where that differs from the address.
        alias: Option<Address>,
    },
    /// It was taken and is kept back for now.
    Held {
        /// How the provider calls it.
        id: Option<ProviderMessage>,
    },
    /// It was not taken; later it may be.
    Later {
        /// Not before.
        until: Instant,
        /// For whom.
        whom: Scope,
    },
    /// It was not taken, and this person gets nothing before another day.
    AnotherDay {
        /// Not before.
        until: Instant,
    },
    /// The person has not written lately enough: only a template will do.
    NeedsTemplate,
    /// It was not taken, and asking again changes nothing.
    Refused(Refusal),
    /// It may or may not have been taken.
    InDoubt,
}

impl SendOutcome {
    /// A refusal; an empty code is none.
    pub fn refused(scope: RefusalScope, code: Option<Code>, words: &str) -> Self {
        let code = code.filter(|code| !code.is_empty());
        Self::Refused(Refusal { scope, code, words: Wording::clean(words) })
    }

    /// What the refusal is about, if it is one.
    pub fn refusal_scope(&self) -> Option<RefusalScope> {
        match self {
            Self::Refused(refusal) => Some(refusal.scope),
            _ => None,
        }
    }
}
