//! Policies side by side: each over all worlds, and against the first of them, paired by person.

use serde::Serialize;

use super::outcome::Outcome;
use super::policy::Policy;
use crate::work::interval::Interval;

/// One policy over all worlds. Chances are the worlds' own, so that luck is left out; intervals are
/// Student's over seeds, and absent where there is only one.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyRow {
    /// Which.
    pub policy: Policy,
    /// Expected engagements a hundred people of the audiences.
    pub engagement: Figure,
    /// By how much that is more than the first policy's, person by person.
    pub gain: Option<Figure>,
    /// What it gains on chance, as a share of what knowing everything gains; where both are among
    /// the policies.
    pub oracle_share: Option<Figure>,
    /// Messages sent, a hundred people.
    pub sent: Figure,
    /// Opt-outs, a thousand messages.
    pub opt_outs: Figure,
    /// Refused, a hundred people.
    pub refused: Figure,
    /// The 99th percentile of lateness in seconds, the worst campaign's.
    pub lateness_p99_s: Figure,
    /// Replies an agent in the fullest hour, the worst campaign's.
    pub replies_per_agent_hour: Option<Figure>,
}

/// A mean over seeds, with a 95 % interval where there are several.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figure {
    /// The mean.
    pub mean: f64,
    /// Its lower end.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
}

/// 97.5 % points of Student's distribution by degrees of freedom, 1 to 30.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];
/// The normal's, beyond them.
const Z: f64 = 1.960;

impl Figure {
    fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Self { mean, low: None, high: None };
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (n - 1) as f64 / n as f64).sqrt();
        let half = T.get(n - 2).copied().unwrap_or(Z) * error;
        Self { mean, low: Some(mean - half), high: Some(mean + half) }
    }

    /// As people read it.
    pub fn text(self, digits: usize) -> String {
        let number = |x: f64| {
            // no minus in front of a rounded zero
            let text = format!("{x:.digits$}");
            if text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.')) {
                text.trim_start_matches('-').to_owned()
            } else {
                text
            }
        };
        match (self.low, self.high) {
            (Some(low), Some(high)) => {
                format!("{} ({} to {})", number(self.mean), number(low), number(high))
            }
            _ => number(self.mean),
        }
    }
}

impl From<Interval> for Figure {
    fn from(interval: Interval) -> Self {
        Self { mean: interval.mean, low: Some(interval.low), high: Some(interval.high) }
    }
}

/// Compares the policies of all outcomes; the first policy is the one that gains are counted from.
pub(super) fn compare(policies: &[Policy], outcomes: &[Outcome]) -> Vec<PolicyRow> {
    let of = |policy: Policy| -> Vec<&Outcome> {
        outcomes.iter().filter(|outcome| outcome.policy == policy).collect()
    };
    let base = policies.first().map(|policy| of(*policy)).unwrap_or_default();
    let (random, oracle) = (of(Policy::Random), of(Policy::Oracle));
    let row = |policy: &Policy| {
        let own = of(*policy);
        let figure = |each: &dyn Fn(&Outcome) -> f64| {
            Figure::of(&own.iter().map(|outcome| each(outcome)).collect::<Vec<f64>>())
        };
        let paired = |other: &[&Outcome]| -> Vec<f64> {
            own.iter().zip(other).map(|(a, b)| 100.0 * difference(a, b)).collect()
        };
        let share = || {
            let share = |((own, random), oracle): ((&&Outcome, &&Outcome), &&Outcome)| {
                difference(own, random) / difference(oracle, random)
            };
            Figure::of(&own.iter().zip(&random).zip(&oracle).map(share).collect::<Vec<f64>>())
        };
        let replies: Vec<f64> = own.iter().filter_map(|outcome| replies(outcome)).collect();
        PolicyRow {
            policy: *policy,
            engagement: figure(&|o| 100.0 * per_person(o)),
            gain: (Some(policy) != policies.first()).then(|| Figure::of(&paired(&base))),
            oracle_share: (!random.is_empty() && !oracle.is_empty()).then(share),
            sent: figure(&|o| 100.0 * sum(o, |c| c.sent) / sum(o, |c| c.audience).max(1.0)),
            opt_outs: figure(&|o| 1000.0 * sum(o, |c| c.opted_out) / sum(o, |c| c.sent).max(1.0)),
            refused: figure(&|o| 100.0 * refused(o) / sum(o, |c| c.audience).max(1.0)),
            lateness_p99_s: figure(&|o| {
                o.campaigns.iter().map(|c| c.lateness.p99_s).fold(0.0, f64::max)
            }),
            replies_per_agent_hour: (!replies.is_empty()).then(|| Figure::of(&replies)),
        }
    };
    policies.iter().map(row).collect()
}

fn sum(outcome: &Outcome, count: fn(&super::outcome::CampaignOutcome) -> u64) -> f64 {
    outcome.campaigns.iter().map(count).sum::<u64>() as f64
}

fn refused(outcome: &Outcome) -> f64 {
    use crate::model::delivery::State;
    let states = outcome.campaigns.iter().flat_map(|campaign| &campaign.states);
    states.filter(|count| count.state == State::Refused).map(|count| count.people).sum::<u64>()
        as f64
}

fn replies(outcome: &Outcome) -> Option<f64> {
    outcome.campaigns.iter().filter_map(|c| c.replies_per_agent_hour).reduce(f64::max)
}

/// True chances a person of the audiences.
fn per_person(outcome: &Outcome) -> f64 {
    outcome.by_person.values().sum::<f64>() / outcome.by_person.len().max(1) as f64
}

/// The mean over people of one outcome's chance minus the other's; whoever is in one alone counts
/// nothing in the other.
fn difference(one: &Outcome, other: &Outcome) -> f64 {
    let people = one.by_person.len().max(other.by_person.len()).max(1) as f64;
    let sum: f64 = one
        .by_person
        .iter()
        .map(|(key, chance)| chance - other.by_person.get(key).copied().unwrap_or(0.0))
        .sum();
    let alone: f64 = other
        .by_person
        .iter()
        .filter(|(key, _)| !one.by_person.contains_key(*key))
        .map(|(_, chance)| chance)
        .sum();
    (sum - alone) / people
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(policy: Policy, seed: u64, chances: &[f64]) -> Outcome {
        let person = |(index, chance): (usize, &f64)| (format!("p{index}"), *chance);
        Outcome {
            policy,
            seed,
            campaigns: Vec::new(),
            broken: Vec::new(),
            weeks: Vec::new(),
            by_person: chances.iter().enumerate().map(person).collect(),
        }
    }

    #[test]
    fn people_are_compared_with_themselves() {
        let outcomes: Vec<Outcome> = (1..=3)
            .flat_map(|seed| {
                // people differ much between worlds, policies little and always the same way
                let level = 0.2 * seed as f64;
                [
                    outcome(Policy::Model, seed, &[level + 0.02, 0.5]),
                    outcome(Policy::Random, seed, &[level, 0.5]),
                    outcome(Policy::Oracle, seed, &[level + 0.04, 0.5]),
                ]
            })
            .collect();
        let rows = compare(&[Policy::Random, Policy::Model, Policy::Oracle], &outcomes);
        let gain = rows[1].gain.unwrap();
        assert!((gain.mean - 1.0).abs() < 1e-9 && gain.low.unwrap() > 0.99);
        assert!(rows[1].engagement.low.unwrap() < rows[0].engagement.mean);
        assert!((rows[1].oracle_share.unwrap().mean - 0.5).abs() < 1e-9);
        assert!(rows[0].gain.is_none());
    }

    #[test]
    fn an_interval_needs_two_worlds_and_is_students() {
        assert!(Figure::of(&[1.0]).low.is_none());
        // mean 2, standard deviation 1: 4.303 / √3
        let figure = Figure::of(&[1.0, 2.0, 3.0]);
        assert!((figure.high.unwrap() - 2.0 - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(Figure { mean: -0.001, low: None, high: None }.text(1), "0.0");
    }
}
