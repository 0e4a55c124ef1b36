//! A fitted model as it is stored: everything that a prediction needs but the person's evidence.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::learn::data::exposure::ReadHazard;
use crate::learn::data::observations::AGE_MAX;
use crate::learn::data::observed::Contents;
use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::sample::DataSummary;
use crate::learn::data::subject::Subject;
use crate::learn::population::affinity::AffinityModel;
use crate::learn::population::backfitting::PopulationModel;
use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::mixture::{ChronotypeMixture, FrailtyPrior};
use crate::learn::population::segments::Segments;
use crate::learn::population::shrinkage::UNBOUNDED;
use crate::learn::response::channel_answers::ChannelAnswerModel;
use crate::learn::response::model::ResponseModel;
use crate::learn::response::uplift::{HoldoutPerson, HoldoutTrial, Uplift};
use crate::learn::select::score::HeldOut;
use crate::model::choice::ChoiceCorrection;
use crate::model::preference::{
    AddedByMessage, ContentFigures, Curve, Fatigue, Population, WEEK_HOURS,
};
use crate::model::time::Instant;

/// The newest form of the file; an older one is fitted anew.
const FORMAT: u32 = 3;

/// What was learned of a population: everything that a preference needs but the person's evidence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    format: u32,
    as_of: Instant,
    seed: u64,
    pub(in crate::learn) data: DataSummary,
    pub(in crate::learn) hyper: HyperParameters,
    pub(in crate::learn) reporting: ReceiptModel,
    pub(in crate::learn) contents: Contents,
    pub(in crate::learn) population: PopulationModel,
    pub(in crate::learn) segments: Segments,
    pub(in crate::learn) responses: ResponseModel,
    /// How often people answer on each channel; an older version knew none.
    #[serde(default)]
    pub(in crate::learn) channels: ChannelAnswerModel,
    /// From computed to calibrated chance of a read in time.
    pub(in crate::learn) read: Curve,
    /// Expected calibration error of reads on messages and people that played no part in the curve.
    pub(in crate::learn) read_error: Option<f64>,
    /// What is taken from chances that were chosen for their height.
    #[serde(default)]
    pub(in crate::learn) choice: ChoiceCorrection,
    /// What messages add over none, where people were held out.
    #[serde(default)]
    uplift: Option<Uplift>,
    pub(in crate::learn) held_out: HeldOut,
    pub(in crate::learn) tuned: Tuned,
    /// What the fit said of responses, where they have been kept fresh since.
    fitted_responses: Option<Box<ResponseModel>>,
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

/// When hyper-parameters were chosen, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// On what was known then.
    pub as_of: Instant,
    /// Messages and presence events then.
    pub observations: u64,
    /// How well they predicted what was held out then.
    pub held_out: HeldOut,
}

impl Model {
    /// A model of nothing: everybody is alike at all hours.
    pub fn empty(contents: Contents, as_of: Instant, seed: u64) -> Self {
        let hyper = HyperParameters { half_life: UNBOUNDED, ..HyperParameters::default() };
        let level = FrailtyPrior { shape: 1.0, mean: 0.05 };
        Self {
            format: FORMAT,
            as_of,
            seed,
            data: DataSummary { people: 0, messages: 0, signs: 0, first: None, last: None },
            hyper,
            reporting: ReceiptModel::default(),
            population: PopulationModel {
                hazard: ReadHazard::default(),
                affinities: AffinityModel::even(contents.list().len()),
                chronotypes: ChronotypeMixture::new(
                    vec![1.0],
                    vec![[1.0; WEEK_HOURS]],
                    level,
                    &hyper,
                ),
            },
            contents,
            segments: Segments::default(),
            responses: ResponseModel::default(),
            channels: ChannelAnswerModel::default(),
            read: Curve::default(),
            read_error: None,
            choice: ChoiceCorrection::default(),
            uplift: None,
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

    /// The same with another population and reads not yet calibrated.
    pub(in crate::learn) fn with_population(&self, population: PopulationModel) -> Self {
        Self { population, read: Curve::default(), ready: Ready::default(), ..self.clone() }
    }

    /// Takes a correction of chances that were chosen for their height.
    pub(in crate::learn) fn correct_choices(&mut self, choice: ChoiceCorrection) {
        self.choice = choice;
        self.ready.population = OnceLock::new();
    }

    /// The same with responses that were kept fresh since the fit.
    pub(in crate::learn) fn with_responses(&self, fresh: ResponseModel) -> Self {
        let fitted = self.fitted_responses().clone();
        let mut model = Self { responses: fresh, ..self.clone() };
        model.fitted_responses = (model.responses != fitted).then(|| Box::new(fitted));
        model.ready.population = OnceLock::new();
        model
    }

    /// What the fit said of responses.
    pub(in crate::learn) fn fitted_responses(&self) -> &ResponseModel {
        self.fitted_responses.as_deref().unwrap_or(&self.responses)
    }

    /// Up to when it was learned.
    pub fn as_of(&self) -> Instant {
        self.as_of
    }

    /// What it was learned from.
    pub fn data(&self) -> &DataSummary {
        &self.data
    }

    /// How well it predicted what it had not seen.
    pub fn held_out(&self) -> &HeldOut {
        &self.held_out
    }

    /// When its settings were chosen, and on what.
    pub fn tuned(&self) -> &Tuned {
        &self.tuned
    }

    /// The settings that were chosen, and what was found of the population, as a JSON object.
    pub fn describe(&self) -> String {
        let (hazard, level) = (&self.population.hazard, self.population.chronotypes.level());
        let described = serde_json::json!({
            "settings": self.hyper,
            "hazard_left_after_hours": {
                "6": hazard.decay[6] / hazard.decay[1],
                "12": hazard.decay[12] / hazard.decay[1],
                "24": hazard.decay[24] / hazard.decay[1],
            },
            "reads_an_hour_when_fresh": level.mean,
            "taste_spread": self.population.affinities.spread,
            "silent_people_with_receipts_off": hazard.silent_off,
            "calibration_error_of_read": self.read_error,
            "chosen_chances_corrected_by": self.choice.coefficients(),
            "purchases_added_by_a_message": self.added().map(|added| {
                serde_json::json!({ "mean": added.mean, "interval": added.interval() })
            }),
            "calibration_error_of_click_reply_conversion_opt_out": self.responses.errors(),
        });
        described.to_string()
    }

    /// Name of each chronotype and the hour of the day in which its people are most present.
    pub(in crate::learn) fn peaks(&self) -> impl Iterator<Item = (&str, usize)> {
        self.segments.names.iter().map(String::as_str).zip(self.segments.peaks.iter().copied())
    }

    /// Name and share of each chronotype, largest first.
    pub fn chronotypes(&self) -> Vec<(&str, f64)> {
        let shares = self.population.chronotypes.share().iter().copied();
        let mut all: Vec<_> = self.segments.names.iter().map(String::as_str).zip(shares).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        all
    }

    /// Expected calibration error of click, reply, conversion and opt-out on messages that the fit
    /// had not seen; absent where there were too few.
    pub fn response_errors(&self) -> [Option<f64>; 4] {
        self.responses.errors()
    }

    /// The same with what a trial of held out people tells; `sample` are people with their zones.
    #[must_use]
    pub fn with_uplift(
        &self,
        trial: HoldoutTrial,
        people: &[HoldoutPerson],
        sample: &[Subject<'_>],
    ) -> Self {
        let uplift = trial.learn(people, sample);
        Self { uplift, ready: Ready::default(), ..self.clone() }
    }

    /// What one more message adds to the purchases of the mean person, sure or not.
    pub fn added(&self) -> Option<AddedByMessage> {
        self.uplift.as_ref().map(Uplift::of_all)
    }

    /// What was learned of it, where the mean is surely not nothing.
    pub(in crate::learn) fn sure_uplift(&self) -> Option<&Uplift> {
        self.uplift.as_ref().filter(|uplift| uplift.of_all().is_sure())
    }

    /// What other messages of the last days change for everybody.
    pub fn fatigue(&self) -> Fatigue {
        self.responses.fatigue()
    }

    /// Numbers of the contents in the order of their words.
    pub(in crate::learn) fn order(&self) -> &[usize] {
        let list = self.contents.list();
        self.ready.order.get_or_init(|| {
            let mut order: Vec<usize> = (0..list.len()).collect();
            order.sort_by(|a, b| list[*a].cmp(&list[*b]));
            order
        })
    }

    pub(in crate::learn) fn shared_figures(&self) -> Arc<Population> {
        let build = || {
            let figures = |index: usize| ContentFigures {
                taste: self.population.affinities.usual(index) as f32,
                answers: self.responses.content_answers(index),
                opt_out: self.responses.content_opt_out(index),
            };
            let list = self.contents.list();
            let (answers, opt_out) = self.responses.calibration();
            Arc::new(Population {
                decay: self.population.hazard.decay.iter().copied().take(AGE_MAX).collect(),
                contents: self.order().iter().map(|i| (list[*i].clone(), figures(*i))).collect(),
                delays: self.responses.delays(),
                utility: self.responses.utility(),
                utility_opt_out: self.responses.utility_opt_out(),
                fatigue: self.responses.fatigue(),
                sent_hours: self.sure_uplift().map_or(Vec::new(), |u| u.sent_hours.clone()),
                read: self.read.clone(),
                choice: self.choice,
                answers,
                opt_out,
                chronotypes: self.segments.names.clone(),
            })
        };
        self.ready.population.get_or_init(build).clone()
    }
}
