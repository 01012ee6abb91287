//! The real model's tokenizer and template against ids made elsewhere.

use serde_json::Value;

use super::{fixture, message, real_model, real_tokenizer};
use crate::text::{ChatTemplate, Role, Tokenizer};

/// Amulet's system prompt (its prompts.py), with the preference at the end.
const AMULET: &str = "You are an AI designed to provide the most helpful, clear, and concise \
    responses. Focus on giving actionable information, ensuring accuracy and detail without \
    overwhelming the user. You should also be patient, polite, and calm. Avoid unnecessary \
    complexity and always prioritize practical, user-friendly advice. ";

#[test]
fn lines_encode_as_the_python_package_does() {
    let Some(model) = real_model() else { return };
    let tokenizer = real_tokenizer(&model);
    let fixture = fixture();
    for (line, expected) in fixture.lines.iter().zip(&fixture.smollm2) {
        let ids = tokenizer.encode(line).unwrap();
        assert_eq!(&ids, expected, "{line:?}");
        assert_eq!(&tokenizer.decode(&ids).unwrap(), line);
        assert!(!ids.iter().any(|id| tokenizer.is_control(*id)));
    }
    let error = tokenizer.encode("a\u{4}").unwrap_err().to_string();
    assert!(error.contains("no token for byte 0x04"), "{error}");
}

#[test]
fn conversations_encode_as_the_golden_run() {
    let Some(model) = real_model() else { return };
    let tokenizer = real_tokenizer(&model);
    let source = model.metadata.str("tokenizer.chat_template").unwrap();
    let special = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
    let template = ChatTemplate::new(source, &special(tokenizer.bos()), "<|im_end|>").unwrap();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/golden/smollm2_135m_q4_1.json"
    );
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();

    let mut amulet = 0;
    for case in golden["cases"].as_array().unwrap() {
        let user = case["user"].as_str().unwrap();
        check(
            &tokenizer,
            &template,
            case["system"].as_str(),
            user,
            &case["token_ids"],
        );
        if case["amulet"].is_object() {
            amulet += 1;
            let preference = case["prefer"].as_str().unwrap_or_default();
            for (preference, ids) in [("", "base_ids"), (preference, "pref_ids")] {
                let system = format!("{AMULET}{preference}");
                check(
                    &tokenizer,
                    &template,
                    Some(&system),
                    user,
                    &case["amulet"][ids],
                );
            }
        }
        let greedy: Vec<u32> = serde_json::from_value(case["greedy"].clone()).unwrap();
        let mut stream = tokenizer.detokenize_stream();
        let mut text: String = greedy.iter().map(|id| stream.push(*id).unwrap()).collect();
        text += &stream.finish();
        assert_eq!(text, case["greedy_text"].as_str().unwrap());
    }
    assert!(amulet > 0);
}

fn check(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    system: Option<&str>,
    user: &str,
    expected: &Value,
) {
    let mut messages: Vec<_> = system
        .map(|s| message(Role::System, s))
        .into_iter()
        .collect();
    messages.push(message(Role::User, user));
    let ids = template.encode(tokenizer, &messages, true).unwrap();
    let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(ids, expected, "{system:?} {user:?}");
    let rendered = template.render(&messages, true).unwrap();
    assert_eq!(tokenizer.encode_with_special(&rendered).unwrap(), expected);
    assert_eq!(tokenizer.decode(&ids).unwrap(), rendered);
    assert!(tokenizer.is_end_of_generation(2) && !tokenizer.is_end_of_generation(504));
}
