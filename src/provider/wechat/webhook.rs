//! What WeChat posts: what people write, what they permit, and what came of messages; as XML, or as JSON where
//! a mini program is set so.
//!
//! The proof is a hash of a shared word with a time and a number; the body has none of its own.

use serde_json::{Map, Value};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::config::SecretValue;
use crate::model::hash::hex;
use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::incoming::untold;
use crate::provider::stop_words::stop_word;
use crate::provider::timestamps::instant;
use crate::provider::{
    Code, Event, InboundKind, InboundMessage, InboundText, Incoming, PermitChange, PermitKind,
    PreferenceChange, PreferenceKind, RefusalScope, Rejected, SendOutcome, Update, UpdateOf,
    Wording,
};

/// Elements within elements that are read.
const DEPTH_MAX: usize = 8;

/// Whether a call proves that its sender knows the word: the SHA-1 of word, time and number, sorted.
pub(super) fn is_signed(token: &SecretValue, value: &dyn Fn(&str) -> Option<String>) -> bool {
    let (Some(given), Some(time), Some(number)) =
        (value("signature"), value("timestamp"), value("nonce"))
    else {
        return false;
    };
    let mut parts = [token.expose(), &time, &number];
    parts.sort_unstable();
    let wanted = hex(&Sha1::digest(parts.concat().as_bytes()));
    wanted.as_bytes().ct_eq(given.as_bytes()).into()
}

/// Reads a post whose sender proved it.
pub(super) fn read(body: &[u8]) -> Result<Vec<Incoming>, Rejected> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Rejected::Body("the body is no text in UTF-8".to_owned()))?;
    let post: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| Rejected::Body(error.to_string()))?
    } else {
        let document =
            roxmltree::Document::parse(text).map_err(|error| Rejected::Body(error.to_string()))?;
        value(document.root_element(), 0)
    };
    let Some(from) = word(&post["FromUserName"]).and_then(|id| id.parse().ok()) else {
        return Err(Rejected::Body("FromUserName: nobody is named".to_owned()));
    };
    let at = instant(&post["CreateTime"]).unwrap_or_else(untold);
    Ok(match word(&post["MsgType"]).unwrap_or_default().as_str() {
        "event" => event(&post, from, at),
        "text" | "image" | "voice" | "video" | "shortvideo" | "location" | "link"
        | "miniprogrampage" => vec![said(&post, text, from, at)],
        _ => Vec::new(),
    })
}

/// An element as JSON: its text, or its elements by name, those that repeat as a list.
fn value(node: roxmltree::Node<'_, '_>, depth: usize) -> Value {
    let mut fields = Map::new();
    for child in node.children().filter(roxmltree::Node::is_element) {
        if depth >= DEPTH_MAX {
            break;
        }
        let (name, told) = (child.tag_name().name().to_owned(), value(child, depth + 1));
        match fields.get_mut(&name) {
            None => {
                fields.insert(name, told);
            }
            Some(Value::Array(list)) => list.push(told),
            Some(known) => *known = Value::Array(vec![known.take(), told]),
        }
    }
    if fields.is_empty() {
        let text: String = node.children().filter_map(|child| child.text()).collect();
        return Value::String(text.trim().to_owned());
    }
    Value::Object(fields)
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn said(post: &Value, raw: &str, from: Address, at: Instant) -> Incoming {
    let content = word(&post["Content"]);
    let id = word(&post["MsgId"]).and_then(|id| id.parse().ok());
    Incoming::Message(Box::new(InboundMessage {
        id: id.unwrap_or_else(|| {
            format!("unnamed.{}", at.timestamp()).parse().expect("digits are an id")
        }),
        from: vec![from],
        kind: InboundKind::Private,
        answers: None,
        by_button: false,
        stop: content.as_deref().and_then(stop_word),
        text: content.map(|text| InboundText::clean(&text)).filter(|text| !text.is_empty()),
        at,
        raw: serde_json::json!({ "message": raw }).to_string(),
    }))
}

fn event(post: &Value, from: Address, at: Instant) -> Vec<Incoming> {
    let kind = word(&post["Event"]).unwrap_or_default();
    match kind.as_str() {
        "subscribe_msg_popup_event" | "subscribe_msg_change_event" => {
            let mut found = Vec::new();
            choices(post, &mut found);
            let popup = kind == "subscribe_msg_popup_event";
            let change = |(topic, accepted): (String, bool)| {
                let kind = match accepted {
                    true if popup => PermitKind::Messages(1),
                    // permits for good are told by the popup as well
                    true => return None,
                    false => PermitKind::Stopped,
                };
                let (from, evidence) = (vec![from.clone()], Wording::clean(&kind_words(popup)));
                Some(Incoming::Permit(PermitChange { from, topic, kind, at, evidence }))
            };
            found.into_iter().filter_map(change).collect()
        }
        "subscribe_msg_sent_event" | "TEMPLATESENDJOBFINISH" => {
            let mut found = Vec::new();
            results(post, &mut found);
            let update = |(id, event): (String, Event)| {
                let of = UpdateOf::Theirs(id.parse().ok()?);
                Some(Incoming::Update(Update { of, event, at, names: Vec::new() }))
            };
            found.into_iter().filter_map(update).collect()
        }
        "unsubscribe" => {
            let evidence = Wording::clean("unfollowed the account");
            let kind = PreferenceKind::Stop;
            vec![Incoming::Preference(PreferenceChange { from: vec![from], kind, at, evidence })]
        }
        _ => Vec::new(),
    }
}

fn kind_words(popup: bool) -> String {
    let words = if popup { "chosen in the dialogue" } else { "changed in the settings" };
    words.to_owned()
}

/// Each template that a person chose about, wherever it stands, and whether they accept.
fn choices(value: &Value, found: &mut Vec<(String, bool)>) {
    match value {
        Value::Array(list) => {
            for value in list {
                choices(value, found);
            }
        }
        Value::Object(fields) => {
            match (word(&value["TemplateId"]), word(&value["SubscribeStatusString"])) {
                (Some(template), Some(status)) => found.push((template, status == "accept")),
                _ => {
                    for value in fields.values() {
                        choices(value, found);
                    }
                }
            }
        }
        _ => {}
    }
}

/// Each message whose end is told, wherever it stands.
fn results(value: &Value, found: &mut Vec<(String, Event)>) {
    let Value::Object(fields) = value else {
        if let Value::Array(list) = value {
            for value in list {
                results(value, found);
            }
        }
        return;
    };
    let id = word(&value["MsgID"]);
    match (id, word(&value["ErrorCode"]), word(&value["Status"])) {
        (Some(id), Some(code), _) if code == "0" => found.push((id, Event::Delivered)),
        (Some(id), Some(code), _) => {
            let refused = code == "43101";
            found.push((id, given_up(&code, refused.then_some(RefusalScope::Unpermitted))));
        }
        (Some(id), None, Some(status)) if status == "success" => {
            found.push((id, Event::Delivered));
        }
        (Some(id), None, Some(status)) => {
            let blocked = status.contains("user block");
            found.push((id, given_up(&status, blocked.then_some(RefusalScope::Unreachable))));
        }
        _ => {
            for value in fields.values() {
                results(value, found);
            }
        }
    }
}

fn given_up(code: &str, scope: Option<RefusalScope>) -> Event {
    let code = Code::clean(code);
    match scope {
        None => Event::Failed { code: Some(code) },
        Some(scope) => {
            let words = "the person does not take messages of this account";
            let means = Box::new(SendOutcome::refused(scope, Some(code.clone()), words));
            Event::TurnedAway { code, words: Wording::clean(words), means }
        }
    }
}
