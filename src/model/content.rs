//! What a message is made of: medium, style, category, and the goal it is sent for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::text_type;

/// A closed set of words: an enum with its spelling in files and database.
macro_rules! word_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $wanted:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its spelling in files and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::model::Invalid;
            fn from_str(text: &str) -> Result<Self, $crate::model::Invalid> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err($crate::model::Invalid::new($what, text, $wanted)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = $crate::model::Invalid;
            fn try_from(text: String) -> Result<Self, $crate::model::Invalid> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(word: $name) -> String {
                word.as_str().to_owned()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some([$($word),+]))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use word_type;

word_type! {
    /// The medium of a message.
    Media, "media", "one of text, image, video, audio, document, carousel" {
        /// Words alone.
        Text = "text",
        /// A picture.
        Image = "image",
        /// A moving picture.
        Video = "video",
        /// Sound.
        Audio = "audio",
        /// A file.
        Document = "document",
        /// Several cards side by side.
        Carousel = "carousel",
    }
}

word_type! {
    /// The business purpose of a message, as messaging law and providers know it.
    Category, "category", "one of marketing, utility, authentication, service" {
        /// Advertising: needs consent, bound by quiet hours.
        Marketing = "marketing",
        /// About something the person ordered or asked for.
        Utility = "utility",
        /// One-time codes.
        Authentication = "authentication",
        /// Answers within an open conversation.
        Service = "service",
    }
}

word_type! {
    /// The engagement a campaign is sent for.
    Goal, "goal", "one of read, click, reply, convert" {
        /// The message was opened.
        Read = "read",
        /// A link or button was used.
        Click = "click",
        /// The person wrote back.
        Reply = "reply",
        /// The person bought or did what was asked.
        Convert = "convert",
    }
}

text_type! {
    /// A free word for the kind of picture: `product`, `people`, ….
    Style, "style",
    "a word of up to 60 letters, digits, dots, underscores or hyphens",
    |text| {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        !text.is_empty() && text.len() <= 60 && text.chars().all(allowed)
    }
}

/// A medium and, where it is known, its style: the unit of which tastes are learned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Content {
    /// The medium.
    pub media: Media,
    /// The kind of picture.
    pub style: Option<Style>,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.style {
            None => self.media.fmt(f),
            Some(style) => write!(f, "{}_{style}", self.media),
        }
    }
}
