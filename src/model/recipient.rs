//! A recipient: who, where on earth, in what language.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Invalid;
use super::ids::{RecipientId, RecipientKey, is_plain, text_type};

text_type! {
    /// The channel's address. Never logged; `Debug` is for tests alone.
    Address, "address",
    "an address of 1 to 200 bytes; a telephone number is + and 7 to 15 digits",
    |text| match text.strip_prefix('+') {
        Some(digits) => (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()),
        None => is_plain(text),
    }
}

impl Address {
    /// The digits after `+` if this is a telephone number.
    pub fn phone_digits(&self) -> Option<&str> {
        self.as_str().strip_prefix('+')
    }
}

text_type! {
    /// An ISO 3166-1 alpha-2 country code, such as `BR`.
    Country, "country", "a country code of two capital letters, such as BR",
    |text| text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// A language with an optional region, such as `pt_BR`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale {
    language: Box<str>,
    region: Option<Box<str>>,
}

impl Locale {
    /// Whether a text in this language can be given to a reader of `reader`: the same language, and
    /// no other region than the reader's.
    pub fn fits(&self, reader: &Locale) -> bool {
        self.language == reader.language
            && (self.region.is_none() || reader.region.is_none() || self.region == reader.region)
    }
}

impl FromStr for Locale {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (language, region) = match text.split_once(['_', '-']) {
            Some((language, region)) => (language, Some(region)),
            None => (text, None),
        };
        let letters = |t: &str, from: usize, to: usize| {
            (from..=to).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if letters(language, 2, 3) && region.is_none_or(|region| letters(region, 2, 8)) {
            Ok(Self {
                language: language.to_ascii_lowercase().into(),
                region: region.map(|region| region.to_ascii_uppercase().into()),
            })
        } else {
            Err(Invalid::new("locale", text, "a language such as pt or pt_BR"))
        }
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            None => f.write_str(&self.language),
            Some(region) => write!(f, "{}_{region}", self.language),
        }
    }
}

impl TryFrom<String> for Locale {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> String {
        locale.to_string()
    }
}

/// A time zone and how we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The IANA zone.
    pub tz: Tz,
    /// True when it was inferred from country or dialling code, not given.
    pub inferred: bool,
}

/// Parses the name of an IANA zone.
pub fn parse_zone(text: &str) -> Result<Tz, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new("time_zone", text, "the name of an IANA zone, such as Europe/London")
    })
}

/// A person who may be written to, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Our number.
    pub id: RecipientId,
    /// The caller's id.
    pub key: RecipientKey,
    /// Everything that is known, as imported.
    pub profile: Profile,
    /// What the ledger says today.
    pub consented: bool,
}

/// What the caller's file says of a recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Where to write to; without it nothing can be sent.
    pub address: Option<Address>,
    /// `None` only when nothing allowed an inference; the workspace's zone then stands in.
    pub zone: Option<Zone>,
    /// The language to write in.
    pub locale: Option<Locale>,
    /// The country whose law applies.
    pub country: Option<Country>,
    /// Free labels, sorted.
    pub tags: Vec<String>,
    /// `attr_X` columns by `X`.
    pub attributes: BTreeMap<String, String>,
}
