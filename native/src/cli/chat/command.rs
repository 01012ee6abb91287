//! What is typed: a message, or a command that begins with a slash.

use super::super::Usage;
use std::fmt::Write;

/// The commands, each with what it takes and what it does.
pub const COMMANDS: [(&str, &str, &str); 15] = [
    (
        "prefer",
        "[TEXT]",
        "answer like this from now on, as --prefer has it; `off` for no preference",
    ),
    (
        "strength",
        "[K]",
        "how far to lean: Linear Alignment at k = K; `off` as at the start",
    ),
    (
        "method",
        "[NAME]",
        "base, pref, la, amulet or guidance; `off` as at the start",
    ),
    (
        "system",
        "[TEXT]",
        "the system prompt; `off` for the model's own",
    ),
    (
        "compare",
        "",
        "the last question by base, without the preference, beside the answer",
    ),
    (
        "why",
        "",
        "the last answer's heat map: what the preference moved",
    ),
    (
        "refine",
        "",
        "better the last answer by textual feedback (TPO); it is shown, and no part of the chat",
    ),
    (
        "retry",
        "",
        "answer the last question again: by what holds now, where tokens are drawn with another seed",
    ),
    ("undo", "", "take the last question and its answer away"),
    ("clear", "", "begin anew"),
    (
        "save",
        "[FILE]",
        "write the chat to a file that the page opens, too",
    ),
    (
        "load",
        "FILE",
        "go on with a chat that was saved here or exported from the page",
    ),
    ("status", "", "what holds now"),
    ("help", "", "these commands"),
    ("quit", "", "leave, as Ctrl-D does"),
];

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    Message(&'a str),
    /// A command of [`COMMANDS`], and what follows it.
    Command(&'static str, &'a str),
}

/// Reads a line, or what was typed over several.
///
/// # Errors
///
/// For a command that there is none of, or that takes nothing.
pub fn read(typed: &str) -> Result<Typed<'_>, Usage> {
    let text = typed.trim();
    let Some(rest) = text.strip_prefix('/') else {
        return Ok(Typed::Message(text));
    };
    if rest.starts_with('/') {
        return Ok(Typed::Message(rest));
    }
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let found = COMMANDS.iter().find(|(known, ..)| *known == name);
    let Some((name, takes, _)) = found else {
        let near = COMMANDS.iter().map(|(known, ..)| *known);
        let near = near.min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let near = near.filter(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let near = near.map_or_else(String::new, |near| format!(", perhaps /{near}"));
        return Err(Usage(format!(
            "there is no command /{name}{near}; /help shows them all, and a message that begins with a slash is typed with \
             two"
        )));
    };
    match (takes.is_empty(), rest.trim()) {
        (true, rest) if !rest.is_empty() => {
            Err(Usage(format!("/{name} takes nothing: type it alone")))
        }
        (_, rest) => Ok(Typed::Command(name, rest)),
    }
}

/// The table of commands.
pub fn help() -> String {
    let mut text = String::new();
    for (name, takes, does) in COMMANDS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<18}{does}", format!("/{name} {takes}"));
    }
    text + "A line that ends in \\ goes on in the next; what is pasted may have several. Ctrl-C stops an answer, Ctrl-D leaves.\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_slash_begins_a_command_and_two_a_message() {
        for (typed, read_as) in [
            (" Why?\n", Typed::Message("Why?")),
            ("//etc is what?", Typed::Message("/etc is what?")),
            ("/undo", Typed::Command("undo", "")),
            ("/prefer  in rhyme ", Typed::Command("prefer", "in rhyme")),
            ("/system a\nb", Typed::Command("system", "a\nb")),
        ] {
            assert_eq!(read(typed).unwrap(), read_as);
        }
        for (typed, says) in [
            ("/unod", "perhaps /undo"),
            ("/", "no command /;"),
            ("/etc is what?", "with two"),
            ("/undo two", "/undo takes nothing"),
        ] {
            let error = read(typed).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
