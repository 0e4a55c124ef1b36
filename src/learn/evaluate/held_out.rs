//! How well the model predicts what people did next, beside what the field does instead.
//!
//! The history is cut at one date for all. The model and each naive method learn what was known
//! then; what came later judges, of whoever it came, and nothing that came later says whom: when a
//! person is seen on presence events, whether a message is read soon on messages. Intervals are
//! percentiles of a bootstrap over people.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::TimeSpan;
use crate::learn::data::observed::Contents;
use crate::learn::data::subject::{CensoredSubject, Subject};
use crate::learn::error::FitError;
use crate::learn::evaluate::baselines::{Method, PopulationHours, events};
use crate::learn::evaluate::messages::{MessageEvaluation, PersonMessages, evaluate_messages};
use crate::learn::evaluate::presence::{PersonPresence, PresenceEvaluation, evaluate_presence};
use crate::learn::fit::train::fit_censored;
use crate::learn::parallel::{in_chunks, map};
use crate::learn::settings::Settings;
use crate::learn::statistics::estimate::Estimate;
use crate::model::time::Instant;

/// Where so many times as many people would be needed, nobody has them.
const TIMES_MAX: f64 = 1000.0;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Evaluation {
    /// The share of the history that was held out.
    pub holdout: f64,
    /// When people were next seen; absent without presence events.
    pub presence: Option<PresenceEvaluation>,
    /// Whether messages were read soon; absent without messages.
    pub messages: Option<MessageEvaluation>,
    /// What cannot be told, and how much would be needed to tell it.
    pub notes: Vec<String>,
}

/// Learns the older history and judges by the newer `holdout` share of it, 0 to 1.
pub fn evaluate(
    people: &[Subject<'_>],
    contents: &Contents,
    settings: &Settings,
    holdout: f64,
    as_of: Instant,
    seed: u64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Evaluation, FitError> {
    let until = seconds(as_of);
    let from = cut_date(people, until, holdout);
    let newer = TimeSpan { from, until };
    let censored: Vec<CensoredSubject<'_>> =
        people.iter().map(|subject| CensoredSubject { subject: *subject, until: from }).collect();
    let end = chrono::DateTime::from_timestamp(i64::from(from), 0).unwrap_or(as_of);
    let model = fit_censored(&censored, contents, settings, end, seed, progress)?;
    progress("judging", 0.9);

    let pasts = map(&censored, |censored| {
        events(&censored.subject.observations(censored.span(), &model.reporting))
    });
    let population_hours =
        PopulationHours::new(pasts.iter().filter(|past| !past.is_empty()).map(Vec::as_slice));
    let pairs: Vec<_> = censored.iter().zip(&pasts).collect();
    let judged = map(&pairs, |(censored, past)| {
        let performance = PersonPresence::new(&model, censored, newer, past, &population_hours);
        (performance, PersonMessages::new(&model, censored, newer, past, &population_hours))
    });
    let (performances, messages_of): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
    let performances: Vec<PersonPresence> = performances.into_iter().flatten().collect();
    let presences = censored
        .iter()
        .map(|censored| censored.subject.observations(newer, &model.reporting).presences.len())
        .sum();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let presence = (!performances.is_empty())
        .then(|| evaluate_presence(&performances, presences, &mut random));
    let messages = evaluate_messages(&messages_of, &mut random);
    let notes = notes(presence.as_ref(), messages.as_ref());
    Ok(Evaluation { holdout, presence, messages, notes })
}

/// The date after which a share of all messages and presence events came.
fn cut_date(people: &[Subject<'_>], until: u32, holdout: f64) -> u32 {
    let mut times: Vec<u32> = in_chunks(people, |chunk| -> Vec<u32> {
        chunk.iter().flat_map(|subject| subject.evidence.times(until)).collect()
    })
    .concat();
    times.sort_unstable();
    let first_newer = (times.len() as f64 * (1.0 - holdout)).ceil() as usize;
    times.get(first_newer).copied().unwrap_or(until)
}

/// Says what the data cannot tell, and how much of it could.
fn notes(
    presence: Option<&PresenceEvaluation>,
    messages: Option<&MessageEvaluation>,
) -> Vec<String> {
    let mut notes = Vec::new();
    match presence {
        Some(presence) => {
            let gains =
                presence.methods.iter().filter_map(|row| Some((row.method, row.model_gain?)));
            notes.extend(verdict("predicting when people are next seen", gains, presence.people));
        }
        None => notes.push(
            "No presence event was held out (import activity): when people are seen is not judged."
                .to_owned(),
        ),
    }
    match messages {
        Some(messages) => {
            let gains =
                messages.timing.iter().filter_map(|row| Some((row.method, row.model_gain?)));
            let timing = "ordering the hours of messages to one person";
            notes.extend(verdict(timing, gains, messages.timing_people));
            if messages.timing.is_empty() {
                notes.push(
                    "Nobody has held-out messages of both kinds, read within 2 h and not: timing \
                     within a person is not judged. More messages a person would do."
                        .to_owned(),
                );
            }
            if messages.when_gain.is_unsure() {
                notes.push(needed(
                    "whether timing and content predict anything beyond the person",
                    messages.when_gain,
                    messages.people,
                ));
            }
        }
        None => notes.push(
            "No message with a read receipt was held out (import messages): reading is not judged."
                .to_owned(),
        ),
    }
    notes
}

/// The model against the best of its rivals.
fn verdict(
    what: &str,
    baselines: impl Iterator<Item = (Method, Estimate)>,
    people: usize,
) -> Option<String> {
    let (method, gain) = baselines.min_by(|a, b| a.1.value.total_cmp(&b.1.value))?;
    let rival = method.words();
    if gain.is_unsure() {
        return Some(needed(&format!("the model from {rival} in {what}"), gain, people));
    }
    (gain.high < 0.0).then(|| format!("In {what}, {rival} is better than the model."))
}

fn needed(what: &str, gain: Estimate, people: usize) -> String {
    let times = gain.times_needed();
    if times > TIMES_MAX {
        format!(
            "{people} people cannot tell {what}: as far as can be seen, there is no difference."
        )
    } else {
        format!(
            "{people} people cannot tell {what}; if the difference is as it seems, about {:.0} \
             with as much history each would.",
            (people as f64 * times).ceil()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_says_how_many_people_would_decide_it() {
        let gain = Estimate { value: 0.01, low: -0.01, high: 0.03 };
        let told = verdict("x", [(Method::Population, gain)].into_iter(), 100).unwrap();
        assert!(told.contains("100 people cannot tell") && told.contains("about 400 "), "{told}");
        let none = Estimate { value: 1e-6, low: -0.02, high: 0.02 };
        assert!(
            verdict("x", [(Method::Uniform, none)].into_iter(), 9).unwrap().contains("no diff")
        );
        let sure = Estimate { value: 0.02, low: 0.01, high: 0.03 };
        assert_eq!(verdict("x", [(Method::Uniform, sure)].into_iter(), 100), None);
    }
}
