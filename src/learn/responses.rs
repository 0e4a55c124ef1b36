//! What follows a read: clicks, replies, conversions; and opt-outs. Who does them, after which
//! content, and how soon. [`Stack`] weighs what is gathered here.

use serde::{Deserialize, Serialize};

use super::evidence::{Answer, Sent};
use super::learner::Cut;
use super::model::Model;
use super::parallel::in_chunks;
use super::reading::{AGE_MAX, Read, Reporting};
use super::stack::{FEATURES, Row, Stack};
use super::{FitError, Subject};
use crate::model::content::Category;
use crate::model::preference::{Answers, Curve};

/// Pseudo-messages with which a person or a content is held to the population.
const PERSON: f64 = 10.0;
const CONTENT: f64 = 50.0;
/// An opt-out happens once in a life: one person's messages say little against it.
const OPT_OUT_PERSON: f64 = 200.0;
/// The most messages of a week that fatigue is counted from.
const RECENT_MAX: usize = 20;

/// The population's figures; the first index runs over click, reply, convert, and the stacks also
/// over the opt-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Responses {
    /// Chance of each answer to a message that was seen.
    answer: [f64; 3],
    /// Added to the log-odds for each content.
    content: Vec<[f64; 3]>,
    /// Chance that a delivered message is followed by an opt-out.
    opt_out: f64,
    content_opt_out: Vec<f64>,
    /// Share of each answer that has come so many hours after the message was seen.
    delays: [Vec<f32>; 3],
    stacks: [Stack; 4],
}

impl Default for Responses {
    fn default() -> Self {
        let at_once = || vec![1.0];
        Self {
            answer: [0.05, 0.05, 0.01],
            content: Vec::new(),
            opt_out: 0.002,
            content_opt_out: Vec::new(),
            delays: [at_once(), at_once(), at_once()],
            stacks: Default::default(),
        }
    }
}

const GOALS: [Answer; 3] = [Answer::Click, Answer::Reply, Answer::Convert];

/// Messages that reached a person, and what came of them.
#[derive(Debug, Clone, Default)]
struct Count {
    delivered: f64,
    opted_out: f64,
    seen: f64,
    answered: [f64; 3],
}

impl Count {
    fn merge(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.opted_out += other.opted_out;
        self.seen += other.seen;
        (0..3).for_each(|goal| self.answered[goal] += other.answered[goal]);
    }

    /// Counts a message; hears each answer's hours after the message was seen.
    fn add(
        &mut self,
        sent: &Sent,
        until: u32,
        reporting: Reporting,
        mut hear: impl FnMut(usize, usize),
    ) {
        let Some(read) = Read::new(sent, until, reporting) else { return };
        let known = until - sent.at;
        let happened = |answer| sent.after(answer).filter(|after| *after <= known);
        self.delivered += 1.0;
        self.opted_out += f64::from(u8::from(happened(Answer::OptOut).is_some()));
        let Some(seen) = read.seen else { return };
        self.seen += 1.0;
        for (goal, answer) in GOALS.into_iter().enumerate() {
            if let Some(after) = happened(answer) {
                self.answered[goal] += 1.0;
                hear(goal, (after.saturating_sub(seen) / 3600) as usize);
            }
        }
    }
}

struct Sums {
    all: Count,
    contents: Vec<Count>,
    delays: [Vec<f64>; 3],
}

impl Sums {
    fn new(contents: usize) -> Self {
        let hours = || vec![0.0; AGE_MAX];
        Self {
            all: Count::default(),
            contents: vec![Count::default(); contents],
            delays: [hours(), hours(), hours()],
        }
    }
}

/// Fits a model's responses to what a sample of people did.
pub(super) fn fit(model: &mut Model, sample: &[Cut<'_>], threads: usize) -> Result<(), FitError> {
    let contents = model.contents.list().len();
    let parts = in_chunks(sample, threads, |chunk| {
        let mut sums = Sums::new(contents);
        for Cut { subject, until } in chunk {
            for sent in subject.evidence.messages().filter(|sent| sent.at < *until) {
                let mut count = Count::default();
                count.add(&sent, *until, model.reporting, |goal, hours| {
                    if let Some(bin) = sums.delays[goal].get_mut(hours) {
                        *bin += 1.0;
                    }
                });
                sums.all.merge(&count);
                let content = sent.content.and_then(|c| sums.contents.get_mut(usize::from(c)));
                if let Some(total) = content {
                    total.merge(&count);
                }
            }
        }
        sums
    });
    let mut sums = Sums::new(contents);
    for part in parts {
        sums.all.merge(&part.all);
        sums.contents.iter_mut().zip(&part.contents).for_each(|(a, b)| a.merge(b));
        for goal in 0..3 {
            (0..AGE_MAX).for_each(|h| sums.delays[goal][h] += part.delays[goal][h]);
        }
    }
    model.responses = Responses::of(&sums);
    let rows = model.responses.rows(sample, model.reporting, threads);
    for (stack, rows) in model.responses.stacks.iter_mut().zip(rows) {
        *stack = Stack::fit(rows)?;
    }
    Ok(())
}

/// What was known of a person before each message.
struct Walk<'r> {
    responses: &'r Responses,
    count: Count,
    /// When messages of the last week were sent.
    recent: Vec<u32>,
    answered_at: Option<u32>,
}

impl<'r> Walk<'r> {
    fn new(responses: &'r Responses) -> Self {
        Self { responses, count: Count::default(), recent: Vec::new(), answered_at: None }
    }

    /// Features of a message sent `at`, for an answer or, after the last of them, the opt-out.
    fn features(&self, goal: usize, at: u32, content: f64, is_marketing: bool) -> [f64; FEATURES] {
        const WEEK: u32 = 7 * 86_400;
        // somebody who never answered is as one who did half a year ago
        const NEVER: f64 = 180.0;
        let Responses { answer, opt_out, .. } = self.responses;
        let rate = match answer.get(goal) {
            Some(p) => (self.count.answered[goal] + PERSON * p) / (self.count.seen + PERSON),
            None => OPT_OUT_PERSON * opt_out / (self.count.delivered + OPT_OUT_PERSON),
        };
        let recent = self.recent.iter().filter(|sent| at - **sent < WEEK).count() as f64;
        let days = self.answered_at.map_or(NEVER, |answered| f64::from(at - answered) / 86_400.0);
        let marketing = f64::from(u8::from(is_marketing));
        [logit(rate), content, recent.ln_1p(), days.min(NEVER).ln_1p(), marketing]
    }

    fn take(&mut self, sent: &Sent, until: u32, reporting: Reporting) {
        let before: f64 = self.count.answered.iter().sum();
        self.count.add(sent, until, reporting, |_, _| {});
        if self.count.answered.iter().sum::<f64>() > before {
            self.answered_at = Some(sent.at);
        }
        self.recent.push(sent.at);
        if self.recent.len() > RECENT_MAX {
            self.recent.remove(0);
        }
    }
}

fn is_marketing(sent: &Sent) -> bool {
    sent.category.is_none_or(|category| category == Category::Marketing)
}

impl Responses {
    fn of(sums: &Sums) -> Self {
        let start = Self::default();
        let shrink =
            |n: f64, of: f64, to: f64, strength: f64| (n + strength * to) / (of + strength);
        let answer: [f64; 3] = std::array::from_fn(|goal| {
            shrink(sums.all.answered[goal], sums.all.seen, start.answer[goal], PERSON)
        });
        let opt_out = shrink(sums.all.opted_out, sums.all.delivered, start.opt_out, OPT_OUT_PERSON);
        let effect = |n: f64, of: f64, to: f64| logit(shrink(n, of, to, CONTENT)) - logit(to);
        Self {
            answer,
            opt_out,
            content: sums
                .contents
                .iter()
                .map(|c| std::array::from_fn(|g| effect(c.answered[g], c.seen, answer[g])))
                .collect(),
            content_opt_out: sums
                .contents
                .iter()
                .map(|c| {
                    logit(shrink(c.opted_out, c.delivered, opt_out, 1.0 / opt_out)) - logit(opt_out)
                })
                .collect(),
            delays: std::array::from_fn(|goal| cumulative(&sums.delays[goal])),
            stacks: Default::default(),
        }
    }

    /// Rows for each stack: every message with what was known before it.
    fn rows(&self, sample: &[Cut<'_>], reporting: Reporting, threads: usize) -> [Vec<Row>; 4] {
        let parts = in_chunks(sample, threads, |chunk| {
            let mut rows: [Vec<Row>; 4] = Default::default();
            for cut in chunk {
                self.rows_of(cut, reporting, &mut rows);
            }
            rows
        });
        let mut rows: [Vec<Row>; 4] = Default::default();
        for part in parts {
            rows.iter_mut().zip(part).for_each(|(rows, part)| rows.extend(part));
        }
        rows
    }

    fn rows_of(&self, cut: &Cut<'_>, reporting: Reporting, rows: &mut [Vec<Row>; 4]) {
        let mut walk = Walk::new(self);
        for sent in cut.subject.evidence.messages().filter(|sent| sent.at < cut.until) {
            let mut outcome = Count::default();
            outcome.add(&sent, cut.until, reporting, |_, _| {});
            for (goal, rows) in rows.iter_mut().enumerate() {
                let (asked, happened) = match outcome.answered.get(goal) {
                    Some(answered) => (outcome.seen, *answered),
                    None => (outcome.delivered, outcome.opted_out),
                };
                if asked > 0.0 {
                    let content = self.content_effect(sent.content, goal);
                    let features = walk.features(goal, sent.at, content, is_marketing(&sent));
                    rows.push(Row { at: sent.at, features, happened: happened > 0.0 });
                }
            }
            walk.take(&sent, cut.until, reporting);
        }
    }

    fn content_effect(&self, content: Option<u16>, goal: usize) -> f64 {
        let Some(content) = content.map(usize::from) else { return 0.0 };
        match self.content.get(content).and_then(|effects| effects.get(goal)) {
            Some(effect) => *effect,
            None => self.content_opt_out.get(content).copied().unwrap_or(0.0),
        }
    }

    /// A person's log-odds of each answer and of an opt-out to marketing at `until`, of content that
    /// is as good as any.
    pub(super) fn ask(
        &self,
        subject: &Subject<'_>,
        until: u32,
        reporting: Reporting,
    ) -> (Answers<f32>, f32) {
        let mut walk = Walk::new(self);
        for sent in subject.evidence.messages().filter(|sent| sent.at < until) {
            walk.take(&sent, until, reporting);
        }
        let odds =
            |goal: usize| self.stacks[goal].log_odds(&walk.features(goal, until, 0.0, true)) as f32;
        (Answers { click: odds(0), reply: odds(1), convert: odds(2) }, odds(3))
    }

    /// Takes what happened after the model was fitted into the stacks; says whether any changed.
    pub(super) fn refresh(
        &mut self,
        people: &[Cut<'_>],
        reporting: Reporting,
        fitted_until: u32,
        seed: u64,
        threads: usize,
    ) -> Result<bool, FitError> {
        let rows = self.rows(people, reporting, threads);
        let mut changed = false;
        for (stack, rows) in self.stacks.iter_mut().zip(rows) {
            changed |= stack.refresh(rows, fitted_until, seed)?;
        }
        Ok(changed)
    }

    pub(super) fn is_finite(&self) -> bool {
        let rates = self.answer.iter().chain([&self.opt_out]).chain(&self.content_opt_out);
        rates.chain(self.content.iter().flatten()).all(|x| x.is_finite())
            && self.stacks.iter().all(Stack::is_finite)
    }

    /// Calibration of each answer, and of the opt-out.
    pub(super) fn calibration(&self) -> (Answers<Curve>, Curve) {
        let [click, reply, convert, opt_out] = &self.stacks;
        let curve = |stack: &Stack| stack.calibration.clone();
        let answers = Answers { click: curve(click), reply: curve(reply), convert: curve(convert) };
        (answers, curve(opt_out))
    }

    /// Expected calibration error of each answer and of the opt-out, where it could be measured.
    pub(super) fn errors(&self) -> [Option<f64>; 4] {
        std::array::from_fn(|goal| self.stacks[goal].error)
    }

    pub(super) fn content_answers(&self, content: usize) -> Answers<f32> {
        let effects = self.content.get(content).copied().unwrap_or_default();
        let added = |goal: usize| (self.stacks[goal].content_weight() * effects[goal]) as f32;
        Answers { click: added(0), reply: added(1), convert: added(2) }
    }

    pub(super) fn content_opt_out(&self, content: usize) -> f32 {
        let effect = self.content_opt_out.get(content).copied().unwrap_or_default();
        (self.stacks[3].content_weight() * effect) as f32
    }

    /// What a message that is no marketing adds to the log-odds of each answer.
    pub(super) fn utility(&self) -> Answers<f32> {
        let added = |goal: usize| -self.stacks[goal].marketing_weight() as f32;
        Answers { click: added(0), reply: added(1), convert: added(2) }
    }

    pub(super) fn utility_opt_out(&self) -> f32 {
        -self.stacks[3].marketing_weight() as f32
    }

    pub(super) fn delays(&self) -> Answers<Vec<f32>> {
        let [click, reply, convert] = self.delays.clone();
        Answers { click, reply, convert }
    }
}

/// Shares that came within so many hours, counted at the middle of each; one that is never heard of
/// comes at once.
fn cumulative(hours: &[f64]) -> Vec<f32> {
    let total: f64 = hours.iter().sum();
    if total == 0.0 {
        return vec![1.0];
    }
    let mut before = 0.0;
    let share = hours.iter().map(|n| {
        before += n;
        ((before - 0.5 * n) / total) as f32
    });
    share.collect()
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}
