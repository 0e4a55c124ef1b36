//! The classifier of texts: intent and language, each with a probability.

use std::sync::{Arc, LazyLock};

use super::concepts::{CONCEPT_COLUMNS, concept_columns};
use super::examples::{Example, LANGUAGES, all_examples};
use super::row::{COLUMNS, Rarity, columns_of};
use super::text::fold;
use crate::model::hash::mix;
use crate::model::reply::{Intent, JudgedText};

/// Passes over the examples; more of them fit their noise.
const PASSES: u64 = 3;
/// The same for languages, which are told apart more easily.
const LANGUAGE_PASSES: u64 = 2;
/// The first step of a weight, in log-odds for each unit of its column.
const STEP: f32 = 0.3;
/// Keeps the first division finite.
const SQUARES_START: f32 = 1e-6;
/// An example that is known so well teaches nothing any more.
const SQUARE_MIN: f32 = 1e-4;
/// A person's correction counts as so many examples: it is about this workspace's own texts.
const LABEL_WEIGHT: f32 = 4.0;

/// What concepts weigh beside pieces.
const CONCEPT_SHARE: f32 = 1.0;
/// A language at least this probable may be a text's.
const SPOKEN_MIN: f32 = 0.15;
/// English among the languages.
const ENGLISH: usize = 0;

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
    concepts: Rarity,
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
            LazyLock::new(|| Arc::new(ReplyClassifier::train(&all_examples(), &[])));
        Arc::clone(&BUILT_IN)
    }

    /// A classifier that learned from people's labels too.
    pub fn with_labels(labels: &[LabelledText]) -> Arc<Self> {
        if labels.is_empty() {
            return Self::built_in();
        }
        Arc::new(Self::train(&all_examples(), labels))
    }

    /// Learns from examples and labels.
    pub(super) fn train(examples: &[Example], labels: &[LabelledText]) -> Self {
        let texts = examples.iter().map(|example| example.text.as_str());
        let texts = texts.chain(labels.iter().map(|label| label.text.as_str()));
        let folded: Vec<Vec<char>> = texts.map(fold).collect();
        let pieces: Vec<Vec<u32>> = folded.iter().map(|folded| columns_of(folded)).collect();
        let rarity = Rarity::of(&pieces, COLUMNS);
        let known = examples.iter().map(|e| (e.intent, Some(e.language), e.weight));
        let known = known.chain(labels.iter().map(|l| (l.intent, None, LABEL_WEIGHT)));
        let targets = pieces.iter().zip(known).map(|(columns, (intent, language, weight))| {
            Target { row: rarity.row(columns), intent: intent as usize, language, weight }
        });
        let mut targets: Vec<Target> = targets.collect();
        let mut languages = Head::new(COLUMNS);
        for pass in 0..LANGUAGE_PASSES {
            for target in shuffled(targets.len(), pass).map(|at| &targets[at]) {
                if let Some(language) = target.language {
                    languages.learn(&target.row, language, target.weight);
                }
            }
        }
        let concepts = folded.iter().zip(&targets).map(|(folded, target)| {
            concept_columns(folded, &spoken(&languages.probabilities(&target.row)))
        });
        let columns: Vec<Vec<u32>> = concepts.collect();
        let concepts = Rarity::of(&columns, CONCEPT_COLUMNS);
        for (target, columns) in targets.iter_mut().zip(&columns) {
            add_concepts(&mut target.row, &concepts.row(columns));
        }
        let mut intents = Head::new(COLUMNS + CONCEPT_COLUMNS);
        for pass in 0..PASSES {
            for target in shuffled(targets.len(), pass).map(|at| &targets[at]) {
                intents.learn(&target.row, target.intent, target.weight);
            }
        }
        Self { rarity, concepts, intents, languages }
    }

    /// What a text is taken for.
    pub fn judge(&self, text: &str) -> JudgedText {
        let folded = fold(text);
        let mut row = self.rarity.row(&columns_of(&folded));
        let languages = self.languages.probabilities(&row);
        let columns = concept_columns(&folded, &spoken(&languages));
        add_concepts(&mut row, &self.concepts.row(&columns));
        let intents = self.intents.probabilities(&row);
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

/// The numbers below `count`, in an order that a pass always has.
fn shuffled(count: usize, pass: u64) -> impl Iterator<Item = usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|at| mix(pass << 32 | *at as u64));
    order.into_iter()
}

/// The languages whose words are looked for, the likeliest first. Words of English stand in texts of
/// all.
fn spoken(probabilities: &[f32]) -> Vec<usize> {
    let first = highest(probabilities);
    let mut found = vec![first];
    let likely = |at: &usize| *at != first && probabilities[*at] >= SPOKEN_MIN;
    found.extend((0..probabilities.len()).filter(likely));
    if !found.contains(&ENGLISH) {
        found.push(ENGLISH);
    }
    found
}

/// Puts the columns of concepts behind those of pieces.
fn add_concepts(row: &mut Vec<(u32, f32)>, concepts: &[(u32, f32)]) {
    let behind = |(column, weight): &(u32, f32)| (column + COLUMNS as u32, weight * CONCEPT_SHARE);
    row.extend(concepts.iter().map(behind));
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
    fn new(columns: usize) -> Self {
        Self { weights: vec![[0.0; N]; columns], squares: vec![SQUARES_START; columns] }
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
