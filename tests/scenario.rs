//! The scenarios beside their expected outcomes, the same bytes everywhere, and a soak of seeds.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use opportune::replay::outcome::Outcome;
use opportune::replay::run;
use opportune::replay::scenario::Scenario;
use opportune::store::{Create, Store};
use support::on_both;

/// With this variable set, expected outcomes are written instead of compared.
const UPDATE: &str = "OPPORTUNE_UPDATE_EXPECTED";
/// How many seeds of each scenario with faults the soak runs; one unless set.
const SOAK: &str = "OPPORTUNE_SOAK_SEEDS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn scenarios() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    found.sort();
    assert!(found.len() >= 12, "{found:?}");
    found
}

/// Replays a scenario from the command line; what it told, if that is not what is expected.
fn surprise(path: &Path) -> Option<String> {
    let run = Command::new(env!("CARGO_BIN_EXE_opportune"))
        .arg("replay")
        .arg(path)
        .env("OPPORTUNE_LOG", "error")
        .output()
        .unwrap();
    let told = String::from_utf8(run.stdout).unwrap();
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{}: {errors}\n{told}", path.display());
    let expected = path.with_extension("expected");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&expected, &told).unwrap();
        return None;
    }
    let same = std::fs::read_to_string(&expected).unwrap_or_default() == told;
    (!same).then(|| format!("{}\n{told}", path.display()))
}

#[test]
fn every_scenario_ends_as_expected() {
    let paths = Mutex::new(scenarios().into_iter());
    let next = || paths.lock().unwrap().next();
    let surprises = || {
        let mut told = Vec::new();
        while let Some(path) = next() {
            told.extend(surprise(&path));
        }
        told
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let told: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(surprises)).collect();
        running.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(told.is_empty(), "set {UPDATE}=1 if this is right:\n{}", told.join("\n"));
}

#[test]
fn policies_that_are_asked_for_take_the_place_of_the_file_s() {
    let replay = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opportune"));
        command.arg("replay").args(more).args(["--policy", "fixed", "--policy", "random"]);
        command.env("OPPORTUNE_LOG", "error").output().unwrap()
    };
    let shown = replay(&["scenarios/calm.toml", "--seed", "1"]);
    let told = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{told}");
    assert!(told.contains("| fixed ") && told.contains("| random "), "{told}");
    assert!(!told.contains("| model "), "{told}");
    // what history says of other policies says it of all of them
    let refused = replay(&["--history"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--policy"));
}

fn bytes(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).unwrap() + &format!("{:?}", outcome.by_person)
}

/// Two databases, and two runtimes: what is told depends on neither.
#[test]
fn the_same_seed_gives_the_same_bytes_on_both_databases_and_any_number_of_threads() {
    let scenario = Scenario::load(&folder().join("storm.toml")).unwrap();
    let mut told = Vec::new();
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let many = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for runtime in [one, many] {
        let told = std::cell::RefCell::new(&mut told);
        runtime.block_on(on_both(async |store| {
            let outcome =
                run::one(&scenario, scenario.script.policies[0], 3, store, |_| {}).await.unwrap();
            told.borrow_mut().push(bytes(&outcome));
        }));
    }
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|other| *other == told[0]), "{told:#?}");
}

#[tokio::test]
async fn faults_and_then_calm_break_no_rule() {
    let seeds: u64 = std::env::var(SOAK).ok().map_or(1, |count| count.parse().unwrap());
    let mut broken = Vec::new();
    let faulty = scenarios().into_iter().map(|path| Scenario::load(&path).unwrap());
    let faulty = faulty.filter(|scenario| !scenario.script.events.is_empty());
    for scenario in faulty {
        for seed in 1000..1000 + seeds {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}", dir.path().join("replay.db").display());
            let store = Store::open(&url, Create::Scratch).await.unwrap();
            let policy = scenario.script.policies[0];
            let outcome = run::one(&scenario, policy, seed, store, |_| {}).await.unwrap();
            broken.extend(outcome.broken.iter().map(|rule| {
                let name = &scenario.script.name;
                format!("{rule}; `opportune replay scenarios/{name}.toml --seed {seed}` repeats it")
            }));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
