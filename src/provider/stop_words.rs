//! Whether a person asks not to be written to again, in the words of `stop_words.toml`.
//!
//! Only a message that says nothing else counts: "stop by my shop" is no opt-out.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

/// Longer texts say something else.
const LENGTH_MAX: usize = 60;

static WORDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let languages: BTreeMap<String, Vec<String>> =
        toml::from_str(include_str!("stop_words.toml")).expect("the built-in words are TOML");
    languages.values().flatten().map(|word| plain(word)).collect()
});

/// Whether the whole text is a stop word.
pub(super) fn is_stop(text: &str) -> bool {
    text.len() <= 4 * LENGTH_MAX && WORDS.contains(&plain(text))
}

/// In small letters, with single blanks for everything that is no letter or digit. Signs of scripts
/// that are written above and below letters stay.
fn plain(text: &str) -> String {
    let marks = |c: char| c.is_ascii_punctuation() || "¡¿!?。．！？、،؟।…“”«»".contains(c);
    let kept: String = text
        .to_lowercase()
        .chars()
        .map(|c| if marks(c) || c.is_whitespace() || is_emoji(c) { ' ' } else { c })
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_emoji(c: char) -> bool {
    matches!(c as u32, 0x2600..=0x27bf | 0x1f000..=0x1faff | 0xfe0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_stop_word_alone_is_an_opt_out() {
        for text in [
            "STOP",
            " stop. ",
            "Stop!!! 🙏",
            "SAIR",
            "¡Alto!",
            "退订",
            "Arrêt",
            "opt-out",
            "बंद करें।",
            "СТОП",
        ] {
            assert!(is_stop(text), "{text}");
        }
    }

    #[test]
    fn a_stop_word_among_others_is_none() {
        for text in ["stop by my shop", "don't stop", "", "!!", "yes", "bajar", "Stopp die Presse"]
        {
            assert!(!is_stop(text), "{text}");
        }
    }

    #[test]
    fn at_least_a_dozen_languages_are_understood() {
        let languages: BTreeMap<String, Vec<String>> =
            toml::from_str(include_str!("stop_words.toml")).unwrap();
        assert!(languages.len() >= 12 && languages.values().all(|words| !words.is_empty()));
    }
}
