//! What another policy would have brought, from messages that were sent at random with known
//! probabilities: inverse propensity scores, the same normalized, and the doubly robust estimate.
//!
//! Pure. Rewards are yes or no, so that values are shares: no value and no end of an interval leaves
//! [0, 1]. Intervals are clustered by person. Where the log hardly ever did what the policy would
//! do, there is no estimate: [`TooThin`] says how thin the overlap is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::learn::statistics::estimate::{Estimate, Z};

/// Below this effective sample size an interval means little.
pub const EFFECTIVE_MIN: f64 = 200.0;
/// People below whom clusters say nothing of their spread.
const PEOPLE_MIN: usize = 30;

/// One message of the log.
#[derive(Debug, Clone, Copy)]
pub struct LoggedMessage {
    /// Whose: messages of one person are not independent.
    pub person: u64,
    /// The probability with which the log did what it did; above 0.
    pub logged: f64,
    /// The probability with which the policy would have done the same.
    pub target: f64,
    /// What it brought: 1 for an engagement, 0 for none.
    pub reward: f64,
    /// What a model expects of what was done.
    pub expected: f64,
    /// What a model expects of the policy: the mean of its expectations over what it would do.
    pub expected_of_target: f64,
}

/// Three estimates of one policy's value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OffPolicyValue {
    /// Inverse propensity scores: unbiased, and wide (Horvitz and Thompson, JASA 47, 1952).
    pub ips: Estimate,
    /// The same divided by the mean weight: a little biased, and much narrower (Swaminathan and
    /// Joachims, NIPS 2015).
    pub snips: Estimate,
    /// A model, corrected by what the log shows of its errors (Dudík, Langford and Li, ICML 2011),
    /// the correction divided by the mean weight.
    pub doubly_robust: Estimate,
    /// The overlap that it rests on.
    pub overlap: Overlap,
}

/// How much of a log speaks of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overlap {
    /// Messages.
    pub messages: usize,
    /// People.
    pub people: usize,
    /// Messages that did what the policy might have done.
    pub matching: usize,
    /// As many messages drawn by the policy itself would tell as much: (Σw)² / Σw² (Kish, 1965).
    pub effective: f64,
    /// The largest weight.
    pub largest_weight: f64,
}

/// There is no estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, thiserror::Error)]
#[error(
    "the overlap is too thin: {} messages of {} people did what the policy would do, worth {:.0} \
     of its own; {EFFECTIVE_MIN} are needed, and {PEOPLE_MIN} people",
    .0.matching, .0.people, .0.effective
)]
pub struct TooThin(pub Overlap);

/// Estimates what the policy would have brought.
pub fn value(log: &[LoggedMessage]) -> Result<OffPolicyValue, TooThin> {
    let weight = |row: &LoggedMessage| {
        assert!(row.logged > 0.0, "what was done had a chance");
        row.target / row.logged
    };
    let overlap = overlap(log, &weight);
    if overlap.effective < EFFECTIVE_MIN || overlap.people < PEOPLE_MIN {
        return Err(TooThin(overlap));
    }
    let n = log.len() as f64;
    let mean_weight = log.iter().map(weight).sum::<f64>() / n;
    // a ratio, linearized: each message moves it by its weighted distance from it
    let ratio = |figure: &dyn Fn(&LoggedMessage) -> f64| {
        log.iter().map(|row| weight(row) * figure(row)).sum::<f64>() / n / mean_weight
    };
    let snips = ratio(&|row| row.reward);
    let error = ratio(&|row| row.reward - row.expected);
    let share = |figure: Figure| figure.share(overlap.effective);
    Ok(OffPolicyValue {
        ips: share(mean(log, |row| weight(row) * row.reward)),
        snips: share(mean(log, |row| snips + weight(row) * (row.reward - snips) / mean_weight)),
        doubly_robust: share(mean(log, |row| {
            let residual = row.reward - row.expected - error;
            row.expected_of_target + error + weight(row) * residual / mean_weight
        })),
        overlap,
    })
}

/// What a single coin for every message's policy would say of the log itself: its mean reward.
pub fn logged_value(log: &[LoggedMessage]) -> Estimate {
    mean(log, |row| row.reward).share(log.len() as f64)
}

fn overlap(log: &[LoggedMessage], weight: &impl Fn(&LoggedMessage) -> f64) -> Overlap {
    let (mut sum, mut squares, mut most, mut matching) = (0.0, 0.0, 0.0f64, 0);
    for weight in log.iter().map(weight).filter(|weight| *weight > 0.0) {
        sum += weight;
        squares += weight * weight;
        most = most.max(weight);
        matching += 1;
    }
    let mut people: Vec<u64> = log.iter().map(|row| row.person).collect();
    people.sort_unstable();
    people.dedup();
    let effective = if squares > 0.0 { sum * sum / squares } else { 0.0 };
    Overlap { messages: log.len(), people: people.len(), matching, effective, largest_weight: most }
}

/// An estimate of a share and its standard error.
#[derive(Clone, Copy)]
struct Figure {
    value: f64,
    error: f64,
}

impl Figure {
    /// With the interval of Wilson (JASA 22, 1927) for as many yes-and-noes as the standard error
    /// is worth: it keeps to [0, 1]. `effective` is their number where all are alike.
    fn share(self, effective: f64) -> Estimate {
        let value = self.value.clamp(0.0, 1.0);
        let spread = value * (1.0 - value);
        let is_sure = spread <= 0.0 || self.error <= 0.0;
        let n = if is_sure { effective } else { spread / (self.error * self.error) };
        let middle = (value + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (spread / n + Z * Z / (4.0 * n * n)).sqrt();
        let (mut low, mut high) = (middle - half, middle + half);
        if is_sure {
            // the value was cut: the error goes on around what it was
            low = low.min(self.value - Z * self.error);
            high = high.max(self.value + Z * self.error);
        }
        Estimate { value, low: low.clamp(0.0, value), high: high.clamp(value, 1.0) }
    }
}

/// The mean of a figure over messages, with a standard error clustered by person (Liang and Zeger,
/// Biometrika 73, 1986), corrected for the number of people.
fn mean(log: &[LoggedMessage], figure: impl Fn(&LoggedMessage) -> f64) -> Figure {
    let n = log.len() as f64;
    let value = log.iter().map(&figure).sum::<f64>() / n;
    let mut by_person: BTreeMap<u64, f64> = BTreeMap::new();
    for row in log {
        *by_person.entry(row.person).or_default() += figure(row) - value;
    }
    let people = by_person.len() as f64;
    let squares: f64 = by_person.values().map(|sum| sum * sum).sum();
    let error = (squares * people / (people - 1.0).max(1.0)).sqrt() / n;
    Figure { value, error }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const ACTIONS: usize = 6;

    /// A log of `people` with several messages each: people differ in level and in which action
    /// suits them; a policy that knows a little of it; and its true value.
    fn simulated(people: u64, seed: u64) -> (Vec<LoggedMessage>, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut log, mut truth, mut count) = (Vec::new(), 0.0, 0.0);
        // logged with chances of their own: nothing is uniform
        let logged = [0.3, 0.2, 0.15, 0.15, 0.1, 0.1];
        for person in 0..people {
            let level: f64 = random.gen_range(0.05..0.35);
            let best = random.gen_range(0..ACTIONS);
            let chance = |action: usize| level * if action == best { 1.8 } else { 0.8 };
            // right about six people of ten
            let predict = if random.gen_bool(0.6) { best } else { random.gen_range(0..ACTIONS) };
            let target = |action: usize| if action == predict { 0.85 } else { 0.03 };
            // a model that is wrong about everybody's level
            let model = |action: usize| if action == predict { 0.3 } else { 0.12 };
            for _ in 0..random.gen_range(2..8) {
                truth += (0..ACTIONS).map(|a| target(a) * chance(a)).sum::<f64>();
                count += 1.0;
                let mut draw: f64 = random.r#gen();
                let action = (0..ACTIONS - 1)
                    .find(|action| {
                        draw -= logged[*action];
                        draw < 0.0
                    })
                    .unwrap_or(ACTIONS - 1);
                let reward = f64::from(u8::from(random.gen_bool(chance(action))));
                log.push(LoggedMessage {
                    person,
                    logged: logged[action],
                    target: target(action),
                    reward,
                    expected: model(action),
                    expected_of_target: (0..ACTIONS).map(|a| target(a) * model(a)).sum(),
                });
            }
        }
        (log, truth / count)
    }

    /// The truth is that of a population from which all people of a log are drawn.
    #[test]
    fn intervals_hold_the_truth_nineteen_times_in_twenty() {
        let truth = simulated(100_000, 1).1;
        let mut held = [0u32; 3];
        for seed in 0..1000 {
            let value = value(&simulated(500, 1000 + seed).0).unwrap();
            let all = [value.ips, value.snips, value.doubly_robust];
            for (held, estimate) in held.iter_mut().zip(all) {
                *held += u32::from(estimate.holds(truth));
            }
        }
        for (held, what) in held.into_iter().zip(["ips", "snips", "dr"]) {
            assert!((930..=970).contains(&held), "{what}: {held} of 1000");
        }
    }

    #[test]
    fn normalizing_and_modelling_narrow_the_interval() {
        let value = value(&simulated(2_000, 7).0).unwrap();
        let width = |estimate: Estimate| estimate.high - estimate.low;
        assert!(width(value.snips) < width(value.ips));
        assert!(width(value.doubly_robust) < width(value.ips));
        assert!(value.overlap.largest_weight <= 8.5 + 1e-9);
    }

    #[test]
    fn a_thin_overlap_is_refused() {
        let (mut log, _) = simulated(300, 3);
        for row in log.iter_mut().skip(50) {
            row.target = 0.0;
        }
        let TooThin(overlap) = value(&log).unwrap_err();
        assert!(overlap.effective < EFFECTIVE_MIN && overlap.matching <= 50);
        assert!(value(&[]).is_err());
    }

    #[test]
    fn the_policy_of_the_log_itself_is_worth_what_it_brought() {
        let (mut log, _) = simulated(500, 5);
        log.iter_mut().for_each(|row| row.target = row.logged);
        let own = value(&log).unwrap();
        let logged = logged_value(&log);
        assert!((own.ips.value - logged.value).abs() < 1e-12);
        assert!((own.snips.value - logged.value).abs() < 1e-12);
        assert!((own.overlap.effective - log.len() as f64).abs() < 1e-6);
    }

    #[test]
    fn no_value_and_no_interval_of_a_share_leaves_nought_to_one() {
        for (reward, logged) in [(1.0, 0.05), (0.0, 0.05), (1.0, 1.0), (0.0, 1.0)] {
            for expected in [0.0, 0.5, 1.0] {
                let row = |person| LoggedMessage {
                    person,
                    logged: if person % 2 == 0 { logged } else { 0.3 },
                    target: 1.0,
                    reward,
                    expected,
                    expected_of_target: 1.0 - expected,
                };
                let log: Vec<LoggedMessage> = (0..900).map(row).collect();
                let value = value(&log).unwrap();
                for estimate in [value.ips, value.snips, value.doubly_robust] {
                    let Estimate { value, low, high } = estimate;
                    assert!(0.0 <= low && low <= value && value <= high && high <= 1.0);
                }
                // what was always so is not beyond doubt
                assert!((value.snips.value - reward).abs() < 1e-9);
                assert!(value.snips.high - value.snips.low > 0.001, "{value:?}");
            }
        }
    }
}
