//! The difference of two arms by everybody who was assigned to them, also while messages are still
//! to be sent or answered.
//!
//! An arm's engagement is the share of its people who are or will be sent to, times the engagement
//! of those whose time to answer is over. When all is known this is the plain share of the people
//! assigned. Before that it does not punish the arm that sends later.
//!
//! The adjusted difference takes out what people's forecasts foretold (CUPED; Deng, Xu, Kohavi and
//! Walker, WSDM 2013), each arm by its own slope (Lin, Annals of Applied Statistics 7, 2013). The
//! covariate must not depend on the arm that was drawn: it is the chance that was forecast before,
//! at the time that the arm would choose.

use super::sequential::daily_threshold;
use crate::learn::statistics::estimate::Estimate;

/// Sums of a covariate over the people of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CovariateSums {
    /// Over all people.
    pub all: f64,
    /// Of squares, over all people.
    pub all_squares: f64,
    /// Over those who are or will be sent to.
    pub reached: f64,
    /// Over those of whom the outcome is known.
    pub known: f64,
    /// Of squares, over the same.
    pub known_squares: f64,
    /// Over those of them who engaged.
    pub engaged: f64,
}

/// What is known of an arm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArmSums {
    /// People assigned to it.
    pub people: f64,
    /// Of them sent to, or still to be sent to.
    pub reached: f64,
    /// Of them those whose time to answer is over.
    pub known: f64,
    /// Of those engaged.
    pub engaged: f64,
    /// The forecast of each person at the time that this arm would choose, and at the time that the
    /// other one would, where everybody has both.
    pub forecasts: Option<[CovariateSums; 2]>,
    /// The outcomes that were known at the end of each day, rising; the last may be today's.
    pub known_by_day: Vec<f64>,
}

/// How far one arm is ahead of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// With an interval that holds over all days together.
    pub plain: Estimate,
    /// The same, adjusted by forecasts.
    pub adjusted: Option<Estimate>,
    /// How many standard errors intervals reach to each side today.
    pub threshold: f64,
    /// The distance from 0 in standard errors; of the adjusted difference where there is one.
    pub distance: f64,
    /// The share of all information that is known by now.
    pub information: f64,
}

/// Fewer known outcomes say nothing of their spread.
const KNOWN_MIN: f64 = 2.0;

/// One arm's engagement, its variance when all is known, and what is missing until then.
struct ArmEstimate {
    mean: f64,
    final_variance: f64,
    /// The variance of one known outcome, times the square of the share that is reached.
    outcome_variance: f64,
}

impl ArmSums {
    fn reach(&self) -> f64 {
        self.reached / self.people
    }

    fn plain(&self) -> ArmEstimate {
        let reach = self.reach();
        // an engagement more, of two people more: where nobody engaged there is doubt still (Agresti
        // and Caffo, American Statistician 54, 2000)
        let doubted = (self.engaged + 1.0) / (self.known + 2.0);
        let share = reach * doubted;
        ArmEstimate {
            mean: reach * self.engaged / self.known,
            final_variance: share * (1.0 - share) / self.people,
            outcome_variance: reach * reach * doubted * (1.0 - doubted),
        }
    }

    /// Adjusted by a covariate whose mean over both arms is `mean`.
    fn adjusted(&self, covariate: &CovariateSums, mean: f64) -> ArmEstimate {
        /// A covariate explains no more than this of the spread.
        const EXPLAINED_MAX: f64 = 0.95;
        let plain = self.plain();
        let rate = self.engaged / self.known;
        let known_mean = covariate.known / self.known;
        let known_variance = covariate.known_squares / self.known - known_mean * known_mean;
        let known_covariance = covariate.engaged / self.known - known_mean * rate;
        let slope = ratio(known_covariance, known_variance);
        let explained = ratio(known_covariance * known_covariance, known_variance);
        let outcome = plain.outcome_variance;
        let reach = self.reach();
        let squared = reach * reach;
        // first from those who are known to those who are or will be sent to
        let sent_mean = if self.reached > 0.0 { covariate.reached / self.reached } else { 0.0 };
        let sent_to = reach * (rate + slope * (sent_mean - known_mean));
        // then from this arm's people to those of both
        let all_mean = covariate.all / self.people;
        let all_variance = covariate.all_squares / self.people - all_mean * all_mean;
        let covariance = reach * covariate.engaged / self.known - plain.mean * all_mean;
        let all_slope = ratio(covariance, all_variance);
        let all_explained = ratio(covariance * covariance, all_variance) / self.people;
        ArmEstimate {
            mean: sent_to - all_slope * (all_mean - mean),
            final_variance: plain.final_variance
                - all_explained.min(EXPLAINED_MAX * plain.final_variance),
            outcome_variance: outcome - (squared * explained).min(EXPLAINED_MAX * outcome),
        }
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 1e-12 { a / b } else { 0.0 }
}

impl ArmEstimate {
    /// Its variance while so many outcomes are known, of so many that will be.
    fn variance(&self, known: f64, reached: f64) -> f64 {
        self.final_variance + self.outcome_variance * (1.0 / known - 1.0 / reached).max(0.0)
    }
}

/// How far the first arm is ahead of the second; `None` before outcomes of both are known.
pub fn difference(first: &ArmSums, second: &ArmSums) -> Option<Difference> {
    let arms = [first, second];
    if arms.iter().any(|arm| arm.known < KNOWN_MIN || arm.reached < arm.known) {
        return None;
    }
    let estimate = |of: [ArmEstimate; 2]| {
        let variance = |known: [f64; 2]| {
            let each = of.iter().zip(arms).zip(known);
            each.map(|((of, arm), known)| of.variance(known, arm.reached)).sum::<f64>()
        };
        let last: f64 = of.iter().map(|of| of.final_variance).sum();
        let share = |known: [f64; 2]| (last / variance(known)).min(1.0);
        let days = first.known_by_day.iter().zip(&second.known_by_day);
        let mut looks: Vec<f64> = days
            .map(|(a, b)| [*a, *b])
            .filter(|known| known.iter().all(|known| *known >= KNOWN_MIN))
            .map(share)
            .collect();
        let now = share(arms.map(|arm| arm.known));
        looks.retain(|look| *look < now);
        looks.push(now);
        let threshold = daily_threshold(&looks);
        let error = variance(arms.map(|arm| arm.known)).sqrt();
        let value = of[0].mean - of[1].mean;
        let end = |sign: f64| (value + sign * threshold * error).clamp(-1.0, 1.0);
        let interval = Estimate { value, low: end(-1.0), high: end(1.0) };
        (interval, threshold, value / error, now)
    };
    let plain = estimate(arms.map(ArmSums::plain));
    let adjusted = first.forecasts.zip(second.forecasts).map(|(of_first, of_second)| {
        let people = first.people + second.people;
        // each arm's own forecast, and the same of the other arm's people
        let mean = |own: &CovariateSums, other: &CovariateSums| (own.all + other.all) / people;
        estimate([
            first.adjusted(&of_first[0], mean(&of_first[0], &of_second[1])),
            second.adjusted(&of_second[0], mean(&of_second[0], &of_first[1])),
        ])
    });
    let (_, threshold, distance, information) = adjusted.unwrap_or(plain);
    Some(Difference {
        plain: plain.0,
        adjusted: adjusted.map(|adjusted| adjusted.0),
        threshold,
        distance,
        information,
    })
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A person of an experiment of a week: when sent to (none: no room), and whether engaged.
    struct Person {
        arm: usize,
        day: Option<usize>,
        engaged: bool,
        /// At the time of the personalized arm and of control.
        forecasts: [f64; 2],
    }

    const DAYS: usize = 7;

    /// The personalized arm sends over the week and control on the first days, both as far as there
    /// is room; the effect is of the personalized arm.
    fn people(effect: f64, spread: f64, random: &mut ChaCha8Rng) -> Vec<Person> {
        let mut sent_by_control = 0;
        let person = |_| {
            let arm = usize::from(random.gen_bool(0.2));
            let level = (0.3 + spread * random.gen_range(-1.0..1.0)).clamp(0.01, 0.95);
            let day = match arm {
                0 => Some(random.gen_range(0..DAYS)),
                _ => {
                    sent_by_control += 1;
                    Some(usize::min(sent_by_control / 120, DAYS - 1))
                }
            };
            let day = day.filter(|_| random.gen_bool(0.8));
            let chance = level + if arm == 0 { effect } else { 0.0 };
            let engaged = day.is_some() && random.gen_bool(chance);
            let noise = 1.0 + random.gen_range(-0.2..0.2);
            Person { arm, day, engaged, forecasts: [1.2 * level * noise, level * noise] }
        };
        (0..2000).map(person).collect()
    }

    fn sums(people: &[Person], arm: usize, today: usize) -> ArmSums {
        let mut sums = ArmSums { known_by_day: vec![0.0; today + 1], ..ArmSums::default() };
        let mut forecasts = [CovariateSums::default(); 2];
        for person in people.iter().filter(|person| person.arm == arm) {
            sums.people += 1.0;
            let known = person.day.filter(|day| *day <= today);
            let engaged = known.is_some() && person.engaged;
            sums.reached += f64::from(u8::from(person.day.is_some()));
            sums.engaged += f64::from(u8::from(engaged));
            if let Some(day) = known {
                sums.known += 1.0;
                sums.known_by_day[day..].iter_mut().for_each(|known| *known += 1.0);
            }
            for (at, sums) in [arm, 1 - arm].into_iter().zip(&mut forecasts) {
                let x = person.forecasts[at];
                sums.all += x;
                sums.all_squares += x * x;
                sums.reached += if person.day.is_some() { x } else { 0.0 };
                sums.known += if known.is_some() { x } else { 0.0 };
                sums.known_squares += if known.is_some() { x * x } else { 0.0 };
                sums.engaged += if engaged { x } else { 0.0 };
            }
        }
        sums.forecasts = Some(forecasts);
        sums
    }

    fn daily(people: &[Person]) -> Vec<Difference> {
        let of = |day| difference(&sums(people, 0, day), &sums(people, 1, day));
        (0..DAYS).filter_map(of).collect()
    }

    #[test]
    fn without_an_effect_intervals_hold_zero_on_all_days_nineteen_times_in_twenty() {
        const EXPERIMENTS: u64 = 400;
        let mut held = [0; 2];
        for seed in 0..EXPERIMENTS {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let looks = daily(&people(0.0, 0.25, &mut random));
            assert_eq!(looks.len(), DAYS);
            let all = |of: &dyn Fn(&Difference) -> Estimate| looks.iter().all(|l| of(l).holds(0.0));
            held[0] += u64::from(all(&|look| look.plain));
            held[1] += u64::from(all(&|look| look.adjusted.unwrap()));
        }
        for held in held {
            assert!((372..=388).contains(&held), "{held} of {EXPERIMENTS}");
        }
    }

    #[test]
    fn forecasts_narrow_intervals_and_an_effect_is_found() {
        let (mut found, mut narrowed) = ([0; 2], 0.0);
        for seed in 0..100 {
            let mut random = ChaCha8Rng::seed_from_u64(500 + seed);
            let looks = daily(&people(0.08, 0.3, &mut random));
            let last = looks.last().unwrap();
            assert!((last.information - 1.0).abs() < 1e-9 && last.threshold < 2.2, "{last:?}");
            let adjusted = last.adjusted.unwrap();
            narrowed += 1.0 - (adjusted.high - adjusted.low) / (last.plain.high - last.plain.low);
            found[0] += u32::from(last.plain.low > 0.0);
            found[1] += u32::from(adjusted.low > 0.0);
        }
        assert!(narrowed / 100.0 > 0.04, "{narrowed}");
        assert!(found[1] >= found[0] && found[1] > 50, "{found:?}");
    }

    #[test]
    fn when_all_is_known_the_difference_is_that_of_people_assigned() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let people = people(0.0, 0.2, &mut random);
        let share = |arm: usize| {
            let of: Vec<&Person> = people.iter().filter(|person| person.arm == arm).collect();
            of.iter().filter(|person| person.engaged).count() as f64 / of.len() as f64
        };
        let last = daily(&people).pop().unwrap();
        assert!((last.plain.value - (share(0) - share(1))).abs() < 1e-12);
    }

    #[test]
    fn an_arm_of_which_nothing_is_known_is_not_compared() {
        let known = ArmSums { people: 9.0, reached: 9.0, known: 9.0, ..ArmSums::default() };
        assert!(difference(&known, &ArmSums { known: 0.0, ..known.clone() }).is_none());
        // nobody engaged in either: no difference is likely, and a small one may be
        let none = difference(&known, &known).unwrap().plain;
        assert!(none.value.abs() < 1e-12 && none.high > 0.05, "{none:?}");
    }
}
