//! Real models' templates, against transformers' rendering of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::message;
use crate::text::{ChatTemplate, Message, Role, Today};

/// `chat_templates.json`; `chat_make.py` beside it says what is what.
#[derive(Deserialize)]
struct Fixture {
    conversations: Vec<Vec<Message>>,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    bos: String,
    eos: String,
    rendered: Vec<Option<String>>,
}

const DAY: Today = Today {
    year: 2026,
    month: 3,
    day: 7,
};

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../tests/fixtures/chat_templates.json")).unwrap()
}

fn template(name: &str, case: &Case) -> ChatTemplate {
    let path = format!(
        "{}/tests/fixtures/templates/{name}.jinja",
        env!("CARGO_MANIFEST_DIR")
    );
    let source = std::fs::read_to_string(path).unwrap();
    ChatTemplate::new(&source, &case.bos, &case.eos).unwrap()
}

/// `jinja.json`; `jinja_make.py` beside it says what is what.
#[derive(Deserialize)]
struct Snippets {
    messages: Vec<Message>,
    snippets: Vec<(String, Option<String>)>,
    days: Vec<(String, String, String)>,
}

/// What we refuse and jinja2 renders: it computes the text of a constant ahead, by another way than
/// what isn't one, and there a slice of what has none is undefined and no error.
const REFUSED: [&str; 4] = [
    "{{ none[1:] }}",
    "{{ 'hello'['a':] }}",
    "{{ {'a': 1}[1:] }}",
    "{{ 5[1:] }}",
];

fn snippets() -> Snippets {
    serde_json::from_str(include_str!("../../../tests/fixtures/jinja.json")).unwrap()
}

#[test]
fn snippets_render_as_jinja2_renders_them() {
    let Snippets {
        messages, snippets, ..
    } = snippets();
    assert!(snippets.len() >= 300, "{}", snippets.len());
    let mut wrong = Vec::new();
    for (source, expected) in &snippets {
        let rendered = ChatTemplate::new(source, "<s>", "</s>").and_then(|mut template| {
            template.set_today(Some(DAY));
            template.render(&messages, true)
        });
        let refused = REFUSED.contains(&&**source);
        let expected = expected.as_ref().filter(|_| !refused);
        if rendered.as_ref().ok() != expected {
            wrong.push(format!("{source}\n  {rendered:?}\n  not {expected:?}"));
        }
    }
    let count = wrong.len();
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{count} differ:\n{}", wrong.join("\n"));
}

/// A template with CRLF lines is the template with LF lines.
#[test]
fn line_ends_make_no_difference() {
    let fixture = fixture();
    let messages = &fixture.conversations[3];
    for (name, case) in &fixture.cases {
        let plain = template(name, case);
        let crlf = plain.source().replace('\n', "\r\n");
        let crlf = ChatTemplate::new(&crlf, &case.bos, &case.eos).unwrap();
        let texts = [plain, crlf].map(|mut template| {
            template.set_today(Some(DAY));
            template.render(messages, true).ok()
        });
        assert_eq!(texts[0], texts[1], "{name}");
    }
}

#[test]
fn days_are_written_as_python_writes_them() {
    let mut wrong = Vec::new();
    for (day, format, expected) in snippets().days {
        let written = day.parse::<Today>().unwrap().format(&format, 1000);
        if written.as_ref() != Ok(&expected) {
            wrong.push(format!("{day} {format}: {written:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let day: Today = "2026-03-07".parse().unwrap();
    assert!(day.format("%9999999999d", 1000).is_err());
}

#[test]
fn conversations_render_as_transformers_renders_them() {
    let fixture = fixture();
    assert!(fixture.cases.len() >= 40, "{}", fixture.cases.len());
    let (mut refused, mut wrong) = (0, Vec::new());
    for (name, case) in &fixture.cases {
        let mut template = template(name, case);
        template.set_today(Some(DAY));
        let asked = fixture
            .conversations
            .iter()
            .flat_map(|c| [(c, true), (c, false)]);
        assert_eq!(case.rendered.len(), asked.clone().count());
        for ((messages, prompt), expected) in asked.zip(&case.rendered) {
            let rendered = template.render(messages, prompt);
            refused += usize::from(expected.is_none());
            if rendered.as_ref().ok() != expected.as_ref() {
                wrong.push(format!(
                    "{name} {messages:?} {prompt}: {rendered:?}, not {expected:?}"
                ));
            }
        }
    }
    let wrong_count = wrong.len();
    wrong.truncate(3);
    assert!(
        wrong.is_empty(),
        "{wrong_count} differ:\n{}",
        wrong.join("\n")
    );
    assert!(refused > 20, "conversations are refused, too: {refused}");
}

#[test]
fn without_a_day_templates_have_their_own_or_fail() {
    let fixture = fixture();
    let hi = [message(Role::User, "Hi")];
    let render = |name: &str| template(name, &fixture.cases[name]).render(&hi, true);
    assert!(render("llama-3.2-3b").unwrap().contains("26 Jul 2024"));
    let error = render("mistral-small-3.1").unwrap_err().to_string();
    assert!(error.contains("today's date"), "{error}");
    let told = |name: &str| {
        let mut template = template(name, &fixture.cases[name]);
        template.set_today(Some(DAY));
        template.today()
    };
    assert_eq!(told("llama-3.2-3b"), Some(DAY));
    assert_eq!(told("qwen2.5-7b"), None, "it asks for none");
}
