//! The channels: a small trait, one file a channel, outcomes as values.
//!
//! A provider calls and tells what happened; it never decides what follows, keeps no queue and
//! touches no store. What comes back from outside is parsed here into [`Update`]s, which cannot be
//! wrong, whoever sent them.

mod answer;
mod console;
mod graph;
mod guard;
mod http;
mod incoming;
mod interrupt;
mod messenger;
mod meter;
mod outcome;
mod parameters;
mod posted;
mod simulated;
mod smtp;
mod stop_words;
mod text;
mod timestamps;
mod uploads;
mod wechat;
mod whatsapp;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;
use futures_util::future::BoxFuture;

use crate::config::{ConfigError, Outbound, ProviderConfig, ProviderKind};
use crate::model::campaign::Rendered;
use crate::model::content::{Category, Content, Media};
use crate::model::ids::{MessageKey, Name, RecipientKey};
use crate::model::recipient::{Address, Locale};
use crate::model::template::AccountTemplate;
use crate::model::time::Instant;

pub use guard::Messenger;
pub use http::signature;
pub use incoming::{
    CategoryChange, Charge, Event, InboundKind, InboundMessage, Incoming, Move, Notice,
    PermitChange, PermitKind, PreferenceChange, PreferenceKind, Rejected, Severity,
    TemplateCategory, TemplateChange, Update, UpdateOf, template_alert_key,
};
pub use interrupt::interruptible;
pub use meter::Meter;
pub use outcome::{Refusal, RefusalScope, Scope, SendOutcome};
pub use parameters::{Unfit, fitted};
pub use simulated::Simulated;
pub use smtp::mail_problem;
pub use stop_words::{StopWord, stop_word};
pub use text::{Code, InboundText, Wording};

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
    /// The permit that it uses, on channels that ask for one.
    pub permit: Option<UsedPermit>,
    /// Where the person says that they want no more, on channels that tell it beside the text.
    pub unsubscribe: Option<String>,
    /// When it was planned to be made.
    pub due_at: Instant,
    /// When the call is made.
    pub at: Instant,
}

/// A permit that a message uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedPermit {
    /// About what; nothing for an answer that the channel counts.
    pub topic: String,
    /// What the channel wants to be shown.
    pub token: String,
    /// When the next message could go before this one used it, and when it can now.
    pub next_at: [Instant; 2],
}

/// A channel.
pub trait Provider: Send + Sync {
    /// Tries to hand a message over. Never panics, never retries by itself.
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome>;

    /// What a webhook is answered with, where the channel wants a word of its own.
    fn thanks(&self) -> Option<&'static str> {
        None
    }

    /// Parses a webhook's body; `signature` is the header that proves it, else the query of its address.
    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected>;

    /// Hands over a picture or film once, for many messages; `None` where the provider fetches it
    /// by its address.
    fn upload<'a>(&'a self, media: Media, url: &'a str) -> BoxFuture<'a, Option<String>> {
        let _ = (media, url);
        Box::pin(std::future::ready(None))
    }

    /// The templates of the account, or why they cannot be read; `None` where there are none to read.
    fn templates(&self) -> BoxFuture<'_, Option<Result<Vec<AccountTemplate>, String>>> {
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
            ProviderKind::WeChat(settings) => Arc::new(wechat::WeChat::new(name, settings)?),
            ProviderKind::Messenger(settings) => Arc::new(messenger::MessengerPage::new(settings)?),
            ProviderKind::Smtp(settings) => Arc::new(smtp::Smtp::new(name, settings)?),
            ProviderKind::WhatsApp(settings) => {
                Arc::new(whatsapp::WhatsApp::new(settings, outbound)?)
            }
        };
        Ok((name.clone(), provider))
    };
    providers.iter().map(make).collect()
}
