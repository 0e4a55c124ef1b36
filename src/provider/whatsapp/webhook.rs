//! What WhatsApp posts: statuses, what people write, their preferences, and news of templates and
//! account.
//!
//! Read loosely: what is not known is passed over, and one odd item never holds up the rest, since
//! a post that is refused is posted again for a week.

use serde::Deserialize;
use serde_json::{Value, json};

use super::codes;
use super::message::parse_callback_data;
use crate::model::recipient::Address;
use crate::model::time::Instant;
use crate::provider::stop_words::is_stop;
use crate::provider::{Event, InboundMessage, Incoming, Move, Rejected, Update, UpdateOf};

/// The most updates in one post, as the vendor promises.
const UPDATES_MAX: usize = 1000;

#[derive(Deserialize)]
struct Post {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Seconds since 1970, on entries that tell no time of their own.
    time: Option<i64>,
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    field: String,
    #[serde(default)]
    value: Value,
}

#[derive(Deserialize)]
struct Status {
    id: String,
    status: String,
    timestamp: Seconds,
    biz_opaque_callback_data: Option<String>,
    recipient_id: Option<String>,
    recipient_user_id: Option<String>,
    recipient_parent_user_id: Option<String>,
    #[serde(default)]
    errors: Vec<StatusError>,
}

#[derive(Deserialize)]
struct StatusError {
    code: i64,
}

/// Seconds since 1970, which come as text or as a number.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "Value")]
struct Seconds(Instant);

impl TryFrom<Value> for Seconds {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, &'static str> {
        let seconds = match &value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        let at = seconds.and_then(|seconds| Instant::from_timestamp(seconds, 0));
        at.map(Self).ok_or("it is no time in seconds")
    }
}

#[derive(Deserialize)]
struct Message {
    from: Option<String>,
    /// The person's id within the business's portfolio, which is told where the number may not be;
    /// and within several portfolios that belong together.
    from_user_id: Option<String>,
    from_parent_user_id: Option<String>,
    /// As the vendor called it first.
    user_id: Option<String>,
    id: String,
    timestamp: Seconds,
    text: Option<Text>,
    button: Option<Button>,
    interactive: Option<Interactive>,
    reaction: Option<Reaction>,
    context: Option<Context>,
    system: Option<System>,
}

/// News of a person's account.
#[derive(Deserialize)]
struct System {
    #[serde(rename = "type", default)]
    kind: String,
    wa_id: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
    previous_user_id: Option<String>,
    previous_parent_user_id: Option<String>,
}

/// Who a post is about, beside the items that name them.
#[derive(Deserialize)]
struct Contact {
    wa_id: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    body: String,
}

#[derive(Deserialize)]
struct Button {
    payload: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Interactive {
    button_reply: Option<Choice>,
    list_reply: Option<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    id: Option<String>,
    title: Option<String>,
}

#[derive(Deserialize)]
struct Reaction {
    message_id: Option<String>,
    emoji: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Preference {
    wa_id: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
    category: Option<String>,
    value: String,
    timestamp: Seconds,
}

/// Reads a post whose signature was checked; `number` is our phone number's id.
pub(super) fn read(body: &[u8], number: &str) -> Result<Vec<Incoming>, Rejected> {
    let post: Post =
        serde_json::from_slice(body).map_err(|error| Rejected::Body(error.to_string()))?;
    let mut reader = Reader { number, found: Vec::new() };
    for entry in post.entry {
        let at = entry.time.and_then(|time| Instant::from_timestamp(time, 0));
        for change in entry.changes {
            reader.change(&change, at.unwrap_or(Instant::UNIX_EPOCH));
        }
    }
    let count = reader.found.len();
    if count > UPDATES_MAX {
        let problem = format!("{count} updates are more than {UPDATES_MAX} in one post");
        return Err(Rejected::Body(problem));
    }
    Ok(reader.found)
}

/// A number as our addresses have it: `+` and digits; another id as it is.
pub(super) fn address(id: &str) -> Option<Address> {
    let digits = id.bytes().all(|b| b.is_ascii_digit());
    if digits { format!("+{id}").parse().ok() } else { id.parse().ok() }
}

/// A person's names, in this order, without those that are not told.
fn names<const N: usize>(told: [Option<String>; N]) -> Vec<Address> {
    told.into_iter().flatten().filter_map(|name| address(&name)).collect()
}

/// The people whom a post tells beside its items.
fn contacts(value: &Value) -> Vec<Vec<Address>> {
    let contacts = list(value, "contacts").filter_map(|raw| Contact::deserialize(raw).ok());
    contacts.map(|c| names([c.wa_id, c.user_id, c.parent_user_id])).collect()
}

/// A person's names with those of the contacts that share one, the number first.
fn with_contacts(mut known: Vec<Address>, contacts: &[Vec<Address>]) -> Vec<Address> {
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
    found: Vec<Incoming>,
}

impl Reader<'_> {
    fn change(&mut self, change: &Change, at: Instant) {
        let value = &change.value;
        match change.field.as_str() {
            "messages" => self.messages(value),
            "user_preferences" => self.preferences(value),
            "message_template_status_update" => self.template(value, at),
            "business_capability_update" | "phone_number_quality_update" => self.limit(value, at),
            "message_template_quality_update"
            | "template_category_update"
            | "message_template_components_update"
            | "account_update"
            | "account_alerts" => self.notice(&change.field, value, at),
            _ => {}
        }
    }

    fn messages(&mut self, value: &Value) {
        let contacts = contacts(value);
        for status in list(value, "statuses") {
            if let Ok(status) = Status::deserialize(status) {
                self.found.extend(status.update(&contacts).map(Incoming::Update));
            }
        }
        // a webhook may be shared by several numbers; a window is open with one of them
        let told = value["metadata"]["phone_number_id"].as_str();
        if told.is_some_and(|told| told != self.number) {
            return;
        }
        for raw in list(value, "messages") {
            if let Ok(message) = Message::deserialize(raw) {
                self.found.extend(message.told(self.number, &contacts, raw));
            }
        }
    }

    fn preferences(&mut self, value: &Value) {
        let contacts = contacts(value);
        for preference in list(value, "user_preferences") {
            let Ok(told) = Preference::deserialize(preference) else { continue };
            let marketing = told.category.is_none_or(|category| category == "marketing_messages");
            let wants = match told.value.as_str() {
                "stop" if marketing => false,
                "resume" if marketing => true,
                _ => continue,
            };
            let from = names([told.wa_id, told.user_id, told.parent_user_id]);
            let from = with_contacts(from, &contacts);
            self.found.push(Incoming::Preference { from, wants, at: told.timestamp.0 });
        }
    }

    fn template(&mut self, value: &Value, at: Instant) {
        let event = value["event"].as_str().unwrap_or_default();
        let usable = match event {
            "APPROVED" | "REINSTATED" | "UNPAUSED" => true,
            "PAUSED" | "DISABLED" | "REJECTED" | "PENDING_DELETION" | "DELETED" | "ARCHIVED" => {
                false
            }
            _ => return self.notice("message_template_status_update", value, at),
        };
        let Some(template) = value["message_template_name"].as_str() else { return };
        self.found.push(Incoming::Template {
            template: template.to_owned(),
            language: value["message_template_language"].as_str().and_then(|l| l.parse().ok()),
            usable,
            reason: event.to_lowercase(),
            at,
        });
    }

    fn limit(&mut self, value: &Value, at: Instant) {
        let told = ["max_daily_conversations_per_business", "max_daily_conversation_per_phone"]
            .iter()
            .map(|key| &value[*key])
            .find(|told| !told.is_null());
        let limit = match told {
            Some(Value::Number(number)) => match number.as_i64() {
                Some(-1) => Some(None),
                number => number.and_then(|n| u32::try_from(n).ok()).map(Some),
            },
            Some(Value::String(tier)) => match tier.as_str() {
                "TIER_50" => Some(Some(50)),
                "TIER_250" => Some(Some(250)),
                "TIER_1K" | "TIER_2K" => Some(Some(2_000)),
                "TIER_10K" => Some(Some(10_000)),
                "TIER_100K" => Some(Some(100_000)),
                "TIER_UNLIMITED" => Some(None),
                _ => None,
            },
            _ => None,
        };
        self.found.extend(limit.map(Incoming::UniquePerDay));
        if value["event"].is_string() {
            self.notice("phone_number_quality_update", value, at);
        }
    }

    /// Keeps the short words of an item, which name templates, events and scores and no person.
    fn notice(&mut self, field: &str, value: &Value, at: Instant) {
        const KEYS: [&str; 10] = [
            "event",
            "message_template_name",
            "message_template_language",
            "previous_quality_score",
            "new_quality_score",
            "previous_category",
            "new_category",
            "alert_severity",
            "alert_type",
            "reason",
        ];
        let told = KEYS.iter().filter_map(|key| Some(format!("{key} {}", value[*key].as_str()?)));
        let mut what = told.fold(field.to_owned(), |text, part| format!("{text}, {part}"));
        what.truncate(what.floor_char_boundary(300));
        self.found.push(Incoming::Notice { what, at });
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

impl Status {
    fn update(self, contacts: &[Vec<Address>]) -> Option<Update> {
        let callback = self.biz_opaque_callback_data.as_deref().and_then(parse_callback_data);
        let attempt = callback.as_ref().map_or(1, |(_, attempt)| *attempt);
        let of = match callback {
            Some((key, attempt)) => UpdateOf::Try(key, attempt),
            None => UpdateOf::Theirs(self.id.parse().ok()?),
        };
        let at = self.timestamp.0;
        let event = match self.status.as_str() {
            "sent" => Event::Accepted,
            "delivered" => Event::Delivered,
            "read" | "played" => Event::Read,
            "failed" => match self.errors.first() {
                None => Event::Failed { code: None },
                Some(error) => Event::TurnedAway {
                    code: error.code.to_string(),
                    means: Box::new(codes::outcome(error.code, at, attempt)),
                },
            },
            _ => return None,
        };
        let told = [self.recipient_id, self.recipient_user_id, self.recipient_parent_user_id];
        let mut names = with_contacts(names(told), contacts);
        // the number is ours to know
        names.retain(|name| name.phone_digits().is_none());
        Some(Update { of, event, at, names })
    }
}

impl Message {
    fn told(mut self, number: &str, contacts: &[Vec<Address>], raw: &Value) -> Option<Incoming> {
        let ids = [self.from_user_id.take(), self.from_parent_user_id.take(), self.user_id.take()];
        let mut from = names([self.from.take()]);
        from.extend(names(ids));
        // news of the person's account, not a word of theirs
        if let Some(system) = self.system.take() {
            return system.moved(from, self.timestamp.0).map(Incoming::Moved);
        }
        let written = self.written(with_contacts(from, contacts), number, raw);
        written.map(Box::new).map(Incoming::Message)
    }

    fn written(self, from: Vec<Address>, number: &str, raw: &Value) -> Option<InboundMessage> {
        let choice = self.interactive.and_then(|i| i.button_reply.or(i.list_reply));
        let (payload, label) = match (self.button, choice) {
            (Some(button), _) => (button.payload, button.text),
            (None, Some(choice)) => (choice.id, choice.title),
            (None, None) => (None, None),
        };
        let by_button = payload.is_some() || label.is_some();
        let said = [self.text.map(|text| text.body), payload, label];
        let is_stop = said.iter().flatten().any(|text| is_stop(text));
        let is_reaction = self.reaction.is_some();
        let answered = match self.reaction {
            // a mark that was taken back
            Some(reaction) if reaction.emoji.as_deref().unwrap_or_default().is_empty() => {
                return None;
            }
            Some(reaction) => reaction.message_id,
            None => self.context.and_then(|context| context.id),
        };
        Some(InboundMessage {
            id: self.id.parse().ok()?,
            from,
            answers: answered.and_then(|id| id.parse().ok()),
            by_button,
            is_reaction,
            is_stop,
            at: self.timestamp.0,
            raw: json!({ "phone_number_id": number, "message": raw }).to_string(),
        })
    }
}

impl System {
    /// A new number brings a new id; where the number cannot be told, the id alone comes.
    fn moved(self, from: Vec<Address>, at: Instant) -> Option<Move> {
        let changes = ["user_changed_number", "customer_changed_number", "user_changed_user_id"];
        if !changes.contains(&self.kind.as_str()) {
            return None;
        }
        let was = from.into_iter().filter(|name| name.phone_digits().is_some());
        let was = was.chain(names([self.previous_user_id, self.previous_parent_user_id])).collect();
        let now = names([self.wa_id, self.user_id, self.parent_user_id]);
        (!now.is_empty()).then_some(Move { was, now, at })
    }
}
