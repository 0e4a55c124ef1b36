//! What is forecast of the chosen, beside the truth: for each world, logging policy and amount of
//! history the hour and content with the highest chance to be read within 2 and within 24 hours are
//! chosen for everybody, and the corrected chances are compared to the true ones, in all and by fifths
//! of the forecast.
//!
//! `cargo bench --bench forecasts -- [PEOPLE] [SEED] [FILTER]`: 1,500 people and seed 1 unless said;
//! FILTER keeps the cells whose name holds one of its parts, such as `sessions business 24`. Beside
//! the frozen worlds stand their kin, of the same make with other numbers, whose names begin with
//! `kin-`: whoever changes the correction looks at these, and judges by the frozen ones. With
//! `OPPORTUNE_UNTUNED` set, hyper-parameters stay where the search for them begins.

mod cells;
mod forecast;

use std::time::Duration;

use chrono::TimeDelta;
use opportune::learn::{Contents, fit};
use opportune::world::World;
use opportune::world::frozen::{Frozen, NAMES, frozen};
use opportune::world::history::PersonHistory;
use opportune::world::logging::{Count, Logging};
use opportune::world::spec::{Drift, Luck, Pace, Spec};

use self::cells::{HOURS, MESSAGES, POLICIES, asked, print, settings, until};
use self::forecast::{Fit, Pair, chosen, evidence_of, subjects};

/// How far from 1 the forecast over the truth may be: in all, and in every fifth.
const TARGETS: [f64; 2] = [0.03, 0.08];
const KIN: [&str; 8] = [
    "kin-friendly",
    "kin-hostile",
    "kin-sessions",
    "kin-daily",
    "kin-weekly",
    "kin-shops",
    "kin-wear",
    "kin-drift",
];

fn main() {
    let (people, seed, filter) = asked([1500, 1]);
    let mut sums = Sums::default();
    for world in NAMES.into_iter().chain(KIN) {
        let Frozen { spec, messages: own } =
            frozen(world, until()).or_else(|| kin(world)).expect("it has the name");
        for (name, policy) in POLICIES {
            for (messages, weeks) in MESSAGES {
                let cell = format!("{world} {name} {messages}");
                // who has messages of their own has them but once
                if !filter.split(',').any(|part| format!(" {cell} ").contains(part))
                    || own.is_some() && messages != MESSAGES[1].0
                {
                    continue;
                }
                let spec = Spec { people, ..spec.clone() };
                let messages = own.unwrap_or(Count::Exact(messages));
                let logging = Logging { policy, weeks, messages, ..Logging::demo(until()) };
                run(&cell, &World::new(&spec, seed.into()).unwrap(), &logging, &mut sums);
            }
        }
    }
    sums.print();
}

/// Worlds of the make of the frozen ones, with other numbers.
fn kin(name: &str) -> Option<Frozen> {
    let of = |name: &str| frozen(name, until()).expect("it has the name").spec;
    let paces = |weekly: f64, daily: f64, often: f64| {
        [(Pace::Weekly, weekly), (Pace::Daily, daily), (Pace::Often, often)].into()
    };
    let mut messages = None;
    let spec = match name {
        "kin-friendly" => Spec { taste_spread: 0.4, receipts_off: 0.05, ..of("friendly") },
        "kin-hostile" => Spec { taste_spread: 0.8, receipts_off: 0.25, ..of("hostile") },
        "kin-sessions" => {
            Spec { paces: paces(0.15, 0.6, 0.25), taste_spread: 0.4, ..of("sessions") }
        }
        "kin-daily" => Spec { newcomers: 0.0, ..Spec::demo() },
        "kin-weekly" => Spec {
            paces: paces(0.6, 0.2, 0.2),
            prompt_readers: 0.2,
            receipts_off: 0.15,
            ..of("sessions")
        },
        "kin-shops" => {
            messages = Some(Count::Tailed { median: 15.0, spread: 1.4, most: 2_000 });
            Spec { taste_spread: 0.5, ..of("shops") }
        }
        "kin-wear" => Spec {
            taste_half_life_weeks: Some(8.0),
            campaign_luck: Some(Luck { least: 0.05, most: 0.25 }),
            ..of("sessions")
        },
        "kin-drift" => {
            let drift = Some(Drift { share: 0.35, at: until() - TimeDelta::days(25) });
            Spec { drift, ..of("friendly") }
        }
        _ => return None,
    };
    Some(Frozen { spec, messages })
}

/// One history: what is chosen for everybody, and how its forecast lies to the truth.
fn run(cell: &str, world: &World, logging: &Logging, sums: &mut Sums) {
    let histories: Vec<PersonHistory> = world.history(logging).collect();
    let mut contents = Contents::default();
    let evidence = evidence_of(&histories, &mut contents);
    let subjects = subjects(world, &evidence);
    let settings = settings();
    let model = fit(&subjects, &contents, &settings, until(), 1, &mut |_, _| {}).unwrap();
    let week = until() + TimeDelta::days(2);
    let mut pairs: [[Vec<Pair>; 2]; 2] = Default::default();
    for (index, subject) in subjects.iter().enumerate() {
        if histories[index].messages.iter().any(|m| m.response.opted_out_at.is_some()) {
            continue;
        }
        let (person, known) = (world.person(index), model.preference(subject, until()));
        for (hours, pairs) in HOURS.into_iter().zip(&mut pairs) {
            let within = Duration::from_hours(hours);
            let found = chosen(&person, &known, contents.list(), (week, within));
            pairs.iter_mut().zip(found).for_each(|(pairs, pair)| pairs.push(pair));
        }
    }
    for (hours, pairs) in HOURS.into_iter().zip(pairs) {
        let [raw, corrected] = pairs.map(Fit::of);
        sums.add(&corrected);
        let fifths = corrected.ratios.map(|ratio| format!("{ratio:.2}")).join(" ");
        let truth = corrected.truth.iter().sum::<f64>() / 5.0;
        print(&format!(
            "{cell:28} {hours:2}h: truth {truth:.3}  as it is {:.3}  corrected {:.3}  by fifths {fifths}",
            raw.total, corrected.total
        ));
    }
}

/// How often forecasts hold what is wanted, and how far they are from the truth.
#[derive(Default)]
struct Sums {
    cells: f64,
    held: [f64; 2],
    off: [f64; 2],
    log: f64,
}

impl Sums {
    fn add(&mut self, fit: &Fit) {
        self.cells += 1.0;
        let worst = fit.ratios.iter().map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max);
        for (at, off) in [(fit.total - 1.0).abs(), worst].into_iter().enumerate() {
            self.held[at] += f64::from(u8::from(off <= TARGETS[at]));
            self.off[at] += off;
        }
        self.log += fit.total.ln();
    }

    fn print(&self) {
        let Self { cells, held, off, log } = self;
        print(&format!(
            "{cells} forecasts: {} within 3 % in all, {} within 8 % in every fifth; {:.3} off on average \
             in all (mean log {:.3}), {:.3} in the worst fifth",
            held[0],
            held[1],
            off[0] / cells,
            log / cells,
            off[1] / cells
        ));
    }
}
