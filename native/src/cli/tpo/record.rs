//! The record file: JSON lines. `{"type": "header"}` first, then every line of every question's run and of its
//! baseline, in their order, each with its question's number, whose it is, and the milliseconds since the program's
//! start. What a killed run leaves is whole lines and perhaps the beginning of one.

use super::super::Usage;
use anyhow::{Context, anyhow};
use periapt_core::tpo::{Line, Options};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The format's number.
pub const FORMAT: u32 = 1;

/// What all lines of a file share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    #[serde(rename = "type")]
    pub kind: HeaderKind,
    pub format: u32,
    pub periapt: String,
    /// `{name, sha256}`.
    pub model: Value,
    pub device: Value,
    pub kv: String,
    pub reward: String,
    /// `{name, sha256}` of the model behind the reward `classifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<Value>,
    pub preference: Option<String>,
    pub method: String,
    pub system: Option<String>,
    /// What the chat template did with system prompts, where it did not write them as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The day that the chat template tells the model, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The set's name, and the sha256 of its four templates.
    pub prompts: (String, String),
    pub options: Options,
}

impl Header {
    /// The reward, with the model behind it where it has one of its own.
    pub fn reward_name(&self) -> String {
        let name = self.reward_model.as_ref().map(|model| &model["name"]);
        match name.and_then(Value::as_str) {
            Some(name) => format!("{} ({name})", self.reward),
            None => self.reward.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderKind {
    Header,
}

/// Whose a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The run's own.
    Run,
    /// Best-of-N with as many generations.
    Baseline,
}

/// A line with where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The question's number.
    pub item: usize,
    pub part: Part,
    pub ms: f64,
    #[serde(flatten)]
    pub line: Line,
}

/// A record's content.
pub struct Content {
    pub header: Header,
    pub entries: Vec<Entry>,
}

/// Reads a whole record; what is cut off at its end is left out.
pub fn read(path: &Path) -> anyhow::Result<Content> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (content, _) = parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))?;
    content.ok_or_else(|| {
        anyhow!(
            "{} is empty: it is no record of `periapt tpo --record`",
            path.display()
        )
    })
}

/// The content, where there is at least a header, and the bytes that are whole lines.
fn parse(bytes: &[u8]) -> Result<(Option<Content>, usize), String> {
    let whole = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let mut content: Option<Content> = None;
    for (index, line) in bytes[..whole].split(|b| *b == b'\n').enumerate() {
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |error: serde_json::Error| {
            format!(
                "line {} is no line of a record of this version ({error})",
                index + 1
            )
        };
        match &mut content {
            None => {
                let header: Header = serde_json::from_slice(line).map_err(wrong)?;
                if header.format != FORMAT {
                    return Err(format!(
                        "it is a record of format {}, and this version reads format {FORMAT}",
                        header.format
                    ));
                }
                let entries = Vec::new();
                content = Some(Content { header, entries });
            }
            Some(content) => content
                .entries
                .push(serde_json::from_slice(line).map_err(wrong)?),
        }
    }
    Ok((content, whole))
}

/// A record that is being written.
pub struct Record {
    path: PathBuf,
    file: File,
    began: Instant,
    /// What an earlier run wrote.
    entries: Vec<Entry>,
}

impl Record {
    /// Creates the file, or takes up an earlier run's with the same header.
    pub fn open(path: &Path, header: &Header) -> anyhow::Result<Self> {
        let name = path.display();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(|error| Usage(format!("--record: cannot write {name}: {error}")))?;
        if file.try_lock().is_err() {
            return Err(Usage(format!("--record: another run is writing to {name}")).into());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name}"))?;
        let (content, whole) =
            parse(&bytes).map_err(|why| Usage(format!("--record: {name}: {why}")))?;
        if whole < bytes.len() {
            file.set_len(whole as u64)
                .with_context(|| format!("cannot write {name}"))?;
        }
        let mut record = Self {
            path: path.to_owned(),
            file,
            began: Instant::now(),
            entries: Vec::new(),
        };
        match content {
            None => record.append(header)?,
            Some(content) if content.header == *header => record.entries = content.entries,
            Some(_) => {
                return Err(Usage(format!(
                    "--record: {name} is of a run with other settings, another model or another device: choose another \
                     name, or remove it"
                ))
                .into());
            }
        }
        Ok(record)
    }

    /// An earlier run's lines of one question.
    pub fn lines(&self, item: usize, part: Part) -> Vec<Line> {
        let own = |entry: &&Entry| entry.item == item && entry.part == part;
        let lines = self.entries.iter().filter(own);
        lines.map(|entry| entry.line.clone()).collect()
    }

    /// Appends a line at once.
    pub fn write(&mut self, item: usize, part: Part, line: &Line) -> anyhow::Result<()> {
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
        // Not the error's own kind: standard output's hanging up is no failure, and this is.
        let written = self.file.write_all(&line);
        written.map_err(|error| anyhow!("cannot write {}: {error}", self.path.display()))
    }
}
