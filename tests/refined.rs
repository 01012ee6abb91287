//! Refinement through `periapt serve`: a chat whose `alignment` holds `refine` is answered with what `periapt tpo` finds.

use crate::common::api::{CHAT, ask, chat, metric, post, said, start, unchunked, until};
use crate::common::json;
use crate::common::place::Place;
use crate::common::tiny::Tiny;
use serde_json::{Value, json};
use std::io::{Read, Write};

/// A chat that is refined so.
fn refined(alignment: Value, refine: Value) -> Value {
    let mut alignment = alignment;
    alignment["refine"] = refine;
    let more = json!({ "alignment": alignment, "max_tokens": 12, "temperature": 1 });
    chat("Why?", more)
}

/// A small one.
fn small(more: &[(&str, Value)]) -> Value {
    let mut refine = json!({ "samples": 3, "max_text_tokens": 12 });
    for (name, value) in more {
        refine[name] = value.clone();
    }
    refined(
        json!({ "preference": "brief", "prompt_set": "paper" }),
        refine,
    )
}

/// What `periapt tpo` makes of the same.
fn local(place: &Place, more: &[&str]) -> Value {
    let model = place.text("tiny.gguf");
    let fixed = "tpo --json --no-baseline --device cpu -n 12 --max-text-tokens 12 --samples 3 --temperature 1";
    let args: Vec<&str> = fixed.split(' ').chain(["--model", &model]).collect();
    json(&[&args[..], more, &["Why?"]].concat())
}

fn same(got: &Value, want: &Value) {
    let refine = &got["alignment"]["refine"];
    let choice = &got["choices"][0];
    assert_eq!(choice["message"]["content"], want["text"], "{refine}");
    assert_eq!(got["alignment"]["method"], want["method"]);
    for name in ["reward", "reward_name", "mode", "generations"] {
        assert_eq!(refine[name], want[name], "{name}");
    }
    let candidates = want["candidates"].as_array().unwrap();
    assert_eq!(refine["candidates"], candidates.len());
    let first = candidates.iter().filter(|one| one["round"] == 0);
    let first = first.map(|one| one["reward"].as_f64().unwrap());
    let first = first.fold(f64::MIN, f64::max);
    assert_eq!(refine["first_reward"], first);
    let usage = &got["usage"];
    assert_eq!(usage["completion_tokens"], want["tokens"]);
    // Every prompt is counted, not only the question's.
    let prompts = usage["prompt_tokens"].as_u64().unwrap();
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        prompts + want["tokens"].as_u64().unwrap()
    );
    let best = candidates.iter().find(|one| one["text"] == want["text"]);
    assert_eq!(choice["finish_reason"], best.unwrap()["finish_reason"]);
}

#[test]
fn a_refined_answer_is_what_tpo_finds() {
    let place = Place::new();
    let server = start(&place, &[]);
    let wish = ["--prefer", "brief", "--prompt-set", "paper"];
    for (mode, reward) in [
        ("tpo", "fit"),
        ("tpo", "preference"),
        ("revision", "judge"),
        ("bon", "fit"),
    ] {
        let body = small(&[("mode", json!(mode)), ("reward", json!(reward))]);
        let got = ask(&server, CHAT, &body);
        let own = ["--mode", mode, "--reward", reward];
        same(&got, &local(&place, &[&wish[..], &own].concat()));
        assert_eq!(got["alignment"]["preference"], "brief");
        let rounds = if mode == "bon" { 0 } else { 2 };
        assert_eq!(got["alignment"]["refine"]["rounds"], rounds);
    }
    // Without a preference, and with what is said of the refinement itself.
    let body = refined(
        json!({}),
        json!({ "samples": 3, "max_text_tokens": 12, "seed": 3, "rounds": 1 }),
    );
    same(
        &ask(&server, CHAT, &body),
        &local(&place, &["--seed", "3", "--rounds", "1"]),
    );
    // By the model's name.
    let mut named = refined(
        json!({ "prompt_set": "paper" }),
        json!({ "samples": 3, "max_text_tokens": 12 }),
    );
    named["model"] = json!("tiny@brief");
    same(&ask(&server, CHAT, &named), &local(&place, &wish));
}

/// A stream says that it is under way, and then the text.
#[test]
fn a_stream_works_and_then_answers() {
    let place = Place::new();
    let server = start(&place, &[]);
    let whole = ask(&server, CHAT, &small(&[]));
    let mut body = small(&[]);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let text = unchunked(&post(&server, CHAT, &body).body);
    let blocks: Vec<&str> = text.split("\n\n").filter(|one| !one.is_empty()).collect();
    let works = blocks
        .iter()
        .take_while(|one| one.starts_with(": "))
        .count();
    assert!(works >= 13, "{text}");
    let told = blocks[works..]
        .iter()
        .map(|one| one.strip_prefix("data: ").unwrap());
    let told: Vec<&str> = told.collect();
    let [content, end, counts, "[DONE]"] = told[..] else {
        panic!("{text}");
    };
    let [content, end, counts] =
        [content, end, counts].map(|one| serde_json::from_str::<Value>(one).unwrap());
    let choice = &whole["choices"][0];
    let delta = &content["choices"][0]["delta"];
    assert_eq!(
        *delta,
        json!({ "role": "assistant", "content": choice["message"]["content"] })
    );
    assert_eq!(end["choices"][0]["finish_reason"], choice["finish_reason"]);
    assert_eq!(end["alignment"], whole["alignment"]);
    assert_eq!(counts["usage"], whole["usage"]);
}

/// Refinements are decoded with whatever else comes, and keep their model until they are done.
#[test]
fn who_else_is_there_changes_no_refinement() {
    let place = Place::new();
    let other = place.model("other.gguf", |tiny| *tiny = Tiny::new(5));
    let server = start(&place, &["--model", &other, "--max-models", "1"]);
    let bodies = [
        small(&[]),
        small(&[("seed", json!(8))]),
        chat(
            "Why?",
            json!({ "model": "other", "temperature": 2, "seed": 23 }),
        ),
        chat("Why?", json!({ "temperature": 2, "seed": 23 })),
    ];
    let alone: Vec<Value> = bodies
        .iter()
        .map(|body| ask(&server, CHAT, body)["choices"].clone())
        .collect();
    assert_ne!(alone[0], alone[1]);
    std::thread::scope(|scope| {
        for (body, want) in bodies.iter().chain(&bodies).zip(alone.iter().chain(&alone)) {
            let server = &server;
            scope.spawn(move || assert_eq!(ask(server, CHAT, body)["choices"], *want, "{body}"));
        }
    });
}

#[test]
fn who_hangs_up_is_refined_no_further() {
    let place = Place::new();
    let server = start(&place, &[]);
    for stream in [false, true] {
        let mut body = small(&[
            ("samples", json!(64)),
            ("rounds", json!(64)),
            ("max_new_tokens", json!(200)),
        ]);
        body["stream"] = json!(stream);
        let body = body.to_string();
        let mut open = server.connect();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\r\n{body}",
            server.port,
            body.len()
        );
        let before = metric(&server, "periapt_generated_tokens_total");
        open.write_all(head.as_bytes()).unwrap();
        until(|| metric(&server, "periapt_generated_tokens_total") > before);
        if stream {
            open.read_exact(&mut [0; 200]).unwrap();
        }
        drop(open);
        until(|| metric(&server, "periapt_requests_in_progress") == 0.0);
        until(|| metric(&server, "periapt_model_cache_rows") == 0.0);
        let tokens = metric(&server, "periapt_generated_tokens_total") - before;
        assert!(tokens < 1e5, "{tokens}");
    }
}

#[test]
fn what_does_not_go_with_it_is_refused_by_name() {
    let place = Place::new();
    let server = start(&place, &[]);
    let wrong = |body: Value, says: &str| {
        let answer = post(&server, CHAT, &body);
        let error = &said(&answer)["error"];
        assert_eq!(
            (answer.status, &error["code"]),
            (400, &json!("invalid_value")),
            "{body}: {error}"
        );
        assert!(error.to_string().contains(says), "{body}: {error}");
    };
    for (name, value, says) in [
        ("n", json!(2), "samples"),
        ("logprobs", json!(true), "logprobs"),
        ("top_logprobs", json!(1), "logprobs"),
        ("stop", json!("a"), "stop"),
        ("top_k", json!(5), "top_k"),
        ("presence_penalty", json!(0.5), "presence_penalty"),
        (
            "response_format",
            json!({ "type": "json_object" }),
            "response_format",
        ),
    ] {
        let mut body = small(&[]);
        body[name] = value;
        wrong(body, says);
    }
    for (name, value, says) in [
        ("strength", json!(2), "alignment.strength"),
        ("trace", json!(2), "alignment.trace"),
        (
            "preferences",
            json!([{ "text": "a", "weight": 1 }]),
            "alignment.preferences",
        ),
        ("kl_budget", json!(1), "alignment.kl_budget"),
        ("refine", json!(true), "object"),
    ] {
        let mut body = small(&[]);
        body["alignment"][name] = value;
        wrong(body, says);
    }
    for (name, value, says) in [
        ("samples", json!(0), "samples"),
        ("rounds", json!(65), "rounds"),
        ("reward", json!("human"), "human"),
        ("reward", json!("classifier"), "classifier"),
        ("reward", json!("good"), "good"),
        ("foo", json!(1), "`foo`"),
        ("preference", json!("a"), "beside"),
        ("messages", json!([]), "beside"),
        ("budget", json!({ "generations": 1, "tokens": 1 }), "bon"),
    ] {
        wrong(small(&[(name, value)]), says);
    }
    let alone = |alignment: Value| refined(alignment, json!({}));
    wrong(alone(json!({ "method": "pref" })), "preference");
    wrong(
        alone(json!({ "method": "beam", "preference": "a" })),
        "beam",
    );
    wrong(refined(json!({}), json!({ "reward": "fit" })), "preference");
    // What clients send along asks for nothing.
    let mut along = small(&[]);
    for (name, value) in [
        ("n", json!(1)),
        ("presence_penalty", json!(0)),
        ("frequency_penalty", json!(0.0)),
        ("logprobs", json!(false)),
        ("user", json!("me")),
    ] {
        along[name] = value;
    }
    assert_eq!(
        ask(&server, CHAT, &along)["choices"],
        ask(&server, CHAT, &small(&[]))["choices"]
    );
}
