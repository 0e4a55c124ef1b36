//! A message that was sent, and what came back of it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::Invalid;
use super::content::{Category, Media, Style};
use super::ids::MessageKey;
use super::time::{Instant, format_instant};

/// What came back, as times. Absent means that it did not happen or is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Response {
    /// It reached the phone.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub delivered_at: Option<Instant>,
    /// It was opened.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub read_at: Option<Instant>,
    /// A link or button was used.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub clicked_at: Option<Instant>,
    /// The person wrote back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub replied_at: Option<Instant>,
    /// The person bought or did what was asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub converted_at: Option<Instant>,
    /// The worth of the conversion, in `currency`.
    pub amount: Option<f64>,
    /// ISO 4217 code of `amount`.
    pub currency: Option<String>,
    /// The person asked not to be written to again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opted_out_at: Option<Instant>,
    /// The channel gave up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failed_at: Option<Instant>,
    /// The channel's code for it.
    pub failure_code: Option<String>,
}

impl Response {
    /// When it was delivered, read, clicked, replied to, followed by a conversion and by an opt-out, and
    /// when it failed.
    pub fn answered_at(&self) -> [Option<Instant>; 7] {
        [
            self.delivered_at,
            self.read_at,
            self.clicked_at,
            self.replied_at,
            self.converted_at,
            self.opted_out_at,
            self.failed_at,
        ]
    }
}

/// A message of the past, whoever sent it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Message {
    /// Its id.
    pub key: MessageKey,
    /// The campaign it belonged to.
    pub campaign: Option<String>,
    /// The channel or provider it went through.
    pub channel: Option<String>,
    /// Its business purpose.
    pub category: Option<Category>,
    /// Its medium.
    pub media: Option<Media>,
    /// The kind of picture.
    pub style: Option<Style>,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Instant,
    /// What came back.
    pub response: Response,
    /// The probability with which this time and content were chosen, where it is known.
    pub propensity: Option<f64>,
}

/// What a second sight of a message means for the stored one.
#[derive(Debug, Clone, PartialEq)]
pub enum Merged {
    /// Nothing new.
    Same,
    /// Fields that were empty are now filled.
    Filled(Box<Message>),
    /// A filled field has another value now.
    Conflict {
        /// The column.
        column: &'static str,
        /// What is stored.
        stored: String,
        /// What was given.
        given: String,
    },
}

impl Message {
    /// Checks the order of events: nothing happens before the message was sent, and nobody reads
    /// what was not delivered yet.
    pub fn check(&self) -> Result<(), Invalid> {
        let r = &self.response;
        let delivered = r.delivered_at.unwrap_or(self.sent_at).max(self.sent_at);
        let ordered = [
            ("delivered_at", r.delivered_at, self.sent_at, "a time at or after sent_at"),
            ("read_at", r.read_at, delivered, "a time at or after sent_at and delivered_at"),
            ("clicked_at", r.clicked_at, delivered, "a time at or after sent_at and delivered_at"),
            ("replied_at", r.replied_at, delivered, "a time at or after sent_at and delivered_at"),
            ("converted_at", r.converted_at, self.sent_at, "a time at or after sent_at"),
            ("opted_out_at", r.opted_out_at, self.sent_at, "a time at or after sent_at"),
            ("failed_at", r.failed_at, self.sent_at, "a time at or after sent_at"),
        ];
        for (column, at, earliest, wanted) in ordered {
            if let Some(at) = at.filter(|at| *at < earliest) {
                return Err(Invalid::new(column, format_instant(at), wanted));
            }
        }
        if let Some(p) = self.propensity.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return Err(Invalid::new("propensity", p, "a probability above 0 and at most 1"));
        }
        Ok(())
    }

    /// The latest time in it, which must not lie in the future.
    pub fn latest(&self) -> (&'static str, Instant) {
        let r = &self.response;
        [
            ("delivered_at", r.delivered_at),
            ("read_at", r.read_at),
            ("clicked_at", r.clicked_at),
            ("replied_at", r.replied_at),
            ("converted_at", r.converted_at),
            ("opted_out_at", r.opted_out_at),
            ("failed_at", r.failed_at),
        ]
        .into_iter()
        .filter_map(|(column, at)| Some((column, at?)))
        .fold(("sent_at", self.sent_at), |last, next| if next.1 > last.1 { next } else { last })
    }

    /// Compares a second sight of the same message with what is stored.
    pub fn merge(&self, given: &Message) -> Merged {
        let mut merged = self.clone();
        let mut filled = false;
        let mut conflict = None;
        let (to, from) = (&mut merged.response, &given.response);
        {
            let mut note = |outcome: Field| match outcome {
                Field::Same => {}
                Field::Filled => filled = true,
                Field::Conflict(column, stored, given) => {
                    conflict.get_or_insert(Merged::Conflict { column, stored, given });
                }
            };
            note(same("sent_at", self.sent_at, given.sent_at));
            note(fill("campaign", &mut merged.campaign, given.campaign.as_ref(), Clone::clone));
            note(fill("channel", &mut merged.channel, given.channel.as_ref(), Clone::clone));
            note(fill(
                "category",
                &mut merged.category,
                given.category.as_ref(),
                ToString::to_string,
            ));
            note(fill("media", &mut merged.media, given.media.as_ref(), ToString::to_string));
            note(fill("style", &mut merged.style, given.style.as_ref(), ToString::to_string));
            note(fill(
                "propensity",
                &mut merged.propensity,
                given.propensity.as_ref(),
                ToString::to_string,
            ));
            note(fill("amount", &mut to.amount, from.amount.as_ref(), ToString::to_string));
            note(fill("currency", &mut to.currency, from.currency.as_ref(), Clone::clone));
            note(fill(
                "failure_code",
                &mut to.failure_code,
                from.failure_code.as_ref(),
                Clone::clone,
            ));
            let at = |at: &Instant| format_instant(*at);
            note(fill("delivered_at", &mut to.delivered_at, from.delivered_at.as_ref(), at));
            note(fill("read_at", &mut to.read_at, from.read_at.as_ref(), at));
            note(fill("clicked_at", &mut to.clicked_at, from.clicked_at.as_ref(), at));
            note(fill("replied_at", &mut to.replied_at, from.replied_at.as_ref(), at));
            note(fill("converted_at", &mut to.converted_at, from.converted_at.as_ref(), at));
            note(fill("opted_out_at", &mut to.opted_out_at, from.opted_out_at.as_ref(), at));
            note(fill("failed_at", &mut to.failed_at, from.failed_at.as_ref(), at));
        }
        match conflict {
            Some(conflict) => conflict,
            None if filled => Merged::Filled(Box::new(merged)),
            None => Merged::Same,
        }
    }
}

enum Field {
    Same,
    Filled,
    Conflict(&'static str, String, String),
}

fn same(column: &'static str, stored: Instant, given: Instant) -> Field {
    if stored == given {
        Field::Same
    } else {
        Field::Conflict(column, format_instant(stored), format_instant(given))
    }
}

fn fill<T: Clone + PartialEq>(
    column: &'static str,
    stored: &mut Option<T>,
    given: Option<&T>,
    show: impl Fn(&T) -> String,
) -> Field {
    match (stored.as_ref(), given) {
        (_, None) => Field::Same,
        (None, Some(_)) => {
            *stored = given.cloned();
            Field::Filled
        }
        (Some(stored), Some(given)) if stored == given => Field::Same,
        (Some(stored), Some(given)) => Field::Conflict(column, show(stored), show(given)),
    }
}

/// How long after sending an answer still tells something of the message; later ones are kept but
/// taught nothing from. Providers drop an undelivered message after 30 days.
pub const ANSWER_MAX: TimeDelta = TimeDelta::days(30);
