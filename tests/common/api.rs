//! OpenAI's API of `periapt serve`, as a client of it.

use super::page::{Answer, Page};
use super::place::Place;
use serde_json::{Value, json};
use std::time::Duration;
use temp_dir::TempDir;

/// A server with a tiny model that is called `tiny`.
pub fn start(place: &Place, args: &[&str]) -> Page {
    let model = place.text("tiny.gguf");
    let fixed = ["--device", "cpu", "--model", &model];
    Page::with(TempDir::new().unwrap(), &[&fixed[..], args].concat())
}

pub fn post(server: &Page, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\nHost: HOST\nContent-Length: {}",
        body.len()
    );
    server.post(&head, body.as_bytes())
}

pub fn said(answer: &Answer) -> Value {
    let text = String::from_utf8_lossy(&answer.body);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{} {text}", answer.head))
}

pub fn ask(server: &Page, path: &str, body: &Value) -> Value {
    let answer = post(server, path, body);
    assert_eq!(answer.status, 200, "{body}: {}", said(&answer));
    said(&answer)
}

/// A body in chunks, put together.
pub fn unchunked(body: &[u8]) -> String {
    let (mut rest, mut whole) = (body, Vec::new());
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 4 + size..];
    }
    String::from_utf8(whole).unwrap()
}

/// The events of a stream, whose last is the mark of its end.
pub fn events(server: &Page, path: &str, mut body: Value) -> Vec<Value> {
    body["stream"] = json!(true);
    let answer = post(server, path, &body);
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let text = unchunked(&answer.body);
    let mut events: Vec<&str> = text
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    let parsed = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
    events.into_iter().map(parsed).collect()
}

pub fn chat(question: &str, more: Value) -> Value {
    let mut body = json!({
        "model": "tiny",
        "messages": [{ "role": "user", "content": question }],
        "max_tokens": 24,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

pub const CHAT: &str = "/v1/chat/completions";
pub const TEXT: &str = "/v1/completions";

/// The number behind a line of `/metrics`.
pub fn metric(server: &Page, name: &str) -> f64 {
    let text = String::from_utf8(server.get("/metrics", &[]).body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("{text}"))
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

pub fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(10));
    }
}
