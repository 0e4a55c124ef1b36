//! What Messenger posts: what people write, receipts, subscriptions to marketing and what comes of them.
//!
//! Read loosely, as WhatsApp's: what is not known is passed over, and one odd item holds up no other. A receipt
//! of reading names no message but a time.

use serde_json::{Value, json};

use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::incoming::untold;
use crate::provider::stop_words::stop_word;
use crate::provider::timestamps::instant;
use crate::provider::{
    Code, Event, InboundKind, InboundMessage, InboundText, Incoming, PermitChange, PermitKind,
    Rejected, Update, UpdateOf, Wording,
};

/// More items in one post than the vendor sends.
const ITEMS_MAX: usize = 1000;

/// Reads a post whose signature was checked; `page` is ours.
pub(super) fn read(body: &[u8], page: &str) -> Result<Vec<Incoming>, Rejected> {
    let post: Value =
        serde_json::from_slice(body).map_err(|error| Rejected::Body(error.to_string()))?;
    if post["object"] != "page" {
        return Err(Rejected::Body("the body is no post of a page".to_owned()));
    }
    let mut found = Vec::new();
    for entry in list(&post["entry"]) {
        // an app may serve several pages
        if text(&entry["id"]).is_some_and(|id| id != page) {
            continue;
        }
        for item in list(&entry["messaging"]) {
            read_item(item, page, &mut found);
        }
        for change in list(&entry["changes"]) {
            let field = change["field"].as_str().unwrap_or_default();
            found.extend(marketing(field, &change["value"]));
        }
    }
    if found.len() > ITEMS_MAX {
        let count = found.len();
        let problem = format!("{count} items are more than {ITEMS_MAX} in one post");
        return Err(Rejected::Body(problem));
    }
    Ok(found)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn read_item(item: &Value, page: &str, found: &mut Vec<Incoming>) {
    let at = instant(&item["timestamp"]).unwrap_or_else(untold);
    let sender: Option<Address> = text(&item["sender"]["id"]).and_then(|id| id.parse().ok());
    // our own words come back as echoes
    if item["message"]["is_echo"] == true || sender.as_ref().is_some_and(|s| s.as_str() == page) {
        return;
    }
    for mid in list(&item["delivery"]["mids"]) {
        found.extend(text(mid).and_then(|id| update(&id, Event::Delivered, at)));
    }
    let Some(sender) = sender else { return };
    if let Some(until) = instant(&item["read"]["watermark"]) {
        found.push(Incoming::Seen { from: vec![sender], until });
    } else if item["optin"].is_object() {
        found.extend(subscription(&item["optin"], sender, at));
    } else if item["message"].is_object() || item["postback"].is_object() {
        found.push(Incoming::Message(Box::new(said(item, sender, page, at))));
    }
}

fn update(id: &str, event: Event, at: Instant) -> Option<Incoming> {
    let of = UpdateOf::Theirs(id.parse().ok()?);
    Some(Incoming::Update(Update { of, event, at, names: Vec::new() }))
}

fn said(item: &Value, sender: Address, page: &str, at: Instant) -> InboundMessage {
    let (message, postback) = (&item["message"], &item["postback"]);
    let pressed = [&postback["payload"], &message["quick_reply"]["payload"]];
    let words = [pressed[0], pressed[1], &postback["title"], &message["text"]];
    let words: Vec<String> = words.into_iter().filter_map(text).collect();
    let id = text(&message["mid"]).or_else(|| text(&postback["mid"]));
    let id = id.and_then(|id| id.parse().ok());
    InboundMessage {
        id: id.unwrap_or_else(|| {
            format!("unnamed.{}", at.timestamp()).parse().expect("digits are an id")
        }),
        from: vec![sender],
        kind: InboundKind::Private,
        answers: text(&message["reply_to"]["mid"]).and_then(|id| id.parse().ok()),
        by_button: pressed.iter().any(|payload| !payload.is_null()),
        stop: words.iter().find_map(|word| stop_word(word)),
        text: words.last().map(|word| InboundText::clean(word)).filter(|text| !text.is_empty()),
        at,
        raw: json!({ "page_id": page, "message": item }).to_string(),
    }
}

/// A person subscribed to a subject, stopped it, or wants it again.
fn subscription(optin: &Value, from: Address, at: Instant) -> Option<Incoming> {
    if optin["type"] != "notification_messages" {
        return None;
    }
    let topic = text(&optin["topic"]).or_else(|| text(&optin["title"]))?;
    let token = text(&optin["notification_messages_token"]).unwrap_or_default();
    let kind = match optin["notification_messages_status"].as_str().unwrap_or_default() {
        "STOP_NOTIFICATIONS" => PermitKind::Stopped,
        _ if token.is_empty() => return None,
        _ => {
            PermitKind::Subscribed { token, expires_at: instant(&optin["token_expiry_timestamp"]) }
        }
    };
    let evidence = Wording::clean(&text(&optin["payload"]).unwrap_or_default());
    Some(Incoming::Permit(PermitChange { from: vec![from], topic, kind, at, evidence }))
}

/// What came of a marketing message.
fn marketing(field: &str, value: &Value) -> Option<Incoming> {
    let at = instant(&value["timestamp"]).unwrap_or_else(untold);
    let event = match field {
        "marketing_message_deliveries" => Event::Delivered,
        "marketing_message_reads" => Event::Read,
        "marketing_message_clicks" => Event::Clicked,
        "marketing_message_delivery_failed" => {
            Event::Failed { code: text(&value["error"]["code"]).map(|code| Code::clean(&code)) }
        }
        _ => return None,
    };
    update(&text(&value["marketing_message_tracking_id"])?, event, at)
}
