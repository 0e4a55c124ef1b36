//! The calendar against a naive reading of the wall clock, minute by minute: on every IANA zone and
//! around every change of its offset from 2024 to 2030. The naive reading shares the
//! tables of offsets with it, and no code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use opportune::calendar::law::Case;
use opportune::calendar::quiet::Quiet;
use opportune::calendar::rules::Rules;
use opportune::calendar::window::{allowed_slots, span};
use opportune::calendar::zone::{instant, local, offset_at, week_hour, week_hours};
use opportune::model::campaign::{CampaignQuiet, QuietHours, Window};
use opportune::model::content::Category;
use opportune::model::recipient::Country;
use opportune::model::slot::{Slot, SlotLength};
use opportune::model::time::Instant;
use proptest::prelude::*;

/// Odd hours, so that changes of the offset at midnight, one, two and three o'clock fall on, before
/// and after their edges; and a clock of its own.
const RULES: &str = r#"
    [[rule]]
    name = "weekly"
    countries = ["ZZ"]
    categories = ["marketing"]
    channels = ["whatsapp"]
    allowed = ["Mon-Fri 00:20-01:30", "Mon-Fri 01:50-22:15", "Sun 01:15-23:45"]
    holidays = ["02:30-02:50", "11:00-12:00"]
    source = "made up"

    [[rule]]
    name = "in-delhi"
    countries = ["ZZ"]
    categories = ["marketing"]
    channels = ["whatsapp"]
    allowed = ["Mon-Sun 00:00-04:00", "Mon-Sun 05:10-24:00"]
    time_zone = "Asia/Kolkata"
    source = "made up"

    [[holidays]]
    countries = ["ZZ"]
    fixed = ["03-30", "10-06", "11-03"]
    dates = [2027-03-14]
"#;

fn quiet() -> Quiet {
    let country: Country = "ZZ".parse().unwrap();
    let case = Case {
        country: Some(&country),
        region: None,
        channel: "whatsapp",
        category: Category::Marketing,
    };
    let campaign = QuietHours::parse("02:15", "02:20").unwrap();
    let workspace = QuietHours::parse("23:40", "00:10").unwrap();
    let rules = Rules::built_in().with(RULES).unwrap();
    Quiet::new(&rules, case, CampaignQuiet::Add(campaign), Some(workspace))
}

/// What the wall shows: the tables' offset added, and nothing else of the calendar's.
fn shown(at: Instant, tz: Tz) -> NaiveDateTime {
    at.naive_utc() + TimeDelta::seconds(offset_at(at.timestamp(), tz))
}

fn minute_of_day(at: Instant, tz: Tz) -> (NaiveDate, u32) {
    let local = shown(at, tz);
    (local.date(), local.hour() * 60 + local.minute())
}

/// The same as [`quiet`], written by hand.
fn naively_forbidden(at: Instant, tz: Tz) -> bool {
    let (date, minute) = minute_of_day(at, tz);
    let day = (date.month(), date.day());
    let holiday = [(3, 30), (10, 6), (11, 3)].contains(&day)
        || date == NaiveDate::from_ymd_opt(2027, 3, 14).unwrap();
    let weekly = if holiday {
        (150..170).contains(&minute) || (660..720).contains(&minute)
    } else {
        match date.weekday() {
            chrono::Weekday::Sat => false,
            chrono::Weekday::Sun => (75..1425).contains(&minute),
            _ => (20..90).contains(&minute) || (110..1335).contains(&minute),
        }
    };
    let (_, in_delhi) = minute_of_day(at, Tz::Asia__Kolkata);
    !weekly
        || (240..310).contains(&in_delhi)
        || (135..140).contains(&minute)
        || !(10..1420).contains(&minute)
}

fn offset(at: i64, tz: Tz) -> i32 {
    i32::try_from(offset_at(at, tz)).unwrap()
}

/// The first second of every new offset from 2024 to 2030.
fn transitions(tz: Tz) -> Vec<Instant> {
    const STEP: i64 = 6 * 3600;
    let (first, past) = (1_704_067_200, 1_925_078_400);
    let mut found = Vec::new();
    let mut before = offset(first, tz);
    for at in (first..past).step_by(STEP as usize) {
        let after = offset(at + STEP, tz);
        if after != before {
            let (mut low, mut high) = (at, at + STEP);
            while high - low > 1 {
                let middle = low.midpoint(high);
                if offset(middle, tz) == before { low = middle } else { high = middle }
            }
            found.push(DateTime::from_timestamp(high, 0).unwrap());
        }
        before = after;
    }
    found
}

/// Every zone with every change of its offset, found once for all tests.
fn zones() -> impl Iterator<Item = (Tz, &'static [Instant])> {
    static CHANGES: LazyLock<Vec<Vec<Instant>>> =
        LazyLock::new(|| TZ_VARIANTS.into_iter().map(transitions).collect());
    TZ_VARIANTS.into_iter().zip(CHANGES.iter().map(Vec::as_slice))
}

/// What each minute around a moment is, read once.
struct Minutes {
    first: Instant,
    local: Vec<NaiveDateTime>,
    forbidden: Vec<bool>,
}

impl Minutes {
    fn around(at: Instant, hours: i64, tz: Tz) -> Self {
        let first = at - TimeDelta::hours(hours);
        let minutes = || (0..2 * hours * 60).map(|minute| first + TimeDelta::minutes(minute));
        Self {
            first,
            local: minutes().map(|at| shown(at, tz)).collect(),
            forbidden: minutes().map(|at| naively_forbidden(at, tz)).collect(),
        }
    }

    fn index(&self, at: Instant) -> usize {
        usize::try_from((at - self.first).num_minutes()).unwrap()
    }

    /// The slots that lie wholly within and of which every minute is fine.
    fn slots(&self, length: SlotLength, fine: impl Fn(usize) -> bool) -> Vec<Slot> {
        let end = self.first + TimeDelta::minutes(self.local.len() as i64);
        let first = Slot::from_instant_on(self.first, length).0;
        let past = Slot::holding(end, length).0;
        let minutes = |slot: &Slot| self.index(slot.start(length))..self.index(slot.end(length));
        (first..past).map(Slot).filter(|slot| minutes(slot).all(&fine)).collect()
    }
}

fn lengths() -> [SlotLength; 2] {
    [SlotLength::HOUR, SlotLength::try_from(10).unwrap()]
}

/// A window of wall time, both ends far from any change of the offset.
fn around(at: Instant, hours: i64, tz: Tz) -> Window {
    let reach = TimeDelta::hours(hours);
    let minute = |at| local(at, tz).with_second(0).unwrap();
    Window { start: minute(at - reach), end: minute(at + reach), zone: None }
}

#[test]
fn the_allowed_slots_around_every_change_are_those_that_a_naive_reader_would_allow() {
    let quiet = quiet();
    let (mut seen, mut allowed_in_all) = (0, 0);
    for (tz, changes) in zones() {
        for &change in changes {
            seen += 1;
            let minutes = Minutes::around(change, 6, tz);
            let window = around(change, 5, tz);
            let now = change - TimeDelta::minutes(250);
            for length in lengths() {
                let allowed = allowed_slots(&window, &quiet, tz, length, now);
                let naive = minutes.slots(length, |minute| {
                    !minutes.forbidden[minute]
                        && (window.start..window.end).contains(&minutes.local[minute])
                        && minutes.first + TimeDelta::minutes(minute as i64) >= now
                });
                assert_eq!(allowed, naive, "{tz} around {change}");
                allowed_in_all += allowed.len();
            }
        }
    }
    // the check is not empty
    assert!(seen > 2_000 && allowed_in_all > 10 * seen, "{seen} {allowed_in_all}");
}

#[test]
fn a_window_with_edges_near_a_change_is_never_left_by_the_wall_clock() {
    let mut open = 0;
    for (tz, changes) in zones() {
        for &change in changes {
            let turn = local(change, tz);
            for (start, end) in [(-75, 200), (-20, 20), (0, 60), (20, 90), (-200, 20), (-90, -10)] {
                let window = Window {
                    start: turn + TimeDelta::minutes(start),
                    end: turn + TimeDelta::minutes(end),
                    zone: None,
                };
                let (opens, closes) = span(&window, tz);
                for minute in 0..(closes - opens).num_minutes() {
                    let shown = shown(opens + TimeDelta::minutes(minute), tz);
                    assert!(
                        window.start <= shown && shown < window.end,
                        "{tz} {change} {window:?}"
                    );
                }
                open += i32::from(opens < closes);
                let length = SlotLength::try_from(10).unwrap();
                let slots = allowed_slots(
                    &window,
                    &Quiet::default(),
                    tz,
                    length,
                    change - TimeDelta::days(1),
                );
                for slot in slots {
                    assert!(slot.start(length) >= opens && slot.end(length) <= closes);
                }
            }
        }
    }
    assert!(open > 10_000, "{open}");
}

#[test]
fn wall_time_goes_there_and_back_but_for_the_hours_shown_twice() {
    for (tz, changes) in zones() {
        for &change in changes {
            let (before, after) = (local(change - TimeDelta::seconds(1), tz), local(change, tz));
            for minute in -180..180 {
                let at = change + TimeDelta::minutes(minute);
                let shown = local(at, tz);
                let back = instant(shown, tz);
                let twice = shown <= before && at >= change;
                assert_eq!(local(back, tz), shown, "{tz} {at}");
                assert!(if twice { back < change } else { back == at }, "{tz} {at} {back}");
                let never = after > shown && shown > before;
                assert!(!never, "{tz} showed {shown}");
            }
            let gap = (after - before).num_minutes();
            for minute in 0..gap {
                let never = before + TimeDelta::minutes(minute) + TimeDelta::seconds(1);
                assert_eq!(instant(never, tz), change, "{tz} {never}");
            }
        }
    }
}

#[test]
fn a_slot_s_shares_are_the_minutes_that_the_clock_shows() {
    let plain = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    for (tz, changes) in zones() {
        for change in changes.iter().copied().chain([plain]) {
            for length in [SlotLength::HOUR, SlotLength::try_from(30).unwrap()] {
                let holding = Slot::holding(change, length);
                for slot in [Slot(holding.0 - 1), holding, Slot(holding.0 + 1)] {
                    let mut naive = BTreeMap::<usize, i64>::new();
                    for minute in 0..i64::from(length.minutes()) {
                        let at = slot.start(length) + TimeDelta::minutes(minute);
                        *naive.entry(week_hour(at, tz)).or_default() += 1;
                    }
                    let mut shares = BTreeMap::<usize, f64>::new();
                    for (hour, share) in week_hours(slot, length, tz) {
                        *shares.entry(hour).or_default() += share * f64::from(length.minutes());
                    }
                    assert!(naive.keys().eq(shares.keys()), "{tz} {change}");
                    for (minutes, share) in naive.values().zip(shares.values()) {
                        assert!((*minutes as f64 - share).abs() < 1e-9, "{tz} {change}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_zone_changes_its_offset_twice_within_a_day() {
    for (tz, changes) in zones() {
        assert!(changes.windows(2).all(|pair| pair[1] - pair[0] > TimeDelta::days(1)), "{tz}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_span_is_forbidden_when_a_naive_reader_finds_a_forbidden_minute(
        tz in proptest::sample::select(&TZ_VARIANTS[..]),
        minute in 28_401_120_i64..32_084_640,
        length in prop_oneof![1_i64..60, 60_i64..1_500],
    ) {
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap();
        let quiet = quiet();
        let naive = (minute..minute + length).any(|minute| naively_forbidden(at(minute), tz));
        prop_assert_eq!(quiet.forbids_span(at(minute), at(minute + length), tz).is_some(), naive);
        let once = naively_forbidden(at(minute), tz);
        prop_assert_eq!(quiet.forbids_at(at(minute), tz).is_some(), once);
        prop_assert_eq!(quiet.forbids_at(at(minute) + TimeDelta::seconds(59), tz).is_some(), once);
    }

    #[test]
    fn the_allowed_slots_of_any_day_are_those_that_a_naive_reader_would_allow(
        tz in proptest::sample::select(&TZ_VARIANTS[..]),
        minute in 28_401_120_i64..32_084_640,
        minutes_long in 60_i64..2_000,
        length in proptest::sample::select(vec![5_u32, 6, 12, 15, 20, 30, 60]),
    ) {
        let length = SlotLength::try_from(length).unwrap();
        let middle = DateTime::from_timestamp(minute * 60, 0).unwrap();
        let start = local(middle, tz);
        let window = Window { start, end: start + TimeDelta::minutes(minutes_long), zone: None };
        let (opens, closes) = span(&window, tz);
        let minutes = Minutes::around(middle, 40, tz);
        let naive = minutes.slots(length, |index| {
            let at = minutes.first + TimeDelta::minutes(index as i64);
            !minutes.forbidden[index] && opens <= at && at < closes
        });
        prop_assert_eq!(allowed_slots(&window, &quiet(), tz, length, minutes.first), naive);
    }
}
