//! What people and scripts see: the same struct as text or as JSON.

use std::io::Write;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Shows results.
pub(super) struct Printer {
    json: bool,
}

/// A result that can be read by people; scripts get its JSON.
pub(super) trait Show: Serialize {
    /// For people.
    fn text(&self) -> String;
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result.
    pub(super) fn show(&self, result: &impl Show) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string(result)? } else { result.text() };
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
            // the reader went away, as `head` does; that is no failure of ours
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done?),
        }
    }
}

/// Writes bytes to the standard output as they are.
pub(super) fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Prints an error and its causes on the standard error.
pub fn error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}

/// Says something on the standard error that is no result.
pub(super) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A table whose columns after the first are numbers.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A bar on the standard error, or a counter where the whole is not known.
pub(super) fn progress(what: &'static str, whole: Option<u64>) -> ProgressBar {
    let (bar, template) = match whole {
        Some(whole) => (ProgressBar::new(whole), "{msg} {wide_bar} {percent:>3} % {eta:>4}"),
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    bar.with_style(style).with_message(what)
}
