//! Posts each message as signed JSON to an endpoint of the user's own, and takes signed JSON back.
//!
//! Out: `{"message", "recipient", "to", "campaign", "category", "variant", "media", "style",
//! "template", "language", "text", "parameters", "media_url"}`, what is unknown left out. In:
//! `{"updates": [{"message" | "provider_message", "event", "at", …}]}`. Both carry the header
//! `X-Opportune-Signature: sha256=` and the HMAC-SHA256 (RFC 2104) of the raw body in hexadecimal
//! digits.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{
    Event, Incoming as Told, OutboundMessage, Provider, RefusalScope, Rejected, Scope, SendOutcome,
    Update, UpdateOf, answer,
};
use crate::config::SecretValue;
use crate::model::ids::{MessageKey, ProviderMessage};
use crate::model::time::{Instant, parse_instant};

/// The most updates in one post.
const UPDATES_MAX: usize = 1000;
/// What a throttling answer without `Retry-After` means: 30 seconds.
const RETRY_AFTER_DEFAULT: TimeDelta = TimeDelta::seconds(30);
/// More than a day's wait is another plan, not a pause.
const RETRY_AFTER_MAX: TimeDelta = TimeDelta::days(1);

pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    secret: SecretValue,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    message: &'a str,
    recipient: &'a str,
    to: &'a str,
    campaign: &'a str,
    category: &'a str,
    variant: &'a str,
    media: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    parameters: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    media_url: Option<&'a str>,
}

#[derive(Deserialize, Default)]
struct Answer {
    message: Option<String>,
    #[serde(default)]
    held: bool,
    refused: Option<Whom>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Whom {
    Recipient,
    Template,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Incoming {
    updates: Vec<IncomingUpdate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncomingUpdate {
    message: Option<MessageKey>,
    provider_message: Option<ProviderMessage>,
    event: String,
    at: String,
    amount: Option<f64>,
    currency: Option<String>,
    code: Option<String>,
}

impl Http {
    pub(super) fn new(url: String, secret: SecretValue, timeout: Duration) -> Self {
        // the process's TLS provider; the second call of a process changes nothing
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(timeout)
            // an address that does not answer is told from a call that nobody knows the end of
            .connect_timeout(timeout / 2)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without files or certificates of its own can be built");
        Self { client, url, secret }
    }

    async fn post(&self, message: &OutboundMessage) -> SendOutcome {
        let body = serde_json::to_vec(&Outgoing {
            message: message.key.as_str(),
            recipient: message.recipient.as_str(),
            to: message.address.as_str(),
            campaign: message.campaign.as_str(),
            category: message.category.as_str(),
            variant: message.variant.as_str(),
            media: message.content.media.as_str(),
            style: message.content.style.as_ref().map(super::super::model::content::Style::as_str),
            template: message.template.as_deref(),
            language: message.language.as_ref().map(ToString::to_string),
            text: message.rendered.text.as_deref(),
            parameters: &message.rendered.parameters,
            media_url: message.media_url.as_deref(),
        })
        .expect("texts serialize");
        let sent = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, signature(&self.secret, &body))
            .header("Idempotency-Key", message.key.as_str())
            .body(body)
            .send();
        match sent.await {
            // no connection, nothing sent: as harmless as being asked to wait
            Err(error) if error.is_connect() => SendOutcome::Later {
                until: message.at + RETRY_AFTER_DEFAULT,
                whom: Scope::Provider,
            },
            Err(error) if error.is_builder() => SendOutcome::Failed,
            Err(_) => SendOutcome::InDoubt,
            Ok(answer) => read(answer, message.at).await,
        }
    }
}

/// The header of the signature.
const SIGNATURE_HEADER: &str = "x-opportune-signature";

/// What a status and its body say. Of a 5xx nobody knows what was done before it went wrong.
async fn read(answer: reqwest::Response, now: Instant) -> SendOutcome {
    let status = answer.status();
    let wait = retry_after(answer.headers());
    let later =
        |whom| SendOutcome::Later { until: now + wait.unwrap_or(RETRY_AFTER_DEFAULT), whom };
    if status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::SERVICE_UNAVAILABLE && wait.is_some()
    {
        return later(Scope::Provider);
    }
    if status.is_server_error() || status.is_informational() {
        return SendOutcome::InDoubt;
    }
    // the status tells what became of the message, whether or not the body can be read
    let body = answer::body(answer).await.unwrap_or_default();
    let told: Answer = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        let id = told.message.and_then(|id| id.parse().ok());
        return if told.held {
            SendOutcome::Held { id }
        } else {
            SendOutcome::Accepted { id, alias: None }
        };
    }
    match told.refused {
        Some(Whom::Recipient) => {
            SendOutcome::RefusedPerson { scope: RefusalScope::Campaign, code: None }
        }
        Some(Whom::Template) => SendOutcome::RefusedTemplate { code: None },
        None => SendOutcome::Failed,
    }
}

/// `Retry-After` in seconds (RFC 9110 has a date as well, which is taken as the default).
fn retry_after(headers: &HeaderMap) -> Option<TimeDelta> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse::<u32>().map_or(30, i64::from);
    Some(TimeDelta::seconds(seconds).min(RETRY_AFTER_MAX))
}

/// The signature of a body: `sha256=` and hexadecimal digits.
pub fn signature(secret: &SecretValue, body: &[u8]) -> String {
    use std::fmt::Write;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// Whether a post proves by its signature, compared in constant time, that its sender knows the
/// secret.
pub(super) fn is_signed(secret: &SecretValue, given: Option<&str>, body: &[u8]) -> bool {
    let wanted = signature(secret, body);
    wanted.as_bytes().ct_eq(given.unwrap_or_default().as_bytes()).into()
}

impl Provider for Http {
    fn send<'a>(&'a self, message: &'a OutboundMessage) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.post(message))
    }

    fn receive(&self, given: Option<&str>, body: &[u8]) -> Result<Vec<Told>, Rejected> {
        if !is_signed(&self.secret, given, body) {
            return Err(Rejected::Signature);
        }
        let incoming: Incoming =
            serde_json::from_slice(body).map_err(|error| Rejected::Body(error.to_string()))?;
        if incoming.updates.len() > UPDATES_MAX {
            let count = incoming.updates.len();
            let problem = format!("{count} updates are more than {UPDATES_MAX} in one post");
            return Err(Rejected::Body(problem));
        }
        let checked = incoming.updates.into_iter().enumerate().map(|(index, update)| {
            update
                .check()
                .map(Told::Update)
                .map_err(|problem| Rejected::Body(format!("updates[{index}]: {problem}")))
        });
        checked.collect()
    }
}

impl IncomingUpdate {
    fn check(self) -> Result<Update, String> {
        let of = match (self.message, self.provider_message) {
            (Some(key), _) => UpdateOf::Ours(key),
            (None, Some(id)) => UpdateOf::Theirs(id),
            (None, None) => return Err("it names neither message nor provider_message".to_owned()),
        };
        let at = parse_instant("at", &self.at).map_err(|error| error.to_string())?;
        if self.amount.is_some_and(|amount| !amount.is_finite()) {
            return Err("amount is not finite".to_owned());
        }
        let event = match self.event.as_str() {
            "accepted" => Event::Accepted,
            "delivered" => Event::Delivered,
            "read" => Event::Read,
            "clicked" => Event::Clicked,
            "replied" => Event::Replied,
            "converted" => Event::Converted { amount: self.amount, currency: self.currency },
            "opted_out" => Event::OptedOut,
            "failed" => Event::Failed { code: self.code },
            other => {
                return Err(format!(
                    "event {other:?} is not one of accepted, delivered, read, clicked, replied, \
                     converted, opted_out, failed"
                ));
            }
        };
        Ok(Update { of, event, at, names: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server that answers with a status, then with chunks that do not end; how much it wrote.
    async fn endless(status: &'static str) -> (String, Arc<AtomicU64>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let written = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&written);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        });
        (url, written)
    }

    #[tokio::test]
    async fn an_answer_without_end_is_read_to_a_bound() {
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        for (status, outcome) in [
            ("200 OK", SendOutcome::Accepted { id: None, alias: None }),
            ("400 Bad Request", SendOutcome::Failed),
        ] {
            let (url, written) = endless(status).await;
            let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
            let answer = client.unwrap().post(url).send().await.unwrap();
            let begun = std::time::Instant::now();
            assert_eq!(read(answer, now).await, outcome);
            assert!(begun.elapsed() < Duration::from_secs(10), "it read until the time-out");
            // beside what is read, the system holds some megabytes between the two
            let written = written.load(Ordering::Relaxed);
            assert!(written < 32 << 20, "{written} bytes were taken in");
        }
    }
}
