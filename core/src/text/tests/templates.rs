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

#[test]
fn conversations_render_as_transformers_renders_them() {
    let fixture = fixture();
    assert!(fixture.cases.len() >= 14);
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
