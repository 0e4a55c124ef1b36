//! What endpoints and mail services post of messages, in JSON:
//! `{"updates": [{"message" | "provider_message", "event", "at", …}]}`.

use serde::Deserialize;
use serde_json::Value;

use super::{Code, Event, Incoming, Rejected, Update, UpdateOf, Wording};
use crate::model::ids::{MessageKey, ProviderMessage};
use crate::model::time::parse_instant;

/// The most updates in one post.
const UPDATES_MAX: usize = 1000;

/// What words mean beyond those that everybody may post, with their code.
type More<'m> = dyn Fn(&str, Option<&Code>) -> Option<Event> + 'm;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusBatch {
    updates: Vec<Value>,
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
    #[serde(default, deserialize_with = "code")]
    code: Option<Code>,
}

/// A code, which may come as a number.
fn code<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Code>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Null => None,
        Value::String(text) => Some(Code::clean(&text)),
        Value::Number(number) => Some(Code::clean(&number.to_string())),
        _ => return Err(serde::de::Error::custom("code is neither a text nor a number")),
    }
    .filter(|code| !code.is_empty()))
}

/// Reads a post whose signature was checked; `more` knows words beyond those that everybody may post.
pub(super) fn read(
    body: &[u8],
    more: impl Fn(&str, Option<&Code>) -> Option<Event>,
) -> Result<Vec<Incoming>, Rejected> {
    let incoming: StatusBatch =
        serde_json::from_slice(body).map_err(|error| Rejected::Body(error.to_string()))?;
    if incoming.updates.len() > UPDATES_MAX {
        let count = incoming.updates.len();
        let problem = format!("{count} updates are more than {UPDATES_MAX} in one post");
        return Err(Rejected::Body(problem));
    }
    let mut told = Vec::with_capacity(incoming.updates.len());
    let mut problems = Vec::new();
    for (index, update) in incoming.updates.into_iter().enumerate() {
        let read = serde_json::from_value::<IncomingUpdate>(update);
        match read.map_err(|error| error.to_string()).and_then(|update| update.check(&more)) {
            Ok(update) => told.push(Incoming::Update(update)),
            Err(problem) => {
                problems.push(Wording::clean(&format!("updates[{index}]: {problem}")));
            }
        }
    }
    // a post of nothing but mistakes is its sender's to mend; one mistake among others must not
    // keep them from being heard
    match problems.first() {
        Some(problem) if told.is_empty() => Err(Rejected::Body(problem.to_string())),
        _ => {
            told.extend(problems.into_iter().map(|what| Incoming::Unreadable { what }));
            Ok(told)
        }
    }
}

impl IncomingUpdate {
    fn check(self, more: &More<'_>) -> Result<Update, String> {
        let of = match (self.message, self.provider_message) {
            (Some(key), _) => UpdateOf::Ours(key),
            (None, Some(id)) => UpdateOf::Theirs(id),
            (None, None) => return Err("it names neither message nor provider_message".to_owned()),
        };
        let at = parse_instant("at", &self.at).map_err(|error| error.to_string())?;
        if self.amount.is_some_and(|amount| !amount.is_finite()) {
            return Err("amount is not finite".to_owned());
        }
        let is_code =
            |text: &String| text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        if !self.currency.as_ref().is_none_or(is_code) {
            return Err("currency is not an ISO 4217 code such as EUR".to_owned());
        }
        let event = match self.event.as_str() {
            "accepted" => Event::Accepted,
            "delivered" => Event::Delivered,
            "read" => Event::Read,
            "clicked" => Event::Clicked,
            "replied" => Event::Replied,
            "converted" => Event::Converted { amount: self.amount, currency: self.currency },
            "opted_out" => Event::OptedOut,
            "complained" => Event::Complained,
            "failed" => Event::Failed { code: self.code },
            other => more(other, self.code.as_ref()).ok_or_else(|| {
                format!(
                    "event {:?} is not one of accepted, delivered, read, clicked, replied, \
                     converted, opted_out, complained, failed",
                    Code::clean(other).as_str()
                )
            })?,
        };
        Ok(Update { of, event, at, names: Vec::new() })
    }
}
