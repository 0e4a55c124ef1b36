//! Whether messages are read soon: the model's chances judged on messages that it did not see.
//!
//! Who reads is told apart from when: a person who reads everything says nothing of timing. The
//! part that timing and content play is what the model's chances gain on each person's mean
//! chance; and every method's hours are judged within one person alone.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::contest::{HistoryRow, by_history};
use super::estimate::{Estimate, calibration_error, reliability};
use super::learner::Cut;
use super::model::Model;
use super::naive::{Crowd, Event, Method, Weights};
use super::reading::{Read, Receipts, Span};
use crate::model::content::{Content, Goal, Media};
use crate::model::preference::WEEK_HOURS;

const METHODS: usize = 1 + Method::NAIVE.len();

/// One held-out message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    /// Whether it was read in time.
    soon: bool,
    /// The model's chance of it.
    chance: f64,
    /// What each method makes of the hour alone, content left aside; the model first.
    hour: [f64; METHODS],
}

/// One person's held-out messages, and what was known before: older messages, and of them those
/// read soon.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials {
    of: Vec<Trial>,
    older: f64,
    older_soon: f64,
}

/// How well it was foretold which messages are read within two hours; means over people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Messages {
    /// People with held-out messages.
    pub people: usize,
    /// Held-out messages.
    pub messages: usize,
    /// Share of them that was read within two hours.
    pub read: f64,
    /// Mean log-loss of the model's chance, in nats.
    pub loss: Estimate,
    /// The same of the person's own older share, shrunk to everybody's.
    pub person_loss: Estimate,
    /// The same of everybody's share.
    pub population_loss: Estimate,
    /// What knowing who it is gains: by how much the loss of each person's mean chance is lower
    /// than that of everybody's share.
    pub who_gain: Estimate,
    /// What timing and content gain: by how much the loss is lower than that of each person's mean
    /// chance.
    pub when_gain: Estimate,
    /// By how much the model's loss is lower than that of the person's own share.
    pub model_gain: Estimate,
    /// Expected calibration error of the model's chances, in ten bins of equal size.
    pub calibration_error: f64,
    /// The bins: mean chance and share read.
    pub reliability: Vec<(f64, f64)>,
    /// People of whom some held-out messages were read soon and some were not.
    pub timing_people: usize,
    /// A row a method, the model first; empty where there are no such people.
    pub timing: Vec<TimingRow>,
    /// The model's gain on everybody's share, by how many messages were known of a person.
    pub by_history: Vec<HistoryRow>,
}

/// How well one method's hours order the messages to one person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimingRow {
    /// The method.
    pub method: Method,
    /// How often, of two messages to the same person, the one that was read soon was sent at the
    /// hour that the method has higher; ½ is chance.
    pub order: Estimate,
    /// By how much the model's is higher.
    pub model_gain: Option<Estimate>,
}

impl Trials {
    /// Soon is within so long: where timing shows.
    pub(super) const WITHIN: Duration = Duration::from_hours(2);

    /// A person's newer messages that came long enough ago to be read soon. Whether a person is judged
    /// depends on what was known at the cut alone; the chance is that a read is told.
    pub(super) fn new(
        model: &Model,
        cut: &Cut<'_>,
        newer: Span,
        past: &[Event],
        crowd: &Crowd,
    ) -> Self {
        let within = u32::try_from(Self::WITHIN.as_secs()).unwrap_or(u32::MAX);
        let sight = model.sight(&cut.subject, cut.span());
        // of whom no read was ever told, it may be that none will be
        let told = match sight.receipts {
            Receipts::On => 1.0,
            Receipts::Off => return Self::default(),
            Receipts::Silent => 1.0 - f64::from(model.parts.fading.silent(&sight)),
        };
        let preference = model.preference(&cut.subject, cut.end());
        let any = Content { media: Media::Text, style: None };
        let chances = |content: &Content| preference.chances(content, Goal::Read, Self::WITHIN);
        let own = chances(&any).map(f64::from);
        let naive = Method::NAIVE.map(|method| (method, crowd.guess(method, past)));
        let older = sight.watches;
        let older_soon = older.iter().filter(|watch| watch.seen && watch.hours < 2).count() as f64;
        let list = model.contents.list();
        let reports = model.reporting.of(cut.subject.evidence, cut.until);
        let mut of = Vec::new();
        for sent in cut.subject.evidence.messages().filter(|sent| newer.contains(sent.at)) {
            let Some(read) = Read::new(&sent, newer.until, reports) else { continue };
            let due = read.delivered.saturating_add(within);
            if newer.until < sent.at.saturating_add(due) || reports.is_machine(sent.channel) {
                continue;
            }
            let soon = read.receipt && read.seen.is_some_and(|seen| seen <= due);
            let hour = Model::hour(&cut.subject, sent.at);
            let content = sent.content.and_then(|c| list.get(usize::from(c))).unwrap_or(&any);
            let mut scores = [own[hour]; METHODS];
            for (score, (method, weights)) in scores[1..].iter_mut().zip(&naive) {
                *score = worth(*method, weights, hour);
            }
            let chance = told * f64::from(chances(content)[hour]);
            of.push(Trial { soon, chance, hour: scores });
        }
        Self { of, older: older.len() as f64, older_soon }
    }
}

/// What a naive method makes of sending in an hour: weights of hours in which people are seen speak
/// for messages sent up to an hour before; chosen hours are for sending.
fn worth(method: Method, weights: &Weights, hour: usize) -> f64 {
    let next = weights[(hour + 1) % WEEK_HOURS];
    weights[hour] + if method.is_distribution() { next } else { 0.0 }
}

/// Judges everybody's trials; `None` where there are none.
pub(super) fn judge(people: &[Trials], random: &mut ChaCha8Rng) -> Option<Messages> {
    const PSEUDO: f64 = 5.0;
    let people: Vec<&Trials> = people.iter().filter(|trials| !trials.of.is_empty()).collect();
    let all: Vec<&Trial> = people.iter().flat_map(|trials| &trials.of).collect();
    if all.is_empty() {
        return None;
    }
    let (soon, sent) = people.iter().fold((1.0, 2.0), |(r, n), t| (r + t.older_soon, n + t.older));
    let base = soon / sent;
    let losses = |chance: &dyn Fn(&Trials, &Trial) -> f64| -> Vec<f64> {
        let of_person = |t: &&Trials| {
            let loss = t.of.iter().map(|trial| log_loss(chance(t, trial), trial.soon));
            loss.sum::<f64>() / t.of.len() as f64
        };
        people.iter().map(of_person).collect()
    };
    let mean_chance =
        |t: &Trials, _: &Trial| t.of.iter().map(|x| x.chance).sum::<f64>() / t.of.len() as f64;
    let model = losses(&|_, trial| trial.chance);
    let who = losses(&mean_chance);
    let person = losses(&|t, _| (t.older_soon + PSEUDO * base) / (t.older + PSEUDO));
    let population = losses(&|_, _| base);
    let mut mean = |figures: &[f64]| Estimate::bootstrap(figures, random);
    let minus =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    let bins = reliability(
        all.iter().map(|trial| (trial.chance, f64::from(u8::from(trial.soon)))).collect(),
        10,
    );
    let (loss, person_loss, population_loss) = (mean(&model), mean(&person), mean(&population));
    let who_gain = mean(&minus(&population, &who));
    let when_gain = mean(&minus(&who, &model));
    let model_gain = mean(&minus(&person, &model));
    let gains: Vec<(usize, f64)> =
        people.iter().map(|t| t.older as usize).zip(minus(&population, &model)).collect();
    let (timing_people, timing) = timing(&people, random);
    Some(Messages {
        people: people.len(),
        messages: all.len(),
        read: all.iter().filter(|trial| trial.soon).count() as f64 / all.len() as f64,
        loss,
        person_loss,
        population_loss,
        who_gain,
        when_gain,
        model_gain,
        calibration_error: calibration_error(&bins),
        reliability: bins,
        timing_people,
        timing,
        by_history: by_history(&gains, random),
    })
}

fn log_loss(chance: f64, happened: bool) -> f64 {
    let chance = chance.clamp(1e-6, 1.0 - 1e-6);
    -(if happened { chance } else { 1.0 - chance }).ln()
}

fn timing(people: &[&Trials], random: &mut ChaCha8Rng) -> (usize, Vec<TimingRow>) {
    let orders: Vec<[f64; METHODS]> =
        people.iter().filter_map(|trials| concordance(&trials.of)).collect();
    if orders.is_empty() {
        return (0, Vec::new());
    }
    let mut mean = |figure: &dyn Fn(&[f64; METHODS]) -> f64| {
        Estimate::bootstrap(&orders.iter().map(figure).collect::<Vec<f64>>(), random)
    };
    let methods = std::iter::once(Method::Model).chain(Method::NAIVE).enumerate();
    let rows = methods.map(|(index, method)| TimingRow {
        method,
        order: mean(&|orders| orders[index]),
        model_gain: (index > 0).then(|| mean(&|orders| orders[0] - orders[index])),
    });
    let rows = rows.collect();
    (orders.len(), rows)
}

/// The share of a person's pairs, one read soon and one not, that each method has in the right
/// order; equals count half. `None` without such a pair.
fn concordance(trials: &[Trial]) -> Option<[f64; METHODS]> {
    let (mut right, mut pairs) = ([0.0; METHODS], 0.0);
    for soon in trials.iter().filter(|t| t.soon) {
        for late in trials.iter().filter(|t| !t.soon) {
            pairs += 1.0;
            for (right, (soon, late)) in right.iter_mut().zip(soon.hour.iter().zip(&late.hour)) {
                *right += match soon.total_cmp(late) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
    }
    (pairs > 0.0).then(|| right.map(|right| right / pairs))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn trial(soon: bool, chance: f64) -> Trial {
        let mut hour = [0.0; METHODS];
        hour[0] = chance;
        Trial { soon, chance, hour }
    }

    #[test]
    fn a_person_who_always_reads_says_nothing_of_timing() {
        assert_eq!(concordance(&[trial(true, 0.9), trial(true, 0.1)]), None);
        let both = [trial(true, 0.9), trial(false, 0.1), trial(false, 0.95)];
        assert_eq!(concordance(&both), Some([0.5; METHODS]));
        let order = concordance(&both[..2]).unwrap();
        assert!((order[0] - 1.0).abs() < 1e-12 && (order[1] - 0.5).abs() < 1e-12);
    }

    #[test]
    fn true_chances_are_calibrated_and_others_are_not() {
        let people = |shift: f64| -> Vec<Trials> {
            // chances vary within each person, and hardly between people
            let one = |p: u32, m: u32| {
                let chance = f64::from((p + 3 * m) % 10) / 10.0 + 0.05;
                let drawn = f64::from((p / 10 + 5 * m) % 20) / 20.0 + 0.025;
                trial(drawn < chance, chance * shift)
            };
            let of = |p: u32| (0..4).map(|m| one(p, m)).collect();
            (0..200).map(|p| Trials { of: of(p), older: 4.0, older_soon: 2.0 }).collect()
        };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let good = judge(&people(1.0), &mut random).unwrap();
        let bad = judge(&people(0.5), &mut random).unwrap();
        assert!(good.calibration_error < 0.01, "{good:?}");
        assert!(bad.calibration_error > 0.2 && bad.loss.value > good.loss.value);
        // everybody is alike here: all that is gained is timing
        assert!(good.when_gain.low > 0.05 && good.when_gain.value > 3.0 * good.who_gain.value);
    }
}
