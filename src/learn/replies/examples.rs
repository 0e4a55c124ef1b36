//! The texts that everybody's classifier learns from.

use std::collections::BTreeMap;

use crate::model::reply::Intent;

/// The languages of the examples, in BCP 47.
pub(super) const LANGUAGES: [&str; 24] = [
    "en", "es", "pt", "fr", "de", "it", "nl", "pl", "ru", "uk", "tr", "ar", "he", "fa", "hi", "bn",
    "id", "ms", "vi", "th", "zh", "ja", "ko", "sv",
];

/// A text with what it means; `language` is an index of [`LANGUAGES`].
pub(super) struct Example {
    pub(super) text: String,
    pub(super) language: usize,
    pub(super) intent: Intent,
}

/// The built-in examples, in the order of the file's languages.
pub(super) fn examples() -> Vec<Example> {
    let by_language: BTreeMap<String, BTreeMap<Intent, String>> =
        toml::from_str(include_str!("examples.toml")).expect("the built-in examples are TOML");
    let mut found = Vec::new();
    for (language, tag) in LANGUAGES.iter().enumerate() {
        for (intent, texts) in &by_language[*tag] {
            let texts = texts.lines().filter(|text| !text.is_empty()).map(str::to_owned);
            found.extend(texts.map(|text| Example { text, language, intent: *intent }));
        }
    }
    found
}
