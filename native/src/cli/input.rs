//! Texts from outside: arguments, standard input, and files that a person wrote.
//!
//! All are UTF-8, perhaps with a byte order mark, which is no text. A line break at the very end is none either, where a
//! text comes from a file or from standard input: `echo Q | periapt generate -` asks what `periapt generate Q` asks. In
//! prompts and answers, lines end as they do here on every system, in `\n`.

use super::Usage;
use anyhow::Context;
use periapt_core::decoding::preference::is_empty;
use std::borrow::Cow;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const MARK: char = '\u{feff}';

/// `argument` itself, or all of standard input where it is `-`, byte by byte but for a mark: who tokenizes a text wants
/// its last line break, too.
pub fn exact(argument: &str) -> anyhow::Result<String> {
    match argument {
        "-" => stdin(),
        _ => Ok(argument.to_owned()),
    }
}

/// As [`exact`], as a prompt: the last line break of standard input is the shell's.
pub fn prompt(argument: &str) -> anyhow::Result<String> {
    let name = match argument {
        "-" => "standard input",
        _ => "the text",
    };
    let text = exact(argument)?;
    let text = match argument {
        "-" => without_last_break(&text),
        _ => &text,
    };
    Ok(as_prompt(text, name)?)
}

/// As [`prompt`], and something is asked.
pub fn question(argument: &str) -> anyhow::Result<String> {
    let question = prompt(argument)?;
    match (is_empty(&question), argument) {
        (false, _) => Ok(question),
        (true, "-") => Err(Usage(
            "the question is empty: there is no text on standard input".to_owned(),
        )
        .into()),
        (true, _) => Err(Usage("the question is empty: ask something".to_owned()).into()),
    }
}

/// A text that an option gives.
pub fn typed(argument: &str) -> String {
    let text = argument.strip_prefix(MARK).unwrap_or(argument);
    lines(text).into_owned()
}

/// A file's text as a prompt; `option` is what named it.
pub fn file(option: &str, path: &Path) -> Result<String, Usage> {
    let text = whole_file(option, path)?;
    let text = without_last_break(&text);
    as_prompt(text, &format!("{option}: {}", path.display()))
}

/// All of a file, without a byte order mark.
pub fn whole_file(option: &str, path: &Path) -> Result<String, Usage> {
    let name = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| Usage(format!("{option}: cannot read {name}: {error}")))?;
    decode(bytes, &format!("{option}: {name}"))
}

/// Bytes as text, without a byte order mark; `name` is whose they are.
pub fn decode(mut bytes: Vec<u8>, name: &str) -> Result<String, Usage> {
    let wide = match *bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    };
    if let Some(wide) = wide {
        return Err(Usage(format!(
            "{name} is {wide} text: save it as UTF-8 (iconv -f {wide} -t UTF-8)"
        )));
    }
    let mut mark = [0; MARK.len_utf8()];
    let skipped = match bytes.starts_with(MARK.encode_utf8(&mut mark).as_bytes()) {
        true => mark.len(),
        false => 0,
    };
    bytes.drain(..skipped);
    String::from_utf8(bytes).map_err(|error| {
        let offset = skipped + error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[offset - skipped];
        Usage(format!(
            "{name} is not valid UTF-8 text: byte {offset} (0x{byte:02x}), counted from 0, begins no character; save it as \
             UTF-8"
        ))
    })
}

/// All of standard input, which can be read once.
fn stdin() -> anyhow::Result<String> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Usage("`-` is standard input, which can be read only once".to_owned()).into());
    }
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        crate::terminal::say(
            "type the text, and end it with Ctrl-D on a line of its own (Windows: Ctrl-Z and Enter)",
        );
    }
    let mut bytes = Vec::new();
    stdin
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    Ok(decode(bytes, "standard input")?)
}

/// The key in an environment variable that an option names.
pub fn secret(option: &str, name: &str) -> Result<String, Usage> {
    let wrong = |why: &str| Usage(format!("{option} {name}: {why}"));
    let key = std::env::var(name).map_err(|_| wrong("there is no such environment variable"))?;
    let key = key.trim();
    match key.is_empty() || key.contains(|c: char| !c.is_ascii_graphic()) {
        true => Err(wrong(
            "it holds no key (printable characters without spaces)",
        )),
        false => Ok(key.to_owned()),
    }
}

fn without_last_break(text: &str) -> &str {
    text.strip_suffix("\r\n")
        .or(text.strip_suffix('\n'))
        .unwrap_or(text)
}

fn as_prompt(text: &str, name: &str) -> Result<String, Usage> {
    match text.find('\0') {
        Some(offset) => Err(Usage(format!(
            "{name} holds a NUL character at byte {offset}: it is no text, or UTF-16; save it as UTF-8"
        ))),
        None => Ok(typed(text)),
    }
}

fn lines(text: &str) -> Cow<'_, str> {
    match text.contains("\r\n") {
        true => Cow::Owned(text.replace("\r\n", "\n")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_no_text() {
        for (text, left) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a\r\n\r\n", "a\r\n"),
            ("a\r", "a\r"),
            ("a \n", "a "),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(without_last_break(text), left, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_named_with_its_place() {
        let said = |bytes: &[u8]| decode(bytes.to_vec(), "x.txt").unwrap_err().to_string();
        assert!(said(b"abc\xff").contains("byte 3 (0xff)"));
        assert!(said(b"\xef\xbb\xbfabc\xff").contains("byte 6 (0xff)"));
        // A character that is cut off.
        assert!(said(b"a\xe2\x82").contains("byte 1 (0xe2)"));
        for (bytes, name) in [
            (&b"\xff\xfeh\0i\0"[..], "UTF-16"),
            (b"\xfe\xff\0h\0i", "UTF-16"),
            (b"\xff\xfe\0\0h\0\0\0", "UTF-32"),
        ] {
            let said = said(bytes);
            assert!(said.contains("x.txt") && said.contains(name), "{said}");
        }
        assert_eq!(decode(b"\xef\xbb\xbfa".to_vec(), "").unwrap(), "a");
        assert_eq!(typed("\u{feff}a\r\nb\rc\n"), "a\nb\rc\n");
        assert!(as_prompt("h\0i\0", "x").is_err());
    }
}
