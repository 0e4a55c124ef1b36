//! What follows a read: clicks, replies, conversions; and opt-outs. Who does them, after which
//! content, and how soon. [`Stack`] weighs what is gathered here.
//!
//! A person's chance of an answer to what was seen has a beta distribution around everybody's; its
//! strength in messages is the likeliest (beta-binomial). Answers that may still come are told from
//! those that will not by how long answers take: see [`super::wait`].

use serde::{Deserialize, Serialize};

use super::learner::Cut;
use super::model::Model;
use super::numbers::{ln_gamma, voice};
use super::outcome::{GOALS, KINDS, Known, OPT_OUT, Outcome, Past, Tried, is_marketing};
use super::parallel::{in_chunks, map};
use super::receipts::Reporting;
use super::stack::{FEATURES, Row, Stack};
use super::wait::{Wait, Waits};
use super::{FitError, Subject};
use crate::model::preference::{Answers, Curve, Delays};

/// What is assumed of each kind before anything is seen, as so many messages.
const FIRST: [f64; KINDS] = [0.05, 0.05, 0.01, 0.002];
const FIRST_MESSAGES: [f64; KINDS] = [10.0, 10.0, 10.0, 200.0];
/// The most messages of a person that a regression takes as rows, spread over the person's time.
const ROWS_MAX: usize = 50;

/// The population's figures, by kind: click, reply, conversion, opt-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Responses {
    /// Chance of each answer to a message that was seen; of an opt-out over one that was delivered.
    share: [f64; KINDS],
    /// How many messages of a person's own count as much as everybody's share.
    strength: [f64; KINDS],
    waits: [Wait; KINDS],
    stacks: [Stack; KINDS],
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            share: FIRST,
            strength: [20.0, 20.0, 20.0, 500.0],
            waits: Default::default(),
            stacks: Default::default(),
        }
    }
}

/// What a person does next, before the content is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Asked {
    /// Log-odds of each kind.
    pub(super) log_odds: [f32; KINDS],
    /// As many messages are behind them.
    pub(super) certainty: [f32; KINDS],
}

/// Fits a model's responses to what a sample of people did.
pub(super) fn fit(model: &mut Model, sample: &[Cut<'_>], threads: usize) -> Result<(), FitError> {
    let (reporting, contents) = (model.reporting.clone(), model.contents.list().len());
    let mut responses = Responses::default();
    responses.learn_waits(sample, &reporting, threads);
    responses.learn_shares(sample, &reporting, threads);
    let rows = responses.rows(sample, &reporting, threads);
    for (stack, rows) in responses.stacks.iter_mut().zip(rows) {
        *stack = Stack::fit(rows, contents)?;
    }
    model.responses = responses;
    Ok(())
}

impl Responses {
    fn learn_waits(&mut self, sample: &[Cut<'_>], reporting: &Reporting, threads: usize) {
        let parts = in_chunks(sample, threads, |chunk| {
            let mut waits: [Waits; KINDS] = Default::default();
            for Cut { subject, until } in chunk {
                let reports = reporting.of(subject.evidence, *until);
                let voice = voice(f64::from(subject.evidence.message_count()));
                for sent in subject.evidence.messages().take_while(|sent| sent.at < *until) {
                    let Some(outcome) = Outcome::new(&sent, *until, reports) else { continue };
                    for (kind, waits) in waits.iter_mut().enumerate() {
                        if let Some(from) = outcome.from(kind) {
                            let watched = until.saturating_sub(from);
                            waits.add(outcome.after[kind], watched, voice);
                        }
                    }
                }
            }
            waits
        });
        let mut all: [Waits; KINDS] = Default::default();
        for part in &parts {
            all.iter_mut().zip(part).for_each(|(all, part)| all.merge(part));
        }
        self.waits = all.map(|waits| waits.wait());
    }

    /// Everybody's shares, and how people differ around them.
    fn learn_shares(&mut self, sample: &[Cut<'_>], reporting: &Reporting, threads: usize) {
        let counts: Vec<[Tried; KINDS]> = map(sample, threads, |cut| {
            let sent = cut.sent();
            let reports = reporting.of(cut.subject.evidence, cut.until);
            let known = Past::new(&sent, reports, &self.waits).known(cut.until);
            let mut tried: [Tried; KINDS] = std::array::from_fn(|kind| known.by_receipt(kind));
            // nobody leaves twice
            tried[OPT_OUT].happened = tried[OPT_OUT].happened.min(1.0);
            tried
        });
        for kind in 0..KINDS {
            let tried: Vec<Tried> = counts.iter().map(|tried| tried[kind]).collect();
            let first =
                Tried { happened: FIRST[kind] * FIRST_MESSAGES[kind], of: FIRST_MESSAGES[kind] };
            (self.share[kind], self.strength[kind]) =
                beta_binomial(&tried, first, self.strength[kind], kind == OPT_OUT);
        }
    }

    /// Rows for each stack: what was known before each message, where it is known what came of it.
    fn rows(&self, sample: &[Cut<'_>], reporting: &Reporting, threads: usize) -> [Vec<Row>; KINDS] {
        let people: Vec<(usize, &Cut<'_>)> = sample.iter().enumerate().collect();
        let parts = in_chunks(&people, threads, |chunk| {
            let mut rows: [Vec<Row>; KINDS] = Default::default();
            for (person, cut) in chunk {
                self.rows_of(*person, cut, reporting, &mut rows);
            }
            rows
        });
        let mut rows: [Vec<Row>; KINDS] = Default::default();
        for part in parts {
            rows.iter_mut().zip(part).for_each(|(rows, part)| rows.extend(part));
        }
        rows
    }

    fn rows_of(
        &self,
        person: usize,
        cut: &Cut<'_>,
        reporting: &Reporting,
        rows: &mut [Vec<Row>; KINDS],
    ) {
        let sent = cut.sent();
        let reports = reporting.of(cut.subject.evidence, cut.until);
        let mut past = Past::new(&sent, reports, &self.waits);
        for sent in sent.iter().step_by(sent.len().div_ceil(ROWS_MAX).max(1)) {
            let Some(outcome) = Outcome::new(sent, cut.until, reports) else { continue };
            let known = past.known(sent.at);
            let recent = past.recent(sent.at);
            for (kind, rows) in rows.iter_mut().enumerate() {
                let wait = &self.waits[kind];
                let Some(from) = outcome.from(kind) else { continue };
                let settled = from.saturating_add(wait.horizon);
                if settled <= cut.until {
                    rows.push(Row {
                        person: person as u32,
                        settled,
                        content: sent.content,
                        features: self.features(
                            known.tried(kind, None),
                            &known,
                            (kind, sent.at),
                            recent,
                            is_marketing(sent),
                        ),
                        happened: wait.in_time(outcome.after[kind]).is_some(),
                    });
                }
            }
        }
    }

    /// Features of a message sent `at`; the content's effect is the stack's own.
    fn features(
        &self,
        tried: Tried,
        known: &Known,
        (kind, at): (usize, u32),
        recent: usize,
        is_marketing: bool,
    ) -> [f64; FEATURES] {
        // somebody who never answered is as one who did half a year ago
        const NEVER: f64 = 180.0;
        let (share, strength) = (self.share[kind], self.strength[kind]);
        let Tried { happened, of } = tried;
        let rate = (happened + strength * share) / (of + strength);
        let days = known
            .answered_at
            .map_or(NEVER, |answered| f64::from(at.saturating_sub(answered)) / 86_400.0);
        let marketing = f64::from(u8::from(is_marketing));
        [logit(rate), 0.0, (recent as f64).ln_1p(), days.min(NEVER).ln_1p(), marketing]
    }

    /// What a person does with marketing at `until`, of content that is as good as any; `reads` are
    /// those that there probably were, where none is told.
    pub(super) fn ask(
        &self,
        subject: &Subject<'_>,
        until: u32,
        reporting: &Reporting,
        reads: Option<f64>,
    ) -> Asked {
        let sent = Cut { subject: *subject, until }.sent();
        let reports = reporting.of(subject.evidence, until);
        let mut past = Past::new(&sent, reports, &self.waits);
        let (known, recent) = (past.known(until), past.recent(until));
        let log_odds = |kind: usize| {
            let tried = known.tried(kind, reads);
            let features = self.features(tried, &known, (kind, until), recent, true);
            self.stacks[kind].log_odds(&features, None) as f32
        };
        let certainty = |kind: usize| (known.tried(kind, reads).of + self.strength[kind]) as f32;
        Asked { log_odds: std::array::from_fn(log_odds), certainty: std::array::from_fn(certainty) }
    }

    /// Takes what became known after the model was fitted into the stacks; says whether any changed.
    pub(super) fn refresh(
        &mut self,
        people: &[Cut<'_>],
        reporting: &Reporting,
        fitted_until: u32,
        threads: usize,
    ) -> Result<bool, FitError> {
        let rows = self.rows(people, reporting, threads);
        let mut changed = false;
        for (stack, rows) in self.stacks.iter_mut().zip(rows) {
            changed |= stack.refresh(rows, fitted_until)?;
        }
        Ok(changed)
    }

    pub(super) fn is_finite(&self) -> bool {
        let figures = self.share.iter().chain(&self.strength);
        figures.into_iter().all(|x| x.is_finite()) && self.stacks.iter().all(Stack::is_finite)
    }

    /// Calibration of each answer, and of the opt-out.
    pub(super) fn calibration(&self) -> (Answers<Curve>, Curve) {
        let curve = |kind: usize| self.stacks[kind].calibration.clone();
        (answers(curve), curve(OPT_OUT))
    }

    /// Expected calibration error of each answer and of the opt-out, where it could be measured.
    pub(super) fn errors(&self) -> [Option<f64>; KINDS] {
        std::array::from_fn(|kind| self.stacks[kind].error)
    }

    pub(super) fn content_answers(&self, content: usize) -> Answers<f32> {
        answers(|kind| self.stacks[kind].content_effect(content) as f32)
    }

    pub(super) fn content_opt_out(&self, content: usize) -> f32 {
        self.stacks[OPT_OUT].content_effect(content) as f32
    }

    /// What a message that is no marketing adds to the log-odds of each answer.
    pub(super) fn utility(&self) -> Answers<f32> {
        answers(|kind| -self.stacks[kind].marketing_weight() as f32)
    }

    pub(super) fn utility_opt_out(&self) -> f32 {
        -self.stacks[OPT_OUT].marketing_weight() as f32
    }

    pub(super) fn delays(&self) -> Answers<Delays> {
        answers(|kind| self.waits[kind].delays.clone())
    }
}

/// Something for each answer, by its number.
pub(super) fn answers<T>(of: impl Fn(usize) -> T) -> Answers<T> {
    debug_assert!(GOALS.len() == 3, "click, reply and conversion");
    Answers { click: of(0), reply: of(1), convert: of(2) }
}

/// The mean of people's shares and how strongly they hold to it: of a few strengths the likeliest, with
/// the mean that each makes likeliest. An opt-out happens once in a life: people do not show by it how
/// they differ.
fn beta_binomial(people: &[Tried], first: Tried, usual: f64, once: bool) -> (f64, f64) {
    const STRENGTHS: [f64; 8] = [3.0, 6.0, 12.0, 25.0, 50.0, 100.0, 200.0, 400.0];
    const PEOPLE_MIN: usize = 30;
    let told: Vec<&Tried> = people.iter().filter(|tried| tried.of > 0.0).collect();
    let mean = |strength: f64| {
        let weighed = |of: fn(&Tried) -> f64| -> f64 {
            told.iter().map(|tried| of(tried) * strength / (strength + tried.of)).sum()
        };
        (weighed(|tried| tried.happened) + first.happened) / (weighed(|tried| tried.of) + first.of)
    };
    if once || told.len() < PEOPLE_MIN {
        return (mean(usual), usual);
    }
    let likelihood = |tried: &Tried, strength: f64| -> f64 {
        let share = mean(strength);
        let (a, b) = (strength * share, strength * (1.0 - share));
        let beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
        beta(a + tried.happened, b + (tried.of - tried.happened).max(0.0)) - beta(a, b)
    };
    // the hundredth who speak loudest for weak shares may be of another kind: they do not decide
    let [weakest, .., strongest] = STRENGTHS;
    let mut usual_people: Vec<(f64, &Tried)> = told
        .iter()
        .map(|tried| (likelihood(tried, weakest) - likelihood(tried, strongest), *tried))
        .collect();
    usual_people.sort_by(|a, b| a.0.total_cmp(&b.0));
    usual_people.truncate(told.len() - told.len().div_ceil(100));
    let by_likelihood = STRENGTHS.map(|strength| {
        let all = usual_people.iter().map(|(_, tried)| likelihood(tried, strength));
        (all.sum::<f64>(), strength)
    });
    let best = by_likelihood.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(usual, |best| best.1);
    (mean(best), best)
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
        // shares of 0.05 and 0.35 in equal parts: a beta of about that spread has a strength near 7
        let people: Vec<Tried> = (0..400)
            .map(|i| Tried { happened: if i % 2 == 0 { 5.0 } else { 35.0 }, of: 100.0 })
            .collect();
        let first = Tried { happened: 0.5, of: 10.0 };
        let (share, strength) = beta_binomial(&people, first, 20.0, false);
        assert!(
            (share - 0.2).abs() < 0.01 && (3.0..=12.0).contains(&strength),
            "{share} {strength}"
        );
        let alike: Vec<Tried> =
            (0..400).map(|i| Tried { happened: 19.0 + f64::from(i % 3), of: 100.0 }).collect();
        assert!(beta_binomial(&alike, first, 20.0, false).1 >= 200.0);
    }
}
