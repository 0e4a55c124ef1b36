//! Whether messages are read soon: the model's chances judged on messages that it did not see.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::evaluate::{Estimate, bootstrap};

/// One held-out message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    /// Whether it was read in time.
    pub(super) soon: bool,
    /// The model's chance of it.
    pub(super) chance: f64,
    /// The model's chance for its hour alone, content left aside.
    pub(super) timing: f64,
    /// The weight of its hours in the person's shrunken histogram.
    pub(super) shrunk: f64,
    /// Older messages read soon, and older messages.
    pub(super) person: (f64, f64),
}

impl Trial {
    /// Soon is within so long: where timing shows.
    pub(super) const WITHIN: Duration = Duration::from_hours(2);
}

/// How well it was foretold which messages are read within two hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Messages {
    /// People with held-out messages.
    pub people: usize,
    /// Held-out messages.
    pub messages: usize,
    /// Share of them that was read within two hours.
    pub read: f64,
    /// Mean log-loss a message of the model's chance, in nats; means over people.
    pub loss: Estimate,
    /// The same of the person's own older share, shrunk to everybody's: who, without when.
    pub person_loss: Estimate,
    /// The same of everybody's share.
    pub population_loss: Estimate,
    /// Expected calibration error of the model's chances, in ten bins of equal size.
    pub calibration_error: f64,
    /// The bins: mean chance and share read.
    pub reliability: Vec<(f64, f64)>,
    /// Timing: how often, of two messages to the same person, the one that was read soon was sent
    /// at the hour that the model has higher; ½ is chance. Absent where no person has both kinds.
    pub timing: Option<Estimate>,
    /// The same for the person's shrunken histogram of read times.
    pub histogram_timing: Option<Estimate>,
}

/// Judges trials, given person by person.
pub(super) fn judge(people: &[Vec<Trial>], random: &mut ChaCha8Rng) -> Option<Messages> {
    const PSEUDO: f64 = 5.0;
    let people: Vec<&Vec<Trial>> = people.iter().filter(|trials| !trials.is_empty()).collect();
    let all: Vec<&Trial> = people.iter().copied().flatten().collect();
    if all.is_empty() {
        return None;
    }
    let (read, sent) = people
        .iter()
        .fold((1.0, 2.0), |(r, n), trials| (r + trials[0].person.0, n + trials[0].person.1));
    let base = read / sent;
    let mut loss = |chance: &dyn Fn(&Trial) -> f64| {
        let of_person = |trials: &&Vec<Trial>| {
            trials.iter().map(|t| log_loss(chance(t), t.soon)).sum::<f64>() / trials.len() as f64
        };
        bootstrap(&people.iter().map(of_person).collect::<Vec<f64>>(), random)
    };
    let losses = (
        loss(&|t| t.chance),
        loss(&|t| (t.person.0 + PSEUDO * base) / (t.person.1 + PSEUDO)),
        loss(&|_| base),
    );
    let mut timing = |score: fn(&Trial) -> f64| {
        let pairs: Vec<f64> =
            people.iter().filter_map(|trials| concordance(trials, score)).collect();
        (!pairs.is_empty()).then(|| bootstrap(&pairs, random))
    };
    let (timing, histogram_timing) = (timing(|t| t.timing), timing(|t| t.shrunk));
    let reliability = reliability(&all);
    Some(Messages {
        people: people.len(),
        messages: all.len(),
        read: all.iter().filter(|t| t.soon).count() as f64 / all.len() as f64,
        loss: losses.0,
        person_loss: losses.1,
        population_loss: losses.2,
        calibration_error: reliability.iter().map(|(p, y)| (p - y).abs()).sum::<f64>()
            / reliability.len() as f64,
        reliability,
        timing,
        histogram_timing,
    })
}

fn log_loss(chance: f64, happened: bool) -> f64 {
    let chance = chance.clamp(1e-6, 1.0 - 1e-6);
    -(if happened { chance } else { 1.0 - chance }).ln()
}

/// The share of a person's pairs, one read soon and one not, that a score has in the right order.
fn concordance(trials: &[Trial], score: fn(&Trial) -> f64) -> Option<f64> {
    let (mut right, mut pairs) = (0.0, 0.0);
    for soon in trials.iter().filter(|t| t.soon) {
        for late in trials.iter().filter(|t| !t.soon) {
            pairs += 1.0;
            right += match score(soon).total_cmp(&score(late)) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    (pairs > 0.0).then(|| right / pairs)
}

fn reliability(trials: &[&Trial]) -> Vec<(f64, f64)> {
    const BINS: usize = 10;
    let mut sorted: Vec<&Trial> = trials.to_vec();
    sorted.sort_by(|a, b| a.chance.total_cmp(&b.chance));
    let bin = |trials: &[&Trial]| {
        let n = trials.len() as f64;
        let soon = trials.iter().filter(|t| t.soon).count() as f64;
        (trials.iter().map(|t| t.chance).sum::<f64>() / n, soon / n)
    };
    sorted.chunks(sorted.len().div_ceil(BINS)).map(bin).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn trial(soon: bool, chance: f64) -> Trial {
        Trial { soon, chance, timing: chance, shrunk: 0.0, person: (1.0, 4.0) }
    }

    #[test]
    fn a_person_who_always_reads_says_nothing_of_timing() {
        assert_eq!(concordance(&[trial(true, 0.9), trial(true, 0.1)], |t| t.timing), None);
        let both = [trial(true, 0.9), trial(false, 0.1), trial(false, 0.95)];
        assert_eq!(concordance(&both, |t| t.timing), Some(0.5));
        assert_eq!(concordance(&both, |t| t.shrunk), Some(0.5));
    }

    #[test]
    fn true_chances_are_calibrated_and_others_are_not() {
        let people = |shift: f64| -> Vec<Vec<Trial>> {
            let one = |i: u32| {
                let chance = f64::from(i % 10) / 10.0 + 0.05;
                trial(f64::from(i / 10 % 20) / 20.0 + 0.025 < chance, chance * shift)
            };
            (0..200).map(|p| (0..4).map(|m| one(p * 4 + m)).collect()).collect()
        };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let good = judge(&people(1.0), &mut random).unwrap();
        let bad = judge(&people(0.5), &mut random).unwrap();
        assert!(good.calibration_error < 0.01, "{good:?}");
        assert!(bad.calibration_error > 0.2 && bad.loss.value > good.loss.value);
    }
}
