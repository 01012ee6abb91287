//! The folder of a run: `run.json` with the settings, `answers.jsonl` with a line an answer. What a killed run leaves
//! is whole lines and perhaps the beginning of one, which is dropped when the run is taken up again.

use super::super::Usage;
use super::super::lines::{self, Lines};
use crate::output::write_whole;
use anyhow::{Context, anyhow};
use periapt_core::session::{FinishReason, Score};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// One answer. It holds nothing that differs from run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// What leaning on the likeliest tokens of a server can have cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Value>,
}

/// What makes an answer: dataset, method, preference and question.
pub type Key = (String, String, String, String);

impl Row {
    pub fn key(&self) -> Key {
        key(&self.dataset, &self.method, &self.preference, &self.index)
    }

    /// Refuses what no run writes: names become those of files, and scores are drawn.
    fn check(&self) -> Result<(), String> {
        for (what, name) in [("dataset", &self.dataset), ("method", &self.method)] {
            if name.contains(|c: char| c == '\0' || std::path::is_separator(c)) {
                return Err(format!("the {what} {name:?} is no part of a file's name"));
            }
        }
        let is_right = |score: &Score| score.base_perplexity > 0.0 && score.pref_perplexity > 0.0;
        match self.score.as_ref().is_none_or(is_right) {
            true => Ok(()),
            false => Err("a perplexity must be above 0".to_owned()),
        }
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

/// The file of answers in a run's folder.
pub const ANSWERS: &str = "answers.jsonl";

/// How a row begins.
const BEGIN: &str = "{\"dataset\":";

fn parse(line: (usize, &[u8])) -> anyhow::Result<Row> {
    let row: Row = lines::parse(line).map_err(anyhow::Error::msg)?;
    let wrong = |why| anyhow!("line {}: {why}", line.0);
    row.check().map_err(wrong)?;
    Ok(row)
}

/// What has to happen before the next row is appended.
enum End {
    /// The last row gets its end.
    Unended,
    /// The beginning of a row that a killed run left makes room: so many bytes are whole.
    Begun(u64),
}

pub struct Record {
    folder: PathBuf,
    /// Locked while this run has it.
    answers: File,
    pub rows: Vec<Row>,
    keys: HashSet<Key>,
    end: Option<End>,
}

impl Record {
    /// Opens or creates the folder, and takes up what is there.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let name = folder.display();
        fs::create_dir_all(folder)
            .map_err(|error| Usage(format!("--output: cannot create {name}: {error}")))?;
        let path = folder.join(ANSWERS);
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
        let mut record = Self {
            folder: folder.to_owned(),
            answers,
            rows: Vec::new(),
            keys: HashSet::new(),
            end: None,
        };
        let lines = Lines::of(&bytes);
        for line in &lines.whole {
            let row = parse(*line).with_context(|| {
                format!(
                    "{} holds what is no answer of this version; remove the line, or choose another folder",
                    path.display()
                )
            })?;
            record.take(row);
        }
        record.end = match lines.rest {
            None => None,
            Some(_) if lines.rest_is_begun(BEGIN) => Some(End::Begun(lines.whole_bytes as u64)),
            Some(rest) => {
                let row = parse(rest).with_context(|| {
                    format!(
                        "{} is no record of answers: choose another folder",
                        path.display()
                    )
                })?;
                record.take(row);
                Some(End::Unended)
            }
        };
        Ok(record)
    }

    fn take(&mut self, row: Row) {
        if self.keys.insert(row.key()) {
            self.rows.push(row);
        }
    }

    /// Writes the settings down, or holds them against those of the run that is taken up; a server may have another address
    /// since.
    pub fn settings(&self, settings: &Value) -> anyhow::Result<()> {
        let path = self.folder.join("run.json");
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(write_whole(&path, format!("{settings:#}\n").as_bytes())?)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
            Ok(text) => {
                let before: Value = serde_json::from_str(&text)
                    .with_context(|| format!("{} is damaged", path.display()))?;
                let names = [&before, settings]
                    .map(Value::as_object)
                    .into_iter()
                    .flatten();
                let names: BTreeSet<&String> = names.flat_map(serde_json::Map::keys).collect();
                let changed: Vec<String> = names
                    .into_iter()
                    .filter(|name| *name != "engine")
                    .filter(|name| before[name.as_str()] != settings[name.as_str()])
                    .map(|name| format!("{name} was {}, now {}", before[name], settings[name]))
                    .collect();
                if changed.is_empty() {
                    return Ok(());
                }
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
        let made_ready = match self.end.take() {
            Some(End::Unended) => self.answers.write_all(b"\n"),
            Some(End::Begun(bytes)) => self.answers.set_len(bytes),
            None => Ok(()),
        };
        let written = made_ready.and_then(|()| self.answers.write_all(line.as_bytes()));
        written.with_context(|| format!("cannot write {}", self.folder.join(ANSWERS).display()))?;
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
            truncation: None,
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
            // A row that lacks nothing but its end is there.
            let unended = usize::from(whole.get(cut) == Some(&b'\n'));
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count() + unended;
            assert_eq!(record.rows, (0..lines).map(row).collect::<Vec<_>>());
            drop(record);
            // Nothing is changed before something is appended.
            assert_eq!(fs::read(&path).unwrap(), &whole[..cut]);
        }
    }

    #[test]
    fn wherever_it_was_cut_the_next_rows_are_whole() {
        let folder = TempDir::new().unwrap();
        let path = folder.child("answers.jsonl");
        let mut record = Record::open(folder.path()).unwrap();
        record.push(row(0)).unwrap();
        record.push(row(1)).unwrap();
        drop(record);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut record = Record::open(folder.path()).unwrap();
            let there = record.rows.len();
            record.push(row(2)).unwrap();
            drop(record);
            let record = Record::open(folder.path()).unwrap();
            assert_eq!(record.rows.len(), there + 1, "cut at {cut}");
            assert_eq!(record.rows.last(), Some(&row(2)));
        }
    }

    #[test]
    fn what_is_no_record_is_left_as_it_is() {
        let folder = TempDir::new().unwrap();
        let path = folder.child("answers.jsonl");
        let mut other = serde_json::to_value(row(0)).unwrap();
        other["dataset"] = "../../x".into();
        let outside = format!("{other}\n");
        for text in ["my notes", "my notes\n", "[1]", "{\"a\": 1}\n", &outside] {
            fs::write(&path, text).unwrap();
            assert!(Record::open(folder.path()).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
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
