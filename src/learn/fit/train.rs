//! The whole fit: from everybody's evidence to a [`Model`].
//!
//! A sample of people is read once and cut into blocks of time; hyper-parameters are those under
//! which the rest predicts a block that was held out best; then the model is fitted on all of it.

use crate::learn::data::evidence::seconds;
use crate::learn::data::hash::mix;
use crate::learn::data::observed::Contents;
use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::sample::{DataSummary, DataTally, Sample};
use crate::learn::data::subject::{CensoredSubject, Subject};
use crate::learn::error::FitError;
use crate::learn::fit::choice_calibration::calibrate_choice;
use crate::learn::fit::read_calibration::calibrate_reads;
use crate::learn::infer::model::{Model, Tuned};
use crate::learn::parallel::{in_chunks, map};
use crate::learn::population::backfitting::PopulationModel;
use crate::learn::population::segments::Segments;
use crate::learn::response::channel_answers::ChannelAnswerModel;
use crate::learn::response::model::ResponseModel;
use crate::learn::select::cross_validation::CrossValidation;
use crate::learn::settings::Settings;
use crate::model::time::Instant;

/// Learns a population's habits from everybody's evidence up to `as_of`.
///
/// The result depends on the people and their order, on settings (but not on the number of threads)
/// and on `seed`. `progress` hears the name of a phase and the share of the whole that is done.
pub fn fit(
    people: &[Subject<'_>],
    contents: &Contents,
    settings: &Settings,
    as_of: Instant,
    seed: u64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Model, FitError> {
    let until = seconds(as_of);
    let people: Vec<CensoredSubject<'_>> =
        people.iter().map(|subject| CensoredSubject { subject: *subject, until }).collect();
    fit_censored(&people, contents, settings, as_of, seed, progress)
}

/// Learns from what was known of each person at a date; none is later than `as_of`.
pub(in crate::learn) fn fit_censored(
    people: &[CensoredSubject<'_>],
    contents: &Contents,
    settings: &Settings,
    as_of: Instant,
    seed: u64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Model, FitError> {
    progress("counting", 0.0);
    let parts = in_chunks(people, |chunk| {
        let mut tally = DataTally::default();
        for censored in chunk {
            tally.add(censored.subject.evidence, censored.until);
        }
        tally
    });
    let mut tally = DataTally::default();
    for part in &parts {
        tally.merge(part);
    }
    let sample = sample(people, settings.sample_max, seed);
    let reporting = &tally.receipts.figures();
    let task = FitTask { contents, settings, as_of, seed, data: tally.data(), reporting };
    task.learn(&sample, Tuning::Choose, progress)
}

/// Where a fit has its hyper-parameters from.
#[derive(Debug, Clone, Copy)]
pub enum Tuning<'m> {
    /// They are chosen anew on the inner cross-validation.
    Choose,
    /// Those of an earlier model, whatever they are worth now: the same evidence gives the same
    /// model to the bit.
    Hold(&'m Model),
    /// Those of an earlier model while they predict what is held out no worse, by two standard
    /// errors, than when they were chosen; else they are chosen anew.
    Trust(&'m Model),
}

/// What is to be learned, and within which bounds.
pub(in crate::learn) struct FitTask<'a> {
    pub(in crate::learn) contents: &'a Contents,
    pub(in crate::learn) settings: &'a Settings,
    pub(in crate::learn) as_of: Instant,
    pub(in crate::learn) seed: u64,
    pub(in crate::learn) data: DataSummary,
    pub(in crate::learn) reporting: &'a ReceiptModel,
}

impl FitTask<'_> {
    pub(in crate::learn) fn learn(
        &self,
        sample: &[CensoredSubject<'_>],
        tuning: Tuning<'_>,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<Model, FitError> {
        let Self { contents, settings, seed, .. } = *self;
        let mut model = Model::empty(contents.clone(), self.as_of, seed);
        model.data = self.data;
        if model.data.observations() == 0 {
            return Ok(model);
        }
        model.reporting.clone_from(self.reporting);

        progress("choosing settings", 0.1);
        let split = CrossValidation::new(sample, &model.reporting, contents.list().len(), settings);
        self.tune(&mut model, &split, tuning, progress)?;

        progress("fitting", 0.7);
        let observation_sets = map(sample, |censored| {
            censored.subject.observations(censored.span(), &model.reporting)
        });
        model.population = PopulationModel::fit(
            &observation_sets,
            &model.hyper,
            contents.list().len(),
            settings,
            seed,
        )?;
        let (reporting, count) = (&model.reporting, contents.list().len());
        model.responses = ResponseModel::fit(sample, reporting, count)?;
        model.channels = ChannelAnswerModel::fit(sample, reporting)?;
        let all = model.population.chronotypes.share();
        let rates = map(&observation_sets, |set| {
            model.population.posterior(set, model.hyper.observation_weights(), all).rates
        });
        let subjects = sample.iter().map(|person| person.subject);
        model.segments = Segments::learn(&model.population.chronotypes, subjects.zip(&rates));
        progress("calibrating", 0.9);
        calibrate_reads(&mut model, sample, settings, seed)?;
        calibrate_choice(&mut model, sample);
        progress("done", 1.0);
        if model.population.is_finite() && model.responses.is_finite() {
            Ok(model)
        } else {
            Err(FitError::new("model", "it is not finite"))
        }
    }

    /// Chooses hyper-parameters, or keeps those of an earlier model: always, or while they predict
    /// what is held out as well as when they were chosen.
    fn tune(
        &self,
        model: &mut Model,
        split: &CrossValidation,
        tuning: Tuning<'_>,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<(), FitError> {
        let Self { settings, seed, .. } = *self;
        let kept = match tuning {
            Tuning::Choose => None,
            Tuning::Hold(last) => Some((last, split.held_out(&last.hyper, settings, seed)?)),
            Tuning::Trust(last) => split
                .held_out(&last.hyper, settings, seed)
                .ok()
                .filter(|now| !now.is_worse_than(&last.tuned.held_out))
                .map(|now| (last, now)),
        };
        if let Some((last, held_out)) = kept {
            (model.hyper, model.tuned, model.held_out) = (last.hyper, last.tuned, held_out);
        } else {
            model.hyper = split.choose(settings, seed, progress)?;
            model.held_out = split.held_out(&model.hyper, settings, seed)?;
            let observations = self.data.observations();
            model.tuned = Tuned { as_of: self.as_of, observations, held_out: model.held_out };
        }
        Ok(())
    }
}

impl Sample {
    /// Fits a model to the sample; `subjects` are people of it, by number.
    pub fn fit(
        &self,
        subjects: &[Subject<'_>],
        contents: &Contents,
        settings: &Settings,
        tuning: Tuning<'_>,
        progress: &mut dyn FnMut(&str, f64),
    ) -> Result<Model, FitError> {
        let until = seconds(self.as_of);
        let sample: Vec<CensoredSubject<'_>> =
            subjects.iter().map(|subject| CensoredSubject { subject: *subject, until }).collect();
        let Self { as_of, seed, data, ref reporting, .. } = *self;
        FitTask { contents, settings, as_of, seed, data, reporting }
            .learn(&sample, tuning, progress)
    }

    /// The same model kept fresh by what happened since it was fitted: see [`Model::refresh`].
    pub fn refresh(&self, model: &Model, subjects: &[Subject<'_>]) -> Result<Model, FitError> {
        let mut fresh = model.refresh(subjects, self.as_of)?;
        fresh.data = self.data;
        Ok(fresh)
    }
}

/// A sample of those of whom anything is known, by a hash of their place and the seed.
pub(in crate::learn) fn sample<'a>(
    people: &[CensoredSubject<'a>],
    most: usize,
    seed: u64,
) -> Vec<CensoredSubject<'a>> {
    let mut known: Vec<(u64, usize)> = people
        .iter()
        .enumerate()
        .filter(|(_, censored)| !censored.subject.evidence.is_empty())
        .map(|(index, _)| (mix(seed ^ mix(index as u64)), index))
        .collect();
    if known.len() > most {
        known.select_nth_unstable(most);
        known.truncate(most);
    }
    known.sort_unstable_by_key(|(_, index)| *index);
    known.into_iter().map(|(_, index)| people[index]).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use chrono_tz::Tz;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::learn::data::evidence::Evidence;
    use crate::learn::data::observed::{Channel, Observed, Presence, PresenceKind};
    use crate::learn::parallel::on_threads;
    use crate::model::content::{Content, Goal, Media};
    use crate::model::message::Response;

    const PEOPLE: usize = 120;

    fn at(seconds: i64) -> Instant {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    fn contents() -> Contents {
        let mut contents = Contents::default();
        for media in [Media::Text, Media::Video] {
            contents.enter(&Content { media, style: None });
        }
        contents
    }

    /// Messages at any hour of every third day; odd people look at 9:00 and the others at 20:00
    /// UTC, and read most of what waits then.
    fn histories() -> Vec<(Vec<Observed>, Vec<Presence>)> {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let mut message = |person: usize, index: u32| {
            let second = random.gen_range(0..86_400);
            let sent = at(i64::from(index) * 3 * 86_400 + second);
            let looks = if person % 2 == 1 { 9 } else { 20 } * 3600 + random.gen_range(0..3000);
            let delay = (looks - second).rem_euclid(86_400).max(5);
            let read = random.gen_bool(0.7).then_some(sent + TimeDelta::seconds(delay));
            Observed {
                hash: index,
                sent_at: sent,
                content: Some((index % 2) as u16),
                category: None,
                channel: Channel::default(),
                response: Response {
                    delivered_at: Some(sent + TimeDelta::seconds(2)),
                    read_at: read,
                    ..Response::default()
                },
            }
        };
        (0..PEOPLE)
            .map(|person| {
                let messages = (0..20).map(|index| message(person, index)).collect();
                let session = Presence { at: at(86_400), kind: PresenceKind::Session };
                (messages, if person % 3 == 0 { vec![session] } else { Vec::new() })
            })
            .collect()
    }

    fn learn(evidence: &[Evidence], as_of: Instant) -> Model {
        let subjects: Vec<Subject<'_>> = evidence.iter().map(subject).collect();
        let settings = Settings::default();
        fit(&subjects, &contents(), &settings, as_of, 1, &mut |_, _| {}).unwrap()
    }

    fn subject(evidence: &Evidence) -> Subject<'_> {
        Subject { zone: Tz::UTC, country: None, tags: &[], evidence }
    }

    fn text(model: &Model) -> String {
        serde_json::to_string(model).unwrap()
    }

    #[test]
    fn a_late_read_and_any_order_of_arrival_teach_the_same_to_the_bit() {
        let (mut at_once, mut late) = (Vec::new(), Vec::new());
        for (messages, presences) in histories() {
            let mut whole = Evidence::default();
            whole.fold(&messages, &presences);
            at_once.push(whole);
            let mut unread = messages.clone();
            for message in &mut unread {
                message.response.read_at = None;
            }
            unread.reverse();
            let mut piecemeal = Evidence::default();
            for message in &unread {
                piecemeal.fold(std::slice::from_ref(message), &[]);
            }
            piecemeal.fold(&messages[7..], &presences);
            piecemeal.fold(&messages, &presences);
            late.push(piecemeal);
        }
        let as_of = at(62 * 86_400);
        let (first, second) =
            (on_threads(1, || learn(&at_once, as_of)), on_threads(5, || learn(&late, as_of)));
        assert_eq!(text(&first), text(&second));
        for (a, b) in at_once.iter().zip(&late) {
            let bits = |model: &Model, evidence: &Evidence| {
                model.preference(&subject(evidence), as_of).presence().map(f64::to_bits)
            };
            assert_eq!(bits(&first, a), bits(&second, b));
        }
    }

    #[test]
    fn what_came_after_the_date_is_not_known() {
        let as_of = at(30 * 86_400);
        let (mut all, mut before) = (Vec::new(), Vec::new());
        for (messages, presences) in histories() {
            let mut whole = Evidence::default();
            whole.fold(&messages, &presences);
            all.push(whole);
            let mut early = messages;
            early.retain(|message| message.sent_at < as_of);
            for message in &mut early {
                message.response.read_at = message.response.read_at.filter(|at| *at <= as_of);
            }
            let mut censored = Evidence::default();
            censored.fold(&early, &presences);
            before.push(censored);
        }
        assert_eq!(text(&learn(&all, as_of)), text(&learn(&before, as_of)));
    }

    #[test]
    fn who_reads_in_the_evening_is_written_to_then_and_a_newcomer_as_people_are() {
        let evidence: Vec<Evidence> = histories()
            .into_iter()
            .map(|(messages, presences)| {
                let mut evidence = Evidence::default();
                evidence.fold(&messages, &presences);
                evidence
            })
            .collect();
        let as_of = at(62 * 86_400);
        let model = learn(&evidence, as_of);
        let model: Model = serde_json::from_str(&text(&model)).unwrap();
        let content = Content { media: Media::Text, style: None };
        let two_hours = std::time::Duration::from_hours(2);
        let at_hour = |evidence: &Evidence, hour: usize| {
            let preference = model.preference(&subject(evidence), as_of);
            let chances = preference.chances(&content, Goal::Read, two_hours);
            (0..7).map(|day| chances[day * 24 + hour]).sum::<f32>()
        };
        let (evening, morning) = (&evidence[2], &evidence[1]);
        assert!(at_hour(evening, 19) > 2.0 * at_hour(evening, 8));
        assert!(at_hour(morning, 8) > 2.0 * at_hour(morning, 19));
        let newcomer = Evidence::default();
        assert!(at_hour(&newcomer, 8) < at_hour(morning, 8));
        assert!(at_hour(&newcomer, 19) < at_hour(evening, 19));
        assert!(at_hour(&newcomer, 19) > at_hour(morning, 19));
    }

    #[test]
    fn a_model_of_another_form_is_refused_with_words() {
        let model = Model::empty(contents(), at(0), 1);
        assert!(Model::from_json(&text(&model)).is_ok());
        let older = text(&model).replacen("\"format\":3", "\"format\":2", 1);
        let refused = Model::from_json(&older).unwrap_err().to_string();
        assert!(refused.contains("form 2") && refused.contains("opportune learn"), "{refused}");
        assert!(Model::from_json("{}").unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn nobody_known_is_no_failure() {
        let model = learn(&[Evidence::default()], at(0));
        let preference = model.preference(&subject(&Evidence::default()), at(0));
        assert!((preference.presence()[17] - 1.0 / 168.0).abs() < 1e-9);
        assert!(preference.evidence() == 0.0);
    }
}
