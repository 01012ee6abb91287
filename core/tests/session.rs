//! Sessions on a tiny model: beam search against a plain one, batches, several models at once, scores.

use crate::tiny::{Tiny, VOCAB};
use periapt_core::decoding::beam::BeamParams;
use periapt_core::decoding::streams::{Stream, StreamPreference};
use periapt_core::decoding::{Adaptive, AmuletParams, Conversation, Method, Sampling};
use periapt_core::device::{self, DeviceChoice};
use periapt_core::formats::gguf::Value;
use periapt_core::model::KvType;
use periapt_core::session::{
    BeamRequest, Counts, Event, FinishReason, GenerateRequest, Generation, Hypothesis, Scheduler,
};
use periapt_core::text::{Message, Role, SystemPrompt};
use periapt_core::tpo::{Generator, Local, WriteEvent, WriteRequest};
use periapt_core::{Error, Session};
use serde_json::json;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

const END: u32 = 0;

pub fn load(tiny: &Tiny, choice: DeviceChoice) -> Option<Session> {
    let device = match pollster::block_on(device::open(choice)) {
        Ok(device) => device,
        Err(error) => {
            assert!(std::env::var_os("PERIAPT_REQUIRE_ALL").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            return None;
        }
    };
    let mut session =
        Session::load(&mut Cursor::new(tiny.file()), &device, &mut |_, _| {}).unwrap();
    session.kv = KvType::F32;
    Some(session)
}

pub fn conversation(question: &str) -> Conversation {
    Conversation {
        system: Some("Be {preference}".to_owned()),
        preference: Some("brief".to_owned()),
        question: question.to_owned(),
        ..Conversation::default()
    }
}

fn generate(session: &Session, request: &GenerateRequest) -> Vec<Generation> {
    let on_event = &mut async |_: Event<'_>| ControlFlow::Continue(());
    pollster::block_on(session.generate(request, on_event)).unwrap()
}

fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|l| (l - highest).exp()).sum();
    logits.iter().map(|l| l - highest - sum.ln()).collect()
}

/// A beam search as plainly as it can be written: every beam's whole text goes through the model at every step.
fn plain_beam(
    session: &Session,
    prompt: &[u32],
    params: BeamParams,
    most: usize,
) -> Vec<(Vec<u32>, f32)> {
    let rank = |sum: f32, length: usize| sum / (length as f32).powf(params.length_penalty as f32);
    let mut live: Vec<(Vec<u32>, f32)> = vec![(Vec::new(), 0.0)];
    let mut ended: Vec<(Vec<u32>, f32)> = Vec::new();
    for length in 1..=most {
        let mut next = Vec::new();
        for (tokens, sum) in &live {
            let ids = [prompt, tokens].concat();
            let logits = pollster::block_on(session.next_logits(&ids)).unwrap();
            for (id, own) in log_softmax(&logits).into_iter().enumerate() {
                next.push(([&tokens[..], &[id as u32]].concat(), sum + own));
            }
        }
        next.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best = next[0].1;
        let in_front: Vec<_> = next[..params.beams.min(next.len())]
            .iter()
            .filter(|(tokens, _)| tokens.last() == Some(&END))
            .cloned()
            .collect();
        ended.extend(in_front);
        ended.sort_by(|a, b| rank(b.1, b.0.len()).total_cmp(&rank(a.1, a.0.len())));
        ended.truncate(params.beams);
        next.truncate(2 * params.beams);
        next.retain(|(tokens, _)| tokens.last() != Some(&END));
        next.truncate(params.beams);
        live = next;
        if ended.len() == params.beams {
            let (tokens, sum) = ended.last().unwrap();
            if rank(*sum, tokens.len()) >= rank(best, length) {
                live.clear();
            }
        }
        if live.is_empty() {
            break;
        }
    }
    ended.extend(live);
    ended.sort_by(|a, b| rank(b.1, b.0.len()).total_cmp(&rank(a.1, a.0.len())));
    ended.truncate(params.beams);
    ended
}

fn beam(session: &Session, params: BeamParams, most: usize) -> Vec<Hypothesis> {
    let request = BeamRequest {
        conversation: conversation("Why?"),
        params,
        max_new_tokens: most,
        generation_prompt: true,
    };
    let on_step = &mut async |_: usize| ControlFlow::Continue(());
    pollster::block_on(session.beam(&request, on_step)).unwrap()
}

#[test]
fn beam_search_equals_a_plain_one() {
    const NEAR: f64 = 1e-3;
    let mut stopped = 0;
    for seed in [1, 2] {
        let tiny = Tiny::new(seed);
        let Some(reference) = load(&tiny, DeviceChoice::Cpu) else {
            return;
        };
        let prompt = reference
            .encode_chat(&conversation("Why?").messages(&Stream::pref()))
            .unwrap();
        for (beams, length_penalty, most) in
            [(1, 1.0, 8), (3, 0.0, 10), (16, 1.0, 10), (60, 2.0, 3)]
        {
            let params = BeamParams {
                beams,
                length_penalty,
            };
            let want = plain_beam(&reference, &prompt, params, most);
            for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
                let Some(session) = load(&tiny, choice) else {
                    continue;
                };
                let got = beam(&session, params, most);
                let what = format!("seed {seed} {params:?} on {choice:?}");
                assert_eq!(got.len(), want.len(), "{what}");
                for (place, (got, (tokens, sum))) in got.iter().zip(&want).enumerate() {
                    let sum = f64::from(*sum);
                    assert!(
                        (got.log_prob - sum).abs() < NEAR,
                        "{what}: {} {sum}",
                        got.log_prob
                    );
                    let score = sum / (tokens.len() as f64).powf(length_penalty);
                    assert!((got.score - score).abs() < NEAR, "{what}");
                    // Neighbours of nearly the same score may change places, and nothing else may.
                    let ids = &got.generation.token_ids;
                    let near = want.iter().any(|(other, other_sum)| {
                        other == ids && (f64::from(*other_sum) - sum).abs() < NEAR
                    });
                    assert!(
                        ids == tokens || near,
                        "{what}, place {place}: {ids:?} {tokens:?}"
                    );
                    let ended = ids.last() == Some(&END);
                    assert_eq!(got.generation.finish_reason == FinishReason::Stop, ended);
                    stopped += usize::from(ended);
                }
            }
        }
    }
    assert!(stopped > 10, "only {stopped} answers ended by themselves");
}

/// Answers of different lengths leave the batch one after the other, and each is what it is alone.
#[test]
fn an_answer_does_not_feel_its_batch() {
    let questions = [
        "Why?",
        "Who are you, then?",
        "A",
        "What is it that makes the sky blue?",
        "!",
        "So",
    ];
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(session) = load(&Tiny::new(5), choice) else {
            continue;
        };
        for method in [Method::LinearAlignment { strength: 1.5 }, Method::Pref] {
            let request = GenerateRequest {
                conversations: questions.iter().map(|q| conversation(q)).collect(),
                first: 7,
                method,
                sampling: Sampling {
                    temperature: 1.5,
                    seed: 3,
                    kl_budget: Some(0.2),
                    ..Sampling::default()
                },
                max_new_tokens: 150,
                ..GenerateRequest::default()
            };
            let together = generate(&session, &request);
            let lengths: Vec<usize> = together.iter().map(|g| g.token_ids.len()).collect();
            let ended = together
                .iter()
                .filter(|g| g.finish_reason == FinishReason::Stop);
            assert!(ended.count() >= 3, "{lengths:?}");
            for (place, answer) in together.iter().enumerate() {
                let alone = GenerateRequest {
                    conversations: vec![conversation(questions[place])],
                    first: 7 + place as u32,
                    ..request.clone()
                };
                let alone = generate(&session, &alone).remove(0);
                assert_eq!(
                    answer.token_ids, alone.token_ids,
                    "{choice:?} {place} of {lengths:?}"
                );
                assert_eq!(answer.text, alone.text);
            }
        }
    }
}

#[test]
fn several_models_and_prompts_make_one_answer() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let (Some(mut session), Some(other)) =
            (load(&Tiny::new(1), choice), load(&Tiny::new(2), choice))
        else {
            continue;
        };
        let stream = |name: &str, wish: &str, weight, model| Stream {
            name: name.to_owned(),
            system: Some(format!("You are {name}.")),
            preference: StreamPreference::Text(wish.to_owned()),
            weight,
            model,
        };
        let streams = vec![
            stream("large", "kind", 1.0, 0),
            stream("expert", "wise", 0.75, 1),
            stream("mean", "rude", -0.5, 0),
            stream("amateur", "dull", -0.25, 1),
        ];
        // The weighted sum by hand, over the whole text at every step.
        let plain = Conversation {
            question: "Why?".to_owned(),
            ..Conversation::default()
        };
        let mut want: Vec<u32> = Vec::new();
        for _ in 0..12 {
            let mut sum = vec![0.0; VOCAB];
            for stream in &streams {
                let model = if stream.model == 0 { &session } else { &other };
                let mut ids = model.encode_chat(&plain.messages(stream)).unwrap();
                ids.extend(&want);
                let logits = pollster::block_on(model.next_logits(&ids)).unwrap();
                for (sum, logit) in sum.iter_mut().zip(logits) {
                    *sum += stream.weight * f64::from(logit);
                }
            }
            let best = (0..VOCAB).max_by(|a, b| sum[*a].total_cmp(&sum[*b]).then(b.cmp(a)));
            want.push(best.unwrap() as u32);
            if want.last() == Some(&END) {
                break;
            }
        }
        assert_eq!(session.attach(other).unwrap(), 1);
        let request = GenerateRequest {
            // Two answers, so that rows are not in order by chance.
            conversations: vec![plain.clone(), plain],
            method: Method::Guidance(streams),
            max_new_tokens: 12,
            ..GenerateRequest::default()
        };
        for answer in generate(&session, &request) {
            assert_eq!(answer.token_ids, want, "{choice:?}");
            let names: Vec<&str> = answer
                .prompt_token_ids
                .iter()
                .map(|p| p.0.as_str())
                .collect();
            assert_eq!(names, ["large", "expert", "mean", "amateur"]);
        }
    }
}

/// A nucleus of the best token alone is pref's greedy answer, one of all is none at all; the adaptive strength is k times the
/// divergence of the two streams as the trace has them, and what needs two prompts says so.
#[test]
fn a_nucleus_narrows_to_pref_and_the_adaptive_strength_is_traced() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(session) = load(&Tiny::new(5), choice) else {
            continue;
        };
        let amulet = Method::Amulet(AmuletParams::default());
        let request = |method: &Method, sampling: Sampling| GenerateRequest {
            conversations: ["Why?", "How so?"].map(conversation).to_vec(),
            method: method.clone(),
            sampling,
            max_new_tokens: 24,
            ..GenerateRequest::default()
        };
        let none = Sampling::default();
        let ids = |method: &Method, sampling: Sampling| -> Vec<Vec<u32>> {
            let answers = generate(&session, &request(method, sampling)).into_iter();
            answers.map(|answer| answer.token_ids).collect()
        };
        let nucleus = |nucleus| Sampling { nucleus, ..none };
        let (pref, full) = (ids(&Method::Pref, none), ids(&amulet, none));
        assert_ne!(pref, full, "{choice:?}: the test needs answers that differ");
        assert_eq!(ids(&amulet, nucleus(1e-6)), pref, "{choice:?}");
        assert_eq!(ids(&amulet, nucleus(1.0)), full, "{choice:?}");
        assert_eq!(ids(&Method::Pref, nucleus(0.5)), pref, "{choice:?}");

        let adaptive = Sampling {
            adaptive: Some(Adaptive::Jsd),
            ..none
        };
        let traced = GenerateRequest {
            trace: Some(VOCAB),
            ..request(&amulet, adaptive)
        };
        let mut strengths: Vec<f64> = Vec::new();
        let on_event = &mut async |event: Event<'_>| {
            if let Event::Token { k, trace, .. } = event {
                let trace = trace.unwrap();
                let mut pairs = vec![[0.0f64; 2]; VOCAB];
                for (at, stream) in ["pref", "base"].iter().enumerate() {
                    for token in &trace.top[*stream] {
                        pairs[token.id as usize][at] = token.log_prob.exp();
                    }
                }
                let half = |at: usize| -> f64 {
                    let terms = pairs.iter().filter(|pair| pair[at] > 0.0);
                    terms
                        .map(|pair| pair[at] * (2.0 * pair[at] / (pair[0] + pair[1])).log2())
                        .sum()
                };
                let want = amulet.strength() * (half(0) + half(1)) / 2.0;
                assert!((k - want).abs() < 1e-4, "{choice:?}: {k}, wanted {want}");
                assert_eq!(trace.k, k);
                strengths.push(k);
            }
            ControlFlow::Continue(())
        };
        pollster::block_on(session.generate(&traced, on_event)).unwrap();
        let highest = strengths.iter().copied().fold(0.0, f64::max);
        assert!(highest > 0.0 && highest < amulet.strength(), "{highest}");
        assert!(
            strengths.iter().any(|k| *k < 0.9 * highest),
            "{strengths:?}"
        );

        let three = ["a", "b", "c"].map(|name| Stream {
            name: name.to_owned(),
            ..Stream::pref()
        });
        let three = request(&Method::Guidance(three.to_vec()), adaptive);
        let error = three.validate().unwrap_err().to_string();
        assert!(error.contains("two prompts, and there are 3"), "{error}");
    }
}

#[test]
fn another_vocabulary_is_refused_by_its_first_difference() {
    let Some(mut session) = load(&Tiny::new(1), DeviceChoice::Cpu) else {
        return;
    };
    let mut tiny = Tiny::new(2);
    for (key, value) in &mut tiny.metadata {
        if let (true, Value::Array(periapt_core::formats::gguf::Array::Strings(tokens))) =
            (key == "tokenizer.ggml.tokens", value)
        {
            tokens.swap(5, 6);
        }
    }
    let other = load(&tiny, DeviceChoice::Cpu).unwrap();
    let error = session.attach(other).unwrap_err();
    assert!(matches!(error, Error::OtherVocabulary { .. }), "{error}");
    assert!(error.to_string().contains("token 5"), "{error}");
    let request = GenerateRequest {
        conversations: vec![conversation("Why?")],
        method: Method::Guidance(vec![Stream {
            model: 1,
            ..Stream::base()
        }]),
        ..GenerateRequest::default()
    };
    let on_event = &mut async |_: Event<'_>| ControlFlow::Continue(());
    let error = pollster::block_on(session.generate(&request, on_event)).unwrap_err();
    assert!(matches!(error, Error::NoCompanion(1)), "{error}");
}

/// Scores against sums by hand over each token's own forward pass; prompts share pages, and long ones pass the chunk.
#[test]
fn scores_equal_token_by_token_ones() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(session) = load(&Tiny::new(9), choice) else {
            continue;
        };
        let long = "a long preference with many words in it ".repeat(6);
        let conversations: Vec<Conversation> = ["brief", long.as_str()]
            .iter()
            .map(|preference| Conversation {
                system: None,
                preference: Some((*preference).to_owned()),
                question: "Why?".to_owned(),
                ..Conversation::default()
            })
            .collect();
        let answers = ["No.", &"Because of this and that. ".repeat(5)];
        let answers = answers.map(|text| session.encode_answer(text).unwrap());
        // Every answer to every conversation: rows that share a prompt, and rows that share little.
        let pairs: Vec<(&Conversation, &[u32])> = conversations
            .iter()
            .flat_map(|conversation| {
                answers
                    .iter()
                    .map(move |answer| (conversation, &answer[..]))
            })
            .collect();
        let together = pollster::block_on(session.score_all(&pairs)).unwrap();
        assert_eq!(together.len(), pairs.len());
        for (&(conversation, answer), got) in pairs.iter().zip(together) {
            let alone = pollster::block_on(session.score_all(&[(conversation, answer)])).unwrap();
            assert!(
                (alone[0].preference_score - got.preference_score).abs() < 1e-4,
                "{choice:?}"
            );
            assert!(
                (alone[0].base_perplexity / got.base_perplexity - 1.0).abs() < 1e-4,
                "{choice:?}"
            );
            assert!(
                (alone[0].pref_perplexity / got.pref_perplexity - 1.0).abs() < 1e-4,
                "{choice:?}"
            );
            let mean = |stream: &Stream| {
                let mut ids = session.encode_chat(&conversation.messages(stream)).unwrap();
                let mut sum = 0.0;
                for id in answer {
                    let logits = pollster::block_on(session.next_logits(&ids)).unwrap();
                    sum += f64::from(log_softmax(&logits)[*id as usize]);
                    ids.push(*id);
                }
                sum / answer.len() as f64
            };
            let (base, pref) = (mean(&Stream::base()), mean(&Stream::pref()));
            let near = |got: f64, want: f64| (got - want).abs() < 1e-3 * want.abs().max(1.0);
            assert!(
                near(got.preference_score, pref - base),
                "{got:?} {pref} {base}"
            );
            assert!(near(got.base_perplexity, (-base).exp()), "{got:?} {base}");
            assert!(near(got.pref_perplexity, (-pref).exp()), "{got:?} {pref}");
            assert_eq!(got.tokens, answer.len());
        }
        let empty: [(&Conversation, &[u32]); 2] = [pairs[0], (&conversations[0], &[])];
        assert!(pollster::block_on(session.score_all(&empty)).is_err());
        assert!(
            pollster::block_on(session.score_all(&[]))
                .unwrap()
                .is_empty()
        );
    }
}

/// Logits of a few tokens after many prompts, against one prompt at a time.
#[test]
fn next_logits_of_many_prompts_equal_those_of_each() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(session) = load(&Tiny::new(5), choice) else {
            continue;
        };
        let prompt = |length: u32, end: u32| -> Vec<u32> {
            (0..length).map(|i| 2 + i % 7).chain([end]).collect()
        };
        let prompts = [
            prompt(200, 3),
            prompt(300, 4),
            prompt(200, 3),
            prompt(1, 5),
            prompt(200, 6),
        ];
        let tokens = [4, 1, 7];
        let got = pollster::block_on(session.next_logits_of(&prompts, &tokens)).unwrap();
        assert_eq!(got.len(), prompts.len());
        for (prompt, got) in prompts.iter().zip(got) {
            let all = pollster::block_on(session.next_logits(prompt)).unwrap();
            for (token, got) in tokens.iter().zip(got) {
                let want = all[*token as usize];
                assert!(
                    (got - want).abs() < 1e-4,
                    "{choice:?}: {got}, wanted {want}"
                );
            }
        }
        let far = [prompt(3, 1 << 20)];
        assert!(pollster::block_on(session.next_logits_of(&far, &tokens)).is_err());
    }
}

/// A batch of equal prompts is one prompt's prefill, and each answer is its own.
#[test]
fn equal_prompts_are_computed_once() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(session) = load(&Tiny::new(6), choice) else {
            continue;
        };
        // The prompt's last page is whole at one of these, and in the middle at the others.
        for words in 0..4 {
            let question = format!("Why{}?", " is it".repeat(words * 5));
            let request = |answers: usize, first: u32| GenerateRequest {
                conversations: vec![conversation(&question); answers],
                first,
                method: Method::Pref,
                sampling: Sampling {
                    temperature: 1.0,
                    seed: 3,
                    ..Sampling::default()
                },
                max_new_tokens: 80,
                ..GenerateRequest::default()
            };
            let mut total = 0;
            let on_event = &mut async |event: Event<'_>| {
                if let Event::Prefill { total: tokens, .. } = event {
                    total = tokens;
                }
                ControlFlow::Continue(())
            };
            let batch = pollster::block_on(session.generate(&request(4, 0), on_event)).unwrap();
            assert_eq!(total, batch[0].prompt_token_ids[0].1.len());
            for (number, answer) in batch.iter().enumerate() {
                let alone = generate(&session, &request(1, number as u32));
                assert_eq!(alone[0].token_ids, answer.token_ids, "{choice:?}, {words}");
            }
        }
    }
}

/// A chat of five turns: each reads its new tokens alone and the rest of a page a stream, and is answered as by a session that
/// keeps nothing, however little may be kept, and also after turns that were broken off.
#[test]
fn a_later_turn_reads_what_is_new() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(cold) = load(&Tiny::new(6), choice) else {
            continue;
        };
        let page = 4 * 64 * 2 * 2 * 16 * 2;
        for (keeps, method) in [
            (1 << 20, Method::Base),
            (1 << 20, Method::LinearAlignment { strength: 2.0 }),
            (12 * page, Method::LinearAlignment { strength: 2.0 }),
            (page, Method::Pref),
        ] {
            // What may be kept is no matter of the device.
            if choice == DeviceChoice::Gpu && keeps != 12 * page {
                continue;
            }
            let mut warm = load(&Tiny::new(6), choice).unwrap();
            warm.keeps = keeps;
            let mut chat = conversation("Why is it so?");
            let mut before = 0;
            for turn in 0..5 {
                let request = |most: usize| GenerateRequest {
                    conversations: vec![chat.clone()],
                    method: method.clone(),
                    sampling: Sampling {
                        temperature: 0.7,
                        seed: turn,
                        ..Sampling::default()
                    },
                    max_new_tokens: most,
                    ..GenerateRequest::default()
                };
                // Broken off while it reads, and while it answers.
                for most in 0..2 {
                    let on_event = &mut async |event: Event<'_>| match event {
                        Event::Prefill { .. } if most == 1 => ControlFlow::Continue(()),
                        _ => ControlFlow::Break(()),
                    };
                    let request = request(1 + most);
                    let broken = warm.generate(&request, on_event);
                    assert!(pollster::block_on(broken).is_ok());
                }
                let mut read = 0;
                let on_event = &mut async |event: Event<'_>| {
                    if let Event::Prefill { total, .. } = event {
                        read = total;
                    }
                    ControlFlow::Continue(())
                };
                let answer = pollster::block_on(warm.generate(&request(30), on_event)).unwrap();
                let want = generate(&cold, &request(30));
                assert_eq!(answer, want, "{choice:?}, {keeps}, {method:?}, turn {turn}");
                let prompts = &answer[0].prompt_token_ids;
                let all: usize = prompts.iter().map(|(_, ids)| ids.len()).sum();
                // A turn that was broken off has read all but the rest of a page; the first was, too.
                if keeps == 1 << 20 {
                    assert!(read <= 64 * prompts.len(), "{read} of {all}");
                    assert!(all > before);
                }
                before = all;
                let text = answer[0].text.clone();
                chat.earlier.extend(
                    [(Role::User, chat.question.clone()), (Role::Assistant, text)]
                        .map(|(role, content)| Message { role, content }),
                );
                chat.question = "And why is that? ".repeat(4);
            }
        }
    }
}

/// Whatever the strength, the guard and the draw: what ends is JSON of the schema, and what does not end may become it.
#[test]
fn an_answer_keeps_to_its_schema() {
    let schema = json!({
        "type": "object",
        "properties": {
            "mood": { "enum": ["calm", "sad"] },
            "rank": { "type": "integer", "minimum": 1, "maximum": 40 },
            "sure": { "type": "boolean" },
        },
        "required": ["mood", "rank", "sure"],
        "additionalProperties": false,
    });
    for choice in [DeviceChoice::Cpu, DeviceChoice::Gpu] {
        let Some(session) = load(&Tiny::new(6), choice) else {
            continue;
        };
        let request =
            |method: Method, plausibility: f64, schema: &serde_json::Value| GenerateRequest {
                conversations: vec![conversation("Why?"); 4],
                method,
                sampling: Sampling {
                    temperature: 1.5,
                    plausibility,
                    seed: 7,
                    ..Sampling::default()
                },
                max_new_tokens: 60,
                json_schema: Some(schema.clone()),
                ..GenerateRequest::default()
            };
        for (method, plausibility) in [
            (Method::Base, 0.0),
            (Method::Pref, 0.5),
            (Method::LinearAlignment { strength: 60.0 }, 0.0),
            (Method::Amulet(AmuletParams::default()), 0.9),
        ] {
            let said = format!("{choice:?}, {method:?}");
            let request = request(method, plausibility, &schema);
            let answers = generate(&session, &request);
            for Generation {
                text,
                finish_reason,
                ..
            } in &answers
            {
                assert_eq!(*finish_reason, FinishReason::Stop, "{said}: {text}");
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                let fields = value.as_object().unwrap();
                assert_eq!(fields.len(), 3, "{said}: {text}");
                assert!(["calm", "sad"].contains(&fields["mood"].as_str().unwrap()));
                assert!((1..=40).contains(&fields["rank"].as_u64().unwrap()));
                assert!(fields["sure"].is_boolean());
            }
            // The same among others.
            let mut scheduler = Scheduler::new(&session, 1 << 20).unwrap();
            scheduler.submit(request).unwrap();
            let mut texts = vec![String::new(); 4];
            while !scheduler.is_idle() {
                pollster::block_on(scheduler.advance(&mut |_, event| {
                    if let Event::Done { answer, generation } = event {
                        texts[answer].clone_from(&generation.text);
                    }
                }))
                .unwrap();
            }
            assert!(
                answers.iter().map(|answer| &answer.text).eq(&texts),
                "{said}"
            );
        }
        // What is wrong is said before anything is answered.
        for wrong in [
            json!({ "type": "nothing" }),
            json!({ "$ref": "#/gone" }),
            json!(5),
        ] {
            let request = request(Method::Base, 0.0, &wrong);
            let on_event = &mut async |_: Event<'_>| ControlFlow::Continue(());
            let error = pollster::block_on(session.generate(&request, on_event)).unwrap_err();
            assert!(matches!(error, Error::Schema(_)), "{error}");
        }
    }
}

/// What requests together have read, an answer alone goes on from, and the other way round.
#[test]
fn a_scheduler_has_the_cache_of_its_session() {
    let Some(mut session) = load(&Tiny::new(6), DeviceChoice::Cpu) else {
        return;
    };
    session.keeps = 1 << 20;
    let request = GenerateRequest {
        conversations: vec![conversation(&"Why is that? ".repeat(20))],
        max_new_tokens: 4,
        ..GenerateRequest::default()
    };
    let together = |session: &Session| {
        let mut scheduler = Scheduler::new(session, session.keeps).unwrap();
        scheduler.submit(request.clone()).unwrap();
        let mut text = String::new();
        while !scheduler.is_idle() {
            pollster::block_on(scheduler.advance(&mut |_, event| {
                if let Event::Done { generation, .. } = event {
                    text.clone_from(&generation.text);
                }
            }))
            .unwrap();
        }
        let Counts { read, reused, .. } = scheduler.counts();
        scheduler.finish();
        (text, (read, reused))
    };
    let (first, cold) = together(&session);
    let (second, warm) = together(&session);
    assert_eq!(first, second);
    assert_eq!(cold.1, 0);
    assert!(warm.0 <= 64, "{warm:?}");
    assert_eq!(cold.0, warm.0 + warm.1);
    assert_eq!(generate(&session, &request)[0].text, first);
    assert_eq!(together(&session).1, warm);
    // One that broke off in the middle leaves what its rows have.
    let mut scheduler = Scheduler::new(&session, session.keeps).unwrap();
    scheduler.submit(request.clone()).unwrap();
    pollster::block_on(scheduler.advance(&mut |_, _| {})).unwrap();
    scheduler.finish();
    assert_eq!(together(&session).1, warm);
}

#[test]
fn a_pace_is_a_number_of_bytes() {
    let device = pollster::block_on(periapt_core::device::open(DeviceChoice::Cpu)).unwrap();
    let began = std::time::Instant::now();
    let now = || began.elapsed().as_secs_f64() * 1000.0;
    let pace = pollster::block_on(periapt_core::session::pace(&device, 20.0, &now)).unwrap();
    assert!(pace.is_finite() && pace > 1e6, "{pace}");
}

/// A prompt of so many tokens.
fn long(tokens: usize) -> Vec<u32> {
    (0..tokens).map(|at| 1 + (at % 90) as u32).collect()
}

/// Long prompts that said nothing for minutes: <https://github.com/vllm-project/vllm/issues/40362>,
/// <https://github.com/unslothai/unsloth/issues/11141>, <https://github.com/ARahim3/mlx-dspark/issues/29>; a callback that was
/// given to the wrong pass: <https://github.com/exo-explore/exo/pull/1181>.
#[test]
fn every_pass_over_a_prompt_says_how_far_it_is() {
    let Some(mut session) = load(&Tiny::new(5), DeviceChoice::Cpu) else {
        return;
    };
    let heard: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let hears = Arc::clone(&heard);
    session.on_reading(Arc::new(move |done, total| {
        hears.lock().unwrap().push((done, total));
    }));
    let take = || std::mem::take(&mut *heard.lock().unwrap());
    pollster::block_on(session.next_logits(&long(600))).unwrap();
    assert_eq!(take(), [(0, 600), (256, 600), (512, 600), (600, 600)]);
    pollster::block_on(session.next_logits(&long(3))).unwrap();
    assert_eq!(take(), [(0, 3), (3, 3)]);

    // Wherever else prompts are read: each chunk is told of, and the end is the whole.
    let whole = |what: &str| {
        let heard = take();
        let total = heard[0].1;
        assert!(total > 512, "{what}: {heard:?}");
        assert_eq!(heard[0].0, 0, "{what}");
        assert_eq!(heard[heard.len() - 1], (total, total), "{what}");
        for pair in heard.windows(2) {
            let step = pair[1].0 - pair[0].0;
            assert!((1..=256).contains(&step), "{what}: {heard:?}");
        }
    };
    pollster::block_on(session.next_logits_of(&[long(300), long(500)[2..].to_vec()], &[1]))
        .unwrap();
    whole("judges");
    let asked = conversation(&"Why? ".repeat(60));
    pollster::block_on(session.score_all(&[(&asked, &[5, 6])])).unwrap();
    whole("scores");
    let request = GenerateRequest {
        conversations: vec![asked.clone()],
        method: Method::LinearAlignment { strength: 1.0 },
        max_new_tokens: 2,
        ..GenerateRequest::default()
    };
    generate(&session, &request);
    whole("answers");
    let request = BeamRequest {
        conversation: conversation(&"Why? ".repeat(150)),
        params: BeamParams::default(),
        max_new_tokens: 2,
        generation_prompt: true,
    };
    let on_step = &mut async |_: usize| ControlFlow::Continue(());
    pollster::block_on(session.beam(&request, on_step)).unwrap();
    whole("beams");
}

#[test]
fn breaking_off_is_heard_after_a_chunk() {
    let Some(session) = load(&Tiny::new(5), DeviceChoice::Cpu) else {
        return;
    };
    let request = GenerateRequest {
        conversations: vec![Conversation {
            question: "Why? ".repeat(150),
            ..Conversation::default()
        }],
        ..GenerateRequest::default()
    };
    let mut heard = Vec::new();
    let on_event = &mut async |event: Event<'_>| {
        if let Event::Prefill { done, .. } = event {
            heard.push(done);
        }
        ControlFlow::Break(())
    };
    let answers = pollster::block_on(session.generate(&request, on_event)).unwrap();
    assert_eq!(heard, [256]);
    assert_eq!(answers[0].finish_reason, FinishReason::Cancelled);
    assert!(answers[0].token_ids.is_empty());
}

/// A tiny model with that chat template.
fn with_template(template: &str) -> Tiny {
    let mut tiny = Tiny::new(5);
    let (_, value) = tiny
        .metadata
        .iter_mut()
        .find(|(key, _)| key == "tokenizer.chat_template")
        .unwrap();
    *value = Value::String(template.to_owned());
    tiny
}

#[test]
fn a_preference_without_effect_is_refused_and_never_silent() {
    // Two characters of every message: what the preference says is not among them.
    let cut = with_template("{% for m in messages %}{{ m.content[:2] }}|{% endfor %}");
    let Some(session) = load(&cut, DeviceChoice::Cpu) else {
        return;
    };
    let asked = conversation("Why?");
    let on_event = &mut async |_: Event<'_>| ControlFlow::Continue(());
    let on_step = &mut async |_: usize| ControlFlow::Continue(());
    for method in [Method::Pref, Method::LinearAlignment { strength: 1.0 }] {
        let request = GenerateRequest {
            conversations: vec![asked.clone()],
            method,
            ..GenerateRequest::default()
        };
        let error = pollster::block_on(session.generate(&request, on_event)).unwrap_err();
        assert!(matches!(error, Error::NoEffect { .. }), "{error}");
    }
    let error = pollster::block_on(session.score_all(&[(&asked, &[5])])).unwrap_err();
    assert!(matches!(error, Error::NoEffect { .. }), "{error}");
    let request = BeamRequest {
        conversation: asked.clone(),
        params: BeamParams::default(),
        max_new_tokens: 2,
        generation_prompt: true,
    };
    let error = pollster::block_on(session.beam(&request, on_step)).unwrap_err();
    assert!(matches!(error, Error::NoEffect { .. }), "{error}");
    // Nor are two streams that differ by their system prompts alone.
    let stream = |name: &str, system: &str| Stream {
        name: name.to_owned(),
        system: Some(system.to_owned()),
        ..Stream::base()
    };
    let request = GenerateRequest {
        conversations: vec![Conversation {
            question: "Why?".to_owned(),
            ..Conversation::default()
        }],
        method: Method::Guidance(vec![stream("a", "Be kind."), stream("b", "Be rude.")]),
        ..GenerateRequest::default()
    };
    let error = pollster::block_on(session.generate(&request, on_event)).unwrap_err();
    assert!(error.to_string().contains("prompts b and a"), "{error}");
    // An empty one is refused by name, in every way.
    let empty = Conversation {
        preference: Some(" ".to_owned()),
        ..asked
    };
    let error = pollster::block_on(session.score_all(&[(&empty, &[5])])).unwrap_err();
    assert!(error.to_string().contains("preference is empty"), "{error}");
}

/// The same prompts whether the template takes a system prompt before the question or has no place for one.
#[test]
fn a_system_prompt_goes_before_the_question_where_there_is_no_place_for_it() {
    let unaware =
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}\n{% endif %}{% endfor %}";
    let refuses = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ m.content }}\n{% endfor %}";
    let merges = "{% for m in messages %}{{ m.content }}{{ '\n\n' if m.role == 'system' else '\n' }}{% endfor %}";
    let asked = conversation("Why?");
    let prompts = |template: &str| {
        let session = load(&with_template(template), DeviceChoice::Cpu)?;
        let request = GenerateRequest {
            conversations: vec![asked.clone()],
            method: Method::LinearAlignment { strength: 1.0 },
            max_new_tokens: 1,
            ..GenerateRequest::default()
        };
        let prompting = session.prompting(&request).unwrap();
        let answer = generate(&session, &request).remove(0);
        let scores = pollster::block_on(session.score_all(&[(&asked, &[5, 6])])).unwrap();
        assert_ne!(scores[0].preference_score, 0.0);
        Some((answer.prompt_token_ids, prompting.system.unwrap()))
    };
    let Some((taken, SystemPrompt::Shown)) = prompts(merges) else {
        return;
    };
    assert_ne!(taken[0].1, taken[1].1);
    for template in [unaware, refuses] {
        assert_eq!(
            prompts(template).unwrap(),
            (taken.clone(), SystemPrompt::Folded)
        );
    }
}

/// What a run's live view and the page count are tokens alone, however long the prompt was read.
#[test]
fn a_prompt_that_is_read_is_no_token_of_its_texts() {
    let Some(session) = load(&Tiny::new(5), DeviceChoice::Cpu) else {
        return;
    };
    let local = Local {
        session: &session,
        method: Method::Base,
        preference: None,
        batch: 2,
    };
    let request = WriteRequest {
        conversation: conversation(&"Why? ".repeat(60)),
        aligned: true,
        prefix: String::new(),
        stop: String::new(),
        n: 3,
        first: 0,
        sampling: Sampling {
            temperature: 1.0,
            ..Sampling::default()
        },
        max_new_tokens: 6,
    };
    let (mut tokens, mut read) = ([0; 3], Vec::new());
    let mut listen = async |event: WriteEvent<'_>| {
        match event {
            WriteEvent::Prefill { done, total } => read.push(done == total),
            WriteEvent::Token { index, .. } => tokens[index] += 1,
            WriteEvent::Done { .. } => {}
        }
        ControlFlow::Continue(())
    };
    let drafts = pollster::block_on(local.write(&request, &mut listen)).unwrap();
    let wanted: Vec<usize> = drafts.iter().map(|draft| draft.tokens).collect();
    assert_eq!(tokens.to_vec(), wanted);
    // Two batches, each of several chunks.
    assert_eq!(read.iter().filter(|whole| **whole).count(), 2);
    assert!(read.len() >= 4, "{read:?}");
}
