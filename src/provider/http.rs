//! Posts each message as signed JSON to an endpoint of the user's own, and takes signed JSON back.
//!
//! Out: `{"message", "recipient", "to", "campaign", "category", "variant", "media", "style",
//! "template", "language", "text", "parameters", "media_url"}`, what is unknown left out. In:
//! `{"updates": [{"message" | "provider_message", "event", "at", …}]}`. An answer may be
//! `{"message": ID, "held": true}`, or with a 4xx `{"refused": "recipient" | "unreachable" |
//! "template", "code"}`; a redirect, 401, 403, 404 and their like without such a word are the
//! endpoint's own matter. Both posts carry the header
//! `X-Opportune-Signature: sha256=` and the HMAC-SHA256 (RFC 2104) of the raw body in hexadecimal
//! digits.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{
    Code, Incoming, OutboundMessage, Provider, RefusalScope, Rejected, Scope, SendOutcome, answer,
    posted,
};
use crate::config::SecretValue;
use crate::model::hash::hex;
use crate::model::time::Instant;

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
    #[serde(default, deserialize_with = "loose")]
    refused: Option<Whom>,
    #[serde(default, deserialize_with = "loose")]
    code: Option<Code>,
}

/// A value of another kind is as good as none.
fn loose<'de, D: serde::Deserializer<'de>, T: serde::de::DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Whom {
    Recipient,
    Unreachable,
    Template,
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
            Err(error) if error.is_builder() => {
                let words = "the call could not be made; look at url in the settings";
                SendOutcome::refused(RefusalScope::Account, None, words)
            }
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
    let code = told.code;
    match told.refused {
        Some(Whom::Recipient) => {
            SendOutcome::refused(RefusalScope::Person, code, "the endpoint refused this person")
        }
        Some(Whom::Template) => {
            SendOutcome::refused(RefusalScope::Template, code, "the endpoint refused the template")
        }
        Some(Whom::Unreachable) => {
            let words = "the endpoint does not reach this person";
            SendOutcome::refused(RefusalScope::Unreachable, code, words)
        }
        None => refused_by_status(status).unwrap_or(SendOutcome::InDoubt),
    }
}

/// What a status means that comes without a word of explanation. A redirect, a missing permission
/// or a missing address befall everybody; another 4xx may be one person's. `None` for a status that
/// does not say whether the message was taken.
pub(super) fn refused_by_status(status: StatusCode) -> Option<SendOutcome> {
    let (scope, words) = match status.as_u16() {
        300..=399 => (RefusalScope::Account, "the address moved; look at the URL in the settings"),
        401 | 403 | 407 => {
            (RefusalScope::Account, "the call is not permitted; look at the secret or token")
        }
        404 | 405 | 410 | 421 | 426 | 451 | 495 | 496 => {
            (RefusalScope::Account, "nothing takes messages there; look at the URL in the settings")
        }
        400..=499 => (RefusalScope::Unknown, "the endpoint gave an answer that is not known"),
        _ => return None,
    };
    Some(SendOutcome::refused(
        scope,
        Some(Code::clean(&format!("http {}", status.as_u16()))),
        words,
    ))
}

/// `Retry-After` in seconds (RFC 9110 has a date as well, which is taken as the default).
fn retry_after(headers: &HeaderMap) -> Option<TimeDelta> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse::<u32>().map_or(30, i64::from);
    Some(TimeDelta::seconds(seconds).min(RETRY_AFTER_MAX))
}

/// The signature of a body: `sha256=` and hexadecimal digits.
pub fn signature(secret: &SecretValue, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
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

    fn receive(&self, given: Option<&str>, body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
        if !is_signed(&self.secret, given, body) {
            return Err(Rejected::Signature);
        }
        posted::read(body, |_, _| None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::provider::{Event, Update};

    #[test]
    fn a_missing_permission_or_address_is_the_endpoints_and_another_4xx_is_not_known() {
        for status in [301, 302, 308, 401, 403, 404, 405, 407, 410] {
            let outcome = refused_by_status(StatusCode::from_u16(status).unwrap());
            let Some(SendOutcome::Refused(refusal)) = outcome else { panic!("{status}") };
            assert_eq!(refusal.scope, RefusalScope::Account, "{status}");
            assert_eq!(refusal.code_text(), format!("http {status}"));
            assert!(!refusal.words.is_empty());
        }
        for status in [400, 409, 413, 418, 422] {
            let outcome = refused_by_status(StatusCode::from_u16(status).unwrap());
            let scope = outcome.and_then(|outcome| outcome.refusal_scope());
            assert_eq!(scope, Some(RefusalScope::Unknown), "{status}");
        }
        // nobody knows what was done before it went wrong
        for status in [100, 200, 500, 502, 504] {
            assert_eq!(refused_by_status(StatusCode::from_u16(status).unwrap()), None);
        }
    }

    fn post(updates: Value) -> Result<Vec<Incoming>, Rejected> {
        let secret = SecretValue::new("s");
        let http = Http::new("http://127.0.0.1/".to_owned(), secret, Duration::from_secs(1));
        let body = serde_json::json!({ "updates": updates }).to_string();
        http.receive(Some(&signature(&http.secret, body.as_bytes())), body.as_bytes())
    }

    #[test]
    fn one_bad_update_is_passed_over_and_the_others_are_heard() {
        let at = "2026-12-10T15:00:00Z";
        let told = post(serde_json::json!([
            { "message": "c:1", "event": "read", "at": at },
            { "message": "c:\u{0}", "event": "read", "at": at },
            { "message": "c:2", "event": "failed", "at": at, "code": "x".repeat(10_000) },
            { "message": "c:3", "event": "failed", "at": at, "code": 17 },
            { "message": "c:4", "event": "converted", "at": at, "amount": 1, "currency": "E\u{0}R" },
            { "event": "no\u{0}such".repeat(10_000), "message": "c:5", "at": at },
            7,
        ]))
        .unwrap();
        let codes: Vec<_> = told
            .iter()
            .filter_map(|told| match told {
                Incoming::Update(Update { event: Event::Failed { code }, .. }) => code.clone(),
                _ => None,
            })
            .collect();
        assert_eq!(codes.len(), 2);
        assert!(codes[0].as_str().len() <= Code::MAX && codes[1].as_str() == "17");
        let odd = told.iter().filter(|told| matches!(told, Incoming::Unreadable { .. })).count();
        assert_eq!((told.len(), odd), (7, 4));
        // nothing but mistakes is for the sender to mend
        let refused = post(serde_json::json!([{ "message": "c:1", "event": "red", "at": at }]));
        assert!(matches!(refused, Err(Rejected::Body(text)) if text.starts_with("updates[0]: ")));
    }

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
            ("400 Bad Request", refused_by_status(StatusCode::BAD_REQUEST).unwrap()),
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
