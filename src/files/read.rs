//! Reading: streams and rows, each with its line in the file.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::StringRecord;
use flate2::read::MultiGzDecoder;

use super::cells::{Cells, Remarks};
use super::header::{self, Columns};
use super::presets::Layout;
use super::quotes::OpenQuote;
use super::text::{self, Text};
use crate::model::Invalid;
use crate::model::time::Instant;

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there or not readable.
    #[error("could not open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Reading stopped in the middle.
    #[error("could not read {} at line {line}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Why.
        #[source]
        cause: csv::Error,
    },
    /// It has no header line.
    #[error("{} is empty; its first line must name the columns: {columns}", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
        /// The known columns.
        columns: String,
    },
    /// A column that nobody knows.
    #[error("{}, line {line}: unknown column {column:?}; the columns are {columns}", path.display())]
    UnknownColumn {
        /// Which file.
        path: PathBuf,
        /// Where its header stands.
        line: u64,
        /// As it stands there.
        column: String,
        /// The known columns.
        columns: String,
    },
    /// A column that stands there twice.
    #[error("{}, line {line}: column {column:?} stands there twice; which one counts?", path.display())]
    AmbiguousColumn {
        /// Which file.
        path: PathBuf,
        /// Where its header stands.
        line: u64,
        /// As it stands there.
        column: String,
    },
    /// A required column is missing.
    #[error("{}, line {line}: column {column:?} is missing; it is required", path.display())]
    MissingColumn {
        /// Which file.
        path: PathBuf,
        /// Where its header stands.
        line: u64,
        /// The required one.
        column: String,
    },
    /// It is no text.
    #[error("{} is no CSV file: it is {problem}", path.display())]
    NoText {
        /// Which file.
        path: PathBuf,
        /// What it is, and what helps.
        problem: &'static str,
    },
}

/// A row that was refused: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowError {
    /// The line in the file, from 1.
    pub line: u64,
    /// Column, value and what would be right.
    pub problem: String,
}

/// An open file and how much of it has been read, in bytes as they lie on the disk.
pub struct Input {
    /// Its name.
    pub path: PathBuf,
    /// Its size, where it has one.
    pub size: Option<u64>,
    /// How much was read.
    pub position: Arc<AtomicU64>,
    reader: Box<dyn Read + Send>,
}

struct Counted<R> {
    inner: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens a file, decompressing what ends in `.gz`; `-` is the standard input.
pub fn open(path: &Path) -> Result<Input, FileError> {
    let position = Arc::new(AtomicU64::new(0));
    let counted = |inner| Counted { inner, position: Arc::clone(&position) };
    let (size, reader): (_, Box<dyn Read + Send>) = if path == Path::new("-") {
        (None, Box::new(std::io::stdin()))
    } else {
        let failed = |cause| FileError::Open { path: path.to_owned(), cause };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let counted = counted(file);
        let reader: Box<dyn Read + Send> = if path.extension().is_some_and(|e| e == "gz") {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, counted)))
        } else {
            Box::new(counted)
        };
        (Some(size), reader)
    };
    Ok(Input { path: path.to_owned(), size, position, reader })
}

impl Input {
    /// Copies the rest, decompressed, to a writer.
    pub fn copy_to(mut self, to: &mut impl Write) -> std::io::Result<u64> {
        std::io::copy(&mut self.reader, to)
    }

    /// Copies the rest to a file without a name, so that it can be read twice: what is checked is
    /// what is loaded, even if the file changes meanwhile.
    pub fn spooled(mut self) -> Result<Spooled, FileError> {
        let path = self.path.clone();
        let failed = |cause: std::io::Error| FileError::Read {
            path: path.clone(),
            line: 0,
            cause: cause.into(),
        };
        let mut file = tempfile::tempfile().map_err(failed)?;
        std::io::copy(&mut self.reader, &mut file).map_err(failed)?;
        Ok(Spooled { path: self.path, position: self.position, file })
    }
}

/// A whole file, ready to be read from its beginning.
pub struct Spooled {
    path: PathBuf,
    position: Arc<AtomicU64>,
    file: File,
}

impl Spooled {
    /// The file from its beginning; readers share their place in it, so use one after the other.
    pub fn rewound(&self) -> Result<Input, FileError> {
        let failed = |cause: std::io::Error| FileError::Open { path: self.path.clone(), cause };
        let mut file = self.file.try_clone().map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok(Input {
            path: self.path.clone(),
            size: None,
            position: Arc::clone(&self.position),
            reader: Box::new(file),
        })
    }
}

/// One of the three history files: its columns and how a row becomes a model.
pub trait HistoryFile: Sized + Send + 'static {
    /// What a row becomes.
    type Row: Send + 'static;
    /// The known columns.
    const COLUMNS: &'static [&'static str];
    /// Those that must be there.
    const REQUIRED: &'static [&'static str];
    /// Of which one must be there; empty: no such rule.
    const ONE_OF: &'static [&'static str] = &[];
    /// Whether columns `attr_X` are taken.
    const ATTRIBUTES: bool;

    /// Turns the cells of a row into a model; `now` is the latest time allowed.
    fn row(cells: &Cells<'_>, now: Instant) -> Result<Self::Row, Invalid>;
}

/// A row's line and the model it became, or why it is refused.
pub type Numbered<R> = (u64, Result<R, RowError>);

/// Reads the rows of one history file.
pub struct FileRows<F> {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: Columns,
    record: StringRecord,
    /// Lines of the file before the first that the reader saw.
    skipped: u64,
    open_quote: OpenQuote,
    remarks: RefCell<Remarks>,
    shape: std::marker::PhantomData<F>,
}

impl<F: HistoryFile> FileRows<F> {
    /// Reads and checks the header.
    pub fn new(input: Input) -> Result<Self, FileError> {
        Self::with_layout(input, None)
    }

    /// As [`Self::new`], for a file with the columns of another tool.
    pub fn with_layout(input: Input, layout: Option<Layout>) -> Result<Self, FileError> {
        let path = input.path;
        let failed = |line, cause| FileError::Read { path: path.clone(), line, cause };
        let opened = text::open(input.reader).map_err(|cause| failed(1, cause.into()))?;
        let Text { reader, separator, skipped, open_quote } =
            opened.map_err(|problem| FileError::NoText { path: path.clone(), problem })?;
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .delimiter(separator)
            .buffer_capacity(1 << 16)
            .from_reader(reader);
        let mut header = StringRecord::new();
        let line = skipped + 1;
        reader.read_record(&mut header).map_err(|cause| failed(line, cause))?;
        let mut nameless = Vec::new();
        let mut columns = header::columns::<F>(&path, line, &header, layout, &mut nameless)?;
        columns.decimal_comma = matches!(separator, b';' | b'\t');
        let remarks = RefCell::new(Remarks::default());
        for column in nameless {
            let what = format!("column {column} has no name and is ignored");
            remarks.borrow_mut().add(line, what);
        }
        let shape = std::marker::PhantomData;
        Ok(Self { path, reader, columns, record: header, skipped, open_quote, remarks, shape })
    }

    /// What was read otherwise than it stands so far, in words.
    pub fn remarks(&self) -> Vec<String> {
        self.remarks.borrow().texts()
    }

    /// The next row: a model, or why it is refused; `None` at the end. An error of the file ends
    /// the reading. Rows whose cells are all empty, which spreadsheets leave behind, are none.
    pub fn next(&mut self, now: Instant) -> Result<Option<Numbered<F::Row>>, FileError> {
        loop {
            let before = self.reader.position().line();
            let mut bytes = std::mem::take(&mut self.record).into_byte_record();
            match self.reader.read_byte_record(&mut bytes) {
                Ok(false) => return Ok(None),
                Ok(true) => {}
                Err(cause) => {
                    let line = self.skipped + before;
                    return Err(FileError::Read { path: self.path.clone(), line, cause });
                }
            }
            // blank lines are passed over before a record, line breaks within it are quoted
            let breaks = (bytes.as_slice().split(|b| *b == b'\n').count() - 1) as u64;
            let start = (self.reader.position().line() - 1).saturating_sub(breaks).max(before);
            let line = self.skipped + start;
            if let Some(opened) = self.open_quote.line().map(|opened| self.skipped + opened)
                && (line..=line + breaks).contains(&opened)
            {
                let problem = format!(
                    "a quote opens on line {opened} and is never closed, so that everything behind \
                     it is one cell; close it, or double a quote within a cell"
                );
                return Ok(Some((line, Err(RowError { line, problem }))));
            }
            let Ok(record) = StringRecord::from_byte_record(bytes) else {
                let problem = "the row is not UTF-8 text; save the file as CSV UTF-8".to_owned();
                return Ok(Some((line, Err(RowError { line, problem }))));
            };
            self.record = record;
            if self.record.len() > 1 && self.record.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            return Ok(Some((line, self.row(line, now))));
        }
    }

    fn row(&self, line: u64, now: Instant) -> Result<F::Row, RowError> {
        let Columns { width, named, .. } = self.columns;
        let beyond = self.record.iter().skip(width).any(|cell| !cell.trim().is_empty());
        if self.record.len() < named || beyond {
            let problem = format!("the row has {} cells, the header {width}", self.record.len());
            return Err(RowError { line, problem });
        }
        let cells =
            Cells { columns: &self.columns, record: &self.record, line, remarks: &self.remarks };
        F::row(&cells, now).map_err(|error| RowError { line, problem: error.to_string() })
    }
}
