//! From bytes to text lines: encodings, line ends, the separator. Owns what is decided before the
//! first row is read; refuses what is no text, and says what it is instead.

use std::io::{Cursor, Read};

use encoding_rs_io::DecodeReaderBytesBuilder;

use super::quotes::{OpenQuote, QuoteWatch};

/// So much of a file is looked at to find its header; a longer one is none.
const HEAD_MAX: usize = 1 << 16;
const BUFFER: usize = 1 << 16;

/// A file's text behind what comes before its header.
pub(super) struct Text {
    /// UTF-8 with `\n` alone at line ends, unless the file is of another encoding without saying so.
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) separator: u8,
    /// Lines of the file that were passed over: blank ones and `sep=`.
    pub(super) skipped: u64,
    /// Told once the end is read; its lines count from the header.
    pub(super) open_quote: OpenQuote,
}

/// Reads the beginning of a file; the inner error says what the file is instead of text.
pub(super) fn open(raw: Box<dyn Read + Send>) -> std::io::Result<Result<Text, &'static str>> {
    let decoded = DecodeReaderBytesBuilder::new().utf8_passthru(true).strip_bom(true).build(raw);
    let mut lines = UnixLines::new(decoded);
    let mut head = Vec::new();
    (&mut lines).take(HEAD_MAX as u64).read_to_end(&mut head)?;
    if let Some(problem) = not_text(&head) {
        return Ok(Err(problem));
    }
    let (mut skipped, mut separator, mut at) = (0, None, 0);
    while let Some(end) = head[at..].iter().position(|b| *b == b'\n').map(|end| at + end) {
        let line = head[at..end].trim_ascii();
        let named = named_separator(line);
        if !line.is_empty() && (named.is_none() || separator.is_some()) {
            break;
        }
        separator = separator.or(named);
        skipped += 1;
        at = end + 1;
    }
    let separator = separator.unwrap_or_else(|| likely_separator(&head[at..]));
    let rest = head.split_off(at);
    let watch = QuoteWatch::new(Cursor::new(rest).chain(lines), separator);
    let open_quote = watch.found();
    Ok(Ok(Text { reader: Box::new(watch), separator, skipped, open_quote }))
}

/// What a file is by its first bytes, where that is no text.
fn not_text(head: &[u8]) -> Option<&'static str> {
    const SHOWN: usize = 512;
    match head {
        [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            Some("an Excel workbook or a ZIP archive; save the sheet as CSV UTF-8")
        }
        [0x1f, 0x8b, ..] => Some("compressed by gzip; a name that ends in .gz is decompressed"),
        _ if head.iter().take(SHOWN).any(|b| *b == 0) => {
            Some("UTF-16 without a byte order mark; save it as CSV UTF-8")
        }
        _ => None,
    }
}

/// The separator that a line such as `sep=;` names, which spreadsheets read and write.
fn named_separator(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\"").and_then(|l| l.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        // the tab itself is trimmed off
        [s, e, p, b'=', rest @ ..] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => match rest {
            [one] if b",;\t|".contains(one) => Some(*one),
            [] | b"\\t" => Some(b'\t'),
            _ => None,
        },
        _ => None,
    }
}

/// The separator that stands most often outside quotes in the first line.
fn likely_separator(head: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => {}
            _ => counts.iter_mut().filter(|(s, _)| s == byte).for_each(|(_, count)| *count += 1),
        }
    }
    let mut best = counts[0];
    for count in counts {
        if count.1 > best.1 {
            best = count;
        }
    }
    best.0
}

/// Turns CRLF and lone CR into LF and ends the last line, so that a count of LF is a count of lines
/// (BurntSushi/rust-csv#395).
struct UnixLines<R> {
    inner: R,
    /// Whether the last byte read was a CR, whose LF may follow.
    after_cr: bool,
    last: u8,
    ended: bool,
}

impl<R: Read> UnixLines<R> {
    fn new(inner: R) -> Self {
        Self { inner, after_cr: false, last: b'\n', ended: false }
    }
}

impl<R: Read> Read for UnixLines<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if out.is_empty() || self.ended {
            return Ok(0);
        }
        loop {
            let room = out.len().min(BUFFER);
            let count = self.inner.read(&mut out[..room])?;
            if count == 0 {
                self.ended = true;
                if self.last == b'\n' {
                    return Ok(0);
                }
                out[0] = b'\n';
                return Ok(1);
            }
            let mut kept = 0;
            for index in 0..count {
                let byte = out[index];
                let second = byte == b'\n' && self.after_cr;
                self.after_cr = byte == b'\r';
                if !second {
                    out[kept] = if self.after_cr { b'\n' } else { byte };
                    kept += 1;
                }
            }
            if kept > 0 {
                self.last = out[kept - 1];
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, u8, u64) {
        let text = open(Box::new(Cursor::new(bytes.to_vec()))).unwrap().unwrap();
        let mut content = String::new();
        let Text { mut reader, separator, skipped, .. } = text;
        reader.read_to_string(&mut content).unwrap();
        (content, separator, skipped)
    }

    #[test]
    fn encodings_and_line_ends_become_one() {
        let same = ("a,b\nç,1\n".to_owned(), b',', 0);
        let utf16 = |big: bool| -> Vec<u8> {
            let units = "\u{feff}a,b\r\nç,1".encode_utf16();
            units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
        };
        assert_eq!(read("\u{feff}a,b\r\nç,1\r\n".as_bytes()), same);
        assert_eq!(read("a,b\rç,1\r".as_bytes()), same);
        assert_eq!(read("a,b\nç,1".as_bytes()), same);
        assert_eq!(read(&utf16(false)), same);
        assert_eq!(read(&utf16(true)), same);
    }

    #[test]
    fn the_separator_is_named_or_found_in_the_header() {
        assert_eq!(read(b"sep=;\na,b;c\n"), ("a,b;c\n".to_owned(), b';', 1));
        assert_eq!(read(b"\n\"SEP=\t\"\r\n\r\na\n"), ("a\n".to_owned(), b'\t', 3));
        assert_eq!(read(b"a;\"b,c,d\";e\n").1, b';');
        assert_eq!(read(b"a\tb\n").1, b'\t');
        assert_eq!(read(b"a|b\n").1, b'|');
        assert_eq!(read(b"a\nb;c;d\n").1, b',');
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, said) in
            [(&b"PK\x03\x04rest"[..], "Excel"), (b"\x1f\x8b\x08", "gzip"), (b"a\0,\0b\0", "UTF-16")]
        {
            let problem = open(Box::new(Cursor::new(bytes))).unwrap().err().unwrap();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
