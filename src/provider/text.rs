//! Short texts that a channel tells, bounded and clean: codes and wordings.
//!
//! What comes from outside is cut to a length that a table row bears, and freed of control and
//! format characters. PostgreSQL stores no NUL, so none leaves this module.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Whether a character shows nothing, or steers how others are shown.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    )
}

/// One line of at most `max` bytes: white space becomes single blanks.
fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    for word in text.split(char::is_whitespace) {
        // no text is read further than it is kept
        if line.len() > max {
            break;
        }
        let shown: String = word.chars().filter(|c| !is_invisible(*c)).take(max).collect();
        if !shown.is_empty() && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&shown);
    }
    line.truncate(line.floor_char_boundary(max));
    line.truncate(line.trim_end().len());
    line
}

macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The most bytes that are kept.
            pub const MAX: usize = $max;

            /// Cleans a text and cuts it to the bound.
            pub fn clean(text: &str) -> Self {
                Self(one_line(text, Self::MAX).into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether nothing was left.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::clean(&text)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::clean(text)
            }
        }
        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

short_text! {
    /// A channel's code for something, such as `131026`.
    Code, 64
}
short_text! {
    /// A sentence for people: what a code means, or what a notice says.
    Wording, 400
}
short_text! {
    /// What a person wrote; no channel lets them write more that matters.
    InboundText, 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_and_with_any_character_is_short_and_clean() {
        let long = Code::clean(&"é".repeat(10_000));
        assert!(long.as_str().len() <= Code::MAX && !long.is_empty());
        assert_eq!(Code::clean("13\u{0}10\u{200b}26\n").as_str(), "131026");
        assert_eq!(Wording::clean("  two\r\n\twords ").as_str(), "two words");
        assert!(Wording::clean("\u{0}\u{feff}").is_empty());
        let read: Code = serde_json::from_str("\"1\\u0000\"").unwrap();
        assert_eq!(read.as_str(), "1");
    }
}
