//! How good forecasts and choices are where the truth is known: hours and contents chosen for the
//! people of invented worlds, as a share of what an all-knowing chooser gains over a random one, and
//! the chances that were forecast for them, beside the true ones by fifths of the forecast.
//!
//! `cargo bench --bench quality -- [PEOPLE] [SEEDS] [FILTER]`: 2,000 people and 3 seeds unless said;
//! FILTER keeps the cells whose name holds one of its parts, such as `hostile business 6` or
//! `sessions business 24,shops business 24`. Without it the worlds `friendly` and `hostile` are run.
//! Histories come from one fixed hour, business hours and uniform hours, with 6, 24 and 96 messages a
//! person; the world `shops` has its own numbers of messages.
//!
//! A rival takes part when the variable `OPPORTUNE_RIVAL` holds a command; it is called with a folder
//! that holds `recipients.csv` and `messages.csv`, a file to write, and `--within HOURS`, and writes
//! `recipient,media,style,send_at`. With `OPPORTUNE_CEILING` set to a number, the choices of so many
//! people are compared to those of one who knows the world and has their histories. With
//! `OPPORTUNE_UNTUNED` set, hyper-parameters stay where the search for them begins; with
//! `OPPORTUNE_SETTINGS` set, they are printed.

mod cells;
mod forecast;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use opportune::calendar::zone::week_hour;
use opportune::learn::{Contents, fit};
use opportune::model::content::{Category, Content, Goal};
use opportune::model::ids::MessageKey;
use opportune::model::preference::Preference;
use opportune::world::World;
use opportune::world::frozen::{Frozen, NAMES, frozen};
use opportune::world::history::PersonHistory;
use opportune::world::logging::{Count, Logging};
use opportune::world::person::Sent;
use opportune::world::posterior::{Effort, expected};
use opportune::world::score::{Chosen, Question, Score, Share, Values, chances, score};
use opportune::world::spec::Spec;
use opportune::world::truth::Outcome;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::cells::{HOURS, MESSAGES, POLICIES, asked, print, settings, until};
use self::forecast::{Fit, Pair, content_of, evidence_of, subjects};

const NAIVE: [&str; 5] = ["fixed hour", "weekday hour", "median rule", "histogram", "shrunk"];
const WEEK: usize = 168;

fn main() {
    let (people, seeds, filter) = asked([2000, 3]);
    let mut table = Table::default();
    for world in NAMES {
        let Frozen { spec, messages: own } = frozen(world, until()).expect("it has the name");
        for (name, policy) in POLICIES {
            for (messages, weeks) in MESSAGES {
                let cell = format!("{world} {name} {messages}");
                if !is_wanted(&cell, &filter) {
                    continue;
                }
                for seed in 1..=u64::from(seeds) {
                    let spec = Spec { people, ..spec.clone() };
                    let logging = Logging {
                        policy,
                        weeks,
                        messages: own.unwrap_or(Count::Exact(messages)),
                        ..Logging::demo(until())
                    };
                    run(&cell, &World::new(&spec, seed).unwrap(), &logging, seed, &mut table);
                }
                table.print(&cell);
            }
        }
    }
    table.sum_up();
}

fn is_wanted(cell: &str, filter: &str) -> bool {
    if filter.is_empty() {
        return cell.starts_with("friendly") || cell.starts_with("hostile");
    }
    filter.split(',').any(|part| format!("{cell} ").contains(part.trim()))
}

/// One history: everybody's choices are scored.
fn run(cell: &str, world: &World, logging: &Logging, seed: u64, table: &mut Table) {
    let histories: Vec<PersonHistory> = world.history(logging).collect();
    let mut contents = Contents::default();
    let evidence = evidence_of(&histories, &mut contents);
    let subjects = subjects(world, &evidence);
    let settings = settings();
    let model = fit(&subjects, &contents, &settings, until(), seed, &mut |_, _| {}).unwrap();
    if std::env::var_os("OPPORTUNE_SETTINGS").is_some() {
        print(&format!("{cell}, seed {seed}: {}", model.describe()));
    }
    let offer: Vec<Content> = contents.list().to_vec();
    let known: Vec<Preference> = subjects.iter().map(|s| model.preference(s, until())).collect();
    for (what, pairs) in forecasts(world, &histories, &known, &offer, logging, seed) {
        table.forecasts.entry(format!("{cell} {what}")).or_default().extend(pairs);
    }
    for hours in HOURS {
        let within = Duration::from_hours(hours);
        let question = Question { week: until() + TimeDelta::days(2), contents: &offer, within };
        let view = |method: &str| format!("{cell} {hours}h {method}");
        let truth: Vec<Vec<Vec<f64>>> =
            (0..world.size()).map(|index| chances(&world.person(index), &question)).collect();
        let (chosen, error) = ours(&known, &offer, within, &truth);
        for (index, known) in known.iter().enumerate() {
            let asked = (question.week, within);
            let found = forecast::chosen(&world.person(index), known, &offer, asked);
            for (what, pair) in ["chosen", "corrected"].into_iter().zip(found) {
                let of_chosen = format!("{cell} {what} {hours}h");
                table.forecasts.entry(of_chosen).or_default().push(pair);
            }
        }
        table.add(&view("model"), world, &question, &chosen);
        table.calibration(&view("calibration"), error);
        for method in NAIVE {
            let chosen = naive(method, &histories, &offer, world);
            table.add(&view(method), world, &question, &chosen);
        }
        let some = std::env::var("OPPORTUNE_CEILING").ok().and_then(|n| n.parse::<usize>().ok());
        if let Some(some) = some.map(|some| some.min(world.size())) {
            let tables = ceiling(world, &histories[..some], &question, seed);
            let best = |table: &Vec<Vec<f64>>| {
                let all = best(table.concat().into_iter());
                Chosen { hour: all / offer.len(), content: all % offer.len() }
            };
            let bests: Vec<Chosen> = tables.iter().map(best).collect();
            table.add(&view("ceiling"), world, &question, &bests);
            table.add(&view("of the same"), world, &question, &chosen[..some]);
            let pairs =
                tables.iter().zip(&truth).flat_map(|(t, u)| t.concat().into_iter().zip(u.concat()));
            table.forecasts.insert(format!("{cell} ceiling's read {hours}h"), pairs.collect());
        }
        if let Ok(command) = std::env::var("OPPORTUNE_RIVAL") {
            let chosen = rival(&command, &histories, &offer, world, hours);
            table.add(&view("rival"), world, &question, &chosen);
        }
    }
}

/// Forecast and true chances of messages at random times of the next week, a dozen a person, with
/// random contents, of everybody who may still be written to.
fn forecasts(
    world: &World,
    histories: &[PersonHistory],
    known: &[Preference],
    offer: &[Content],
    logging: &Logging,
    seed: u64,
) -> BTreeMap<String, Vec<Pair>> {
    const EACH: usize = 12;
    const WEEK_SECONDS: i64 = 7 * 86_400;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut pairs = BTreeMap::<String, Vec<Pair>>::new();
    let key: MessageKey = "any".parse().unwrap();
    for (index, (history, known)) in histories.iter().zip(known).enumerate() {
        if history.messages.iter().any(|message| message.response.opted_out_at.is_some()) {
            continue;
        }
        let person = world.person(index);
        for _ in 0..EACH {
            let content = &offer[random.gen_range(0..offer.len())];
            let at = until()
                + TimeDelta::days(2)
                + TimeDelta::seconds(random.gen_range(0..WEEK_SECONDS));
            let category = Category::Marketing;
            let sent = Sent { key: &key, at, content, category, recent: &[], campaign: None };
            let hour = person.week_hour(at);
            let mut add = |what: String, forecast: f32, truth: f64| {
                pairs.entry(what).or_default().push((f64::from(forecast), truth));
            };
            for hours in HOURS {
                let within = Duration::from_hours(hours);
                for (name, goal, outcome) in [
                    ("read", Goal::Read, Outcome::Read),
                    ("click", Goal::Click, Outcome::Click),
                    ("reply", Goal::Reply, Outcome::Reply),
                ] {
                    let forecast = known.chances(content, goal, within)[hour];
                    let truth = person.truth(&sent, outcome, within);
                    add(format!("{name} {hours}h"), forecast, truth);
                    if hours == 24 && logging.hour_chance(hour) > 0.0 {
                        add(format!("{name} {hours}h in logged hours"), forecast, truth);
                    }
                }
            }
            let ever = Duration::from_hours(24 * 14);
            let truth = person.truth(&sent, Outcome::OptOut, ever);
            add("opt-out".to_owned(), known.opt_out(content), truth);
            if logging.hour_chance(hour) > 0.0 {
                add("opt-out in logged hours".to_owned(), known.opt_out(content), truth);
            }
        }
    }
    pairs
}

/// What one who knows the world expects of these people.
fn ceiling(
    world: &World,
    histories: &[PersonHistory],
    question: &Question<'_>,
    seed: u64,
) -> Vec<Vec<Vec<f64>>> {
    let next = AtomicUsize::new(0);
    let tables: Vec<OnceLock<Vec<Vec<f64>>>> = histories.iter().map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(history) = histories.get(index) else { break };
                    let (person, effort) = (world.person(index), Effort::default());
                    let messages = &history.messages;
                    let table = expected(&person, messages, until(), question, effort, seed);
                    tables[index].set(table).expect("each is computed once");
                }
            });
        }
    });
    tables.into_iter().map(|table| table.into_inner().expect("all were computed")).collect()
}

/// The model's choices, and its expected calibration error over all hours and contents, in tenths.
fn ours(
    known: &[Preference],
    offer: &[Content],
    within: Duration,
    truth: &[Vec<Vec<f64>>],
) -> (Vec<Chosen>, f64) {
    let mut bins = [[0.0f64; 2]; 10];
    let mut chosen = Vec::with_capacity(known.len());
    for (preference, truth) in known.iter().zip(truth) {
        let mut best = (Chosen { hour: 0, content: 0 }, f32::NEG_INFINITY);
        for (content, what) in offer.iter().enumerate() {
            let chances = preference.chances(what, Goal::Read, within);
            for (hour, chance) in chances.into_iter().enumerate() {
                if chance > best.1 {
                    best = (Chosen { hour, content }, chance);
                }
                let bin = &mut bins[((chance * 10.0) as usize).min(9)];
                bin[0] += f64::from(chance) - truth[hour][content];
                bin[1] += 1.0;
            }
        }
        chosen.push(best.0);
    }
    let all: f64 = bins.iter().map(|bin| bin[1]).sum();
    (chosen, bins.iter().map(|bin| bin[0].abs()).sum::<f64>() / all)
}

/// When somebody read something, in local hours of the week, and how many days before the end.
fn reads(history: &PersonHistory, zone: chrono_tz::Tz) -> Vec<(usize, i64)> {
    let read = |message: &opportune::model::message::Message| {
        let at = message.response.read_at?;
        Some((week_hour(at, zone), (until() - at).num_days()))
    };
    history.messages.iter().filter_map(read).collect()
}

fn best(values: impl Iterator<Item = f64>) -> usize {
    let larger = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
    values.enumerate().fold((0, f64::NEG_INFINITY), larger).0
}

/// What a naive method chooses for everybody: the hour by read times, the content by shares read.
fn naive(method: &str, all: &[PersonHistory], offer: &[Content], world: &World) -> Vec<Chosen> {
    let reads: Vec<Vec<(usize, i64)>> =
        all.iter().enumerate().map(|(i, h)| reads(h, world.person(i).zone)).collect();
    let mut crowd = [0.05; WEEK];
    for own in &reads {
        own.iter().for_each(|(hour, _)| crowd[*hour] += 1.0 / own.len() as f64);
    }
    let total: f64 = crowd.iter().sum();
    let crowd = crowd.map(|x| x / total);
    let counts = |history: &PersonHistory, content: &Content| {
        let of = history.messages.iter().filter(|m| content_of(m) == *content);
        let (mut sent, mut read) = (0.0, 0.0);
        for message in of {
            sent += 1.0;
            read += f64::from(u8::from(message.response.read_at.is_some()));
        }
        (read, sent)
    };
    let liked: Vec<f64> = offer
        .iter()
        .map(|content| {
            let sums = all.iter().map(|h| counts(h, content));
            let (read, sent) = sums.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            read / f64::max(sent, 1.0)
        })
        .collect();
    let window = |week: &[f64; WEEK]| best((0..WEEK).map(|h| week[h] + week[(h + 1) % WEEK]));
    let by_hour = best((0..24).map(|h| (0..7).map(|d| crowd[d * 24 + h]).sum()));
    let choose = |(history, own): (&PersonHistory, &Vec<(usize, i64)>)| {
        let personal = |prior: &dyn Fn(usize) -> f64, shrink: f64| {
            let mut week: [f64; WEEK] = std::array::from_fn(prior);
            own.iter().for_each(|(hour, _)| week[*hour] += 1.0);
            let like = |(c, content): (usize, &Content)| {
                let (read, sent) = counts(history, content);
                (read + shrink * liked[c]) / (sent + shrink)
            };
            let content = best(offer.iter().enumerate().map(like));
            Chosen { hour: window(&week), content }
        };
        let content = best(liked.iter().copied());
        match method {
            "fixed hour" => Chosen { hour: 24 + by_hour, content },
            "weekday hour" => Chosen { hour: window(&crowd), content },
            "median rule" => Chosen { hour: median(own), content },
            "histogram" => personal(&|_| 1.0, 1.0),
            _ => personal(&|hour| 20.0 * crowd[hour], 5.0),
        }
    };
    all.iter().zip(&reads).map(choose).collect()
}

/// The most frequent weekday and the median hour of the last 60 days, with at least 5 events.
fn median(own: &[(usize, i64)]) -> usize {
    let recent: Vec<usize> = own.iter().filter(|(_, d)| *d <= 60).map(|(hour, _)| *hour).collect();
    if recent.len() < 5 {
        return 24 + 9;
    }
    let mut hours: Vec<usize> = recent.iter().map(|hour| hour % 24).collect();
    hours.sort_unstable();
    let day = best((0..7).map(|d| recent.iter().filter(|hour| *hour / 24 == d).count() as f64));
    let middle = (hours[(hours.len() - 1) / 2] + hours[hours.len() / 2]) / 2;
    day * 24 + (middle + 23) % 24
}

/// Lets the rival choose.
fn rival(
    command: &str,
    histories: &[PersonHistory],
    offer: &[Content],
    world: &World,
    hours: u64,
) -> Vec<Chosen> {
    let dir = tempfile::TempDir::new().expect("there is a temporary folder");
    let at = |at: Option<DateTime<Utc>>| {
        at.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
    };
    let mut recipients = "recipient,time_zone\n".to_owned();
    let mut messages =
        "message,recipient,media,style,sent_at,delivered_at,read_at,clicked_at,replied_at\n"
            .to_owned();
    for (index, history) in histories.iter().enumerate() {
        let key = &history.recipient.key;
        recipients.push_str(&format!("{key},{}\n", world.person(index).zone.name()));
        for message in &history.messages {
            let (content, r) = (content_of(message), &message.response);
            messages.push_str(&format!(
                "{},{key},{},{},{},{},{},{},{}\n",
                message.key,
                content.media,
                content.style.as_ref().map_or("", |style| style.as_str()),
                at(Some(message.sent_at)),
                at(r.delivered_at),
                at(r.read_at),
                at(r.clicked_at),
                at(r.replied_at)
            ));
        }
    }
    std::fs::write(dir.path().join("recipients.csv"), recipients).unwrap();
    std::fs::write(dir.path().join("messages.csv"), messages).unwrap();
    let plan = dir.path().join("plan.csv");
    let mut words = command.split_whitespace();
    let status = Command::new(words.next().expect("a command has a word"))
        .args(words)
        .args([dir.path(), &plan, Path::new("--within"), Path::new(&hours.to_string())])
        .stdout(Stdio::null())
        .status()
        .expect("the rival runs");
    assert!(status.success(), "the rival failed");
    let index: BTreeMap<&str, usize> =
        histories.iter().enumerate().map(|(i, h)| (h.recipient.key.as_str(), i)).collect();
    let mut chosen = vec![Chosen { hour: 0, content: 0 }; histories.len()];
    for row in csv::Reader::from_path(&plan).unwrap().records().map(Result::unwrap) {
        let person = index[&row[0]];
        let style = (!row[2].is_empty()).then(|| row[2].parse().unwrap());
        let content = Content { media: row[1].parse().unwrap(), style };
        let at: DateTime<Utc> = row[3].parse().unwrap();
        chosen[person] = Chosen {
            hour: week_hour(at, world.person(person).zone),
            content: offer.iter().position(|c| *c == content).expect("it is on offer"),
        };
    }
    chosen
}

/// Shares of the oracle's gain by cell, horizon and method, seed after seed.
#[derive(Default)]
struct Table {
    shares: BTreeMap<String, Vec<[f64; 3]>>,
    errors: BTreeMap<String, Vec<f64>>,
    forecasts: BTreeMap<String, Vec<Pair>>,
}

const VIEWS: [fn(&Score) -> Values; 3] = [|s| s.joint, |s| s.time, |s| s.content];

impl Table {
    fn add(&mut self, name: &str, world: &World, question: &Question<'_>, chosen: &[Chosen]) {
        let scores: Vec<Score> = chosen
            .iter()
            .enumerate()
            .map(|(index, chosen)| score(&world.person(index), question, *chosen))
            .collect();
        let share = |view: fn(&Score) -> Values| {
            Share::of(scores.iter().map(view)).map_or(0.0, |share| share.share)
        };
        self.shares.entry(name.to_owned()).or_default().push(VIEWS.map(share));
    }

    fn calibration(&mut self, name: &str, error: f64) {
        self.errors.entry(name.to_owned()).or_default().push(error);
    }

    fn mean(&self, name: &str) -> Option<[f64; 3]> {
        let seeds = self.shares.get(name)?;
        Some(std::array::from_fn(|v| seeds.iter().map(|s| s[v]).sum::<f64>() / seeds.len() as f64))
    }

    /// Jointly / in time / in content, per cent; for the rival also our share of its.
    fn print(&self, cell: &str) {
        let of_cell = |(name, _): &(&String, &Vec<Pair>)| name.starts_with(&format!("{cell} "));
        for (name, pairs) in self.forecasts.iter().filter(of_cell) {
            print(&format!("{name}: {}", Fit::of(pairs.clone())));
        }
        for hours in HOURS {
            let of = |method: &str| self.mean(&format!("{cell} {hours}h {method}"));
            let words = |s: [f64; 3]| s.map(|share| format!("{:.1}", 100.0 * share)).join(" / ");
            let mut line = format!("{cell} {hours}h:");
            for method in NAIVE.iter().chain(&["model", "rival", "of the same", "ceiling"]) {
                if let Some(share) = of(method) {
                    line.push_str(&format!("  {method} {}", words(share)));
                }
            }
            for (one, other) in [("model", "rival"), ("of the same", "ceiling")] {
                if let (Some(ours), Some(theirs)) = (of(one), of(other)) {
                    let ratio = ours.iter().zip(theirs).map(|(a, b)| format!("{:.3}", a / b));
                    let ratio = ratio.collect::<Vec<_>>().join(" / ");
                    line.push_str(&format!("  {one}/{other} {ratio}"));
                }
            }
            let errors = &self.errors[&format!("{cell} {hours}h calibration")];
            let error = errors.iter().sum::<f64>() / errors.len() as f64;
            line.push_str(&format!("  calibration error {error:.4}"));
            print(&line);
        }
    }

    fn sum_up(&self) {
        let total = |method: &str| -> f64 {
            let cells = self.shares.iter().filter(|(name, _)| name.ends_with(method));
            cells.flat_map(|(_, seeds)| seeds.iter().flatten()).sum()
        };
        let (ours, rival) = (total(" model"), total(" rival"));
        print(&format!("sum of all shares: model {ours:.3}, shrunk {:.3}", total(" shrunk")));
        if rival > 0.0 {
            print(&format!("rival {rival:.3}; model/rival {:.4}", ours / rival));
        }
    }
}
