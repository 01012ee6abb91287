//! `periapt chat`: a conversation in the terminal, or line by line where there is none.

mod command;
mod file;
mod interrupts;
mod keeping;
mod lines;
mod questions;
mod settings;

use super::args::{AskArgs, ChatArgs};
use super::ask::{self, How};
use super::{Loaded, Usage, data_folder, load, streams};
use crate::say;
use crate::terminal::{self, line};
use anyhow::bail;
use command::Typed;
use file::Turn;
use interrupts::Interrupts;
use lines::{Line, Lines};
use periapt_core::decoding::MethodName;
use periapt_core::session::Prompting;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// For a command that needs an answer.
const NOTHING: &str = "there is no answer yet: ask something first";

pub fn run(args: &ChatArgs) -> anyhow::Result<()> {
    ask::check(&args.ask.decoding)?;
    // All that can be refused is refused before a model is loaded.
    let first = how(&args.ask)?.request(&args.ask, Vec::new(), String::new())?;
    first.validate()?;
    let turns = args.load.as_deref().map(file::read).transpose()?;
    let mut loaded = load(&args.ask.model)?;
    let (model, streams) = (&args.ask.model, &args.ask.streams);
    let companions = streams::attach(&mut loaded.session, &first.method, model, streams)?;
    let folder = match args.forget || !terminal::is_conversation() {
        true => None,
        false => folder(),
    };
    let mut lines = Lines::open(folder.as_deref())?;
    let mut chat = Chat {
        start: args.ask.clone(),
        args: args.ask.clone(),
        loaded,
        companions,
        turns: turns.unwrap_or_default(),
        retries: 0,
        notes: Vec::new(),
        prompting: None,
        interrupts: Interrupts::default(),
        is_saved: true,
        file: args.load.clone(),
        sha256: None,
        kept: folder.map(|folder| folder.join("last-chat.json")),
    };
    match &lines {
        Lines::Plain => chat.plain(&mut lines),
        Lines::Editor(_) => chat.talk(&mut lines),
    }
}

/// How the arguments have questions answered. Without a wish there is nothing to lean to, whatever the method.
fn how(args: &AskArgs) -> anyhow::Result<How> {
    if args.method == Some(MethodName::Beam) {
        let what = "beam search writes its answers at the end, all at once: take another --method, or `periapt generate`";
        bail!(Usage(what.to_owned()));
    }
    let mut args = args.clone();
    if args.prefer.is_empty() && args.streams.stream.is_empty() && !args.lean.is_given() {
        args.method = args.method.filter(|method| *method == MethodName::Guidance);
    }
    let how = How::of(&args, true)?;
    match how.decoding.length.max_new_tokens {
        0 => bail!(Usage(ask::NO_TOKENS.to_owned())),
        _ => Ok(how),
    }
}

/// Where what was typed and the chat are kept.
fn folder() -> Option<PathBuf> {
    match data_folder() {
        Ok(folder) => Some(folder),
        Err(why) => {
            say!("nothing is kept of this chat: {why}");
            None
        }
    }
}

struct Chat {
    /// As the chat began.
    start: AskArgs,
    /// As it goes on.
    args: AskArgs,
    loaded: Loaded,
    /// The models of streams.
    companions: Vec<(String, usize)>,
    turns: Vec<Turn>,
    /// How often the last question was asked again.
    retries: u64,
    /// What was said of how the last question was asked.
    notes: Vec<String>,
    /// What was said of the chat template.
    prompting: Option<Prompting>,
    interrupts: Interrupts,
    is_saved: bool,
    /// Where the chat was loaded from or saved to.
    file: Option<PathBuf>,
    /// The model's.
    sha256: Option<String>,
    /// Where the chat is kept after each answer.
    kept: Option<PathBuf>,
}

impl Chat {
    /// Each line is a message or a command; what goes wrong is told, and the next line is taken.
    fn plain(&mut self, lines: &mut Lines) -> anyhow::Result<()> {
        let mut wrong = 0;
        while let Line::Text(text) = lines.next()? {
            match self.take(&text) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(error) => {
                    wrong += 1;
                    told(error)?;
                }
            }
        }
        match wrong {
            0 => Ok(()),
            1 => bail!("one of the lines could not be done"),
            wrong => bail!("{wrong} of the lines could not be done"),
        }
    }

    fn talk(&mut self, lines: &mut Lines) -> anyhow::Result<()> {
        self.interrupts.watch();
        let name = self
            .loaded
            .session
            .model_name()
            .unwrap_or("a model")
            .to_owned();
        let device = &self.loaded.session.device().info.name;
        say!(
            "{} on {}; /help shows the commands",
            line(&name),
            line(&device)
        );
        self.show_last()?;
        loop {
            match lines.next()? {
                Line::Text(text) => match self.take(&text) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break,
                    Err(error) => told(error)?,
                },
                Line::Interrupted => say!("Ctrl-D or /quit leaves"),
                Line::End => break,
            }
        }
        if let (Some(kept), false) = (&self.kept, self.is_saved) {
            say!(
                "`periapt chat --load {}` goes on with this chat, until another one is begun",
                kept.display()
            );
        }
        Ok(())
    }

    fn take(&mut self, text: &str) -> anyhow::Result<ControlFlow<()>> {
        let (name, rest) = match command::read(text)? {
            Typed::Message("") => return Ok(ControlFlow::Continue(())),
            Typed::Message(question) => {
                self.ask(question)?;
                return Ok(ControlFlow::Continue(()));
            }
            Typed::Command(name, rest) => (name, rest),
        };
        match name {
            "prefer" => self.prefer(rest)?,
            "strength" => self.strength(rest)?,
            "method" => self.method(rest)?,
            "system" => self.system(rest),
            "compare" => self.compare()?,
            "why" => self.why()?,
            "refine" => self.refine()?,
            "retry" => self.retry()?,
            "undo" => self.undo()?,
            "clear" => self.clear(),
            "save" => self.save(rest)?,
            "load" => self.load(rest)?,
            "status" => self.status()?,
            "help" => write!(terminal::report(), "{}", command::help())?,
            _ => return Ok(ControlFlow::Break(())),
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Says what went wrong; a reader that hung up ends the chat.
fn told(error: anyhow::Error) -> anyhow::Result<()> {
    match super::hung_up(&error) {
        true => Err(error),
        false => {
            say!("{}", line(&format!("{error:#}")));
            Ok(())
        }
    }
}
