//! How fast history comes in: `import messages` into SQLite beside a plain `sqlite3 .import` of the
//! same file, in the same run.
//!
//! `cargo bench --bench import -- [PEOPLE]`: 24 messages a person, 208,334 people unless said, which
//! makes 5 million rows. Prints rows a second, their ratio and the importer's peak memory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::DateTime;
use opportune::files::{MessageLine, write_messages};
use opportune::world::World;
use opportune::world::logging::{Count, Logging, Policy};
use opportune::world::spec::Spec;

const MESSAGES: u32 = 24;

fn main() {
    let people = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(208_334);
    let dir = tempfile::TempDir::new().expect("there is a temporary folder");
    let file = dir.path().join("messages.csv");
    let rows = generate(&file, people);
    let size = std::fs::metadata(&file).expect("the file was written").len();
    report(&format!("{rows} rows, {} MB", size / 1_000_000));

    let binary = env!("CARGO_BIN_EXE_opportune");
    let init = Command::new(binary).args(["init", "."]).current_dir(&dir).output();
    assert!(init.expect("the binary runs").status.success());
    let mut import = Command::new(binary);
    import.args(["import", "messages", "messages.csv"]);
    let (ours, memory) = run(import.current_dir(&dir));
    report(&format!("opportune import: {} rows/s, peak {} MB", rate(rows, ours), memory / 1000));

    let mut plain = Command::new("sqlite3");
    plain.args(["plain.db", ".mode csv", ".import messages.csv messages"]);
    let (peer, _) = run(plain.current_dir(&dir));
    report(&format!(
        "sqlite3 .import:  {} rows/s, without types, checks or keys",
        rate(rows, peer)
    ));
    report(&format!("ratio: {:.2}", peer.as_secs_f64() / ours.as_secs_f64()));
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn report(line: &str) {
    println!("{line}");
}

fn rate(rows: u64, time: Duration) -> u64 {
    (rows as f64 / time.as_secs_f64()) as u64
}

fn generate(file: &Path, people: u32) -> u64 {
    let spec = Spec { people, ..Spec::friendly() };
    let world = World::new(&spec, 1).expect("the friendly world is within its bounds");
    let until = DateTime::from_timestamp(1_780_272_000, 0).expect("it is a date");
    let logging = Logging {
        policy: Policy::Uniform,
        messages: Count::Exact(MESSAGES),
        ..Logging::demo(until)
    };
    let mut rows = 0;
    let messages = world.history(&logging).flat_map(|person| {
        let key = person.recipient.key;
        rows += person.messages.len() as u64;
        person
            .messages
            .into_iter()
            .map(move |message| MessageLine { recipient: key.clone(), message })
    });
    write_messages(file, messages).expect("the temporary folder has room");
    rows
}

/// Runs a command; its time and its peak memory in kB.
fn run(command: &mut Command) -> (Duration, u64) {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let mut peak = 0;
    loop {
        peak = peak.max(memory(&child).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("it is our child") {
            assert!(status.success(), "{command:?} failed");
            return (began.elapsed(), peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn memory(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
