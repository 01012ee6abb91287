//! `periapt generate` and `periapt compare`.

use super::args::{CompareArgs, GenerateArgs, MethodArg};
use super::{Loaded, load, millis, print_json, text_or_stdin};
use periapt_core::decoding::streams::expand_preference;
use periapt_core::decoding::{Conversation, Method};
use periapt_core::session::{Event, GenerateRequest, Generation};
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

/// An answer, with what it took.
struct Answer {
    generation: Generation,
    method: Method,
    prefill_ms: f64,
    decode_ms: f64,
}

pub fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    let method = args.method.unwrap_or(match args.prefer {
        Some(_) => MethodArg::Amulet,
        None => MethodArg::Base,
    });
    let request = GenerateRequest {
        conversation: Conversation {
            system: args.system.clone(),
            preference: args.prefer.as_deref().map(expand_preference),
            question: text_or_stdin(&args.prompt)?,
        },
        method: args.decoding.method(method),
        sampling: args.decoding.sampling(),
        max_new_tokens: args.decoding.max_new_tokens,
    };
    request.validate()?;
    let loaded = load(&args.model)?;
    let answer = answer(&loaded, &request, !args.json)?;
    if args.json {
        print_json(&describe(&loaded, &answer))?;
    }
    Ok(())
}

pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let mut request = GenerateRequest {
        conversation: Conversation {
            system: args.system.clone(),
            preference: Some(expand_preference(&args.prefer)),
            question: text_or_stdin(&args.prompt)?,
        },
        method: Method::Base,
        sampling: args.decoding.sampling(),
        max_new_tokens: args.decoding.max_new_tokens,
    };
    let methods = [
        MethodArg::Base,
        MethodArg::Pref,
        MethodArg::La,
        MethodArg::Amulet,
    ]
    .map(|method| args.decoding.method(method));
    for method in methods {
        request.method = method;
        request.validate()?;
    }
    let loaded = load(&args.model)?;
    let mut answers = Vec::new();
    for method in methods {
        request.method = method;
        if !args.json {
            let mut out = std::io::stdout().lock();
            match method {
                Method::Base | Method::Pref => writeln!(out, "--- {} ---", method.name())?,
                _ => writeln!(
                    out,
                    "--- {} (k = {:.4}) ---",
                    method.name(),
                    method.strength()
                )?,
            }
        }
        let answer = answer(&loaded, &request, !args.json)?;
        answers.push(describe(&loaded, &answer));
        if !args.json {
            writeln!(std::io::stdout())?;
        }
    }
    if args.json {
        print_json(&json!({ "answers": answers }))?;
    }
    Ok(())
}

/// Generates, streaming the text to stdout where `stream` is set. A reader that hangs up ends
/// the generation.
fn answer(loaded: &Loaded, request: &GenerateRequest, stream: bool) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let mut prefilled = None;
    let mut printed = Ok(());
    let mut out = std::io::stdout().lock();
    let on_event = &mut async |event: Event<'_>| {
        match event {
            Event::Prefill { .. } => {}
            Event::Token { text, .. } => {
                // The first token comes with the prefill's own logits.
                prefilled.get_or_insert_with(Instant::now);
                if stream && !text.is_empty() {
                    printed = write!(out, "{text}").and_then(|()| out.flush());
                }
            }
        }
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let generation = pollster::block_on(loaded.session.generate(request, on_event))?;
    let decode_ms = prefilled.map_or(0.0, millis);
    printed?;
    if stream {
        writeln!(out)?;
    }
    Ok(Answer {
        generation,
        method: request.method,
        prefill_ms: millis(started) - decode_ms,
        decode_ms,
    })
}

/// The JSON object of one answer.
fn describe(loaded: &Loaded, answer: &Answer) -> Value {
    let Answer {
        generation,
        method,
        prefill_ms,
        decode_ms,
    } = answer;
    let prompts: serde_json::Map<String, Value> = generation
        .prompt_token_ids
        .iter()
        .map(|(stream, ids)| (stream.name().to_owned(), json!(ids)))
        .collect();
    // Steps after the one whose logits the prefill gave.
    let steps = generation.token_ids.len().saturating_sub(1) as f64;
    let tokens_per_second = match *decode_ms > 0.0 {
        true => steps / decode_ms * 1e3,
        false => 0.0,
    };
    json!({
        "text": generation.text,
        "token_ids": generation.token_ids,
        "finish_reason": generation.finish_reason,
        "prompt_token_ids": prompts,
        "method": method.name(),
        "strength": method.strength(),
        "device": loaded.session.device().info,
        "model": { "name": loaded.session.model_name(), "path": loaded.path },
        "timings": {
            "load_ms": loaded.load_ms,
            "prefill_ms": prefill_ms,
            "decode_ms": decode_ms,
            "tokens_per_second": tokens_per_second,
        },
    })
}
