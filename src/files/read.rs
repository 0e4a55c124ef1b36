//! Reading: streams, headers and the cells of a row.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::StringRecord;
use flate2::read::MultiGzDecoder;

use crate::model::Invalid;
use crate::model::time::{Instant, parse_instant};

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
    #[error("{}, line 1: unknown column {column:?}; the columns are {columns}", path.display())]
    UnknownColumn {
        /// Which file.
        path: PathBuf,
        /// As it stands there.
        column: String,
        /// The known columns.
        columns: String,
    },
    /// A column that stands there twice.
    #[error("{}, line 1: column {column:?} stands there twice; which one counts?", path.display())]
    AmbiguousColumn {
        /// Which file.
        path: PathBuf,
        /// As it stands there.
        column: String,
    },
    /// A required column is missing.
    #[error("{}, line 1: column {column:?} is missing; it is required", path.display())]
    MissingColumn {
        /// Which file.
        path: PathBuf,
        /// The required one.
        column: &'static str,
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
    /// Whether columns `attr_X` are taken.
    const ATTRIBUTES: bool;

    /// Turns the cells of a row into a model; `now` is the latest time allowed.
    fn row(cells: &Cells<'_>, now: Instant) -> Result<Self::Row, Invalid>;
}

/// Where each known column stands in a file.
pub(super) struct Columns {
    /// By position in [`HistoryFile::COLUMNS`].
    known: Vec<Option<usize>>,
    /// The names of `attr_X` columns without the prefix.
    attributes: Vec<(String, usize)>,
    width: usize,
}

/// The cells of one row, by column.
pub struct Cells<'r> {
    columns: &'r Columns,
    record: &'r StringRecord,
}

impl<'r> Cells<'r> {
    /// The cell of the column at `index` in [`HistoryFile::COLUMNS`], `None` when it is empty.
    pub fn get(&self, index: usize) -> Option<&'r str> {
        let cell = self.record.get(self.columns.known[index]?)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    /// A time, or that it is none, or that it lies after `now`.
    pub fn time(
        &self,
        index: usize,
        column: &'static str,
        now: Instant,
    ) -> Result<Option<Instant>, Invalid> {
        let Some(text) = self.get(index) else { return Ok(None) };
        let at = parse_instant(column, text)?;
        if at > now { Err(Invalid::new(column, text, "in the past")) } else { Ok(Some(at)) }
    }

    /// Parses a cell by its type's own rule.
    pub fn parse<T: std::str::FromStr<Err = Invalid>>(
        &self,
        index: usize,
    ) -> Result<Option<T>, Invalid> {
        self.get(index).map(str::parse).transpose()
    }

    /// Parses a cell that must not be empty.
    pub fn required<T: std::str::FromStr<Err = Invalid>>(
        &self,
        index: usize,
    ) -> Result<T, Invalid> {
        self.get(index).unwrap_or_default().parse()
    }

    /// The filled `attr_X` cells by `X`.
    pub fn attributes(&self) -> impl Iterator<Item = (&'r str, &'r str)> {
        let cell = |index: usize| self.record.get(index).map_or("", str::trim);
        let filled = move |(name, index): &'r (String, usize)| (name.as_str(), cell(*index));
        self.columns.attributes.iter().map(filled).filter(|(_, value)| !value.is_empty())
    }
}

/// A row's line and the model it became, or why it is refused.
pub type Numbered<R> = (u64, Result<R, RowError>);

/// Reads the rows of one history file.
pub struct Rows<F> {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: Columns,
    record: StringRecord,
    shape: std::marker::PhantomData<F>,
}

impl<F: HistoryFile> Rows<F> {
    /// Reads and checks the header.
    pub fn new(input: Input) -> Result<Self, FileError> {
        let path = input.path;
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .buffer_capacity(1 << 16)
            .from_reader(input.reader);
        let header = reader.headers().map_err(|cause| FileError::Read {
            path: path.clone(),
            line: 1,
            cause,
        })?;
        let columns = columns::<F>(&path, header)?;
        let shape = std::marker::PhantomData;
        Ok(Self { path, reader, columns, record: StringRecord::new(), shape })
    }

    /// The next row: a model, or why it is refused; `None` at the end. An error of the file ends
    /// the reading.
    pub fn next(&mut self, now: Instant) -> Result<Option<Numbered<F::Row>>, FileError> {
        let line = self.reader.position().line();
        match self.reader.read_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = self.record.position().map_or(line, csv::Position::line);
                Ok(Some((line, self.row(line, now))))
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                let problem = "the row is not UTF-8 text".to_owned();
                Ok(Some((line, Err(RowError { line, problem }))))
            }
            Err(cause) => Err(FileError::Read { path: self.path.clone(), line, cause }),
        }
    }

    fn row(&self, line: u64, now: Instant) -> Result<F::Row, RowError> {
        let width = self.columns.width;
        if self.record.len() != width {
            let problem = format!("the row has {} cells, the header {width}", self.record.len());
            return Err(RowError { line, problem });
        }
        F::row(&Cells { columns: &self.columns, record: &self.record }, now)
            .map_err(|error| RowError { line, problem: error.to_string() })
    }
}

fn columns<F: HistoryFile>(path: &Path, header: &StringRecord) -> Result<Columns, FileError> {
    let listed = || {
        let mut listed = F::COLUMNS.join(", ");
        if F::ATTRIBUTES {
            listed.push_str(" and attr_X");
        }
        listed
    };
    let path = path.to_owned();
    if header.is_empty() || header.len() == 1 && header[0].trim().is_empty() {
        return Err(FileError::Empty { path, columns: listed() });
    }
    let mut columns =
        Columns { known: vec![None; F::COLUMNS.len()], attributes: vec![], width: header.len() };
    for (index, name) in header.iter().map(str::trim).enumerate() {
        let twice = if let Some(known) = F::COLUMNS.iter().position(|column| *column == name) {
            columns.known[known].replace(index).is_some()
        } else if let Some(name) =
            name.strip_prefix("attr_").filter(|n| F::ATTRIBUTES && !n.is_empty())
        {
            let twice = columns.attributes.iter().any(|(other, _)| other == name);
            columns.attributes.push((name.to_owned(), index));
            twice
        } else {
            return Err(FileError::UnknownColumn { path, column: name.into(), columns: listed() });
        };
        if twice {
            return Err(FileError::AmbiguousColumn { path, column: name.to_owned() });
        }
    }
    for required in F::REQUIRED {
        let index = F::COLUMNS.iter().position(|column| column == required);
        if index.is_none_or(|index| columns.known[index].is_none()) {
            return Err(FileError::MissingColumn { path, column: required });
        }
    }
    Ok(columns)
}
