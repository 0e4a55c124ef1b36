//! WeChat: template messages of official accounts, subscription messages of mini programs, and answers within
//! 48 hours of a person's word.
//!
//! By which right a message goes is decided by whoever calls. An access token is asked for once and renewed
//! when it ends.

mod codes;
mod token;
mod webhook;

use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::token::{AccessTokens, NoToken};
use super::graph::{self, UNREACHABLE_WAIT, by_status};
use super::{
    Incoming, OutboundMessage, Provider, RefusalScope, Rejected, Scope, SendOutcome, answer,
};
use crate::config::{ConfigError, Secret, SecretValue, WeChatService, WeChatSettings};
use crate::model::ids::Name;

/// The longest answer, in bytes.
const TEXT_MAX: usize = 2048;

pub(super) struct WeChat {
    name: Name,
    client: reqwest::Client,
    base_url: String,
    service: WeChatService,
    tokens: AccessTokens,
    verify_token: Option<SecretValue>,
}

#[derive(Deserialize)]
struct Told {
    errcode: i64,
    #[serde(default)]
    msgid: Option<Value>,
}

impl WeChat {
    pub(super) fn new(name: &Name, settings: &WeChatSettings) -> Result<Self, ConfigError> {
        let client = graph::client(settings.timeout);
        let secret = settings.app_secret.read()?;
        let tokens =
            AccessTokens::new(client.clone(), &settings.base_url, &settings.app_id, secret);
        Ok(Self {
            name: name.clone(),
            client,
            base_url: settings.base_url.clone(),
            service: settings.service,
            tokens,
            verify_token: settings.verify_token.as_ref().map(Secret::read).transpose()?,
        })
    }

    async fn post(&self, message: &OutboundMessage) -> SendOutcome {
        let (path, body) = match self.call(message) {
            Ok(call) => call,
            Err(refusal) => return refusal,
        };
        let mut stale: Option<String> = None;
        loop {
            let token = match self.tokens.token(stale.as_deref()).await {
                Ok(token) => token,
                Err(NoToken::Code(code)) => {
                    return codes::outcome(code, message.at, message.attempt, false);
                }
                Err(NoToken::Lost) => {
                    let until = message.at + UNREACHABLE_WAIT;
                    return SendOutcome::Later { until, whom: Scope::Provider };
                }
            };
            let url = format!("{}/cgi-bin/message/{path}?access_token={token}", self.base_url);
            let sent = self.client.post(url).json(&body).send().await;
            let answer = match sent {
                Err(error) => return graph::by_failure(&error.without_url(), message.at),
                Ok(answer) => answer,
            };
            if answer.status() != StatusCode::OK {
                return by_status(answer.status(), message.at);
            }
            // it may have been taken, and nobody knows as what
            let Some(answer) = answer::body(answer).await else { return SendOutcome::InDoubt };
            let Ok(told) = serde_json::from_slice::<Told>(&answer) else {
                return SendOutcome::InDoubt;
            };
            if codes::is_stale_token(told.errcode) && stale.is_none() {
                stale = Some(token);
                continue;
            }
            if told.errcode == 0 {
                let id = told.msgid.and_then(|id| match id {
                    Value::Number(id) => id.to_string().parse().ok(),
                    Value::String(id) => id.parse().ok(),
                    _ => None,
                });
                return SendOutcome::Accepted { id, alias: None };
            }
            let permitted = message.permit.is_some();
            return match codes::outcome(told.errcode, message.at, message.attempt, permitted) {
                SendOutcome::NeedsTemplate if !message.free_form => {
                    let words = "the channel takes this for an answer";
                    SendOutcome::refused(RefusalScope::Unknown, None, words)
                }
                outcome => outcome,
            };
        }
    }

    /// Where a message goes and with what, by the right that it has.
    fn call(&self, message: &OutboundMessage) -> Result<(&'static str, Value), SendOutcome> {
        let to = message.address.as_str();
        if message.free_form {
            let text = message.rendered.text.as_deref().map(str::trim).unwrap_or_default();
            if text.is_empty() || text.len() > TEXT_MAX {
                let words = "the text is empty or longer than 2048 bytes";
                return Err(SendOutcome::refused(RefusalScope::PersonData, None, words));
            }
            let body = json!({ "touser": to, "msgtype": "text", "text": { "content": text } });
            return Ok(("custom/send", body));
        }
        let Some(template) = &message.template else {
            let words = "the variant names no template, and the person has not written lately";
            return Err(SendOutcome::refused(RefusalScope::Template, None, words));
        };
        let (mut data, mut leads_to) = (Map::new(), None);
        for (name, value) in message.rendered.parameters.iter().filter_map(|p| p.split_once('=')) {
            if matches!(name, "url" | "page") {
                leads_to = Some(value.to_owned());
            } else {
                data.insert(name.to_owned(), json!({ "value": value }));
            }
        }
        let mut body = json!({ "touser": to, "template_id": template, "data": data });
        Ok(match self.service {
            WeChatService::Official => {
                body["client_msg_id"] = format!("{}#{}", message.key, message.attempt).into();
                if let Some(url) = leads_to {
                    body["url"] = url.into();
                }
                ("template/send", body)
            }
            WeChatService::Mini => {
                body["miniprogram_state"] = "formal".into();
                if let Some(page) = leads_to {
                    body["page"] = page.into();
                }
                ("subscribe/send", body)
            }
        })
    }
}

impl Provider for WeChat {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.post(message))
    }

    fn verify(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let signed = webhook::is_signed(self.verify_token.as_ref()?, value);
        if signed { value("echostr") } else { None }
    }

    /// The proof stands in the query of the address.
    fn receive(&self, query: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        let Some(token) = &self.verify_token else {
            return Err(Rejected::NoWebhook(self.name.clone()));
        };
        let query = query.unwrap_or_default();
        let value = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        if !webhook::is_signed(token, &value) {
            return Err(Rejected::Signature);
        }
        webhook::read(body)
    }

    fn thanks(&self) -> Option<&'static str> {
        Some("success")
    }
}
