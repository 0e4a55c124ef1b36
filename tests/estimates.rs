//! Estimates against a known truth, on histories made for one question each: people who open the app
//! at their own hours, read some of what waits there, and click some of what they read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use opportune::learn::{
    Channel, Contents, Evidence, Model, Observed, Settings, Subject, evaluate, fit,
};
use opportune::model::content::{Content, Goal, Media};
use opportune::model::message::Response;
use opportune::model::preference::Preference;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// A Monday, and the present.
const NOW: i64 = 1_780_272_000;
const VIDEO: Content = Content { media: Media::Video, style: None };

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// How one person lives.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// The hour of the day at which the app is opened, give or take half an hour.
    hour: f64,
    /// Once in so many days, the first so many days after the epoch.
    every: i64,
    phase: i64,
    /// Chance that a waiting message is read when the app is opened.
    read: f64,
    /// Chance that what was read is clicked, and after how many hours on average.
    click: f64,
    click_hours: f64,
    /// Whether reads are told.
    receipts: bool,
}

const USUAL: Life = Life {
    hour: 19.0,
    every: 1,
    phase: 0,
    read: 0.5,
    click: 0.2,
    click_hours: 0.01,
    receipts: true,
};

impl Life {
    /// What becomes of a message: when it is read and clicked.
    fn meet(&self, sent: i64, random: &mut ChaCha8Rng) -> (Option<i64>, Option<i64>) {
        let looks = (sent / DAY..=sent / DAY + 7).filter(|day| day % self.every == self.phase);
        for day in looks {
            let look = day * DAY
                + (self.hour * HOUR as f64) as i64
                + random.gen_range(-HOUR / 2..HOUR / 2);
            if look >= sent && random.gen_bool(self.read) {
                let hours = -random.gen_range(1e-12f64..1.0).ln() * self.click_hours;
                let click = look + 1 + (hours * HOUR as f64) as i64;
                return (Some(look), random.gen_bool(self.click).then_some(click));
            }
        }
        (None, None)
    }

    fn messages(&self, sends: &[i64], random: &mut ChaCha8Rng) -> Vec<Observed> {
        let known = |second: Option<i64>| second.filter(|second| *second <= NOW).map(at);
        (0..)
            .zip(sends)
            .map(|(hash, sent)| {
                let (read, click) = self.meet(*sent, random);
                told(
                    hash,
                    *sent,
                    Response {
                        delivered_at: Some(at(sent + 2)),
                        read_at: known(read).filter(|_| self.receipts),
                        clicked_at: known(click),
                        ..Response::default()
                    },
                )
            })
            .collect()
    }

    fn history(&self, sends: &[i64], random: &mut ChaCha8Rng) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.fold(&self.messages(sends, random), &[]);
        evidence
    }

    /// The chance to be read, and to be clicked, so many seconds after a message that is sent at any
    /// time.
    fn truth(&self, within: i64) -> (f64, f64) {
        const MESSAGES: i64 = 20_000;
        let mut random = ChaCha8Rng::seed_from_u64(99);
        let (mut reads, mut clicks) = (0.0, 0.0);
        for i in 0..MESSAGES {
            let sent = NOW + i * 7 * DAY / MESSAGES;
            let (read, click) = self.meet(sent, &mut random);
            reads += f64::from(u8::from(read.is_some_and(|at| at <= sent + within)));
            clicks += f64::from(u8::from(click.is_some_and(|at| at <= sent + within)));
        }
        (reads / MESSAGES as f64, clicks / MESSAGES as f64)
    }
}

/// Messages at any time of the last so many days.
fn sends(count: u32, days: i64, random: &mut ChaCha8Rng) -> Vec<i64> {
    let mut sends: Vec<i64> = (0..count).map(|_| NOW - random.gen_range(60..days * DAY)).collect();
    sends.sort_unstable();
    sends.dedup();
    sends
}

fn subject(evidence: &Evidence) -> Subject<'_> {
    Subject { zone: chrono_tz::UTC, country: None, tags: &[], evidence }
}

fn contents() -> Contents {
    let mut contents = Contents::default();
    contents.enter(&VIDEO);
    contents
}

/// Learns at the settings that the search begins with.
fn learn(people: &[Evidence]) -> Model {
    let subjects: Vec<Subject<'_>> = people.iter().map(subject).collect();
    let settings = Settings { tune_min: usize::MAX, ..Settings::default() };
    fit(&subjects, &contents(), &settings, at(NOW), 1, &mut |_, _| {}).unwrap()
}

fn known(model: &Model, person: &Evidence) -> Preference {
    model.preference(&subject(person), at(NOW))
}

/// Mean over the hours of the week.
fn chance(person: &Preference, goal: Goal, hours: u64) -> f64 {
    let chances = person.chances(&VIDEO, goal, Duration::from_hours(hours));
    chances.iter().map(|chance| f64::from(*chance)).sum::<f64>() / 168.0
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn population(count: u64, of: impl Fn(u64) -> Life, messages: u32, days: i64) -> Vec<Evidence> {
    (0..count)
        .map(|number| {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let sends = sends(messages, days, &mut random);
            of(number).history(&sends, &mut random)
        })
        .collect()
}

/// What was told of a message.
fn told(hash: u32, sent: i64, response: Response) -> Observed {
    Observed {
        hash,
        sent_at: at(sent),
        content: Some(0),
        category: None,
        channel: Channel::named("chat"),
        response,
    }
}

/// A person like no other: so many messages, each read or clicked as soon as is said, if at all.
fn extreme(count: u32, read_after: Option<i64>, clicks: bool, opts_out: bool) -> Evidence {
    let message = |hash: u32| {
        let sent = NOW - 60 * DAY + i64::from(hash) * 60 * DAY / i64::from(count.max(1));
        let read = read_after.map(|after| sent + 5 + after).filter(|read| *read <= NOW);
        let click = read.filter(|_| clicks).map(|read| read + 1);
        told(
            hash,
            sent,
            Response {
                delivered_at: Some(at(sent + 5)),
                read_at: read.map(at),
                clicked_at: click.map(at),
                replied_at: click.map(at),
                opted_out_at: read.filter(|_| opts_out).map(at),
                ..Response::default()
            },
        )
    };
    let mut evidence = Evidence::default();
    evidence.fold(&(0..count).map(message).collect::<Vec<_>>(), &[]);
    evidence
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Nobody's data changes what is possible for others beyond one person's share.
    #[test]
    fn nobody_is_so_busy_that_others_are_not_known_any_more(
        count in prop_oneof![Just(0u32), Just(400), Just(1_900), Just(2_200), 0u32..5_000],
        read_after in prop_oneof![Just(None), Just(Some(0)), (1i64..600).prop_map(Some), (0..5 * DAY).prop_map(Some)],
        clicks: bool,
        opts_out: bool,
    ) {
        let usual = |number: u64| Life { hour: 8.0 + (number % 12) as f64, ..USUAL };
        let mut people = population(200, usual, 20, 90);
        let without = learn(&people);
        people.push(extreme(count, read_after, clicks, opts_out));
        let with = learn(&people);
        for goal in [Goal::Read, Goal::Click, Goal::Reply] {
            let mut ratios = Vec::new();
            for person in &people {
                let chance = chance(&known(&with, person), goal, 24);
                prop_assert!(chance.is_finite() && chance > 0.0 && chance <= 1.0, "{goal:?}: {chance}");
            }
            for person in &people[..200] {
                let [with, without] =
                    [&with, &without].map(|model| chance(&known(model, person), goal, 24));
                ratios.push(with / without);
            }
            let mean = mean(ratios.iter().copied());
            let most = ratios.iter().copied().fold(0.0, |most: f64, ratio| most.max(ratio.ln().abs()));
            // replies were none at all: one person's are a new thing
            // and a regression that a person more or less makes sure of may move another's clicks
            let (all, one) = match goal {
                Goal::Reply => (3.0, 6.0),
                Goal::Click => (0.1, 0.7),
                _ => (0.06, 0.25),
            };
            prop_assert!(mean.ln().abs() < all && most < one, "{goal:?}: {mean}, at most {most}");
        }
        let newcomer = Evidence::default();
        let [ours, theirs] =
            [&with, &without].map(|model| chance(&known(model, &newcomer), Goal::Read, 24));
        prop_assert!((ours / theirs).ln().abs() < 0.1, "{ours}, not {theirs}");
        let out = known(&with, &people[0]).opt_out(&VIDEO);
        prop_assert!(out > 0.0 && out < 0.03, "{out}");
    }
}

#[test]
fn a_channel_that_tells_no_clicks_says_nothing_of_them() {
    let life = Life { click: 0.15, ..USUAL };
    let people: Vec<Evidence> = (0..300)
        .map(|number| {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let sends = sends(60, 120, &mut random);
            let mut messages = life.messages(&sends, &mut random);
            // three of four go where a click is not told
            for message in messages.iter_mut().filter(|message| message.hash % 4 != 0) {
                message.channel = Channel::named("sms");
                message.response.clicked_at = None;
            }
            let mut evidence = Evidence::default();
            evidence.fold(&messages, &[]);
            evidence
        })
        .collect();
    let model = learn(&people);
    let clicks =
        mean(people.iter().map(|p| f64::from(known(&model, p).answer_chance(&VIDEO, Goal::Click))));
    assert!((clicks / 0.15 - 1.0).abs() < 0.1, "{clicks}, not 0.15");
}

#[test]
fn who_reads_once_a_week_clicks_what_is_read_as_often_as_that() {
    let weekly = |number: u64| Life {
        every: 7,
        phase: (number % 7) as i64,
        read: 0.9,
        click: 0.15,
        ..USUAL
    };
    let people = population(400, weekly, 60, 120);
    let model = learn(&people);
    let clicks =
        mean(people.iter().map(|p| f64::from(known(&model, p).answer_chance(&VIDEO, Goal::Click))));
    assert!((clicks / 0.15 - 1.0).abs() < 0.1, "{clicks}, not 0.15");
}

/// Clicks come six hours after the reading, on average, and most messages were sent today.
#[test]
fn a_message_that_may_still_be_clicked_is_no_refusal() {
    let life = |_| Life { click: 0.3, click_hours: 6.0, hour: 9.0, read: 0.8, ..USUAL };
    let people: Vec<Evidence> = (0..500)
        .map(|number| {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let mut all = sends(10, 40, &mut random);
            all.extend((0..10).map(|_| NOW - random.gen_range(600..20 * HOUR)));
            all.sort_unstable();
            life(number).history(&all, &mut random)
        })
        .collect();
    let model = learn(&people);
    let ever =
        mean(people.iter().map(|p| f64::from(known(&model, p).answer_chance(&VIDEO, Goal::Click))));
    assert!((ever / 0.3 - 1.0).abs() < 0.1, "{ever}, not 0.3");
    for hours in [2, 6, 24] {
        let (read, click) = life(0).truth(hours * HOUR);
        let of = |goal| mean(people.iter().map(|p| chance(&known(&model, p), goal, hours as u64)));
        let (ours, truth) = (of(Goal::Click) / of(Goal::Read), click / read);
        assert!((ours / truth - 1.0).abs() < 0.12, "within {hours} h: {ours}, not {truth}");
    }
}

#[test]
fn people_whose_reads_are_not_told_are_no_better_than_their_equals() {
    let life = |number: u64| Life {
        hour: 8.0 + (number % 12) as f64,
        click: 0.12 + 0.1 * (number % 5) as f64 / 4.0,
        receipts: !number.is_multiple_of(3),
        ..USUAL
    };
    let people = population(900, life, 30, 120);
    let model = learn(&people);
    let mut chances: Vec<(f64, bool)> = (0..)
        .zip(&people)
        .map(|(number, p)| (chance(&known(&model, p), Goal::Click, 24), life(number).receipts))
        .collect();
    let of =
        |told: bool| mean(chances.iter().filter(|(_, t)| *t == told).map(|(chance, _)| *chance));
    let ratio = of(false) / of(true);
    assert!((0.85..1.15).contains(&ratio), "{ratio} times the chance of equals");
    chances.sort_by(|a, b| b.0.total_cmp(&a.0));
    let top = chances[..90].iter().filter(|(_, told)| !told).count();
    assert!((15..=55).contains(&top), "{top} of the 90 likeliest");
}

/// A third of all reads come with the stamp of the delivery.
#[test]
fn reads_within_the_second_of_delivery_count_on_channels_of_whole_seconds() {
    let people: Vec<Evidence> = (0..300u64)
        .map(|number| {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let messages: Vec<Observed> = (0..30)
                .map(|hash| {
                    let sent =
                        NOW - 100 * DAY + i64::from(hash) * 3 * DAY + random.gen_range(0..DAY);
                    let after = if random.gen_bool(0.5) { 0 } else { random.gen_range(60..HOUR) };
                    let read = random.gen_bool(0.32).then_some(at(sent + 2 + after));
                    told(
                        hash,
                        sent,
                        Response {
                            delivered_at: Some(at(sent + 2)),
                            read_at: read,
                            ..Response::default()
                        },
                    )
                })
                .collect();
            let mut evidence = Evidence::default();
            evidence.fold(&messages, &[]);
            evidence
        })
        .collect();
    let model = learn(&people);
    let forecast = mean(people.iter().map(|p| chance(&known(&model, p), Goal::Read, 24)));
    assert!((forecast / 0.32 - 1.0).abs() < 0.12, "{forecast}, not 0.32");
}

/// Half of the people never read a thing: it must not be told by what they did later whom to judge.
#[test]
fn an_evaluation_judges_whoever_was_written_to() {
    let life = |number: u64| Life {
        read: if number.is_multiple_of(2) { 0.4 } else { 0.005 },
        hour: 8.0 + (number % 12) as f64,
        ..USUAL
    };
    let people = population(600, life, 20, 100);
    let subjects: Vec<Subject<'_>> = people.iter().map(subject).collect();
    let settings = Settings { tune_min: usize::MAX, ..Settings::default() };
    let judged =
        evaluate(&subjects, &contents(), &settings, 0.3, at(NOW), 1, &mut |_, _| {}).unwrap();
    let messages = judged.messages.unwrap();
    let truth = mean((0..2).map(|number| life(number).truth(2 * HOUR).0));
    assert!(messages.people >= 590, "{}", messages.people);
    assert!((messages.read / truth - 1.0).abs() < 0.35, "{}, not {truth}", messages.read);
    let told = mean(messages.reliability.iter().map(|(chance, _)| *chance));
    assert!((told / messages.read - 1.0).abs() < 0.3, "{told} told, {} read", messages.read);
    assert!(messages.calibration_error < 0.03, "{}", messages.calibration_error);
}

/// Some were written to in the first half of the history alone: they have no future to be judged by.
#[test]
fn an_evaluation_cuts_everybody_at_one_date() {
    let people: Vec<Evidence> = (0..240)
        .map(|number| {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let (count, earlier) = if number < 120 { (20, 100 * DAY) } else { (40, 0) };
            let sends: Vec<i64> =
                sends(count, 100, &mut random).into_iter().map(|sent| sent - earlier).collect();
            USUAL.history(&sends, &mut random)
        })
        .collect();
    let subjects: Vec<Subject<'_>> = people.iter().map(subject).collect();
    let settings = Settings { tune_min: usize::MAX, ..Settings::default() };
    let judged =
        evaluate(&subjects, &contents(), &settings, 0.3, at(NOW), 1, &mut |_, _| {}).unwrap();
    let messages = judged.messages.unwrap();
    assert!((110..=120).contains(&messages.people), "{} of the newer 120", messages.people);
}

/// A fifth of the people came to open the app six hours earlier or later 40 days ago. Of messages of any
/// hour of the day it is forecast whether they are read within twelve hours.
#[test]
fn who_came_to_live_by_other_hours_is_known_by_these_soon() {
    const WITHIN: i64 = 12;
    let change = NOW - 40 * DAY;
    let moved = |number: u64| number.is_multiple_of(5);
    let hour = |number: u64, later: bool| (8 + (number + 6 * u64::from(later)) % 12) as f64;
    let people: Vec<Evidence> = (0..600)
        .map(|number| {
            let mut random = ChaCha8Rng::seed_from_u64(number);
            let all = sends(80, 160, &mut random);
            let (before, after) = all.split_at(all.partition_point(|sent| *sent < change));
            let life = |later| Life { hour: hour(number, later), ..USUAL };
            let mut evidence = life(false).history(before, &mut random);
            evidence.fold(&life(moved(number)).messages(after, &mut random), &[]);
            evidence
        })
        .collect();
    let model = learn(&people);
    // the app is opened within half an hour of its time, and messages come at any minute of their hour
    let truth = |look: f64, sent: f64| {
        let minutes = || (0..20).map(|i| (f64::from(i) + 0.5) / 20.0);
        let waits = minutes().flat_map(|open| minutes().map(move |come| open - 0.5 - come));
        let in_time = |wait: f64| (look - sent + wait).rem_euclid(24.0) <= WITHIN as f64;
        0.5 * mean(waits.map(|wait| f64::from(u8::from(in_time(wait)))))
    };
    let mut pairs: [Vec<(f64, f64)>; 2] = Default::default();
    for (number, person) in (0..).zip(&people) {
        let within = Duration::from_hours(WITHIN as u64);
        let chances = known(&model, person).chances(&VIDEO, Goal::Read, within);
        for sent in 0..24 {
            let forecast = mean((0..7).map(|day| f64::from(chances[day * 24 + sent])));
            let truth = truth(hour(number, moved(number)), sent as f64);
            pairs[usize::from(moved(number))].push((forecast, truth));
        }
    }
    for (who, mut pairs) in ["stayed", "moved"].into_iter().zip(pairs) {
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let fifths = pairs.chunks(pairs.len().div_ceil(5));
        let fifths: Vec<[f64; 2]> = fifths
            .map(|fifth| {
                [mean(fifth.iter().map(|pair| pair.0)), mean(fifth.iter().map(|pair| pair.1))]
            })
            .collect();
        eprintln!("{who}: {fifths:.3?}");
        for [forecast, truth] in &fifths[3..] {
            assert!((forecast / truth - 1.0).abs() < 0.1, "{who}: {fifths:.3?}");
        }
    }
}
