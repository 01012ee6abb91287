//! `periapt score`.

use super::args::ScoreArgs;
use super::{Usage, load, print_json, text_or_stdin};
use crate::terminal::{self, line};
use periapt_core::decoding::Conversation;
use periapt_core::decoding::streams::expand_preference;
use serde_json::json;
use std::io::Write;
use std::path::Path;

pub fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let responses = args
        .response
        .iter()
        .map(|path| response(path))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let conversation = Conversation {
        system: args.system.clone(),
        preference: Some(expand_preference(&args.prefer)),
        question: args.prompt.clone(),
        ..Conversation::default()
    };
    let loaded = load(&args.model)?;
    let session = &loaded.session;
    let answers = responses
        .iter()
        .map(|text| session.encode_answer(text))
        .collect::<Result<Vec<_>, _>>()?;
    let pairs: Vec<(&Conversation, &[u32])> = answers
        .iter()
        .map(|answer| (&conversation, answer.as_slice()))
        .collect();
    let scores = pollster::block_on(session.score_all(&pairs))?;
    if args.json {
        let scores: Vec<_> = args
            .response
            .iter()
            .zip(&scores)
            .map(|(path, score)| {
                let mut object = json!(score);
                object["response"] = json!(path);
                object
            })
            .collect();
        return print_json(&json!({
            "scores": scores,
            "preference": conversation.preference,
            "device": session.device().info,
            "model": { "name": session.model_name(), "path": loaded.path },
        }));
    }
    let mut out = terminal::report();
    writeln!(
        out,
        "preference  base ppl  pref ppl  distinct-1  -2     -3     repetition  tokens  response"
    )?;
    for (path, score) in args.response.iter().zip(&scores) {
        let [one, two, three] = score.distinct;
        writeln!(
            out,
            "{:>+10.4}  {:>8.2}  {:>8.2}  {one:>10.3}  {two:.3}  {three:.3}  {:>10.3}  {:>6}  {}",
            score.preference_score,
            score.base_perplexity,
            score.pref_perplexity,
            score.repetition,
            score.tokens,
            line(&path.display())
        )?;
    }
    Ok(())
}

/// An answer's text, without the line break that ends a file.
fn response(path: &Path) -> anyhow::Result<String> {
    let text = match path.to_str() {
        Some("-") => text_or_stdin("-")?,
        _ => std::fs::read_to_string(path).map_err(|error| {
            Usage(format!(
                "--response: cannot read {}: {error}",
                path.display()
            ))
        })?,
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match text.is_empty() {
        true => Err(Usage(format!("--response: {} is empty", path.display())).into()),
        false => Ok(text.to_owned()),
    }
}
