//! The texts that everybody's classifier learns from: examples as people write them, and patterns of
//! texts that are easily taken for each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::hash::{hash, mix};
use crate::model::reply::Intent;

/// The languages of the examples, in BCP 47.
pub(super) const LANGUAGES: [&str; 24] = [
    "en", "es", "pt", "fr", "de", "it", "nl", "pl", "ru", "uk", "tr", "ar", "he", "fa", "hi", "bn",
    "id", "ms", "vi", "th", "zh", "ja", "ko", "sv",
];
/// Texts of one pattern: enough that each of its alternatives comes.
const TEXTS_OF_PATTERN: u64 = 8;
/// What a text of a pattern counts beside an example: its texts say much the same.
const PATTERN_WEIGHT: f32 = 0.5;
/// The same where it is a stop: a false withdrawal is the worse error.
const STOP_PATTERN_WEIGHT: f32 = 0.25;

/// A text with what it means; `language` is an index of [`LANGUAGES`].
pub(super) struct Example {
    pub(super) text: String,
    pub(super) language: usize,
    pub(super) intent: Intent,
    /// What it counts.
    pub(super) weight: f32,
}

/// The built-in examples, in the order of the languages.
pub(super) fn examples() -> Vec<Example> {
    read(include_str!("examples.toml"))
}

/// All that is learned from: the examples, and texts of the patterns.
pub(super) fn all_examples() -> Vec<Example> {
    examples().into_iter().chain(pattern_families().into_iter().flatten()).collect()
}

/// Texts of each built-in pattern.
pub(super) fn pattern_families() -> Vec<Vec<Example>> {
    let texts = |pattern: Example| {
        let is_stop = pattern.intent == Intent::Stop;
        let weight = if is_stop { STOP_PATTERN_WEIGHT } else { PATTERN_WEIGHT };
        let texts = texts_of(&pattern.text).into_iter();
        texts.map(|text| Example { text, weight, ..pattern }).collect()
    };
    read(include_str!("patterns.toml")).into_iter().map(texts).collect()
}

/// Reads texts by language and intent, a text a line.
pub(super) fn read(file: &str) -> Vec<Example> {
    let by_language: BTreeMap<String, BTreeMap<Intent, String>> =
        toml::from_str(file).expect("the built-in texts are TOML");
    let mut found = Vec::new();
    for (language, tag) in LANGUAGES.iter().enumerate() {
        for (intent, texts) in &by_language[*tag] {
            let texts = texts.lines().filter(|text| !text.is_empty()).map(str::to_owned);
            let example = |text| Example { text, language, intent: *intent, weight: 1.0 };
            found.extend(texts.map(example));
        }
    }
    found
}

/// Some of the texts that a pattern gives, the same every time. `(a|b|)` is a, b or nothing.
fn texts_of(pattern: &str) -> BTreeSet<String> {
    let seed = hash(&[pattern]);
    let text = |number: u64| {
        let mut text = String::new();
        // what stands outside parentheses and within them comes in turn
        for (at, part) in (0_u64..).zip(pattern.split(['(', ')'])) {
            if at % 2 == 0 {
                text.push_str(part);
                continue;
            }
            let choices: Vec<&str> = part.split('|').collect();
            let count = choices.len() as u64;
            // each choice comes once before chance decides
            let chance = mix(seed ^ (number * 64 + at));
            let chosen = if number < count { number + at } else { chance } % count;
            text.push_str(choices[chosen as usize]);
        }
        text
    };
    (0..TEXTS_OF_PATTERN).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_of_a_pattern_comes() {
        let texts = texts_of("(a|b|c|)x (d|e)");
        for part in ["ax", "bx", "cx", "x d", "x e"] {
            assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:?}");
        }
        assert!(texts.iter().any(|text| text.starts_with('x')), "{texts:?}");
        assert!(texts.len() <= TEXTS_OF_PATTERN as usize);
        assert_eq!(texts_of("plain"), BTreeSet::from(["plain".to_owned()]));
    }

    #[test]
    fn patterns_are_closed() {
        for pattern in read(include_str!("patterns.toml")) {
            let open = pattern.text.matches('(').count();
            assert_eq!(open, pattern.text.matches(')').count(), "{}", pattern.text);
        }
    }
}
