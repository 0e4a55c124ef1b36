//! One person's values as a channel takes them.
//!
//! WhatsApp refuses a template's parameter that is empty (131008), that holds a line break, a tab
//! or more than four blanks in a row (132018), or that makes the text too long (132005). What can
//! be mended without a change of meaning is mended here; the rest is one person's refusal. Other
//! channels get what the campaign says.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::config::ProviderKind;
use crate::model::campaign::Rendered;

/// The most blanks in a row that WhatsApp takes.
const BLANKS_MAX: usize = 4;
/// The longest body of a template with its parameters, in characters.
const BODY_MAX: usize = 1024;
/// The longest header in words.
const HEADER_MAX: usize = 60;

/// The longest subject of a mail.
const SUBJECT_MAX: usize = 250;

/// Why a channel would refuse one person's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing that can be seen is left of it.
    #[error("parameter {0} is empty")]
    Empty(usize),
    /// It is longer than the channel takes.
    #[error("parameter {0} is longer than {1} characters")]
    TooLong(usize, usize),
}

/// The texts as a channel of this kind takes them. Parameters count from 1; 0 is the header.
pub fn fitted(kind: &ProviderKind, rendered: Rendered) -> Result<Rendered, Unfit> {
    match kind {
        ProviderKind::WhatsApp(_) | ProviderKind::Messenger(_) => whatsapp(rendered),
        ProviderKind::Console | ProviderKind::Simulated { .. } | ProviderKind::Http { .. } => {
            Ok(rendered)
        }
        ProviderKind::Smtp(_) => mail(rendered),
        ProviderKind::WeChat(_) => wechat(rendered),
    }
}

/// The longest values by the names of their kinds, in characters, after the page on subscription messages.
const WECHAT_MAX: [(&str, usize); 7] = [
    ("thing", 20),
    ("phrase", 5),
    ("name", 10),
    ("character_string", 32),
    ("letter", 32),
    ("number", 32),
    ("phone_number", 17),
];

/// Values with their names before them, each as long as its kind may be.
fn wechat(rendered: Rendered) -> Result<Rendered, Unfit> {
    let fit = |(index, text): (usize, &String)| {
        let (name, value) = text.split_once('=').ok_or(Unfit::Empty(index + 1))?;
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let most = WECHAT_MAX.iter().find(|(known, _)| *known == kind).map(|(_, most)| *most);
        let value = parameter(index + 1, value, most.unwrap_or(BODY_MAX))?;
        Ok(format!("{name}={value}"))
    };
    let parameters = rendered.parameters.iter().enumerate().map(fit);
    Ok(Rendered { parameters: parameters.collect::<Result<_, _>>()?, ..rendered })
}

/// A subject is one line; what follows it may have many.
fn mail(rendered: Rendered) -> Result<Rendered, Unfit> {
    let header = rendered.header.map(|text| parameter(0, &text, SUBJECT_MAX)).transpose()?;
    Ok(Rendered { header, ..rendered })
}

fn whatsapp(rendered: Rendered) -> Result<Rendered, Unfit> {
    let header = rendered.header.map(|text| parameter(0, &text, HEADER_MAX)).transpose()?;
    let parameters = rendered.parameters.iter().enumerate();
    let parameters = parameters.map(|(index, text)| parameter(index + 1, text, BODY_MAX));
    Ok(Rendered { header, parameters: parameters.collect::<Result<_, _>>()?, ..rendered })
}

fn parameter(number: usize, text: &str, max: usize) -> Result<String, Unfit> {
    let clean = one_line(text);
    if clean.is_empty() {
        return Err(Unfit::Empty(number));
    }
    if clean.chars().count() > max {
        return Err(Unfit::TooLong(number, max));
    }
    Ok(clean)
}

/// Without control and format characters; a run of white space that the channel refuses is one
/// blank.
fn one_line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut blanks = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            blanks.push(c);
        } else if is_kept(clean.chars().next_back(), c, chars.peek().copied()) {
            if !clean.is_empty() {
                push_blanks(&mut clean, &blanks);
            }
            blanks.clear();
            clean.push(c);
        }
    }
    clean
}

/// Joiners shape letters of some scripts and join signs; elsewhere they only hide.
fn is_kept(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_shaped = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !c.is_whitespace());
    match c {
        '\u{200c}' | '\u{200d}' => is_shaped(before) && is_shaped(after.filter(|c| !is_hidden(*c))),
        c => !is_hidden(c),
    }
}

fn is_hidden(c: char) -> bool {
    // the blank letters of Hangul and Braille show nothing either
    matches!(c.general_category(), GeneralCategory::Control | GeneralCategory::Format)
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}')
}

fn push_blanks(clean: &mut String, blanks: &str) {
    let plain = blanks.chars().all(|c| matches!(c, ' ' | '\u{a0}' | '\u{202f}'));
    if plain && blanks.chars().count() <= BLANKS_MAX {
        clean.push_str(blanks);
    } else {
        clean.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(text: &str) -> Result<String, Unfit> {
        parameter(1, text, BODY_MAX)
    }

    #[test]
    fn what_the_channel_refuses_is_mended_where_that_changes_no_meaning() {
        for (text, wanted) in [
            ("Bia\nMaria", "Bia Maria"),
            ("Bia\r\n\r\nMaria", "Bia Maria"),
            ("Bia\tMaria", "Bia Maria"),
            ("Bia          Maria", "Bia Maria"),
            ("Bia    Maria", "Bia    Maria"),
            ("  Bia \u{a0}", "Bia"),
            ("Bia\u{2028}Maria\u{85}", "Bia Maria"),
            ("Bia \u{200b} \u{200b} \u{200b} \u{200b} \u{200b} Maria", "Bia Maria"),
            ("\u{feff}Bia\u{0}\u{7}\u{202e}", "Bia"),
            ("Bia\u{200d}", "Bia"),
            ("10\u{a0}€", "10\u{a0}€"),
            // joiners of Persian and of signs are part of the word
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("👩\u{200d}🚀", "👩\u{200d}🚀"),
        ] {
            assert_eq!(fit(text), Ok(wanted.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_empty_or_too_long_is_one_persons_refusal() {
        for text in ["", " ", "\n\t", "\u{200b}\u{feff}", "\u{3164}", "\u{0}", "\u{200d}"] {
            assert_eq!(fit(text), Err(Unfit::Empty(1)), "{text:?}");
        }
        assert_eq!(fit(&"é".repeat(BODY_MAX)), Ok("é".repeat(BODY_MAX)));
        assert_eq!(fit(&"é".repeat(BODY_MAX + 1)), Err(Unfit::TooLong(1, BODY_MAX)));
    }
}
