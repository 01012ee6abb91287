//! A reward model behind a server (`--reward remote`), in the shapes that vLLM documents: a server that reads what it is asked and
//! scores it, over real sockets, and ones that answer something else.

use crate::common::place::Place;
use crate::common::{expect_failure, parsed, said, stderr};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

const KEY: &str = "sk-geheim-0123456789";

/// What the server finds of an answer, and of what was asked for.
fn worth(question: &str, answer: &str) -> f64 {
    let vowels = answer.chars().filter(|c| "aeiou".contains(*c)).count();
    vowels as f64 - answer.len() as f64 / 8.0 + question.len() as f64 / 64.0
}

/// A server of a reward model.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// One that answers a request's path and body like that.
    fn answering(answer: fn(&str, &Value) -> Option<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream.unwrap(), answer, &seen));
            }
        });
        Self { url, asked }
    }

    /// One as vLLM is.
    fn start() -> Self {
        Self::answering(|path, body| {
            let turn = |at: usize| body["messages"][at]["content"].as_str();
            let one = || Some(worth(turn(0)?, turn(1)?));
            match path {
                "/v1/models" => Some(json!({ "data": [{ "id": "rm", "owned_by": "vllm" }] })),
                "/classify" => Some(json!({ "data": [
                    { "index": 0, "label": "LABEL_0", "probs": [one()?], "num_classes": 1 },
                ] })),
                "/pooling" => Some(json!({ "data": [
                    { "index": 0, "object": "pooling", "data": [[0.25], [one()?]] },
                ] })),
                "/score" => {
                    let question = body["text_1"].as_str()?;
                    let answers = body["text_2"].as_array()?.iter().enumerate();
                    let score = |(index, answer): (usize, &Value)| {
                        let score = worth(question, answer.as_str()?);
                        Some(json!({ "index": index, "object": "score", "score": score }))
                    };
                    let scores: Option<Vec<Value>> = answers.map(score).collect();
                    // In any order.
                    Some(json!({ "data": scores?.into_iter().rev().collect::<Vec<_>>() }))
                }
                _ => None,
            }
        })
    }
}

fn serve(
    mut stream: TcpStream,
    answer: fn(&str, &Value) -> Option<Value>,
    seen: &Mutex<Vec<(String, Value)>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (status, told) = match answer(&path, &body) {
        Some(told) => ("200 OK", told),
        None => (
            "400 Bad Request",
            json!({ "error": { "message": format!("no, {KEY}") } }),
        ),
    };
    seen.lock().unwrap().push((head, body));
    let told = told.to_string();
    let length = told.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    // Who asked may have gone.
    let _ = stream.write_all((head + &told).as_bytes());
}

fn tpo(place: &Place, url: &str, more: &[&str]) -> Output {
    let fixed = [
        "tpo",
        "-n",
        "12",
        "--max-text-tokens",
        "12",
        "--samples",
        "3",
        "--temperature",
        "1",
        "--rounds",
        "1",
        "--prompts",
        "compact",
        "--reward-url",
        url,
        "--json",
        "Why?",
    ];
    let vars = [("MY_KEY", KEY), ("PERIAPT_LOG", "debug")];
    place.run_with(&[&fixed[..], more].concat(), b"", &vars)
}

fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(place.path(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_refinement_is_scored_by_a_server_in_each_shape() {
    let (place, server) = (Place::new(), Server::start());
    for (at, shape, more) in [
        ("", "/classify", &[][..]),
        (
            "/v1/classify",
            "/classify",
            &["--prefer", "brief", "--reward-model", "rm"],
        ),
        ("/pooling", "/pooling", &[]),
        ("/score", "/score", &[]),
    ] {
        server.asked.lock().unwrap().clear();
        let name = format!("{}.jsonl", at.replace('/', "-"));
        let record = place.text(&name);
        let own = [
            "--reward",
            "remote",
            "--record",
            &record,
            "--reward-key-env",
            "MY_KEY",
        ];
        let url = format!("{}{at}", server.url);
        let output = tpo(&place, &url, &[&own[..], more].concat());
        let answer = parsed(&["tpo"], &output);
        assert!(!said(&output).contains(KEY));
        let candidates = answer["candidates"].as_array().unwrap();
        assert!(candidates.len() >= 3, "{answer}");
        let written = lines(&place, &name);
        // The wish is part of what is asked.
        let question = match written[0]["preference"].as_str() {
            Some(wish) => format!("Why?\n\n{wish}"),
            None => "Why?".to_owned(),
        };
        assert_eq!(question == "Why?", more.is_empty());
        for candidate in candidates {
            let own = worth(&question, candidate["text"].as_str().unwrap());
            assert!(
                (candidate["reward"].as_f64().unwrap() - own).abs() < 1e-5,
                "{shape}: {candidate}"
            );
        }
        for (head, body) in server.asked.lock().unwrap().iter() {
            let bearer = format!("authorization: bearer {KEY}");
            assert!(head.to_ascii_lowercase().contains(&bearer));
            if head.starts_with("POST") {
                assert!(head.starts_with(&format!("POST {shape} ")), "{head}");
                assert_eq!(
                    (&body["model"], &body["use_activation"]),
                    (&json!("rm"), &json!(false))
                );
            }
        }
        assert_eq!(written[0]["reward"], "remote");
        assert_eq!(
            written[0]["reward_model"],
            json!({ "name": "rm", "sha256": null })
        );
        assert_eq!(
            written[0]["reward_engine"],
            format!("{}{shape}", server.url)
        );
        // It is taken up, whatever the server's address is by now, and nothing is written anew.
        let other = Server::start();
        let url = format!("{}{at}", other.url);
        let output = tpo(&place, &url, &[&own[..], more].concat());
        assert_eq!(parsed(&["tpo"], &output)["text"], answer["text"]);
        assert_eq!(lines(&place, &name).len(), written.len());
    }
    // Beside others, with its weight.
    let output = tpo(
        &place,
        &server.url,
        &["--prefer", "brief", "--reward", "remote:0.5+preference"],
    );
    assert_eq!(
        parsed(&["tpo"], &output)["reward_name"],
        "remote:0.5+preference"
    );
}

#[test]
fn answers_are_scored_by_a_server() {
    let (place, server) = (Place::new(), Server::start());
    let texts = ["The owl sees the moon.", "No."];
    let files: Vec<String> = (0..2)
        .map(|at| place.write(&format!("{at}.txt"), texts[at]))
        .collect();
    let call = [
        "score",
        "--prefer",
        "In plain words.",
        "--reward",
        "remote",
        "--reward-url",
        &server.url,
        "--response",
        &files[0],
        "--response",
        &files[1],
    ];
    let told = place.ok(&[&call[..], &["--json", "Why?"]].concat(), b"");
    let scores = told["scores"].as_array().unwrap();
    for (score, text) in scores.iter().zip(texts) {
        assert_eq!(
            score["remote"],
            worth("Why?\n\nIn plain words.", text),
            "{score}"
        );
        assert!(score["preference_score"].is_number() && score.get("fit").is_none());
    }
    assert_eq!(told["reward_model"]["name"], "rm");
    assert_eq!(told["reward_engine"], format!("{}/classify", server.url));
    let shown = said(&place.run(&[&call[..], &["Why?"]].concat()));
    assert!(
        shown.contains("remote")
            && shown.contains(&format!("{:+.4}", scores[0]["remote"].as_f64().unwrap())),
        "{shown}"
    );
}

#[test]
fn what_scores_nothing_is_refused_before_anything_is_written() {
    let place = Place::new();
    type Answer = fn(&str, &Value) -> Option<Value>;
    const MODELS: &str = "/v1/models";
    let cases: [(Answer, &str, i32, &[&str]); 6] = [
        (
            |_, _| Some(json!({ "data": [] })),
            "",
            2,
            &["lists no model", "--reward-model"],
        ),
        (
            |path, _| match path {
                MODELS => Some(json!({ "data": [{ "id": "a" }, { "id": "b" }] })),
                _ => None,
            },
            "",
            2,
            &["several models", "--reward-model", "a, b"],
        ),
        (
            |path, _| match path {
                MODELS => Some(json!({ "data": [{ "id": "a" }] })),
                _ => Some(json!({ "data": [{ "probs": [0.5, 0.5], "num_classes": 2 }] })),
            },
            "",
            1,
            &["2 numbers", "/classify"],
        ),
        (
            |path, _| match path {
                MODELS => Some(json!({ "data": [{ "id": "a" }] })),
                _ => Some(json!({ "data": [{ "data": "AAAA" }] })),
            },
            "/pooling",
            1,
            &["no numbers", "/pooling"],
        ),
        (
            |path, _| match path {
                MODELS => Some(json!({ "data": [{ "id": "a" }] })),
                _ => Some(json!({ "data": [{ "index": 1, "score": 0.5 }] })),
            },
            "/score",
            1,
            &["no score for each answer", "/score"],
        ),
        (
            |path, _| match path {
                MODELS => Some(json!({ "data": [{ "id": "a" }] })),
                _ => None,
            },
            "",
            1,
            &["400", "no, "],
        ),
    ];
    for (answer, at, code, says) in cases {
        let server = Server::answering(answer);
        let record = place.text("none.jsonl");
        let url = format!("{}{at}", server.url);
        let own = [
            "--reward",
            "remote",
            "--record",
            &record,
            "--reward-key-env",
            "MY_KEY",
        ];
        let output = tpo(&place, &url, &own);
        expect_failure(&["tpo"], &output, code, says);
        assert!(!said(&output).contains(KEY), "{}", stderr(&output));
        assert!(!place.path("none.jsonl").exists());
    }
    let nowhere = "http://127.0.0.1:9";
    for (more, says) in [
        (
            &["--reward", "judge"][..],
            &["--reward-url", "remote alone"][..],
        ),
        (
            &["--reward", "remote+classifier", "--reward-model", "x"],
            &["--reward-model", "take one of these"],
        ),
        (
            &["--reward", "remote", "--reward-key-env", "NO_SUCH"],
            &["--reward-key-env", "NO_SUCH"],
        ),
    ] {
        expect_failure(more, &tpo(&place, nowhere, more), 2, says);
    }
    let without = ["tpo", "--reward", "remote", "Why?"];
    place.fails(&without, b"", 2, &["--reward-url"]);
    let answer = place.write("answer.txt", "So.");
    let score = [
        "score",
        "--prefer",
        "a",
        "--response",
        &answer,
        "Why?",
        "--reward",
    ];
    place.fails(
        &[&score[..], &["remote"]].concat(),
        b"",
        2,
        &["--reward-url"],
    );
    place.fails(
        &[&score[..], &["fit", "--reward-url", nowhere]].concat(),
        b"",
        2,
        &["remote alone"],
    );
    place.fails(
        &[&score[..], &["judge"]].concat(),
        b"",
        2,
        &["fit, preference or remote"],
    );
}
