//! Watches for a quote that stays open to the end of a file: everything behind it is one cell then,
//! and whole rows would be lost in silence. Follows the quoting of RFC 4180 as the csv crate reads it.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The line, from 1, on which a quote opens that never closes; 0 while none is known.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenQuote(Arc<AtomicU64>);

impl OpenQuote {
    pub(super) fn line(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|line| *line > 0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    /// Behind a quote within quotes: it closes, or it is doubled.
    Quote,
}

/// Text with `\n` alone at line ends, passed on as it is.
pub(super) struct QuoteWatch<R> {
    inner: R,
    separator: u8,
    at: At,
    line: u64,
    opened_on: u64,
    found: OpenQuote,
}

impl<R: Read> QuoteWatch<R> {
    pub(super) fn new(inner: R, separator: u8) -> Self {
        let found = OpenQuote::default();
        Self { inner, separator, at: At::CellStart, line: 1, opened_on: 0, found }
    }

    pub(super) fn found(&self) -> OpenQuote {
        self.found.clone()
    }

    fn pass(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::CellStart, b'"') => {
                self.opened_on = self.line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (_, byte) if byte == self.separator || byte == b'\n' => At::CellStart,
            (At::CellStart | At::Cell | At::Quote, _) => At::Cell,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for QuoteWatch<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(out)?;
        for byte in &out[..count] {
            self.pass(*byte);
        }
        if count == 0 && !out.is_empty() && self.at == At::Quoted {
            self.found.0.store(self.opened_on, Ordering::Relaxed);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_on(text: &str) -> Option<u64> {
        let mut watch = QuoteWatch::new(text.as_bytes(), b';');
        let found = watch.found();
        watch.read_to_end(&mut Vec::new()).unwrap();
        found.line()
    }

    #[test]
    fn a_quote_that_never_closes_is_found_on_its_line() {
        for text in ["a;b\n\"x\ny\";z\n", "a;5\" screen\n", "\"say \"\"hi\"\"\";b\n", "\"\"\n", ""]
        {
            assert_eq!(open_on(text), None, "{text}");
        }
        assert_eq!(open_on("a;b\nc;\"d\ne;f\n"), Some(2));
        assert_eq!(open_on("\"a\";b\n\"c\"\"\n\"d\";\"e\"\n;\"\n"), Some(4));
    }
}
