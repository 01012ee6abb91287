//! The folder of a run: `run.json` with the settings, `answers.jsonl` with a line an answer. What a killed run leaves
//! is whole lines and perhaps the beginning of one, which is dropped when the run is taken up again.

use super::{Usage, write_whole};
use anyhow::{Context, bail};
use periapt_core::session::{FinishReason, Score};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// One answer. It holds nothing that differs from run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub dataset: String,
    pub index: Value,
    pub question: String,
    pub preference: String,
    pub method: String,
    pub response: String,
    pub token_ids: Vec<u32>,
    pub finish_reason: FinishReason,
    /// Mean over the tokens of the strength taken.
    pub mean_k: f64,
    /// Mean and highest KL divergence from pref, where there are two prompts.
    pub mean_kl: Option<f64>,
    pub max_kl: Option<f64>,
    /// Absent for an answer without a token.
    pub score: Option<Score>,
}

/// What makes an answer: dataset, method, preference and question.
pub type Key = (String, String, String, String);

impl Row {
    pub fn key(&self) -> Key {
        key(&self.dataset, &self.method, &self.preference, &self.index)
    }
}

pub fn key(dataset: &str, method: &str, preference: &str, index: &Value) -> Key {
    (
        dataset.to_owned(),
        method.to_owned(),
        preference.to_owned(),
        index.to_string(),
    )
}

pub struct Record {
    folder: PathBuf,
    /// Locked while this run has it.
    answers: File,
    pub rows: Vec<Row>,
    keys: HashSet<Key>,
}

impl Record {
    /// Opens or creates the folder, and takes up what is there.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let name = folder.display();
        fs::create_dir_all(folder)
            .map_err(|error| Usage(format!("--output: cannot create {name}: {error}")))?;
        let path = folder.join("answers.jsonl");
        let mut answers = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|error| {
                Usage(format!(
                    "--output: cannot write {}: {error}",
                    path.display()
                ))
            })?;
        if answers.try_lock().is_err() {
            return Err(Usage(format!("--output: another run is writing to {name}")).into());
        }
        let mut bytes = Vec::new();
        answers
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        if whole < bytes.len() {
            answers
                .set_len(whole as u64)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut record = Self {
            folder: folder.to_owned(),
            answers,
            rows: Vec::new(),
            keys: HashSet::new(),
        };
        for (index, line) in bytes[..whole].split(|b| *b == b'\n').enumerate() {
            let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let row: Row = serde_json::from_slice(line).with_context(|| {
                format!(
                    "{}, line {} is no answer of this version; remove the line, or choose another folder",
                    path.display(),
                    index + 1
                )
            })?;
            if record.keys.insert(row.key()) {
                record.rows.push(row);
            }
        }
        Ok(record)
    }

    /// Writes the settings down, or holds them against those of the run that is taken up.
    pub fn settings(&self, settings: &Value) -> anyhow::Result<()> {
        let path = self.folder.join("run.json");
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_whole(&path, &format!("{settings:#}\n"))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
            Ok(text) => {
                let before: Value = serde_json::from_str(&text)
                    .with_context(|| format!("{} is damaged", path.display()))?;
                if before == *settings {
                    return Ok(());
                }
                let Some(now) = settings.as_object() else {
                    bail!("settings are no object");
                };
                let changed: Vec<String> = now
                    .iter()
                    .filter(|(name, value)| before[name.as_str()] != **value)
                    .map(|(name, value)| {
                        format!("{name} was {}, now {value}", before[name.as_str()])
                    })
                    .collect();
                Err(Usage(format!(
                    "--output: {} holds a run with other settings ({}): choose another folder",
                    self.folder.display(),
                    changed.join("; ")
                ))
                .into())
            }
        }
    }

    pub fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// Appends an answer.
    pub fn push(&mut self, row: Row) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(&row)?;
        // As a later run reads it: what reports say must not depend on who reads the last bit of a number.
        let row: Row = serde_json::from_str(&line)?;
        line.push('\n');
        self.answers.write_all(line.as_bytes()).map_err(|error| {
            anyhow::anyhow!(
                "cannot write {}: {error}",
                self.folder.join("answers.jsonl").display()
            )
        })?;
        self.keys.insert(row.key());
        self.rows.push(row);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;
    use temp_dir::TempDir;

    fn row(index: usize) -> Row {
        Row {
            dataset: "d".to_owned(),
            index: index.into(),
            question: "q".to_owned(),
            preference: "p".to_owned(),
            method: "pref".to_owned(),
            response: "r\n".to_owned(),
            token_ids: vec![1, 2],
            finish_reason: FinishReason::Stop,
            mean_k: 0.0,
            mean_kl: None,
            max_kl: None,
            score: None,
        }
    }

    #[test]
    fn the_beginning_of_a_line_is_dropped_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let mut record = Record::open(folder.path()).unwrap();
        assert!(Record::open(folder.path()).is_err(), "it is locked");
        record.push(row(0)).unwrap();
        record.push(row(1)).unwrap();
        drop(record);
        let path = folder.child("answers.jsonl");
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let record = Record::open(folder.path()).unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            assert_eq!(record.rows, (0..lines).map(row).collect::<Vec<_>>());
            drop(record);
            let left = fs::read(&path).unwrap();
            assert!(whole.starts_with(&left) && (left.is_empty() || left.ends_with(b"\n")));
        }
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let folder = TempDir::new().unwrap();
        let record = Record::open(folder.path()).unwrap();
        record.settings(&json!({"seed": 1, "n": 2})).unwrap();
        record.settings(&json!({"seed": 1, "n": 2})).unwrap();
        let error = record.settings(&json!({"seed": 2, "n": 2})).unwrap_err();
        assert!(error.to_string().contains("seed was 1, now 2"), "{error}");
    }
}
