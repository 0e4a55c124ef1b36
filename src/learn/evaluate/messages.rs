//! Whether messages are read soon: the model's chances judged on messages that it did not see.
//!
//! Who reads is told apart from when: a person who reads everything says nothing of timing. The
//! part that timing and content play is what the model's chances gain on each person's mean
//! chance; and every method's hours are judged within one person alone.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::learn::data::observations::{ReadOutcome, ReceiptState, TimeSpan};
use crate::learn::data::subject::CensoredSubject;
use crate::learn::evaluate::baselines::{Method, PopulationHours, SeenEvent, WeekWeights};
use crate::learn::evaluate::presence::{HistoryRow, by_history};
use crate::learn::infer::model::Model;
use crate::learn::statistics::estimate::Estimate;
use crate::learn::statistics::reliability::{calibration_error, reliability};
use crate::model::content::{Content, Goal, Media};
use crate::model::preference::WEEK_HOURS;

const METHODS: usize = 1 + Method::NAIVE.len();

/// One held-out message.
#[derive(Debug, Clone, Copy)]
pub(in crate::learn) struct JudgedMessage {
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
pub(in crate::learn) struct PersonMessages {
    of: Vec<JudgedMessage>,
    older: f64,
    older_soon: f64,
}

/// How well it was predicted which messages are read within two hours; means over people.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MessageEvaluation {
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
    #[schema(value_type = Vec<Vec<f64>>)]
    pub reliability: Vec<(f64, f64)>,
    /// People of whom some held-out messages were read soon and some were not.
    pub timing_people: usize,
    /// A row a method, the model first; empty where there are no such people.
    pub timing: Vec<TimingRow>,
    /// The model's gain on everybody's share, by how many messages were known of a person.
    pub by_history: Vec<HistoryRow>,
}

/// How well one method's hours order the messages to one person.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TimingRow {
    /// The method.
    pub method: Method,
    /// How often, of two messages to the same person, the one that was read soon was sent at the
    /// hour that the method has higher; ½ is chance.
    pub order: Estimate,
    /// By how much the model's is higher.
    pub model_gain: Option<Estimate>,
}

impl PersonMessages {
    /// Soon is within so long: where timing shows.
    pub(in crate::learn) const WITHIN: Duration = Duration::from_hours(2);

    /// A person's newer messages that came long enough ago to be read soon. Whether a person is
    /// judged depends on what was known at the cut alone; the chance is that a read is told.
    pub(in crate::learn) fn new(
        model: &Model,
        censored: &CensoredSubject<'_>,
        newer: TimeSpan,
        past: &[SeenEvent],
        population_hours: &PopulationHours,
    ) -> Self {
        let within = u32::try_from(Self::WITHIN.as_secs()).unwrap_or(u32::MAX);
        let observations = censored.subject.observations(censored.span(), &model.reporting);
        // of whom no read was ever told, it may be that none will be
        let told = match observations.receipts {
            ReceiptState::On => 1.0,
            ReceiptState::Off => return Self::default(),
            ReceiptState::Silent => 1.0 - f64::from(model.population.hazard.silent(&observations)),
        };
        let preference = model.preference(&censored.subject, censored.end());
        let any = Content { media: Media::Text, style: None };
        let chances = |content: &Content| preference.chances(content, Goal::Read, Self::WITHIN);
        let own = chances(&any).map(f64::from);
        let naive = Method::NAIVE.map(|method| (method, population_hours.predict(method, past)));
        let older = observations.intervals;
        let older_soon =
            older.iter().filter(|interval| interval.seen && interval.hours < 2).count() as f64;
        let list = model.contents.list();
        let reports = model.reporting.of(censored.subject.evidence, censored.until);
        let mut of = Vec::new();
        for sent in censored.subject.evidence.messages().filter(|sent| newer.contains(sent.at)) {
            let Some(read) = ReadOutcome::new(&sent, newer.until, reports) else { continue };
            let due = read.delivered.saturating_add(within);
            if newer.until < sent.at.saturating_add(due) || reports.is_machine(sent.channel) {
                continue;
            }
            let soon = read.receipt && read.seen.is_some_and(|seen| seen <= due);
            let hour = censored.subject.week_hour(sent.at);
            let content = sent.content.and_then(|c| list.get(usize::from(c))).unwrap_or(&any);
            let mut scores = [own[hour]; METHODS];
            for (score, (method, weights)) in scores[1..].iter_mut().zip(&naive) {
                *score = hour_score(*method, weights, hour);
            }
            let chance = told * f64::from(chances(content)[hour]);
            of.push(JudgedMessage { soon, chance, hour: scores });
        }
        Self { of, older: older.len() as f64, older_soon }
    }
}

/// What a naive method makes of sending in an hour: weights of hours in which people are seen speak
/// for messages sent up to an hour before; chosen hours are for sending.
fn hour_score(method: Method, weights: &WeekWeights, hour: usize) -> f64 {
    let next = weights[(hour + 1) % WEEK_HOURS];
    weights[hour] + if method.is_distribution() { next } else { 0.0 }
}

/// Judges everybody's trials; `None` where there are none.
pub(in crate::learn) fn evaluate_messages(
    people: &[PersonMessages],
    random: &mut ChaCha8Rng,
) -> Option<MessageEvaluation> {
    const PSEUDO: f64 = 5.0;
    let people: Vec<&PersonMessages> =
        people.iter().filter(|person| !person.of.is_empty()).collect();
    let all: Vec<&JudgedMessage> = people.iter().flat_map(|person| &person.of).collect();
    if all.is_empty() {
        return None;
    }
    let (soon, sent) = people.iter().fold((1.0, 2.0), |(r, n), t| (r + t.older_soon, n + t.older));
    let base = soon / sent;
    let losses = |chance: &dyn Fn(&PersonMessages, &JudgedMessage) -> f64| -> Vec<f64> {
        let of_person = |t: &&PersonMessages| {
            let loss = t.of.iter().map(|message| log_loss(chance(t, message), message.soon));
            loss.sum::<f64>() / t.of.len() as f64
        };
        people.iter().map(of_person).collect()
    };
    let mean_chance = |t: &PersonMessages, _: &JudgedMessage| {
        t.of.iter().map(|x| x.chance).sum::<f64>() / t.of.len() as f64
    };
    let model = losses(&|_, message| message.chance);
    let who = losses(&mean_chance);
    let person = losses(&|t, _| (t.older_soon + PSEUDO * base) / (t.older + PSEUDO));
    let population = losses(&|_, _| base);
    let mut mean = |figures: &[f64]| Estimate::bootstrap(figures, random);
    let minus =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    let bins = reliability(
        all.iter().map(|message| (message.chance, f64::from(u8::from(message.soon)))).collect(),
        10,
    );
    let (loss, person_loss, population_loss) = (mean(&model), mean(&person), mean(&population));
    let who_gain = mean(&minus(&population, &who));
    let when_gain = mean(&minus(&who, &model));
    let model_gain = mean(&minus(&person, &model));
    let gains: Vec<(usize, f64)> =
        people.iter().map(|t| t.older as usize).zip(minus(&population, &model)).collect();
    let (timing_people, timing) = timing(&people, random);
    Some(MessageEvaluation {
        people: people.len(),
        messages: all.len(),
        read: all.iter().filter(|message| message.soon).count() as f64 / all.len() as f64,
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

fn timing(people: &[&PersonMessages], random: &mut ChaCha8Rng) -> (usize, Vec<TimingRow>) {
    let orders: Vec<[f64; METHODS]> =
        people.iter().filter_map(|person| concordance(&person.of)).collect();
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
fn concordance(person: &[JudgedMessage]) -> Option<[f64; METHODS]> {
    let (mut right, mut pairs) = ([0.0; METHODS], 0.0);
    for soon in person.iter().filter(|t| t.soon) {
        for late in person.iter().filter(|t| !t.soon) {
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

    fn message(soon: bool, chance: f64) -> JudgedMessage {
        let mut hour = [0.0; METHODS];
        hour[0] = chance;
        JudgedMessage { soon, chance, hour }
    }

    #[test]
    fn a_person_who_always_reads_says_nothing_of_timing() {
        assert_eq!(concordance(&[message(true, 0.9), message(true, 0.1)]), None);
        let both = [message(true, 0.9), message(false, 0.1), message(false, 0.95)];
        assert_eq!(concordance(&both), Some([0.5; METHODS]));
        let order = concordance(&both[..2]).unwrap();
        assert!((order[0] - 1.0).abs() < 1e-12 && (order[1] - 0.5).abs() < 1e-12);
    }

    #[test]
    fn true_chances_are_calibrated_and_others_are_not() {
        let people = |shift: f64| -> Vec<PersonMessages> {
            // chances vary within each person, and hardly between people
            let one = |p: u32, m: u32| {
                let chance = f64::from((p + 3 * m) % 10) / 10.0 + 0.05;
                let drawn = f64::from((p / 10 + 5 * m) % 20) / 20.0 + 0.025;
                message(drawn < chance, chance * shift)
            };
            let of = |p: u32| (0..4).map(|m| one(p, m)).collect();
            (0..200).map(|p| PersonMessages { of: of(p), older: 4.0, older_soon: 2.0 }).collect()
        };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let good = evaluate_messages(&people(1.0), &mut random).unwrap();
        let bad = evaluate_messages(&people(0.5), &mut random).unwrap();
        assert!(good.calibration_error < 0.01, "{good:?}");
        assert!(bad.calibration_error > 0.2 && bad.loss.value > good.loss.value);
        // everybody is alike here: all that is gained is timing
        assert!(good.when_gain.low > 0.05 && good.when_gain.value > 3.0 * good.who_gain.value);
    }
}
