//! History comes in: rows of the three files, streamed into the store.
//!
//! A parser on a thread of its own hands over chunks, several of which make a transaction; so memory
//! does not grow with the file, and what was committed stays when the disk fills or the file breaks
//! off.
//! Strict imports are one transaction from first row to last.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc;

use super::Ctx;
use crate::clock::Clock;
use crate::files::{
    Activity, ActivityRow, FileError, HistoryFile, Input, Layout, MessageRow, Messages, Numbered,
    RecipientRow, Recipients, RowError, Rows,
};
use crate::model::consent::{ConsentChange, ConsentEntry};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::message::Message;
use crate::model::recipient::Profile;
use crate::model::time::Instant;
use crate::store::{AddedRecipient, Forgotten, Store, StoreError, Tx};

/// Rows that the parser hands over at once.
const CHUNK_ROWS: usize = 10_000;
/// Rows in one transaction: enough that pages of the indexes are not written over and over, few
/// enough that a daemon beside does not wait long.
const COMMIT_ROWS: u64 = 100_000;
/// Chunks that the parser may be ahead.
const CHUNKS_AHEAD: usize = 2;
/// Known recipients that are kept in memory.
const KNOWN_MAX: usize = 500_000;
/// Refused rows that are listed; the others are only counted.
pub const REFUSED_LISTED_MAX: usize = 1000;

/// What became of a file's rows.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Imported {
    /// Rows read.
    pub rows: u64,
    /// Not known before.
    pub new: u64,
    /// Known, and something was filled in or changed.
    pub updated: u64,
    /// Known, and nothing changed.
    pub same: u64,
    /// Refused.
    pub refused: u64,
    /// Entries added to the consent ledger.
    pub consents: u64,
    /// Recipients that only messages or activity named; they have no consent.
    pub recipients_created: u64,
    /// Time zones inferred from country or dialling code.
    pub zones_inferred: u64,
    /// Opt-outs of addresses that nobody has.
    pub unknown: u64,
    /// What was read otherwise than it stands.
    pub remarks: Vec<String>,
    /// The first refused rows.
    #[serde(serialize_with = "shown")]
    pub refusals: Vec<RowError>,
}

fn shown<S: serde::Serializer>(refusals: &[RowError], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(refusals.iter().map(ToString::to_string))
}

impl Imported {
    fn refuse(&mut self, error: RowError) {
        self.refused += 1;
        if self.refusals.len() < REFUSED_LISTED_MAX {
            self.refusals.push(error);
        }
    }
}

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

type Parsed<R> = Vec<Numbered<R>>;

pub(super) async fn run<F: Load>(
    ctx: &Ctx,
    input: Input,
    layout: Option<Layout>,
    strictness: Strictness,
    mut progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    let now = ctx.clock.now();
    let (sender, mut chunks) = mpsc::channel::<Parsed<F::Row>>(CHUNKS_AHEAD);
    let parser = tokio::task::spawn_blocking(move || parse::<F>(input, layout, now, &sender));
    let mut kept = Kept { line: 1, ..Kept::default() };
    let mut loader = Loader::open(ctx).await.map_err(|cause| kept.stopped(cause))?;
    let (mut imported, mut line, mut open) = (Imported::default(), 1, None);
    while let Some(chunk) = chunks.recv().await {
        line = chunk.last().map_or(line, |(line, _)| *line);
        let mut tx = match open.take() {
            Some(tx) => tx,
            None => ctx.store.begin().await.map_err(|cause| kept.stopped(cause))?,
        };
        let loaded = loader.load::<F>(&mut tx, chunk, &mut imported).await;
        loaded.map_err(|cause| kept.stopped(cause))?;
        let enough = imported.rows - kept.imported.rows >= COMMIT_ROWS;
        if strictness == Strictness::Lenient && enough {
            tx.commit().await.map_err(|cause| kept.stopped(cause))?;
            kept = Kept { line, imported: imported.clone() };
        } else {
            open = Some(tx);
        }
        progress(imported.rows);
    }
    let read = parser.await.map_err(|_| ImportError::Parser)?;
    let spoilt = strictness == Strictness::Strict && (imported.refused > 0 || read.is_err());
    if let (Some(tx), false) = (open, spoilt) {
        // also when the file broke off: what was good stays
        tx.commit().await.map_err(|cause| kept.stopped(cause))?;
    }
    imported.remarks = read?;
    if spoilt { Err(ImportError::Strict(Box::new(imported))) } else { Ok(imported) }
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
    let mut rows = Rows::<F>::with_layout(input, layout)?;
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

/// A file whose rows can be put into the store.
pub(super) trait Load: HistoryFile {
    /// Whose row it is.
    fn owner(row: &Self::Row) -> Option<&RecipientKey>;

    /// The address in it, by which a forgotten person could come back under another id.
    fn address(_row: &Self::Row) -> Option<&str> {
        None
    }

    /// Puts rows into the store.
    async fn put(
        loader: &mut Loader,
        tx: &mut Tx,
        rows: Vec<(u64, Self::Row)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError>;
}

pub(super) struct Loader {
    clock: Clock,
    /// When the chunk at hand is written: learning looks for rows by the time of their writing, and
    /// a long import must not stamp its last rows with its beginning.
    pub(super) now: Instant,
    /// Absent while nobody was ever forgotten.
    forgotten: Option<Forgotten>,
    store: Store,
    pub(super) known: HashMap<RecipientKey, RecipientId>,
}

impl Loader {
    async fn open(ctx: &Ctx) -> Result<Self, StoreError> {
        let (store, clock) = (&ctx.store, ctx.clock.clone());
        let any = store.read().await?.any_forgotten().await?;
        let forgotten = if any { Some(store.forgotten_key().await?) } else { None };
        let now = clock.now();
        Ok(Self { clock, now, forgotten, store: store.clone(), known: HashMap::new() })
    }

    async fn load<F: Load>(
        &mut self,
        tx: &mut Tx,
        chunk: Parsed<F::Row>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        imported.rows += chunk.len() as u64;
        self.now = self.clock.now();
        let mut rows = Vec::with_capacity(chunk.len());
        for (line, row) in chunk {
            match row {
                Ok(row) => rows.push((line, row)),
                Err(error) => imported.refuse(error),
            }
        }
        self.pass_over_forgotten::<F>(&mut rows, imported).await?;
        F::put(self, tx, rows, imported).await
    }

    async fn pass_over_forgotten<F: Load>(
        &self,
        rows: &mut Vec<(u64, F::Row)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        let Some(key) = &self.forgotten else { return Ok(()) };
        let hashes = |row: &F::Row| {
            let address = F::address(row).map(|address| key.hash("address", address));
            [F::owner(row).map(|owner| key.hash("recipient", owner.as_str())), address]
        };
        let all: Vec<String> = rows.iter().flat_map(|(_, row)| hashes(row)).flatten().collect();
        let gone = self.store.read().await?.which_forgotten(&all).await?;
        if !gone.is_empty() {
            rows.retain(|(line, row)| {
                let known = hashes(row).iter().flatten().any(|hash| gone.contains(hash));
                if known {
                    let problem = "the person asked to be forgotten; \
                        `opportune consent grant` lets them in again"
                        .to_owned();
                    imported.refuse(RowError { line: *line, problem });
                }
                !known
            });
        }
        Ok(())
    }

    /// The numbers of the owners of rows; unknown ones are created without consent.
    pub(super) async fn owners<'k>(
        &mut self,
        tx: &mut Tx,
        keys: impl Iterator<Item = &'k RecipientKey>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        let missing: HashSet<&RecipientKey> =
            keys.filter(|k| !self.known.contains_key(*k)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.known.extend(tx.recipient_ids(missing.iter().copied()).await?);
        // numbers are given in the order of keys, whatever the order of the set
        let mut new: Vec<&RecipientKey> =
            missing.into_iter().filter(|key| !self.known.contains_key(*key)).collect();
        new.sort();
        let new: Vec<_> = new.into_iter().map(|key| (key.clone(), Profile::default())).collect();
        let added = tx.put_recipients(&new).await?;
        imported.recipients_created += new.len() as u64;
        self.known.extend(new.into_iter().zip(added).map(|((key, _), (id, _))| (key, id)));
        Ok(())
    }
}

impl Load for Recipients {
    fn owner(row: &RecipientRow) -> Option<&RecipientKey> {
        Some(&row.key)
    }

    fn address(row: &RecipientRow) -> Option<&str> {
        row.profile.address.as_ref().map(crate::model::recipient::Address::as_str)
    }

    async fn put(
        loader: &mut Loader,
        tx: &mut Tx,
        rows: Vec<(u64, RecipientRow)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        // a key that comes again starts a new batch, so that its later row finds the earlier stored
        let (mut batch, mut keys) = (Vec::new(), HashSet::new());
        for (_, row) in rows {
            if !keys.insert(row.key.clone()) {
                put_batch(loader, tx, std::mem::take(&mut batch), imported).await?;
                keys = HashSet::from([row.key.clone()]);
            }
            batch.push(row);
        }
        put_batch(loader, tx, batch, imported).await
    }
}

async fn put_batch(
    loader: &Loader,
    tx: &mut Tx,
    rows: Vec<RecipientRow>,
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let (mut people, mut opted_in) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        imported.zones_inferred += u64::from(row.profile.zone.is_some_and(|zone| zone.inferred));
        people.push((row.key, row.profile));
        opted_in.push((row.opted_in, row.opted_out));
    }
    let added = tx.put_recipients(&people).await?;
    let ids: Vec<RecipientId> = added.iter().map(|(id, _)| *id).collect();
    let mut entries = Vec::new();
    for ((id, became), opted_in) in added.into_iter().zip(opted_in) {
        match became {
            AddedRecipient::New => imported.new += 1,
            AddedRecipient::Updated => imported.updated += 1,
            AddedRecipient::Same => imported.same += 1,
        }
        let (granted, withdrawn) = opted_in;
        let granted = granted.map(|(at, source)| (ConsentChange::Granted, at, source));
        let withdrawn = withdrawn.map(|at| (ConsentChange::Withdrawn, at, "import".to_owned()));
        entries.extend(granted.into_iter().chain(withdrawn).map(|(change, at, source)| {
            let evidence = "recipients.csv".to_owned();
            (id, ConsentEntry { change, at, source, evidence, recorded_at: loader.now })
        }));
    }
    imported.consents += tx.append_consent(&entries).await?;
    // words that were said before anybody knew the address
    let names = people.iter().zip(&ids);
    let names: Vec<(&str, RecipientId)> = names
        .filter_map(|((_, profile), id)| Some((profile.address.as_ref()?.as_str(), *id)))
        .collect();
    imported.consents += tx.apply_kept_consent(None, &names, loader.now).await?;
    Ok(())
}

impl Load for Messages {
    fn owner(row: &MessageRow) -> Option<&RecipientKey> {
        Some(&row.recipient)
    }

    async fn put(
        loader: &mut Loader,
        tx: &mut Tx,
        rows: Vec<(u64, MessageRow)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        loader.owners(tx, rows.iter().map(|(_, row)| &row.recipient), imported).await?;
        let mut lines = Vec::with_capacity(rows.len());
        let mut messages: Vec<(RecipientId, Message)> = Vec::with_capacity(rows.len());
        for (line, row) in rows {
            lines.push(line);
            messages.push((loader.known[&row.recipient], row.message));
        }
        let added = tx.add_messages(&messages, loader.now).await?;
        withdraw_consent(loader, tx, &messages, imported).await?;
        imported.new += added.new;
        imported.updated += added.filled;
        imported.same += added.same;
        for (index, column, stored, given) in added.conflicts {
            let key = &messages[index].1.key;
            let problem = format!(
                "message {:?} is stored with {column} {stored:?}, the file says {given:?}; \
                 a filled field cannot change",
                key.as_str()
            );
            imported.refuse(RowError { line: lines[index], problem });
        }
        Ok(())
    }
}

/// A person who opted out in answer to a message of the past has no consent since then.
async fn withdraw_consent(
    loader: &Loader,
    tx: &mut Tx,
    messages: &[(RecipientId, Message)],
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let entries: Vec<(RecipientId, ConsentEntry)> = messages
        .iter()
        .filter_map(|(recipient, message)| {
            let entry = ConsentEntry {
                change: ConsentChange::Withdrawn,
                at: message.response.opted_out_at?,
                source: "opt-out".to_owned(),
                evidence: message.key.to_string(),
                recorded_at: loader.now,
            };
            Some((*recipient, entry))
        })
        .collect();
    imported.consents += tx.append_consent(&entries).await?;
    Ok(())
}

impl Load for Activity {
    fn owner(row: &ActivityRow) -> Option<&RecipientKey> {
        Some(&row.recipient)
    }

    async fn put(
        loader: &mut Loader,
        tx: &mut Tx,
        rows: Vec<(u64, ActivityRow)>,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        loader.owners(tx, rows.iter().map(|(_, row)| &row.recipient), imported).await?;
        let owned: Vec<_> = rows
            .into_iter()
            .map(|(_, row)| (loader.known[&row.recipient], row.at, row.kind))
            .collect();
        let new = tx.add_activity(&owned, loader.now).await?;
        imported.new += new;
        imported.same += owned.len() as u64 - new;
        Ok(())
    }
}
