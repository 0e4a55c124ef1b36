//! History comes in: rows of the files, streamed into the store.
//!
//! A parser on a thread of its own hands over chunks. Each is one transaction, so that a daemon beside
//! never waits long, memory does not grow with the file, and what was committed stays when the disk
//! fills or the file breaks off. A chunk that crossed another transaction is loaded again: loading it
//! twice changes nothing.
//!
//! A strict import reads the file twice. First it is loaded into a workspace of its own, which finds
//! rows that contradict each other, and each chunk is loaded here and taken back, which finds rows that
//! contradict what is stored. Only a file without a bad row is then loaded, chunk by chunk. A crash in
//! the middle leaves the chunks before it; running the import again completes it. What another process
//! makes bad between check and load (a person is forgotten) is refused and listed.

mod bulk;
mod chunk;
mod events;

use tokio::sync::mpsc;

use super::Ctx;
use crate::files::{
    Activity, Events, FileError, FileRows, HistoryFile, Input, Layout, Messages, Recipients,
};
use crate::model::time::Instant;
use crate::store::{Create, Store, StoreError};

use self::chunk::{LoadMode, Parsed};

pub(super) use self::chunk::{HistoryRows, Loader, Owners, create_owners, known_owners};

pub use crate::files::BulkItem;

pub use self::bulk::{BulkKind, ITEMS_MAX, items};
pub(super) use self::bulk::{BulkSource, items_from};
pub use self::chunk::{Imported, REFUSED_LISTED_MAX, RowOutcome};

/// Rows that the parser hands over at once, and in one transaction: enough that pages of the indexes
/// are not written over and over, few enough that a daemon beside waits for less than a second.
const CHUNK_ROWS: usize = 20_000;
/// Chunks that the parser may be ahead.
const CHUNKS_AHEAD: usize = 2;
/// How often a chunk is loaded that crosses other transactions each time.
const TRIES_MAX: u32 = 10;

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A strict import found bad rows; nothing was loaded.
    #[error("nothing was loaded, since {} of {} rows are bad", .0.refused, .0.rows)]
    Strict(Box<Imported>),
    /// The store failed; what was loaded before stays.
    #[error("the import stopped after line {line}; {} rows before it are stored", so_far.rows)]
    Store {
        /// The last line that was handed over.
        line: u64,
        /// What was loaded.
        so_far: Box<Imported>,
        /// Why.
        #[source]
        cause: StoreError,
    },
    /// A strict import found no place to check the file in.
    #[error("could not make a folder for the check of the file")]
    Scratch(#[source] std::io::Error),
    /// The parser's thread ended without a word.
    #[error("the parser stopped unexpectedly")]
    Parser,
}

/// Whether bad rows spoil the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// They are refused, the rest is loaded.
    Lenient,
    /// Nothing is loaded.
    Strict,
}

/// Loads `recipients.csv`.
pub async fn recipients(
    ctx: &Ctx,
    input: Input,
    strictness: Strictness,
    progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    run::<Recipients>(ctx, input, None, strictness, progress).await
}

/// Loads another tool's export of people.
pub async fn recipients_from(
    ctx: &Ctx,
    input: Input,
    layout: Layout,
    strictness: Strictness,
    progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    run::<Recipients>(ctx, input, Some(layout), strictness, progress).await
}

/// Loads `messages.csv`.
pub async fn messages(
    ctx: &Ctx,
    input: Input,
    strictness: Strictness,
    progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    run::<Messages>(ctx, input, None, strictness, progress).await
}

/// Loads `activity.csv`.
pub async fn activity(
    ctx: &Ctx,
    input: Input,
    strictness: Strictness,
    progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    run::<Activity>(ctx, input, None, strictness, progress).await
}

/// Loads `events.csv`.
pub async fn events(
    ctx: &Ctx,
    input: Input,
    strictness: Strictness,
    progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    run::<Events>(ctx, input, None, strictness, progress).await
}

pub(super) async fn run<F: HistoryRows>(
    ctx: &Ctx,
    input: Input,
    layout: Option<Layout>,
    strictness: Strictness,
    mut progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    if strictness == Strictness::Lenient {
        return load::<F>(ctx, (input, layout), LoadMode::Keep, &mut progress).await;
    }
    let spooling = tokio::task::spawn_blocking(move || input.spooled());
    let file = spooling.await.map_err(|_| ImportError::Parser)??;
    let spoilt = |imported: Imported| match imported.refused {
        0 => Ok(()),
        _ => Err(ImportError::Strict(Box::new(imported))),
    };
    let again = || Ok::<_, FileError>((file.rewound()?, layout.clone()));
    spoilt(check_alone::<F>(ctx, again()?).await?)?;
    spoilt(load::<F>(ctx, again()?, LoadMode::TakeBack, &mut |_| ()).await?)?;
    load::<F>(ctx, again()?, LoadMode::Keep, &mut progress).await
}

/// Loads a file into a workspace of its own, which is thrown away.
async fn check_alone<F: HistoryRows>(
    ctx: &Ctx,
    input: (Input, Option<Layout>),
) -> Result<Imported, ImportError> {
    let folder = tempfile::tempdir().map_err(ImportError::Scratch)?;
    let url = format!("sqlite://{}", folder.path().join("check.db").display());
    let store = Store::open(&url, Create::Scratch).await;
    let store = store.map_err(|cause| Kept::default().stopped(cause))?;
    let alone = Ctx { store, ..ctx.clone() };
    let checked = load::<F>(&alone, input, LoadMode::Keep, &mut |_| ()).await;
    alone.store.close().await;
    checked
}

async fn load<F: HistoryRows>(
    ctx: &Ctx,
    (input, layout): (Input, Option<Layout>),
    load: LoadMode<'_>,
    progress: &mut impl FnMut(u64),
) -> Result<Imported, ImportError> {
    let now = ctx.clock.now();
    let (sender, mut chunks) = mpsc::channel::<Parsed<F::Row>>(CHUNKS_AHEAD);
    let parser = tokio::task::spawn_blocking(move || parse::<F>(input, layout, now, &sender));
    let mut kept = Kept { line: 1, ..Kept::default() };
    let key = ctx.store.forgotten_key().await.map_err(|cause| kept.stopped(cause))?;
    let own_addresses = ctx.config.own_addresses();
    while let Some(chunk) = chunks.recv().await {
        let mut tries = 1;
        let imported = loop {
            let loader = Loader {
                now: ctx.clock.now(),
                key: &key,
                own_addresses: &own_addresses,
                evidence: F::EVIDENCE,
                withdrawn_by: "import",
            };
            let mut imported = kept.imported.clone();
            match loader.load::<F>(&ctx.store, &chunk, load, &mut imported).await {
                Ok(()) => break imported,
                Err(error) if error.is_conflict() && tries < TRIES_MAX => tries += 1,
                Err(cause) => return Err(kept.stopped(cause)),
            }
        };
        let line = chunk.last().map_or(kept.line, |(line, _)| *line);
        kept = Kept { line, imported };
        progress(kept.imported.rows);
    }
    // also when the file broke off: what was good stays
    kept.imported.remarks = parser.await.map_err(|_| ImportError::Parser)??;
    Ok(kept.imported)
}

/// What is committed.
#[derive(Default)]
struct Kept {
    /// Up to which line of the file.
    line: u64,
    imported: Imported,
}

impl Kept {
    fn stopped(&self, cause: StoreError) -> ImportError {
        ImportError::Store { line: self.line, so_far: Box::new(self.imported.clone()), cause }
    }
}

fn parse<F: HistoryFile>(
    input: Input,
    layout: Option<Layout>,
    now: Instant,
    sender: &mpsc::Sender<Parsed<F::Row>>,
) -> Result<Vec<String>, FileError> {
    let mut rows = FileRows::<F>::with_layout(input, layout)?;
    let mut chunk = Vec::with_capacity(CHUNK_ROWS);
    loop {
        let row = rows.next(now);
        let more = matches!(row, Ok(Some(_)));
        if let Ok(Some(row)) = row {
            chunk.push(row);
        } else if let Err(error) = row {
            // what was read before the error is good; a closed channel means that nobody wants it
            let _ = sender.blocking_send(chunk);
            return Err(error);
        }
        if (!more || chunk.len() == CHUNK_ROWS) && !chunk.is_empty() {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS));
            if sender.blocking_send(full).is_err() {
                return Ok(rows.remarks());
            }
        }
        if !more {
            return Ok(rows.remarks());
        }
    }
}
