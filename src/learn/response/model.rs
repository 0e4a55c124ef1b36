//! What follows a read: clicks, replies, conversions; and opt-outs. Who does them, after which
//! content, and how soon. [`AnswerRegression`] weighs what is gathered here.
//!
//! A person's chance of an answer to what was seen has a beta distribution around everybody's; its
//! concentration in messages is the likeliest (beta-binomial). Answers that may still come are told
//! from those that will not by how long answers take: see [`crate::learn::response::delay`].

use argmin::core::{CostFunction, Executor, State};
use argmin::solver::brent::BrentOpt;
use serde::{Deserialize, Serialize};

use crate::learn::data::receipts::ReceiptModel;
use crate::learn::data::subject::{CensoredSubject, Subject};
use crate::learn::error::FitError;
use crate::learn::parallel::{in_chunks, map};
use crate::learn::response::delay::{AnswerDelay, LifeTable};
use crate::learn::response::outcomes::{
    AnswerCount, AnswerHistory, GOALS, KINDS, MessageOutcome, OPT_OUT, SentHistory, is_marketing,
};
use crate::learn::response::regression::{AnswerRegression, FEATURES, RegressionRow};
use crate::learn::statistics::special::{ln_gamma, person_weight};
use crate::model::preference::{Answers, Curve, Delays, Fatigue};

/// What is assumed of each kind before anything is seen, as so many messages.
const FIRST: [f64; KINDS] = [0.05, 0.05, 0.01, 0.002];
const FIRST_MESSAGES: [f64; KINDS] = [10.0, 10.0, 10.0, 200.0];
/// The most messages of a person that a regression takes as rows, spread over the person's time.
const ROWS_MAX: usize = 50;

/// The population's figures, by kind: click, reply, conversion, opt-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::learn) struct ResponseModel {
    /// Chance of each answer to a message that was seen; of an opt-out over one that was delivered.
    share: [f64; KINDS],
    /// How many messages of a person's own count as much as everybody's share.
    concentration: [f64; KINDS],
    answer_delays: [AnswerDelay; KINDS],
    regressions: [AnswerRegression; KINDS],
}

impl Default for ResponseModel {
    fn default() -> Self {
        Self {
            share: FIRST,
            concentration: [20.0, 20.0, 20.0, 500.0],
            answer_delays: Default::default(),
            regressions: Default::default(),
        }
    }
}

/// What a person does next, before the content is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::learn) struct ResponsePrediction {
    /// Log-odds of each kind.
    pub(in crate::learn) log_odds: [f32; KINDS],
    /// As many messages are behind them.
    pub(in crate::learn) certainty: [f32; KINDS],
    /// Log of one more than the messages of the last seven days, which the log-odds know of.
    pub(in crate::learn) recent: f32,
}

impl ResponseModel {
    /// Fits to what a sample of people did.
    pub(in crate::learn) fn fit(
        sample: &[CensoredSubject<'_>],
        reporting: &ReceiptModel,
        contents: usize,
    ) -> Result<Self, FitError> {
        let mut responses = Self::default();
        responses.learn_delays(sample, reporting);
        responses.learn_shares(sample, reporting)?;
        let rows = responses.rows(sample, reporting);
        for (regression, rows) in responses.regressions.iter_mut().zip(rows) {
            *regression = AnswerRegression::fit(rows, contents)?;
        }
        Ok(responses)
    }

    fn learn_delays(&mut self, sample: &[CensoredSubject<'_>], reporting: &ReceiptModel) {
        let parts = in_chunks(sample, |chunk| {
            let mut answer_delays: [LifeTable; KINDS] = Default::default();
            for CensoredSubject { subject, until } in chunk {
                let reports = reporting.of(subject.evidence, *until);
                let person_weight = person_weight(f64::from(subject.evidence.message_count()));
                for sent in subject.evidence.messages().take_while(|sent| sent.at < *until) {
                    let Some(outcome) = MessageOutcome::new(&sent, *until, reports) else {
                        continue;
                    };
                    for (kind, answer_delays) in answer_delays.iter_mut().enumerate() {
                        if let Some(from) = outcome.from(kind) {
                            let watched = until.saturating_sub(from);
                            answer_delays.add(outcome.after[kind], watched, person_weight);
                        }
                    }
                }
            }
            answer_delays
        });
        let mut all: [LifeTable; KINDS] = Default::default();
        for part in &parts {
            all.iter_mut().zip(part).for_each(|(all, part)| all.merge(part));
        }
        self.answer_delays = all.map(|answer_delays| answer_delays.answer_delay());
    }

    /// Everybody's shares, and how people differ around them.
    fn learn_shares(
        &mut self,
        sample: &[CensoredSubject<'_>],
        reporting: &ReceiptModel,
    ) -> Result<(), FitError> {
        let counts: Vec<[AnswerCount; KINDS]> = map(sample, |censored| {
            let sent = censored.sent();
            let reports = reporting.of(censored.subject.evidence, censored.until);
            let history_at =
                SentHistory::new(&sent, reports, &self.answer_delays).history_at(censored.until);
            let mut counts: [AnswerCount; KINDS] =
                std::array::from_fn(|kind| history_at.by_receipt(kind));
            // nobody leaves twice
            counts[OPT_OUT].happened = counts[OPT_OUT].happened.min(1.0);
            counts
        });
        for kind in 0..KINDS {
            let counts: Vec<AnswerCount> = counts.iter().map(|counts| counts[kind]).collect();
            let first = AnswerCount {
                happened: FIRST[kind] * FIRST_MESSAGES[kind],
                of: FIRST_MESSAGES[kind],
            };
            (self.share[kind], self.concentration[kind]) =
                beta_binomial(&counts, first, self.concentration[kind], kind == OPT_OUT)?;
        }
        Ok(())
    }

    /// Rows for each regression: what was known before each message, where it is known what came of
    /// it.
    fn rows(
        &self,
        sample: &[CensoredSubject<'_>],
        reporting: &ReceiptModel,
    ) -> [Vec<RegressionRow>; KINDS] {
        let people: Vec<(usize, &CensoredSubject<'_>)> = sample.iter().enumerate().collect();
        let parts = in_chunks(&people, |chunk| {
            let mut rows: [Vec<RegressionRow>; KINDS] = Default::default();
            for (person, censored) in chunk {
                self.rows_of(*person, censored, reporting, &mut rows);
            }
            rows
        });
        let mut rows: [Vec<RegressionRow>; KINDS] = Default::default();
        for part in parts {
            rows.iter_mut().zip(part).for_each(|(rows, part)| rows.extend(part));
        }
        rows
    }

    fn rows_of(
        &self,
        person: usize,
        censored: &CensoredSubject<'_>,
        reporting: &ReceiptModel,
        rows: &mut [Vec<RegressionRow>; KINDS],
    ) {
        let sent = censored.sent();
        let reports = reporting.of(censored.subject.evidence, censored.until);
        let mut past = SentHistory::new(&sent, reports, &self.answer_delays);
        for sent in sent.iter().step_by(sent.len().div_ceil(ROWS_MAX).max(1)) {
            let Some(outcome) = MessageOutcome::new(sent, censored.until, reports) else {
                continue;
            };
            let history_at = past.history_at(sent.at);
            let recent = past.recent(sent.at);
            for (kind, rows) in rows.iter_mut().enumerate() {
                let answer_delay = &self.answer_delays[kind];
                let Some(from) = outcome.from(kind) else { continue };
                let settled = from.saturating_add(answer_delay.horizon);
                if settled <= censored.until {
                    rows.push(RegressionRow {
                        person: person as u32,
                        settled,
                        content: sent.content,
                        features: self.features(
                            history_at.counts(kind, None),
                            &history_at,
                            (kind, sent.at),
                            recent,
                            is_marketing(sent),
                        ),
                        happened: answer_delay.in_time(outcome.after[kind]).is_some(),
                    });
                }
            }
        }
    }

    /// Features of a message sent `at`; the content's effect is the regression's own.
    fn features(
        &self,
        counts: AnswerCount,
        history_at: &AnswerHistory,
        (kind, at): (usize, u32),
        recent: usize,
        is_marketing: bool,
    ) -> [f64; FEATURES] {
        // somebody who never answered is as one who did half a year ago
        const NEVER: f64 = 180.0;
        let (share, concentration) = (self.share[kind], self.concentration[kind]);
        let AnswerCount { happened, of } = counts;
        let rate = (happened + concentration * share) / (of + concentration);
        let days = history_at
            .answered_at
            .map_or(NEVER, |answered| f64::from(at.saturating_sub(answered)) / 86_400.0);
        let marketing = f64::from(u8::from(is_marketing));
        [logit(rate), 0.0, (recent as f64).ln_1p(), days.min(NEVER).ln_1p(), marketing]
    }

    /// What a person does with marketing at `until`, of content that is as good as any; `reads` are
    /// those that there probably were, where none is told.
    pub(in crate::learn) fn predict(
        &self,
        subject: &Subject<'_>,
        until: u32,
        reporting: &ReceiptModel,
        reads: Option<f64>,
    ) -> ResponsePrediction {
        let sent = CensoredSubject { subject: *subject, until }.sent();
        let reports = reporting.of(subject.evidence, until);
        let mut past = SentHistory::new(&sent, reports, &self.answer_delays);
        let (history_at, recent) = (past.history_at(until), past.recent(until));
        let log_odds = |kind: usize| {
            let counts = history_at.counts(kind, reads);
            let features = self.features(counts, &history_at, (kind, until), recent, true);
            self.regressions[kind].log_odds(&features, None) as f32
        };
        let certainty =
            |kind: usize| (history_at.counts(kind, reads).of + self.concentration[kind]) as f32;
        ResponsePrediction {
            log_odds: std::array::from_fn(log_odds),
            certainty: std::array::from_fn(certainty),
            recent: (recent as f32).ln_1p(),
        }
    }

    /// Takes what became known after the model was fitted into the stacks; says whether any
    /// changed.
    pub(in crate::learn) fn refresh(
        &mut self,
        people: &[CensoredSubject<'_>],
        reporting: &ReceiptModel,
        fitted_until: u32,
    ) -> Result<bool, FitError> {
        let rows = self.rows(people, reporting);
        let mut changed = false;
        for (regression, rows) in self.regressions.iter_mut().zip(rows) {
            changed |= regression.refresh(rows, fitted_until)?;
        }
        Ok(changed)
    }

    pub(in crate::learn) fn is_finite(&self) -> bool {
        let figures = self.share.iter().chain(&self.concentration);
        figures.into_iter().all(|x| x.is_finite())
            && self.regressions.iter().all(AnswerRegression::is_finite)
    }

    /// Calibration of each answer, and of the opt-out.
    pub(in crate::learn) fn calibration(&self) -> (Answers<Curve>, Curve) {
        let curve = |kind: usize| self.regressions[kind].calibration.clone();
        (answers(curve), curve(OPT_OUT))
    }

    /// Expected calibration error of each answer and of the opt-out, where it could be measured.
    pub(in crate::learn) fn errors(&self) -> [Option<f64>; KINDS] {
        std::array::from_fn(|kind| self.regressions[kind].error)
    }

    pub(in crate::learn) fn content_answers(&self, content: usize) -> Answers<f32> {
        answers(|kind| self.regressions[kind].content_effect(content) as f32)
    }

    pub(in crate::learn) fn content_opt_out(&self, content: usize) -> f32 {
        self.regressions[OPT_OUT].content_effect(content) as f32
    }

    /// What a message that is no marketing adds to the log-odds of each answer.
    pub(in crate::learn) fn utility(&self) -> Answers<f32> {
        answers(|kind| -self.regressions[kind].marketing_weight() as f32)
    }

    /// What other messages of the last days add to the log-odds.
    pub(in crate::learn) fn fatigue(&self) -> Fatigue {
        let weight = |kind: usize| self.regressions[kind].fatigue_weight() as f32;
        Fatigue { answers: answers(weight), opt_out: weight(OPT_OUT) }
    }

    pub(in crate::learn) fn utility_opt_out(&self) -> f32 {
        -self.regressions[OPT_OUT].marketing_weight() as f32
    }

    pub(in crate::learn) fn delays(&self) -> Answers<Delays> {
        answers(|kind| self.answer_delays[kind].delays.clone())
    }
}

/// Something for each answer, by its number.
pub(in crate::learn) fn answers<T>(of: impl Fn(usize) -> T) -> Answers<T> {
    debug_assert!(GOALS.len() == 3, "click, reply and conversion");
    Answers { click: of(0), reply: of(1), convert: of(2) }
}

/// The mean of people's shares and how strongly they hold to it: the likeliest concentration
/// (Brent's method on the log scale), with the mean that it makes likeliest. An opt-out happens
/// once in a life: people do not show by it how they differ.
pub(in crate::learn) fn beta_binomial(
    people: &[AnswerCount],
    first: AnswerCount,
    usual: f64,
    once: bool,
) -> Result<(f64, f64), FitError> {
    const PEOPLE_MIN: usize = 30;
    // people as different as can be, and so alike that the busiest of them could not show it
    const WEAKEST: f64 = 0.1;
    const WEAK: f64 = 3.0;
    const BEYOND: f64 = 10.0;
    let told: Vec<AnswerCount> = people.iter().filter(|counts| counts.of > 0.0).copied().collect();
    if once || told.len() < PEOPLE_MIN {
        return Ok((mean_share(&told, first, usual), usual));
    }
    let strongest = BEYOND * told.iter().map(|counts| counts.of).fold(1.0, f64::max);
    let share = mean_share(&told, first, usual);
    let gain = |counts: &AnswerCount| {
        log_likelihood(counts, share, WEAK) - log_likelihood(counts, share, strongest)
    };
    // the hundredth who speak loudest for weak shares may be of another kind: they do not decide
    let mut by_gain: Vec<(f64, AnswerCount)> = told.iter().map(|c| (gain(c), *c)).collect();
    by_gain.sort_by(|a, b| a.0.total_cmp(&b.0));
    by_gain.truncate(told.len() - told.len().div_ceil(100));
    let problem = Dispersion { told: &told, first, usual_people: &by_gain };
    let solver = BrentOpt::new(WEAKEST.ln(), strongest.ln());
    let result = Executor::new(problem, solver)
        .configure(|state| state.max_iters(40))
        .run()
        .map_err(|cause| FitError::new("responses", cause))?;
    let best = result.state().get_best_param().map_or(usual, |log| log.exp());
    Ok((mean_share(&told, first, best), best))
}

/// Everybody's share, if people hold to it so strongly.
fn mean_share(people: &[AnswerCount], first: AnswerCount, concentration: f64) -> f64 {
    let weighed = |of: fn(&AnswerCount) -> f64| -> f64 {
        people.iter().map(|counts| of(counts) * concentration / (concentration + counts.of)).sum()
    };
    (weighed(|counts| counts.happened) + first.happened) / (weighed(|counts| counts.of) + first.of)
}

/// That of the beta-binomial distribution.
fn log_likelihood(counts: &AnswerCount, share: f64, concentration: f64) -> f64 {
    let (a, b) = (concentration * share, concentration * (1.0 - share));
    let beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    beta(a + counts.happened, b + (counts.of - counts.happened).max(0.0)) - beta(a, b)
}

/// How improbable a concentration, on the log scale, makes what people did.
struct Dispersion<'a> {
    told: &'a [AnswerCount],
    first: AnswerCount,
    usual_people: &'a [(f64, AnswerCount)],
}

impl CostFunction for Dispersion<'_> {
    type Param = f64;
    type Output = f64;

    fn cost(&self, log_concentration: &f64) -> Result<f64, argmin::core::Error> {
        let concentration = log_concentration.exp();
        let share = mean_share(self.told, self.first, concentration);
        let people = self.usual_people.iter();
        Ok(-people.map(|(_, counts)| log_likelihood(counts, share, concentration)).sum::<f64>())
    }
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_people_differ_is_found_again() {
        // shares of 0.05 and 0.35 in equal parts: a beta of about that spread has a concentration
        // near 7
        let people: Vec<AnswerCount> = (0..400)
            .map(|i| AnswerCount { happened: if i % 2 == 0 { 5.0 } else { 35.0 }, of: 100.0 })
            .collect();
        let first = AnswerCount { happened: 0.5, of: 10.0 };
        let (share, concentration) = beta_binomial(&people, first, 20.0, false).unwrap();
        assert!(
            (share - 0.2).abs() < 0.01 && (3.0..=12.0).contains(&concentration),
            "{share} {concentration}"
        );
        let alike: Vec<AnswerCount> = (0..400)
            .map(|i| AnswerCount { happened: 19.0 + f64::from(i % 3), of: 100.0 })
            .collect();
        assert!(beta_binomial(&alike, first, 20.0, false).unwrap().1 >= 200.0);
    }
}
