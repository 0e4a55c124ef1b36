//! The optimum: plans come as close to what an exact solver finds as their certificates say.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use opportune::calendar::rules::Rules;
use opportune::model::delivery::Arm;
use opportune::model::slot::Slot;
use opportune::plan::{Booking, Carrier, Certificate, Plan, Setting, SlotLoad, values};

use crate::planning::exact::{self, Row};
use crate::planning::{Crowd, setting};
use crate::stage::{EASY, Stage};

/// A shape of capacity, and whose.
#[derive(Debug, Clone, Copy)]
struct Shape {
    people: usize,
    /// How long the window is; seven at most.
    days: u32,
    alike: bool,
    per_hour: Option<u32>,
    per_second: Option<f64>,
    unique_per_day: Option<u32>,
    /// Every so many hours one is full already.
    full_every: Option<usize>,
}

const OPEN: Shape = Shape {
    people: 120,
    days: 7,
    alike: false,
    per_hour: None,
    per_second: None,
    unique_per_day: None,
    full_every: None,
};

/// Plans a shape and returns the certificate beside what an exact solver finds in the plan's own
/// rows of values.
fn against_exact(shape: &Shape, seed: u64) -> (Certificate, f64) {
    let rules = Rules::built_in();
    let mut crowd = Crowd::mixed(shape.people, seed);
    if shape.alike {
        crowd = crowd.all_alike();
    }
    let capacity = |most| format!("[capacity]\nper_hour = {most}\n");
    let mut stage = Stage::of(crowd, &shape.per_hour.map_or(String::new(), capacity));
    stage.campaign.window.end -= TimeDelta::days(7 - i64::from(shape.days));
    let setting = Setting { seed, threads: 1, ..setting(&rules) };
    let first = Slot::holding(setting.now, setting.length).0;
    let full = shape.full_every.map(|every| (0..200).step_by(every)).into_iter().flatten();
    let most = shape.per_hour.unwrap_or(1);
    stage.booked = full
        .map(|hour| Booking {
            messages: most,
            ..Booking::none(Slot(first + hour as i64), Arm::Personalized)
        })
        .collect();
    let (per_second, unique_per_day) = (shape.per_second, shape.unique_per_day);
    let carrier = Carrier { per_second, unique_per_day, ..EASY };
    let plan = stage.plan(&setting, &carrier);
    let mut rows: Vec<Row> = Vec::new();
    stage.ask(|request| {
        values(&setting, &carrier, &[request], &mut |_, person, slot, value| {
            if value > 0.0 {
                rows.push((person, slot.0, value));
            }
        });
    });
    let reached = value_in(&rows, &plan);
    assert!((reached - plan.certificate.value).abs() < 1e-6 * reached.max(1.0));
    let room = |load: &SlotLoad| {
        let all = rows.len() as f64;
        load.capacity.map_or(all, |most| f64::from(most.saturating_sub(load.reserved)))
    };
    let slots: BTreeMap<i64, (f64, f64)> =
        plan.slots.iter().map(|load| (load.slot.0, (room(load), load.price))).collect();
    let mut groups: Vec<(Vec<i64>, f64)> =
        slots.iter().map(|(slot, (room, _))| (vec![*slot], *room)).collect();
    if let Some(most) = unique_per_day {
        let day = |first: &i64| (*first..first + 24).collect();
        groups.extend(slots.keys().map(|first| (day(first), f64::from(most))));
    } else {
        rows = exact::hopeful(&rows, &slots, reached);
    }
    (plan.certificate, exact::best_value(&rows, &groups))
}

/// What a plan is worth by the rows.
fn value_in(rows: &[Row], plan: &Plan) -> f64 {
    let worth: BTreeMap<(usize, i64), f64> =
        rows.iter().map(|(person, slot, value)| ((*person, *slot), *value)).collect();
    let planned = plan.deliveries.iter().enumerate().filter_map(|(person, delivery)| {
        delivery.choice.as_ref().map(|choice| worth[&(person, choice.slot.0)])
    });
    planned.sum()
}

fn agrees(shape: &Shape, seed: u64) {
    let (certificate, exact) = against_exact(shape, seed);
    let name = format!("{shape:?}, seed {seed}");
    assert!(certificate.value >= exact * 0.999 - 1e-6, "{name}: {} of {exact}", certificate.value);
    assert!(certificate.value <= exact * (1.0 + 1e-6) + 1e-6, "{name}: above the best, {exact}");
    assert!(certificate.bound >= exact * (1.0 - 1e-6) - 1e-6, "{name}: a bound below the best");
    assert!(certificate.gap() < 1e-3, "{name}: gap {}", certificate.gap());
}

/// All pairs of shapes and seeds, on two threads.
fn all_agree(shapes: &[Shape], seeds: std::ops::Range<u64>) {
    let cases: Vec<(&Shape, u64)> = (shapes.iter().enumerate())
        .flat_map(|(at, shape)| seeds.clone().map(move |seed| (shape, 100 * at as u64 + seed)))
        .collect();
    std::thread::scope(|scope| {
        for half in [0, 1] {
            let mine = cases.iter().skip(half).step_by(2);
            scope.spawn(move || mine.for_each(|(shape, seed)| agrees(shape, *seed)));
        }
    });
}

#[test]
fn small_plans_agree_with_an_exact_solver_whatever_the_capacity() {
    let shapes = [
        OPEN,
        // tight, some and most people refused
        Shape { per_hour: Some(3), ..OPEN },
        Shape { per_hour: Some(1), ..OPEN },
        Shape { people: 260, per_hour: Some(1), ..OPEN },
        // the provider's rate on its own and on top; hours that are full before
        Shape { per_second: Some(2.0 / 3600.0), ..OPEN },
        Shape { per_hour: Some(2), per_second: Some(1.0 / 3600.0), full_every: Some(3), ..OPEN },
        // nothing is left at all
        Shape { people: 40, per_hour: Some(2), full_every: Some(1), ..OPEN },
        // everybody alike: ties everywhere
        Shape { alike: true, per_hour: Some(1), ..OPEN },
        Shape { people: 260, alike: true, per_hour: Some(1), ..OPEN },
        Shape { people: 500, alike: true, per_hour: Some(4), ..OPEN },
    ];
    all_agree(&shapes, 0..3);
}

#[test]
fn large_plans_agree_with_an_exact_solver_whatever_the_capacity() {
    let shape = Shape { people: 2000, ..OPEN };
    let shapes = [
        shape,
        Shape { per_hour: Some(16), full_every: Some(3), ..shape },
        Shape { per_hour: Some(12), ..shape },
        Shape { per_hour: Some(6), ..shape },
        Shape { per_second: Some(10.0 / 3600.0), ..shape },
        Shape { per_hour: Some(8), per_second: Some(3.0 / 3600.0), full_every: Some(5), ..shape },
    ];
    all_agree(&shapes, 0..4);
}

#[test]
fn plans_under_the_moving_day_of_a_portfolio_come_close_to_fractions_of_people() {
    // the solver may send a part of a person here and a part there; a plan cannot, and is short of it
    // by a person or two, however many there are
    let shape = Shape { people: 600, days: 3, unique_per_day: Some(120), ..OPEN };
    std::thread::scope(|scope| {
        for (seed, per_hour) in [(1, None), (2, Some(8))] {
            scope.spawn(move || {
                let (certificate, exact) = against_exact(&Shape { per_hour, ..shape }, seed);
                let Certificate { value, .. } = certificate;
                assert!(value >= exact * 0.995, "{seed}: {value} of {exact}");
                assert!(value <= exact * (1.0 + 1e-6), "{seed}: above the best, {exact}");
                assert!(certificate.gap() < 5e-3, "{seed}: gap {}", certificate.gap());
            });
        }
    });
}
