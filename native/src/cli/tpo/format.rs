//! A record's lines, and reading them.

use super::super::lines::{self, Lines};
use periapt_core::contract::{RECORD_FORMAT, RecordHeader};
use periapt_core::tpo::{Options, Outcome, RecordLine, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The reward, with the model behind it where it has one of its own.
pub fn reward_name(header: &RecordHeader) -> String {
    let model = header.reward_model.as_ref();
    match model.and_then(|model| model.name.as_deref()) {
        Some(name) => format!("{} ({name})", header.reward),
        None => header.reward.clone(),
    }
}

/// Whose a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunPart {
    /// The run's own.
    Run,
    /// Best-of-N at equal cost.
    Baseline,
}

/// A line with where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The question's number.
    pub item: usize,
    pub part: RunPart,
    pub ms: f64,
    #[serde(flatten)]
    pub line: RecordLine,
}

/// A record's content: its runs, by their questions' numbers.
#[derive(Debug)]
pub struct Content {
    pub header: RecordHeader,
    pub runs: BTreeMap<(usize, RunPart), RecordedRun>,
}

/// A run's lines, and what they come to.
#[derive(Debug, Clone)]
pub struct RecordedRun {
    pub lines: Vec<RecordLine>,
    pub state: State,
}

impl Content {
    /// Whether a run with that header goes on from here.
    pub fn is_of(&self, header: &RecordHeader) -> bool {
        let mut own = self.header.clone();
        if own.engine.is_some() && header.engine.is_some() {
            own.engine.clone_from(&header.engine);
        }
        if own.reward_engine.is_some() && header.reward_engine.is_some() {
            own.reward_engine.clone_from(&header.reward_engine);
        }
        own == *header
    }
}

impl RecordedRun {
    /// What there is of it.
    pub fn outcome(&self) -> &Outcome {
        self.state.outcome()
    }
}

/// How a header and the other lines begin.
const BEGIN: &str = "{\"type\":\"header\",";
const BEGIN_ENTRY: &str = "{\"item\":";

/// A record as a file holds it.
#[derive(Debug)]
pub struct Parsed {
    /// Nothing where there is not even a header.
    pub content: Option<Content>,
    /// Bytes of it; what follows is the beginning of a line.
    pub bytes: usize,
    /// Whether the last line lacks its end.
    pub unended: bool,
}

/// Reads a whole record, and checks what who uses it relies on. A line that lacks nothing but its end counts.
///
/// # Errors
///
/// In words, with the line's number.
pub fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let lines = Lines::of(bytes);
    let mut all = lines.whole.iter().copied();
    let mut parsed = Parsed {
        content: None,
        bytes: lines.whole_bytes,
        unended: false,
    };
    match (all.next(), lines.rest) {
        (Some(first), _) => parsed.content = Some(Content::new(header(first)?)),
        (None, Some(rest)) => {
            if !lines.rest_is_begun(BEGIN) {
                parsed.content = Some(Content::new(header(rest)?));
                parsed.unended = true;
            }
        }
        (None, None) => {}
    }
    let Some(content) = &mut parsed.content else {
        return Ok(parsed);
    };
    let mut take = |line: (usize, &[u8])| {
        let taken = lines::parse(line).map(|entry| content.take(entry))?;
        taken.map_err(|why| format!("line {}: {why}", line.0))
    };
    for line in all {
        take(line)?;
    }
    let rest = lines.rest.filter(|_| !parsed.unended);
    if let Some(rest) = rest.filter(|_| !lines.rest_is_begun(BEGIN_ENTRY)) {
        take(rest)?;
        parsed.unended = true;
    }
    if parsed.unended {
        parsed.bytes = bytes.len();
    }
    Ok(parsed)
}

/// The first line: its format before all else, since another one's header may hold other things.
fn header(line: (usize, &[u8])) -> Result<RecordHeader, String> {
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    match lines::parse(line) {
        Ok(Any { format }) if format != RECORD_FORMAT => {
            return Err(format!(
                "it is a record of format {format}, and this version reads format {RECORD_FORMAT}"
            ));
        }
        _ => {}
    }
    let header: RecordHeader = lines::parse(line)?;
    let valid = header.options.validate();
    valid.map_err(|error| format!("line {}: {error}", line.0))?;
    Ok(header)
}

/// The settings of a comparison that begins with `line`: its own budget, or none, as earlier versions had it.
fn baseline(options: &Options, line: &RecordLine) -> Options {
    let budget = match line {
        RecordLine::Run { options, .. } => options.budget,
        _ => None,
    };
    match budget {
        Some(_) => Options {
            budget,
            ..options.baseline(0)
        },
        None => options.baseline_at_once(),
    }
}

impl Content {
    fn new(header: RecordHeader) -> Self {
        let runs = BTreeMap::new();
        Self { header, runs }
    }

    /// Takes a line, where its run tells it next.
    fn take(&mut self, entry: Entry) -> Result<(), String> {
        let options = &self.header.options;
        let run = self.runs.entry((entry.item, entry.part));
        let run = run.or_insert_with(|| RecordedRun {
            lines: Vec::new(),
            state: match entry.part {
                RunPart::Run => State::new(options),
                RunPart::Baseline => State::new(&baseline(options, &entry.line)),
            },
        });
        run.state.apply(&entry.line)?;
        run.lines.push(entry.line);
        Ok(())
    }
}
