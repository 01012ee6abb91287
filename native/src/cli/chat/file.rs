//! Chats as files: the page's own (`www/src/schema/chat.ts`), so that either opens what the other saved.

use super::super::trace::Token;
use anyhow::{Context, anyhow, bail};
use periapt_core::contract::{RunHeader, TRACE_FORMAT};
use periapt_core::session::{FinishReason, GenerateRequest};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

const FORMAT: &str = "periapt-chat";
const VERSION: u32 = 1;

/// Bytes that a file may have, as on the page.
const MOST_BYTES: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chat {
    format: String,
    version: u32,
    /// How the first question begins.
    title: String,
    /// Milliseconds since 1970.
    changed: u64,
    turns: Vec<Turn>,
}

/// A question with its answers: without a preference, and with one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    pub question: String,
    pub base: Option<Run>,
    pub aligned: Option<Run>,
}

impl Turn {
    /// The answer that the conversation goes on from.
    pub fn answer(&self) -> Option<&Run> {
        self.aligned.as_ref().or(self.base.as_ref())
    }
}

/// An answer, with all that decided it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub header: RunHeader,
    pub tokens: Vec<RunToken>,
    /// Absent where it was broken off.
    pub finish: Option<FinishReason>,
    /// Tokens a second while it was decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// What was asked for it; nothing where it came from a file.
    #[serde(skip)]
    pub asked: Option<GenerateRequest>,
}

impl Run {
    pub fn text(&self) -> String {
        self.tokens.iter().map(RunToken::text).collect()
    }
}

/// A token of an answer, with its probabilities or without.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum RunToken {
    Traced(Box<Token>),
    Plain(PlainToken),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainToken {
    pub index: usize,
    /// The text that the token completes.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// The strength that was taken.
    pub k: f64,
    /// KL divergence from the anchor, where a budget asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
}

impl RunToken {
    pub fn text(&self) -> &str {
        match self {
            Self::Traced(token) => &token.text,
            Self::Plain(token) => &token.text,
        }
    }

    fn index(&self) -> usize {
        match self {
            Self::Traced(token) => token.index,
            Self::Plain(token) => token.index,
        }
    }
}

/// By what it holds: serde's own choice would not say what is wrong with either.
impl<'de> Deserialize<'de> for RunToken {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(from)?;
        if let Some(object) = value.as_object_mut() {
            // A trace's line has it.
            object.remove("type");
        }
        let is_traced = value.get("log_prob").or(value.get("top")).is_some();
        let token = match is_traced {
            true => serde_json::from_value(value).map(Self::Traced),
            false => serde_json::from_value(value).map(Self::Plain),
        };
        token.map_err(D::Error::custom)
    }
}

/// A chat as a file's bytes.
pub fn write(turns: &[Turn]) -> anyhow::Result<Vec<u8>> {
    const TITLE: usize = 80;
    let first = turns.first().map_or("", |turn| &turn.question);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let chat = Chat {
        format: FORMAT.to_owned(),
        version: VERSION,
        title: first.chars().take(TITLE).collect(),
        changed: now.map_or(0, |since| since.as_millis() as u64),
        turns: turns.to_vec(),
    };
    let mut bytes = serde_json::to_vec(&chat)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The turns of a file that was saved here, or exported from the page.
///
/// # Errors
///
/// What is wrong with it, and where.
pub fn read(path: &Path) -> anyhow::Result<Vec<Turn>> {
    let name = || format!("{} is no chat that can be opened", path.display());
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(anyhow!("it is larger than {} MB", MOST_BYTES >> 20)).with_context(name);
    }
    parse(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).with_context(name)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Turn>> {
    /// What says that it is a chat, and of which version, whatever else it holds.
    #[derive(Deserialize)]
    struct Any {
        format: Option<Value>,
        version: Option<u32>,
    }
    let any = serde_json::from_slice(bytes).map(|any: Any| (any.format, any.version));
    match any {
        Ok((Some(format), _)) if format != FORMAT => bail!("its format is {format}"),
        Ok((Some(_), Some(version))) if version != VERSION => {
            bail!("it is of version {version}, and this version of periapt reads version {VERSION}")
        }
        Ok((None, _)) => bail!("it is JSON without the format {FORMAT:?}"),
        _ => {}
    }
    let chat: Chat = serde_json::from_slice(bytes).map_err(|error| match error.is_data() {
        true => anyhow!(error),
        false => anyhow!("it is no JSON: {error}"),
    })?;
    for (number, turn) in chat.turns.iter().enumerate() {
        for (side, run) in [("base", &turn.base), ("aligned", &turn.aligned)] {
            if let Some(run) = run {
                check(run).map_err(|why| anyhow!("turns[{number}].{side}: {why}"))?;
            }
        }
    }
    Ok(chat.turns)
}

/// What serde can't see: which comes next, and which streams there are.
fn check(run: &Run) -> Result<(), String> {
    let header = &run.header;
    if header.format != TRACE_FORMAT {
        return Err(format!(
            "its header is of format {}, and this version of periapt reads format {TRACE_FORMAT}",
            header.format
        ));
    }
    let names = header.streams.iter().map(|stream| stream.name.as_str());
    let names: Vec<&str> = names.chain(["final"]).collect();
    for (next, token) in run.tokens.iter().enumerate() {
        if token.index() != next {
            return Err(format!(
                "token {} at the place of token {next}",
                token.index()
            ));
        }
        if let RunToken::Traced(token) = token
            && let Some(name) = names
                .iter()
                .find(|name| !token.trace.log_prob.contains_key(**name))
        {
            return Err(format!(
                "token {next} has no log-probability under {name:?}"
            ));
        }
    }
    Ok(())
}
