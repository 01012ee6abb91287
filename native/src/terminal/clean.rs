//! Control characters, made visible.

use serde_json::ser::{Formatter, Serializer};
use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// What passes beside printable characters, line breaks and tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    /// What turns the direction of text: an answer in Arabic or Hebrew may use it.
    Directions,
}

/// Whether a terminal, or a reader's eye, may take a character for an order: C0 and DEL, C1, what turns or isolates the
/// direction of the text around it, other ends of lines, and the invisible twins of ASCII.
fn is_order(c: char, keep: Keep) -> bool {
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => keep == Keep::Nothing,
        '\u{2028}' | '\u{2029}' | '\u{e0000}'..='\u{e007f}' => keep == Keep::Nothing,
        c => c.is_control(),
    }
}

fn clean(text: &str, keep: Keep, is_plain: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_order(c, keep) && !is_plain(c) {
            // As `\u{1b}`; `escape_default` alone would leave nothing else of what comes here.
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Text of several lines, made harmless: all control characters but line breaks and tabs are written out.
#[must_use]
pub fn shown(text: &str) -> String {
    clean(text, Keep::Nothing, |c| matches!(c, '\n' | '\t'))
}

/// A name or a message in one line, made harmless: line breaks and tabs are written out, too.
#[must_use]
pub fn line(text: &impl Display) -> String {
    clean(&text.to_string(), Keep::Nothing, |_| false)
}

/// Makes harmless what is written through it. Characters may come in pieces; bytes that are no text are shown as U+FFFD.
#[derive(Debug)]
pub(super) struct Cleaner<W> {
    out: W,
    keep: Keep,
    /// The beginning of a character.
    begun: Vec<u8>,
}

impl<W: Write> Cleaner<W> {
    pub fn new(out: W, keep: Keep) -> Self {
        let begun = Vec::new();
        Self { out, keep, begun }
    }

    pub fn inner(&mut self) -> &mut W {
        &mut self.out
    }
}

impl<W: Write> Write for Cleaner<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else {
                        self.begun = after.to_vec();
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[bad..];
                }
            }
        }
        let text = clean(&text, self.keep, |c| matches!(c, '\n' | '\t'));
        self.out.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// JSON as serde_json writes it, with all that is an order written as `\uXXXX`: it reads back the same.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest
            .char_indices()
            .find(|(_, c)| is_order(*c, Keep::Nothing))
        {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut escaped = String::new();
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
            writer.write_all(escaped.as_bytes())?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A value as a line of JSON without control characters.
///
/// # Errors
///
/// Where it can't be written.
pub fn json_line(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Plain);
    value.serialize(&mut serializer).map_err(io::Error::from)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// C0, DEL, C1, directions, line separators, tags.
    fn orders() -> impl Iterator<Item = char> {
        let ranges = [
            0x00..=0x1f,
            0x7f..=0x9f,
            0x2028..=0x202e,
            0x2066..=0x2069,
            0xe0000..=0xe007f,
        ];
        ranges.into_iter().flatten().filter_map(char::from_u32)
    }

    #[test]
    fn every_order_is_written_out_and_nothing_else() {
        for c in orders() {
            let text = format!("a{c}b");
            assert_eq!(shown(&text) == text, matches!(c, '\n' | '\t'), "{c:?}");
            assert!(line(&text).chars().all(|c| !is_order(c, Keep::Nothing)));
        }
        let plain = "Grüße, 漢字 שלום 👩‍👩‍👧 \u{200f}\u{feff}\\ '\"";
        assert_eq!(
            (shown(plain).as_str(), line(&plain).as_str()),
            (plain, plain)
        );
        assert_eq!(shown("\u{1b}[31m\r\n"), "\\u{1b}[31m\\r\n");
        assert_eq!(line(&"a\nb\t\u{9b}\u{202e}"), "a\\nb\\t\\u{9b}\\u{202e}");
    }

    #[test]
    fn pieces_are_judged_as_the_whole_is() {
        let text = "x\u{1b}]0;t\u{7}\u{9b}31m ü 漢 👩 \u{202e}end\u{7f}\n";
        for keep in [Keep::Nothing, Keep::Directions] {
            let whole = clean(text, keep, |c| c == '\n');
            for size in 1..=text.len() {
                let mut cleaner = Cleaner::new(Vec::new(), keep);
                for piece in text.as_bytes().chunks(size) {
                    cleaner.write_all(piece).unwrap();
                }
                assert_eq!(String::from_utf8(cleaner.out).unwrap(), whole, "{size}");
            }
        }
        let mut cleaner = Cleaner::new(Vec::new(), Keep::Nothing);
        cleaner.write_all(b"a\x9b31m\xffb\xe2").unwrap();
        cleaner.write_all(b"c").unwrap();
        let said = String::from_utf8(cleaner.out).unwrap();
        assert_eq!(said, "a\u{fffd}31m\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn json_reads_back_the_same() {
        let text: String = orders().chain("ü\"\\/漢".chars()).collect();
        let mut bytes = Vec::new();
        json_line(&mut bytes, &serde_json::json!({ &*text: text, "n": 1.5 })).unwrap();
        let json = String::from_utf8(bytes).unwrap();
        assert!(json.trim_end().chars().all(|c| !is_order(c, Keep::Nothing)));
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back[&*text], text);
    }
}
