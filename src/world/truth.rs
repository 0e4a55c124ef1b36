//! How likely a person does what, exactly: every chance that an answer is drawn with, as a sum.
//!
//! A message is taken to arrive at once. Luck of a campaign that is not named is averaged over. How
//! long an answer takes is integrated by the trapezoid rule over a normal, which leaves less than a
//! thousandth of the chance.

use std::time::Duration;

use super::local;
use super::looks::Looks;
use super::person::{self, Habits, Person, Sent};
use crate::model::content::Goal;
use crate::model::time::Instant;

/// What may come of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is opened, receipts or none.
    Read,
    /// A link or button is used.
    Click,
    /// The person writes back.
    Reply,
    /// The person does not want to be written to again.
    OptOut,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Click, Self::Reply, Self::OptOut];
}

impl Person<'_> {
    /// The chance that an outcome comes within a time, given that the message arrives at once.
    pub fn truth(&self, sent: &Sent<'_>, outcome: Outcome, within: Duration) -> f64 {
        let taste = self.taste(sent.content, sent.at);
        let pulls = self.pulls(sent, taste);
        let within = within.as_secs_f64();
        let opened = |within: f64| mean(&self.opened(sent.at, &pulls, within));
        match outcome {
            Outcome::Read => opened(within),
            Outcome::Click => {
                self.acts(taste, Goal::Click) * in_time(person::CLICK, within, opened)
            }
            Outcome::Reply => {
                self.acts(taste, Goal::Reply) * in_time(person::REPLY, within, opened)
            }
            Outcome::OptOut => {
                let seen = |within: f64| mean(&self.seen(sent.at, &pulls, within));
                self.harm_of(sent, taste) * in_time(person::OPT_OUT, within, seen)
            }
        }
    }

    pub(super) fn chance_of(&self, sent: &Sent<'_>, taste: f64, within: Duration) -> f64 {
        mean(&self.opened(sent.at, &self.pulls(sent, taste), within.as_secs_f64()))
    }

    /// What multiplies the chance to open: one factor for each luck that the campaign may have.
    fn pulls(&self, sent: &Sent<'_>, taste: f64) -> Vec<f64> {
        let pull = self.pull_without_luck(sent, taste);
        match sent.campaign {
            Some(name) => vec![pull * self.world.luck(name)],
            None => self.lucks().iter().map(|luck| pull * luck).collect(),
        }
    }

    /// The chance to open within a time, of a campaign of any luck.
    pub(super) fn chance_to_open(&self, at: Instant, pull: f64, within: Duration) -> f64 {
        self.chances_to_open(at, &[pull], within)[0]
    }

    /// The same for several contents.
    pub(super) fn chances_to_open(&self, at: Instant, pulls: &[f64], within: Duration) -> Vec<f64> {
        let lucks = self.lucks();
        let pulls: Vec<f64> =
            pulls.iter().flat_map(|pull| lucks.iter().map(move |luck| pull * luck)).collect();
        self.opened(at, &pulls, within.as_secs_f64()).chunks(lucks.len()).map(mean).collect()
    }

    fn lucks(&self) -> Vec<f64> {
        self.world.spec.campaign_luck.map_or(vec![1.0], |luck| luck.factors().to_vec())
    }

    /// The chance to open within so many seconds, for each pull.
    fn opened(&self, sent_at: Instant, pulls: &[f64], within: f64) -> Vec<f64> {
        let at = local::seconds(sent_at);
        let later: Vec<f64> = match self.habits(sent_at) {
            _ if within <= 0.0 => vec![0.0; pulls.len()],
            Habits::Daily { rhythm, keenness } => pulls
                .iter()
                .map(|pull| rhythm.chance(at, at + within, (keenness * pull).min(0.97)))
                .collect(),
            Habits::Rated(rates) => {
                pulls.iter().map(|pull| rates.chance(at, within / 3_600.0, *pull)).collect()
            }
            Habits::Sessions(looks) => {
                let arrival = (at, self.day_of(at));
                let waiting = looks.waiting(arrival, at + within, |day| self.midnight(day));
                pulls.iter().map(|pull| looks.reads(&waiting, *pull)).collect()
            }
        };
        self.or_at_once(sent_at, pulls, within, later)
    }

    /// The chance to see it within so many seconds, whether it is opened or not.
    fn seen(&self, sent_at: Instant, pulls: &[f64], within: f64) -> Vec<f64> {
        let at = local::seconds(sent_at);
        let later = match self.habits(sent_at) {
            Habits::Rated(_) => return self.opened(sent_at, pulls, within),
            _ if within <= 0.0 => 0.0,
            Habits::Daily { rhythm, .. } => rhythm.sees(at, at + within),
            Habits::Sessions(looks) => {
                let arrival = (at, self.day_of(at));
                Looks::sees(&looks.waiting(arrival, at + within, |day| self.midnight(day)))
            }
        };
        self.or_at_once(sent_at, pulls, within, vec![later; pulls.len()])
    }

    fn or_at_once(&self, at: Instant, pulls: &[f64], within: f64, mut later: Vec<f64>) -> Vec<f64> {
        let (soonest, latest) = person::PROMPT;
        let in_time = ((within - soonest) / (latest - soonest)).clamp(0.0, 1.0);
        for (chance, pull) in later.iter_mut().zip(pulls) {
            let prompt = self.prompt(at, *pull) * in_time;
            if prompt > 0.0 {
                *chance = 1.0 - (1.0 - *chance) * (1.0 - prompt);
            }
        }
        later
    }
}

/// The mean of what is reached in what is left of a time after a log-normal delay.
fn in_time((median, spread): (f64, f64), within: f64, reached: impl Fn(f64) -> f64) -> f64 {
    const STEPS: i32 = 16;
    const STEP: f64 = 0.25;
    let (mut sum, mut weights) = (0.0, 0.0);
    for step in -STEPS..=STEPS {
        let z = f64::from(step) * STEP;
        let weight = (-0.5 * z * z).exp();
        sum += weight * reached(within - median * (spread * z).exp());
        weights += weight;
    }
    sum / weights
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
