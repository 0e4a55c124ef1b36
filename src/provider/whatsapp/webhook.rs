//! What WhatsApp posts: statuses, what people write, their preferences, and news of templates and
//! account (see [`news`]).
//!
//! Read loosely: numbers may come as text and text as numbers, parts may be missing or null, and
//! what is not known is passed over. One odd item never holds up the rest, since a post that is
//! refused is posted again for a week; it is told as [`Incoming::Unreadable`], without its content.

use serde::Deserialize;
use serde_json::{Value, json};

use super::message::parse_callback_data;
use super::news;
use crate::model::content::Category;
use crate::model::ids::ProviderMessage;
use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::InboundText;
use crate::provider::graph::GraphError;
use crate::provider::incoming::untold;
use crate::provider::stop_words::stop_word;
use crate::provider::timestamps::instant;
use crate::provider::{
    Charge, Event, InboundKind, InboundMessage, Incoming, Move, PreferenceChange, PreferenceKind,
    Rejected, Update, UpdateOf, Wording,
};

/// The most updates in one post, as the vendor promises.
const UPDATES_MAX: usize = 1000;

/// Reads a post whose signature was checked; `number` is our phone number's id.
pub(super) fn read(body: &[u8], number: &str) -> Result<Vec<Incoming>, Rejected> {
    let post: Value =
        serde_json::from_slice(body).map_err(|error| Rejected::Body(error.to_string()))?;
    if !post.is_object() {
        return Err(Rejected::Body("the body is no JSON object".to_owned()));
    }
    let mut reader = Reader { number, at: None, found: Vec::new() };
    for entry in list(&post, "entry") {
        reader.at = instant(&entry["time"]);
        for change in list(entry, "changes") {
            reader.change(change["field"].as_str().unwrap_or_default(), &change["value"]);
        }
    }
    // a status may tell of a message and of its charge
    let is_charge = |told: &&Incoming| {
        matches!(told, Incoming::Update(Update { event: Event::Charged(_), .. }))
    };
    let count = reader.found.len() - reader.found.iter().filter(is_charge).count();
    if count > UPDATES_MAX {
        let problem = format!("{count} updates are more than {UPDATES_MAX} in one post");
        return Err(Rejected::Body(problem));
    }
    Ok(reader.found)
}

/// The items under a key; one that stands alone is a list of one.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    match &value[key] {
        Value::Array(items) => items.as_slice(),
        item @ Value::Object(_) => std::slice::from_ref(item),
        _ => &[],
    }
    .iter()
}

/// A text, or a number as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number as our addresses have it: `+` and digits; another id as it is.
pub(super) fn address(id: &str) -> Option<Address> {
    let digits = id.bytes().all(|b| b.is_ascii_digit());
    if digits { format!("+{id}").parse().ok() } else { id.parse().ok() }
}

/// A person's names under these keys, in this order, without those that are not told.
fn names(value: &Value, keys: &[&str]) -> Vec<Address> {
    let mut names = Vec::new();
    for name in keys.iter().filter_map(|key| address(&text(&value[*key])?)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The people whom a post tells beside its items.
fn contacts(value: &Value) -> Vec<Vec<Address>> {
    list(value, "contacts").map(|c| names(c, &["wa_id", "user_id", "parent_user_id"])).collect()
}

/// A person's names with those of the contacts that share one, the number first. Who is named
/// nowhere else is the only contact.
fn with_contacts(mut known: Vec<Address>, contacts: &[Vec<Address>]) -> Vec<Address> {
    if let ([], [only]) = (&known[..], contacts) {
        return only.clone();
    }
    for contact in contacts {
        if contact.iter().any(|name| known.contains(name)) {
            let more: Vec<_> = contact.iter().filter(|n| !known.contains(n)).cloned().collect();
            known.extend(more);
        }
    }
    known.sort_by_key(|name| name.phone_digits().is_none());
    known
}

struct Reader<'a> {
    number: &'a str,
    /// When the entry was made, where it tells that.
    at: Option<Instant>,
    found: Vec<Incoming>,
}

impl Reader<'_> {
    fn change(&mut self, field: &str, value: &Value) {
        match field {
            "messages" | "user_preferences" => {
                self.statuses(value);
                self.messages(value);
                self.preferences(value);
            }
            field => self.found.extend(news::read(field, value, self.at)),
        }
    }

    /// What an item tells, or that it could not be read.
    fn take(&mut self, what: &str, told: Result<Option<Incoming>, Odd>) {
        match told {
            Ok(told) => self.found.extend(told),
            Err(Odd(why)) => {
                let what = Wording::clean(&format!("{what}: {why}"));
                self.found.push(Incoming::Unreadable { what });
            }
        }
    }

    /// When an item happened: its own time, else its entry's.
    fn time(&self, item: &Value) -> Option<Instant> {
        instant(&item["timestamp"]).or(self.at)
    }

    fn statuses(&mut self, value: &Value) {
        let contacts = contacts(value);
        for status in list(value, "statuses") {
            let told = update(status, self.time(status), &contacts);
            let charged = told.as_ref().ok().and_then(Option::as_ref).and_then(|update| {
                let reached = matches!(update.event, Event::Delivered | Event::Read);
                let charge = reached.then(|| charge(&status["pricing"])).flatten()?;
                Some(Update { event: Event::Charged(charge), names: Vec::new(), ..update.clone() })
            });
            self.take("statuses", told.map(|update| update.map(Incoming::Update)));
            self.found.extend(charged.map(Incoming::Update));
        }
    }

    fn messages(&mut self, value: &Value) {
        // a webhook may be shared by several numbers; a window is open with one of them
        let told = text(&value["metadata"]["phone_number_id"]);
        if told.is_some_and(|told| told != self.number) {
            return;
        }
        let contacts = contacts(value);
        for raw in list(value, "messages") {
            let at = self.time(raw).unwrap_or_else(untold);
            let told = message(raw, at, self.number, &contacts);
            self.take("messages", told);
        }
    }

    fn preferences(&mut self, value: &Value) {
        let contacts = contacts(value);
        for told in list(value, "user_preferences") {
            let at = self.time(told).unwrap_or_else(untold);
            let told = preference(told, at, &contacts);
            self.take("user_preferences", told.map(|told| told.map(Incoming::Preference)));
        }
    }
}

/// Why an item cannot be read.
struct Odd(&'static str);

fn update(
    status: &Value,
    at: Option<Instant>,
    contacts: &[Vec<Address>],
) -> Result<Option<Update>, Odd> {
    let word = status["status"].as_str().ok_or(Odd("the status is no word"))?;
    let callback = text(&status["biz_opaque_callback_data"]);
    let callback = callback.as_deref().and_then(parse_callback_data);
    let attempt = callback.as_ref().map_or(1, |(_, attempt)| *attempt);
    let of = if let Some((key, attempt)) = callback {
        UpdateOf::Try(key, attempt)
    } else {
        let id = text(&status["id"]).and_then(|id| id.parse().ok());
        UpdateOf::Theirs(id.ok_or(Odd("the id is none"))?)
    };
    let event = match word.to_ascii_lowercase().as_str() {
        "sent" => Event::Accepted,
        "delivered" => Event::Delivered,
        "read" | "played" => Event::Read,
        "failed" => {
            let errors = list(status, "errors").filter_map(|e| GraphError::deserialize(e).ok());
            let error = errors.into_iter().find(GraphError::has_code).unwrap_or_default();
            // a wait that counts from an unknown time is over
            error.event(at.unwrap_or_default(), attempt)
        }
        _ => return Ok(None),
    };
    let told: &[&str] = match status["recipient_type"].as_str() {
        Some("group") => &[],
        _ => &["recipient_id", "recipient_user_id", "recipient_parent_user_id"],
    };
    let mut names = with_contacts(names(status, told), contacts);
    // the number is ours to know
    names.retain(|name| name.phone_digits().is_none());
    Ok(Some(Update { of, event, at: at.unwrap_or_else(untold), names }))
}

/// How a message is charged; `None` where nothing is said of it.
fn charge(pricing: &Value) -> Option<Charge> {
    let word = |key: &str| pricing[key].as_str().map(str::to_ascii_lowercase);
    let (category, kind) = (word("category"), word("type"));
    let is_free = match kind.as_deref() {
        Some(kind) => kind.starts_with("free"),
        // before there were types
        None => pricing["billable"] == Value::Bool(false),
    };
    let known = |word: &str| match word {
        "marketing_lite" => Some(Category::Marketing),
        "authentication_international" => Some(Category::Authentication),
        word => word.parse().ok(),
    };
    let category = category.as_deref().and_then(known);
    (category.is_some() || is_free).then_some(Charge { category, is_free })
}

fn preference(
    told: &Value,
    at: Instant,
    contacts: &[Vec<Address>],
) -> Result<Option<PreferenceChange>, Odd> {
    let category = told["category"].as_str().unwrap_or_default().to_ascii_lowercase();
    if !category.is_empty() && !category.contains("marketing") {
        return Ok(None);
    }
    let value = told["value"].as_str().ok_or(Odd("the value is no word"))?;
    let kind = match value.trim().to_ascii_lowercase().as_str() {
        "stop" => PreferenceKind::Stop,
        "resume" => PreferenceKind::Resume,
        "signup" | "sign_up" => PreferenceKind::SignUp,
        _ => return Ok(None),
    };
    let from = with_contacts(names(told, &["wa_id", "user_id", "parent_user_id"]), contacts);
    if from.is_empty() {
        return Err(Odd("nobody is named"));
    }
    let evidence = match text(&told["signup_id"]) {
        Some(id) => format!("signup {id}"),
        None => text(&told["detail"]).unwrap_or_default(),
    };
    Ok(Some(PreferenceChange { from, kind, at, evidence: Wording::clean(&evidence) }))
}

/// A word of a person, or news of their account.
fn message(
    raw: &Value,
    at: Instant,
    number: &str,
    contacts: &[Vec<Address>],
) -> Result<Option<Incoming>, Odd> {
    if !raw.is_object() {
        return Err(Odd("it is no object"));
    }
    let from = names(raw, &["from", "from_user_id", "from_parent_user_id", "user_id"]);
    if raw["system"].is_object() {
        return Ok(moved(&raw["system"], from, at).map(Incoming::Moved));
    }
    let kind = kind(raw);
    let emoji = raw["reaction"]["emoji"].as_str().unwrap_or_default();
    if kind == InboundKind::Reaction && emoji.is_empty() {
        // a mark that was taken back
        return Ok(None);
    }
    let from = with_contacts(from, contacts);
    if from.is_empty() {
        return Err(Odd("nobody is named"));
    }
    let said = match kind {
        InboundKind::Private => said(raw),
        InboundKind::Edit => said(&raw["edit"]["message"]),
        // what is said to a group is not said to us
        _ => Said::default(),
    };
    let answered = match kind {
        InboundKind::Group | InboundKind::Revoked => None,
        InboundKind::Reaction => text(&raw["reaction"]["message_id"]),
        _ => text(&raw["context"]["id"]),
    };
    let id = text(&raw["id"]).and_then(|id| id.parse().ok()).unwrap_or_else(|| unnamed(at));
    Ok(Some(Incoming::Message(Box::new(InboundMessage {
        id,
        from,
        kind,
        answers: answered.and_then(|id| id.parse().ok()),
        by_button: said.by_button && kind == InboundKind::Private,
        stop: said.words.iter().find_map(|word| stop_word(word)),
        // of a button the last word is what it shows
        text: said
            .words
            .last()
            .map(|word| InboundText::clean(word))
            .filter(|text| !text.is_empty()),
        at,
        raw: json!({ "phone_number_id": number, "message": raw }).to_string(),
    }))))
}

/// An id for a message that tells none: what it says must not be lost for that.
fn unnamed(at: Instant) -> ProviderMessage {
    format!("unnamed.{}", at.timestamp()).parse().expect("digits are an id")
}

/// Types of messages that are a word of one person to us.
const PRIVATE: [&str; 13] = [
    "text",
    "button",
    "interactive",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contacts",
    "order",
    "poll",
];

fn kind(raw: &Value) -> InboundKind {
    let told = raw["type"].as_str().unwrap_or_default().to_ascii_lowercase();
    let is_group = |told: &Value| text(&told["group_id"]).is_some();
    if is_group(raw) || is_group(&raw["context"]) {
        return InboundKind::Group;
    }
    match told.as_str() {
        "reaction" => InboundKind::Reaction,
        "edit" | "edited" => InboundKind::Edit,
        "revoke" | "revoked" => InboundKind::Revoked,
        "" if raw["reaction"].is_object() => InboundKind::Reaction,
        "" if raw["edit"].is_object() => InboundKind::Edit,
        "" if raw["revoke"].is_object() => InboundKind::Revoked,
        "" if PRIVATE.iter().any(|key| !raw[*key].is_null()) => InboundKind::Private,
        told if PRIVATE.contains(&told) => InboundKind::Private,
        _ => InboundKind::Unsupported,
    }
}

/// The words of a message.
#[derive(Default)]
struct Said {
    words: Vec<String>,
    by_button: bool,
}

/// Texts, captions, and what a pressed button says and means.
fn said(message: &Value) -> Said {
    let interactive = &message["interactive"];
    let chosen = [
        (&message["button"], ["payload", "text"]),
        (&interactive["button_reply"], ["id", "title"]),
        (&interactive["list_reply"], ["id", "title"]),
    ];
    let mut words: Vec<String> = chosen
        .iter()
        .flat_map(|(choice, keys)| keys.iter().filter_map(|key| text(&choice[*key])))
        .collect();
    let by_button = !words.is_empty();
    let written = [&message["text"]["body"], &message["order"]["text"]];
    words.extend(written.into_iter().filter_map(text));
    let captions = ["image", "video", "document", "audio"].map(|kind| &message[kind]["caption"]);
    words.extend(captions.into_iter().filter_map(text));
    Said { words, by_button }
}

/// A new number brings a new id; where the number cannot be told, the id alone comes.
fn moved(system: &Value, from: Vec<Address>, at: Instant) -> Option<Move> {
    let changes = ["user_changed_number", "customer_changed_number", "user_changed_user_id"];
    if !changes.contains(&system["type"].as_str().unwrap_or_default()) {
        return None;
    }
    let mut was: Vec<Address> =
        from.into_iter().filter(|name| name.phone_digits().is_some()).collect();
    was.extend(names(system, &["previous_user_id", "previous_parent_user_id"]));
    let now = names(system, &["wa_id", "new_wa_id", "user_id", "parent_user_id"]);
    (!now.is_empty()).then_some(Move { was, now, at })
}
