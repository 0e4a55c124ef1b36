//! Where a person probably is, for those who told no zone: from the country, or from the digits of
//! a telephone number. Tables: `countries.toml` and `area_codes.toml`. Knows no law.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono_tz::Tz;
use serde::Deserialize;

use crate::model::recipient::{Address, Country, Profile};

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
/// a number of the same country, or of a territory of it, tells the zone more exactly.
pub fn infer(country: Option<&Country>, address: Option<&Address>) -> Option<Inferred> {
    let by_address = address.and_then(|address| PLACES.of_address(address));
    let Some(country) = country else { return by_address.cloned() };
    let within = |place: &&Inferred| {
        place.country == *country || PLACES.sovereigns.get(&place.country) == Some(country)
    };
    match by_address.filter(within) {
        Some(place) => Some(Inferred { country: country.clone(), ..place.clone() }),
        None => PLACES.by_country.get(country).or(by_address).cloned(),
    }
}

/// Where an address belongs, whatever country is given.
pub fn place_of(address: &Address) -> Option<&'static Inferred> {
    PLACES.of_address(address)
}

/// The country by which providers charge for a message to a person: the number's, else the person's.
pub fn charged_country(profile: &Profile) -> Option<Country> {
    profile.address.as_ref().and_then(dialling_country).or_else(|| profile.country.clone())
}

/// The country that an address belongs to: by the digits of a telephone number, or by the prefix of
/// a business-scoped user id such as `BR.13491208655302741918`.
pub fn dialling_country(address: &Address) -> Option<Country> {
    PLACES.of_address(address).map(|place| place.country.clone())
}

/// More digits than the longest prefix of a table.
const PREFIX_MAX: usize = 7;

static PLACES: LazyLock<Places> = LazyLock::new(Places::read);

struct Places {
    /// By territories with a code and a clock of their own.
    sovereigns: BTreeMap<Country, Country>,
    by_country: BTreeMap<Country, Inferred>,
    by_prefix: BTreeMap<String, Inferred>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCountry {
    zone: Tz,
    of: Option<Country>,
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
        let mut places = Self {
            sovereigns: BTreeMap::new(),
            by_country: BTreeMap::new(),
            by_prefix: BTreeMap::new(),
        };
        for (country, raw) in countries {
            let place = Inferred { tz: raw.zone, country: country.clone(), region: None };
            for prefix in raw.prefixes {
                places.by_prefix.insert(prefix, place.clone());
            }
            if let Some(sovereign) = raw.of {
                places.sovereigns.insert(country.clone(), sovereign);
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
            None => self.by_country.get(&address.user_id()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::TZ_VARIANTS;

    fn country(code: &str) -> Country {
        code.parse().unwrap()
    }

    fn by_number(number: &str) -> (String, Option<&'static str>, &'static str) {
        let place = infer(None, Some(&number.parse().unwrap())).unwrap();
        (place.country.to_string(), place.region, place.tz.name())
    }

    #[test]
    fn numbers_of_shared_codes_are_told_apart() {
        let told = [
            ("+12125550123", "US", "America/New_York"),
            ("+14165550123", "CA", "America/Toronto"),
            ("+18765550123", "JM", "America/Jamaica"),
            ("+17875550123", "PR", "America/Puerto_Rico"),
            ("+79161234567", "RU", "Europe/Moscow"),
            ("+77011234567", "KZ", "Asia/Almaty"),
            ("+447911123456", "GG", "Europe/Guernsey"),
            ("+447700900123", "JE", "Europe/Jersey"),
            ("+442079460123", "GB", "Europe/London"),
            ("+3906698123456", "VA", "Europe/Vatican"),
            ("+390612345678", "IT", "Europe/Rome"),
            ("+262269123456", "YT", "Indian/Mayotte"),
            ("+262692123456", "RE", "Indian/Reunion"),
            ("+599712345", "BQ", "America/Kralendijk"),
            ("+59995123456", "CW", "America/Curacao"),
            ("+358181234567", "AX", "Europe/Mariehamn"),
            ("+212528812345", "EH", "Africa/El_Aaiun"),
            ("+918012345678", "IN", "Asia/Kolkata"),
        ];
        for (number, country, zone) in told {
            let (told, _, tz) = by_number(number);
            assert_eq!((told.as_str(), tz), (country, zone), "{number}");
        }
    }

    #[test]
    fn area_codes_tell_zone_and_region_of_large_countries() {
        let told = [
            ("+13055550123", Some("FL"), "America/New_York"),
            ("+18505550123", Some("FL"), "America/Chicago"),
            ("+12145550123", Some("TX"), "America/Chicago"),
            ("+19155550123", Some("TX"), "America/Denver"),
            ("+16025550123", Some("AZ"), "America/Phoenix"),
            ("+18085550123", Some("HI"), "Pacific/Honolulu"),
            ("+13065550123", Some("SK"), "America/Regina"),
            ("+5592912345678", Some("AM"), "America/Manaus"),
            ("+5568912345678", Some("AC"), "America/Rio_Branco"),
            ("+5511912345678", Some("SP"), "America/Sao_Paulo"),
            ("+61892345678", Some("WA"), "Australia/Perth"),
            ("+61889123456", Some("NT"), "Australia/Darwin"),
            ("+61412345678", None, "Australia/Sydney"),
            ("+526641234567", Some("BCN"), "America/Tijuana"),
            ("+5216641234567", Some("BCN"), "America/Tijuana"),
            ("+525512345678", None, "America/Mexico_City"),
            ("+74232123456", None, "Asia/Vladivostok"),
            ("+62361123456", None, "Asia/Makassar"),
        ];
        for (number, region, zone) in told {
            let (_, told, tz) = by_number(number);
            assert_eq!((told, tz), (region, zone), "{number}");
        }
    }

    #[test]
    fn a_given_country_is_believed_over_a_foreign_number() {
        let number: Address = "+13055550123".parse().unwrap();
        let abroad = infer(Some(&country("BR")), Some(&number)).unwrap();
        assert_eq!((abroad.tz, abroad.region), (Tz::America__Sao_Paulo, None));
        let at_home = infer(Some(&country("US")), Some(&number)).unwrap();
        assert_eq!((at_home.tz, at_home.region), (Tz::America__New_York, Some("FL")));
        assert_eq!(dialling_country(&number), Some(country("US")));
    }

    #[test]
    fn a_number_of_a_territory_tells_its_zone_under_its_country_s_law() {
        for (code, number, zone) in [
            ("FR", "+262692123456", "Indian/Reunion"),
            ("US", "+17875550123", "America/Puerto_Rico"),
            ("DK", "+299123456", "America/Nuuk"),
        ] {
            let place = infer(Some(&country(code)), Some(&number.parse().unwrap())).unwrap();
            assert_eq!((place.tz.name(), place.country), (zone, country(code)));
        }
        let unknown_country = infer(Some(&country("UK")), Some(&"+442079460123".parse().unwrap()));
        assert_eq!(unknown_country.unwrap().tz, Tz::Europe__London);
    }

    #[test]
    fn what_tells_nothing_infers_nothing() {
        for address in ["ana@example.com", "+80012345678", "+99912345678", "IT.support", "US."] {
            assert_eq!(infer(None, Some(&address.parse().unwrap())), None, "{address}");
        }
        assert_eq!(infer(None, None), None);
        assert_eq!(infer(Some(&country("ZZ")), None), None);
        let user_id: Address = "BR.13491208655302741918".parse().unwrap();
        assert_eq!(dialling_country(&user_id), Some(country("BR")));
    }

    #[test]
    fn the_tables_are_whole() {
        let places = Places::read();
        // ISO 3166-1 less Bouvet and Heard islands, which have no zone, and with Kosovo
        assert_eq!(places.by_country.len(), 248);
        let longest = places.by_prefix.keys().map(String::len).max();
        assert_eq!(longest, Some(PREFIX_MAX));
        let reached = |country: &Country| places.by_prefix.values().any(|p| p.country == *country);
        let silent: Vec<_> = places.by_country.keys().filter(|c| !reached(c)).collect();
        // territories that use the numbers of another country, and those where nobody lives
        let expected = ["BL", "GS", "MF", "PN", "TF", "UM"].map(country);
        assert_eq!(silent, expected.iter().collect::<Vec<_>>());
        for place in places.by_country.values().chain(places.by_prefix.values()) {
            assert!(
                TZ_VARIANTS.contains(&place.tz) && places.by_country.contains_key(&place.country)
            );
        }
    }

    #[test]
    fn no_code_stands_twice_in_the_tables() {
        let countries: BTreeMap<Country, RawCountry> =
            toml::from_str(include_str!("countries.toml")).unwrap();
        let areas: RawAreas = toml::from_str(include_str!("area_codes.toml")).unwrap();
        let stems = |area: &RawArea| area.stems.split(' ').count() * area.codes.split(' ').count();
        let rows = countries.values().map(|c| c.prefixes.len()).sum::<usize>()
            + areas.area.iter().map(stems).sum::<usize>();
        assert_eq!(Places::read().by_prefix.len(), rows);
    }
}
