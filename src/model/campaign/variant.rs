//! What is sent: variants, their translations, and the texts with a person's values in them.

use std::collections::BTreeMap;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::model::content::Content;
use crate::model::ids::Name;
use crate::model::recipient::Locale;

/// The longest address that a link leads to, in bytes.
const LINK_MAX: usize = 2000;

/// One way to say it, in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Shared by translations.
    pub name: Name,
    /// Medium and style.
    pub content: Content,
    /// How the provider knows it.
    pub template: Option<String>,
    /// `None` fits everybody.
    pub language: Option<Locale>,
    /// The text, for channels that have no templates.
    pub text: Option<Pattern>,
    /// The parameter of a template's header in words.
    pub header: Option<Pattern>,
    /// The template's parameters.
    pub parameters: Vec<Pattern>,
    /// Stands in for attributes that a person lacks.
    pub defaults: BTreeMap<String, String>,
    /// Where the picture or film lies.
    pub media_url: Option<String>,
    /// The provider does not take it for now; no file says so.
    pub parked: bool,
}

/// A text with `{{X}}` in it, split where the attributes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Attribute(String),
    /// An address that each person gets a way to of their own.
    Link(String),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("{{ is never closed by }}")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name.trim().strip_prefix("link:") {
                Some(url) => Piece::Link(link(url.trim())?),
                None => Piece::Attribute(name.trim().to_owned()),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// What it begins with, whosever values go into it.
    pub fn begins_with(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// The attributes that go into it.
    fn attributes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Attribute(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Link(_) => None,
        })
    }

    /// The addresses that each person gets a way to of their own.
    fn links(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Link(url) => Some(url.as_str()),
            Piece::Text(_) | Piece::Attribute(_) => None,
        })
    }

    fn fill(
        &self,
        value: impl Fn(&str) -> Option<String>,
        link: impl Fn(&str) -> String,
    ) -> Result<String, MissingParameter> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Link(url) => text.push_str(&link(url)),
                Piece::Attribute(name) => {
                    text.push_str(&value(name).ok_or_else(|| MissingParameter(name.clone()))?);
                }
            }
        }
        Ok(text)
    }
}

/// An address that a link may lead to.
fn link(given: &str) -> Result<String, String> {
    let wrong = |told: &str| Err(format!("link:{given}: {told}"));
    if given.len() > LINK_MAX {
        return wrong("the address is longer than 2000 bytes");
    }
    match url::Url::parse(given) {
        Ok(url) if !matches!(url.scheme(), "https" | "http") => {
            wrong("a link leads to an address that begins with https:// or http://")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            wrong("a link has neither user nor password")
        }
        Ok(url) => Ok(url.to_string()),
        Err(error) => wrong(&error.to_string()),
    }
}

/// An attribute that a variant needs, the person lacks, and no default replaces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value and no default for {{{{{0}}}}}")]
pub struct MissingParameter(pub String);

/// A variant's texts with one person's values in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The line above a template that has neither picture nor film.
    pub header: Option<String>,
    /// The text, for channels that have no templates.
    pub text: Option<String>,
    /// The template's parameters.
    pub parameters: Vec<String>,
}

impl Variant {
    /// The attributes that go into its texts.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        let patterns = self.header.iter().chain(&self.text).chain(&self.parameters);
        patterns.flat_map(Pattern::attributes)
    }

    /// The addresses in its texts that each person gets a way to of their own.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        let patterns = self.header.iter().chain(&self.text).chain(&self.parameters);
        patterns.flat_map(Pattern::links)
    }

    /// Puts a person's attributes into the texts, and for each link what `link` makes of it.
    pub fn render(
        &self,
        attributes: &BTreeMap<String, String>,
        link: impl Fn(&str) -> String + Copy,
    ) -> Result<Rendered, MissingParameter> {
        let told = |name: &str| attributes.get(name).filter(|value| is_seen(value));
        let value = |name: &str| told(name).or_else(|| self.defaults.get(name)).cloned();
        Ok(Rendered {
            header: self.header.as_ref().map(|header| header.fill(value, link)).transpose()?,
            text: self.text.as_ref().map(|text| text.fill(value, link)).transpose()?,
            parameters: self
                .parameters
                .iter()
                .map(|p| p.fill(value, link))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Whether anything of a value can be seen: blanks and signs without width are no value.
fn is_seen(value: &str) -> bool {
    let hides = |c: char| {
        let category = c.general_category();
        matches!(category, GeneralCategory::Control | GeneralCategory::Format)
    };
    value.chars().any(|c| !c.is_whitespace() && !hides(c))
}
