//! A message as the Cloud API wants it: a template with its parameters, or free form within an open
//! service window.

use serde_json::{Value, json};

use crate::model::content::Media;
use crate::model::ids::MessageKey;
use crate::provider::OutboundMessage;

/// Of a template that names no language.
const LANGUAGE_DEFAULT: &str = "en";

/// The longest free text, and the longest one below a picture or film, in characters.
const TEXT_MAX: usize = 4096;
const CAPTION_MAX: usize = 1024;

/// What status webhooks echo: our id and the try.
pub(super) fn callback_data(key: &MessageKey, attempt: u32) -> String {
    format!("{key}#{attempt}")
}

/// The id and the try in echoed callback data; `None` if it is not ours.
pub(super) fn parse_callback_data(text: &str) -> Option<(MessageKey, u32)> {
    let (key, attempt) = text.rsplit_once('#')?;
    Some((key.parse().ok()?, attempt.parse().ok()?))
}

/// The body of the call, to a number or to a business-scoped user id; `None` for a message without
/// template that may not go free-form.
pub(super) fn body(message: &OutboundMessage) -> Option<Value> {
    let content = if message.free_form { free_form(message) } else { None };
    let (kind, content) = match content {
        Some(content) => content,
        None => ("template", template(message)?),
    };
    let whom = if message.address.phone_digits().is_some() { "to" } else { "recipient" };
    Some(json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        whom: message.address.as_str(),
        "type": kind,
        "biz_opaque_callback_data": callback_data(&message.key, message.attempt),
        kind: content,
    }))
}

fn template(message: &OutboundMessage) -> Option<Value> {
    let name = message.template.as_deref()?;
    let language = message.language.as_ref().map(ToString::to_string);
    let mut components = Vec::new();
    let header = match message.content.media {
        Media::Text => message.rendered.header.as_deref().map(text_parameter),
        media => media_object(message, media)
            .map(|object| json!({ "type": media_word(media), media_word(media): object })),
    };
    components.extend(header.map(|header| json!({ "type": "header", "parameters": [header] })));
    let parameters: Vec<Value> =
        message.rendered.parameters.iter().map(|text| text_parameter(text)).collect();
    if !parameters.is_empty() {
        components.push(json!({ "type": "body", "parameters": parameters }));
    }
    Some(json!({
        "name": name,
        "language": { "code": language.as_deref().unwrap_or(LANGUAGE_DEFAULT) },
        "components": components,
    }))
}

/// `None` where the text is missing, blank or longer than the channel takes: a template goes then.
fn free_form(message: &OutboundMessage) -> Option<(&'static str, Value)> {
    let max = if message.content.media == Media::Text { TEXT_MAX } else { CAPTION_MAX };
    let text = message.rendered.text.as_deref().filter(|text| !text.trim().is_empty());
    if text.is_some_and(|text| text.chars().count() > max) {
        return None;
    }
    match message.content.media {
        Media::Text => Some(("text", json!({ "body": text? }))),
        media => {
            let mut object = media_object(message, media)?;
            if let Some(text) = text.filter(|_| media != Media::Audio) {
                object["caption"] = text.into();
            }
            Some((media_word(media), object))
        }
    }
}

fn text_parameter(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// By its id where it was uploaded, else by its address.
fn media_object(message: &OutboundMessage, media: Media) -> Option<Value> {
    let mut object = match (&message.media_handle, &message.media_url) {
        (Some(id), _) => json!({ "id": id }),
        (None, Some(link)) => json!({ "link": link }),
        (None, None) => return None,
    };
    if media == Media::Document
        && let Some(name) = message.media_url.as_deref().and_then(file_name)
    {
        object["filename"] = name.into();
    }
    Some(object)
}

/// The last part of an address's path.
pub(super) fn file_name(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let name = url.path_segments()?.next_back()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn media_word(media: Media) -> &'static str {
    media.as_str()
}
