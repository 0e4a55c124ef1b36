//! From history to preferences: what each person's habits are, as far as sparse, one-sided and
//! censored evidence tells.
//!
//! Owns the statistics, and is the only place that names `linfa`. Pure: time, seed and limits are
//! arguments; no clock, no store, no logging, no order from a hash map.
//!
//! - [`Evidence`] is what is kept of one person: packed observations, folded in once each.
//! - [`fit()`] learns a [`Model`] of the population from everybody's evidence.
//! - [`Model::preference`] reads one person's evidence in the light of a model, and
//!   [`Model::channel_answers`] which channel the person answers.
//!
//! *Invariant:* a preference is a function of (model, person, date): whatever was folded in first,
//! and however many threads worked, it comes out the same to the bit.

mod data;
mod error;
mod evaluate;
mod fit;
mod infer;
mod parallel;
mod population;
mod replies;
mod response;
mod select;
mod settings;
mod statistics;

pub use self::data::evidence::{BadEvidence, Evidence, PackedMessage};
pub use self::data::observation_buffer::{BufferPart, ObservationBuffer};
pub use self::data::observed::{Channel, Contents, Observed, Presence, PresenceKind};
pub use self::data::sample::{DataSummary, DataTally, Sample, draw};
pub use self::data::subject::Subject;
pub use self::error::FitError;
pub use self::evaluate::baseline_policy::BaselinePolicy;
pub use self::evaluate::baselines::Method;
pub use self::evaluate::drawn_policy::{DrawnPolicy, HourDraw};
pub use self::evaluate::drift::{Drift, drift};
pub use self::evaluate::experiment;
pub use self::evaluate::habit_change::HabitChange;
pub use self::evaluate::held_out::{Evaluation, evaluate};
pub use self::evaluate::insights::{Insight, insights};
pub use self::evaluate::messages::{MessageEvaluation, TimingRow};
pub use self::evaluate::off_policy;
pub use self::evaluate::presence::{HistoryRow, PresenceEvaluation, PresenceRow};
pub use self::fit::train::{Tuning, fit};
pub use self::infer::model::{BadModel, Model, Tuned};
pub use self::infer::predict::ChronotypeMix;
pub use self::replies::classifier::{LabelledText, ReplyClassifier};
pub use self::replies::clusters::{TextCluster, clusters};
pub use self::replies::consequence::{Consequence, consequence};
pub use self::response::channel_answers::ChannelAnswers;
pub use self::response::uplift::{HoldoutPerson, HoldoutTrial};
pub use self::select::score::HeldOut;
pub use self::settings::Settings;
pub use self::statistics::estimate::Estimate;
