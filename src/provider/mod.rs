//! The channels: a small trait, one file a channel, outcomes as values.
//!
//! A provider calls and tells what happened; it never decides what follows, keeps no queue and
//! touches no store. What comes back from outside is parsed here into [`Update`]s, which cannot be
//! wrong, whoever sent them.

mod console;
mod http;
mod simulated;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;
use futures_util::future::BoxFuture;

use crate::config::{ConfigError, ProviderConfig, ProviderKind};
use crate::model::campaign::Rendered;
use crate::model::content::{Category, Content};
use crate::model::ids::{MessageKey, Name, ProviderMessage, RecipientKey};
use crate::model::recipient::{Address, Locale};
use crate::model::time::Instant;

pub use http::signature;
pub use simulated::Simulated;

/// One message, ready to go.
#[derive(Debug, Clone)]
pub struct Parcel {
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
    /// When the call is made.
    pub at: Instant,
}

/// Whom a provider's word is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This person alone.
    Recipient,
    /// Everybody who would get this template.
    Template,
    /// Everybody.
    Provider,
}

/// What happened to a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Accepted {
        /// How the provider calls it.
        id: Option<ProviderMessage>,
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
    /// It will never be taken.
    Refused {
        /// For whom.
        whom: Scope,
    },
    /// It was not taken, for a reason that asking again does not mend.
    Failed,
    /// It may or may not have been taken.
    InDoubt,
}

/// Something that came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Of which message.
    pub of: UpdateOf,
    /// What.
    pub event: Event,
    /// When it happened.
    pub at: Instant,
}

/// How an update names its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOf {
    /// By our id.
    Ours(MessageKey),
    /// By the provider's.
    Theirs(ProviderMessage),
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
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
    /// Tries to hand a parcel over. Never panics, never retries by itself.
    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Outcome>;

    /// Parses a webhook's body; `signature` is the header that proves it.
    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Update>, Rejected>;

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
        };
        Ok((name.clone(), provider))
    };
    providers.iter().map(make).collect()
}
