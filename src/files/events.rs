//! `events.csv`: what happens to people.

use super::cells::Cells;
use super::history::attributes;
use super::read::HistoryFile;
use crate::model::Invalid;
use crate::model::event::{AHEAD_MAX, PersonEvent};
use crate::model::ids::RecipientKey;
use crate::model::time::Instant;

/// `events.csv`
pub struct Events;

/// A row of `events.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Whose.
    pub recipient: RecipientKey,
    /// What.
    pub event: PersonEvent,
}

impl HistoryFile for Events {
    type Row = EventRow;
    const COLUMNS: &'static [&'static str] = &["recipient", "event", "at", "key", "id"];
    const REQUIRED: &'static [&'static str] = &["recipient", "event", "at"];
    const ATTRIBUTES: bool = true;

    fn row(cells: &Cells<'_>, now: Instant) -> Result<EventRow, Invalid> {
        let latest = (now + AHEAD_MAX, "within ten years from now");
        let at = cells.time_until(2, "at", latest)?;
        let wanted = "an RFC 3339 time stamp of when it happens";
        let event = PersonEvent {
            kind: cells.required(1)?,
            key: cells.text(3).map(str::parse).transpose()?,
            id: cells.text(4).map(str::parse).transpose()?,
            at: at.ok_or_else(|| Invalid::new("at", cells.text(2).unwrap_or_default(), wanted))?,
            attributes: attributes(cells)?,
        };
        Ok(EventRow { recipient: cells.required(0)?, event })
    }
}
