//! `periapt score`.

use super::args::ScoreArgs;
use super::{Usage, input, load, notes, print_json, streams};
use crate::terminal::{self, line};
use periapt_core::decoding::Conversation;
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
        system: args.prompts.system(false, true),
        preference: Some(streams::preference(
            args.prompts.set(false),
            &args.prefer,
            "score",
        )?),
        question: input::question(&args.prompt)?,
        ..Conversation::default()
    };
    let loaded = load(&args.model)?;
    let session = &loaded.session;
    notes::of_session(session);
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
        let mut object = json!({
            "scores": scores,
            "preference": conversation.preference,
            "device": session.device().info,
            "model": { "name": session.model_name(), "path": loaded.path },
        });
        notes::record(&mut object, session.system_prompt());
        return print_json(&object);
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

/// An answer's text.
fn response(path: &Path) -> anyhow::Result<String> {
    let text = match path.to_str() {
        Some("-") => input::prompt("-")?,
        _ => input::file("--response", path)?,
    };
    match text.is_empty() {
        true => Err(Usage(format!("--response: {} is empty", path.display())).into()),
        false => Ok(text),
    }
}
