//! A fitted population, and the way from a person's evidence to a [`Preference`].

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::hyper::{ENDLESS, Hyper};
use super::learner::Cut;
use super::local::{Offsets, week_hour};
use super::mixture::{Chronotypes, Level};
use super::observed::Contents;
use super::outcome::OPT_OUT;
use super::parallel::map;
use super::parts::{Known, OwnTastes, Parts};
use super::reading::{AGE_MAX, Fading, Receipts, Sight, Span};
use super::receipts::Reporting;
use super::responses::{Asked, Responses, answers};
use super::score::HeldOut;
use super::shape::{Week, normalize};
use super::taste::Tastes;
use super::{FitError, Subject, names, seconds};
use crate::model::preference::{ContentFigures, Curve, Person, Population, Preference, WEEK_HOURS};
use crate::model::time::Instant;

/// The newest form of the file; an older one is fitted anew.
const FORMAT: u32 = 2;

/// What was learned of a population: everything that a preference needs but the person's evidence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    format: u32,
    as_of: Instant,
    seed: u64,
    pub(super) data: Data,
    pub(super) hyper: Hyper,
    pub(super) reporting: Reporting,
    pub(super) contents: Contents,
    pub(super) parts: Parts,
    names: Vec<String>,
    /// The hour of the day in which people of each chronotype are most present.
    peaks: Vec<usize>,
    /// Shares of the chronotypes among people of a zone, country or tag.
    segments: BTreeMap<String, Vec<f64>>,
    pub(super) responses: Responses,
    /// From computed to calibrated chance of a read in time.
    pub(super) read: Curve,
    /// Expected calibration error of reads on messages and people that played no part in the curve.
    pub(super) read_error: Option<f64>,
    pub(super) held_out: HeldOut,
    pub(super) tuned: Tuned,
    /// What the fit said of responses, where they have been kept fresh since.
    fitted_responses: Option<Box<Responses>>,
    #[serde(skip)]
    ready: Ready,
}

/// A stored model that this release does not read.
#[derive(Debug, thiserror::Error)]
pub enum BadModel {
    /// Another release stored it.
    #[error(
        "it is stored in form {found}, and this release reads form {FORMAT}; `opportune learn` makes a new one"
    )]
    Form {
        /// The form that it says it has.
        found: u32,
    },
    /// It is damaged.
    #[error("it is damaged ({0}); `opportune learn` makes a new one")]
    Damaged(#[from] serde_json::Error),
}

/// What is worked out once after loading.
#[derive(Debug, Clone, Default)]
struct Ready {
    population: OnceLock<Arc<Population>>,
    order: OnceLock<Vec<usize>>,
}

/// What a model was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// People of whom anything is known.
    pub people: u64,
    /// Messages sent up to `as_of`.
    pub messages: u64,
    /// Signs of presence up to `as_of`.
    pub signs: u64,
    /// The oldest of them.
    pub first: Option<Instant>,
    /// The newest of them.
    pub last: Option<Instant>,
}

/// When hyper-parameters were chosen, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// On what was known then.
    pub as_of: Instant,
    /// Messages and signs of presence then.
    pub observations: u64,
    /// How well they foretold what was held out then.
    pub held_out: HeldOut,
}

/// What is expected of a person before any evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mix {
    /// The groups of the person's that it was learned from; none: everybody.
    pub from: Vec<String>,
    /// Chronotypes and their shares, largest first.
    pub shares: Vec<(String, f64)>,
}

impl Data {
    /// Messages and signs.
    pub fn observations(&self) -> u64 {
        self.messages + self.signs
    }
}

impl Model {
    /// A model of nothing: everybody is alike at all hours.
    pub fn empty(contents: Contents, as_of: Instant, seed: u64) -> Self {
        let hyper = Hyper { half_life: ENDLESS, ..Hyper::default() };
        let level = Level { shape: 1.0, mean: 0.05 };
        Self {
            format: FORMAT,
            as_of,
            seed,
            data: Data { people: 0, messages: 0, signs: 0, first: None, last: None },
            hyper,
            reporting: Reporting::default(),
            parts: Parts {
                fading: Fading::default(),
                tastes: Tastes::even(contents.list().len()),
                chronotypes: Chronotypes::new(vec![1.0], vec![[1.0; WEEK_HOURS]], level, &hyper),
            },
            contents,
            names: vec!["unknown".to_owned()],
            peaks: vec![0],
            segments: BTreeMap::new(),
            responses: Responses::default(),
            read: Curve::default(),
            read_error: None,
            held_out: HeldOut::default(),
            tuned: Tuned { as_of, observations: 0, held_out: HeldOut::default() },
            fitted_responses: None,
            ready: Ready::default(),
        }
    }

    /// Reads a model as it was stored.
    pub fn from_json(text: &str) -> Result<Self, BadModel> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        match serde_json::from_str(text)? {
            Form { format: FORMAT } => Ok(serde_json::from_str(text)?),
            Form { format: found } => Err(BadModel::Form { found }),
        }
    }

    /// The same with other parts and reads not yet calibrated.
    pub(super) fn with_parts(&self, parts: Parts) -> Self {
        Self { parts, read: Curve::default(), ready: Ready::default(), ..self.clone() }
    }

    /// Up to when it was learned.
    pub fn as_of(&self) -> Instant {
        self.as_of
    }

    /// What it was learned from.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// How well it foretold what it had not seen.
    pub fn held_out(&self) -> &HeldOut {
        &self.held_out
    }

    /// When its settings were chosen, and on what.
    pub fn tuned(&self) -> &Tuned {
        &self.tuned
    }

    /// What is expected of somebody before any evidence, from country, zone and tags.
    pub fn mix(&self, subject: &Subject<'_>) -> Mix {
        let from = subject.segments().filter(|key| self.segments.contains_key(key)).collect();
        let mut shares: Vec<(String, f64)> =
            self.names.iter().cloned().zip(self.prior(subject)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Mix { from, shares }
    }

    /// The settings that were chosen, and what was found of the population, as a JSON object.
    pub fn describe(&self) -> String {
        let (fading, level) = (&self.parts.fading, self.parts.chronotypes.level());
        let described = serde_json::json!({
            "settings": self.hyper,
            "hazard_left_after_hours": {
                "6": fading.decay[6] / fading.decay[1],
                "12": fading.decay[12] / fading.decay[1],
                "24": fading.decay[24] / fading.decay[1],
            },
            "reads_an_hour_when_fresh": level.mean,
            "taste_spread": self.parts.tastes.spread,
            "silent_people_with_receipts_off": fading.silent_off,
            "calibration_error_of_read": self.read_error,
            "calibration_error_of_click_reply_conversion_opt_out": self.responses.errors(),
        });
        described.to_string()
    }

    /// Name of each chronotype and the hour of the day in which its people are most present.
    pub(super) fn peaks(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(String::as_str).zip(self.peaks.iter().copied())
    }

    /// Name and share of each chronotype, largest first.
    pub fn chronotypes(&self) -> Vec<(&str, f64)> {
        let shares = self.parts.chronotypes.share().iter().copied();
        let mut all: Vec<_> = self.names.iter().map(String::as_str).zip(shares).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        all
    }

    /// What is known of a person from everything up to `as_of`: one E-step.
    pub fn preference(&self, subject: &Subject<'_>, as_of: Instant) -> Preference {
        let sight = self.sight(subject, Span { from: 0, until: seconds(as_of) });
        let prior = self.prior(subject);
        let Known { reading, habit, tastes: OwnTastes(own) } =
            self.parts.meet(&sight, self.hyper.memory(), &prior);
        let own = OwnTastes(own);
        let reads = match sight.receipts {
            Receipts::On => None,
            _ => Some(self.parts.expected_reads(&sight, &habit, &own)),
        };
        let OwnTastes(own) = own;
        let mut certainty = [self.hyper.person.hour.strength / 24.0; 24];
        for (hour, observed) in reading.observed.iter().enumerate() {
            certainty[hour % 24] += observed;
        }
        let chronotype =
            (0..habit.share.len()).max_by(|a, b| habit.share[*a].total_cmp(&habit.share[*b]));
        let chronotype = chronotype.unwrap_or(0);
        let Asked { log_odds, certainty: sure } =
            self.responses.ask(subject, seconds(as_of), &self.reporting, reads);
        let order = self.order();
        Preference::new(
            self.population(),
            Person {
                week: habit.week,
                certainty,
                level: habit.level,
                level_certainty: habit.certainty,
                tastes: order.iter().map(|index| own[*index]).collect(),
                answers: answers(|kind| log_odds[kind]),
                answer_certainty: answers(|kind| sure[kind]),
                opt_out: log_odds[OPT_OUT],
                opt_out_certainty: sure[OPT_OUT],
                chronotype: chronotype as u16,
                chronotype_share: habit.share[chronotype],
                evidence: reading.evidence,
            },
        )
    }

    /// The same model, its responses kept fresh by what happened since it was fitted: people's
    /// evidence up to `as_of`, newer than the model, is followed message by message.
    pub fn refresh(
        &self,
        people: &[Subject<'_>],
        as_of: Instant,
        threads: usize,
    ) -> Result<Self, FitError> {
        const BEFORE: u32 = 30 * 86_400;
        let fitted_until = seconds(self.as_of);
        let until = seconds(as_of);
        let recent = |subject: &&Subject<'_>| {
            subject.evidence.last(until).is_some_and(|last| last + BEFORE >= fitted_until)
        };
        let people: Vec<Cut<'_>> =
            people.iter().filter(recent).map(|s| Cut { subject: *s, until }).collect();
        let fitted = self.fitted_responses.as_deref().unwrap_or(&self.responses).clone();
        let mut fresh = Self { responses: fitted.clone(), ..self.clone() };
        let moved = fresh.responses.refresh(&people, &self.reporting, fitted_until, threads)?;
        if !fresh.responses.is_finite() {
            return Err(FitError::new("responses between nights", "they are not finite"));
        }
        fresh.fitted_responses = moved.then(|| Box::new(fitted));
        fresh.ready.population = OnceLock::new();
        Ok(fresh)
    }

    /// Expected calibration error of click, reply, conversion and opt-out on messages that the fit
    /// had not seen; absent where there were too few.
    pub fn response_errors(&self) -> [Option<f64>; 4] {
        self.responses.errors()
    }

    pub(super) fn sight(&self, subject: &Subject<'_>, span: Span) -> Sight {
        let offsets = Offsets::of(subject.zone);
        let reports = self.reporting.of(subject.evidence, span.until);
        Sight::new(subject.evidence, offsets, span, reports)
    }

    /// The hour of a person's local week that holds a second.
    pub(super) fn hour(subject: &Subject<'_>, at: u32) -> usize {
        week_hour(Offsets::of(subject.zone).hour(at))
    }

    /// Shares of the chronotypes that are expected of a person before any evidence: the mean of
    /// those of the person's zone, country and tags, where enough people share them.
    pub(super) fn prior(&self, subject: &Subject<'_>) -> Vec<f64> {
        if self.segments.is_empty() {
            return self.parts.chronotypes.share().to_vec();
        }
        let known: Vec<&Vec<f64>> =
            subject.segments().filter_map(|key| self.segments.get(&key)).collect();
        if known.is_empty() {
            return self.parts.chronotypes.share().to_vec();
        }
        let mean = |class: usize| known.iter().map(|s| s[class]).sum::<f64>() / known.len() as f64;
        (0..self.parts.chronotypes.len()).map(mean).collect()
    }

    /// Meets everybody in the sample: learns the shares of the chronotypes in each segment, and
    /// names each chronotype after its own week and those of the people who are clearly of it.
    pub(super) fn segment(&mut self, sample: &[Cut<'_>], threads: usize) {
        const CLEAR: f32 = 0.5;
        const OWN: f32 = 5.0;
        const PEOPLE_MIN: f64 = 20.0;
        const PSEUDO: f64 = 20.0;
        let all = self.parts.chronotypes.share().to_vec();
        let habits = map(sample, threads, |cut| {
            let sight = self.sight(&cut.subject, cut.span());
            let habit = self.parts.meet(&sight, self.hyper.memory(), &all).habit;
            (habit.share, habit.week)
        });
        let mut weeks: Vec<Week> =
            (0..all.len()).map(|c| self.parts.chronotypes.week(c).map(|rate| OWN * rate)).collect();
        let mut segments: BTreeMap<String, (f64, Vec<f64>)> = BTreeMap::new();
        for (cut, (share, week)) in sample.iter().zip(&habits) {
            for (total, share) in weeks.iter_mut().zip(share).filter(|(_, s)| **s >= CLEAR) {
                total.iter_mut().zip(week).for_each(|(total, rate)| *total += share * rate);
            }
            for key in cut.subject.segments() {
                let (people, sums) =
                    segments.entry(key).or_insert_with(|| (0.0, vec![0.0; all.len()]));
                *people += 1.0;
                sums.iter_mut().zip(share).for_each(|(sum, share)| *sum += f64::from(*share));
            }
        }
        weeks.iter_mut().for_each(normalize);
        self.names = names::of(&weeks, &all);
        self.peaks = weeks.iter().map(names::peak).collect();
        self.ready.population = OnceLock::new();
        let shrunk = |people: f64, sums: &[f64]| -> Vec<f64> {
            sums.iter().zip(&all).map(|(s, p)| (s + PSEUDO * p) / (people + PSEUDO)).collect()
        };
        self.segments = segments
            .into_iter()
            .filter(|(_, (people, _))| *people >= PEOPLE_MIN)
            .map(|(key, (people, sums))| (key, shrunk(people, &sums)))
            .collect();
    }

    /// Numbers of the contents in the order of their words.
    fn order(&self) -> &[usize] {
        let list = self.contents.list();
        self.ready.order.get_or_init(|| {
            let mut order: Vec<usize> = (0..list.len()).collect();
            order.sort_by(|a, b| list[*a].cmp(&list[*b]));
            order
        })
    }

    fn population(&self) -> Arc<Population> {
        let build = || {
            let figures = |index: usize| ContentFigures {
                taste: self.parts.tastes.usual(index) as f32,
                answers: self.responses.content_answers(index),
                opt_out: self.responses.content_opt_out(index),
            };
            let list = self.contents.list();
            let (answers, opt_out) = self.responses.calibration();
            Arc::new(Population {
                decay: self.parts.fading.decay.iter().copied().take(AGE_MAX).collect(),
                contents: self.order().iter().map(|i| (list[*i].clone(), figures(*i))).collect(),
                delays: self.responses.delays(),
                utility: self.responses.utility(),
                utility_opt_out: self.responses.utility_opt_out(),
                read: self.read.clone(),
                answers,
                opt_out,
                chronotypes: self.names.clone(),
            })
        };
        self.ready.population.get_or_init(build).clone()
    }
}
