//! The record file: JSON lines. `{"type": "header"}` first, then every line of every question's run and of its
//! baseline, in their order, each with its question's number, whose it is, and the milliseconds since the program's
//! start. What a killed run leaves is whole lines and perhaps the beginning of one.

use super::super::Usage;
use super::format::{Content, Entry, RecordedRun, RunPart, parse};
use crate::output::{self, Scratch};
use anyhow::{Context, anyhow};
use periapt_core::contract::RecordHeader;
use periapt_core::tpo::RecordLine;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Reads a whole record; what is cut off at its end is left out.
pub fn read(path: &Path) -> anyhow::Result<Content> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parsed = parse(&bytes).map_err(|why| anyhow!("{}: {why}", path.display()))?;
    parsed.content.ok_or_else(|| {
        anyhow!(
            "{} is empty: it is no record of `periapt tpo --record`",
            path.display()
        )
    })
}

/// A record that is being written.
pub struct RecordFile {
    path: PathBuf,
    file: File,
    began: Instant,
    /// What an earlier run wrote.
    before: Option<Content>,
    /// Where its whole lines end, and whether the last one lacks its end; nothing is changed before the first line is
    /// appended.
    end: Option<(u64, bool)>,
    /// Until the record begins: what is empty does not stay.
    empty: Option<Scratch>,
}

impl RecordFile {
    /// Creates the file, or takes up an earlier run's, which must not be `dataset`; a pipe or a device is written
    /// to as it is.
    pub fn open(path: &Path, dataset: Option<&Path>) -> anyhow::Result<Self> {
        let name = path.display();
        let cannot = |error| Usage(format!("--record: cannot write {name}: {error}"));
        output::apart(path, dataset)?;
        if let Some(file) = output::direct(path).map_err(cannot)? {
            return Ok(Self {
                path: path.to_owned(),
                file,
                began: Instant::now(),
                before: None,
                end: None,
                empty: None,
            });
        }
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path);
        let mut record = Self::taken_up(path, file.map_err(cannot)?)?;
        record.empty = is_new.then(|| Scratch::adopt(path.to_owned()));
        Ok(record)
    }

    fn taken_up(path: &Path, mut file: File) -> anyhow::Result<Self> {
        let name = path.display();
        if file.try_lock().is_err() {
            return Err(Usage(format!("--record: another run is writing to {name}")).into());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name}"))?;
        let parsed = parse(&bytes).map_err(|why| Usage(format!("--record: {name}: {why}")))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            began: Instant::now(),
            before: parsed.content,
            end: Some((parsed.bytes as u64, parsed.unended)),
            empty: None,
        })
    }

    /// Writes the header, or holds it against the earlier run's: a server may have another address since.
    pub fn begin(&mut self, header: &RecordHeader) -> anyhow::Result<()> {
        match &self.before {
            None => self.append(header)?,
            Some(before) if before.is_of(header) => {}
            Some(_) => {
                return Err(Usage(format!(
                    "--record: {} is of a run with other settings, another model or another device: choose another \
                     name, or remove it",
                    self.path.display()
                ))
                .into());
            }
        }
        if let Some(begun) = self.empty.take() {
            begun.keep();
        }
        Ok(())
    }

    /// What an earlier run did of one question.
    pub fn run(&self, item: usize, part: RunPart) -> Option<&RecordedRun> {
        self.before.as_ref()?.runs.get(&(item, part))
    }

    /// Appends a line at once.
    pub fn write(&mut self, item: usize, part: RunPart, line: &RecordLine) -> anyhow::Result<()> {
        let ms = self.began.elapsed().as_secs_f64() * 1e3;
        let line = line.clone();
        self.append(&Entry {
            item,
            part,
            ms: ms.round(),
            line,
        })
    }

    fn append(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let written = match self.end.take() {
            // The beginning of a line, which a killed run left, makes room; what lacks nothing but its end gets it.
            Some((_, true)) => self.file.write_all(b"\n"),
            Some((bytes, false)) => self.file.set_len(bytes),
            None => Ok(()),
        };
        let written = written.and_then(|()| self.file.write_all(&line));
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}
