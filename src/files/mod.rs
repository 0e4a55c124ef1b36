//! The files that people bring and take: CSV, compressed or not, `-` for the standard streams.
//!
//! Owns the shapes of the history files and the way cells are written. A row becomes a model here
//! or is refused with line, column, value and what would be right. Touches no store.

mod cells;
mod events;
mod header;
mod history;
mod items;
mod presets;
mod quotes;
mod read;
mod text;
mod write;

pub use cells::Cells;
pub use events::{EventRow, Events};
pub use history::{
    Activity, ActivityRow, MessageLine, Messages, OptOutRow, OptOuts, RecipientLine, Recipients,
};
pub use items::{BulkItem, item};
pub use presets::{Layout, LayoutError, layout};
pub use read::{FileError, FileRows, HistoryFile, Input, Numbered, RowError, open};
pub use write::{
    Output, OutputError, copy_to_new, csv_text, number, write_activity, write_messages,
    write_recipients,
};
