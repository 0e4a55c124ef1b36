//! What the optimizer's curse adds to a chance that was chosen for its height, learned within the
//! history: habits are read from two thirds of each person's time, and the hours and contents that
//! they make look best are valued with the third that was left out, in turns.
//!
//! A slot that is chosen for its chance was chosen for luck as well (Smith and Winkler 2006). Reads
//! that had no part in the choice tell by how much, in two ways, each a ridge regression of the log of
//! the rate of reading on how far hour, content and person stand out: whether held-out messages were
//! read in time, for a short and a long time (complementary log-log); and in which of the hours in
//! which they waited, which cover all the week whenever messages were sent (Poisson). Of the two slopes
//! of an hour, and of a content, the steeper holds; luck makes none rise. What was sent tells besides
//! how the correction bends with how much somebody reads: hours of whoever opens the app once a week
//! are known by a few reads, and nobody reads more than all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::learn::data::observations::{AGE_MAX, AtRiskInterval, ObservationSet, ReceiptState};
use crate::learn::data::subject::CensoredSubject;
use crate::learn::infer::model::Model;
use crate::learn::parallel::{in_chunks, map};
use crate::learn::population::backfitting::PersonPosterior;
use crate::learn::statistics::linear::solve;
use crate::model::choice::ChoiceCorrection;
use crate::model::content::Goal;
use crate::model::preference::{Answers, Person, Preference, WEEK_HOURS};

/// Blocks of time, each left out once.
const BLOCKS: usize = 3;
/// What is chosen with all that is known was chosen for less luck than with the blocks that were left:
/// luck falls with the number of observations.
const LESS_LUCK: f32 = (BLOCKS - 1) as f32 / BLOCKS as f32;
/// People who are asked at most.
const PEOPLE_MAX: usize = 3_000;
/// With fewer held-out reads nothing is corrected.
const READS_MIN: usize = 100;
/// Messages of a person's block that count at most, so that nobody speaks for all.
const MESSAGES_MAX: usize = 50;
/// Messages that waited for longer say little of the chance to be read soon.
const AGES: usize = 24;
const FEATURES: usize = ChoiceCorrection::FEATURES;
/// Standard deviations of the coefficients before anything is seen, in the order of the features.
const PRIOR: [f64; FEATURES] = [0.15, 0.3, 0.3, 0.1, 0.1, 0.2, 0.1, 0.2, 0.2];
/// The same of the hours in which messages waited: few are still unread where somebody reads much, so
/// that they tell nothing of how the correction bends.
const PRIOR_WAITED: [f64; FEATURES] = {
    let mut prior = PRIOR;
    (prior[7], prior[8]) = (1e-3, 1e-3);
    prior
};
const ROUNDS: usize = 8;

/// The most contents of a block that are told apart.
const CONTENTS_MAX: usize = 8;

/// One held-out message at one horizon, or one hour in which it waited.
struct Trial {
    features: [f64; FEATURES],
    /// Reads that were expected in time.
    expected: f64,
    read: bool,
}

/// What was held out of one person.
#[derive(Default)]
struct HeldOut {
    /// By horizon.
    messages: [Vec<Trial>; ChoiceCorrection::HOURS.len()],
    hours: Vec<Trial>,
}

/// Learns the correction of a fitted model.
pub(in crate::learn) fn calibrate_choice(model: &mut Model, sample: &[CensoredSubject<'_>]) {
    let stride = sample.len().div_ceil(PEOPLE_MAX).max(1);
    let people: Vec<&CensoredSubject<'_>> = sample.iter().step_by(stride).collect();
    let (evidence, level) = usual(model, &people);
    let blank = ChoiceCorrection::new(evidence, level);
    let people: Vec<HeldOut> = map(&people, |person| held_out(model, &blank, person));
    if people.iter().flat_map(|p| &p.hours).filter(|trial| trial.read).count() < READS_MIN {
        return;
    }
    let waited = regress(&people, &|person| &person.hours, poisson, PRIOR_WAITED);
    let Some(waited) = waited else { return };
    let mut coefficients = [[0.0f32; FEATURES]; ChoiceCorrection::HOURS.len()];
    for (at, kept) in coefficients.iter_mut().enumerate() {
        let sent = regress(&people, &|person| &person.messages[at], in_time, PRIOR);
        let Some(sent) = sent else { return };
        *kept = sent.map(|x| x as f32);
        for slope in [1, 2] {
            let other = LESS_LUCK * waited[slope] as f32;
            kept[slope] = (LESS_LUCK * kept[slope]).min(other).min(0.0);
            // how luck falls with what is known goes with the slope that holds
            if kept[slope] >= other {
                kept[slope + 2] = waited[slope + 2] as f32;
            }
        }
    }
    model.correct_choices(blank.with(coefficients));
}

/// Of those of whom anything is known: the mean log of one more than the observations, and the rate of
/// reading whose log is the mean.
fn usual(model: &Model, people: &[&CensoredSubject<'_>]) -> (f32, f32) {
    let weights = model.hyper.observation_weights();
    let logs: Vec<Option<[f64; 2]>> = map(people, |person| {
        let all = person.subject.observations(person.span(), &model.reporting);
        let prior = model.prior(&person.subject);
        let level = || model.population.posterior(&all, weights, &prior).rates.level;
        (!all.is_empty()).then(|| {
            [(1.0 + all.observations() as f32).ln(), level().max(f32::MIN_POSITIVE).ln()]
                .map(f64::from)
        })
    });
    let known: Vec<[f64; 2]> = logs.into_iter().flatten().collect();
    let count = known.len().max(1) as f64;
    let mean = |at: usize| (known.iter().map(|logs| logs[at]).sum::<f64>() / count) as f32;
    (mean(0), mean(1).exp())
}

/// What was held out of a person, block by block.
fn held_out(model: &Model, blank: &ChoiceCorrection, person: &CensoredSubject<'_>) -> HeldOut {
    let mut held_out = HeldOut::default();
    let prior = model.prior(&person.subject);
    for block in 0..BLOCKS {
        let [before, within, after] = person
            .around(block, BLOCKS)
            .map(|span| person.subject.observations(span, &model.reporting));
        let rest = ObservationSet::around(before, after);
        if rest.receipts == ReceiptState::On && !within.intervals.is_empty() {
            let weights = model.hyper.observation_weights();
            let known = model.population.posterior(&rest, weights, &prior);
            for (hours, trials) in ChoiceCorrection::HOURS.into_iter().zip(&mut held_out.messages) {
                send(model, blank, &known, &within.intervals, (hours, trials));
            }
            wait(model, blank, &known, &within.intervals, &mut held_out.hours);
        }
    }
    held_out
}

/// When and with what a person reads; nothing of answers.
fn habits(model: &Model, known: &PersonPosterior) -> Preference {
    let tastes = model.order().iter().map(|index| known.affinities.0[*index]).collect();
    let person = Person {
        week: known.rates.week,
        certainty: [1.0; 24],
        level: known.rates.level,
        level_certainty: known.rates.certainty,
        tastes,
        answers: Answers::default(),
        answer_certainty: Answers::default(),
        opt_out: 0.0,
        opt_out_certainty: 1.0,
        recent: 0.0,
        added: None,
        chronotype: 0,
        chronotype_share: 0.0,
        evidence: known.statistics.holding().evidence,
    };
    Preference::new(model.shared_figures(), person)
}

/// What was forecast of the messages of one block, and whether they were read within some hours.
fn send(
    model: &Model,
    blank: &ChoiceCorrection,
    known: &PersonPosterior,
    messages: &[AtRiskInterval],
    (hours, trials): (u8, &mut Vec<Trial>),
) {
    let habits = habits(model, known);
    // a delivery is half an hour before its clock hour ends, on average
    let within = Duration::from_mins(60 * u64::from(hours) - 30);
    let mut tables: BTreeMap<u16, [f32; WEEK_HOURS]> = BTreeMap::new();
    for number in messages.iter().filter_map(|message| message.content) {
        if let Some(content) = model.contents.list().get(usize::from(number))
            && tables.len() < CONTENTS_MAX
        {
            tables.entry(number).or_insert_with(|| habits.chances(content, Goal::Read, within));
        }
    }
    let reads = |chance: f32| -(-chance.clamp(1e-6, 1.0 - 1e-4)).ln_1p();
    let mean = |table: &[f32; WEEK_HOURS]| table.iter().sum::<f32>() / WEEK_HOURS as f32;
    let of_all = reads(tables.values().map(mean).sum::<f32>() / tables.len().max(1) as f32);
    for message in messages.iter().step_by(messages.len().div_ceil(MESSAGES_MAX)) {
        let Some(table) = message.content.and_then(|number| tables.get(&number)) else { continue };
        if !message.seen && message.hours < hours {
            continue;
        }
        let (chance, of_content) = (reads(table[usize::from(message.start)]), reads(mean(table)));
        let (hour, content) = ((chance / of_content).ln(), (of_content / of_all).ln());
        let (level, evidence) = (known.rates.level, known.statistics.holding().evidence);
        let features = blank.features(level, evidence, hour.max(0.0), content.max(0.0));
        trials.push(Trial {
            features: features.map(f64::from),
            expected: f64::from(chance),
            read: message.seen && message.hours < hours,
        });
    }
}

/// In which hours the messages of one block waited, and whether they were read there.
fn wait(
    model: &Model,
    blank: &ChoiceCorrection,
    known: &PersonPosterior,
    messages: &[AtRiskInterval],
    trials: &mut Vec<Trial>,
) {
    let PersonPosterior { statistics, rates, affinities } = known;
    let tastes = || affinities.0.iter().map(|(taste, _)| *taste);
    let most = rates.week.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mean = (tastes().sum::<f32>() / affinities.0.len().max(1) as f32).max(f32::MIN_POSITIVE);
    let liked = tastes().fold(mean, f32::max);
    let mut risk = [0.0f32; AGE_MAX];
    for message in messages.iter().step_by(messages.len().div_ceil(MESSAGES_MAX)) {
        let length = model.population.hazard.risk(message, ReceiptState::On, &mut risk);
        let taste = affinities.factor(message.content);
        // what is far from the best says little of the best
        let content = (taste / mean).max(1.0).ln() * (taste / liked).min(1.0).powi(2);
        for (age, risk) in risk[..length].iter().enumerate().take(AGES) {
            let at = (usize::from(message.start) + age) % WEEK_HOURS;
            let rate = rates.week[at];
            let hour = rate.max(1.0).ln() * (rate / most).powi(2);
            let features = blank
                .features(rates.level, statistics.holding().evidence, hour, content)
                .map(f64::from);
            let read = message.seen && age == usize::from(message.hours);
            let expected = f64::from(rates.level * taste * risk * rate);
            trials.push(Trial { features, expected, read });
        }
    }
}

/// First derivative of the log-likelihood by the log of the reads, and the second one expected, where
/// the hours count reads.
fn poisson(read: f64, reads: f64) -> (f64, f64) {
    (read - reads, reads)
}

/// The same where a message was read in time or not.
fn in_time(read: f64, reads: f64) -> (f64, f64) {
    let chance = (-(-reads).exp_m1()).max(1e-12);
    ((read - chance) * reads / chance, reads * reads * (1.0 - chance) / chance)
}

/// The coefficients under which what happened is likeliest, drawn towards 0 by their prior.
fn regress(
    people: &[HeldOut],
    trials: &(dyn Fn(&HeldOut) -> &Vec<Trial> + Sync),
    likelihood: fn(f64, f64) -> (f64, f64),
    prior: [f64; FEATURES],
) -> Option<[f64; FEATURES]> {
    let mut found = [0.0f64; FEATURES];
    for _ in 0..ROUNDS {
        let parts = in_chunks(people, |people| {
            let mut slope = [0.0f64; FEATURES];
            let mut bend = [[0.0f64; FEATURES]; FEATURES];
            for trial in people.iter().flat_map(trials) {
                let log: f64 = trial.features.iter().zip(&found).map(|(x, b)| x * b).sum();
                let reads = trial.expected * log.clamp(-3.0, 3.0).exp();
                let (first, second) = likelihood(f64::from(u8::from(trial.read)), reads);
                for (i, x) in trial.features.iter().enumerate() {
                    slope[i] += x * first;
                    for (j, other) in trial.features.iter().enumerate() {
                        bend[i][j] += x * other * second;
                    }
                }
            }
            (slope, bend)
        });
        let mut slope = [0.0f64; FEATURES];
        let mut bend = [[0.0f64; FEATURES]; FEATURES];
        for (more, curved) in &parts {
            for i in 0..FEATURES {
                slope[i] += more[i];
                for j in 0..FEATURES {
                    bend[i][j] += curved[i][j];
                }
            }
        }
        for i in 0..FEATURES {
            let precision = prior[i].powi(-2);
            slope[i] -= precision * found[i];
            bend[i][i] += precision;
        }
        let step = solve(bend, slope)?;
        found.iter_mut().zip(step).for_each(|(found, step)| *found += step.clamp(-0.5, 0.5));
    }
    found.iter().all(|x| x.is_finite()).then_some(found)
}
