//! What follows a read: clicks, replies, conversions; and opt-outs. Who does them, after which
//! content, and how soon.

use serde::{Deserialize, Serialize};

use super::Subject;
use super::evidence::{Answer, Sent};
use super::model::Model;
use super::parallel::in_chunks;
use super::reading::{AGE_MAX, Read, Reporting};
use super::seconds;
use crate::model::preference::Answers;

/// Pseudo-messages with which a person or a content is held to the population.
const PERSON: f64 = 10.0;
const CONTENT: f64 = 50.0;
/// An opt-out happens once in a life: one person's messages say little against it.
const OPT_OUT_PERSON: f64 = 200.0;

/// The population's figures; `index` runs over click, reply, convert.
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
        let known = until - sent.sent;
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
pub(super) fn fit(model: &mut Model, sample: &[Subject<'_>], threads: usize) {
    let until = seconds(model.as_of());
    let contents = model.contents.list().len();
    let parts = in_chunks(sample, threads, |chunk| {
        let mut sums = Sums::new(contents);
        for subject in chunk {
            for sent in subject.evidence.messages().filter(|sent| sent.sent < until) {
                let mut count = Count::default();
                count.add(&sent, until, model.reporting, |goal, hours| {
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
        }
    }

    /// A person's log-odds of each answer and of an opt-out, by the messages up to `until`.
    pub(super) fn ask(
        &self,
        subject: &Subject<'_>,
        until: u32,
        reporting: Reporting,
    ) -> (Answers<f32>, f32) {
        let mut count = Count::default();
        for sent in subject.evidence.messages().filter(|sent| sent.sent < until) {
            count.add(&sent, until, reporting, |_, _| {});
        }
        let own = |goal: usize| {
            let n = count.answered[goal] + PERSON * self.answer[goal];
            logit(n / (count.seen + PERSON)) as f32
        };
        let opt_out = (OPT_OUT_PERSON * self.opt_out) / (count.delivered + OPT_OUT_PERSON);
        (Answers { click: own(0), reply: own(1), convert: own(2) }, logit(opt_out) as f32)
    }

    pub(super) fn content_answers(&self, content: usize) -> Answers<f32> {
        let [click, reply, convert] = self.content.get(content).copied().unwrap_or_default();
        Answers { click: click as f32, reply: reply as f32, convert: convert as f32 }
    }

    pub(super) fn content_opt_out(&self, content: usize) -> f32 {
        self.content_opt_out.get(content).copied().unwrap_or_default() as f32
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
