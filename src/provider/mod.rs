//! The channels: a small trait, one file a channel, outcomes as values.
//!
//! A provider calls and tells what happened; it never decides what follows, keeps no queue and
//! touches no store. What comes back from outside is parsed here into [`Update`]s, which cannot be
//! wrong, whoever sent them.

mod answer;
mod console;
mod guard;
mod http;
mod interrupt;
mod meter;
mod simulated;
mod stop_words;
mod uploads;
mod whatsapp;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Outbound, ProviderConfig, ProviderKind};
use crate::model::campaign::Rendered;
use crate::model::content::{Category, Content, Media};
use crate::model::ids::{MessageKey, Name, ProviderMessage, RecipientKey};
use crate::model::recipient::{Address, Locale};
use crate::model::time::Instant;

pub use guard::Messenger;
pub use http::signature;
pub use interrupt::interruptible;
pub use meter::Meter;
pub use simulated::Simulated;

/// One message, ready to go.
#[derive(Debug, Clone)]
pub struct OutboundMessage {
    /// Our id; travels as callback data where the channel takes any.
    pub key: MessageKey,
    /// The caller's id of the person.
    pub recipient: RecipientKey,
    /// Where to.
    pub address: Address,
    /// The person's zone.
    pub zone: Tz,
    /// The campaign's name.
    pub campaign: Name,
    /// Its purpose.
    pub category: Category,
    /// The variant's name.
    pub variant: Name,
    /// Medium and style.
    pub content: Content,
    /// How the provider knows it.
    pub template: Option<String>,
    /// The language of the text.
    pub language: Option<Locale>,
    /// The texts with the person's values in them.
    pub rendered: Rendered,
    /// Where the picture or film lies.
    pub media_url: Option<String>,
    /// How the provider knows the picture or film that was uploaded to it.
    pub media_handle: Option<String>,
    /// Whether it may go without a template, since the person has written lately.
    pub free_form: bool,
    /// The how-manieth try this is, from 1.
    pub attempt: u32,
    /// When it was planned to be made.
    pub due_at: Instant,
    /// When the call is made.
    pub at: Instant,
}

/// Whom a provider's word is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// This person alone.
    Recipient,
    /// Everybody who would get this template.
    Template,
    /// Everybody.
    Provider,
}

/// Why a provider will never deliver to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalScope {
    /// Not in this campaign.
    Campaign,
    /// Not in any: the channel says that the person cannot or will not be written to.
    Channel,
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
    /// It will never be taken for this person.
    RefusedPerson {
        /// For how long that holds.
        scope: RefusalScope,
        /// The channel's code for it.
        code: Option<String>,
    },
    /// It will never be taken with this template.
    RefusedTemplate {
        /// The channel's code for it.
        code: Option<String>,
    },
    /// The person has not written lately enough: only a template will do.
    NeedsTemplate,
    /// What was uploaded is of no use any more.
    StaleMedia,
    /// Nothing more can be sent for anybody until somebody has seen to it.
    Stopped {
        /// The channel's code for it.
        code: String,
        /// What to do, for people.
        advice: String,
    },
    /// It was not taken, for a reason that asking again does not mend.
    Failed,
    /// It may or may not have been taken.
    InDoubt,
}

/// What a post to a webhook tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// About a message that we sent.
    Update(Update),
    /// A person wrote to us.
    Message(Box<InboundMessage>),
    /// A person no longer wants marketing of this channel, or wants it again.
    Preference {
        /// Who, by every name that was told.
        from: Vec<Address>,
        /// Again, or no longer.
        wants: bool,
        /// When.
        at: Instant,
    },
    /// A person has a new number, or a new id.
    Moved(Move),
    /// A template can or cannot be sent.
    Template {
        /// Its name.
        template: String,
        /// Its language.
        language: Option<Locale>,
        /// Whether it can.
        usable: bool,
        /// Why, in the channel's words.
        reason: String,
        /// When that was told.
        at: Instant,
    },
    /// The account bears so many different people a day now.
    UniquePerDay(Option<u32>),
    /// Something about the account that people should know.
    Notice {
        /// In the channel's words.
        what: String,
        /// When that was told.
        at: Instant,
    },
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

/// What a person wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundMessage {
    /// How the provider calls it.
    pub id: ProviderMessage,
    /// Who, by every name that was told: the number first, then ids of the channel's own.
    pub from: Vec<Address>,
    /// The message of ours that it answers.
    pub answers: Option<ProviderMessage>,
    /// A button of ours was used, which is a click as well as a reply.
    pub by_button: bool,
    /// A mark on a message, which is no word to answer.
    pub is_reaction: bool,
    /// The person asks not to be written to again.
    pub is_stop: bool,
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
    /// The channel gave up.
    Failed {
        /// The channel's code for it.
        code: Option<String>,
    },
    /// The channel had taken it and gave up, for a reason that it would give at a call as well.
    TurnedAway {
        /// The channel's code for it.
        code: String,
        /// What the code means.
        means: Box<SendOutcome>,
    },
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

/// A channel.
pub trait Provider: Send + Sync {
    /// Tries to hand a message over. Never panics, never retries by itself.
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome>;

    /// Parses a webhook's body; `signature` is the header that proves it.
    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected>;

    /// Hands over a picture or film once, for many messages; `None` where the provider fetches it
    /// by its address.
    fn upload<'a>(&'a self, media: Media, url: &'a str) -> BoxFuture<'a, Option<String>> {
        let _ = (media, url);
        Box::pin(std::future::ready(None))
    }

    /// The answer to a channel that asks whether a webhook's address is ours, by the query's
    /// values; `None` if it is not the channel that asks.
    fn verify(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let _ = value;
        None
    }

    /// What came back by `now` through the provider itself, not through a webhook.
    fn collect(&self, now: Instant) -> Vec<Update> {
        let _ = now;
        Vec::new()
    }
}

impl fmt::Debug for dyn Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

/// Makes the providers that the settings name. Reads their secrets.
pub fn from_config(
    providers: &BTreeMap<Name, ProviderConfig>,
    outbound: &Outbound,
) -> Result<BTreeMap<Name, Arc<dyn Provider>>, ConfigError> {
    let make = |(name, config): (&Name, &ProviderConfig)| {
        let provider: Arc<dyn Provider> = match &config.kind {
            ProviderKind::Console => Arc::new(console::Console::new(name.clone())),
            ProviderKind::Simulated { seed } => {
                Arc::new(simulated::Simulated::demo(name.clone(), *seed))
            }
            ProviderKind::Http { url, secret, timeout } => {
                Arc::new(http::Http::new(url.clone(), secret.read()?, *timeout))
            }
            ProviderKind::WhatsApp(settings) => {
                Arc::new(whatsapp::WhatsApp::new(settings, outbound)?)
            }
        };
        Ok((name.clone(), provider))
    };
    providers.iter().map(make).collect()
}
