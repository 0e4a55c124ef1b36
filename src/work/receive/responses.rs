//! What an event makes of what came back of a message.

use crate::model::message::Response;
use crate::model::time::Instant;
use crate::provider::Event;
use crate::store::Answered;

/// Keeps a failure's code and words, also where the message is planned again.
pub(super) fn note_failure(row: &mut Answered, event: &Event) {
    match event {
        Event::Failed { code } => {
            row.response.failure_code = code.clone().map(String::from);
        }
        Event::TurnedAway { code, words, .. } => {
            row.response.failure_code = Some(code.clone().into());
            row.failure_text = Some(words.to_string()).filter(|words| !words.is_empty());
        }
        _ => {}
    }
}

/// Notes an event; true when it was news.
pub(super) fn fill(response: &mut Response, event: &Event, at: Instant) -> bool {
    fn earliest(stored: &mut Option<Instant>, at: Instant) -> bool {
        let news = stored.is_none_or(|stored| at < stored);
        if news {
            *stored = Some(at);
        }
        news
    }
    match event {
        Event::Accepted | Event::Charged(_) => false,
        Event::Delivered => earliest(&mut response.delivered_at, at),
        Event::Read => earliest(&mut response.read_at, at),
        Event::Clicked => earliest(&mut response.clicked_at, at),
        Event::Replied => earliest(&mut response.replied_at, at),
        Event::Converted { amount, currency } => {
            if response.converted_at.is_none() {
                response.amount = *amount;
                response.currency.clone_from(currency);
            }
            earliest(&mut response.converted_at, at)
        }
        Event::OptedOut | Event::Complained => earliest(&mut response.opted_out_at, at),
        Event::Failed { code } => {
            if response.delivered_at.is_some() || response.read_at.is_some() {
                return false;
            }
            if response.failed_at.is_none() {
                response.failure_code = code.clone().map(String::from);
            }
            earliest(&mut response.failed_at, at)
        }
        Event::TurnedAway { code, .. } => {
            if response.delivered_at.is_some() || response.read_at.is_some() {
                return false;
            }
            if response.failed_at.is_none() {
                response.failure_code = Some(code.clone().into());
            }
            earliest(&mut response.failed_at, at)
        }
    }
}
