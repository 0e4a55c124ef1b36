//! The zone that a person's cell tells, however other programs spell it: an IANA name in any case,
//! a Windows zone, the label of a list such as `(GMT-03:00) Brasilia`, or a fixed offset. Tables:
//! `zone_names.toml`. Refuses what could mean several clocks.
//!
//! An offset alone is a weak word: it does not tell summer time. Where country or number tell a zone
//! that has this offset at some time of the year, that zone is taken; else the offset as it stands.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Deserialize;

use super::infer::Inferred;
use super::tables::offsets;
use crate::model::Invalid;
use crate::model::recipient::Zone;
use crate::model::written::plain;

/// Zones that keep an offset of half and quarter hours all year.
const CONSTANT: [(i64, Tz); 9] = [
    (-570, Tz::Pacific__Marquesas),
    (210, Tz::Asia__Tehran),
    (270, Tz::Asia__Kabul),
    (330, Tz::Asia__Kolkata),
    (345, Tz::Asia__Kathmandu),
    (390, Tz::Asia__Yangon),
    (525, Tz::Australia__Eucla),
    (570, Tz::Australia__Darwin),
    (0, Tz::UTC),
];
/// Mid-January and mid-July of a year that the tables know: with summer time and without.
const SEASONS: [i64; 2] = [1_800_000_000, 1_815_600_000];
/// The parts of the world that zones with a city's name are of.
const AREAS: [&str; 9] = [
    "Africa",
    "America",
    "Antarctica",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
];
/// No name is longer.
const NAME_BYTES_MAX: usize = 200;

/// The zone that a text names, with what country and number say of the person.
pub fn parse(text: &str, inferred: Option<&Inferred>) -> Result<Zone, Invalid> {
    const WANTED: &str = "the name of an IANA zone such as Europe/London, of a Windows zone, or an \
                          offset such as UTC+3";
    read(text, inferred).ok_or_else(|| Invalid::new("time_zone", text, WANTED))
}

fn read(text: &str, inferred: Option<&Inferred>) -> Option<Zone> {
    if text.len() > NAME_BYTES_MAX {
        return None;
    }
    let text = &*plain(text);
    let told = |tz| Some(Zone { tz, inferred: false });
    // a comment may follow a name: `America/Sao_Paulo (GMT-3)`
    let name = text.split_once(" (").filter(|_| text.ends_with(')')).map(|(name, _)| name);
    if let Some(tz) = NAMES.zone(text).or_else(|| NAMES.zone(name?)) {
        return told(tz);
    }
    // a city alone may be another one of that name, unless its clock is that of the person's place
    let like = |tz: &Tz| inferred.is_some_and(|inferred| is_alike(*tz, inferred.tz));
    if let Some(tz) = NAMES.place(text).filter(|tz| is_region(text) || like(tz)) {
        return told(tz);
    }
    let agreed = |minutes| {
        let tz = inferred.map(|inferred| inferred.tz).filter(|tz| has(*tz, minutes))?;
        Some(Zone { tz, inferred: true })
    };
    if let Some(rest) = text.strip_prefix('(') {
        let (offset, label) = rest.split_once(')')?;
        let (minutes, label) = (offset_minutes(offset)?, label.trim());
        if label.is_empty() {
            return agreed(minutes).or_else(|| told(fixed(minutes)?));
        }
        // a list of cities names one clock: the first that is known and fits the offset
        let places = std::iter::once(label).chain(label.split(','));
        let tz = places.filter_map(|place| NAMES.place(place)).find(|tz| has(*tz, minutes));
        return tz.map_or_else(|| agreed(minutes), told);
    }
    let minutes = offset_minutes(text)?;
    agreed(minutes).or_else(|| told(fixed(minutes)?))
}

/// Regions that lists of zones name without an area, and that are one of a kind.
const REGIONS: [&str; 9] = [
    "alaska",
    "arizona",
    "baja california",
    "brasilia",
    "brasília",
    "hawaii",
    "indiana (east)",
    "newfoundland",
    "saskatchewan",
];

/// Whether a label names one clock without an offset beside it: `Eastern Time (US & Canada)`.
fn is_region(label: &str) -> bool {
    let key = key(label);
    REGIONS.contains(&key.as_str()) || key.contains(" time (")
}

/// Whether two zones show the same in summer and in winter.
fn is_alike(one: Tz, other: Tz) -> bool {
    SEASONS.iter().all(|second| offsets(one).at(*second) == offsets(other).at(*second))
}

/// Whether a zone has an offset at some time of the year.
fn has(tz: Tz, minutes: i64) -> bool {
    SEASONS.iter().any(|second| offsets(tz).at(*second) == minutes * 60)
}

/// The zone that keeps an offset all year.
fn fixed(minutes: i64) -> Option<Tz> {
    let whole =
        (minutes % 60 == 0 && (-12 * 60..=14 * 60).contains(&minutes)).then_some(minutes / 60);
    match CONSTANT.iter().find(|(offset, _)| *offset == minutes) {
        Some((_, tz)) => Some(*tz),
        // POSIX counts these westward
        None => format!("Etc/GMT{:+}", -whole?).parse().ok(),
    }
}

/// Minutes, local minus UTC, of `UTC+3`, `GMT-05:00`, `+05:30`, `+0530` or `Z`.
fn offset_minutes(text: &str) -> Option<i64> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let upper = text.to_ascii_uppercase().replace('\u{2212}', "-");
    let number = ["UTC", "GMT"].iter().find_map(|prefix| upper.strip_prefix(prefix));
    if matches!((number, upper.as_str()), (Some(""), _) | (None, "Z")) {
        return Some(0);
    }
    let number = number.unwrap_or(&upper);
    let (sign, digits) = match number.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let plain =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !plain(hours) || !plain(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

static NAMES: LazyLock<Names> = LazyLock::new(Names::read);

/// Every name, in small letters and with spaces for underscores.
struct Names {
    /// What names a zone by itself.
    zones: BTreeMap<String, Tz>,
    /// What names a place, beside an offset.
    labels: BTreeMap<String, Tz>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNames {
    windows: BTreeMap<String, Tz>,
    labels: BTreeMap<String, Tz>,
}

impl Names {
    fn read() -> Self {
        let raw: RawNames =
            toml::from_str(include_str!("zone_names.toml")).expect("the table is well formed");
        let own = || TZ_VARIANTS.iter().map(|tz| (tz.name().to_owned(), *tz));
        // the last part of a name; `Etc`, and names of countries such as `US/Central`, are no place
        let cities = own().filter_map(|(name, tz)| {
            let (area, city) = (name.split('/').next()?, name.rsplit('/').next()?);
            AREAS.contains(&area).then(|| (city.to_owned(), tz))
        });
        let keyed = |(name, tz): (String, Tz)| (key(&name), tz);
        Self {
            labels: cities.chain(raw.labels).map(keyed).collect(),
            zones: raw.windows.into_iter().chain(own()).map(keyed).collect(),
        }
    }

    fn zone(&self, text: &str) -> Option<Tz> {
        self.zones.get(&key(text)).copied()
    }

    fn place(&self, text: &str) -> Option<Tz> {
        self.labels.get(&key(text)).copied().or_else(|| self.zone(text))
    }
}

fn key(name: &str) -> String {
    let spaced = name.replace('_', " ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::infer::infer;

    fn zone(text: &str, number: &str) -> Option<&'static str> {
        let place = infer(None, number.parse().ok().as_ref());
        parse(text, place.as_ref()).ok().map(|zone| zone.tz.name())
    }

    #[test]
    fn a_zone_is_known_however_another_program_spells_it() {
        for (text, number, name) in [
            ("america/sao_paulo", "+5511987654001", "America/Sao_Paulo"),
            ("America/Sao Paulo", "", "America/Sao_Paulo"),
            ("UTC-3", "+5511987654002", "America/Sao_Paulo"),
            ("(GMT-03:00) Brasilia", "", "America/Sao_Paulo"),
            ("(UTC-03:00) Brasilia", "", "America/Sao_Paulo"),
            ("E. South America Standard Time", "", "America/Sao_Paulo"),
            ("Eastern Standard Time", "", "America/New_York"),
            ("W. Europe Standard Time", "", "Europe/Berlin"),
            ("British Columbia Standard Time", "", "America/Vancouver"),
            ("(GMT-05:00) Eastern Time (US & Canada)", "", "America/New_York"),
            (
                "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
                "",
                "Europe/Amsterdam",
            ),
            ("(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi", "", "Asia/Kolkata"),
            // summer time is told by the number
            ("GMT-05:00", "+12125550123", "America/New_York"),
            ("UTC-4", "+12125550123", "America/New_York"),
            ("GMT-05:00", "+5511987654002", "Etc/GMT+5"),
            ("UTC+3", "", "Etc/GMT-3"),
            ("+05:30", "", "Asia/Kolkata"),
            ("+0545", "", "Asia/Kathmandu"),
            ("UTC +14:00", "", "Etc/GMT-14"),
            ("gmt \u{2212}3", "", "Etc/GMT+3"),
            ("Eastern Time (US & Canada)", "", "America/New_York"),
            ("Brasilia", "", "America/Sao_Paulo"),
            ("Hawaii", "+12125550123", "Pacific/Honolulu"),
            ("London", "+447400123456", "Europe/London"),
            ("Sao Paulo", "+5511987654001", "America/Sao_Paulo"),
            ("America/Sao_Paulo (GMT-3)", "", "America/Sao_Paulo"),
            ("\u{200b}Europe/Berlin\u{a0}", "", "Europe/Berlin"),
            ("UTC+\u{0663}", "", "Etc/GMT-3"),
            ("GMT", "", "GMT"),
            ("Z", "", "UTC"),
        ] {
            assert_eq!(zone(text, number), Some(name), "{text}");
        }
    }

    #[test]
    fn what_could_mean_several_clocks_is_refused() {
        for text in [
            "Mars/Base",
            "+13:45",
            "-03:30",
            "UTC+15",
            "UTC+3:7",
            "+",
            "3",
            "UTC3",
            "(GMT-03:00",
            "(GMT-03:00) Atlantis",
            "(GMT-03:00) Berlin",
            "+1:2:3",
            "Standard Time",
            "London",
            "Central",
            "Mars/Base (GMT-3)",
        ] {
            assert_eq!(zone(text, ""), None, "{text}");
        }
        // London in Ontario
        assert_eq!(zone("London", "+15195550123"), None);
    }
}
