//! `periapt learn`: two answers at a time, of which a person takes one.

use super::args::LearnArgs;
use super::eval::dataset::Dataset;
use super::persona::{file, known, leaning, report, strength, suits};
use super::{Loaded, Usage, input, load, notes, print_json};
use crate::say;
use crate::terminal::{self, line, shown};
use periapt_core::decoding::preference::is_empty;
use periapt_core::decoding::{Conversation, Sampling};
use periapt_core::persona::{self, Known, Measured, Persona, Taken, features};
use periapt_core::session::GenerateRequest;
use serde_json::json;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

/// Answers among which the two are.
const ANSWERS: usize = 4;
/// Characters of a piece of a person's own writing, and the most pieces.
const PIECE: usize = 1200;
const MOST_PIECES: usize = 24;

/// What was said to a pair.
enum Said {
    Taken(Taken),
    Skip,
    End,
}

/// All that asking needs.
struct Learner<'a> {
    args: &'a LearnArgs,
    loaded: Loaded,
    model: Option<&'static str>,
    measured: &'static Measured,
    strength: f64,
    /// The guard of leaning.
    plausibility: f64,
    path: PathBuf,
    persona: Persona,
}

pub fn run(args: &LearnArgs) -> anyhow::Result<()> {
    let usage = |error: periapt_core::options::OutOfRange| Usage(error.to_string());
    args.strength.check_ranges().map_err(usage)?;
    let asks = GenerateRequest {
        conversations: vec![Conversation::default()],
        sampling: Sampling {
            temperature: args.temperature,
            ..Sampling::default()
        },
        ..GenerateRequest::default()
    };
    asks.validate()?;
    let path = file::path(args.file.persona.as_deref())?;
    let mut persona = file::read_or_new(&path)?;
    if persona.is_paused() {
        let what = "this persona is paused, and learns nothing: `periapt persona edit --resume`";
        return Err(Usage(what.to_owned()).into());
    }
    let mut questions: Vec<String> = Vec::new();
    for question in &args.question {
        questions.push(input::question(question)?);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    for dataset in &args.dataset {
        let all = Dataset::open(dataset, args.limit, folder)?.questions;
        questions.extend(all.into_iter().map(|question| question.text));
    }
    let texts = texts(&args.from)?;
    let model = known(args.model.model.as_deref())?;
    let measured = Measured::of(model);
    if !measured.is_of(model) {
        say!(
            "this model was not measured: how its answers lie, and how far it can be moved, is taken to be as with {}",
            measured.model
        );
    }
    let strength = strength(model, args.strength);
    if !texts.is_empty() {
        begin_with(&mut persona, measured, &texts);
        file::write(&path, &persona)?;
        say!("{} pieces of writing were read", texts.len());
        if questions.is_empty() {
            return told(args, &persona, model, strength);
        }
    }
    let loaded = load(&args.model)?;
    notes::of_session(&loaded.session);
    let mut learner = Learner {
        strength,
        plausibility: suits(model).map_or(0.0, |suits| suits.plausibility),
        args,
        loaded,
        model,
        measured,
        path,
        persona,
    };
    if questions.is_empty() {
        loop {
            if !args.json {
                terminal::prompt("Your question (an empty line ends): ");
            }
            match read_line()? {
                Some(question) if !is_empty(&question) && learner.ask(&question)? => {}
                _ => break,
            }
        }
    }
    for question in &questions {
        if !learner.ask(question)? {
            break;
        }
    }
    told(args, &learner.persona, model, strength)
}

/// Takes each text that a person wrote as chosen over what lies in the middle of all axes.
fn begin_with(persona: &mut Persona, measured: &Measured, texts: &[String]) {
    for text in texts {
        let mut features = measured.standard(&features(text));
        // How long a text is says nothing of how long an answer should be.
        features[persona::LENGTH] = 0.0;
        persona.learn(&features, &[0.0; persona::K], Taken::First);
    }
}

/// What is known in the end.
fn told(
    args: &LearnArgs,
    persona: &Persona,
    model: Option<&str>,
    strength: f64,
) -> anyhow::Result<()> {
    match args.json {
        true => print_json(&Known::of(persona, model, strength)),
        false => report(persona, model, Some(args.strength)),
    }
}

impl Learner<'_> {
    fn conversation(&self, question: &str) -> Conversation {
        Conversation {
            system: self.args.prompts.system(false, true),
            preference: Some(String::new()),
            question: question.to_owned(),
            ..Conversation::default()
        }
    }

    /// Answers a question, has one of two answers taken, and learns from it; false where the person has had enough.
    fn ask(&mut self, question: &str) -> anyhow::Result<bool> {
        let posterior = self.persona.posterior();
        let past = self.persona.choices().len() as u64;
        let seed = self.args.seed.unwrap_or(past).wrapping_mul(ANSWERS as u64);
        let plans = persona::plans(&posterior, self.measured, self.strength, ANSWERS, seed);
        let requests = plans.iter().enumerate().map(|(at, leans)| GenerateRequest {
            conversations: vec![self.conversation(question)],
            method: persona::method(leans),
            sampling: Sampling {
                temperature: self.args.temperature,
                plausibility: self.plausibility,
                seed: seed.wrapping_add(at as u64),
                ..Sampling::default()
            },
            max_new_tokens: self.args.max_new_tokens,
            ..GenerateRequest::default()
        });
        let session = &self.loaded.session;
        let answers = pollster::block_on(session.generate_together(requests.collect()))?;
        let texts: Vec<String> = answers
            .into_iter()
            .flatten()
            .map(|generation| generation.text.trim().to_owned())
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let Some([a, b]) = persona::pair(&posterior, self.measured, &texts) else {
            say!(
                "the answers to {:?} are all alike: nothing can be learnt from them",
                line(&question)
            );
            return Ok(true);
        };
        // Which stands first says nothing.
        let [a, b] = match (seed / ANSWERS as u64).is_multiple_of(2) {
            true => [a, b],
            false => [b, a],
        };
        let taken = match self.choose(question, texts[a], texts[b])? {
            Said::Taken(taken) => taken,
            Said::Skip => return Ok(true),
            Said::End => return Ok(false),
        };
        self.persona
            .learn_from(self.measured, texts[a], texts[b], taken);
        file::write(&self.path, &self.persona)?;
        match self.args.json {
            true => print_json(&Known::of(&self.persona, self.model, self.strength))?,
            false => say!(
                "the next answer {}",
                leaning(&self.persona.leans(self.measured, self.strength))
            ),
        }
        Ok(true)
    }

    /// Shows two answers, and asks.
    fn choose(&self, question: &str, first: &str, second: &str) -> anyhow::Result<Said> {
        if self.args.json {
            print_json(&json!({ "question": question, "first": first, "second": second }))?;
        } else {
            say!(
                "\n--- {}\n\n--- 1\n{}\n\n--- 2\n{}\n",
                line(&question),
                shown(first),
                shown(second)
            );
        }
        loop {
            if !self.args.json {
                terminal::prompt(
                    "Which do you like better? 1, 2, = for both, s to skip, q to end: ",
                );
            }
            let Some(said) = read_line()? else {
                return Ok(Said::End);
            };
            return Ok(match said.trim() {
                "1" => Said::Taken(Taken::First),
                "2" => Said::Taken(Taken::Second),
                "=" => Said::Taken(Taken::Same),
                "s" => Said::Skip,
                "q" => Said::End,
                other if self.args.json => {
                    let what = format!("{other:?} is no choice: there are 1, 2, =, s and q");
                    return Err(Usage(what).into());
                }
                _ => continue,
            });
        }
    }
}

/// A line of standard input without its end; `None` where that has ended.
fn read_line() -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(input::typed(line.trim_end_matches(['\r', '\n'])))),
    }
}

/// A person's own texts, in pieces of some sentences.
fn texts(from: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in from {
        let cannot = |error| Usage(format!("--from {}: {error}", path.display()));
        match path.is_dir() {
            false => files.push(path.clone()),
            true => {
                let entries = fs::read_dir(path).map_err(cannot)?;
                let mut own: Vec<PathBuf> = entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.extension().is_some_and(|e| e == "txt" || e == "md"))
                    .collect();
                if own.is_empty() {
                    let what = format!("--from {}: no .txt or .md file in it", path.display());
                    return Err(Usage(what).into());
                }
                own.sort();
                files.extend(own);
            }
        }
    }
    let mut pieces: Vec<String> = Vec::new();
    for path in &files {
        let text = input::file("--from", path)?;
        for paragraph in text.split("\n\n").map(str::trim) {
            let short: String = paragraph.chars().take(PIECE).collect();
            if short.split_whitespace().nth(4).is_some() {
                pieces.push(short);
            }
        }
    }
    if pieces.is_empty() && !from.is_empty() {
        return Err(Usage("--from: there is no text of five words in it".to_owned()).into());
    }
    if pieces.len() > MOST_PIECES {
        say!(
            "of {} pieces of writing the first {MOST_PIECES} are read",
            pieces.len()
        );
        pieces.truncate(MOST_PIECES);
    }
    Ok(pieces)
}
