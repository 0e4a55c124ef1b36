//! The classifier of texts: intent and language, each with a probability.

use std::sync::{Arc, LazyLock};

use super::examples::{Example, LANGUAGES, examples, pattern_examples};
use super::row::{COLUMNS, Rarity, columns};
use crate::model::hash::mix;
use crate::model::reply::{Intent, JudgedText};

/// Passes over the examples; more of them fit their noise.
const PASSES: u64 = 6;
/// The same for languages, which are told apart more easily.
const LANGUAGE_PASSES: u64 = 2;
/// The first step of a weight, in log-odds for each unit of its column.
const STEP: f32 = 0.5;
/// Keeps the first division finite.
const SQUARES_START: f32 = 1e-6;
/// An example that is known so well teaches nothing any more.
const SQUARE_MIN: f32 = 1e-4;
/// A person's correction counts as so many examples: it is about this workspace's own texts.
const LABEL_WEIGHT: f32 = 4.0;

const INTENTS: usize = Intent::ALL.len();

/// A text whose intent a person told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LabelledText {
    /// What was written.
    pub text: String,
    /// What it means.
    pub intent: Intent,
}

/// Tells intent and language of texts in the languages of its examples.
pub struct ReplyClassifier {
    rarity: Rarity,
    intents: Head<INTENTS>,
    languages: Head<{ LANGUAGES.len() }>,
}

/// A text to learn from.
struct Target {
    row: Vec<(u32, f32)>,
    intent: usize,
    /// Unknown of a text that a person labelled.
    language: Option<usize>,
    weight: f32,
}

impl ReplyClassifier {
    /// The classifier of the built-in examples; trained when it is first asked for.
    pub fn built_in() -> Arc<Self> {
        static BUILT_IN: LazyLock<Arc<ReplyClassifier>> =
            LazyLock::new(|| Arc::new(ReplyClassifier::train(examples(), &[])));
        Arc::clone(&BUILT_IN)
    }

    /// A classifier that learned from people's labels too.
    pub fn with_labels(labels: &[LabelledText]) -> Arc<Self> {
        if labels.is_empty() {
            return Self::built_in();
        }
        Arc::new(Self::train(examples(), labels))
    }

    /// Learns from examples, from the built-in patterns, and from labels.
    pub(super) fn train(mut examples: Vec<Example>, labels: &[LabelledText]) -> Self {
        examples.extend(pattern_examples());
        let texts = examples.iter().map(|example| example.text.as_str());
        let texts = texts.chain(labels.iter().map(|label| label.text.as_str()));
        let texts: Vec<Vec<u32>> = texts.map(columns).collect();
        let rarity = Rarity::of(&texts);
        let known = examples.iter().map(|e| (e.intent, Some(e.language), e.weight));
        let known = known.chain(labels.iter().map(|l| (l.intent, None, LABEL_WEIGHT)));
        let targets = texts.iter().zip(known).map(|(columns, (intent, language, weight))| Target {
            row: rarity.row(columns),
            intent: intent as usize,
            language,
            weight,
        });
        let targets: Vec<Target> = targets.collect();
        let (mut intents, mut languages) = (Head::new(), Head::new());
        for pass in 0..PASSES {
            let mut order: Vec<usize> = (0..targets.len()).collect();
            // the same order every time
            order.sort_by_key(|at| mix(pass << 32 | *at as u64));
            for target in order.into_iter().map(|at| &targets[at]) {
                intents.learn(&target.row, target.intent, target.weight);
                if let Some(language) = target.language.filter(|_| pass < LANGUAGE_PASSES) {
                    languages.learn(&target.row, language, target.weight);
                }
            }
        }
        Self { rarity, intents, languages }
    }

    /// What a text is taken for.
    pub fn judge(&self, text: &str) -> JudgedText {
        let row = self.rarity.row(&columns(text));
        let intents = self.intents.probabilities(&row);
        let languages = self.languages.probabilities(&row);
        let (intent, language) = (highest(&intents), highest(&languages));
        JudgedText {
            intent: Intent::ALL[intent],
            probability: f64::from(intents[intent]),
            stop: f64::from(intents[Intent::Stop as usize]),
            language: LANGUAGES[language],
            language_probability: f64::from(languages[language]),
        }
    }
}

fn highest(probabilities: &[f32]) -> usize {
    let each = probabilities.iter().enumerate();
    each.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at)
}

/// A multinomial logistic regression with `N` classes.
struct Head<const N: usize> {
    weights: Vec<[f32; N]>,
    /// The sum of squared gradients of each column.
    squares: Vec<f32>,
}

impl<const N: usize> Head<N> {
    fn new() -> Self {
        Self { weights: vec![[0.0; N]; COLUMNS], squares: vec![SQUARES_START; COLUMNS] }
    }

    fn probabilities(&self, row: &[(u32, f32)]) -> [f32; N] {
        let mut scores = [0_f32; N];
        for (column, value) in row {
            let weights = &self.weights[*column as usize];
            for class in 0..N {
                scores[class] += weights[class] * value;
            }
        }
        let top = scores.iter().copied().fold(f32::MIN, f32::max);
        let odds = scores.map(|score| (score - top).exp());
        let sum: f32 = odds.iter().sum();
        odds.map(|odds| odds / sum)
    }

    /// One step of `AdaGrad` up the log-likelihood of an example.
    fn learn(&mut self, row: &[(u32, f32)], class: usize, weight: f32) {
        let mut gradient = self.probabilities(row).map(|probability| -weight * probability);
        gradient[class] += weight;
        let square: f32 = gradient.iter().map(|part| part * part).sum();
        if square < SQUARE_MIN {
            return;
        }
        for (column, value) in row {
            let column = *column as usize;
            self.squares[column] += square * value * value;
            let step = STEP * value / self.squares[column].sqrt();
            let weights = &mut self.weights[column];
            for class in 0..N {
                weights[class] += step * gradient[class];
            }
        }
    }
}
