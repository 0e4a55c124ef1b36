//! From one person's evidence and a model to a [`Preference`]: one E-step, then shrinkage.

use serde::Serialize;

use crate::learn::data::evidence::seconds;
use crate::learn::data::observations::{ReceiptState, TimeSpan};
use crate::learn::data::subject::{CensoredSubject, Subject};
use crate::learn::infer::model::Model;
use crate::learn::population::backfitting::PersonPosterior;
use crate::learn::response::channel_answers::ChannelAnswers;
use crate::learn::response::model::{ResponsePrediction, answers};
use crate::learn::response::outcomes::OPT_OUT;
use crate::model::preference::{Person, Preference};
use crate::model::time::Instant;

/// What is expected of a person before any evidence.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChronotypeMix {
    /// The groups of the person's that it was learned from; none: everybody.
    pub from: Vec<String>,
    /// Chronotypes and their shares, largest first.
    pub shares: Vec<(String, f64)>,
}

impl Model {
    /// What is expected of somebody before any evidence, from country, zone and tags.
    pub fn mix(&self, subject: &Subject<'_>) -> ChronotypeMix {
        let from = self.segments.keys_of(subject).collect();
        let mut shares: Vec<(String, f64)> =
            self.segments.names.iter().cloned().zip(self.prior(subject)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ChronotypeMix { from, shares }
    }

    /// Shares of the chronotypes that are expected of a person before any evidence.
    pub(in crate::learn) fn prior(&self, subject: &Subject<'_>) -> Vec<f64> {
        self.segments.prior(subject, self.population.chronotypes.share())
    }

    /// What a person did on each of these channels up to `as_of`, the best first; what no message
    /// counts on yet is left out.
    pub fn channel_answers(
        &self,
        subject: &Subject<'_>,
        as_of: Instant,
        channels: &[String],
    ) -> Vec<ChannelAnswers> {
        let person = CensoredSubject { subject: *subject, until: seconds(as_of) };
        self.channels.of(&person, &self.reporting, channels)
    }

    /// What is known of a person from everything up to `as_of`: one E-step.
    pub fn preference(&self, subject: &Subject<'_>, as_of: Instant) -> Preference {
        let observations =
            subject.observations(TimeSpan { from: 0, until: seconds(as_of) }, &self.reporting);
        let prior = self.prior(subject);
        let PersonPosterior { statistics, rates, affinities } =
            self.population.posterior(&observations, self.hyper.observation_weights(), &prior);
        let reads = match observations.receipts {
            ReceiptState::On => None,
            _ => Some(self.population.expected_reads(&observations, &rates, &affinities)),
        };
        let summary = statistics.holding();
        let mut certainty = [self.hyper.person.hour.concentration / 24.0; 24];
        for (hour, observed) in summary.observed.iter().enumerate() {
            certainty[hour % 24] += observed;
        }
        let chronotype =
            (0..rates.share.len()).max_by(|a, b| rates.share[*a].total_cmp(&rates.share[*b]));
        let chronotype = chronotype.unwrap_or(0);
        let ResponsePrediction { log_odds, certainty: sure, recent } =
            self.responses.predict(subject, seconds(as_of), &self.reporting, reads);
        let order = self.order();
        Preference::new(
            self.shared_figures(),
            Person {
                week: rates.week,
                certainty,
                level: rates.level,
                level_certainty: rates.certainty,
                tastes: order.iter().map(|index| affinities.0[*index]).collect(),
                answers: answers(|kind| log_odds[kind]),
                answer_certainty: answers(|kind| sure[kind]),
                opt_out: log_odds[OPT_OUT],
                opt_out_certainty: sure[OPT_OUT],
                recent,
                added: self.sure_uplift().map(|uplift| uplift.of(subject.evidence)),
                chronotype: chronotype as u16,
                chronotype_share: rates.share[chronotype],
                evidence: summary.evidence,
            },
        )
    }
}
