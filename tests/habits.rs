//! Real people's habits, where the data lies beside the project: what was learned from the older
//! part of each person's events tells the newer part better than the population does.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Timelike};
use flate2::read::GzDecoder;
use opportune::calendar::zone::local;
use support::Workspace;

/// One person in so many is enough to tell the methods apart.
const ONE_IN: u32 = 3;

fn is_chosen(person: &str) -> bool {
    person.bytes().map(u32::from).sum::<u32>().is_multiple_of(ONE_IN)
}

/// The rows of those who were chosen.
fn chosen(file: &Path) -> String {
    let mut reader = csv::Reader::from_reader(GzDecoder::new(std::fs::File::open(file).unwrap()));
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(reader.headers().unwrap()).unwrap();
    for row in reader.records().map(Result::unwrap).filter(|row| is_chosen(&row[0])) {
        rows.write_record(&row).unwrap();
    }
    String::from_utf8(rows.into_inner().unwrap()).unwrap()
}

/// Local weekday and hour of each person's events.
type Events = BTreeMap<String, Vec<(usize, usize)>>;

fn events(file: &Path, zone: chrono_tz::Tz) -> Events {
    let mut events = Events::new();
    let mut reader = csv::Reader::from_reader(GzDecoder::new(std::fs::File::open(file).unwrap()));
    for row in reader.records().map(Result::unwrap).filter(|row| is_chosen(&row[0])) {
        let at = local(DateTime::parse_from_rfc3339(&row[1]).unwrap().to_utc(), zone);
        let day = at.weekday().num_days_from_monday() as usize;
        events.entry(row[0].to_owned()).or_default().push((day, at.hour() as usize));
    }
    events
}

fn preferences(file: &Path) -> BTreeMap<String, Vec<f64>> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let row = |row: csv::StringRecord| {
        (row[0].to_owned(), (4..172).map(|cell| row[cell].parse().unwrap()).collect())
    };
    reader.records().map(Result::unwrap).map(row).collect()
}

/// The cell of a weekday and hour.
type Cell = fn(usize, usize) -> usize;

/// The two systems of cells, each with how many there are.
const SYSTEMS: [(usize, Cell); 2] = [(24, |_, hour| hour), (42, |day, hour| day * 6 + hour / 4)];

/// Mean over people of their mean log-loss, in nats.
fn loss(test: &Events, system: usize, share: impl Fn(&str) -> Vec<f64>) -> f64 {
    let (_, cell) = SYSTEMS[system];
    let of_person = |(person, events): (&String, &Vec<(usize, usize)>)| {
        let share = share(person);
        let loss: f64 = events.iter().map(|(d, h)| -share[cell(*d, *h)].max(1e-12).ln()).sum();
        loss / events.len() as f64
    };
    test.iter().map(of_person).sum::<f64>() / test.len() as f64
}

fn cells(system: usize, week: &[f64]) -> Vec<f64> {
    let (count, cell) = SYSTEMS[system];
    let mut cells = vec![0.0; count];
    for (hour, share) in week.iter().enumerate() {
        cells[cell(hour / 24, hour % 24)] += share;
    }
    cells
}

fn beats_the_population(set: &str, zone: chrono_tz::Tz) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let data = root.parent().unwrap().join("shared/data").join(set);
    if !data.exists() {
        eprintln!("passed over: the data set {set} is not beside the project");
        return;
    }
    let workspace = Workspace::new();
    for (what, name) in [("recipients", "recipients.csv"), ("activity", "train.csv")] {
        workspace.write(name, &chosen(&data.join(name).with_extension("csv.gz")));
        workspace.ok(&["import", what, name]);
    }
    workspace.ok(&["learn"]);
    workspace.ok(&["preferences", "export", "--out", "p.csv"]);
    let preferences = preferences(&workspace.path("p.csv"));
    let (train, test) =
        (events(&data.join("train.csv.gz"), zone), events(&data.join("test.csv.gz"), zone));
    for system in [0, 1] {
        // the mean of the people's own shares, so that the busy do not speak for all
        let mut population = vec![1.0 / 168.0; 168];
        for events in train.values() {
            for (day, hour) in events {
                population[day * 24 + hour] += 1.0 / events.len() as f64;
            }
        }
        let sum: f64 = population.iter().sum();
        let population: Vec<f64> = cells(system, &population).iter().map(|p| p / sum).collect();
        let ours = loss(&test, system, |person| cells(system, &preferences[person]));
        let theirs = loss(&test, system, |_| population.clone());
        eprintln!("{set}, {} cells: {ours:.4}, population {theirs:.4}", SYSTEMS[system].0);
        assert!(ours < theirs, "{set}: {ours} is no better than the population's {theirs}");
    }
}

#[test]
fn customers_of_a_shop() {
    beats_the_population("retail", chrono_tz::Europe::London);
}

#[test]
fn authors_of_a_forum() {
    beats_the_population("mathoverflow", chrono_tz::UTC);
}
