//! A message as a mail: text and HTML, a subject of one line, an id that carries ours, and the way out
//! (RFC 8058).
//!
//! No value of a person gets into a header but the subject, whose line breaks and other control characters
//! are taken out before (see [`fitted`](crate::provider::fitted)), and which is encoded (RFC 2047).

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use url::Host;

use super::templates::{self, Unusable, Values};
use crate::config::{SecretValue, Sender, SmtpSettings};
use crate::model::hash::hex;
use crate::model::ids::MessageKey;
use crate::model::recipient::Address;
use crate::provider::OutboundMessage;

/// Bytes of the keyed hash in a message's id.
const TAG: usize = 8;
/// The longest id that is read, in letters.
const ID_MAX: usize = 600;

/// The mail address as the protocol has it: the domain in ASCII. `None` where the part before it is not.
pub(super) fn mail_address(address: &Address) -> Option<lettre::Address> {
    let (user, domain) = address.as_str().rsplit_once('@')?;
    let domain = Host::parse(domain).ok()?.to_string();
    lettre::Address::new(user, domain).ok().filter(|_| user.is_ascii())
}

/// The id of a mail, without brackets: our message and the try, with a keyed hash (HMAC-SHA256, RFC 2104,
/// cut to 64 bits), so that nobody makes up a bounce of a message that they never saw.
pub(super) fn message_id(key: &SecretValue, message: &OutboundMessage, from: &Address) -> String {
    let told = URL_SAFE_NO_PAD.encode(format!("{}#{}", message.key, message.attempt));
    let domain = from.as_str().rsplit_once('@').map_or("", |(_, domain)| domain);
    format!("{told}.{}@{domain}", tag(key, &told))
}

/// Our message and its try in the id of a mail that we made.
pub(super) fn parse_message_id(key: &SecretValue, id: &str) -> Option<(MessageKey, u32)> {
    if id.len() > ID_MAX {
        return None;
    }
    let (told, given) = id.split_once('@')?.0.rsplit_once('.')?;
    if !bool::from(tag(key, told).as_bytes().ct_eq(given.as_bytes())) {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(told).ok()?).ok()?;
    let (message, attempt) = text.rsplit_once('#')?;
    Some((message.parse().ok()?, attempt.parse().ok()?))
}

fn tag(key: &SecretValue, told: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(b"mail id:");
    mac.update(told.as_bytes());
    hex(&mac.finalize().into_bytes()[..TAG])
}

/// The mail, ready to be handed over; `id` is its id without brackets.
pub(super) fn compose(
    settings: &SmtpSettings,
    message: &OutboundMessage,
    to: &lettre::Address,
    id: &str,
) -> Result<Vec<u8>, Unusable> {
    let values = Values {
        parameters: &message.rendered.parameters,
        unsubscribe: message.unsubscribe.as_deref(),
        media: message.media_url.as_deref(),
    };
    let language = message.language.as_ref().map(ToString::to_string);
    let (text, html) = match &message.template {
        None => (message.rendered.text.clone(), None),
        Some(name) => {
            let folder = settings.templates.as_deref();
            let folder = folder.ok_or_else(|| {
                Unusable::new("the settings name no folder of templates for this provider")
            })?;
            let texts = templates::read(folder, name, language.as_deref())?;
            let filled = |text: Option<String>, is_html| {
                text.map(|text| templates::fill(&text, values, is_html)).transpose()
            };
            let text = filled(texts.text, false)?.or_else(|| message.rendered.text.clone());
            (text, filled(texts.html, true)?)
        }
    };
    let subject = message.rendered.header.clone().unwrap_or_default();
    let mut mail = Message::builder()
        .from(mailbox(&settings.from)?)
        .to(Mailbox::new(None, to.clone()))
        .subject(subject)
        .date(SystemTime::from(message.at))
        .raw_header(plain_header("Message-ID", format!("<{id}>")));
    if let Some(reply_to) = &settings.reply_to {
        mail = mail.reply_to(mailbox(reply_to)?);
    }
    if let Some(url) = &message.unsubscribe {
        mail = mail
            .raw_header(plain_header("List-Unsubscribe", format!("<{url}>")))
            .raw_header(plain_header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into()));
    }
    let mail = match (text, html) {
        (Some(text), Some(html)) => mail.multipart(MultiPart::alternative_plain_html(text, html)),
        (None, Some(html)) => mail.singlepart(SinglePart::html(html)),
        (text, None) => mail.singlepart(SinglePart::plain(text.unwrap_or_default())),
    };
    let mail =
        mail.map_err(|error| Unusable::new(&format!("the mail cannot be built: {error}")))?;
    Ok(mail.formatted())
}

fn mailbox(sender: &Sender) -> Result<Mailbox, Unusable> {
    let address = mail_address(&sender.address)
        .ok_or_else(|| Unusable::new("the sender's address is not one of ASCII"))?;
    Ok(Mailbox::new(sender.name.clone(), address))
}

/// A header of ours, in ASCII and without blanks within its words.
fn plain_header(name: &'static str, value: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_by_its_key_alone() {
        let key = SecretValue::new("one");
        let told = URL_SAFE_NO_PAD.encode("spring.sale:17#2");
        let id = format!("{told}.{}@example.com", tag(&key, &told));
        let known = Some(("spring.sale:17".parse().unwrap(), 2));
        assert_eq!(parse_message_id(&key, &id), known);
        assert_eq!(parse_message_id(&SecretValue::new("two"), &id), None);
        let other = URL_SAFE_NO_PAD.encode("spring.sale:18#2");
        for forged in [
            id.replace(&told, &other),
            format!("{told}@example.com"),
            format!("{told}.@example.com"),
            "<>".to_owned(),
            "x".repeat(10_000),
        ] {
            assert_eq!(parse_message_id(&key, &forged), None, "{forged}");
        }
    }

    #[test]
    fn a_domain_is_written_in_ascii_and_what_stands_before_it_is() {
        let told = |text: &str| mail_address(&text.parse().unwrap()).map(|a| a.to_string());
        assert_eq!(told("ana@example.com").as_deref(), Some("ana@example.com"));
        assert_eq!(told("ana@exämple.com").as_deref(), Some("ana@xn--exmple-cua.com"));
        assert_eq!(told("äna@example.com"), None);
    }
}
