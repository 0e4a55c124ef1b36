//! WhatsApp, by Meta's Cloud API or the Marketing Messages API.
//!
//! Sends templates and, within an open service window, free-form messages; uploads media; proves
//! and reads webhooks. There is no idempotency key: what was sent is found again by the callback
//! data that status webhooks echo, our message's id and the try.

mod codes;
mod message;
mod news;
mod templates;
mod upload;
mod webhook;

use futures_util::future::BoxFuture;
use reqwest::Response;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use url::Url;

use self::upload::Uploader;
use super::graph::{self, GraphError, by_status};
use super::guard::Guard;
use super::http::is_signed;
use super::uploads::Uploads;
use super::{Incoming, OutboundMessage, Provider, RefusalScope, Rejected, SendOutcome, answer};
use crate::config::{self, ConfigError, Outbound, SecretValue, WhatsAppApi};
use crate::model::content::{Category, Media};
use crate::model::template::AccountTemplate;

pub(super) struct WhatsApp {
    client: reqwest::Client,
    uploader: Uploader,
    uploads: Uploads,
    base_url: String,
    phone_number_id: String,
    business_account_id: Option<String>,
    api: WhatsAppApi,
    token: SecretValue,
    app_secret: SecretValue,
    verify_token: SecretValue,
}

#[derive(Deserialize)]
struct Accepted {
    #[serde(default)]
    contacts: Vec<Contact>,
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct Contact {
    wa_id: Option<String>,
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
    message_status: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: GraphError,
}

impl WhatsApp {
    pub(super) fn new(
        settings: &config::WhatsAppSettings,
        outbound: &Outbound,
    ) -> Result<Self, ConfigError> {
        let client = graph::client(settings.timeout);
        let uploader = Uploader {
            client: client.clone(),
            guard: Guard::new(outbound),
            to: format!("{}/{}/media", settings.base_url, settings.phone_number_id),
            token: settings.token.read()?,
        };
        Ok(Self {
            client,
            uploader,
            uploads: Uploads::default(),
            base_url: settings.base_url.clone(),
            phone_number_id: settings.phone_number_id.clone(),
            business_account_id: settings.business_account_id.clone(),
            api: settings.api,
            token: settings.token.read()?,
            app_secret: settings.app_secret.read()?,
            verify_token: settings.verify_token.read()?,
        })
    }

    async fn post(&self, message: &OutboundMessage) -> SendOutcome {
        let Some(mut body) = message::body(message) else {
            let words = "the variant names no template, and free form is not allowed now";
            return SendOutcome::refused(RefusalScope::Template, None, words);
        };
        // the Marketing Messages API takes marketing templates and nothing else
        let is_template = body["type"] == "template";
        let marketing = message.category == Category::Marketing && is_template;
        let path = match self.api {
            WhatsAppApi::Marketing | WhatsAppApi::MarketingStrict if marketing => {
                let strict = self.api == WhatsAppApi::MarketingStrict;
                body["product_policy"] =
                    if strict { "STRICT" } else { "CLOUD_API_FALLBACK" }.into();
                body["message_activity_sharing"] = false.into();
                "marketing_messages"
            }
            _ => "messages",
        };
        let sent = self
            .client
            .post(format!("{}/{}/{path}", self.base_url, self.phone_number_id))
            .bearer_auth(self.token.expose())
            .json(&body)
            .send();
        match sent.await {
            Err(error) => graph::by_failure(&error, message.at),
            Ok(answer) => read(answer, message).await,
        }
    }
}

/// What an answer says. A 200 means taken, not delivered.
async fn read(answer: Response, message: &OutboundMessage) -> SendOutcome {
    let status = answer.status();
    let Some(body) = answer::body(answer).await else { return SendOutcome::InDoubt };
    if status.is_success() {
        return match serde_json::from_slice::<Accepted>(&body) {
            Ok(taken) => taken.outcome(message),
            // it was taken, and nobody knows as what
            Err(_) => SendOutcome::InDoubt,
        };
    }
    let error = serde_json::from_slice::<Refused>(&body).map(|refused| refused.error);
    match error {
        Ok(error) if error.is_known() => match error.outcome(message.at, message.attempt) {
            // it was a template: another one changes nothing
            SendOutcome::NeedsTemplate if !message.free_form => {
                SendOutcome::refused(RefusalScope::Unknown, error.code(), error.words().as_str())
            }
            outcome => outcome,
        },
        // where the code says nothing, the status may
        Ok(error) if error.has_code() => match by_status(status, message.at) {
            SendOutcome::Refused(refusal) if refusal.scope != RefusalScope::Unknown => {
                SendOutcome::refused(refusal.scope, error.code(), refusal.words.as_str())
            }
            later @ SendOutcome::Later { .. } => later,
            _ => error.outcome(message.at, message.attempt),
        },
        _ => by_status(status, message.at),
    }
}

impl Accepted {
    fn outcome(self, message: &OutboundMessage) -> SendOutcome {
        let Some(taken) = self.messages.into_iter().next() else { return SendOutcome::InDoubt };
        let id = taken.id.parse().ok();
        // a message of a paused template is kept back like one that is held, until it fails or goes
        if matches!(taken.message_status.as_deref(), Some("held_for_quality_assessment" | "paused"))
        {
            return SendOutcome::Held { id };
        }
        let contact = self.contacts.into_iter().next();
        let names = contact.map(|contact| [contact.wa_id, contact.user_id]).unwrap_or_default();
        let mut names = names.iter().flatten().filter_map(|name| webhook::address(name));
        SendOutcome::Accepted { id, alias: names.find(|name| *name != message.address) }
    }
}

impl Provider for WhatsApp {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.post(message))
    }

    fn upload<'a>(&'a self, media: Media, url: &'a str) -> BoxFuture<'a, Option<String>> {
        let (uploader, address) = (self.uploader.clone(), Url::parse(url));
        Box::pin(async move {
            let address = address.ok()?;
            // what may not be fetched from here, the channel fetches by its address
            self.uploader.guard.check(&address).ok()?;
            let upload = async move {
                match uploader.hand_over(media, &address).await {
                    Ok(id) => Some(id),
                    Err(error) => {
                        tracing::warn!(
                            error,
                            "media could not be uploaded; it goes by its address"
                        );
                        None
                    }
                }
            };
            self.uploads.handle(url, upload).await
        })
    }

    fn templates(&self) -> BoxFuture<'_, Option<Result<Vec<AccountTemplate>, String>>> {
        Box::pin(async {
            let account = self.business_account_id.as_ref()?;
            let address = format!("{}/{account}/message_templates", self.base_url);
            Some(templates::read(&self.client, &address, &self.token).await)
        })
    }

    fn verify(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let token = value("hub.verify_token")?;
        let known = self.verify_token.expose().as_bytes().ct_eq(token.as_bytes());
        if value("hub.mode")? != "subscribe" || !bool::from(known) {
            return None;
        }
        value("hub.challenge")
    }

    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        if !is_signed(&self.app_secret, signature, body) {
            return Err(Rejected::Signature);
        }
        webhook::read(body, &self.phone_number_id)
    }
}
