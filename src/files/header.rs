//! The header line: which of a file's columns are known, by our names or by another tool's.

use std::path::Path;

use csv::StringRecord;

use super::history::ADDRESSES;
use super::presets::Layout;
use super::read::{FileError, HistoryFile};

/// Where each known column stands in a file.
pub(super) struct Columns {
    /// By position in [`HistoryFile::COLUMNS`].
    pub(super) known: Vec<Option<usize>>,
    /// The names of `attr_X` columns without the prefix.
    pub(super) attributes: Vec<(String, usize)>,
    pub(super) width: usize,
    /// Whether the cells behind the last named one may be missing.
    pub(super) named: usize,
    /// Whether numbers may be written with a decimal comma.
    pub(super) decimal_comma: bool,
    /// What another tool's layout adds.
    pub(super) layout: Option<Layout>,
}

/// Reads the header; columns without a name are counted from 1 into `nameless`.
pub(super) fn columns<F: HistoryFile>(
    path: &Path,
    line: u64,
    header: &StringRecord,
    layout: Option<Layout>,
    nameless: &mut Vec<usize>,
) -> Result<Columns, FileError> {
    let path = path.to_owned();
    if header.iter().all(|name| name.trim().is_empty()) {
        return Err(FileError::Empty { path, columns: listed::<F>() });
    }
    let named = header.iter().enumerate().filter(|(_, name)| !name.trim().is_empty());
    let named = named.last().map_or(0, |(at, _)| at + 1);
    let mut columns = Columns {
        known: vec![None; F::COLUMNS.len()],
        attributes: vec![],
        width: header.len(),
        named,
        decimal_comma: false,
        layout: None,
    };
    for (index, given) in header.iter().map(str::trim).enumerate() {
        if given.is_empty() {
            nameless.push(index + 1);
        }
    }
    if let Some(mut layout) = layout {
        layout.find::<F>(header, &mut columns);
        columns.layout = Some(layout);
    } else {
        for (index, given) in header.iter().map(str::trim).enumerate() {
            if !given.is_empty() {
                columns.add::<F>(&path, line, index, given)?;
            }
        }
    }
    for required in F::REQUIRED {
        let index = F::COLUMNS.iter().position(|column| column == required);
        if index.is_none_or(|index| columns.known[index].is_none()) {
            let wanted = columns.layout.as_ref().map(|layout| layout.names_of(required));
            let column = wanted.unwrap_or_else(|| (*required).to_owned());
            return Err(FileError::MissingColumn { path, line, column });
        }
    }
    if !F::ONE_OF.is_empty() {
        let known = |name: &&&str| {
            F::COLUMNS.iter().position(|c| c == *name).is_some_and(|i| columns.known[i].is_some())
        };
        if !F::ONE_OF.iter().any(|name| known(&name)) {
            return Err(FileError::MissingColumn { path, line, column: F::ONE_OF.join(" or ") });
        }
    }
    Ok(columns)
}

impl Columns {
    fn add<F: HistoryFile>(
        &mut self,
        path: &Path,
        line: u64,
        index: usize,
        given: &str,
    ) -> Result<(), FileError> {
        let name = plain(given);
        let twice = if let Some(known) = F::COLUMNS.iter().position(|column| *column == name) {
            self.known[known].replace(index).is_some()
        } else if let Some(attribute) = attribute(given).filter(|_| F::ATTRIBUTES) {
            let twice = self.attributes.iter().any(|(other, _)| *other == attribute);
            self.attributes.push((attribute, index));
            twice
        } else {
            const SHOWN_MAX: usize = 80;
            return Err(FileError::UnknownColumn {
                path: path.to_owned(),
                line,
                column: given.chars().take(SHOWN_MAX).collect(),
                columns: listed::<F>(),
            });
        };
        if twice {
            let (path, column) = (path.to_owned(), given.to_owned());
            return Err(FileError::AmbiguousColumn { path, line, column });
        }
        Ok(())
    }
}

/// A column's name as programs and spreadsheets leave it: any case, blanks for underscores.
pub(super) fn plain(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '"'));
    name.to_lowercase().replace([' ', '-', '\u{a0}'], "_")
}

/// The `X` of `attr_X`, as it stands, or the column of an address on a channel; a program that wrote the prefix in capitals did so with all.
fn attribute(given: &str) -> Option<String> {
    if let Some(own) = ADDRESSES.iter().find(|own| own.column == plain(given)) {
        return Some(own.column.to_owned());
    }
    let prefix = given.get(..5).filter(|prefix| prefix.eq_ignore_ascii_case("attr_"))?;
    let name = if prefix == "attr_" { given[5..].to_owned() } else { given[5..].to_lowercase() };
    Some(name).filter(|name| !name.is_empty())
}

fn listed<F: HistoryFile>() -> String {
    let mut listed = F::COLUMNS.join(", ");
    if F::ATTRIBUTES {
        listed.push_str(", address_mail, address_messenger, address_wechat and attr_X");
    }
    listed
}
