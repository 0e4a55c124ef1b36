//! What comes back of mails: reports of delivery (RFC 3464), complaints (RFC 5965), and what a mail service
//! posts as JSON.
//!
//! A report is told to be of our message by the id of the mail in it, which nobody else can make.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

use super::compose::parse_message_id;
use super::replies::{DEAD_ADDRESS, EnhancedStatus};
use crate::config::SecretValue;
use crate::provider::incoming::untold;
use crate::provider::{
    Code, Event, Incoming, RefusalScope, Rejected, SendOutcome, Update, UpdateOf, Wording,
};

/// Messages within messages that are looked into.
const DEPTH_MAX: usize = 4;

/// What the parts of a report say.
#[derive(Default)]
struct MailReport {
    /// Fields of the reports of delivery, in lower case.
    delivery: Vec<(String, String)>,
    /// Fields of the complaint.
    feedback: Vec<(String, String)>,
    /// The id of the mail that it is about.
    ids: Vec<String>,
}

/// The end that a status code means for a message; nothing if the server still tries.
pub(super) fn bounced(status: Option<EnhancedStatus>) -> Event {
    match status {
        Some(status) if status.is_dead_address() => Event::TurnedAway {
            code: status.code(),
            words: Wording::clean(DEAD_ADDRESS),
            means: Box::new(SendOutcome::refused(
                RefusalScope::Unreachable,
                Some(status.code()),
                DEAD_ADDRESS,
            )),
        },
        status => Event::Failed { code: status.map(EnhancedStatus::code) },
    }
}

/// Reads a whole message, as a mail server hands it on. Its times are its sender's own word: it counts from
/// when it came.
pub(super) fn read(key: &SecretValue, raw: &[u8]) -> Result<Vec<Incoming>, Rejected> {
    let message = MessageParser::default().parse(raw);
    let message = message.ok_or_else(|| Rejected::Body("it is no mail".to_owned()))?;
    let mut report = MailReport::default();
    report.look_into(&message, 0);
    let Some((message, attempt)) = report.ids.iter().find_map(|id| parse_message_id(key, id))
    else {
        let what = Wording::clean("a mail that is no report about a message of ours");
        return Ok(vec![Incoming::Unreadable { what }]);
    };
    let event = report.event();
    let of = UpdateOf::Try(message, attempt);
    let update = |event| Incoming::Update(Update { of, event, at: untold(), names: Vec::new() });
    Ok(event.map(update).into_iter().collect())
}

impl MailReport {
    fn look_into(&mut self, message: &Message<'_>, depth: usize) {
        for part in &message.parts {
            let kind = part.content_type().map(|kind| {
                let subtype = kind.subtype().unwrap_or_default().to_ascii_lowercase();
                (kind.ctype().to_ascii_lowercase(), subtype)
            });
            let kind = kind.as_ref().map(|(kind, subtype)| (kind.as_str(), subtype.as_str()));
            match (&part.body, kind) {
                (PartType::Message(inner), _) if depth < DEPTH_MAX => {
                    self.ids.extend(inner.message_id().map(str::to_owned));
                    self.look_into(inner, depth + 1);
                }
                (_, Some(("message", "delivery-status" | "global-delivery-status"))) => {
                    self.delivery.extend(fields(part.contents()));
                }
                (_, Some(("message", "feedback-report"))) => {
                    self.feedback.extend(fields(part.contents()));
                }
                (_, Some(("text", "rfc822-headers") | ("message", "global-headers"))) => {
                    let told = fields(part.contents()).into_iter();
                    let ids = told.filter(|(name, _)| name == "message-id");
                    self.ids.extend(ids.map(|(_, id)| bare(&id)));
                }
                _ => {}
            }
        }
    }

    fn event(&self) -> Option<Event> {
        if let Some(kind) = value(&self.feedback, "feedback-type") {
            // whoever says that it is no spam says nothing against us
            return (!kind.eq_ignore_ascii_case("not-spam")).then_some(Event::Complained);
        }
        let status = value(&self.delivery, "status");
        let status = status.and_then(|text| EnhancedStatus::parse(text.split_whitespace().next()?));
        match value(&self.delivery, "action")?.to_ascii_lowercase().as_str() {
            "failed" => Some(bounced(status)),
            "delivered" => Some(Event::Delivered),
            // "relayed" and "expanded" leave it open, "delayed" goes on
            _ => None,
        }
    }
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
}

/// The lines `Name: value` of a part, folded ones in one.
fn fields(text: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}

fn bare(id: &str) -> String {
    id.trim().trim_start_matches('<').trim_end_matches('>').to_owned()
}

/// What a mail service's own words mean, beside those that every endpoint may post.
pub(super) fn word(word: &str, code: Option<&Code>) -> Option<Event> {
    match word {
        // with the enhanced code that the other server gave
        "bounced" => Some(bounced(
            code.and_then(|code| code.as_str().split_whitespace().find_map(EnhancedStatus::parse)),
        )),
        _ => None,
    }
}
