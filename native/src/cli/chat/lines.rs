//! Where messages come from: an editor in the terminal, or the lines of standard input.

use super::super::{Usage, input};
use super::command::COMMANDS;
use crate::terminal;
use anyhow::Context;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context as At, Editor, Helper};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Entries that the history keeps.
const HISTORY: usize = 1000;

/// What came.
pub enum Line {
    Text(String),
    /// Ctrl-C where nothing was under way.
    Interrupted,
    End,
}

pub enum Lines {
    Editor(Box<Terminal>),
    Plain,
}

pub struct Terminal {
    editor: Editor<Continued, FileHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    /// The terminal where there is one at both ends, with the history that is kept in `folder`.
    pub fn open(folder: Option<&Path>) -> anyhow::Result<Self> {
        if !terminal::is_conversation() {
            return Ok(Self::Plain);
        }
        let config = Config::builder()
            .max_history_size(HISTORY)?
            .auto_add_history(true)
            .build();
        let mut editor = Editor::with_config(config).context("cannot edit in this terminal")?;
        editor.set_helper(Some(Continued));
        let history = folder.map(|folder| folder.join("chat-history"));
        if let Some(history) = history.as_ref().filter(|history| history.exists())
            && let Err(error) = editor.load_history(history)
        {
            terminal::say(&format!("cannot read {}: {error}", history.display()));
        }
        Ok(Self::Editor(Box::new(Terminal { editor, history })))
    }

    /// The next message or command.
    pub fn next(&mut self) -> anyhow::Result<Line> {
        let Self::Editor(terminal) = self else {
            return plain();
        };
        let line = match terminal.editor.readline("> ") {
            Ok(line) => Line::Text(line.replace("\\\n", "\n")),
            Err(ReadlineError::Interrupted) => Line::Interrupted,
            Err(ReadlineError::Eof) => Line::End,
            Err(error) => return Err(error).context("cannot read from the terminal"),
        };
        // After each line: a terminal may be closed at any time.
        if let Some(history) = &terminal.history
            && let Err(error) = terminal.editor.append_history(history)
        {
            terminal::say(&format!("cannot write {}: {error}", history.display()));
            terminal.history = None;
        }
        Ok(line)
    }
}

fn plain() -> anyhow::Result<Line> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_until(b'\n', &mut bytes);
    match read.context("cannot read standard input")? {
        0 => Ok(Line::End),
        _ => Ok(Line::Text(decoded(bytes)?)),
    }
}

fn decoded(bytes: Vec<u8>) -> Result<String, Usage> {
    Ok(input::typed(&input::decode(bytes, "standard input")?))
}

/// A line that ends in a backslash goes on in the next, and a command's name is completed.
struct Continued;

impl Helper for Continued {}
impl Highlighter for Continued {}
impl Hinter for Continued {
    type Hint = String;
}

impl Validator for Continued {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match typed.input().ends_with('\\') {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Completer for Continued {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &At<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..at).and_then(|typed| typed.strip_prefix('/'));
        let names = COMMANDS.iter().map(|(name, ..)| *name);
        let fitting = names.filter(|name| typed.is_some_and(|typed| name.starts_with(typed)));
        Ok((0, fitting.map(|name| format!("/{name} ")).collect()))
    }
}
