//! The frozen worlds are what they say, their truth is what happens in them, and the learner's
//! forecasts ([`forecasts`]) lie near it.

#[path = "../../benches/forecast/mod.rs"]
mod forecast;
mod forecasts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use opportune::model::content::{Category, Content};
use opportune::model::ids::MessageKey;
use opportune::model::message::Response;
use opportune::world::World;
use opportune::world::frozen::{Frozen, NAMES, frozen};
use opportune::world::logging::{Count, Logging, Policy};
use opportune::world::person::{Person, Sent};
use opportune::world::posterior::{Effort, expected};
use opportune::world::score::{Chosen, Question, Share, chances, score};
use opportune::world::spec::Spec;
use opportune::world::truth::Outcome;

use self::forecast::{Fit, Pair};

/// Monday 4 May 2026.
fn until() -> DateTime<Utc> {
    DateTime::from_timestamp(1_777_852_800, 0).unwrap()
}

fn spec(name: &str, people: u32) -> Spec {
    Spec { people, ..frozen(name, until()).unwrap().spec }
}

fn world(name: &str, people: u32) -> World {
    World::new(&spec(name, people), 7).unwrap()
}

fn contents() -> Vec<Content> {
    Logging::demo(until()).contents
}

fn logging(messages: Count, policy: Policy) -> Logging {
    Logging { policy, weeks: 16, messages, ..Logging::demo(until()) }
}

/// A message to a person; the number decides when, with what and in which campaign.
struct Letter {
    key: MessageKey,
    at: DateTime<Utc>,
    content: Content,
    campaign: String,
}

impl Letter {
    fn number(number: i64) -> Self {
        Self {
            key: format!("m{number}").parse().unwrap(),
            at: until() + TimeDelta::minutes(number * 37 % (14 * 1440)),
            content: contents()[number as usize % 5].clone(),
            campaign: format!("c{number}"),
        }
    }

    fn sent(&self, campaign: bool) -> Sent<'_> {
        Sent {
            key: &self.key,
            at: self.at,
            content: &self.content,
            category: Category::Marketing,
            recent: &[],
            campaign: campaign.then_some(self.campaign.as_str()),
        }
    }
}

fn when(response: &Response, outcome: Outcome) -> Option<DateTime<Utc>> {
    match outcome {
        Outcome::Read => response.read_at,
        Outcome::Click => response.clicked_at,
        Outcome::Reply => response.replied_at,
        Outcome::OptOut => response.opted_out_at,
    }
}

#[test]
fn the_truth_is_what_happens_in_every_world() {
    for name in NAMES {
        // everything is told, and arrives
        let spec = Spec {
            receipts_off: 0.0,
            scanners: 0.0,
            failures: 0.0,
            opt_out: 0.01,
            ..spec(name, 2_500)
        };
        let world = World::new(&spec, 3).unwrap();
        let mut sums = BTreeMap::<(Outcome, u64, bool), [f64; 3]>::new();
        for index in 0..world.size() {
            let (person, letter) = (world.person(index), Letter::number(index as i64));
            let response = person.answer(&letter.sent(true));
            for outcome in Outcome::ALL {
                for hours in [2, 24, 240] {
                    for campaign in [true, false] {
                        let within = Duration::from_hours(hours);
                        let chance = person.truth(&letter.sent(campaign), outcome, within);
                        assert!((0.0..=1.0).contains(&chance), "{name} {outcome:?}: {chance}");
                        let happened =
                            when(&response, outcome).is_some_and(|at| at <= letter.at + within);
                        let sum = sums.entry((outcome, hours, campaign)).or_default();
                        sum[0] += chance;
                        sum[1] += chance * (1.0 - chance);
                        sum[2] += f64::from(u8::from(happened));
                    }
                }
            }
        }
        for (what, [expected, variance, happened]) in sums {
            let off = (happened - expected) / variance.sqrt();
            // 216 figures are looked at
            assert!(off.abs() < 4.0, "{name} {what:?}: {happened}, not {expected}");
        }
    }
}

#[test]
fn the_truth_for_one_person_is_the_frequency_over_her_messages() {
    // sessions are drawn by day: messages a week apart meet others
    let world = world("sessions", 40);
    let within = Duration::from_hours(24);
    let (mut off, mut count) = (0.0, 0.0);
    for index in 0..world.size() {
        let person = world.person(index);
        let (mut expected, mut variance, mut read) = (0.0, 0.0, 0.0);
        for week in 0..400 {
            let letter = Letter {
                at: until() + TimeDelta::weeks(week) + TimeDelta::hours(index as i64 * 5 % 168),
                content: contents()[0].clone(),
                ..Letter::number(week)
            };
            let chance = person.truth(&letter.sent(false), Outcome::Read, within);
            expected += chance;
            variance += chance * (1.0 - chance);
            let at = person.answer(&letter.sent(false)).read_at;
            read += f64::from(u8::from(at.is_some_and(|at| at <= letter.at + within)));
        }
        if variance > 1.0 {
            let z: f64 = (read - expected) / variance.sqrt();
            assert!(z.abs() < 4.5, "person {index}: {read}, not {expected}");
            off += z * z;
            count += 1.0;
        }
    }
    assert!(count > 15.0, "{count} people");
    assert!((off / count) < 1.0 + 4.0 * f64::sqrt(2.0 / count), "{off} over {count}");
}

#[test]
fn the_worlds_are_frozen() {
    let sum = |name: &str| {
        let world = world(name, 60);
        let mut sum = 0.0;
        for index in 0..world.size() {
            let letter = Letter::number(index as i64);
            for outcome in Outcome::ALL {
                let within = Duration::from_hours(24);
                sum += world.person(index).truth(&letter.sent(true), outcome, within);
            }
        }
        sum
    };
    let sums: Vec<(&str, f64)> = NAMES.iter().map(|name| (*name, sum(name))).collect();
    for ((name, sum), frozen) in sums.iter().zip(FROZEN) {
        assert!((sum - frozen).abs() < 1e-9, "{name}: {sums:?}");
    }
}

const FROZEN: [f64; 9] = [
    37.009_715_884_378_66,
    31.546_775_245_379_68,
    26.935_919_932_963_294,
    26.935_919_932_963_294,
    30.335_360_064_442_536,
    26.589_575_900_226_997,
    26.827_844_310_534_022,
    27.301_161_716_996_57,
    28.067_585_648_883_423,
];

#[test]
fn a_world_has_what_its_name_says() {
    let people = 1_500;
    let share = |name: &str, is: &dyn Fn(&Person<'_>) -> bool| {
        let world = world(name, people);
        let count = (0..world.size()).filter(|index| is(&world.person(*index))).count();
        count as f64 / f64::from(people)
    };
    let silent = |person: &Person<'_>| !person.receipts;
    assert!((share("receipts", &silent) - 1.0 / 3.0).abs() < 0.045);
    assert_eq!(share("sessions", &silent), 0.0);
}

/// Some open the app on one day of the week, others on all; a look may pass a message over.
#[test]
fn people_read_in_sessions() {
    let world = world("sessions", 300);
    let logging = logging(Count::Exact(96), Policy::Uniform);
    let (mut weekly, mut often, mut together, mut reads, mut passed) = (0, 0, 0, 0, 0);
    for index in 0..world.size() {
        let person = world.person(index);
        let history = world.history_of(index, &logging);
        let mut times: Vec<DateTime<Utc>> =
            history.messages.iter().filter_map(|m| m.response.read_at).collect();
        times.sort_unstable();
        let days: BTreeSet<usize> = times.iter().map(|at| person.week_hour(*at) / 24).collect();
        if times.len() >= 8 {
            weekly += usize::from(days.len() <= 2);
            often += usize::from(days.len() == 7);
        }
        reads += times.len();
        together += times.windows(2).filter(|pair| pair[0] == pair[1]).count();
        // read after somebody looked and left it
        let looked =
            |from: DateTime<Utc>, to: DateTime<Utc>| times.iter().any(|at| *at > from && *at < to);
        passed += history
            .messages
            .iter()
            .filter(|m| m.response.read_at.is_some_and(|at| looked(m.sent_at, at)))
            .count();
    }
    assert!((60..140).contains(&weekly), "{weekly} of 300 read on one day of the week");
    assert!(often > 100, "{often} of 300 read on all days");
    assert!(together * 20 > reads, "{together} of {reads} reads are of a look with another");
    assert!(passed * 20 > reads, "{passed} of {reads} reads were passed over before");
}

#[test]
fn stamps_are_whole_seconds_and_some_read_within_seconds_or_are_machines() {
    let world = world("seconds", 1_000);
    let logging = logging(Count::Exact(24), Policy::Uniform);
    let (mut machines, mut prompt) = (0, 0);
    for history in world.history(&logging) {
        let mut instant = [0, 0];
        let mut soon = 0;
        for message in &history.messages {
            let response = &message.response;
            message.check().unwrap();
            for at in Outcome::ALL.iter().filter_map(|outcome| when(response, *outcome)) {
                assert_eq!(at.nanosecond(), 0);
            }
            let delivered = response.delivered_at.unwrap();
            assert_eq!(delivered.nanosecond(), 0);
            let wait = response.read_at.map(|at| (at - delivered).num_seconds());
            instant[usize::from(wait.is_some_and(|wait| wait <= 1))] += 1;
            soon += usize::from(wait.is_some_and(|wait| (1..=9).contains(&wait)));
        }
        machines += usize::from(history.messages.len() >= 3 && instant[0] == 0);
        prompt += usize::from(soon >= 2 && instant[0] > 0);
    }
    assert!((30..72).contains(&machines), "{machines} of 1000 are machines");
    assert!((250..450).contains(&prompt), "{prompt} of 1000 read within seconds");
}

#[test]
fn shops_have_none_to_thousands_of_messages_a_person() {
    let Frozen { spec, messages } = frozen("shops", until()).unwrap();
    let world = World::new(&Spec { people: 3_000, opt_out: 0.0, ..spec }, 7).unwrap();
    let logging = logging(messages.unwrap(), Policy::Business);
    let mut counts: Vec<usize> = world.history(&logging).map(|h| h.messages.len()).collect();
    counts.sort_unstable();
    assert!(counts[150] == 0 && counts[0] == 0, "{} at 5 %", counts[150]);
    assert!((6..=10).contains(&counts[1_500]), "{} in the middle", counts[1_500]);
    assert!(counts[2_970] > 500, "{} at 99 %", counts[2_970]);
    assert!((3_000..=5_000).contains(&counts[2_999]), "{} at most", counts[2_999]);
}

#[test]
fn campaigns_differ_by_ten_to_thirty_per_cent_for_everybody_alike() {
    // who looks several times reads nearly all in any luck: those are asked who have one chance
    let world = world("luck", 400);
    let within = Duration::from_hours(24);
    let total = |campaign: Option<&str>| -> f64 {
        let of = |index: usize| {
            let letter = Letter::number(index as i64);
            let usual = world.person(index).truth(&letter.sent(false), Outcome::Read, within);
            let sent = Sent { campaign, ..letter.sent(false) };
            if usual > 0.1 { 0.0 } else { world.person(index).truth(&sent, Outcome::Read, within) }
        };
        (0..world.size()).map(of).sum()
    };
    let usual = total(None);
    let ratios: Vec<f64> =
        (0..40).map(|campaign| total(Some(&format!("week {campaign}"))) / usual).collect();
    let (least, most) = ratios.iter().fold((f64::MAX, 0.0), |(a, b), r| (r.min(a), r.max(b)));
    assert!((0.68..0.75).contains(&least) && (1.24..1.32).contains(&most), "{least} to {most}");
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() > 0.08), "{ratios:?}");
    let mean = ratios.iter().sum::<f64>() / 40.0;
    assert!((mean - 1.0).abs() < 0.1, "{mean}");
}

#[test]
fn tastes_wear_off_over_weeks_and_keep_their_spread() {
    let moments = |name: &str, weeks: i64| {
        let world = world(name, 2_000);
        let content = &contents()[1];
        let (mut product, mut squares) = (0.0, [0.0; 2]);
        for index in 0..world.size() {
            let person = world.person(index);
            // of the logarithm around what everybody likes, which is a medium's and a style's 0
            let taste = |at| person.taste(content, at).ln();
            let (now, then) = (taste(until()), taste(until() - TimeDelta::weeks(weeks)));
            product += now * then;
            squares[0] += now * now;
            squares[1] += then * then;
        }
        (product / f64::sqrt(squares[0] * squares[1]), (squares[0] / 2_000.0).sqrt())
    };
    let (kept, _) = moments("sessions", 16);
    assert!((kept - 1.0).abs() < 1e-9);
    for (weeks, expected) in [(0, 1.0), (4, 0.5), (8, 0.25), (16, 0.0625)] {
        let (kept, spread) = moments("wear", weeks);
        assert!((kept - expected).abs() < 0.08, "{kept} is left after {weeks} weeks");
        assert!((spread - 0.6).abs() < 0.04, "{spread}");
    }
}

#[test]
fn a_fifth_lives_by_another_rhythm_from_the_date_on() {
    let (moved, still) = (world("drift", 500), world("sessions", 500));
    let at = moved.spec().drift.unwrap().at;
    assert!(at < until() && at > until() - TimeDelta::weeks(16), "within the history");
    let content = &contents()[0];
    let within = Duration::from_hours(2);
    let week = |world: &World, index: usize, week| -> Vec<f64> {
        let person = world.person(index);
        (0..168).step_by(3).map(|h| person.chance_in_week(week, h, content, within)).collect()
    };
    let (before, after) = (at - TimeDelta::weeks(2), at + TimeDelta::weeks(1));
    let mut changed = 0;
    for index in 0..500 {
        assert_eq!(week(&moved, index, before), week(&still, index, before));
        changed += usize::from(week(&moved, index, after) != week(&still, index, after));
    }
    assert!((75..125).contains(&changed), "{changed} of 500");
}

/// One who knows the world foretells without bias, and chooses better than the population's best.
#[test]
fn who_knows_the_world_is_calibrated() {
    let world = world("sessions", 40);
    let logging = logging(Count::Exact(24), Policy::Business);
    let offer = contents();
    let within = Duration::from_hours(24);
    let question = Question { week: until() + TimeDelta::days(2), contents: &offer, within };
    let effort = Effort { draws: 300, chains: 4, steps: 72 };
    let (mut pairs, mut scores) = (Vec::<Pair>::new(), Vec::new());
    for index in 0..world.size() {
        let person = world.person(index);
        let history = world.history_of(index, &logging);
        let table = expected(&person, &history.messages, until(), &question, effort, 1).concat();
        let best = (0..table.len()).max_by(|a, b| table[*a].total_cmp(&table[*b])).unwrap();
        let chosen = Chosen { hour: best / offer.len(), content: best % offer.len() };
        scores.push(score(&person, &question, chosen).joint);
        pairs.extend(table.into_iter().zip(chances(&person, &question).concat()));
    }
    let fit = Fit::of(pairs);
    // 40 people: the standard error of a fifth is about a tenth
    assert!(fit.error < 0.04 && fit.ratios[4] > 0.85 && fit.ratios[4] < 1.15, "{fit}");
    let share = Share::of(scores.iter().copied()).unwrap().share;
    assert!(share > 0.55, "{share} of the oracle's gain");
}
