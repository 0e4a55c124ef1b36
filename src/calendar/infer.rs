//! Where a person probably is, for those who told no zone: from the country, or from the digits of a
//! telephone number. Tables: `countries.toml` and `area_codes.toml`. Knows no law.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono_tz::Tz;
use serde::Deserialize;

use crate::model::recipient::{Address, Country};

/// A guess at where a person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The zone in which most people of that place live.
    pub tz: Tz,
    /// The country.
    pub country: Country,
    /// The part of the country, such as `TX`, where a telephone number tells it.
    pub region: Option<&'static str>,
}

/// Guesses zone, country and region. A given country is believed over a number of another country;
/// a number of the same country tells its zone more exactly.
pub fn infer(country: Option<&Country>, address: Option<&Address>) -> Option<Inferred> {
    let by_address = address.and_then(|address| PLACES.of_address(address));
    match country {
        Some(country) => {
            let same = by_address.filter(|place| place.country == *country);
            same.or_else(|| PLACES.by_country.get(country))
        }
        None => by_address,
    }
    .cloned()
}

/// The country that an address belongs to: by the digits of a telephone number, or by the prefix of
/// a WhatsApp user id such as `BR.13491208655302741918`.
pub fn dialling_country(address: &Address) -> Option<Country> {
    PLACES.of_address(address).map(|place| place.country.clone())
}

/// More digits than the longest prefix of a table.
const PREFIX_MAX: usize = 7;

static PLACES: LazyLock<Places> = LazyLock::new(Places::read);

struct Places {
    by_country: BTreeMap<Country, Inferred>,
    by_prefix: BTreeMap<String, Inferred>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCountry {
    zone: Tz,
    prefixes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAreas {
    area: Vec<RawArea>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArea {
    country: Country,
    region: Option<String>,
    zone: Tz,
    stems: String,
    codes: String,
}

impl Places {
    fn read() -> Self {
        let countries: BTreeMap<Country, RawCountry> =
            toml::from_str(include_str!("countries.toml")).expect("the table is well formed");
        let areas: RawAreas =
            toml::from_str(include_str!("area_codes.toml")).expect("the table is well formed");
        let mut places = Self { by_country: BTreeMap::new(), by_prefix: BTreeMap::new() };
        for (country, raw) in countries {
            let place = Inferred { tz: raw.zone, country: country.clone(), region: None };
            for prefix in raw.prefixes {
                places.by_prefix.insert(prefix, place.clone());
            }
            places.by_country.insert(country, place);
        }
        for area in areas.area {
            // read once and kept for as long as the program runs
            let region = area.region.map(|region| &*region.leak());
            let place = Inferred { tz: area.zone, country: area.country, region };
            for stem in area.stems.split(' ') {
                for code in area.codes.split(' ') {
                    places.by_prefix.insert(format!("{stem}{code}"), place.clone());
                }
            }
        }
        places
    }

    fn of_address(&self, address: &Address) -> Option<&Inferred> {
        match address.phone_digits() {
            Some(digits) => (1..=PREFIX_MAX.min(digits.len()))
                .rev()
                .find_map(|length| self.by_prefix.get(&digits[..length])),
            None => self.by_country.get(&user_id_country(address.as_str())?),
        }
    }
}

/// The country in front of a WhatsApp user id: two capitals, a dot, letters and digits.
fn user_id_country(text: &str) -> Option<Country> {
    /// Shorter tails are words rather than ids.
    const TAIL_MIN: usize = 10;
    let (country, tail) = text.split_once('.')?;
    let is_id = tail.len() >= TAIL_MIN
        && tail.bytes().all(|b| b.is_ascii_alphanumeric())
        && tail.bytes().any(|b| b.is_ascii_digit());
    if is_id { country.parse().ok() } else { None }
}
