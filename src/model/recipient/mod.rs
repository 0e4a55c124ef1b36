//! A recipient: who, where on earth, in what language.

mod address;
mod country;
mod locale;

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Invalid;
use super::ids::{RecipientId, RecipientKey};
use super::wish::Wishes;

pub use address::Address;
pub use country::Country;
pub use locale::{Distance, Locale};

/// A time zone and how we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Zone {
    /// The IANA zone.
    #[schema(value_type = String)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Profile {
    /// Where to write to; without it nothing can be sent.
    #[schema(value_type = Option<String>)]
    pub address: Option<Address>,
    /// `None` only when nothing allowed an inference; the workspace's zone then stands in.
    pub zone: Option<Zone>,
    /// The language to write in.
    #[schema(value_type = Option<String>)]
    pub locale: Option<Locale>,
    /// The country whose law applies.
    #[schema(value_type = Option<String>)]
    pub country: Option<Country>,
    /// Free labels, sorted.
    pub tags: Vec<String>,
    /// `attr_X` columns by `X`.
    pub attributes: BTreeMap<String, String>,
    /// What the person states of messages.
    #[serde(default)]
    pub wishes: Wishes,
}

impl Profile {
    /// The zone on whose clock the person lives; where none is known, the one that stands in.
    pub fn zone_or(&self, otherwise: Tz) -> Tz {
        self.zone.map_or(otherwise, |zone| zone.tz)
    }
}
