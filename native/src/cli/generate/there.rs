//! The same with the model behind a server (`--engine`): base and pref as chats, la and amulet on the likeliest tokens.

use super::super::answer::{length, title};
use super::super::args::{CompareArgs, EngineArgs, GenerateArgs, ModelArgs};
use super::super::engine::{Asked, Engine, lean};
use super::super::{Usage, millis, print_json};
use crate::say;
use crate::terminal;
use periapt_core::decoding::{Method, MethodName};
use periapt_core::session::{FinishReason, GenerateRequest, Truncation};
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

/// Whether a chat's answer is the method's own: nothing is weighed, and no guard changes what is drawn.
fn is_plain(request: &GenerateRequest) -> bool {
    let sampling = &request.sampling;
    let guarded = sampling.plausibility > 0.0
        || sampling.nucleus < 1.0
        || sampling.kl_budget.is_some()
        || sampling.adaptive.is_some();
    matches!(request.method, Method::Base | Method::Pref)
        && (sampling.temperature == 0.0 || !guarded)
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
    let (text, tokens, finish_reason) = if is_plain(request) {
        let conversation = request.conversations.first().cloned().unwrap_or_default();
        let messages = conversation.messages(&request.method.streams()[0]);
        let asked = Asked {
            prefix: "",
            stops: &request.stop,
            number: 0,
            sampling: &request.sampling,
            max_new_tokens: request.max_new_tokens,
        };
        let draft = engine.draft(&messages, &asked)?;
        if stream {
            writeln!(out, "{}", draft.text)?;
        }
        (draft.text, draft.tokens, draft.finish_reason)
    } else {
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
        let leaning = pollster::block_on(lean(engine, request, support, heard))?;
        written?;
        let truncations: Vec<&Truncation> = leaning.tokens.iter().map(|(_, cut)| cut).collect();
        let truncation = Truncated::of(&truncations);
        if stream {
            writeln!(out)?;
            truncation.say();
        }
        let ids: Vec<u32> = leaning.tokens.iter().map(|(id, _)| *id).collect();
        put("token_ids", json!(ids));
        let prompts: serde_json::Map<String, Value> = (leaning.prompts.iter())
            .map(|(name, ids)| (name.clone(), json!(ids)))
            .collect();
        put("prompt_token_ids", Value::Object(prompts));
        put("strengths", json!(leaning.strengths));
        if request.sampling.kl_budget.is_some() {
            put("kl", json!(leaning.kl));
        }
        put("truncation", truncation.object(support));
        put("truncations", json!(truncations));
        let finish_reason = match leaning.ended {
            true => FinishReason::Stop,
            false => FinishReason::Length,
        };
        (leaning.text, ids.len(), finish_reason)
    };
    let length = length(&text, tokens, Some(finish_reason));
    put("text", json!(text));
    put("tokens", json!(tokens));
    put("finish_reason", json!(finish_reason));
    put("timings", json!({ "whole_ms": millis(started) }));
    Ok((object, length))
}

/// What leaning on so few tokens can have cost, over an answer.
struct Truncated {
    /// Mean and highest probability outside, by stream.
    outside: Vec<(String, f64, f64)>,
    bounded: usize,
    /// The least that would have changed a token.
    margin: Option<f64>,
    /// Tokens that nothing outside could have changed.
    certain: usize,
    tokens: usize,
}

impl Truncated {
    fn of(all: &[&Truncation]) -> Self {
        let names = all.first().map(|first| first.outside.keys().cloned());
        let of_stream = |name: String| {
            let each = || all.iter().filter_map(|one| one.outside.get(&name));
            let mean = each().sum::<f64>() / all.len().max(1) as f64;
            let highest = each().copied().fold(0.0, f64::max);
            (name, mean, highest)
        };
        Self {
            outside: names.into_iter().flatten().map(of_stream).collect(),
            bounded: all.iter().map(|one| one.bounded).sum(),
            margin: all.iter().filter_map(|one| one.margin).reduce(f64::min),
            certain: all.iter().filter(|one| one.margin.is_none()).count(),
            tokens: all.len(),
        }
    }

    fn object(&self, support: usize) -> Value {
        let outside: serde_json::Map<String, Value> = (self.outside.iter())
            .map(|(name, mean, highest)| (name.clone(), json!({ "mean": mean, "max": highest })))
            .collect();
        json!({
            "support": support,
            "outside": outside,
            "bounded": self.bounded,
            "margin": self.margin,
            "certain": self.certain,
        })
    }

    fn say(&self) {
        let outside: Vec<String> = (self.outside.iter())
            .map(|(name, mean, highest)| {
                format!(
                    "{name} {:.2}% (at most {:.2}%)",
                    100.0 * mean,
                    100.0 * highest
                )
            })
            .collect();
        say!(
            "outside the likeliest tokens lay, of {}",
            outside.join(", of ")
        );
        if self.bounded > 0 {
            say!(
                "{} log-probabilities without the preference were not to be had, and taken for the least of those that were",
                self.bounded
            );
        }
        match self.margin {
            None => say!("no token outside could have come first"),
            Some(margin) => say!(
                "a token outside could have come first at {} of {} tokens, if the preference made it likelier by {margin:.1} nats \
                 or more",
                self.tokens - self.certain,
                self.tokens
            ),
        }
    }
}
