//! The histories over which forecasts and choices are measured: logging policies and amounts.

use chrono::{DateTime, Utc};
use opportune::learn::Settings;
use opportune::world::logging::Policy;

pub const POLICIES: [(&str, Policy); 3] = [
    ("fixed", Policy::Fixed { hour: 10 }),
    ("business", Policy::Business),
    ("uniform", Policy::Uniform),
];
/// Messages a person, and the weeks that they came in.
pub const MESSAGES: [(u32, u32); 3] = [(6, 8), (24, 16), (96, 40)];
pub const HOURS: [u64; 2] = [2, 24];

/// The date of learning.
pub fn until() -> DateTime<Utc> {
    DateTime::from_timestamp(1_777_852_800, 0).expect("it is a date")
}

/// How it is learned: with `OPPORTUNE_UNTUNED` set, hyper-parameters stay where the search for them begins.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    if std::env::var_os("OPPORTUNE_UNTUNED").is_some() {
        settings.tune_min = usize::MAX;
    }
    settings
}

/// Two numbers, or what is usual, and a filter, as they are given to a bench.
pub fn asked([first, second]: [u32; 2]) -> (u32, u32, String) {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number =
        |place: usize, usual| args.get(place).and_then(|a| a.parse().ok()).unwrap_or(usual);
    (number(0, first), number(1, second), args.get(2).cloned().unwrap_or_default())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
pub fn print(line: &str) {
    println!("{line}");
}
