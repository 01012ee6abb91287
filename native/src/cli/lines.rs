//! Files of JSON lines that grow as a run goes on: traces, records, answers. What a killed run leaves is whole lines and
//! perhaps the beginning of one.

use super::{Usage, input};
use serde::de::DeserializeOwned;
use std::path::Path;

/// A file's lines with their numbers, from 1; blank ones and a byte order mark are left out.
pub struct Lines<'a> {
    /// Those that are ended.
    pub whole: Vec<(usize, &'a [u8])>,
    /// What follows the last line's end.
    pub rest: Option<(usize, &'a [u8])>,
    /// Bytes before it.
    pub whole_bytes: usize,
}

impl<'a> Lines<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let (whole, rest) = bytes.split_at(end.map_or(0, |at| at + 1));
        let lines = |bytes: &'a [u8], from: usize| {
            let lines = bytes.split(|byte| *byte == b'\n').enumerate();
            lines.filter_map(move |(at, line)| {
                let line = match at + from {
                    1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
                    _ => line,
                };
                (!line.trim_ascii().is_empty()).then_some((at + from, line))
            })
        };
        let count = whole.iter().filter(|byte| **byte == b'\n').count();
        Self {
            whole: lines(whole, 1).collect(),
            rest: lines(rest, count + 1).next(),
            whole_bytes: whole.len(),
        }
    }

    /// Whether what is not ended is the beginning of a line, `begin` being how such lines begin, and not a whole one or
    /// something else.
    pub fn rest_is_begun(&self, begin: &str) -> bool {
        let begin = begin.as_bytes();
        let is_whole = |rest: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_ok();
        let fits = |rest: &[u8]| rest.starts_with(begin) || begin.starts_with(rest);
        self.rest
            .is_some_and(|(_, rest)| fits(rest) && !is_whole(rest))
    }
}

/// Reads a line.
///
/// # Errors
///
/// In words, with its number and the column.
pub fn parse<T: DeserializeOwned>((number, line): (usize, &[u8])) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let text = text.strip_suffix(&place).unwrap_or(&text);
        format!("line {number}, column {}: {text}", error.column())
    })
}

/// Reads a file's lines one after the other, the last one whether it is ended or not; `take` gets each with its number, and says in
/// words what is wrong with it. `option` is what named the file.
///
/// # Errors
///
/// [`Usage`] for what is no such line, what `take` says, and where there is no line.
pub fn each<T: DeserializeOwned>(
    option: &str,
    path: &Path,
    mut take: impl FnMut(usize, T) -> Result<(), String>,
) -> Result<(), Usage> {
    let wrong = |why: String| Usage(format!("{option} {}: {why}", path.display()));
    let text = input::whole_file(option, path)?;
    let Lines { whole, rest, .. } = Lines::of(text.as_bytes());
    if whole.is_empty() && rest.is_none() {
        return Err(wrong("there is no line in it".to_owned()));
    }
    for line in whole.into_iter().chain(rest) {
        let number = line.0;
        let of_line = |why: String| wrong(format!("line {number}: {why}"));
        take(number, parse(line).map_err(wrong)?).map_err(of_line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_have_their_numbers_and_the_rest_its_own() {
        let lines = Lines::of(b"\xef\xbb\xbf{}\r\n\n [1] \n{\"a");
        let numbers: Vec<usize> = lines.whole.iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers, lines.whole_bytes), (vec![1, 3], 14));
        assert_eq!(lines.whole[0].1, b"{}\r");
        assert_eq!(lines.rest, Some((4, &b"{\"a"[..])));
        assert!(lines.rest_is_begun("{\"abc\"") && lines.rest_is_begun("{"));
        assert!(!lines.rest_is_begun("{\"b"));
        assert!(
            !Lines::of(b"{\"a\": 1}").rest_is_begun("{\"a"),
            "it is whole"
        );
        assert_eq!(Lines::of(b"a\n").rest, None);
        assert_eq!(Lines::of(b"").whole.len(), 0);
        let error = parse::<Vec<u8>>((7, b"[1, x]")).unwrap_err();
        assert!(error.starts_with("line 7, column 5: expected"), "{error}");
    }
}
