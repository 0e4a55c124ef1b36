//! Whether a person asks not to be written to again, in the words of `stop_words.toml`.
//!
//! Only a message that says nothing else counts: "stop by my shop" is no opt-out. Texts are
//! compared in the compatibility form NFKC (UAX 15) with case folded, the four letters i alike, and
//! without what cannot be seen. A word that is ordinary in another language is bound to a language
//! or dialling code; whom it comes from decides, see [`StopWord::applies`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::text::is_invisible;
use crate::model::recipient::{Country, Locale};

/// Longer texts say something else, whatever hides in them, in bytes.
const RAW_MAX: usize = 2048;
/// The longest of the list has fewer bytes.
const PLAIN_MAX: usize = 240;

/// A stop word that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopWord(Option<Arc<Bound>>);

impl StopWord {
    /// Whether it means the same from everybody.
    pub fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it asks to stop, from a person with this language, whose number or file tells these
    /// countries.
    pub fn applies(&self, language: Option<&Locale>, countries: &[Country]) -> bool {
        let Some(bound) = &self.0 else { return true };
        let speaks = |languages: &[String]| {
            let spoken = language.map(ToString::to_string).unwrap_or_default();
            let spoken = spoken.split(['_', '-']).next().unwrap_or_default().to_lowercase();
            languages.contains(&spoken)
        };
        let lives = |listed: &[Country]| countries.iter().any(|country| listed.contains(country));
        if speaks(&bound.languages) {
            return true;
        }
        if speaks(&bound.not_languages) {
            return false;
        }
        let open = !bound.not_languages.is_empty() || !bound.not_countries.is_empty();
        lives(&bound.countries) || open && !lives(&bound.not_countries)
    }
}

/// Where a word counts.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    words: Vec<String>,
    languages: Vec<String>,
    countries: Vec<Country>,
    #[serde(default)]
    not_languages: Vec<String>,
    #[serde(default)]
    not_countries: Vec<Country>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    words: BTreeMap<String, Vec<String>>,
    bound: Vec<Arc<Bound>>,
    buttons: BTreeMap<String, Vec<String>>,
}

static WORDS: LazyLock<HashMap<String, StopWord>> = LazyLock::new(|| {
    let lists: Lists =
        toml::from_str(include_str!("stop_words.toml")).expect("the built-in words are TOML");
    let everywhere = lists.words.values().chain(lists.buttons.values()).flatten();
    let mut words: HashMap<_, _> = everywhere.map(|word| (plain(word), StopWord(None))).collect();
    for bound in lists.bound {
        for word in &bound.words {
            words.insert(plain(word), StopWord(Some(Arc::clone(&bound))));
        }
    }
    words
});

/// The stop word that a text is, as a whole: what was written, or what stands on a button.
pub fn stop_word(text: &str) -> Option<StopWord> {
    if text.len() > RAW_MAX {
        return None;
    }
    let plain = plain(text);
    if plain.is_empty() || plain.len() > PLAIN_MAX {
        return None;
    }
    WORDS.get(&plain).or_else(|| WORDS.get(repeated(&plain)?)).cloned()
}

/// The word that a text says several times and nothing else.
fn repeated(plain: &str) -> Option<&str> {
    let first = plain.split(' ').next()?;
    let again = plain.split(' ').skip(1);
    (plain.len() > first.len() && again.into_iter().all(|word| word == first)).then_some(first)
}

/// Folded, with single blanks for everything that is no letter, mark or digit.
fn plain(text: &str) -> String {
    let folded = fold(text);
    let kept: String = folded
        .chars()
        .map(|c| match c.general_category_group() {
            GeneralCategoryGroup::Letter
            | GeneralCategoryGroup::Mark
            | GeneralCategoryGroup::Number => c,
            _ => ' ',
        })
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In one form of its letters: composed, without compatibility forms, case and hidden signs.
fn fold(text: &str) -> String {
    // up and down again folds ß and ı as well; the dot of a capital İ stays as a mark
    let seen = text.nfkc().filter(|c| !is_hidden(*c)).collect::<String>();
    let small = seen.to_uppercase().to_lowercase();
    small.nfkd().filter(|c| !is_optional(*c)).map(alike).nfkc().filter(|c| !is_hidden(*c)).collect()
}

/// What shows nothing by itself: format characters, variation selectors and other characters that
/// Unicode calls default-ignorable, and the frame of keycap signs.
fn is_hidden(c: char) -> bool {
    is_invisible(c) && !c.is_whitespace() && c != '\n'
        || matches!(
            c,
            '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{20e0}'..='\u{20e4}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{e0100}'..='\u{e01ef}'
        )
}

/// Marks that writers set or leave: the dot above an i of Turkish, vowel signs of Arabic and Hebrew,
/// the stroke that draws an Arabic word out.
fn is_optional(c: char) -> bool {
    matches!(
        c,
        '\u{307}' | '\u{640}' | '\u{64b}'..='\u{652}' | '\u{670}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'
            | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
    )
}

/// Letters that keyboards of one script write with different signs.
fn alike(c: char) -> char {
    match c {
        'ς' => 'σ',
        'ı' => 'i',
        // Arabic, Persian and Urdu: kaf and yeh
        '\u{643}' => '\u{6a9}',
        '\u{64a}' | '\u{649}' => '\u{6cc}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_stop(text: &str) -> bool {
        stop_word(text).is_some()
    }

    fn from(text: &str, language: &str, country: &str) -> bool {
        let language: Option<Locale> = language.parse().ok();
        let countries: Vec<Country> = country.parse().into_iter().collect();
        stop_word(text).is_some_and(|word| word.applies(language.as_ref(), &countries))
    }

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
            "«стоп»",
            "stop\n\nstop",
            "STOP STOP STOP",
            "ＳＴＯＰ！",
            "Στοπ",
            "ΣΤΟΠ",
        ] {
            assert!(is_stop(text), "{text}");
        }
    }

    #[test]
    fn a_stop_word_among_others_is_none() {
        let long = format!("stop{}", "\u{200b}".repeat(RAW_MAX));
        for text in [
            "stop by my shop",
            "don't stop",
            "don't stop, please",
            "",
            "!!",
            "yes",
            "bajar",
            "Stopp die Presse",
            "stop 1",
            "no parar",
            "非停止",
            "stop basta",
            "🛑",
            &long,
        ] {
            assert!(!is_stop(text), "{text}");
        }
    }

    #[test]
    fn letters_are_compared_however_they_are_written() {
        for text in [
            "İPTAL",
            "iptal",
            "IPTAL",
            "ıptal",
            "I\u{307}PTAL",
            "ÇIKIŞ",
            "çıkış",
            "C\u{327}IKIS\u{327}",
            "ABONELİKTEN ÇIK",
            "abonelikten çık",
            "Arre\u{302}t",
            "Na\u{303}o quero mais",
            "\u{202a}STOP\u{202c}",
            "stop\u{200b}",
            "\u{feff}Stop",
            "s\u{ad}top",
            "st\u{2060}op",
            "\u{200f}توقف",
            "تو\u{640}\u{640}قف",
            "تَوَقَّف",
            "إيقاف",
            "روكيں",
            "𝐒𝐓𝐎𝐏",
            "ⓈⓉⓄⓅ",
            "stop\u{fe0f}",
            "s\u{34f}top",
            "\u{2068}stop\u{2069}",
            "stop\u{3164}",
            "중지".nfd().collect::<String>().as_str(),
            "रुको",
            "dừng".nfd().collect::<String>().as_str(),
        ] {
            assert!(is_stop(text), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn every_word_of_the_list_is_found_in_capitals_and_decomposed() {
        let lists: Lists = toml::from_str(include_str!("stop_words.toml")).unwrap();
        assert!(lists.words.len() >= 12 && lists.words.values().all(|words| !words.is_empty()));
        for word in lists.words.values().flatten() {
            assert!(is_stop(word), "{word}");
            assert!(is_stop(&word.to_uppercase()), "{word}");
            assert!(is_stop(&word.nfd().collect::<String>()), "{word}");
            assert!(stop_word(word).is_some_and(|found| found.is_plain()), "{word} is bound too");
        }
        for word in lists.buttons.values().flatten() {
            assert!(stop_word(&word.to_uppercase()).is_some_and(|w| w.is_plain()), "{word}");
        }
    }

    #[test]
    fn a_word_that_is_ordinary_elsewhere_is_bound_to_its_home() {
        for (text, language, country, stop) in [
            ("Acha", "en_IN", "IN", false),
            ("acha", "hi_IN", "IN", false),
            ("Acha!", "ur_PK", "PK", false),
            ("Acha", "pt_BR", "BR", false),
            ("Acha", "", "", false),
            ("Acha", "sw_KE", "KE", true),
            ("ACHA", "", "TZ", true),
            ("acha", "sw", "GB", true),
            ("alto", "pt_BR", "BR", false),
            ("alto", "es_MX", "MX", true),
            ("Alto", "", "AR", true),
            ("alto", "it_IT", "IT", false),
            ("baja", "id_ID", "ID", false),
            ("baja", "ms", "MY", false),
            ("baja", "", "BR", true),
            ("baja", "es", "US", true),
            ("Pare", "fil_PH", "PH", false),
            ("pare", "it", "IT", false),
            ("pare", "pt_BR", "BR", true),
            ("sair", "ur_PK", "PK", false),
            ("sair", "", "BR", true),
            ("sair", "", "", true),
            ("basta", "fil", "PH", false),
            ("basta", "it_IT", "IT", true),
            ("dur", "fr_FR", "FR", false),
            ("dur", "de", "DE", false),
            ("DUR", "tr", "DE", true),
            ("ret", "da_DK", "DK", false),
            ("ret", "", "TR", true),
            ("ferma", "ro_RO", "RO", false),
            ("ferma", "it_CH", "CH", true),
            ("STOP", "en_IN", "IN", true),
            ("END", "", "US", true),
            ("Cancel", "es_US", "US", true),
            ("cancel", "en_GB", "GB", false),
            ("end", "nb", "NO", false),
        ] {
            assert_eq!(from(text, language, country), stop, "{text} of {language} in {country}");
        }
    }

    #[test]
    fn the_channels_own_buttons_are_stops_when_they_are_pressed() {
        for label in [
            "Detener promociones",
            "Unsubscribe from Promos",
            "Unsubscribe from All",
            "Stop promotions",
            "Parar promoções",
            "PARAR PROMOC\u{327}O\u{303}ES",
            "Остановить рекламу",
            "プロモーションを停止",
        ] {
            assert!(is_stop(label), "{label}");
        }
        assert!(stop_word("OPT_OUT").is_some());
        assert!(stop_word("STOP_PROMOTIONS").is_some());
        assert!(stop_word("Not interested").is_none());
        assert!(stop_word("Shop promotions").is_none());
    }
}
