//! Meta's Graph API, which WhatsApp and Messenger share: its errors, and calls to it.

use reqwest::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::http::refused_by_status;
use super::{Code, Scope, SendOutcome};
use crate::model::time::Instant;

/// What is waited where nobody can be reached: 30 seconds.
pub(super) const UNREACHABLE_WAIT: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

/// An error as the API or a webhook tells it: numbers may come as text, parts may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct GraphError {
    #[serde(deserialize_with = "number")]
    pub(super) code: Option<Number>,
    #[serde(deserialize_with = "number")]
    pub(super) error_subcode: Option<Number>,
    #[serde(deserialize_with = "text")]
    pub(super) title: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) message: Option<String>,
}

/// A code as it was told: a number, or a text that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Number {
    Known(i64),
    Text(Code),
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Number>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(match &value {
        Value::Number(told) => {
            let whole = told.as_i64().or_else(|| told.as_f64().map(|told| told as i64));
            whole.map(Number::Known)
        }
        Value::String(told) => {
            let told = Code::clean(told);
            match told.as_str().parse() {
                Ok(known) => Some(Number::Known(known)),
                Err(_) => (!told.is_empty()).then_some(Number::Text(told)),
            }
        }
        _ => None,
    })
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(from)?.as_str().map(str::to_owned))
}

/// "Unsupported request: the object does not exist or may not be used", beside code 100.
pub(super) const SUBCODE_OBJECT: i64 = 33;

impl GraphError {
    /// Whether it names a code at all.
    pub(super) fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// The code as it was told, with a subcode that decides.
    pub(super) fn code(&self) -> Option<Code> {
        match self.code.as_ref()? {
            Number::Known(100) if self.error_subcode == Some(Number::Known(SUBCODE_OBJECT)) => {
                Some(Code::clean("100/33"))
            }
            Number::Known(code) => Some(Code::clean(&code.to_string())),
            Number::Text(code) => Some(code.clone()),
        }
    }

    /// The code and the subcode, where they are numbers.
    pub(super) fn numbers(&self) -> Option<(i64, Option<i64>)> {
        let known = |number: &Option<Number>| match number {
            Some(Number::Known(number)) => Some(*number),
            _ => None,
        };
        Some((known(&self.code)?, known(&self.error_subcode)))
    }
}

/// What an answer says that is not the API's own: it comes from something in between.
pub(super) fn by_status(status: StatusCode, now: Instant) -> SendOutcome {
    if status == StatusCode::TOO_MANY_REQUESTS {
        SendOutcome::Later { until: now + UNREACHABLE_WAIT, whom: Scope::Provider }
    } else {
        refused_by_status(status).unwrap_or(SendOutcome::InDoubt)
    }
}

/// What it means that a call got no answer: without a connection nothing was sent.
pub(super) fn by_failure(error: &reqwest::Error, now: Instant) -> SendOutcome {
    if error.is_connect() {
        SendOutcome::Later { until: now + UNREACHABLE_WAIT, whom: Scope::Provider }
    } else if error.is_builder() {
        let words = "the call could not be made; look at base_url in the settings";
        SendOutcome::refused(super::RefusalScope::Account, None, words)
    } else {
        SendOutcome::InDoubt
    }
}

/// A client of an API that is called with a token.
pub(super) fn client(timeout: std::time::Duration) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(timeout)
        // an address that does not answer is told from a call that nobody knows the end of
        .connect_timeout(timeout / 2)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client without files or certificates of its own can be built")
}
