//! What becomes of the turns: taken away, saved, loaded, kept.

use super::super::{Usage, source};
use super::{Chat, NOTHING, file};
use crate::terminal::{self, line};
use crate::{output, say};
use anyhow::bail;
use std::fs;
use std::path::{Path, PathBuf};

impl Chat {
    pub(super) fn undo(&mut self) -> anyhow::Result<()> {
        let Some(turn) = self.turns.pop() else {
            bail!(Usage("there is nothing to undo".to_owned()));
        };
        self.retries = 0;
        self.changed();
        say!("taken away: {}", line(&turn.question));
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.turns.clear();
        self.retries = 0;
        (self.is_saved, self.file) = (true, None);
        say!("a new chat");
    }

    pub(super) fn save(&mut self, name: &str) -> anyhow::Result<()> {
        let path = match (name, &self.file) {
            ("", Some(file)) => file.clone(),
            ("", None) => bail!(Usage("say where: /save FILE.json".to_owned())),
            (name, _) => expanded(name),
        };
        if self.turns.is_empty() {
            bail!(Usage(NOTHING.to_owned()));
        }
        let is_own = self.file.as_ref() == Some(&path);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file());
        if is_file && !is_own {
            bail!(Usage(format!(
                "{} is there already: choose another name",
                path.display()
            )));
        }
        // Reading a large model's file again takes a while: once, and for who keeps the chat.
        if self.sha256.is_none() {
            self.sha256 = Some(source::sha256(&self.loaded.path)?);
        }
        let own = self.loaded.path.to_string_lossy();
        let runs = self
            .turns
            .iter_mut()
            .flat_map(|turn| [&mut turn.base, &mut turn.aligned]);
        for run in runs.flatten() {
            let model = &mut run.header.model;
            if model.sha256.is_empty() && model.path == own {
                model.sha256 = self.sha256.clone().unwrap_or_default();
            }
        }
        output::write_whole(&path, &file::write(&self.turns)?)?;
        say!("saved: {}", path.display());
        (self.is_saved, self.file) = (true, Some(path));
        Ok(())
    }

    pub(super) fn load(&mut self, name: &str) -> anyhow::Result<()> {
        if name.is_empty() {
            bail!(Usage("say what: /load FILE.json".to_owned()));
        }
        if !self.is_saved {
            bail!(Usage(
                "this chat is not saved: /save FILE first, or /clear".to_owned()
            ));
        }
        let path = expanded(name);
        self.turns = file::read(&path)?;
        self.file = Some(path);
        self.retries = 0;
        self.show_last()
    }

    /// What a chat that was loaded goes on from.
    pub(super) fn show_last(&self) -> anyhow::Result<()> {
        let Some(last) = self.turns.last() else {
            return Ok(());
        };
        let count = self.turns.len();
        let turns = if count == 1 { "turn" } else { "turns" };
        say!("{count} {turns}; the last one:\n> {}", last.question);
        if let Some(run) = last.answer() {
            terminal::say(&run.text());
        }
        Ok(())
    }

    /// The turns changed: they are not saved, and kept.
    pub(super) fn changed(&mut self) {
        self.is_saved = false;
        let Some(kept) = &self.kept else {
            return;
        };
        let written = file::write(&self.turns).and_then(|bytes| {
            output::make_private(kept)?;
            Ok(output::write_whole(kept, &bytes)?)
        });
        if let Err(error) = written {
            say!("the chat is not kept: {error:#}");
            self.kept = None;
        }
    }
}

/// A file's name as it was typed: no shell has seen it.
fn expanded(name: &str) -> PathBuf {
    let home = name.strip_prefix("~/").zip(etcetera::home_dir().ok());
    home.map_or_else(
        || Path::new(name).to_owned(),
        |(rest, home)| home.join(rest),
    )
}
