//! The known-truth worlds by name. Those beside `friendly` and `hostile` are of another make than the
//! learner: people look in sessions. Each adds one thing that real histories have. Frozen: what is
//! learned is judged by them, and nothing is tuned to them.

use chrono::TimeDelta;

use super::logging::Count;
use super::spec::{Drift, Habit, Luck, Spec};
use crate::model::time::Instant;

/// A world, and how much its people were sent, where it says that.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// What it is made of.
    pub spec: Spec,
    /// Messages a person; absent: as many as the caller likes.
    pub messages: Option<Count>,
}

/// All names, in the order of the reports.
pub const NAMES: [&str; 9] =
    ["friendly", "hostile", "sessions", "receipts", "seconds", "shops", "luck", "wear", "drift"];

/// Rhythms change so long before the end of the history.
const DRIFT_BEFORE: TimeDelta = TimeDelta::days(42);

/// The world of a name, with a history that ends at `until`.
pub fn frozen(name: &str, until: Instant) -> Option<Frozen> {
    let sessions = Spec {
        habit: Habit::Sessions,
        receipts_off: 0.0,
        failures: 0.0,
        opt_out: 0.003,
        crowding: 0.0,
        ..Spec::friendly()
    };
    let mut messages = None;
    let spec = match name {
        "friendly" => Spec::friendly(),
        "hostile" => Spec::hostile(),
        "sessions" => sessions,
        // a third tell no reads
        "receipts" => Spec { receipts_off: 1.0 / 3.0, ..sessions },
        // stamps of whole seconds, readers within seconds, and machines
        "seconds" => Spec { whole_seconds: true, prompt_readers: 0.4, scanners: 0.05, ..sessions },
        // 0 to 5,000 messages a person
        "shops" => {
            messages = Some(Count::Tailed { median: 8.0, spread: 2.0, most: 5_000 });
            Spec { opt_out: 0.000_3, ..sessions }
        }
        // campaigns of 10 to 30 % different luck
        "luck" => Spec { campaign_luck: Some(Luck { least: 0.1, most: 0.3 }), ..sessions },
        // what somebody likes wears off, and something else takes its place
        "wear" => Spec { taste_half_life_weeks: Some(4.0), ..sessions },
        // a fifth live by another rhythm from a day on
        "drift" => {
            let drift = Some(Drift { share: 0.2, at: until - DRIFT_BEFORE });
            Spec { drift, ..sessions }
        }
        _ => return None,
    };
    Some(Frozen { spec, messages })
}
