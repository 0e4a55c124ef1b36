//! The cells of a row: what is empty in them, and how they become values.

use std::cell::RefCell;
use std::collections::BTreeMap;

use csv::StringRecord;

use super::header::Columns;
use crate::model::Invalid;
use crate::model::time::{Instant, is_placeholder, is_placeholder_date, parse_instant};

/// What programs write into a cell that they have no value for.
const NOTHING: [&str; 20] = [
    "null",
    "(null)",
    "<null>",
    "n/a",
    "#n/a",
    "na",
    "-",
    "--",
    "none",
    "nan",
    "nil",
    "undefined",
    "\\n",
    "#null!",
    "#nv",
    "nat",
    "unknown",
    "not set",
    "(not set)",
    "(blank)",
];
/// Of them what is no word of a person either, as programs write it: nobody is greeted as NULL. `Null`
/// and `Na` are names.
const NO_VALUE: [&str; 14] = [
    "NULL",
    "null",
    "(null)",
    "<null>",
    "N/A",
    "n/a",
    "#N/A",
    "#n/a",
    "#NV",
    "#NULL!",
    "NaN",
    "undefined",
    "\\N",
    "(blank)",
];
/// Kinds of remark that are kept.
const REMARKS_MAX: usize = 50;

/// What was read otherwise than it stands, by what it was: how often, and where first.
#[derive(Debug, Default)]
pub(super) struct Remarks(BTreeMap<String, (u64, u64)>);

impl Remarks {
    pub(super) fn add(&mut self, line: u64, what: String) {
        if self.0.len() < REMARKS_MAX || self.0.contains_key(&what) {
            self.0.entry(what).or_insert((0, line)).0 += 1;
        }
    }

    pub(super) fn texts(&self) -> Vec<String> {
        let text = |(what, (count, line)): (&String, &(u64, u64))| {
            let rows = if *count == 1 { "row" } else { "rows" };
            format!("{what} ({count} {rows}, first on line {line})")
        };
        self.0.iter().map(text).collect()
    }
}

/// The cells of one row, by column.
pub struct Cells<'r> {
    pub(super) columns: &'r Columns,
    pub(super) record: &'r StringRecord,
    pub(super) line: u64,
    pub(super) remarks: &'r RefCell<Remarks>,
}

impl<'r> Cells<'r> {
    /// The text of the column at `index` in the file's columns as it stands, `None` when the cell is
    /// blank.
    pub fn text(&self, index: usize) -> Option<&'r str> {
        if let Some(layout) = &self.columns.layout {
            let cell = |column: usize| self.record.get(column).map_or("", str::trim);
            if !layout.lets(index, cell) {
                return None;
            }
            if let Some(constant) = layout.constant(index) {
                return Some(constant);
            }
        }
        let cell = self.record.get(self.columns.known[index]?)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    /// The cell of a column that takes no free text, `None` when it is empty or says so in a word.
    pub fn get(&self, index: usize) -> Option<&'r str> {
        self.text(index).filter(|cell| !NOTHING.contains(&cell.to_ascii_lowercase().as_str()))
    }

    /// As [`Self::get`], for codes of two and three letters: `NA` is Namibia and Nauru, `nan` is Min
    /// Nan.
    pub fn code(&self, index: usize) -> Option<&'r str> {
        let named = self
            .text(index)
            .filter(|cell| cell.eq_ignore_ascii_case("na") || cell.len() == 3 && *cell == "nan");
        named.or_else(|| self.get(index))
    }

    /// A time, or that it is none, or that it lies after `now`. A placeholder is none.
    pub fn time(
        &self,
        index: usize,
        column: &'static str,
        now: Instant,
    ) -> Result<Option<Instant>, Invalid> {
        self.time_until(index, column, (now, "in the past"))
    }

    /// As [`Self::time`], up to a latest time and what a later one is not.
    pub fn time_until(
        &self,
        index: usize,
        column: &'static str,
        (latest, wanted): (Instant, &'static str),
    ) -> Result<Option<Instant>, Invalid> {
        let Some(text) = self.get(index) else { return Ok(None) };
        if is_placeholder_date(text) {
            self.remark(format!("{column}: a placeholder for no date is taken as empty"));
            return Ok(None);
        }
        let utc = self.columns.layout.as_ref().is_some_and(|layout| layout.times_are_utc);
        let at = match parse_instant(column, text) {
            Err(_) if utc => {
                parse_instant(column, &format!("{text}Z")).or_else(|_| parse_instant(column, text))
            }
            at => at,
        }?;
        if is_placeholder(at) {
            self.remark(format!("{column}: a placeholder for no date is taken as empty"));
            return Ok(None);
        }
        if at > latest { Err(Invalid::new(column, text, wanted)) } else { Ok(Some(at)) }
    }

    /// A time that a row is nothing without.
    pub fn required_time(
        &self,
        index: usize,
        column: &'static str,
        now: Instant,
    ) -> Result<Instant, Invalid> {
        let wanted = "an RFC 3339 time stamp of when it happened";
        let at = self.time(index, column, now)?;
        at.ok_or_else(|| Invalid::new(column, self.text(index).unwrap_or_default(), wanted))
    }

    /// A word of a closed set, in any case.
    pub fn word_of_set<T: std::str::FromStr<Err = Invalid>>(
        &self,
        index: usize,
    ) -> Result<Option<T>, Invalid> {
        self.get(index).map(|word| word.to_ascii_lowercase().parse()).transpose()
    }

    /// Parses a cell that must not be empty.
    pub fn required<T: std::str::FromStr<Err = Invalid>>(
        &self,
        index: usize,
    ) -> Result<T, Invalid> {
        self.text(index).unwrap_or_default().parse()
    }

    /// The filled `attr_X` cells by `X`.
    pub fn attributes(&self) -> impl Iterator<Item = (&'r str, &'r str)> {
        let cell = |index: usize| self.record.get(index).map_or("", str::trim);
        let filled = move |(name, index): &'r (String, usize)| (name.as_str(), cell(*index));
        let named = self.columns.attributes.iter().map(filled);
        named.filter(|(_, value)| !value.is_empty() && !NO_VALUE.contains(value))
    }

    /// The tags in a cell, sorted, each once.
    pub fn tags(&self, index: usize) -> Vec<String> {
        let by_comma = self.columns.layout.as_ref().is_some_and(|layout| layout.tags_by_comma);
        let separator = if by_comma { ',' } else { '|' };
        let named = |tag: &str| match tag.trim() {
            tag if by_comma => tag.trim_matches('"').trim().to_owned(),
            tag => tag.to_owned(),
        };
        let cell = self.text(index).unwrap_or_default();
        let mut tags: Vec<String> =
            cell.split(separator).map(named).filter(|tag| !tag.is_empty()).collect();
        tags.sort();
        tags.dedup();
        tags
    }

    /// A number; where the file's separator is no comma, the comma may be the decimal one.
    pub fn decimal(&self, index: usize, column: &'static str) -> Result<Option<f64>, Invalid> {
        let Some(text) = self.get(index) else { return Ok(None) };
        let number: Option<f64> = match grouped_by_comma(text) {
            Some(plain) => plain.parse().ok(),
            None if self.columns.decimal_comma => european(text),
            None => text.parse().ok(),
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(Invalid::new(column, text, "a number such as 12.5")),
        }
    }

    /// Notes what is read otherwise than it stands.
    pub fn remark(&self, what: String) {
        self.remarks.borrow_mut().add(self.line, what);
    }
}

/// `1,234.56` and `1,234,567` without the commas; `1,234` may be less than two.
fn grouped_by_comma(text: &str) -> Option<String> {
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let groups: Vec<&str> = whole.trim_start_matches(['-', '+']).split(',').collect();
    let certain = groups.len() > if decimals.is_some() { 1 } else { 2 };
    let grouped = (1..=3).contains(&groups[0].len())
        && digits(groups[0])
        && groups[1..].iter().all(|group| group.len() == 3 && digits(group));
    let grouped = certain && grouped && decimals.is_none_or(digits);
    grouped.then(|| text.replace(',', ""))
}

/// `1.234,56`, `1 234,56` and `12.5`; `1.234` may be either, and is none.
fn european(text: &str) -> Option<f64> {
    let blank = |c: char| matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\'' | '\u{2019}');
    let text: String = text.chars().filter(|c| !blank(*c)).collect();
    let (whole, decimals) = match text.split_once(',') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (text.as_str(), None),
    };
    let groups: Vec<&str> = whole.trim_start_matches(['-', '+']).split('.').collect();
    let three = |group: &&str| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    let grouped = groups.len() > 1
        && (1..=3).contains(&groups[0].len())
        && groups[0] != "0"
        && groups[1..].iter().all(three);
    match decimals {
        Some(decimals) if groups.len() == 1 || grouped => {
            format!("{}.{decimals}", whole.replace('.', "")).parse().ok()
        }
        Some(_) => None,
        None if grouped && groups.len() == 2 => None,
        None if grouped => whole.replace('.', "").parse().ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_from_decimals() {
        for (text, plain) in
            [("1,234.56", "1234.56"), ("-12,345,678", "-12345678"), ("1,234,567.5", "1234567.5")]
        {
            assert_eq!(grouped_by_comma(text).as_deref(), Some(plain));
        }
        for text in ["1,234", "12,5", "1234.5", "1,23.4", "1,2345.6", "1.234,56", ",123.4", ""] {
            assert_eq!(grouped_by_comma(text), None, "{text}");
        }
    }

    #[test]
    fn european_numbers_are_read_where_they_are_certain() {
        let read = ["12,5", "1.234,56", "1 234,56", "1.234.567", "0.125", "12.50", "-3,5"]
            .map(|text| european(text).unwrap());
        assert_eq!(read, [12.5, 1234.56, 1234.56, 1_234_567.0, 0.125, 12.5, -3.5]);
        for text in ["1.234", "1,234,5", "1.23,4", "a", ""] {
            assert_eq!(european(text), None, "{text}");
        }
    }
}
