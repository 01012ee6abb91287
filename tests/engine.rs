//! Models behind a server (`--engine`): the real binary as client and as server, a tiny model, real sockets; and servers that
//! misbehave.

use crate::common::page::Page;
use crate::common::place::Place;
use crate::common::{command, expect_failure, ids, json, load, parsed, said, stderr};
use periapt_core::DeviceChoice;
use periapt_core::model::KvType;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use temp_dir::TempDir;

/// `periapt serve` with a tiny model that is called `tiny`, and its address.
fn serve(place: &Place) -> (Page, String) {
    let model = place.text("tiny.gguf");
    let server = Page::with(
        TempDir::new().unwrap(),
        &["--device", "cpu", "--model", &model],
    );
    let url = format!("http://127.0.0.1:{}/v1", server.port);
    (server, url)
}

/// The same call with the model there and here.
fn there_and_here(place: &Place, url: &str, args: &[&str]) -> [Value; 2] {
    let model = place.text("tiny.gguf");
    let (name, rest) = args.split_first().unwrap();
    let there = [*name, "--engine", url, "--model", "tiny"];
    let here = [*name, "--device", "cpu", "--model", &model];
    [&there[..], &here[..]].map(|own| json(&[own, rest].concat()))
}

/// A record's lines, without their times.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let line = |mut line: Value| {
        line.as_object_mut().unwrap().remove("ms");
        line
    };
    whole.map(line).collect()
}

/// The same value but for numbers that differ in their last places.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let [a, b] = [a, b].map(|number| number.as_f64().unwrap());
            (a - b).abs() <= 1e-3 * a.abs().max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}

const TPO: &str = "tpo --prefer brief -n 12 --max-text-tokens 12 --samples 3 --temperature 1 --rounds 1 --prompts compact";

#[test]
fn a_refinement_there_is_the_one_here() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    for reward in ["fit", "preference:2+judge"] {
        let mut both = Vec::new();
        let [there, here] = [true, false].map(|there| {
            let record = place.text(&format!("{there}-{}.jsonl", &reward[..3]));
            let model = place.text("tiny.gguf");
            let own: &[&str] = match there {
                true => &["--engine", &url, "--model", "tiny"],
                false => &["--device", "cpu", "--model", &model],
            };
            let more = ["--reward", reward, "--record", &record, "--json", "Why?"];
            let args: Vec<&str> = TPO
                .split(' ')
                .chain(own.iter().copied())
                .chain(more)
                .collect();
            let answer = json(&args);
            both.push(lines(Path::new(&record)));
            answer
        });
        assert_eq!(there["text"], here["text"]);
        let [of_there, of_here] = [&both[0], &both[1]];
        assert_eq!(of_there.len(), of_here.len());
        // What is written comes in the order in which it is done; each line is there.
        let find = |wanted: &Value| of_here.iter().any(|line| alike(line, wanted));
        for line in &of_there[1..] {
            assert!(find(line), "{reward}: {line}");
        }
        // The headers: who ran it, and else the same.
        let (mut there, mut here) = (of_there[0].clone(), of_here[0].clone());
        assert_eq!(there["engine"], url.trim_end_matches("/v1"));
        assert_eq!(there["model"], json!({ "name": "tiny", "sha256": null }));
        for own in ["engine", "model", "device", "kv"] {
            there.as_object_mut().unwrap().remove(own);
            here.as_object_mut().unwrap().remove(own);
        }
        assert_eq!(there, here);
    }
}

#[test]
fn a_run_whose_engine_dies_goes_on_from_its_record() {
    let place = Place::new();
    let questions: Vec<String> = (0..6).map(|number| format!("Why {number}?")).collect();
    let questions = place.write("questions.json", json!(questions).to_string());
    let run = |url: &str, record: &str| {
        let more = [
            "--engine",
            url,
            "--model",
            "tiny",
            "--reward",
            "judge",
            "--dataset",
        ];
        let more = more
            .into_iter()
            .chain([questions.as_str(), "--record", record]);
        let args: Vec<&str> = TPO.split(' ').chain(more).collect();
        command(&args, &[])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (server, url) = serve(&place);
    let cut = place.text("cut.jsonl");
    let mut client = run(&url, &cut);
    let written = || lines(Path::new(&cut));
    while written()
        .iter()
        .filter(|line| line["type"] == "candidate")
        .count()
        < 4
    {
        assert!(client.try_wait().unwrap().is_none(), "it has ended");
        thread::sleep(Duration::from_millis(2));
    }
    drop(server);
    let output = client.wait_with_output().unwrap();
    expect_failure(&["tpo"], &output, 1, &["does not answer", "attempts"]);
    let before = written();
    assert!(before.len() > 4 && before.iter().filter(|line| line["type"] == "end").count() < 12);

    // Another server, at another address.
    let (_server, url) = serve(&place);
    let output = run(&url, &cut).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("taken up after"),
        "{}",
        stderr(&output)
    );
    let after = written();
    assert_eq!(
        &after[..before.len()],
        &before[..],
        "what there was has changed"
    );
    let whole = place.text("whole.jsonl");
    let output = run(&url, &whole).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let whole = lines(Path::new(&whole));
    assert_eq!(after.len(), whole.len());
    for line in &whole[1..] {
        assert!(after.iter().any(|other| alike(other, line)), "{line}");
    }
}

#[test]
fn leaning_on_the_whole_vocabulary_there_is_leaning_here() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    for method in ["la", "amulet"] {
        for more in [
            &[][..],
            &["--temperature", "1.2", "--seed", "5", "--top-p", "0.9"],
            &["--plausibility", "0.1", "--kl-budget", "0.3"],
            &["--adaptive", "jsd", "--frequency-penalty", "0.5"],
        ] {
            let fixed = [
                "generate", "--method", method, "--prefer", "brief", "-n", "32", "--json",
            ];
            let call = [&fixed[..], more, &["Why?"]].concat();
            // What the option says goes to both: here there is always the whole vocabulary.
            let call = [&call[..], &["--support", "97"]].concat();
            let [there, here] = there_and_here(&place, &url, &call);
            for same in [
                "token_ids",
                "text",
                "finish_reason",
                "prompt_token_ids",
                "method",
            ] {
                assert_eq!(there[same], here[same], "{method} {more:?}: {same}");
            }
            assert!(alike(&there["strengths"], &here["strengths"]));
            let outside = there["truncation"]["outside"]["pref"]["max"]
                .as_f64()
                .unwrap();
            assert!(outside < 1e-5, "{}", there["truncation"]);
            assert_eq!(there["truncation"]["bounded"], 0);
        }
    }
}

#[test]
fn a_truncated_support_says_what_it_can_have_cost() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    let lean = |more: &[&str]| {
        let fixed = [
            "generate", "--method", "la", "--prefer", "brief", "-n", "8", "--json", "Why?",
        ];
        let there = ["--engine", &url, "--model", "tiny", "--support", "8"];
        json(&[&fixed[..], &there, more].concat())
    };
    let answer = lean(&[]);
    let truncations = answer["truncations"].as_array().unwrap();
    assert_eq!(
        truncations.len(),
        answer["token_ids"].as_array().unwrap().len()
    );
    for one in truncations {
        assert_eq!(one["tokens"], 8);
        for stream in ["base", "pref"] {
            let outside = one["outside"][stream].as_f64().unwrap();
            assert!((0.0..1.0).contains(&outside));
        }
        assert!(one["margin"].as_f64().unwrap().is_finite());
    }
    // A guard that leaves nothing beyond the support makes it exact.
    let guarded = lean(&["--plausibility", "0.99"]);
    assert_eq!(guarded["truncation"]["margin"], Value::Null);
    assert_eq!(guarded["truncation"]["certain"], guarded["tokens"]);
}

#[test]
fn compare_there_is_compare_here() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    let call = [
        "compare",
        "--prefer",
        "brief",
        "-n",
        "16",
        "--support",
        "97",
        "--json",
        "Why?",
    ];
    let [there, here] = there_and_here(&place, &url, &call);
    for (there, here) in there["answers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(here["answers"].as_array().unwrap())
    {
        for same in ["method", "text", "finish_reason", "strength"] {
            assert_eq!(there[same], here[same], "{}", here["method"]);
        }
    }
}

#[test]
fn scores_there_are_scores_here() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    let answer = place.write("answer.txt", "The owl sees the moon.");
    let call = [
        "score",
        "--prefer",
        "brief",
        "--response",
        &answer,
        "--json",
        "--per-token",
        "Why?",
    ];
    let [there, here] = there_and_here(&place, &url, &call);
    assert!(alike(&there["scores"], &here["scores"]), "{there} {here}");
    assert_eq!(there["preference"], here["preference"]);
}

#[test]
fn tokens_are_told_by_their_ids() {
    let place = Place::new();
    let (server, _) = serve(&place);
    let post = |path: &str, body: &Value| -> Value {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\nHost: HOST\nContent-Length: {}",
            body.len()
        );
        serde_json::from_slice(&server.post(&head, body.as_bytes()).body).unwrap()
    };
    let chat = json!({ "model": "tiny", "messages": [{ "role": "user", "content": "Why?" }] });
    let told = post("/tokenize", &chat);
    let prompt = ids(&told["tokens"]);
    assert_eq!(told["count"], prompt.len());
    assert_eq!(
        (&told["max_model_len"], &told["end_token_ids"]),
        (&json!(1024), &json!([0]))
    );
    let body = |more: Value| {
        let mut body = json!({
            "model": "tiny", "prompt": prompt, "max_tokens": 1, "logprobs": 97, "return_tokens_as_token_ids": true,
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let of = |answer: &Value| -> BTreeMap<u32, f64> {
        let top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
            .as_object()
            .unwrap();
        let one = |(name, value): (&String, &Value)| {
            (
                name.strip_prefix("token_id:").unwrap().parse().unwrap(),
                value.as_f64().unwrap(),
            )
        };
        top.iter().map(one).collect()
    };
    let device = crate::common::device(DeviceChoice::Cpu).unwrap();
    let session = load(&place.path("tiny.gguf"), &device, KvType::F32);
    let logits = pollster::block_on(session.next_logits(&prompt)).unwrap();
    let sum = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
    let all = of(&post("/v1/completions", &body(json!({}))));
    assert_eq!(all.len(), logits.len());
    for (id, log_prob) in &all {
        assert!((log_prob - (f64::from(logits[*id as usize]) - sum)).abs() < 1e-4);
    }
    // Those that are named, and the one that was chosen.
    let some = of(&post(
        "/v1/completions",
        &body(json!({ "logprob_token_ids": [7, 3] })),
    ));
    assert!(
        some.len() <= 3 && [3, 7].iter().all(|id| some[id] == all[id]),
        "{some:?}"
    );
    let refused = post(
        "/v1/completions",
        &body(json!({ "logprob_token_ids": "7" })),
    );
    assert_eq!(refused["error"]["param"], "logprob_token_ids");
}

/// A server that gives these answers, one a connection, and keeps what it was asked.
struct Scripted {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(answers: Vec<(&'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for (head, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                seen.lock().unwrap().push(request(&stream));
                if head.is_empty() {
                    // It hangs up without a word.
                    continue;
                }
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { url, asked }
    }

    fn generate(&self, more: &[&str], vars: &[(&str, &str)]) -> Output {
        let fixed = [
            "generate", "--engine", &self.url, "--method", "base", "--json", "Why?",
        ];
        command(&[&fixed[..], more].concat(), vars)
            .output()
            .unwrap()
    }
}

/// A request's head and body.
fn request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

fn models(ids: &[&str]) -> (&'static str, String) {
    let one = |id: &&str| json!({ "id": id, "object": "model", "owned_by": "someone" });
    (
        "200 OK",
        json!({ "data": ids.iter().map(one).collect::<Vec<_>>() }).to_string(),
    )
}

fn nowhere() -> (&'static str, String) {
    (
        "404 Not Found",
        json!({ "error": "no such address" }).to_string(),
    )
}

fn answer(text: &str) -> (&'static str, String) {
    let choice =
        json!({ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" });
    (
        "200 OK",
        json!({ "choices": [choice], "usage": { "completion_tokens": 3 } }).to_string(),
    )
}

const KEY: &str = "sk-geheim-0123456789";

#[test]
fn what_may_pass_is_asked_again_with_the_key_that_nobody_sees() {
    let server = Scripted::start(vec![
        models(&["m"]),
        nowhere(),
        ("429 Too Many Requests\r\nRetry-After: 0", "{}".to_owned()),
        (
            "503 Service Unavailable",
            json!({ "error": { "message": KEY } }).to_string(),
        ),
        ("", String::new()),
        answer("Because.\u{1b}[31m"),
    ]);
    let vars = [("MY_KEY", KEY), ("PERIAPT_LOG", "debug")];
    let output = server.generate(&["--engine-key-env", "MY_KEY"], &vars);
    let told = parsed(&["generate"], &output);
    assert_eq!(
        (&told["text"], &told["tokens"]),
        (&json!("Because.\u{1b}[31m"), &json!(3))
    );
    assert_eq!(
        (&told["model"]["name"], &told["engine"]),
        (&json!("m"), &json!(server.url))
    );
    assert!(!said(&output).contains(KEY), "{}", said(&output));
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 6);
    let bearer = format!("authorization: bearer {KEY}");
    assert!(
        asked
            .iter()
            .all(|asked| asked.to_ascii_lowercase().contains(&bearer))
    );
    assert!(asked[5].starts_with("POST /v1/chat/completions ") && asked[5].contains("Why?"));
}

#[test]
fn what_will_not_pass_is_said_at_once() {
    let refusing = |answers: Vec<(&'static str, String)>, code: i32, says: &[&str]| {
        let server = Scripted::start(answers);
        let output = server.generate(&["--engine-key-env", "MY_KEY"], &[("MY_KEY", KEY)]);
        expect_failure(&["generate"], &output, code, says);
        assert!(!said(&output).contains(KEY), "{}", said(&output));
    };
    refusing(
        vec![models(&["a", "b"])],
        2,
        &["several models", "--model", "a, b"],
    );
    refusing(vec![models(&[])], 2, &["lists no model"]);
    refusing(
        vec![("200 OK", "<html>".to_owned())],
        1,
        &["no JSON", "OpenAI-compatible"],
    );
    let wrong = json!({ "error": { "message": format!("Incorrect API key: {KEY}") } });
    refusing(
        vec![("401 Unauthorized", wrong.to_string())],
        1,
        &["401", "Incorrect API key"],
    );
    let elsewhere = (
        "302 Found\r\nLocation: http://evil.example/v1/models",
        String::new(),
    );
    refusing(
        vec![elsewhere],
        1,
        &["redirects", "evil.example", "refused"],
    );
    for (engine, says) in [
        ("file:///etc/passwd", "http://"),
        ("http://me:geheim@h.example", "--engine-key-env"),
    ] {
        let output = command(&["generate", "--engine", engine, "Why?"], &[])
            .output()
            .unwrap();
        expect_failure(&["generate"], &output, 2, &[says]);
        assert!(!said(&output).contains("geheim"));
    }
    let nowhere = "http://127.0.0.1:9";
    let args = [
        "generate",
        "--engine",
        nowhere,
        "--engine-key-env",
        "NO_SUCH",
        "Why?",
    ];
    let output = command(&args, &[]).output().unwrap();
    expect_failure(&args, &output, 2, &["NO_SUCH"]);
}

/// A server that knows chats alone: what needs more says what, before anything is written for it.
#[test]
fn what_a_server_lacks_is_named() {
    let calls: [(&[&str], &[&str]); 4] = [
        (
            &["generate", "--prefer", "brief", "--method", "la"],
            &["makes no token ids", "/tokenize"],
        ),
        (
            &["tpo", "--prefer", "brief"],
            &["makes no token ids", "/tokenize"],
        ),
        (
            &["tpo", "--prefer", "brief", "--method", "amulet"],
            &["base or pref"],
        ),
        (
            &[
                "tpo",
                "--reward",
                "remote",
                "--reward-url",
                "http://127.0.0.1:9",
                "--reward-key-env",
                "NO_SUCH",
            ],
            &["--reward-key-env", "NO_SUCH"],
        ),
    ];
    for (call, says) in calls {
        let server = Scripted::start(vec![models(&["m"]), nowhere(), nowhere()]);
        let args = [call, &["--engine", &server.url, "Why?"]].concat();
        let output = command(&args, &[]).output().unwrap();
        assert!(!output.status.success());
        let error = stderr(&output);
        assert!(
            says.iter().all(|says| error.contains(says)),
            "{args:?}: {error}"
        );
    }
}

/// An evaluation's rows, by method and question.
fn rows(folder: &Path) -> BTreeMap<(String, String), Value> {
    let row = |row: Value| {
        let of = |name: &str| row[name].to_string();
        ((of("method"), of("question")), row)
    };
    lines(&folder.join("answers.jsonl"))
        .into_iter()
        .map(row)
        .collect()
}

#[test]
fn an_evaluation_there_is_the_one_here() {
    let place = Place::new();
    let (_server, url) = serve(&place);
    let questions: Vec<String> = (0..5).map(|number| format!("Why {number}?")).collect();
    let questions = place.write("questions.json", json!(questions).to_string());
    for (name, more) in [
        ("greedy", &["--budget", "0.3"][..]),
        (
            "drawn",
            &["--temperature", "1.2", "--seed", "5", "--top-p", "0.9"],
        ),
    ] {
        let folder = |side: &str| place.text(&format!("{name}-{side}"));
        let (there, here) = (folder("there"), folder("here"));
        let model = place.text("tiny.gguf");
        let fixed = [
            "eval",
            "--prefer",
            "brief",
            "-n",
            "12",
            "--dataset",
            &questions,
            "--json",
            "-o",
        ];
        let own = [
            &there,
            "--engine",
            &url,
            "--model",
            "tiny",
            "--support",
            "97",
        ];
        let told = json(&[&fixed[..], &own, more].concat());
        let own = [&here, "--device", "cpu", "--model", &model];
        let known = json(&[&fixed[..], &own, more].concat());
        assert!(alike(&told, &known), "{name}: {told} {known}");
        let (mut there, here) = (rows(Path::new(&there)), rows(Path::new(&here)));
        assert!(there.len() >= 20 && there.len() == here.len());
        for (key, row) in &mut there {
            let leaned = key.0.contains("la") || key.0.contains("amulet");
            let truncation = row.as_object_mut().unwrap().remove("truncation");
            assert_eq!(truncation.is_some(), leaned, "{key:?}");
            assert!(alike(row, &here[key]), "{name}: {row} {}", here[key]);
        }
    }
}

#[test]
fn an_evaluation_whose_engine_dies_goes_on_from_its_record() {
    let place = Place::new();
    let questions: Vec<String> = (0..40).map(|number| format!("Why {number}?")).collect();
    let questions = place.write("questions.json", json!(questions).to_string());
    let run = |url: &str, folder: &str| {
        let args = [
            "eval",
            "--engine",
            url,
            "--model",
            "tiny",
            "--prefer",
            "brief",
            "-n",
            "12",
            "--method",
            "base,pref",
            "--dataset",
            &questions,
            "-o",
            folder,
            "--batch",
            "2",
        ];
        command(&args, &[])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (server, url) = serve(&place);
    let cut = place.text("cut");
    let mut client = run(&url, &cut);
    let written = || lines(&Path::new(&cut).join("answers.jsonl"));
    while written().len() < 4 {
        assert!(client.try_wait().unwrap().is_none(), "it has ended");
        thread::sleep(Duration::from_millis(2));
    }
    drop(server);
    let output = client.wait_with_output().unwrap();
    expect_failure(&["eval"], &output, 1, &["does not answer"]);
    let before = written();
    assert!((4..80).contains(&before.len()));
    // Another server, at another address.
    let (_server, url) = serve(&place);
    let output = run(&url, &cut).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        written()[..before.len()],
        before,
        "what there was has changed"
    );
    let whole = place.text("whole");
    let output = run(&url, &whole).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let (cut, whole) = (rows(Path::new(&cut)), rows(Path::new(&whole)));
    assert!(cut.len() == 80 && whole.iter().all(|(key, row)| alike(row, &cut[key])));
}
