//! `periapt generate` and `periapt compare`.

mod there;

use super::answer::{Answer, answer, length, title};
use super::args::{CompareArgs, DecodingArgs, GenerateArgs};
use super::ask::{self, How};
use super::trace::Recorder;
use super::{Loaded, Usage, input, load, millis, notes, persona, print_json, streams};
use crate::terminal;
use periapt_core::decoding::streams::in_turns;
use periapt_core::decoding::{Conversation, DecodingError, MethodName};
use periapt_core::persona as axes;
use periapt_core::session::{BeamRequest, Event, GenerateRequest, Generation};
use periapt_core::text::Message;
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

pub fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    ask::check(&args.ask.decoding)?;
    there::check(args)?;
    // What was measured is this machine's models'.
    let is_here = args.engine.engine.is_none();
    let how = How::of(&args.ask, is_here)?;
    how.notes.iter().for_each(|note| terminal::say(note));
    let earlier = history(args.history.as_deref())?;
    let question = input::question(&args.prompt)?;
    if how.method == MethodName::Beam {
        return beam(args, how.conversation(&args.ask, earlier, question)?);
    }
    let mut request = how.request(&args.ask, earlier, question)?;
    request.trace = args.trace.as_ref().map(|_| args.trace_top);
    request.validate()?;
    if let Some(engine) = there::engine(&args.engine, &args.ask.model)? {
        return there::generate(&engine, &request, args);
    }
    let mut recorder = args.trace.as_deref().map(Recorder::create).transpose()?;
    let mut loaded = load(&args.ask.model)?;
    let companions = streams::attach(
        &mut loaded.session,
        &request.method,
        &args.ask.model,
        &args.ask.streams,
    )?;
    streams::assign(&mut request.method, &companions);
    let prompting = loaded.session.prompting(&request)?;
    notes::of_prompts(prompting);
    if let Some(recorder) = &mut recorder {
        recorder.begin(&loaded, &request, prompting)?;
    }
    let answer = answer(&loaded, &request, !args.json, &mut |event| {
        if let (Some(recorder), Event::Token { text, trace, .. }) = (&mut recorder, event)
            && let Some(trace) = trace
        {
            recorder.token(text, trace)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(recorder) = &mut recorder {
        recorder.end(&answer.generation)?;
    }
    if args.json {
        let mut object = describe(&loaded, &request, &how.decoding, &answer);
        notes::record(&mut object, prompting.system);
        print_json(&object)?;
    }
    Ok(())
}

pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    ask::check(&args.decoding)?;
    let set = args.prompts.set(args.decoding.paper_compat);
    let model = args.model.model.as_deref();
    let (wish, leans) = match (&args.persona, &args.prefer) {
        (Some(file), _) => {
            let leans = persona::leans(file, model, args.decoding.strength)?;
            (persona::told(file, &leans)?, Some(leans))
        }
        (None, Some(prefer)) => (streams::preference(set, prefer, "compare")?, None),
        (None, None) => {
            let what = "compare holds answers with a preference against one without: say which, with --prefer or --persona";
            return Err(Usage(what.to_owned()).into());
        }
    };
    let conversation = Conversation {
        system: args.prompts.system(args.decoding.paper_compat, true),
        preference: Some(wish),
        question: input::question(&args.prompt)?,
        ..Conversation::default()
    };
    let methods = [
        MethodName::Base,
        MethodName::Pref,
        MethodName::La,
        MethodName::Amulet,
    ];
    let methods = methods.into_iter().filter_map(|m| args.decoding.method(m));
    let methods = methods.chain(leans.iter().map(|leans| axes::method(leans)));
    let requests: Vec<GenerateRequest> = methods
        .map(|method| ask::request(&args.decoding, conversation.clone(), method))
        .collect();
    for request in &requests {
        request.validate()?;
    }
    if let Some(engine) = there::engine(&args.engine, &args.model)? {
        return there::compare(&engine, &requests, args);
    }
    let loaded = load(&args.model)?;
    // The last one's prompts are all there are.
    let prompting = requests
        .last()
        .map(|request| loaded.session.prompting(request));
    let prompting = prompting.transpose()?.unwrap_or_default();
    notes::of_prompts(prompting);
    let mut answers = Vec::new();
    for request in &requests {
        if !args.json {
            writeln!(terminal::answer(), "{}", title(&request.method))?;
        }
        let answer = answer(&loaded, request, !args.json, &mut |_| {
            Ok(ControlFlow::Continue(()))
        })?;
        let mut object = describe(&loaded, request, &args.decoding, &answer);
        notes::record(&mut object, prompting.system);
        answers.push(object);
        if !args.json {
            let Generation {
                text,
                token_ids,
                finish_reason,
                ..
            } = &answer.generation;
            let length = length(text, token_ids.len(), Some(*finish_reason));
            writeln!(terminal::answer(), "[{length}]\n")?;
        }
    }
    if args.json {
        print_json(&json!({ "answers": answers }))?;
    }
    Ok(())
}

/// The turns of `--history`.
fn history(json: Option<&str>) -> Result<Vec<Message>, Usage> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    let json = json.strip_prefix('\u{feff}').unwrap_or(json);
    let messages: Vec<Message> = serde_json::from_str(json)
        .map_err(|error| Usage(format!("--history is no list of messages: {error}")))?;
    match in_turns(&messages) {
        true => Ok(messages),
        false => Err(Usage(
            "--history holds the user's and the assistant's messages in turns, the user's first"
                .to_owned(),
        )),
    }
}

fn beam(args: &GenerateArgs, conversation: Conversation) -> anyhow::Result<()> {
    let sampling = &args.ask.decoding.sampling;
    let refused = [
        ("--trace", args.trace.is_some()),
        ("--stop", !args.ask.stop.is_empty()),
        ("--json-schema", args.ask.json_schema.is_some()),
        ("--plausibility", sampling.plausibility > 0.0),
        ("--nucleus", sampling.nucleus < 1.0),
        ("--kl-budget", sampling.kl_budget.is_some()),
        ("--adaptive", sampling.adaptive.is_some()),
        ("--temperature", sampling.temperature != 0.0),
        ("--stream-model", !args.ask.streams.stream_model.is_empty()),
    ];
    if let Some((name, _)) = refused.into_iter().find(|(_, given)| *given) {
        return Err(Usage(format!("beam search has no {name}: leave it out")).into());
    }
    if conversation.preference.is_none() {
        return Err(DecodingError::NoPreference(MethodName::Beam).into());
    }
    let request = BeamRequest {
        conversation,
        params: args.ask.decoding.beam,
        max_new_tokens: args.ask.decoding.length.max_new_tokens,
        generation_prompt: !args.ask.decoding.paper_compat,
    };
    request.params.check_ranges()?;
    if request.max_new_tokens == 0 {
        return Err(Usage(ask::NO_TOKENS.to_owned()).into());
    }
    let best = args.ask.decoding.n_best;
    if !(1..=request.params.beams).contains(&best) {
        let most = request.params.beams;
        return Err(Usage(format!(
            "--n-best = {best} must be from 1 to --beams ({most})"
        ))
        .into());
    }
    let loaded = load(&args.ask.model)?;
    notes::of_session(&loaded.session);
    let started = Instant::now();
    let on_step = &mut async |_: usize| ControlFlow::Continue(());
    let mut found = pollster::block_on(loaded.session.beam(&request, on_step))?;
    found.truncate(best);
    let search_ms = millis(started);
    if !args.json {
        let mut out = terminal::answer();
        for (place, hypothesis) in found.iter().enumerate() {
            if best > 1 {
                writeln!(out, "--- {} (score {:.4}) ---", place + 1, hypothesis.score)?;
            }
            writeln!(out, "{}", hypothesis.generation.text)?;
        }
        return Ok(());
    }
    let hypotheses: Vec<Value> = found
        .iter()
        .map(|hypothesis| {
            json!({
                "text": hypothesis.generation.text,
                "token_ids": hypothesis.generation.token_ids,
                "finish_reason": hypothesis.generation.finish_reason,
                "log_prob": hypothesis.log_prob,
                "score": hypothesis.score,
            })
        })
        .collect();
    let Some(first) = found.first() else {
        return print_json(&json!({ "hypotheses": [] }));
    };
    let mut object = json!({
        "text": first.generation.text,
        "token_ids": first.generation.token_ids,
        "finish_reason": first.generation.finish_reason,
        "prompt_token_ids": prompts(&first.generation),
        "method": "beam",
        "strength": 0.0,
        "beams": request.params.beams,
        "length_penalty": request.params.length_penalty,
        "hypotheses": hypotheses,
        "paper_compat": args.ask.decoding.paper_compat,
        "device": loaded.session.device().info,
        "model": { "name": loaded.session.model_name(), "path": loaded.path },
        "timings": { "load_ms": loaded.load_ms, "search_ms": search_ms },
    });
    notes::record(&mut object, loaded.session.system_prompt());
    print_json(&object)
}

fn prompts(generation: &Generation) -> serde_json::Map<String, Value> {
    let prompts = generation.prompt_token_ids.iter();
    prompts
        .map(|(stream, ids)| (stream.clone(), json!(ids)))
        .collect()
}

/// The JSON object of one answer.
fn describe(
    loaded: &Loaded,
    request: &GenerateRequest,
    decoding: &DecodingArgs,
    answer: &Answer,
) -> Value {
    let generation = &answer.generation;
    let mut object = json!({
        "text": generation.text,
        "token_ids": generation.token_ids,
        "finish_reason": generation.finish_reason,
        "prompt_token_ids": prompts(generation),
        "method": request.method.name(),
        "strength": request.method.strength(),
        "strengths": generation.strengths,
        "plausibility": decoding.sampling.plausibility,
        "paper_compat": decoding.paper_compat,
        "device": loaded.session.device().info,
        "model": { "name": loaded.session.model_name(), "path": loaded.path },
        "timings": {
            "load_ms": loaded.load_ms,
            "prefill_ms": answer.prefill_ms,
            "decode_ms": answer.decode_ms,
            "tokens_per_second": answer.tokens_per_second(),
        },
    });
    if decoding.sampling.kl_budget.is_some() {
        object["kl"] = json!(generation.kl);
    }
    object
}
