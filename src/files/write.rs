//! Writing: cells that no spreadsheet runs as a formula, numbers of nine significant digits.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::history::{Activity, ActivityRow, MessageLine, Messages, RecipientLine, Recipients};
use super::read::HistoryFile;
use crate::model::time::{Instant, format_instant};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write {}", path.display())]
pub struct OutputError {
    path: PathBuf,
    #[source]
    cause: csv::Error,
}

/// A CSV file being written; compressed when its name ends in `.gz`, `-` is the standard output.
pub struct Output {
    path: PathBuf,
    writer: csv::Writer<Target>,
}

enum Target {
    Plain(Box<dyn Write + Send>),
    Gz(GzEncoder<BufWriter<File>>),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.write(bytes),
            Self::Gz(gz) => gz.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(plain) => plain.flush(),
            Self::Gz(gz) => gz.flush(),
        }
    }
}

/// Copies a whole file to a new one, compressed when its name ends in `.gz`; `-` is the standard
/// output. A file that is there already is not overwritten.
pub fn copy_to_new(mut from: impl Read, path: &Path) -> std::io::Result<u64> {
    if path == Path::new("-") {
        let mut out = std::io::stdout().lock();
        let bytes = std::io::copy(&mut from, &mut out)?;
        return out.flush().map(|()| bytes);
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    // a file of a half is never seen under the name
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut gz = GzEncoder::new(&mut file, Compression::fast());
        std::io::copy(&mut from, &mut gz)?;
        gz.finish()?;
    } else {
        std::io::copy(&mut from, &mut file)?;
    }
    file.as_file().sync_all()?;
    let file = file.persist_noclobber(path).map_err(|error| error.error)?;
    file.metadata().map(|known| known.len())
}

impl Output {
    /// Opens the file, replacing what was there, and writes the header.
    pub fn create(path: &Path, header: &[impl AsRef<str>]) -> Result<Self, OutputError> {
        let failed =
            |cause: std::io::Error| OutputError { path: path.to_owned(), cause: cause.into() };
        let target = if path == Path::new("-") {
            Target::Plain(Box::new(std::io::stdout()))
        } else {
            let file = BufWriter::new(File::create(path).map_err(failed)?);
            if path.extension().is_some_and(|extension| extension == "gz") {
                Target::Gz(GzEncoder::new(file, Compression::fast()))
            } else {
                Target::Plain(Box::new(file))
            }
        };
        let mut output = Self { path: path.to_owned(), writer: csv::Writer::from_writer(target) };
        output.row(header.iter().map(AsRef::as_ref))?;
        Ok(output)
    }

    /// Writes a row, with its cells made safe.
    pub fn row<C: AsRef<str>>(
        &mut self,
        cells: impl IntoIterator<Item = C>,
    ) -> Result<(), OutputError> {
        let failed = |cause| OutputError { path: self.path.clone(), cause };
        for cell in cells {
            self.writer.write_field(safe(cell.as_ref()).as_bytes()).map_err(failed)?;
        }
        self.writer.write_record(None::<&[u8]>).map_err(failed)
    }

    /// Writes what is buffered; without this call the end of the file may be missing.
    pub fn finish(self) -> Result<(), OutputError> {
        let path = self.path;
        let failed =
            |cause: std::io::Error| OutputError { path: path.clone(), cause: cause.into() };
        match self.writer.into_inner().map_err(|error| failed(error.into_error()))? {
            Target::Plain(mut plain) => plain.flush().map_err(failed),
            Target::Gz(gz) => gz.finish().and_then(|mut file| file.flush()).map_err(failed),
        }
    }
}

/// Rows as the text of a CSV file, with their cells made safe.
pub fn csv_text<C: AsRef<str>>(
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        for cell in row {
            // memory takes everything
            let _ = writer.write_field(safe(cell.as_ref()).as_bytes());
        }
        let _ = writer.write_record(None::<&[u8]>);
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// Puts an apostrophe before a cell that a spreadsheet would run as a formula. A plain number with
/// a sign, such as a telephone number, is none.
fn safe(cell: &str) -> Cow<'_, str> {
    let formula = match cell.as_bytes() {
        [b'=' | b'@' | b'\t' | b'\r', ..] => true,
        [b'+' | b'-', rest @ ..] => {
            rest.is_empty()
                || !rest.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'-'))
        }
        _ => false,
    };
    if formula { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// A number of nine significant digits, without trailing zeros.
pub fn number(value: f64) -> String {
    const DIGITS: i32 = 9;
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..15).contains(&magnitude) {
        return format!("{value:.8e}");
    }
    let decimals = (DIGITS - 1 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn time(at: Option<Instant>) -> String {
    at.map(format_instant).unwrap_or_default()
}

/// Writes `recipients.csv`; the attributes of all rows must have the names in `attributes`.
pub fn write_recipients(
    path: &Path,
    attributes: &[String],
    rows: impl Iterator<Item = RecipientLine>,
) -> Result<(), OutputError> {
    let named = attributes.iter().map(|name| format!("attr_{name}"));
    let header: Vec<String> =
        Recipients::COLUMNS.iter().map(ToString::to_string).chain(named).collect();
    let mut output = Output::create(path, &header)?;
    for RecipientLine { key, profile, opted_in, opted_out } in rows {
        let zone = profile.zone.filter(|zone| !zone.inferred);
        let (at, source) = opted_in.unzip();
        let mut cells = vec![
            key.to_string(),
            profile.address.as_ref().map(ToString::to_string).unwrap_or_default(),
            zone.map(|zone| zone.tz.to_string()).unwrap_or_default(),
            profile.locale.as_ref().map(ToString::to_string).unwrap_or_default(),
            profile.country.as_ref().map(ToString::to_string).unwrap_or_default(),
            time(at),
            source.unwrap_or_default(),
            time(opted_out),
            profile.tags.join("|"),
            words(profile.wishes.not_days.as_ref()),
            words(profile.wishes.only_dayparts.as_ref()),
            words(profile.wishes.only_media.as_ref()),
        ];
        let value = |name| profile.attributes.get(name).cloned().unwrap_or_default();
        cells.extend(attributes.iter().map(value));
        output.row(cells)?;
    }
    output.finish()
}

/// Words of a closed set with `|` between them.
fn words<T: ToString>(list: Option<&BTreeSet<T>>) -> String {
    let words = list.into_iter().flatten().map(ToString::to_string);
    words.collect::<Vec<_>>().join("|")
}

/// Writes `messages.csv`.
pub fn write_messages(
    path: &Path,
    rows: impl Iterator<Item = MessageLine>,
) -> Result<(), OutputError> {
    let mut output = Output::create(path, Messages::COLUMNS)?;
    for MessageLine { recipient, message } in rows {
        let r = &message.response;
        let word = |word: Option<String>| word.unwrap_or_default();
        output.row([
            message.key.to_string(),
            recipient.to_string(),
            word(message.campaign),
            word(message.channel),
            word(message.category.map(|c| c.to_string())),
            word(message.media.map(|m| m.to_string())),
            word(message.style.as_ref().map(ToString::to_string)),
            format_instant(message.sent_at),
            time(r.delivered_at),
            time(r.read_at),
            time(r.clicked_at),
            time(r.replied_at),
            time(r.converted_at),
            word(r.amount.map(number)),
            word(r.currency.clone()),
            time(r.opted_out_at),
            time(r.failed_at),
            word(r.failure_code.clone()),
            word(message.propensity.map(number)),
        ])?;
    }
    output.finish()
}

/// Writes `activity.csv`.
pub fn write_activity(
    path: &Path,
    rows: impl Iterator<Item = ActivityRow>,
) -> Result<(), OutputError> {
    let mut output = Output::create(path, Activity::COLUMNS)?;
    for row in rows {
        output.row([row.recipient.to_string(), format_instant(row.at), row.kind])?;
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_nine_significant_digits() {
        let shown =
            [0.0, 1.0, 0.123_456_789_123_4, 123_456_789_012.0, 1e-9, 0.25, -3.5].map(number);
        insta::assert_compact_debug_snapshot!(shown, @r#"["0", "1", "0.123456789", "123456789012", "1.00000000e-9", "0.25", "-3.5"]"#);
    }

    #[test]
    fn no_cell_is_run_as_a_formula() {
        for cell in ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd", "\t=1", "-"] {
            assert!(safe(cell).starts_with('\''), "{cell:?}");
        }
        for cell in ["+5511987654321", "-0.5", "plain", ""] {
            assert_eq!(safe(cell), cell);
        }
    }
}
