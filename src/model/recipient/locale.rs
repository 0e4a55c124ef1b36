//! Languages to read and write in: BCP 47 tags and their older spellings, and how near two of them
//! are by Unicode CLDR.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use icu_locale::subtags::{Language, Region, Script};
use icu_locale::{
    LanguageIdentifier, Locale as UnicodeLocale, LocaleCanonicalizer, LocaleExpander,
};
use language_matcher::LanguageMatcher;
use serde::{Deserialize, Serialize};

use crate::model::Invalid;
use crate::model::written::plain;

/// A language with optional script and region, such as `pt_BR` or `zh_Hant_TW`, as it was written:
/// providers know translations by the code that they were given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale {
    language: Box<str>,
    script: Option<Box<str>>,
    region: Option<Box<str>>,
}

/// How far a text's language is from a reader's: 0 is the same. The unit is a tenth of CLDR's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance(u16);

impl Distance {
    /// Farther than this CLDR holds that a reader does not understand it.
    const FIT_MAX: u16 = 499;
}

static CANONICALIZER: LazyLock<LocaleCanonicalizer> =
    LazyLock::new(LocaleCanonicalizer::new_extended);
static EXPANDER: LazyLock<LocaleExpander> = LazyLock::new(LocaleExpander::new_extended);
static MATCHER: LazyLock<LanguageMatcher> = LazyLock::new(LanguageMatcher::new);

/// Whose Spanish is nearer to that of each other than to Spain's: CLDR, parent locales of `es_419`.
const LATIN_AMERICA: [&str; 22] = [
    "AR", "BO", "BR", "BZ", "CL", "CO", "CR", "CU", "DO", "EC", "GT", "HN", "MX", "NI", "PA", "PE",
    "PR", "PY", "SV", "US", "UY", "VE",
];

/// Whose Portuguese is Portugal's: CLDR, parent locales of `pt_PT`.
const PORTUGAL: [&str; 11] = ["AO", "CH", "CV", "FR", "GQ", "GW", "LU", "MO", "MZ", "ST", "TL"];

/// Puts what stands today for old codes (`iw`, `UK`) in their place.
pub(super) fn canonical(id: &mut LanguageIdentifier) {
    let mut locale = UnicodeLocale::from(id.clone());
    CANONICALIZER.canonicalize(&mut locale);
    *id = locale.id;
}

impl Locale {
    /// How far a text in this language is from a reader of `reader`; `None` where it cannot be given
    /// to them.
    pub fn distance(&self, reader: &Locale) -> Option<Distance> {
        if self == reader {
            return Some(Distance(0));
        }
        let distance = MATCHER.distance(reader.full(), self.full());
        // the very same code comes before another that means the same, and of two regions that are
        // as near the one that was written for many countries
        let one_country = u16::from(!self.is_for_many());
        (distance <= Distance::FIT_MAX).then_some(Distance(1 + 2 * distance + one_country))
    }

    /// Whether it names a language at all: `und`, `mul` and their like say that none is known.
    pub fn is_known(&self) -> bool {
        !matches!(&*self.language, "und" | "mul" | "mis" | "zxx" | "root")
    }

    /// Whether the region is of many countries, such as 419, Latin America.
    fn is_for_many(&self) -> bool {
        self.region.as_deref().is_some_and(|region| region.bytes().all(|b| b.is_ascii_digit()))
    }

    /// With likely script and region filled in, as the matcher asks.
    fn full(&self) -> LanguageIdentifier {
        let mut id = LanguageIdentifier {
            language: self.language.parse().unwrap_or(Language::UNKNOWN),
            script: self.script.as_deref().and_then(|script| script.parse().ok()),
            region: self.region.as_deref().and_then(|region| region.parse().ok()),
            ..LanguageIdentifier::UNKNOWN
        };
        match (&*self.language, self.region.as_deref()) {
            // Latin America, as Facebook and some phones write it
            ("es", Some("LA" | "LATAM" | "XL")) => id.region = "419".parse().ok(),
            ("zh", Some("CHS")) => id.script = "Hans".parse().ok(),
            ("zh", Some("CHT")) => id.script = "Hant".parse().ok(),
            _ => {}
        }
        canonical(&mut id);
        // the matcher knows single regions, and not which of them lie in America
        id.region = match id.region.as_ref().map(Region::as_str) {
            Some(region) if &*self.language == "es" && LATIN_AMERICA.contains(&region) => {
                "419".parse().ok()
            }
            Some(region) if &*self.language == "pt" && PORTUGAL.contains(&region) => {
                "PT".parse().ok()
            }
            Some("001" | "150") if &*self.language == "en" => "GB".parse().ok(),
            Some("001") => None,
            _ => id.region,
        };
        EXPANDER.maximize(&mut id);
        // unknown to the tables; the matcher wants all three
        id.script = id.script.or_else(|| "Zyyy".parse::<Script>().ok());
        id.region = id.region.or_else(|| "001".parse::<Region>().ok());
        id
    }
}

impl FromStr for Locale {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("locale", text, "a language such as pt, pt_BR or zh-Hant-TW");
        let shown = plain(text);
        // what follows a dot or an at sign is an encoding or a variant of POSIX; a browser's list
        // begins with what its reader likes best
        let tag = shown.split(['.', '@', ',', ';']).next().unwrap_or_default().trim();
        let mut parts = tag.split(['_', '-']);
        let letters = |t: &str, from: usize, to: usize| {
            (from..=to).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphabetic())
        };
        let alphanumeric = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric());
        let named = |l: &&str| letters(l, 2, 3) || l.eq_ignore_ascii_case("root");
        let mut language = parts.next().filter(named).ok_or_else(invalid)?;
        let (mut script, mut region) = (None, None);
        for (index, part) in parts.enumerate() {
            // extensions and private use say nothing of the language
            if part.len() == 1 && index > 0 {
                break;
            }
            let known = match part.len() {
                3 if index == 0 && letters(part, 3, 3) && !matches!(part, "CHS" | "CHT") => {
                    // zh-yue: the second names the language more exactly
                    language = part;
                    true
                }
                4 if script.is_none() && region.is_none() && letters(part, 4, 4) => {
                    let mut title = part.to_ascii_lowercase();
                    title[..1].make_ascii_uppercase();
                    script = Some(title.into_boxed_str());
                    true
                }
                // a second language of the same kind says nothing more
                3 if index > 0 && letters(part, 3, 3) => true,
                2..=8 if alphanumeric(part) => {
                    if region.is_none() && (part.len() < 5 || index == 0) {
                        region = Some(part.to_ascii_uppercase().into_boxed_str());
                    }
                    true
                }
                _ => false,
            };
            if !known {
                return Err(invalid());
            }
        }
        Ok(Self { language: language.to_ascii_lowercase().into(), script, region })
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.language)?;
        for part in [&self.script, &self.region].into_iter().flatten() {
            write!(f, "_{part}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Locale {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> String {
        locale.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest<'a>(reader: &str, texts: &[&'a str]) -> Option<&'a str> {
        let reader: Locale = reader.parse().unwrap();
        let distance = |text: &&&str| text.parse::<Locale>().unwrap().distance(&reader);
        texts.iter().filter(|t| distance(t).is_some()).min_by_key(|t| distance(t)).copied()
    }

    #[test]
    fn the_nearest_language_is_cldr_s() {
        let texts = [
            "pt_BR", "en_US", "es_ES", "he", "nb", "id", "fil", "ro", "sr", "zh_CN", "zh_TW", "yi",
        ];
        for (reader, text) in [
            ("pt_PT", "pt_BR"),
            ("pt-AO", "pt_BR"),
            ("es_MX", "es_ES"),
            ("es-419", "es_ES"),
            ("es_LA", "es_ES"),
            ("iw", "he"),
            ("iw_IL", "he"),
            ("no", "nb"),
            ("nn-NO", "nb"),
            ("in_ID", "id"),
            ("ji", "yi"),
            ("tl", "fil"),
            ("mo", "ro"),
            ("sh", "sr"),
            ("sr-Latn-RS", "sr"),
            ("zh-Hant-TW", "zh_TW"),
            ("zh_HK", "zh_TW"),
            ("zh-Hans", "zh_CN"),
            ("zh", "zh_CN"),
            ("cmn", "zh_CN"),
            ("zh-cmn-Hans-CN", "zh_CN"),
            ("en-GB", "en_US"),
            ("pt_BR.UTF-8", "pt_BR"),
            ("en-US-u-hc-h12", "en_US"),
            ("zh_SG", "zh_CN"),
            ("por-BR", "pt_BR"),
            ("eng_GB", "en_US"),
            ("chi", "zh_CN"),
            ("rum", "ro"),
            ("nob", "nb"),
            ("heb", "he"),
            ("yue", "zh_TW"),
        ] {
            assert_eq!(nearest(reader, &texts), Some(text), "{reader}");
        }
        assert_eq!(nearest("es_MX", &["es_ES", "es_419"]), Some("es_419"));
        assert_eq!(nearest("es_AR", &["es_ES", "es_MX"]), Some("es_MX"));
        assert_eq!(nearest("en_AU", &["en_US", "en_GB"]), Some("en_GB"));
        assert_eq!(nearest("pt_AO", &["pt_BR", "pt_PT"]), Some("pt_PT"));
        assert_eq!(nearest("no", &["no", "nb"]), Some("no"));
        for reader in ["de", "ja", "qqq", "pt_QQ1", "fr_ZZ", "xx_YY"] {
            let fit = nearest(reader, &["en", "he"]);
            assert_eq!(fit, None, "{reader}");
        }
    }

    #[test]
    fn tags_are_printed_as_providers_write_them() {
        for (given, printed) in [
            ("pt-br", "pt_BR"),
            ("ZH_hant_tw", "zh_Hant_TW"),
            ("iw", "iw"),
            ("es-419", "es_419"),
            ("zh-yue-HK", "yue_HK"),
            ("ca-valencia", "ca_VALENCIA"),
            ("de_DE@euro", "de_DE"),
            ("en-US,en;q=0.9,pt;q=0.8", "en_US"),
            ("pt\u{2011}BR\u{200b}", "pt_BR"),
            ("\u{feff}ｐｔ＿ＢＲ", "pt_BR"),
        ] {
            let locale: Locale = given.parse().unwrap();
            assert_eq!(locale.to_string(), printed);
            assert_eq!(printed.parse::<Locale>().unwrap(), locale);
        }
        for none in ["und", "mul", "root", "und-US"] {
            assert!(!none.parse::<Locale>().unwrap().is_known(), "{none}");
        }
        for wrong in ["", "p", "Portuguese", "pt BR", "12", "pt__BR", "pt_"] {
            assert!(wrong.parse::<Locale>().is_err(), "{wrong}");
        }
    }
}
