//! Reports: one page of HTML that needs no network, and the same figures as JSON and as a table.
//!
//! Every picture is also text: heat maps are tables, bars are lists, and whatever is drawn carries
//! the figures it is drawn from.

pub mod evaluated;
mod replayed;

use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

pub use replayed::of_replays;

use crate::pictures::STYLE;

/// A page and its figures.
#[derive(Debug)]
pub struct ReportPage {
    /// The page.
    pub html: String,
    /// All that is known.
    pub json: String,
    /// The figures with their intervals, for a spreadsheet.
    pub csv: String,
}

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write {}", path.display())]
pub struct WriteError {
    path: PathBuf,
    #[source]
    cause: std::io::Error,
}

impl ReportPage {
    /// Writes `report.html`, `report.json` and `report.csv` into a folder, which is made when it is
    /// not there.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let failed = |path: &Path, cause| WriteError { path: path.to_owned(), cause };
        std::fs::create_dir_all(folder).map_err(|cause| failed(folder, cause))?;
        let files = [("html", &self.html), ("json", &self.json), ("csv", &self.csv)];
        for (ending, text) in files {
            let path = folder.join("report").with_extension(ending);
            std::fs::write(&path, text).map_err(|cause| failed(&path, cause))?;
        }
        Ok(())
    }

    fn new(
        page: Markup,
        all: &impl Serialize,
        figures: impl Iterator<Item = impl Serialize>,
    ) -> Self {
        // numbers and words in memory: neither can fail
        let json = serde_json::to_string_pretty(all).expect("figures are JSON");
        let mut table = csv::Writer::from_writer(Vec::new());
        figures.for_each(|row| table.serialize(row).expect("a row is a record"));
        let table = table.into_inner().expect("memory takes all");
        let csv = String::from_utf8(table).expect("texts are UTF-8");
        Self { html: page.into_string(), json, csv }
    }
}

fn page(title: &str, lead: &str, parts: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.faint { (lead) }
                    (parts)
                }
                main { (body) }
            }
        }
    }
}

/// A word as files spell it.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
