//! The layouts of other tools' export files, as data: `presets.toml`. Owns which of their columns are
//! ours, and when their word on consent counts. Refuses a tool or channel that the table has not.
//!
//! *Invariant:* consent is never made up: where the layout names a consent column, its time counts
//! only in rows whose word there is yes.

use std::collections::BTreeMap;

use csv::StringRecord;
use serde::Deserialize;

use super::header::{Columns, plain};
use super::read::HistoryFile;

#[derive(Deserialize)]
struct RawTool {
    recipients: RawFile,
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    times_are_utc: bool,
    #[serde(default)]
    tags_by_comma: bool,
    channel: Vec<RawChannel>,
    #[serde(flatten)]
    columns: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChannel {
    name: String,
    address: Vec<String>,
    #[serde(default)]
    consent: Vec<String>,
    #[serde(default)]
    granted: Vec<String>,
    #[serde(default)]
    opted_in_at: Vec<String>,
    #[serde(default)]
    opted_out_at: Vec<String>,
}

/// How another tool's file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Our columns by their headers.
    columns: BTreeMap<String, Vec<String>>,
    pub(super) times_are_utc: bool,
    pub(super) tags_by_comma: bool,
    /// Their column of consent, and the words that mean yes.
    consent: Vec<String>,
    granted: Vec<String>,
    /// What the ledger names as the source.
    source: String,
    /// Found in the header: our column of the time, their column of the word.
    gate: Option<(usize, Option<usize>)>,
    source_at: Option<usize>,
}

/// Why a file cannot be read as another tool's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No such tool.
    #[error("--from {given:?} is not one of {known}")]
    Tool {
        /// As it was given.
        given: String,
        /// What would be right.
        known: String,
    },
    /// The tool knows no such channel.
    #[error("--channel {given:?} is not one of {known}, of which {tool} exports addresses")]
    Channel {
        /// As it was given.
        given: String,
        /// Whose export.
        tool: String,
        /// What would be right.
        known: String,
    },
    /// The tool exports no such file: their reports have a row a campaign, a person or an event, and
    /// none has the times of one message in a row.
    #[error("{tool} exports no file with a row a message; bring messages in columns of our own")]
    File {
        /// Whose export.
        tool: String,
    },
}

/// The layout of a tool's export of people, for one channel; the tool's first, unless one is named.
pub fn layout(tool: &str, channel: Option<&str>) -> Result<Layout, LayoutError> {
    let mut tools: BTreeMap<String, RawTool> =
        toml::from_str(include_str!("presets.toml")).expect("the table is well formed");
    let known = tools.keys().cloned().collect::<Vec<_>>().join(", ");
    let raw = tools
        .remove(tool)
        .ok_or_else(|| LayoutError::Tool { given: tool.to_owned(), known })?
        .recipients;
    let names: Vec<String> = raw.channel.iter().map(|channel| channel.name.clone()).collect();
    let wanted = |raw: &RawChannel| channel.is_none_or(|name| raw.name == name);
    let chosen = raw.channel.into_iter().find(wanted).ok_or_else(|| LayoutError::Channel {
        given: channel.unwrap_or_default().to_owned(),
        tool: tool.to_owned(),
        known: names.join(", "),
    })?;
    let mut columns = raw.columns;
    columns.insert("address".to_owned(), chosen.address);
    columns.insert("opted_in_at".to_owned(), chosen.opted_in_at);
    columns.insert("opted_out_at".to_owned(), chosen.opted_out_at);
    Ok(Layout {
        columns,
        times_are_utc: raw.times_are_utc,
        tags_by_comma: raw.tags_by_comma,
        consent: chosen.consent,
        granted: chosen.granted,
        source: format!("{tool}: {}", chosen.name),
        gate: None,
        source_at: None,
    })
}

impl Layout {
    /// Looks the columns up in a header.
    pub(super) fn find<F: HistoryFile>(&mut self, header: &StringRecord, columns: &mut Columns) {
        let theirs: Vec<String> = header.iter().map(plain).collect();
        let at = |names: &[String]| {
            names.iter().find_map(|name| theirs.iter().position(|given| *given == plain(name)))
        };
        for (ours, names) in &self.columns {
            let Some(index) = at(names) else { continue };
            if let Some(known) = F::COLUMNS.iter().position(|column| column == ours) {
                columns.known[known] = Some(index);
            } else if let Some(attribute) = ours.strip_prefix("attr_") {
                columns.attributes.push((attribute.to_owned(), index));
            }
        }
        let ours = |name| F::COLUMNS.iter().position(|column| *column == name);
        self.source_at = ours("opt_in_source");
        if !self.consent.is_empty() {
            self.gate = ours("opted_in_at").map(|time| (time, at(&self.consent)));
        }
    }

    /// The headers that a column of ours goes by, for people.
    pub(super) fn names_of(&self, ours: &str) -> String {
        self.columns.get(ours).map_or(ours.to_owned(), |names| names.join(" or "))
    }

    /// Whether the row lets a column of ours count; a time of consent counts beside a yes.
    pub(super) fn lets<'r>(&self, index: usize, cell: impl Fn(usize) -> &'r str) -> bool {
        match self.gate {
            Some((time, word)) if time == index => word.is_some_and(|word| {
                self.granted.iter().any(|yes| yes.eq_ignore_ascii_case(cell(word)))
            }),
            _ => true,
        }
    }

    /// What a column of ours holds in every row.
    pub(super) fn constant(&self, index: usize) -> Option<&str> {
        (self.source_at == Some(index)).then_some(self.source.as_str())
    }
}
