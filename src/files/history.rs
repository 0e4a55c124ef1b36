//! The shapes of the three history files.

use crate::calendar::infer::infer;
use crate::calendar::told;
use crate::model::Invalid;
use crate::model::campaign::is_currency;
use crate::model::ids::{MessageKey, RecipientKey};
use crate::model::message::{Message, Response};
use crate::model::recipient::{Address, Profile, Zone};
use crate::model::time::Instant;

use super::read::{Cells, HistoryFile};

/// The longest list of tags, and the most attributes, of a person.
const LIST_MAX: usize = 100;
/// The longest value of an attribute, in bytes: a template's parameter takes no more.
const ATTRIBUTE_MAX: usize = 1024;

/// `recipients.csv`
pub struct Recipients;
/// `messages.csv`
pub struct Messages;
/// `activity.csv`
pub struct Activity;

/// A row of `recipients.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientRow {
    /// The caller's id.
    pub key: RecipientKey,
    /// Who it is.
    pub profile: Profile,
    /// When and by what source consent was given, if it was.
    pub opted_in: Option<(Instant, String)>,
}

/// A row of `messages.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Whose.
    pub recipient: RecipientKey,
    /// What.
    pub message: Message,
}

/// A row of `activity.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityRow {
    /// Whose.
    pub recipient: RecipientKey,
    /// When.
    pub at: Instant,
    /// `session`, `inbound`, `purchase` or a word of the caller's.
    pub kind: String,
}

impl HistoryFile for Recipients {
    type Row = RecipientRow;
    const COLUMNS: &'static [&'static str] = &[
        "recipient",
        "address",
        "time_zone",
        "locale",
        "country",
        "opted_in_at",
        "opt_in_source",
        "tags",
    ];
    const REQUIRED: &'static [&'static str] = &["recipient"];
    const ATTRIBUTES: bool = true;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<RecipientRow, Invalid> {
        let address: Option<Address> = cells.parse(1)?;
        let country = cells.parse(4)?;
        let inferred = infer(country.as_ref(), address.as_ref());
        let zone = match cells.get(2) {
            Some(name) => Some(told::parse(name, inferred.as_ref())?),
            None => inferred.map(|inferred| Zone { tz: inferred.tz, inferred: true }),
        };
        let mut tags: Vec<String> = cells
            .get(7)
            .into_iter()
            .flat_map(|tags| tags.split('|'))
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect();
        tags.sort();
        tags.dedup();
        if tags.len() > LIST_MAX {
            return Err(Invalid::new("tags", tags.join("|"), "a list of at most 100 tags"));
        }
        let mut attributes = std::collections::BTreeMap::new();
        for (name, value) in cells.attributes() {
            if value.len() > ATTRIBUTE_MAX {
                return Err(Invalid::new("attribute", value, "a text of at most 1024 bytes"));
            }
            attributes.insert(name.to_owned(), value.to_owned());
        }
        let opted_in = cells.time(5, "opted_in_at", now)?.map(|at| {
            let source = cells.get(6).unwrap_or("import");
            (at, source.to_owned())
        });
        Ok(RecipientRow {
            key: cells.required(0)?,
            profile: Profile { address, zone, locale: cells.parse(3)?, country, tags, attributes },
            opted_in,
        })
    }
}

impl HistoryFile for Messages {
    type Row = MessageRow;
    const COLUMNS: &'static [&'static str] = &[
        "message",
        "recipient",
        "campaign",
        "channel",
        "category",
        "media",
        "style",
        "sent_at",
        "delivered_at",
        "read_at",
        "clicked_at",
        "replied_at",
        "converted_at",
        "amount",
        "currency",
        "opted_out_at",
        "failed_at",
        "failure_code",
        "propensity",
    ];
    const REQUIRED: &'static [&'static str] = &["message", "recipient", "sent_at"];
    const ATTRIBUTES: bool = false;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<MessageRow, Invalid> {
        let sent_at = cells.time(7, "sent_at", now)?;
        let wanted = "an RFC 3339 time stamp; a message of the past was sent at some time";
        let message = Message {
            key: cells.required::<MessageKey>(0)?,
            campaign: word(cells, 2, "campaign")?,
            channel: word(cells, 3, "channel")?,
            category: cells.parse(4)?,
            media: cells.parse(5)?,
            style: cells.parse(6)?,
            sent_at: sent_at.ok_or_else(|| Invalid::new("sent_at", "", wanted))?,
            response: Response {
                delivered_at: cells.time(8, "delivered_at", now)?,
                read_at: cells.time(9, "read_at", now)?,
                clicked_at: cells.time(10, "clicked_at", now)?,
                replied_at: cells.time(11, "replied_at", now)?,
                converted_at: cells.time(12, "converted_at", now)?,
                amount: decimal(cells, 13, "amount")?,
                currency: match cells.get(14) {
                    Some(code) if !is_currency(code) => {
                        let wanted = "a code of three capital letters, such as USD";
                        return Err(Invalid::new("currency", code, wanted));
                    }
                    code => code.map(str::to_owned),
                },
                opted_out_at: cells.time(15, "opted_out_at", now)?,
                failed_at: cells.time(16, "failed_at", now)?,
                failure_code: word(cells, 17, "failure_code")?,
            },
            propensity: decimal(cells, 18, "propensity")?,
        };
        message.check()?;
        Ok(MessageRow { recipient: cells.required(1)?, message })
    }
}

impl HistoryFile for Activity {
    type Row = ActivityRow;
    const COLUMNS: &'static [&'static str] = &["recipient", "at", "kind"];
    const REQUIRED: &'static [&'static str] = &["recipient", "at"];
    const ATTRIBUTES: bool = false;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<ActivityRow, Invalid> {
        let at = cells.time(1, "at", now)?;
        Ok(ActivityRow {
            recipient: cells.required(0)?,
            at: at.ok_or_else(|| Invalid::new("at", "", "an RFC 3339 time stamp"))?,
            kind: word(cells, 2, "kind")?.unwrap_or("session".to_owned()),
        })
    }
}

/// A free word of bounded length.
fn word(cells: &Cells<'_>, index: usize, column: &'static str) -> Result<Option<String>, Invalid> {
    let Some(text) = cells.get(index) else { return Ok(None) };
    if text.len() > crate::model::ids::TEXT_MAX || text.chars().any(char::is_control) {
        let wanted = "a word of at most 200 bytes without control characters";
        return Err(Invalid::new(column, text, wanted));
    }
    Ok(Some(text.to_owned()))
}

fn decimal(cells: &Cells<'_>, index: usize, column: &'static str) -> Result<Option<f64>, Invalid> {
    let Some(text) = cells.get(index) else { return Ok(None) };
    let number: Option<f64> = text.parse().ok();
    match number.filter(|number| number.is_finite()) {
        Some(number) => Ok(Some(number)),
        None => Err(Invalid::new(column, text, "a number such as 12.5")),
    }
}
