//! What comes back from a channel, parsed: nothing here can be wrong, whoever sent it.

#![expect(missing_docs, reason = "the names of some fields and variants say all")]

use chrono::{DateTime, Utc};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::stop_words::StopWord;
use super::{Code, InboundText, SendOutcome, Wording};
use crate::model::content::Category;
use crate::model::ids::{MessageKey, Name, ProviderMessage};
use crate::model::recipient::{Address, Locale};
use crate::model::time::Instant;

/// What a post to a webhook tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// About a message that we sent.
    Update(Update),
    /// A person has seen everything that was sent to them up to a time.
    Seen {
        /// Who, by every name that was told.
        from: Vec<Address>,
        until: Instant,
    },
    /// A person wrote to us.
    Message(Box<InboundMessage>),
    /// A person used the channel's own switch for marketing.
    Preference(PreferenceChange),
    /// A person permitted the channel messages about a subject, or no more of them.
    Permit(PermitChange),
    /// A person has a new number, or a new id.
    Moved(Move),
    /// A template can or cannot be sent.
    Template(TemplateChange),
    /// A template belongs, or will belong, to another category.
    Category(CategoryChange),
    /// The account bears so many different people a day now.
    UniquePerDay {
        /// `None`: any number.
        limit: Option<u32>,
        /// When the channel said so, where it told a time.
        at: Option<Instant>,
    },
    /// Something about the account that people should know.
    Notice(Notice),
    /// An item that could not be read; the others of its post could.
    Unreadable {
        /// Where in the post, without what stood there.
        what: Wording,
    },
}

/// A person's own word to the channel on marketing.
#[derive(Debug, Clone, PartialEq)]
pub struct PreferenceChange {
    /// Who, by every name that was told.
    pub from: Vec<Address>,
    pub kind: PreferenceKind,
    pub at: Instant,
    /// What proves it: the id of a sign-up, else the channel's own words.
    pub evidence: Wording,
}

/// A person's own word to the channel on messages about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitChange {
    /// Who, by every name that was told.
    pub from: Vec<Address>,
    /// About what.
    pub topic: String,
    pub kind: PermitKind,
    pub at: Instant,
    /// What proves it, where the channel told anything.
    pub evidence: Wording,
}

/// What a person permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermitKind {
    /// Any number of messages, with what the channel wants to be shown for each.
    Subscribed {
        token: String,
        /// Until when, if not for ever.
        expires_at: Option<Instant>,
    },
    /// So many messages more.
    Messages(u32),
    /// None any more.
    Stopped,
}

/// What a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreferenceKind {
    /// No more marketing.
    Stop,
    /// Marketing again.
    Resume,
    /// Marketing for the first time, by a sign-up link of the channel.
    SignUp,
}

impl PreferenceKind {
    /// Whether the person wants to be written to.
    pub fn wants(self) -> bool {
        self != Self::Stop
    }
}

/// A person's new number or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The old names, the number first.
    pub was: Vec<Address>,
    /// The new ones: the first is where to write to. Not empty.
    pub now: Vec<Address>,
    /// When.
    pub at: Instant,
}

/// A template that can or cannot be sent from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateChange {
    pub template: String,
    pub language: Option<Locale>,
    pub usable: bool,
    /// Why, in the channel's words.
    pub reason: Wording,
    /// When the channel said so, where it told a time: news may come out of order.
    pub at: Option<Instant>,
}

impl TemplateChange {
    /// The key of the alert that it raises or clears.
    pub fn alert_key(&self) -> String {
        template_alert_key(&self.template, self.language.as_ref())
    }
}

/// The key of alerts on whether a template can be sent.
pub fn template_alert_key(template: &str, language: Option<&Locale>) -> String {
    match language {
        Some(language) => format!("template:{template}:{language}"),
        None => format!("template:{template}"),
    }
}

/// A template's category, which decides on price and consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateCategory {
    Marketing,
    Utility,
    Authentication,
    Other,
}

/// A template that changed its category, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryChange {
    pub template: String,
    pub language: Option<Locale>,
    pub category: TemplateCategory,
    /// When it takes effect if it is only announced; `None`: it holds already.
    pub from: Option<Instant>,
    /// Whether it is announced and does not hold yet.
    pub announced: bool,
    /// When the channel said so, where it told a time.
    pub at: Option<Instant>,
}

/// Something about templates, numbers or the account that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it speaks of. A later notice of the same key takes the place of an earlier one.
    pub key: String,
    pub severity: Severity,
    /// In the channel's words.
    pub what: Wording,
    /// When the channel said so, where it told a time.
    pub at: Option<Instant>,
    /// When what it speaks of is over by itself, where the channel told.
    pub until: Option<Instant>,
}

impl Notice {
    /// Whether it is about a template.
    pub fn is_of_template(&self) -> bool {
        self.key.starts_with("template")
    }

    /// Whether it answers an earlier alert of the same key: that alert goes, and none comes.
    pub fn clears(&self) -> bool {
        self.severity == Severity::Good
    }

    /// Whether nothing may be sent while it holds.
    pub fn stops(&self) -> bool {
        self.severity == Severity::Stop
    }
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well again: clears an earlier alert of the same key.
    Good,
    /// Worth knowing.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Nothing may be sent until it is over.
    Stop,
}

/// What a message of a person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundKind {
    /// A word to us alone: text, a button, media, a place, an order.
    Private,
    /// A mark on a message, which is no word to answer.
    Reaction,
    /// A new text of a message that was sent before.
    Edit,
    /// A message was taken back.
    Revoked,
    /// Said in a group.
    Group,
    /// A kind that the interface does not show.
    Unsupported,
}

impl InboundKind {
    /// Whether it opens the person's service window: only a private word does.
    pub fn opens_window(self) -> bool {
        self == Self::Private
    }

    /// Whether it shows that the person was there for us.
    pub fn is_presence(self) -> bool {
        matches!(self, Self::Private | Self::Reaction | Self::Edit)
    }
}

/// What a person wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundMessage {
    /// How the provider calls it.
    pub id: ProviderMessage,
    /// Who, by every name that was told: the number first, then ids of the channel's own.
    pub from: Vec<Address>,
    pub kind: InboundKind,
    /// The message of ours that it answers.
    pub answers: Option<ProviderMessage>,
    /// A button of ours was used, which is a click as well as a reply.
    pub by_button: bool,
    /// The person asks not to be written to again, where the word means that for them.
    pub stop: Option<StopWord>,
    /// What was written or stood on the button, where anything was.
    pub text: Option<InboundText>,
    /// When.
    pub at: Instant,
    /// As the channel told it, in JSON, for an endpoint of the user's own.
    pub raw: String,
}

/// Something that came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Of which message.
    pub of: UpdateOf,
    /// What.
    pub event: Event,
    /// When it happened.
    pub at: Instant,
    /// Ids by which the channel calls the person; not kept with what came early.
    #[serde(skip)]
    pub names: Vec<Address>,
}

/// How an update names its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateOf {
    /// By our id.
    Ours(MessageKey),
    /// By our id and the try that it came of.
    Try(MessageKey, u32),
    /// By the provider's.
    Theirs(ProviderMessage),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The provider has it: settles a doubt.
    Accepted,
    /// It reached the phone.
    Delivered,
    /// It was opened.
    Read,
    /// The channel told how it charges for it, once it reached the phone.
    Charged(Charge),
    /// A link or button was used.
    Clicked,
    /// The person wrote back.
    Replied,
    /// The person bought or did what was asked.
    Converted {
        /// Its worth.
        amount: Option<f64>,
        /// ISO 4217 code of the amount.
        currency: Option<String>,
    },
    /// The person wants no more.
    OptedOut,
    /// The person called it unwanted to whoever runs their mailbox.
    Complained,
    /// The channel gave up.
    Failed {
        /// The channel's code for it.
        code: Option<Code>,
    },
    /// The channel had taken it and gave up, for a reason that it would give at a call as well.
    TurnedAway {
        /// The channel's code for it.
        code: Code,
        /// The code in words, for people.
        words: Wording,
        /// What the code means.
        means: Box<SendOutcome>,
    },
}

/// How a channel charges for a message; what that comes to, a tariff says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// As a message of this category; `None`: the channel's word is none that is known.
    pub category: Option<Category>,
    /// Whether it costs nothing: the person had written, or came by an advertisement.
    pub is_free: bool,
}

impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let category = self.category.map_or("other", Category::as_str);
        write!(f, "{category}{}", if self.is_free { " free" } else { "" })
    }
}

impl Event {
    /// Through what it ends consent, if it does.
    pub fn ends_consent(&self) -> Option<&'static str> {
        match self {
            Self::OptedOut => Some("opt-out"),
            Self::Complained => Some("complaint"),
            _ => None,
        }
    }
}

/// Later than any arrival: whoever takes it in counts nothing later than now.
pub(super) fn untold() -> Instant {
    DateTime::<Utc>::from_timestamp(253_370_764_800, 0).expect("the year 9999 can be written")
}

/// Why a post to a webhook is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The channel has no webhook.
    #[error("provider {0} takes no webhooks")]
    NoWebhook(Name),
    /// The signature is missing or wrong.
    #[error("the signature is missing or wrong")]
    Signature,
    /// The body is not what it must be.
    #[error("{0}")]
    Body(String),
}
