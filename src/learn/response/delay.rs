//! How long an answer takes, from messages some of which may still be answered.
//!
//! The share answered after so long is Kaplan and Meier's (JASA 53, 1958), by classes of time as
//! life tables have it: a message is at risk until it is answered or until the day of learning. An
//! answer counts when it comes within the [`AnswerDelay::horizon`], in which 99 of 100 of those
//! come that come within two weeks; what comes later is none.

use serde::{Deserialize, Serialize};

use crate::model::preference::Delays;

/// Upper ends of the classes, in seconds: from half a minute to two weeks.
const ENDS: [u32; 26] = [
    30, 60, 120, 300, 600, 900, 1_800, 2_700, 3_600, 5_400, 7_200, 10_800, 14_400, 21_600, 28_800,
    43_200, 64_800, 86_400, 129_600, 172_800, 259_200, 345_600, 432_000, 604_800, 864_000,
    1_209_600,
];
/// Where no answer was ever seen, one is waited for so long.
const HORIZON: u32 = 86_400;
/// The share of answers that the horizon holds.
const HELD: f64 = 0.99;

/// Weights of messages by class: answered in it, or watched no longer.
#[derive(Debug, Clone)]
pub(in crate::learn) struct LifeTable {
    answered: [f64; ENDS.len()],
    left: [f64; ENDS.len()],
    longer: f64,
}

/// How long it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct AnswerDelay {
    /// After so many seconds it is known whether a message was answered.
    pub(in crate::learn) horizon: u32,
    /// The share of the answers that has come by then.
    pub(in crate::learn) delays: Delays,
}

impl Default for LifeTable {
    fn default() -> Self {
        Self { answered: [0.0; ENDS.len()], left: [0.0; ENDS.len()], longer: 0.0 }
    }
}

impl LifeTable {
    /// Takes a message that was watched for so many seconds.
    pub(in crate::learn) fn add(&mut self, answered_after: Option<u32>, watched: u32, weight: f64) {
        let class = |after: u32| ENDS.partition_point(|end| *end < after);
        let (counts, class) = match answered_after {
            Some(after) => (&mut self.answered, class(after)),
            None => (&mut self.left, class(watched)),
        };
        match counts.get_mut(class) {
            Some(count) => *count += weight,
            None => self.longer += weight,
        }
    }

    pub(in crate::learn) fn merge(&mut self, other: &Self) {
        let pairs = self.answered.iter_mut().zip(other.answered);
        pairs.chain(self.left.iter_mut().zip(other.left)).for_each(|(a, b)| *a += b);
        self.longer += other.longer;
    }

    pub(in crate::learn) fn answer_delay(&self) -> AnswerDelay {
        let mut at_risk = self.longer + self.answered.iter().chain(&self.left).sum::<f64>();
        let mut unanswered = 1.0;
        let mut come = [0.0; ENDS.len()];
        for (class, come) in come.iter_mut().enumerate() {
            // whoever was watched to somewhere in a class was at risk for half of it
            let risk = at_risk - 0.5 * self.left[class];
            if risk > 0.0 {
                unanswered *= 1.0 - (self.answered[class] / risk).min(1.0);
            }
            *come = 1.0 - unanswered;
            at_risk -= self.answered[class] + self.left[class];
        }
        let all = come[ENDS.len() - 1];
        if all <= 0.0 {
            return AnswerDelay::default();
        }
        let held = come.iter().take_while(|share| **share < HELD * all).count();
        let (horizon, all) = (ENDS[held], come[held]);
        let point = |(end, share): (&u32, &f64)| (*end as f32 / 3600.0, (share / all) as f32);
        AnswerDelay {
            horizon,
            delays: Delays::new(ENDS.iter().zip(&come).take(held + 1).map(point).collect()),
        }
    }
}

impl Default for AnswerDelay {
    fn default() -> Self {
        Self { horizon: HORIZON, delays: Delays::default() }
    }
}

impl AnswerDelay {
    /// The share of answers that have come after so many seconds.
    pub(in crate::learn) fn come(&self, after: u32) -> f64 {
        if after >= self.horizon {
            1.0
        } else {
            f64::from(self.delays.within(after as f32 / 3600.0))
        }
    }

    /// An answer, if it came in time.
    pub(in crate::learn) fn in_time(&self, after: Option<u32>) -> Option<u32> {
        after.filter(|after| *after <= self.horizon)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// One in five is answered, after an exponential time of four hours on average; most messages
    /// are from the last day.
    #[test]
    fn messages_that_may_still_be_answered_do_not_shorten_the_wait() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut answer_delays = LifeTable::default();
        for i in 0..60_000u32 {
            let watched = if i % 3 == 0 { 2_000_000 } else { random.gen_range(0..86_400) };
            let after = (-random.gen_range(1e-12f64..1.0).ln() * 4.0 * 3600.0) as u32;
            let answered = (random.gen_bool(0.2) && after <= watched).then_some(after);
            answer_delays.add(answered, watched, 1.0);
        }
        let answer_delay = answer_delays.answer_delay();
        for hours in [0.5f64, 2.0, 4.0, 12.0] {
            let (found, truth) =
                (answer_delay.come((hours * 3600.0) as u32), 1.0 - (-hours / 4.0).exp());
            assert!((found / truth - 1.0).abs() < 0.05, "{hours} h: {found}, not {truth}");
        }
        // 99 % have come after 18.4 hours
        assert!((64_800..=86_400).contains(&answer_delay.horizon), "{}", answer_delay.horizon);
        assert_eq!(answer_delay.in_time(Some(90_000)), None);
    }

    #[test]
    fn where_nothing_was_answered_a_day_is_waited() {
        let mut answer_delays = LifeTable::default();
        answer_delays.add(None, 5_000, 1.0);
        assert_eq!(answer_delays.answer_delay(), AnswerDelay::default());
        assert!((AnswerDelay::default().come(10) - 1.0).abs() < 1e-9);
    }
}
