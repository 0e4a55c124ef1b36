//! The shapes of the three history files.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::infer::infer;
use crate::calendar::told;
use crate::model::Invalid;
use crate::model::campaign::is_currency;
use crate::model::ids::{MessageKey, RecipientKey};
use crate::model::message::{Message, Response};
use crate::model::recipient::{Address, Country, Locale, Profile, Zone};
use crate::model::time::Instant;
use crate::model::wish::Wishes;

use super::cells::Cells;
use super::read::HistoryFile;

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
pub struct RecipientLine {
    /// The caller's id.
    pub key: RecipientKey,
    /// Who it is.
    pub profile: Profile,
    /// When and by what source consent was given, if it was.
    pub opted_in: Option<(Instant, String)>,
    /// When consent ended, if it did.
    pub opted_out: Option<Instant>,
}

/// `opt-outs.csv`
pub struct OptOuts;

/// A row of `opt-outs.csv`: who must not be written to.
#[derive(Debug, Clone, PartialEq)]
pub struct OptOutRow {
    /// The caller's id, where the row has it.
    pub recipient: Option<RecipientKey>,
    /// The address, where the row has it.
    pub address: Option<Address>,
    /// Since when, where it is known.
    pub at: Option<Instant>,
    /// Through what the person said so.
    pub source: String,
}

/// A row of `messages.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageLine {
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
    type Row = RecipientLine;
    const COLUMNS: &'static [&'static str] = &[
        "recipient",
        "address",
        "time_zone",
        "locale",
        "country",
        "opted_in_at",
        "opt_in_source",
        "opted_out_at",
        "tags",
        "not_days",
        "only_dayparts",
        "only_media",
    ];
    const REQUIRED: &'static [&'static str] = &["recipient"];
    const ATTRIBUTES: bool = true;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<RecipientLine, Invalid> {
        let country = country(cells, 4);
        let address = address(cells, 1, country.as_ref())?;
        let inferred = infer(country.as_ref(), address.as_ref());
        let zone = match cells.get(2) {
            Some(name) => Some(told::parse(name, inferred.as_ref())?),
            None => inferred.map(|inferred| Zone { tz: inferred.tz, inferred: true }),
        };
        let tags = cells.tags(8);
        if tags.len() > LIST_MAX {
            return Err(Invalid::new("tags", tags.join("|"), "a list of at most 100 tags"));
        }
        let opted_in = cells.time(5, "opted_in_at", now)?.map(|at| {
            let source = cells.text(6).unwrap_or("import");
            (at, source.to_owned())
        });
        Ok(RecipientLine {
            key: cells.required(0)?,
            profile: Profile {
                address,
                zone,
                locale: locale(cells, 3)?,
                country,
                tags,
                attributes: attributes(cells)?,
                wishes: Wishes {
                    not_days: words(cells, 9)?,
                    only_dayparts: words(cells, 10)?,
                    only_media: words(cells, 11)?,
                },
            },
            opted_in,
            opted_out: cells.time(7, "opted_out_at", now)?,
        })
    }
}

impl HistoryFile for Messages {
    type Row = MessageLine;
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

    fn row(cells: &Cells<'_>, now: Instant) -> Result<MessageLine, Invalid> {
        let message = Message {
            key: cells.required::<MessageKey>(0)?,
            campaign: word(cells, 2, "campaign")?,
            channel: word(cells, 3, "channel")?,
            category: cells.word_of_set(4)?,
            media: cells.word_of_set(5)?,
            style: cells.text(6).map(str::parse).transpose()?,
            sent_at: cells.required_time(7, "sent_at", now)?,
            response: Response {
                delivered_at: cells.time(8, "delivered_at", now)?,
                read_at: cells.time(9, "read_at", now)?,
                clicked_at: cells.time(10, "clicked_at", now)?,
                replied_at: cells.time(11, "replied_at", now)?,
                converted_at: cells.time(12, "converted_at", now)?,
                amount: cells.decimal(13, "amount")?,
                currency: match cells.get(14).map(str::to_ascii_uppercase) {
                    Some(code) if !is_currency(&code) => {
                        let wanted = "a code of three letters, such as USD";
                        return Err(Invalid::new("currency", code, wanted));
                    }
                    code => code,
                },
                opted_out_at: cells.time(15, "opted_out_at", now)?,
                failed_at: cells.time(16, "failed_at", now)?,
                failure_code: word(cells, 17, "failure_code")?,
            },
            propensity: cells.decimal(18, "propensity")?,
        };
        message.check()?;
        Ok(MessageLine { recipient: cells.required(1)?, message })
    }
}

impl HistoryFile for Activity {
    type Row = ActivityRow;
    const COLUMNS: &'static [&'static str] = &["recipient", "at", "kind"];
    const REQUIRED: &'static [&'static str] = &["recipient", "at"];
    const ATTRIBUTES: bool = false;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<ActivityRow, Invalid> {
        Ok(ActivityRow {
            recipient: cells.required(0)?,
            at: cells.required_time(1, "at", now)?,
            kind: word(cells, 2, "kind")?.unwrap_or("session".to_owned()),
        })
    }
}

impl HistoryFile for OptOuts {
    type Row = OptOutRow;
    const COLUMNS: &'static [&'static str] = &["recipient", "address", "at", "source", "country"];
    const REQUIRED: &'static [&'static str] = &[];
    const ONE_OF: &'static [&'static str] = &["recipient", "address"];
    const ATTRIBUTES: bool = false;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<OptOutRow, Invalid> {
        let country = country(cells, 4);
        let recipient = cells.text(0).map(str::parse).transpose()?;
        let address = address(cells, 1, country.as_ref())?;
        if recipient.is_none() && address.is_none() {
            return Err(Invalid::new("recipient", "", "an id; the row has no address either"));
        }
        let source = word(cells, 3, "source")?.unwrap_or("import".to_owned());
        Ok(OptOutRow { recipient, address, at: cells.time(2, "at", now)?, source })
    }
}

/// Words of a closed set with `|` between them; `none` takes back what was told before.
fn words<T>(cells: &Cells<'_>, index: usize) -> Result<Option<BTreeSet<T>>, Invalid>
where
    T: std::str::FromStr<Err = Invalid> + Ord,
{
    let Some(text) = cells.text(index) else { return Ok(None) };
    if text.eq_ignore_ascii_case("none") {
        return Ok(Some(BTreeSet::new()));
    }
    let words = text.split('|').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| word.to_ascii_lowercase().parse()).collect::<Result<_, _>>().map(Some)
}

/// The columns of people's addresses on a channel, which are attributes.
pub(super) const ADDRESSES: [OwnAddress; 3] = [
    OwnAddress {
        column: "address_mail",
        channel: "smtp",
        wanted: "a mail address such as ana@example.com",
    },
    OwnAddress {
        column: "address_messenger",
        channel: "messenger",
        wanted: "a page-scoped id, which has digits alone",
    },
    OwnAddress {
        column: "address_wechat",
        channel: "wechat",
        wanted: "an openid of 20 to 64 letters, digits, hyphens and underscores",
    },
];

/// A column of people's addresses on one channel.
pub(super) struct OwnAddress {
    pub(super) column: &'static str,
    pub(super) channel: &'static str,
    pub(super) wanted: &'static str,
}

/// The columns `attr_X` of a row that has them.
pub(super) fn attributes(cells: &Cells<'_>) -> Result<BTreeMap<String, String>, Invalid> {
    let attribute = |(name, value): (&str, &str)| {
        if let Some(own) = ADDRESSES.iter().find(|own| own.column == name)
            && !value.parse::<Address>().is_ok_and(|address| address.is_good_for(own.channel))
        {
            return Err(Invalid::new(own.column, value, own.wanted));
        }
        if value.len() > ATTRIBUTE_MAX {
            return Err(Invalid::new("attribute", value, "a text of at most 1024 bytes"));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    cells.attributes().map(attribute).collect()
}

/// The country that a cell certainly names. Another is taken as empty, so that the address tells whose
/// law binds.
fn country(cells: &Cells<'_>, index: usize) -> Option<Country> {
    let text = cells.code(index)?;
    let country = Country::recognized(text);
    if country.is_none() {
        let shown: String = text.chars().take(20).collect();
        cells.remark(format!(
            "country: {shown:?} is no country of ISO 3166-1 and is taken as empty; the dialling code tells the law"
        ));
    }
    country
}

/// The address in a cell, in its normal form where its meaning is certain.
fn address(
    cells: &Cells<'_>,
    index: usize,
    country: Option<&Country>,
) -> Result<Option<Address>, Invalid> {
    let Some(text) = cells.get(index) else { return Ok(None) };
    let address = Address::from_cell(text, country)?;
    if !address.is_good_for("whatsapp") && !address.is_good_for("mail") {
        cells.remark(
            "address: it is no telephone number with its country's code, nor a mail address; \
             channels that need one refuse it as bad_address when planned"
                .to_owned(),
        );
    }
    Ok(Some(address))
}

/// The language in a cell; a code that says that none is known, such as `und` or POSIX's `C`, is an
/// empty cell.
fn locale(cells: &Cells<'_>, index: usize) -> Result<Option<Locale>, Invalid> {
    let none = |text: &&str| !matches!(*text, "C" | "POSIX" | "C.UTF-8" | "C.utf8");
    let told: Option<Locale> = cells.code(index).filter(none).map(str::parse).transpose()?;
    Ok(told.filter(Locale::is_known))
}

/// A free word of bounded length.
fn word(cells: &Cells<'_>, index: usize, column: &'static str) -> Result<Option<String>, Invalid> {
    let Some(text) = cells.text(index) else { return Ok(None) };
    if text.len() > crate::model::ids::TEXT_MAX || text.chars().any(char::is_control) {
        let wanted = "a word of at most 200 bytes without control characters";
        return Err(Invalid::new(column, text, wanted));
    }
    Ok(Some(text.to_owned()))
}
