//! Conversations with a system prompt, in every template's own way, against jinja2.
#![allow(clippy::unwrap_used)]

use super::*;
use serde::Deserialize;

/// `chat_fold.json`; `fold_make.py` beside it says what is what, and where people met it.
#[derive(Deserialize)]
struct Fixture {
    conversations: Vec<Vec<Message>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Absent where it is a file in `templates/`.
    source: Option<String>,
    expected: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    how: String,
    rendered: String,
}

const DAY: Today = Today {
    year: 2026,
    month: 3,
    day: 7,
};

fn chat(source: &str) -> Chat {
    let mut chat = Chat::new(source, "<s>", "</s>").unwrap();
    chat.set_today(Some(DAY));
    chat
}

fn message(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.to_owned(),
    }
}

/// What the template writes, and what became of the system prompt.
fn rendered(chat: &Chat, messages: &[Message], fold: bool) -> (String, SystemPrompt) {
    let way = chat.way(messages, true, fold).unwrap();
    let given = way.give(messages);
    let text = match way.parts {
        true => chat.of_parts().unwrap().render(&given, true),
        false => chat.template.render(&given, true),
    };
    (text.unwrap(), way.of_system())
}

#[test]
fn no_template_loses_a_system_prompt() {
    let text = include_str!("../../../tests/fixtures/chat_fold.json");
    let fixture: Fixture = serde_json::from_str(text).unwrap();
    assert!(fixture.cases.len() >= 34);
    let mut wrong = Vec::new();
    for Case {
        name,
        source,
        expected,
    } in fixture.cases
    {
        let source = source.unwrap_or_else(|| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/templates");
            std::fs::read_to_string(format!("{folder}/{name}.jinja")).unwrap()
        });
        let chat = chat(&source);
        for (messages, expected) in fixture.conversations.iter().zip(expected) {
            let (text, how) = rendered(&chat, messages, true);
            let how = serde_json::to_value(how).unwrap();
            if how != *expected.how || text != expected.rendered {
                wrong.push(format!(
                    "{name}: {how} {text:?}, not {} {:?}",
                    expected.how, expected.rendered
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plain_question_is_asked_as_transformers_would() {
    let system = [message(Role::System, "S"), message(Role::User, "Q")];
    // It knows the role, and leaves the prompt out.
    let skips = "{% for m in messages if m.role != 'system' %}{{ m.content }}|{% endfor %}";
    let (text, how) = rendered(&chat(skips), &system, false);
    assert_eq!((text.as_str(), how), ("Q|", SystemPrompt::LeftOut));
    let (text, how) = rendered(&chat(skips), &system, true);
    assert_eq!((text.as_str(), how), ("S\n\nQ|", SystemPrompt::Folded));
    // It knows nothing of it.
    let unaware =
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}|{% endif %}{% endfor %}";
    let (text, how) = rendered(&chat(unaware), &system, false);
    assert_eq!((text.as_str(), how), ("S\n\nQ|", SystemPrompt::Folded));
    let refuses = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ m.content }}{% endfor %}";
    let (text, how) = rendered(&chat(refuses), &system, false);
    assert_eq!((text.as_str(), how), ("S\n\nQ", SystemPrompt::Folded));
}

#[test]
fn an_empty_system_prompt_refuses_nothing_and_adds_nothing() {
    let refuses = chat(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}",
    );
    for empty in ["", " \n"] {
        let messages = [message(Role::System, empty), message(Role::User, "Q")];
        assert_eq!(rendered(&refuses, &messages, true).0, "Q");
    }
    let takes = chat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
    let messages = [message(Role::System, ""), message(Role::User, "Q")];
    assert_eq!(rendered(&takes, &messages, true).0, "<system><user>Q");
    assert_eq!(takes.system_prompt(), Some(SystemPrompt::Shown));
    assert_eq!(refuses.system_prompt(), Some(SystemPrompt::Folded));
}

#[test]
fn what_a_template_refuses_in_any_way_is_its_own_error() {
    let never = chat("{{ raise_exception('never') }}");
    for messages in [
        &[message(Role::User, "Q")][..],
        &[message(Role::System, "S"), message(Role::User, "Q")],
    ] {
        let error = never.way(messages, true, true).unwrap_err().to_string();
        assert!(error.contains("never"), "{error}");
    }
    assert_eq!(never.system_prompt(), None);
    // Neither shows: it is written as it is, and known.
    let deaf = chat("{{ messages|length }}");
    let messages = [message(Role::System, "S"), message(Role::User, "Q")];
    let way = deaf.way(&messages, true, true).unwrap();
    assert!(!way.question && !way.system && way.fold.is_none());
    // Without a system prompt nothing is looked for.
    let way = deaf.way(&messages[1..], true, true).unwrap();
    assert!(!way.question && way.system);
}
