//! OpenAI's API of `periapt serve`: the real binary, a tiny model, real sockets.

use crate::common::api::{CHAT, TEXT, ask, chat, events, metric, post, said, start, until};
use crate::common::place::Place;
use crate::common::{device, json, load};
use periapt_core::DeviceChoice;
use periapt_core::model::KvType;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;

#[test]
fn a_chat_answers_as_generate_does() {
    let place = Place::new();
    let server = start(&place, &[]);
    let model = place.text("tiny.gguf");
    for method in ["base", "pref", "la", "amulet"] {
        let args = [
            "generate", "--device", "cpu", "--model", &model, "--prefer", "brief",
        ];
        let more = [
            "--prompt-set",
            "paper",
            "-n",
            "24",
            "--json",
            "--method",
            method,
            "Why?",
        ];
        let want = json(&[&args[..], &more].concat());
        let alignment = json!({ "preference": "brief", "method": method, "prompt_set": "paper" });
        let body = chat("Why?", json!({ "alignment": alignment }));
        let got = ask(&server, CHAT, &body);
        let choice = &got["choices"][0];
        assert_eq!(choice["message"]["content"], want["text"], "{method}");
        assert_eq!(choice["finish_reason"], want["finish_reason"]);
        assert_eq!(got["alignment"]["method"], method);
        assert_eq!(got["alignment"]["strength"], want["strength"]);
        let tokens = want["token_ids"].as_array().unwrap().len();
        assert_eq!(got["usage"]["completion_tokens"], tokens);
        let prompts = want["prompt_token_ids"].as_object().unwrap().values();
        let longest = prompts.map(|ids| ids.as_array().unwrap().len()).max();
        assert_eq!(got["usage"]["prompt_tokens"], longest.unwrap());

        // As a stream: the same text, with who speaks once, the end once, and the counts at the end.
        let mut body = body;
        body["stream_options"] = json!({ "include_usage": true });
        let events = events(&server, CHAT, body);
        let (counts, events) = events.split_last().unwrap();
        assert_eq!(
            (&counts["usage"], &counts["choices"]),
            (&got["usage"], &json!([]))
        );
        let choices: Vec<&Value> = events.iter().map(|event| &event["choices"][0]).collect();
        let texts = choices
            .iter()
            .filter_map(|one| one["delta"]["content"].as_str());
        assert_eq!(texts.collect::<String>(), want["text"].as_str().unwrap());
        let speaks = |one: &&&Value| one["delta"].get("role").is_some();
        assert_eq!(choices.iter().filter(speaks).count(), 1);
        let ends: Vec<_> = choices
            .iter()
            .filter(|one| !one["finish_reason"].is_null())
            .collect();
        assert_eq!(
            (ends.len(), &ends[0]["finish_reason"]),
            (1, &want["finish_reason"])
        );
        assert_eq!(events.last().unwrap()["alignment"], got["alignment"]);
    }
}

/// A form that is asked for is kept, streamed or not, as the command line keeps it.
#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    let place = Place::new();
    let schema = json!({
        "type": "object",
        "properties": { "mood": { "enum": ["calm", "sad"] }, "sure": { "type": "boolean" } },
        "required": ["mood", "sure"],
        "additionalProperties": false,
    });
    let file = place.write("schema.json", schema.to_string());
    let model = place.text("tiny.gguf");
    let local = json(&[
        "generate",
        "--json",
        "--model",
        &model,
        "--device",
        "cpu",
        "-n",
        "60",
        "--method",
        "amulet",
        "--prefer",
        "brief",
        "--prompt-set",
        "paper",
        "--json-schema",
        &file,
        "Why?",
    ]);
    let server = start(&place, &[]);
    let alignment = json!({ "preference": "brief", "method": "amulet", "prompt_set": "paper" });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "mood", "strict": true, "schema": schema } });
    let body = chat(
        "Why?",
        json!({ "alignment": alignment, "response_format": format, "max_tokens": 60 }),
    );
    let choice = ask(&server, CHAT, &body)["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["content"], local["text"]);
    let value: Value = serde_json::from_str(local["text"].as_str().unwrap()).unwrap();
    assert!(
        value["sure"].is_boolean() && value["mood"].is_string(),
        "{value}"
    );
    let body = chat(
        "Why?",
        json!({ "response_format": { "type": "json_object" } }),
    );
    let events = events(&server, CHAT, body);
    let delta = |event: &Value| {
        event["choices"][0]["delta"]["content"]
            .as_str()
            .map(str::to_owned)
    };
    assert!(
        events
            .iter()
            .filter_map(delta)
            .collect::<String>()
            .starts_with('{')
    );
}

/// Programs that know nothing of preferences get one by the model's name, or from the server; who names one gets that.
#[test]
fn a_preference_comes_by_name_or_from_the_server() {
    let place = Place::new();
    let server = start(&place, &["--prefer", "in rhyme"]);
    let preference = |body: &Value| ask(&server, CHAT, body)["alignment"]["preference"].clone();
    assert_eq!(preference(&chat("Why?", json!({}))), "in rhyme");
    let named = json!({ "model": "tiny@be brief" });
    assert_eq!(preference(&chat("Why?", named)), "be brief");
    let own = json!({ "alignment": { "preference": "be kind" } });
    assert_eq!(preference(&chat("Why?", own)), "be kind");
    let none = json!({ "alignment": { "method": "base" } });
    assert_eq!(preference(&chat("Why?", none)), Value::Null);
}

#[test]
fn several_answers_are_drawn_apart_and_again_alike() {
    let place = Place::new();
    let server = start(&place, &[]);
    let alignment = json!({ "preference": "brief", "prompt_set": "paper", "trace": 2 });
    let body = chat(
        "Why?",
        json!({ "n": 3, "temperature": 1.5, "seed": 5, "alignment": alignment, "logprobs": true, "top_logprobs": 2 }),
    );
    let got = ask(&server, CHAT, &body);
    let choices = got["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    assert_ne!(choices[0]["message"], choices[1]["message"]);
    assert_eq!(ask(&server, CHAT, &body)["choices"], got["choices"]);
    for choice in choices {
        let content = choice["logprobs"]["content"].as_array().unwrap();
        assert_eq!(
            content.len(),
            choice["alignment"]["trace"].as_array().unwrap().len()
        );
        for token in content {
            assert!(token["logprob"].as_f64().unwrap() <= 0.0);
            assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 2);
        }
    }
}

/// What harnesses that rate texts ask for: the prompt again, each token with its log-probability and the likeliest one.
#[test]
fn a_prompt_is_rated_as_the_logits_say() {
    let place = Place::new();
    let server = start(&place, &[]);
    let text = "The owl sees the moon.";
    let body =
        json!({ "model": "tiny", "prompt": text, "echo": true, "logprobs": 1, "max_tokens": 0 });
    let got = ask(&server, TEXT, &body);
    let choice = &got["choices"][0];
    let of = &choice["logprobs"];
    let session = load(
        Path::new(&place.text("tiny.gguf")),
        &device(DeviceChoice::Cpu).unwrap(),
        KvType::F32,
    );
    let ids = session.encode_text(text).unwrap();
    assert_eq!(of["tokens"].as_array().unwrap().len(), ids.len());
    assert!(choice["text"].as_str().unwrap().ends_with(text));
    assert_eq!(
        (&of["token_logprobs"][0], &of["top_logprobs"][0]),
        (&Value::Null, &Value::Null)
    );
    for at in 1..ids.len() {
        let logits = pollster::block_on(session.next_logits(&ids[..at])).unwrap();
        let highest = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|l| f64::from(l - highest).exp()).sum();
        let of_id = |logit: f32| f64::from(logit - highest) - sum.ln();
        let own = of["token_logprobs"][at].as_f64().unwrap();
        assert!((own - of_id(logits[ids[at] as usize])).abs() < 1e-4, "{at}");
        let tops = of["top_logprobs"][at].as_object().unwrap();
        let best = tops
            .values()
            .map(|v| v.as_f64().unwrap())
            .fold(f64::MIN, f64::max);
        assert!((best - of_id(highest)).abs() < 1e-4, "{at}");
    }
    // Harnesses take a token for the greedy one where it and the likeliest have one number.
    let body = json!({ "model": "tiny", "prompt": ids, "max_tokens": 8, "return_tokens_as_token_ids": true, "logprobs": 0 });
    let got = ask(&server, TEXT, &body);
    let answer = got["choices"][0]["logprobs"]["tokens"]
        .as_array()
        .unwrap()
        .iter();
    let id = |token: &Value| {
        token
            .as_str()
            .unwrap()
            .strip_prefix("token_id:")
            .unwrap()
            .parse()
            .unwrap()
    };
    let whole: Vec<u32> = ids.iter().copied().chain(answer.map(id)).collect();
    assert!(whole.len() > ids.len());
    let body =
        json!({ "model": "tiny", "prompt": whole, "echo": true, "logprobs": 1, "max_tokens": 0 });
    let got = ask(&server, TEXT, &body);
    let of = &got["choices"][0]["logprobs"];
    for at in ids.len()..whole.len() {
        let tops = of["top_logprobs"][at].as_object().unwrap().values();
        assert!(
            tops.into_iter().all(|top| *top == of["token_logprobs"][at]),
            "{at}: {of}"
        );
    }
    // Ids, several prompts, and answers behind them.
    let body = json!({ "prompt": [[5, 6, 7], [8, 9]], "model": "tiny", "n": 2, "max_tokens": 3, "temperature": 1 });
    let got = ask(&server, TEXT, &body);
    assert_eq!(got["choices"].as_array().unwrap().len(), 4);
    assert_eq!(got["usage"]["prompt_tokens"], 5);
    let texts = events(
        &server,
        TEXT,
        json!({ "model": "tiny", "prompt": "The owl", "max_tokens": 9 }),
    );
    let streamed: String = texts
        .iter()
        .map(|e| e["choices"][0]["text"].as_str().unwrap())
        .collect();
    let body = json!({ "model": "tiny", "prompt": "The owl", "max_tokens": 9 });
    assert_eq!(ask(&server, TEXT, &body)["choices"][0]["text"], streamed);
    let tokens = ask(
        &server,
        "/tokenize",
        &json!({ "model": "tiny", "content": text }),
    );
    let content = ask(
        &server,
        "/detokenize",
        &json!({ "model": "tiny", "tokens": tokens["tokens"] }),
    );
    assert_eq!(content["content"], text);

    // As harnesses do it that know vLLM: control tokens are written out, and the prompt is theirs.
    let prompt = format!("{text}<|end|>");
    let body = json!({ "model": "tiny", "prompt": prompt, "add_special_tokens": false });
    let with_end = ask(&server, "/tokenize", &body);
    let (last, rest) = with_end["tokens"].as_array().unwrap().split_last().unwrap();
    assert_eq!(
        (last, rest),
        (&json!(0), &tokens["tokens"].as_array().unwrap()[..])
    );
    let content = ask(
        &server,
        "/detokenize",
        &json!({ "model": "tiny", "tokens": with_end["tokens"] }),
    );
    assert_eq!(content["prompt"], prompt);
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let place = Place::new();
    let server = start(&place, &["--max-body", "2000"]);
    let wrong = |path: &str, body: Value, status: u16, code: &str, says: &str| {
        let answer = post(&server, path, &body);
        let error = &said(&answer)["error"];
        assert_eq!(
            (answer.status, &error["code"]),
            (status, &json!(code)),
            "{body}: {error}"
        );
        assert!(error.to_string().contains(says), "{body}: {error}");
    };
    for (more, code, says) in [
        (json!({ "foo": 1 }), "unknown_parameter", "\"foo\""),
        (
            json!({ "alignment": { "foo": 1 } }),
            "invalid_value",
            "`foo`",
        ),
        (
            json!({ "alignment": { "temperature": 1 } }),
            "invalid_value",
            "beside alignment",
        ),
        (json!({ "alignment": [] }), "invalid_value", "object"),
        (
            json!({ "alignment": { "preference": "a", "method": "beam" } }),
            "invalid_value",
            "beam",
        ),
        (
            json!({ "alignment": { "method": "la" } }),
            "invalid_value",
            "preference",
        ),
        (json!({ "temperature": -1 }), "invalid_value", "temperature"),
        (
            json!({ "temperature": "hot" }),
            "invalid_value",
            "temperature",
        ),
        (json!({ "n": 0 }), "invalid_value", "n = 0"),
        (json!({ "stop": 5 }), "invalid_value", "stop"),
        (json!({ "tools": [{}] }), "invalid_value", "tools"),
        (
            json!({ "response_format": { "type": "yaml" } }),
            "invalid_value",
            "response_format",
        ),
        (
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "a" } } }),
            "invalid_value",
            "json_schema.schema",
        ),
        (
            json!({ "response_format": { "type": "json_schema", "json_schema": { "schema": { "type": "nothing" } } } }),
            "invalid_value",
            "JSON schema",
        ),
        (
            json!({ "alignment": { "json_schema": {} } }),
            "invalid_value",
            "json_schema",
        ),
        (json!({ "top_logprobs": 3 }), "invalid_value", "logprobs"),
        (
            json!({ "logprobs": true, "top_logprobs": 21 }),
            "invalid_value",
            "20",
        ),
        (json!({ "messages": [] }), "invalid_value", "user's"),
        (
            json!({ "messages": [{ "role": "tool", "content": "a" }] }),
            "invalid_value",
            "role",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "invalid_value",
            "text",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": "so ".repeat(600) }] }),
            "context_length_exceeded",
            "1024",
        ),
    ] {
        wrong(CHAT, chat("Why?", more), 400, code, says);
    }
    wrong(
        CHAT,
        chat("Why?", json!({ "model": "gpt-5" })),
        404,
        "model_not_found",
        "tiny",
    );
    wrong(
        CHAT,
        chat(&"long ".repeat(500), json!({})),
        413,
        "body_too_large",
        "--max-body",
    );
    wrong(
        TEXT,
        json!({ "model": "tiny", "prompt": [] }),
        400,
        "invalid_value",
        "prompt",
    );
    wrong(
        TEXT,
        json!({ "model": "tiny", "prompt": [5000] }),
        400,
        "invalid_value",
        "5000",
    );
    wrong(
        TEXT,
        json!({ "model": "tiny", "prompt": "a", "alignment": {} }),
        400,
        "invalid_value",
        "chat",
    );
    wrong(
        "/v1/embeddings",
        json!({}),
        404,
        "not_found",
        "docs/server.md",
    );
    let get = server.get(CHAT, &[]);
    assert_eq!(
        (get.status, &said(&get)["error"]["code"]),
        (405, &json!("method_not_allowed"))
    );
    // What is wrong shows in the status of a stream, too.
    let late =
        json!({ "stream": true, "messages": [{ "role": "user", "content": "so ".repeat(600) }] });
    assert_eq!(post(&server, CHAT, &chat("Why?", late)).status, 400);
    // What clients send along is ignored, and what asks for nothing taken.
    let along = json!({
        "user": "me", "store": false, "metadata": {}, "tools": [], "tool_choice": "auto", "seed": null,
        "response_format": { "type": "text" }, "logit_bias": {},
        "messages": [
            { "role": "developer", "content": "Be kind." },
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "Why?" }], "name": "me" },
        ],
    });
    ask(&server, CHAT, &chat("", along));
}

#[test]
fn only_who_may_ask_is_answered() {
    let place = Place::new();
    let args = [
        "--api-key",
        "open sesame",
        "--allow-origin",
        "https://chat.example",
    ];
    let server = start(&place, &args);
    let status = |headers: &[&str]| server.get("/v1/models", headers).status;
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&["Authorization: Bearer open"]), 401);
    let key = "Authorization: Bearer open sesame";
    assert_eq!(status(&[key]), 200);
    assert_eq!(status(&[key, "Origin: https://evil.example"]), 403);
    let own = server.get(
        "/v1/models",
        &[key, &format!("Origin: http://127.0.0.1:{}", server.port)],
    );
    assert_eq!(
        (own.status, own.header("access-control-allow-origin")),
        (200, None)
    );
    let named = server.get("/v1/models", &[key, "Origin: https://chat.example"]);
    assert_eq!(
        named.header("access-control-allow-origin"),
        Some("https://chat.example")
    );
    let first = server.send("OPTIONS", CHAT, &["Origin: https://chat.example"]);
    assert_eq!(first.status, 204);
    assert_eq!(
        server
            .raw("GET /v1/models HTTP/1.1\nHost: evil.example")
            .status,
        403
    );
    assert_eq!(server.get("/health", &[]).status, 200);
    assert_eq!(server.get("/metrics", &[]).status, 401);
    let open = ["serve", "--port", "0", "--host", "0.0.0.0"];
    crate::common::fails(&open, 2, &["--api-key"]);
}

/// Requests of all kinds, that differ in all that they may.
fn assorted() -> Vec<Value> {
    let methods = ["base", "pref", "la", "amulet"];
    (0..16)
        .map(|n| {
            let alignment = json!({
                "preference": format!("brief, {n}"),
                "method": methods[n % 4],
                "prompt_set": "paper",
                "plausibility": if n % 3 == 0 { 0.1 } else { 0.0 },
            });
            let more = json!({
                "alignment": alignment,
                "n": 1 + n % 3,
                "temperature": if n % 2 == 0 { 0.0 } else { 1.0 },
                "seed": n,
                "max_tokens": 10 + 9 * n,
            });
            chat(&"Why so? ".repeat(1 + 5 * (n % 5)), more)
        })
        .collect()
}

#[test]
fn who_else_is_there_changes_nothing() {
    let place = Place::new();
    let server = start(&place, &[]);
    let requests = assorted();
    let choices = |body: &Value| ask(&server, CHAT, body)["choices"].clone();
    // With an empty cache: a server each.
    let alone: Vec<Value> = requests
        .iter()
        .map(|body| ask(&start(&place, &["--cache", "4M"]), CHAT, body)["choices"].clone())
        .collect();
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let at_once: Vec<_> = requests
                .iter()
                .map(|body| scope.spawn(|| choices(body)))
                .collect();
            for ((at_once, alone), body) in at_once.into_iter().zip(&alone).zip(&requests) {
                assert_eq!(at_once.join().unwrap(), *alone, "{body}");
            }
        });
    }
}

/// The next turn of a chat computes what is new, and is answered as if all were.
#[test]
fn a_chat_goes_on_from_what_was_read() {
    let place = Place::new();
    let server = start(&place, &[]);
    let mut messages =
        vec![json!({ "role": "user", "content": "Why are owls so silent? ".repeat(8) })];
    for turn in 0..4 {
        let alignment = json!({ "preference": "brief", "prompt_set": "paper" });
        let body = chat(
            "",
            json!({ "messages": messages, "alignment": alignment, "max_tokens": 40 }),
        );
        let (read, reused) = ("periapt_model_read_tokens", "periapt_model_reused_tokens");
        let before = (turn > 0).then(|| (metric(&server, read), metric(&server, reused)));
        let got = ask(&server, CHAT, &body);
        // The engine counts before it takes what comes next.
        ask(
            &server,
            "/tokenize",
            &json!({ "model": "tiny", "content": "a" }),
        );
        if let Some((before, already)) = before {
            // Two prompts, of each less than a page, the question and the template's own again.
            let new = metric(&server, read) - before;
            assert!(new < 2.0 * (64.0 + 140.0), "{turn}: {new}");
            let again = metric(&server, reused) - already;
            assert!(again >= 2.0 * 128.0, "{turn}: {again}, {new}");
        }
        let cold = ask(&start(&place, &[]), CHAT, &body);
        assert_eq!(got["choices"], cold["choices"]);
        messages.push(
            json!({ "role": "assistant", "content": got["choices"][0]["message"]["content"] }),
        );
        messages.push(json!({ "role": "user", "content": "And then?" }));
    }
}

/// Without a cache, what comes again is computed again, and answered alike.
#[test]
fn a_server_may_keep_nothing() {
    let place = Place::new();
    let question = "Why are owls so silent? ".repeat(8);
    let body = chat(&question, json!({ "max_tokens": 100 }));
    let [nothing, all] = ["0", "1G"].map(|cache| {
        let server = start(&place, &["--cache", cache]);
        let answers = [0, 1].map(|_| ask(&server, CHAT, &body)["choices"].clone());
        assert_eq!(answers[0], answers[1]);
        // The engine counts before it takes what comes next.
        let body = json!({ "model": "tiny", "content": "a" });
        ask(&server, "/tokenize", &body);
        (answers, metric(&server, "periapt_model_reused_tokens"))
    });
    assert_eq!(nothing.0, all.0);
    assert!(nothing.1 == 0.0 && all.1 >= 64.0, "{} {}", nothing.1, all.1);
}

/// A cache that holds one request lets the others wait, and one that it can't hold is refused.
#[test]
fn a_small_cache_makes_requests_wait() {
    let place = Place::new();
    let server = start(&place, &["--cache", "600K"]);
    let body = chat("Why?", json!({ "max_tokens": 200 }));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| ask(&server, CHAT, &body)["choices"].clone()))
            .collect();
        let all: Vec<Value> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(all.iter().all(|one| *one == all[0]));
    });
    let large = post(
        &server,
        CHAT,
        &chat("Why?", json!({ "n": 64, "max_tokens": 900 })),
    );
    assert_eq!(large.status, 400, "{}", said(&large));
    assert!(
        said(&large).to_string().contains("--cache"),
        "{}",
        said(&large)
    );
}

/// An answer that takes a while: as long as the context leaves room, eight times.
fn long() -> Value {
    chat(
        "Why?",
        json!({ "n": 8, "max_tokens": 900, "temperature": 5, "stream": true }),
    )
}

#[test]
fn who_hangs_up_is_answered_no_further() {
    let place = Place::new();
    let server = start(&place, &["--max-queue", "1", "--head-timeout", "1"]);
    let body = long().to_string();
    let mut streams: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            let head = format!(
                "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\r\n",
                server.port,
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body.as_bytes()).unwrap();
            stream
        })
        .collect();
    // One is met; the others are refused at once.
    let mut refused = 0;
    for stream in &mut streams {
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        refused += usize::from(start.ends_with(b"503"));
    }
    assert!(refused >= 1, "{refused}");
    drop(streams);
    until(|| metric(&server, "periapt_requests_in_progress") == 0.0);
    let tokens = metric(&server, "periapt_generated_tokens_total");
    assert!(tokens < 8.0 * 8.0 * 900.0, "{tokens}");
    // Others are served, also while a body does not come.
    let mut slow = server.connect();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 50\r\n\r\n{{",
        server.port
    );
    slow.write_all(head.as_bytes()).unwrap();
    ask(&server, CHAT, &chat("Why?", json!({})));
    let mut start = [0; 12];
    slow.read_exact(&mut start).unwrap();
    assert!(start.ends_with(b"408"), "{start:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_lets_running_answers_end() {
    let place = Place::new();
    let mut server = start(&place, &[]);
    let mut body = long();
    body["stream"] = json!(false);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| post(&server, CHAT, &body));
        until(|| metric(&server, "periapt_generated_tokens_total") > 0.0);
        let process = server.process.as_ref().unwrap().id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-TERM", &process])
            .status();
        assert!(kill.unwrap().success());
        let answer = answer.join().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(said(&answer)["choices"].as_array().unwrap().len(), 8);
    });
    assert!(server.process.take().unwrap().wait().unwrap().success());
}
