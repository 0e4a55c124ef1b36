//! Messenger, for a page: answers within a day of the person's word, utility templates, and marketing by
//! subscription through the Marketing Messages API.
//!
//! By which right a message goes is decided by whoever calls; it is sent the way that right asks for. There is
//! no idempotency key: a message whose answer was lost stays in doubt.

mod codes;
mod webhook;

use futures_util::future::BoxFuture;
use reqwest::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::graph::{self, GraphError, by_status};
use super::http::is_signed;
use super::{Incoming, OutboundMessage, Provider, RefusalScope, Rejected, SendOutcome, answer};
use crate::config::{ConfigError, MessengerMarketing, MessengerSettings, Secret, SecretValue};
use crate::model::content::Media;

/// The longest text, in characters.
const TEXT_MAX: usize = 2000;
/// Of a template that names no language.
const LANGUAGE_DEFAULT: &str = "en";

pub(super) struct MessengerPage {
    client: reqwest::Client,
    base_url: String,
    page_id: String,
    marketing: Option<MessengerMarketing>,
    token: SecretValue,
    app_secret: SecretValue,
    verify_token: Option<SecretValue>,
}

#[derive(Deserialize)]
struct Taken {
    message_id: Option<String>,
    marketing_message_tracking_id: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: GraphError,
}

impl MessengerPage {
    pub(super) fn new(settings: &MessengerSettings) -> Result<Self, ConfigError> {
        Ok(Self {
            client: graph::client(settings.timeout),
            base_url: settings.base_url.clone(),
            page_id: settings.page_id.clone(),
            marketing: settings.marketing.clone(),
            token: settings.token.read()?,
            app_secret: settings.app_secret.read()?,
            verify_token: settings.verify_token.as_ref().map(Secret::read).transpose()?,
        })
    }

    async fn post(&self, message: &OutboundMessage) -> SendOutcome {
        let (path, body) = match self.call(message) {
            Ok(call) => call,
            Err(refusal) => return refusal,
        };
        let url = format!("{}/{path}/messages", self.base_url);
        let sent = self.client.post(url).bearer_auth(self.token.expose()).json(&body).send();
        match sent.await {
            Err(error) => graph::by_failure(&error, message.at),
            Ok(answer) => read(answer, message).await,
        }
    }

    /// Where a message goes and with what, by the right that it has.
    fn call(&self, message: &OutboundMessage) -> Result<(String, Value), SendOutcome> {
        let refused = |scope, words| Err(SendOutcome::refused(scope, None, words));
        if let Some(permit) = &message.permit {
            let Some(marketing) = &self.marketing else {
                let words = "marketing by subscription needs ad_account in the settings";
                return refused(RefusalScope::Account, words);
            };
            let body = json!({
                "message_campaign_id": marketing.message_campaign,
                "messenger_delivery_data": { "subscription_token": permit.token },
                "message": content(message)?,
            });
            return Ok((format!("act_{}", marketing.ad_account), body));
        }
        let (kind, content) = match &message.template {
            Some(name) if !message.free_form => ("UTILITY", template(message, name)),
            _ if message.free_form => ("UPDATE", content(message)?),
            _ => {
                let words = "the variant names no template, and the person has not written lately";
                return refused(RefusalScope::Template, words);
            }
        };
        let to = json!({ "id": message.address.as_str() });
        let body = json!({ "recipient": to, "messaging_type": kind, "message": content });
        Ok((self.page_id.clone(), body))
    }
}

/// An approved utility template with the person's values.
fn template(message: &OutboundMessage, name: &str) -> Value {
    let language = message.language.as_ref().map(ToString::to_string);
    let text = |text: &String| json!({ "type": "text", "text": text });
    let parameters: Vec<Value> = message.rendered.parameters.iter().map(text).collect();
    let mut components = Vec::new();
    if !parameters.is_empty() {
        components.push(json!({ "type": "body", "parameters": parameters }));
    }
    json!({ "template": {
        "name": name,
        "language": { "code": language.as_deref().unwrap_or(LANGUAGE_DEFAULT) },
        "components": components,
    }})
}

/// A text, or a file by its address; a file has no text beside it.
fn content(message: &OutboundMessage) -> Result<Value, SendOutcome> {
    let kind = match message.content.media {
        Media::Image => Some("image"),
        Media::Video => Some("video"),
        Media::Audio => Some("audio"),
        Media::Document => Some("file"),
        _ => None,
    };
    if let (Some(kind), Some(url)) = (kind, &message.media_url) {
        let payload = json!({ "url": url, "is_reusable": true });
        return Ok(json!({ "attachment": { "type": kind, "payload": payload } }));
    }
    match message.rendered.text.as_deref().map(str::trim) {
        Some(text) if !text.is_empty() && text.chars().count() <= TEXT_MAX => {
            Ok(json!({ "text": text }))
        }
        _ => {
            let words = "the text is empty or longer than 2000 characters";
            Err(SendOutcome::refused(RefusalScope::PersonData, None, words))
        }
    }
}

/// What an answer says. A 200 means taken, not delivered.
async fn read(answer: Response, message: &OutboundMessage) -> SendOutcome {
    let status = answer.status();
    let Some(body) = answer::body(answer).await else { return SendOutcome::InDoubt };
    if status.is_success() {
        // it was taken; without an id nobody knows as what
        return match serde_json::from_slice::<Taken>(&body) {
            Ok(taken) => {
                let id = taken.message_id.or(taken.marketing_message_tracking_id);
                match id.and_then(|id| id.parse().ok()) {
                    Some(id) => SendOutcome::Accepted { id: Some(id), alias: None },
                    None => SendOutcome::InDoubt,
                }
            }
            Err(_) => SendOutcome::InDoubt,
        };
    }
    let Ok(Refused { error }) = serde_json::from_slice::<Refused>(&body) else {
        return by_status(status, message.at);
    };
    match codes::outcome(&error, message.at, message.attempt) {
        // it was a template or a subscription: another right changes nothing
        Some(SendOutcome::NeedsTemplate) if !message.free_form => {
            let words = "the channel takes this for a message outside of the window";
            SendOutcome::refused(RefusalScope::Unknown, error.code(), words)
        }
        Some(outcome) => outcome,
        None if error.has_code() => {
            let words = "the channel gave a code that is not known";
            SendOutcome::refused(RefusalScope::Unknown, error.code(), words)
        }
        None => by_status(status, message.at),
    }
}

impl Provider for MessengerPage {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.post(message))
    }

    fn verify(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let (token, known) = (value("hub.verify_token")?, self.verify_token.as_ref()?);
        let same = known.expose().as_bytes().ct_eq(token.as_bytes());
        if value("hub.mode")? != "subscribe" || !bool::from(same) {
            return None;
        }
        value("hub.challenge")
    }

    fn receive(&self, signature: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        if !is_signed(&self.app_secret, signature, body) {
            return Err(Rejected::Signature);
        }
        webhook::read(body, &self.page_id)
    }
}
