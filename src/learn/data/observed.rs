//! What is observed of people, as the store hands it over: messages, presence events, and the
//! numbers that stand for contents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::content::{Category, Content};
use crate::model::message::Response;
use crate::model::time::Instant;

/// The contents that evidence refers to by number; only ever grows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Content>", into = "Vec<Content>")]
pub struct Contents {
    list: Vec<Content>,
    index: BTreeMap<Content, u16>,
}

impl Contents {
    /// The most contents that are told apart; what comes later is learned from without its
    /// affinity.
    pub const MAX: usize = 4096;

    /// The number of a content, if it has one.
    pub fn index(&self, content: &Content) -> Option<u16> {
        self.index.get(content).copied()
    }

    /// The number of a content, given to it now if it has none yet and there is room.
    pub fn enter(&mut self, content: &Content) -> Option<u16> {
        if let Some(index) = self.index(content) {
            return Some(index);
        }
        let index = u16::try_from(self.list.len()).ok().filter(|i| usize::from(*i) < Self::MAX)?;
        self.list.push(content.clone());
        self.index.insert(content.clone(), index);
        Some(index)
    }

    /// All contents, by number.
    pub fn list(&self) -> &[Content] {
        &self.list
    }
}

impl From<Vec<Content>> for Contents {
    fn from(list: Vec<Content>) -> Self {
        let index = list.iter().zip(0..).map(|(content, i)| (content.clone(), i)).collect();
        Self { list, index }
    }
}

impl From<Contents> for Vec<Content> {
    fn from(contents: Contents) -> Self {
        contents.list
    }
}

/// A message as it is known now; the same `hash` and `sent_at` are the same message.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// A hash of the message's key.
    pub hash: u32,
    /// When it was sent.
    pub sent_at: Instant,
    /// Its number in [`Contents`].
    pub content: Option<u16>,
    /// Its business purpose.
    pub category: Option<Category>,
    /// By what it was sent.
    pub channel: Channel,
    /// What came back.
    pub response: Response,
}

/// A channel as evidence tells it from others: a number, 0 where it is not known. Channels are few;
/// two names may share a number, and are then taken for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Channel(u8);

impl Channel {
    /// The most numbers.
    pub(in crate::learn) const MAX: usize = 32;

    /// The channel of a name.
    pub fn named(name: &str) -> Self {
        let sum = name.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
        Self((sum % (Self::MAX as u32 - 1)) as u8 + 1)
    }

    pub(in crate::learn) fn numbered(number: u8) -> Self {
        Self(number % Self::MAX as u8)
    }

    pub(in crate::learn) fn number(self) -> usize {
        usize::from(self.0)
    }
}

/// A presence event that answers no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// When.
    pub at: Instant,
    /// Of what kind.
    pub kind: PresenceKind,
}

/// What kind of presence; kinds of the caller's own are `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PresenceKind {
    /// The person used the app or site.
    Session,
    /// The person wrote first.
    Inbound,
    /// The person bought.
    Purchase,
    /// A word of the caller's.
    Other,
}

impl PresenceKind {
    /// The kind that a word of an activity file names.
    pub fn of(word: &str) -> Self {
        match word {
            "session" => Self::Session,
            "inbound" => Self::Inbound,
            "purchase" => Self::Purchase,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content::Media;

    #[test]
    fn a_content_keeps_its_number_also_through_json() {
        let mut contents = Contents::default();
        let styled =
            |style: &str| Content { media: Media::Image, style: Some(style.parse().unwrap()) };
        assert_eq!(contents.enter(&styled("product")), Some(0));
        assert_eq!(contents.enter(&styled("people")), Some(1));
        assert_eq!(contents.enter(&styled("product")), Some(0));
        let json = serde_json::to_string(&contents).unwrap();
        let back: Contents = serde_json::from_str(&json).unwrap();
        assert_eq!((back.index(&styled("people")), back.index(&styled("new"))), (Some(1), None));
    }

    #[test]
    fn beyond_the_most_contents_none_is_numbered() {
        let mut contents = Contents::default();
        for i in 0..=Contents::MAX {
            let style = Some(format!("s{i}").parse().unwrap());
            let number = contents.enter(&Content { media: Media::Video, style });
            assert_eq!(number.is_some(), i < Contents::MAX);
        }
    }
}
