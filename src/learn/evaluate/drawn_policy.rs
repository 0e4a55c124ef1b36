//! Rules that draw each person's hours anew each time they are asked, as two of the field do it: a
//! Thompson bandit over hours, and sends in proportion to each hour's share.
//!
//! - **Bandit**: an arm is an hour of the day, on workdays or at weekends. A message is a trial of
//!   the hour it was delivered in, and a success if it was read in time. An arm's share of successes
//!   has a beta prior: everybody's share in that hour, worth as many trials as the spread between
//!   people says. Each decision draws every arm's share from its posterior, and the best draw wins
//!   (Thompson, Biometrika 25, 1933). It learns from hours that were tried, and from no others.
//! - **Share**: an hour is drawn with the probability of its share in the person's shrunk histogram.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Beta, ContinuousCDF};

use super::baseline_policy::{certain, read_all};
use super::baselines::{Method, PopulationHours, SeenEvent, WeekWeights, events};
use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::{ObservationSet, TimeSpan};
use crate::learn::data::observed::Contents;
use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::subject::Subject;
use crate::model::preference::{Population, Preference};
use crate::model::time::Instant;

/// Hours of the day, on workdays and at weekends.
const ARMS: usize = 48;
/// Trials that everybody's share is worth, at least and at most.
const PRIOR_TRIALS: (f64, f64) = (2.0, 200.0);
/// Trials and successes of an average arm that are assumed before any is seen.
const PSEUDO: (f64, f64) = (10.0, 1.0);

/// How hours are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourDraw {
    /// A Thompson bandit a person over the hours, with a prior from everybody.
    ThompsonBandit,
    /// Each hour with the probability of its share in the person's shrunk histogram.
    HourShare,
}

/// A drawing rule that has seen everybody's past.
#[derive(Debug)]
pub struct DrawnPolicy {
    draw: HourDraw,
    prior: Prior,
    hours: PopulationHours,
    population: Arc<Population>,
    /// As if nothing were known of channels.
    reporting: ReceiptModel,
    span: TimeSpan,
    /// A read within so many hours is a success.
    within: u8,
}

impl DrawnPolicy {
    /// Reads what is known of everybody up to `as_of`. `within` is the time in hours, 1 or more,
    /// within which a read is a success.
    pub fn learn(
        draw: HourDraw,
        people: &[Subject<'_>],
        contents: &Contents,
        (as_of, within): (Instant, u8),
    ) -> Self {
        let reporting = ReceiptModel::default();
        let span = TimeSpan { from: 0, until: seconds(as_of) };
        let (mut pasts, mut trials) = (Vec::<Vec<SeenEvent>>::new(), Vec::new());
        let population = read_all(people, contents, (span, &reporting), |observations| {
            pasts.push(events(observations));
            trials.push(Trials::of(observations, within));
        });
        let seen = pasts.iter().filter(|past| !past.is_empty()).map(Vec::as_slice);
        let hours = PopulationHours::new(seen);
        Self { draw, prior: Prior::of(&trials), hours, population, reporting, span, within }
    }

    /// One draw of a person's hours; the same for the same `seed`.
    pub fn preference(&self, subject: &Subject<'_>, seed: [u8; 32]) -> Preference {
        let observations = subject.observations(self.span, &self.reporting);
        let mut random = ChaCha8Rng::from_seed(seed);
        let weights = match self.draw {
            HourDraw::ThompsonBandit => {
                self.prior.draw(&Trials::of(&observations, self.within), &mut random)
            }
            HourDraw::HourShare => {
                let past = events(&observations);
                in_proportion(&self.hours.predict(Method::ShrunkHistogram, &past), &mut random)
            }
        };
        certain(&self.population, &weights, observations.intervals.len())
    }
}

/// An order of the hours in which each comes first with the probability of its weight, as weights
/// from 1 down (Efraimidis and Spirakis, Information Processing Letters 97, 2006).
fn in_proportion(weights: &WeekWeights, random: &mut impl Rng) -> WeekWeights {
    weights.map(|weight| random.gen_range(f64::MIN_POSITIVE..1.0).powf(1.0 / weight))
}

/// The arm of an hour of the week.
fn arm(hour: usize) -> usize {
    hour % 24 + if hour / 24 >= 5 { 24 } else { 0 }
}

/// One person's trials and successes, by arm.
struct Trials([(f64, f64); ARMS]);

impl Trials {
    fn of(observations: &ObservationSet, within: u8) -> Self {
        let mut trials = [(0.0, 0.0); ARMS];
        for interval in &observations.intervals {
            let in_time = interval.seen && interval.hours < within;
            // what was not watched for so long is no trial yet
            if in_time || interval.hours >= within {
                let (of, successes) = &mut trials[arm(usize::from(interval.start))];
                *of += 1.0;
                *successes += f64::from(u8::from(in_time));
            }
        }
        Self(trials)
    }

    fn sum(&self) -> (f64, f64) {
        self.0.iter().fold((0.0, 0.0), |sum, arm| (sum.0 + arm.0, sum.1 + arm.1))
    }
}

/// What everybody's past says of a person's arms.
#[derive(Debug)]
struct Prior {
    shares: [f64; ARMS],
    /// How many trials it is worth.
    trials: f64,
}

impl Prior {
    fn of(people: &[Trials]) -> Self {
        let mut arms = [(0.0, 0.0); ARMS];
        for person in people {
            for (sum, (of, successes)) in arms.iter_mut().zip(person.0) {
                *sum = (sum.0 + of, sum.1 + successes);
            }
        }
        let all = arms.iter().fold(PSEUDO, |sum, arm| (sum.0 + arm.0, sum.1 + arm.1));
        let mean = all.1 / all.0;
        let shares = arms.map(|(of, successes)| (successes + mean * PSEUDO.0) / (of + PSEUDO.0));
        Self { shares, trials: worth(people, mean) }
    }

    fn draw(&self, person: &Trials, random: &mut impl Rng) -> WeekWeights {
        let drawn: [f64; ARMS] = std::array::from_fn(|arm| {
            let (of, successes) = person.0[arm];
            let (good, bad) = (self.shares[arm], 1.0 - self.shares[arm]);
            let (a, b) = (good * self.trials + successes, bad * self.trials + of - successes);
            let share = random.gen_range(1e-6..1.0 - 1e-6);
            Beta::new(a, b).map_or(good, |beta| beta.inverse_cdf(share))
        });
        std::array::from_fn(|hour| drawn[arm(hour)])
    }
}

/// How many trials a prior is worth: by the moments of people's shares under a beta-binomial
/// distribution (Kleinman, Journal of the American Statistical Association 68, 1973).
fn worth(people: &[Trials], mean: f64) -> f64 {
    let sums: Vec<(f64, f64)> = people.iter().map(Trials::sum).filter(|sum| sum.0 >= 2.0).collect();
    let count = sums.len() as f64;
    let (least, most) = PRIOR_TRIALS;
    if count < 2.0 {
        return least;
    }
    let spread: f64 =
        sums.iter().map(|(of, successes)| (successes / of - mean).powi(2)).sum::<f64>() / count;
    let chance = mean * (1.0 - mean);
    let inverse: f64 = sums.iter().map(|(of, _)| 1.0 / of).sum::<f64>() / count;
    let between = (spread - chance * inverse) / (1.0 - inverse);
    if between <= 0.0 { most } else { (chance / between - 1.0).clamp(least, most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(tried: &[(usize, f64, f64)]) -> Trials {
        let mut trials = [(0.0, 0.0); ARMS];
        for (arm, of, successes) in tried {
            trials[*arm] = (*of, *successes);
        }
        Trials(trials)
    }

    #[test]
    fn the_bandit_goes_where_it_was_heard_and_tries_where_it_knows_nothing() {
        let people: Vec<Trials> = (0..200)
            .map(|at| person(&[(9, 10.0, f64::from(at % 5)), (20, 10.0, f64::from(2 + at % 5))]))
            .collect();
        let prior = Prior::of(&people);
        assert!(prior.shares[20] > prior.shares[9]);
        let fond_of_nine = person(&[(9, 40.0, 36.0), (20, 40.0, 2.0)]);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut first = [0.0; ARMS];
        for _ in 0..1000 {
            let week = prior.draw(&fond_of_nine, &mut random);
            let best = (0..168).max_by(|a, b| week[*a].total_cmp(&week[*b])).unwrap();
            first[arm(best)] += 1.0 / 1000.0;
        }
        assert!(first[9] > 0.5, "{first:?}");
        assert!(first[20] < 0.02, "{first:?}");
        let tried_elsewhere: f64 = 1.0 - first[9] - first[20];
        assert!(tried_elsewhere > 0.02, "{first:?}");
    }

    #[test]
    fn the_prior_is_worth_what_people_have_in_common() {
        let alike: Vec<Trials> = (0..300).map(|_| person(&[(9, 20.0, 5.0)])).collect();
        assert!(worth(&alike, 0.25) >= 200.0);
        // half never, half in one of two: a beta distribution with its mass at the ends
        let apart: Vec<Trials> =
            (0..300).map(|at| person(&[(9, 20.0, f64::from(at % 2) * 10.0)])).collect();
        let trials = worth(&apart, 0.25);
        assert!((2.0..4.0).contains(&trials), "{trials}");
    }

    #[test]
    fn hours_come_first_in_proportion_to_their_share() {
        let mut weights = [1e-6; 168];
        (weights[10], weights[20]) = (0.25, 0.75);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let firsts = (0..4000).filter(|_| {
            let drawn = in_proportion(&weights, &mut random);
            (0..168).max_by(|a, b| drawn[*a].total_cmp(&drawn[*b])) == Some(20)
        });
        let share = firsts.count() as f64 / 4000.0;
        assert!((share - 0.75).abs() < 0.03, "{share}");
    }
}
