//! Where people live: for each zone its countries, languages, dialling codes, money and names.
//! A zone that is not listed has people without country, who read English.

use chrono_tz::Tz;

/// A country as a share of a zone's people.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) zone: &'static str,
    pub(super) country: &'static str,
    pub(super) locale: &'static str,
    pub(super) dialling: &'static str,
    pub(super) currency: &'static str,
    /// Units of the currency for one euro, roughly: prices should look right.
    pub(super) per_euro: f64,
    pub(super) share: f64,
    pub(super) names: &'static [&'static str],
}

const BRAZIL: &[&str] = &["Ana", "João", "Maria", "Pedro", "Beatriz", "Lucas", "Júlia", "Rafael"];
const SPANISH: &[&str] = &["Sofía", "Mateo", "Valentina", "Diego", "Camila", "Javier", "Lucía"];
const ENGLISH: &[&str] = &["Olivia", "George", "Amelia", "Arthur", "Isla", "Harry", "Grace"];
const INDIA: &[&str] = &["Aarav", "Diya", "Vivaan", "Ananya", "Arjun", "Priya", "Kabir", "Meera"];
const GERMAN: &[&str] = &["Emma", "Paul", "Mia", "Jonas", "Hannah", "Leon", "Lina", "Felix"];
const FRENCH: &[&str] = &["Louise", "Gabriel", "Jade", "Léo", "Alice", "Hugo", "Chloé"];
const JAPAN: &[&str] = &["Haruto", "Yui", "Sota", "Aoi", "Ren", "Hina", "Yuto", "Sakura"];

const fn place(
    zone: &'static str,
    [country, locale, dialling, currency]: [&'static str; 4],
    [per_euro, share]: [f64; 2],
    names: &'static [&'static str],
) -> Place {
    Place { zone, country, locale, dialling, currency, per_euro, share, names }
}

#[rustfmt::skip] // a table
pub(super) static PLACES: &[Place] = &[
    place("America/Sao_Paulo", ["BR", "pt_BR", "55", "BRL"], [6.0, 1.0], BRAZIL),
    place("America/Manaus", ["BR", "pt_BR", "55", "BRL"], [6.0, 1.0], BRAZIL),
    place("America/Mexico_City", ["MX", "es_MX", "52", "MXN"], [20.0, 1.0], SPANISH),
    place("America/Bogota", ["CO", "es_CO", "57", "COP"], [4500.0, 1.0], SPANISH),
    place("America/Argentina/Buenos_Aires", ["AR", "es_AR", "54", "ARS"], [1500.0, 1.0], SPANISH),
    place("America/New_York", ["US", "en_US", "1", "USD"], [1.1, 0.9], ENGLISH),
    place("America/New_York", ["US", "es_US", "1", "USD"], [1.1, 0.1], SPANISH),
    place("America/Los_Angeles", ["US", "en_US", "1", "USD"], [1.1, 1.0], ENGLISH),
    place("Europe/London", ["GB", "en_GB", "44", "GBP"], [0.86, 1.0], ENGLISH),
    place("Europe/Berlin", ["DE", "de_DE", "49", "EUR"], [1.0, 1.0], GERMAN),
    place("Europe/Zurich", ["CH", "de_CH", "41", "CHF"], [0.95, 0.7], GERMAN),
    place("Europe/Zurich", ["CH", "fr_CH", "41", "CHF"], [0.95, 0.3], FRENCH),
    place("Europe/Paris", ["FR", "fr_FR", "33", "EUR"], [1.0, 1.0], FRENCH),
    place("Europe/Madrid", ["ES", "es_ES", "34", "EUR"], [1.0, 1.0], SPANISH),
    place("Asia/Kolkata", ["IN", "en_IN", "91", "INR"], [95.0, 0.6], INDIA),
    place("Asia/Kolkata", ["IN", "hi_IN", "91", "INR"], [95.0, 0.4], INDIA),
    place("Asia/Tokyo", ["JP", "ja_JP", "81", "JPY"], [165.0, 1.0], JAPAN),
    place("Africa/Lagos", ["NG", "en_NG", "234", "NGN"], [1700.0, 1.0], ENGLISH),
    place("Australia/Sydney", ["AU", "en_AU", "61", "AUD"], [1.7, 1.0], ENGLISH),
];

/// The places that share a zone.
pub(super) fn of(zone: Tz) -> impl Iterator<Item = &'static Place> + Clone {
    PLACES.iter().filter(move |place| place.zone == zone.name())
}
