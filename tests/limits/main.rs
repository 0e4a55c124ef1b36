//! Limits end to end: from settings, campaign files and what is stored to what is planned and sent.

#[path = "../planning/mod.rs"]
mod planning;
#[path = "../support/mod.rs"]
mod support;

mod commands;
mod fallback;
mod fatigue;
mod steps;
mod triggers;
mod uplift;
mod wishes;

use chrono::{DateTime, Utc};
use opportune::model::content::{Category, Media};
use opportune::model::message::{Message, Response};

/// A message of the past, in words, through a chat.
fn chat_message(key: &str, sent_at: DateTime<Utc>, response: Response) -> Message {
    Message {
        key: key.parse().unwrap(),
        campaign: None,
        channel: Some("chat".to_owned()),
        category: Some(Category::Marketing),
        media: Some(Media::Text),
        style: None,
        sent_at,
        response,
        propensity: None,
    }
}
