//! The guard over imports: however country, zone and address are spelled, nobody is planned in an hour
//! that the law of the country of their number forbids.

mod support;

use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};
use proptest::prelude::*;
use support::Workspace;

/// A number, the countries it may be written with, and what its law leaves open on its own clock.
struct Place {
    digits: &'static str,
    national: &'static str,
    country: &'static [&'static str],
    /// Hours from and to, and whether Sundays are open.
    open: (u32, u32, bool),
}

const PLACES: [Place; 3] = [
    Place {
        digits: "336123456",
        national: "06 12 34 56",
        country: &["FR", "fr", "FRA", "FX", "250"],
        open: (8, 22, false),
    },
    Place {
        digits: "9715012345",
        national: "050 123 45",
        country: &["AE", "are", "784"],
        open: (7, 21, true),
    },
    Place {
        digits: "121255501",
        national: "(212) 555-01",
        country: &["US", "usa", "840"],
        open: (8, 21, true),
    },
];
/// Codes that are nobody's, or another country without such a law.
const OTHER: [&str; 8] = ["", "XX", "ZZ", "EU", "NULL", "France", "BR", "DE"];
const ZONES: [&str; 5] = ["", "N/A", "Europe/Paris", "America/New_York", "UTC"];

fn spelled(place: &Place, index: usize, style: usize) -> String {
    let tail = format!("{:02}", index % 100);
    let digits = format!("{}{tail}", place.digits);
    match style {
        0 => format!("+{digits}"),
        1 => format!("00{digits}"),
        2 => format!("tel:+{digits}"),
        3 => format!("'+{} {}", &digits[..4], &digits[4..]),
        4 => format!("whatsapp:+{digits}"),
        5 => format!("\u{202a}+{digits}\u{202c}"),
        6 => format!("{digits}@s.whatsapp.net"),
        _ => format!("{}{tail}", place.national),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn no_import_lets_anybody_be_written_to_in_a_forbidden_hour(
        people in prop::collection::vec((0..3_usize, 0..8_usize, 0..13_usize, 0..5_usize), 60)
    ) {
        let workspace = Workspace::new();
        let mut file = "recipient;address;country;time_zone;opted_in_at\n".to_owned();
        for (index, (place, style, country, zone)) in people.iter().enumerate() {
            let place = &PLACES[*place];
            let country = match country.checked_sub(OTHER.len()) {
                Some(own) => place.country[own % place.country.len()],
                None => OTHER[*country],
            };
            let address = spelled(place, index, *style);
            file.push_str(&format!(
                "p{index};{address};{country};{};2026-03-01 12:00:00+00\n", ZONES[*zone]
            ));
        }
        workspace.write("people.csv", &file);
        prop_assert_eq!(&workspace.json(&["import", "recipients", "people.csv"])["new"], 60);
        workspace.write("c.toml", "name = \"c\"\nprovider = \"simulated\"\ncategory = \"marketing\"\n\
            [window]\nstart = 2031-03-01T00:00:00\nend = 2031-03-03T00:00:00\n\
            [[variant]]\nname = \"t\"\nmedia = \"text\"\ntext = \"Hello\"\n[quiet_hours]\nnone = true\n");
        workspace.ok(&["campaign", "submit", "c.toml"]);
        workspace.ok(&["plan", "c", "--values", "values.csv", "--export", "plan.csv"]);
        let mut zones = std::collections::HashMap::new();
        let plan = std::fs::read(workspace.path("plan.csv")).unwrap();
        let mut rows = csv::Reader::from_reader(&plan[..]);
        let header = rows.headers().unwrap().clone();
        let at = |name: &str| header.iter().position(|h| h == name).unwrap();
        for row in rows.records().map(Result::unwrap) {
            let local: Option<NaiveDateTime> = row[at("local_time")].get(..19).and_then(|t| t.parse().ok());
            zones.insert(row[at("recipient")].to_owned(), local);
        }
        let mut looked_at = 0;
        for (key, local) in zones {
            let index: usize = key[1..].parse().unwrap();
            let (place, style, country, _) = people[index];
            let place = &PLACES[place];
            // a national number is one only beside its country
            let known = style < 7 || country >= OTHER.len();
            let Some(local) = local.filter(|_| known) else { continue };
            let (from, to, sundays) = place.open;
            looked_at += 1;
            prop_assert!(
                (from..to).contains(&local.hour()) && (sundays || local.weekday() != Weekday::Sun),
                "{key} at {local}: {}", file.lines().nth(index + 1).unwrap()
            );
        }
        prop_assert!(looked_at > 20, "{looked_at}");
    }
}
