//! The snippets of `core/tests/fixtures/jinja.json`, changed: none may crash or run long, and those
//! that come out unchanged, or as another snippet, must render as jinja2 renders them.
//!
//! Input: two bytes that choose a snippet, then any number of edits: where (two bytes), how many
//! bytes go, how many come, and these.

#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::text::{ChatTemplate, Message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    messages: Vec<Message>,
    snippets: Vec<(String, Option<String>)>,
}

/// What we refuse and jinja2 doesn't; core's test of the same name says why.
const REFUSED: [&str; 4] = [
    "{{ none[1:] }}",
    "{{ 'hello'['a':] }}",
    "{{ {'a': 1}[1:] }}",
    "{{ 5[1:] }}",
];

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let text = include_str!("../../core/tests/fixtures/jinja.json");
    serde_json::from_str(text).expect("the fixture is JSON")
});

static EXPECTED: LazyLock<HashMap<&str, Option<&str>>> = LazyLock::new(|| {
    let snippets = FIXTURE.snippets.iter();
    snippets
        .map(|(source, text)| (&**source, text.as_deref()))
        .collect()
});

fuzz_target!(|data: &[u8]| {
    let [low, high, edits @ ..] = data else {
        return;
    };
    let index = usize::from(u16::from_le_bytes([*low, *high]));
    let mut source = FIXTURE.snippets[index % FIXTURE.snippets.len()]
        .0
        .clone()
        .into_bytes();
    let mut edits = edits;
    while let [low, high, gone, come, rest @ ..] = edits {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % (source.len() + 1);
        let end = source.len().min(at + usize::from(*gone));
        let new = &rest[..rest.len().min(usize::from(*come))];
        edits = &rest[new.len()..];
        source.splice(at..end, new.iter().copied());
    }
    let Ok(source) = String::from_utf8(source) else {
        return;
    };
    let rendered = ChatTemplate::new(&source, "<s>", "</s>").and_then(|mut template| {
        template.set_today("2026-03-07".parse().ok());
        template.render(&FIXTURE.messages, true)
    });
    if let Some(expected) = EXPECTED.get(&*source)
        && !REFUSED.contains(&&*source)
    {
        assert_eq!(rendered.ok().as_deref(), *expected, "{source}");
    }
});
