//! An identifier type for each noun, so that one is never passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Our own number for a recipient, dense from 1; the caller never sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecipientId(pub i64);

impl fmt::Display for RecipientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A string newtype with a rule; `$valid` says whether a text obeys it.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $wanted:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::model::Invalid;
            fn from_str(text: &str) -> Result<Self, $crate::model::Invalid> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err($crate::model::Invalid::new($what, text, $wanted)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = $crate::model::Invalid;
            fn try_from(text: String) -> Result<Self, $crate::model::Invalid> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .description(Some($wanted))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(super) use text_type;

/// The longest identifier or free word that is taken, in bytes.
pub const TEXT_MAX: usize = 200;

/// The longest name, in letters.
pub const NAME_MAX: usize = 100;

/// Whether `text` is short, not empty and free of control characters.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TEXT_MAX
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

text_type! {
    /// The caller's own stable id of a recipient.
    RecipientKey, "recipient",
    "an id of 1 to 200 bytes without control characters or surrounding blanks", is_plain
}
text_type! {
    /// The id of a message: the caller's for history, `CAMPAIGN:RECIPIENT-NUMBER` for our own.
    MessageKey, "message",
    "an id of 1 to 200 bytes without control characters or surrounding blanks", is_plain
}
text_type! {
    /// The id by which a provider knows a message it took.
    ProviderMessage, "provider message",
    "an id of 1 to 200 bytes without control characters or surrounding blanks", is_plain
}
text_type! {
    /// The name of a campaign, variant, template or provider.
    Name, "name",
    "a letter or digit followed by up to 99 letters, digits, dots, underscores or hyphens",
    |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        text.len() <= NAME_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(allowed)
    }
}
text_type! {
    /// One running daemon or command, unique among those that share a database.
    NodeId, "node", "an id of 1 to 200 bytes", is_plain
}
