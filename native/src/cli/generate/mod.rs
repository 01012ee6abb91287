//! `periapt generate` and `periapt compare`.

mod there;

use super::args::{CompareArgs, DecodingArgs, GenerateArgs, ModelArgs};
use super::trace::Recorder;
use super::{Loaded, Usage, input, load, millis, notes, print_json, streams};
use crate::say;
use crate::store;
use crate::terminal;
use periapt_core::decoding::streams::{StreamPreference, in_turns};
use periapt_core::decoding::{Conversation, DecodingError, Method, MethodName};
use periapt_core::session::{BeamRequest, Event, FinishReason, GenerateRequest, Generation};
use periapt_core::text::Message;
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Where an answer must have a token.
pub const NO_TOKENS: &str =
    "--max-new-tokens must be at least 1 here: there is nothing to choose among";

/// An answer, with what it took.
struct Answer {
    generation: Generation,
    prefill_ms: f64,
    decode_ms: f64,
}

pub fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    check(&args.decoding)?;
    there::check(args)?;
    let mut preferences = streams::preferences(&args.prefer)?;
    let weighted = preferences
        .iter()
        .any(|preference| preference.weight.is_some());
    for preference in preferences.iter().filter(|p| p.weight == Some(0.0)) {
        crate::terminal::say(&format!(
            "--prefer {:?} has the weight 0, and no effect",
            preference.text
        ));
    }
    let several = preferences.len() > 1 || !args.streams.stream.is_empty();
    let guided = several || (weighted && args.method.is_none());
    let mut decoding = args.decoding.clone();
    let method = match (args.method, args.prefer.len()) {
        (Some(method), _) => method,
        _ if guided => MethodName::Guidance,
        (None, 0) => MethodName::Base,
        // What was measured is this machine's models'.
        (None, _) if args.engine.engine.is_some() => MethodName::Amulet,
        (None, _) => recommended(&args.model, &mut decoding)?,
    };
    if several && method != MethodName::Guidance {
        let what = "several --prefer, and --stream, go with --method guidance alone";
        return Err(Usage(what.to_owned()).into());
    }
    let compat = args.decoding.paper_compat;
    let set = args.prompts.set(compat);
    let preference = match method {
        // Its streams have their own.
        MethodName::Guidance => None,
        _ => {
            let own = preferences.pop();
            let text = own.map(|own| streams::unweighted(own, "every --method but guidance"));
            text.transpose()?.map(|text| set.instruction(&text))
        }
    };
    let mut conversation = Conversation {
        system: args.prompts.system(compat, preference.is_some()),
        preference,
        earlier: history(args.history.as_deref())?,
        question: input::question(&args.prompt)?,
    };
    if method == MethodName::Beam {
        return beam(args, conversation);
    }
    let mut method = match decoding.method(method) {
        Some(method) => method,
        None => Method::Guidance(streams::streams(set, &preferences, &args.streams)?),
    };
    if let Method::Guidance(streams) = &method {
        // What the streams wish for is theirs; that there is a wish at all decides which system prompt is taken.
        let wishes = streams
            .iter()
            .any(|stream| stream.preference != StreamPreference::None);
        conversation.preference = wishes.then(String::new);
        conversation.system = args.prompts.system(compat, wishes);
    }
    streams::stream_models(&method, &args.streams)?;
    let mut request = request(&decoding, conversation, method.clone());
    request.fold_where_wished();
    request.stop.clone_from(&args.stop);
    request.json_schema = args.json_schema.as_deref().map(schema).transpose()?;
    request.trace = args.trace.as_ref().map(|_| args.trace_top);
    request.validate()?;
    if let Some(engine) = there::engine(&args.engine, &args.model)? {
        return there::generate(&engine, &request, args);
    }
    let mut recorder = args.trace.as_deref().map(Recorder::create).transpose()?;
    let mut loaded = load(&args.model)?;
    streams::attach(&mut loaded.session, &mut method, &args.model, &args.streams)?;
    request.method = method;
    let prompting = loaded.session.prompting(&request)?;
    notes::of_prompts(prompting);
    if let Some(recorder) = &mut recorder {
        recorder.begin(&loaded, &request, prompting)?;
    }
    let answer = answer(&loaded, &request, !args.json, recorder.as_mut())?;
    if args.json {
        let mut object = describe(&loaded, &request, &decoding, &answer);
        notes::record(&mut object, prompting.system);
        print_json(&object)?;
    }
    Ok(())
}

/// The method for a preference where none is named: what was measured to suit the model, with its strength and guard; else
/// amulet. Where the arguments say how to lean, that counts.
fn recommended(model: &ModelArgs, decoding: &mut DecodingArgs) -> anyhow::Result<MethodName> {
    let known = match decoding.leans() {
        true => None,
        false => store::known(model.model.as_deref())?,
    };
    let Some((spec, suits)) = known.and_then(|spec| Some((spec, spec.recommended?))) else {
        return Ok(MethodName::Amulet);
    };
    decoding.strength.strength = suits.strength;
    decoding.sampling.plausibility = suits.plausibility;
    say!(
        "{} at k = {}, plausibility {}: what was measured to suit {} (--method amulet: the paper's own)",
        suits.method,
        decoding
            .method(suits.method)
            .map_or(0.0, |method| method.strength()),
        suits.plausibility,
        spec.name
    );
    Ok(suits.method)
}

pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    check(&args.decoding)?;
    let set = args.prompts.set(args.decoding.paper_compat);
    let conversation = Conversation {
        system: args.prompts.system(args.decoding.paper_compat, true),
        preference: Some(streams::preference(set, &args.prefer, "compare")?),
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
    let requests: Vec<GenerateRequest> = methods
        .map(|method| request(&args.decoding, conversation.clone(), method))
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
        let method = &request.method;
        if !args.json {
            heading(method)?;
        }
        let answer = answer(&loaded, request, !args.json, None)?;
        let mut object = describe(&loaded, request, &args.decoding, &answer);
        notes::record(&mut object, prompting.system);
        answers.push(object);
        if !args.json {
            let generation = &answer.generation;
            let tokens = generation.token_ids.len();
            let length = length(&generation.text, tokens, generation.finish_reason);
            writeln!(terminal::answer(), "[{length}]\n")?;
        }
    }
    if args.json {
        print_json(&json!({ "answers": answers }))?;
    }
    Ok(())
}

/// What goes before a method's answer.
fn heading(method: &Method) -> std::io::Result<()> {
    let (mut out, name) = (terminal::answer(), method.name());
    match method {
        Method::Base | Method::Pref => writeln!(out, "--- {name} ---"),
        _ => writeln!(out, "--- {name} (k = {:.4}) ---", method.strength()),
    }
}

/// How long an answer is, in words.
fn length(text: &str, tokens: usize, finish_reason: FinishReason) -> String {
    let words = text.split_whitespace().count();
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let cut = match finish_reason {
        FinishReason::Length => ", cut at the limit",
        _ => "",
    };
    format!("{}, {}{cut}", many(words, "word"), many(tokens, "token"))
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

/// Refuses what contradicts itself, and says what `--paper-compat` does; `core/src/decoding/method.rs` has what it doesn't.
pub fn check(decoding: &DecodingArgs) -> Result<(), Usage> {
    if decoding.paper_compat {
        if decoding.sampling.temperature != 0.0 {
            let what = "--paper-compat takes the best token, as the paper's code does: leave --temperature out";
            return Err(Usage(what.to_owned()));
        }
        say!(
            "paper-compat: no generation prompt, and the best token at each step, as in the paper's code for la and amulet"
        );
    }
    Ok(())
}

/// One conversation's request, with the settings of the command line.
fn request(decoding: &DecodingArgs, conversation: Conversation, method: Method) -> GenerateRequest {
    GenerateRequest {
        conversations: vec![conversation],
        method,
        sampling: decoding.sampling,
        max_new_tokens: decoding.length.max_new_tokens,
        generation_prompt: !decoding.paper_compat,
        ..GenerateRequest::default()
    }
}

/// Reads a JSON schema.
fn schema(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Usage(format!(
            "cannot read --json-schema {}: {error}",
            path.display()
        ))
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Usage(format!(
            "--json-schema {} is no JSON: {error}",
            path.display()
        ))
        .into()
    })
}

fn beam(args: &GenerateArgs, conversation: Conversation) -> anyhow::Result<()> {
    let sampling = &args.decoding.sampling;
    let refused = [
        ("--trace", args.trace.is_some()),
        ("--stop", !args.stop.is_empty()),
        ("--json-schema", args.json_schema.is_some()),
        ("--plausibility", sampling.plausibility > 0.0),
        ("--nucleus", sampling.nucleus < 1.0),
        ("--kl-budget", sampling.kl_budget.is_some()),
        ("--adaptive", sampling.adaptive.is_some()),
        ("--temperature", sampling.temperature != 0.0),
        ("--stream-model", !args.streams.stream_model.is_empty()),
    ];
    if let Some((name, _)) = refused.into_iter().find(|(_, given)| *given) {
        return Err(Usage(format!("beam search has no {name}: leave it out")).into());
    }
    if conversation.preference.is_none() {
        return Err(DecodingError::NoPreference(MethodName::Beam).into());
    }
    let request = BeamRequest {
        conversation,
        params: args.decoding.beam,
        max_new_tokens: args.decoding.length.max_new_tokens,
        generation_prompt: !args.decoding.paper_compat,
    };
    request.params.check_ranges()?;
    if request.max_new_tokens == 0 {
        return Err(Usage(NO_TOKENS.to_owned()).into());
    }
    let best = args.decoding.n_best;
    if !(1..=request.params.beams).contains(&best) {
        let most = request.params.beams;
        return Err(Usage(format!(
            "--n-best = {best} must be from 1 to --beams ({most})"
        ))
        .into());
    }
    let loaded = load(&args.model)?;
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
        "paper_compat": args.decoding.paper_compat,
        "device": loaded.session.device().info,
        "model": { "name": loaded.session.model_name(), "path": loaded.path },
        "timings": { "load_ms": loaded.load_ms, "search_ms": search_ms },
    });
    notes::record(&mut object, loaded.session.system_prompt());
    print_json(&object)
}

/// Generates, streaming the text to stdout where `stream` is set. A reader that hangs up ends
/// the generation.
fn answer(
    loaded: &Loaded,
    request: &GenerateRequest,
    stream: bool,
    mut recorder: Option<&mut Recorder>,
) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let mut prefilled = None;
    let mut written = Ok(());
    let mut out = terminal::answer();
    let on_event = &mut async |event: Event<'_>| {
        if let Event::Token { text, trace, .. } = event {
            // The first token comes with the prefill's own logits.
            prefilled.get_or_insert_with(Instant::now);
            if stream && !text.is_empty() {
                written = write!(out, "{text}")
                    .and_then(|()| out.flush())
                    .map_err(anyhow::Error::from);
            }
            if let (Some(recorder), Some(trace), Ok(())) = (&mut recorder, trace, &written) {
                written = recorder.token(text, trace);
            }
        }
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let generation = pollster::block_on(loaded.session.generate(request, on_event))?.remove(0);
    let decode_ms = prefilled.map_or(0.0, millis);
    written?;
    if stream {
        writeln!(out)?;
    }
    if let Some(recorder) = recorder {
        recorder.end(&generation)?;
    }
    Ok(Answer {
        generation,
        prefill_ms: millis(started) - decode_ms,
        decode_ms,
    })
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
    let Answer {
        generation,
        prefill_ms,
        decode_ms,
    } = answer;
    // Steps after the one whose logits the prefill gave.
    let steps = generation.token_ids.len().saturating_sub(1) as f64;
    let tokens_per_second = match *decode_ms > 0.0 {
        true => steps / decode_ms * 1e3,
        false => 0.0,
    };
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
            "prefill_ms": prefill_ms,
            "decode_ms": decode_ms,
            "tokens_per_second": tokens_per_second,
        },
    });
    if decoding.sampling.kl_budget.is_some() {
        object["kl"] = json!(generation.kl);
    }
    object
}
