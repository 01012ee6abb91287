//! The same with the model behind a server (`--engine`): base and pref as chats, la and amulet on the likeliest tokens.

use super::super::answer::{length, title};
use super::super::args::{CompareArgs, EngineArgs, GenerateArgs, ModelArgs};
use super::super::engine::{Answered, Engine};
use super::super::{Usage, millis, print_json};
use crate::terminal;
use periapt_core::decoding::MethodName;
use periapt_core::session::{GenerateRequest, Truncation};
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

/// Refuses what needs the model itself.
pub fn check(args: &GenerateArgs) -> Result<(), Usage> {
    let refused = [
        ("--trace", args.trace.is_some()),
        ("--paper-compat", args.ask.decoding.paper_compat),
        ("--json-schema", args.ask.json_schema.is_some()),
        ("--stream-model", !args.ask.streams.stream_model.is_empty()),
        ("--method beam", args.ask.method == Some(MethodName::Beam)),
    ];
    match refused.into_iter().find(|(_, given)| *given) {
        Some((name, _)) if args.engine.engine.is_some() => Err(Usage(format!(
            "{name} needs the model on this machine, and goes without --engine"
        ))),
        _ => Ok(()),
    }
}

/// The server, where one is named.
pub fn engine(args: &EngineArgs, model: &ModelArgs) -> anyhow::Result<Option<Engine>> {
    Engine::of(args, model.model.as_deref(), model.load.max_context, None)
}

pub fn generate(
    engine: &Engine,
    request: &GenerateRequest,
    args: &GenerateArgs,
) -> anyhow::Result<()> {
    if request.method.name() == MethodName::Guidance {
        return Err(Usage("with --engine, --method is base, pref, la or amulet".to_owned()).into());
    }
    let (object, _) = answer(engine, request, args.support.support, !args.json)?;
    match args.json {
        true => print_json(&object),
        false => Ok(()),
    }
}

pub fn compare(
    engine: &Engine,
    requests: &[GenerateRequest],
    args: &CompareArgs,
) -> anyhow::Result<()> {
    if args.decoding.paper_compat {
        let what = "--paper-compat needs the model on this machine, and goes without --engine";
        return Err(Usage(what.to_owned()).into());
    }
    let mut answers = Vec::new();
    for request in requests {
        if !args.json {
            writeln!(terminal::answer(), "{}", title(&request.method))?;
        }
        let (object, length) = answer(engine, request, args.support.support, !args.json)?;
        answers.push(object);
        if !args.json {
            writeln!(terminal::answer(), "[{length}]\n")?;
        }
    }
    match args.json {
        true => print_json(&json!({ "answers": answers })),
        false => Ok(()),
    }
}

/// An answer as JSON, and its length in words; shown as it comes where `stream` is set.
fn answer(
    engine: &Engine,
    request: &GenerateRequest,
    support: usize,
    stream: bool,
) -> anyhow::Result<(Value, String)> {
    let started = Instant::now();
    let mut out = terminal::answer();
    let mut object = json!({
        "method": request.method.name(),
        "strength": request.method.strength(),
        "plausibility": request.sampling.plausibility,
        "engine": engine.name(),
        "model": { "name": engine.model },
    });
    let mut put = |name: &str, value: Value| object[name] = value;
    let mut written = Ok(());
    let heard = |text: &str| {
        if stream && !text.is_empty() {
            written = write!(out, "{text}").and_then(|()| out.flush());
        }
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let answered = engine.answer(request, support, heard)?;
    written?;
    if stream {
        writeln!(out)?;
    }
    if let Some(leaning) = &answered.leaning {
        let truncated = leaning.truncated();
        if stream {
            truncated.say();
        }
        put("token_ids", json!(leaning.ids()));
        let prompts: serde_json::Map<String, Value> = (leaning.prompts.iter())
            .map(|(name, ids)| (name.clone(), json!(ids)))
            .collect();
        put("prompt_token_ids", Value::Object(prompts));
        put("strengths", json!(leaning.strengths));
        if request.sampling.kl_budget.is_some() {
            put("kl", json!(leaning.kl));
        }
        put("truncation", truncated.object(support));
        let truncations: Vec<&Truncation> = leaning.truncations().collect();
        put("truncations", json!(truncations));
    }
    let Answered {
        text,
        tokens,
        finish_reason,
        ..
    } = answered;
    let length = length(&text, tokens, Some(finish_reason));
    put("text", json!(text));
    put("tokens", json!(tokens));
    put("finish_reason", json!(finish_reason));
    put("timings", json!({ "whole_ms": millis(started) }));
    Ok((object, length))
}
