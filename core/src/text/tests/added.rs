//! What tokenizer.json says in its many ways, against the Python package `tokenizers`; ends, and ids that say nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::corpus::base;
use super::{message, tiny_spec};
use crate::text::{ChatTemplate, Role, TokenFlags, Tokenizer, TokenizerSpec};

/// `added_tokens.json`; `added_make.py` beside it says what is what.
#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    base: String,
    name: String,
    change: BTreeMap<String, Value>,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    decoded: Vec<String>,
}

impl Case {
    fn json(&self) -> String {
        let mut file = base(&self.base);
        for (key, value) in &self.change {
            match (key.as_str(), value) {
                ("model", Value::Object(model)) => {
                    let model = model.clone().into_iter();
                    model.for_each(|(key, value)| file["model"][key] = value);
                }
                ("merges", form) => {
                    file["model"]["merges"] = merges(&file["model"]["merges"], form)
                }
                (key, value) => file[key] = value.clone(),
            }
        }
        file.to_string()
    }
}

/// The same merges, written as lines or as pairs.
fn merges(merges: &Value, form: &Value) -> Value {
    let merges = merges.as_array().unwrap().iter();
    let pairs = merges.map(|merge| match merge {
        Value::String(line) => {
            let (left, right) = line.split_once(' ').unwrap();
            [left.to_owned(), right.to_owned()]
        }
        pair => [0, 1].map(|at| pair[at].as_str().unwrap().to_owned()),
    });
    match form == "lines" {
        true => {
            let version = std::iter::once("#version: 0.2".to_owned());
            version.chain(pairs.map(|pair| pair.join(" "))).collect()
        }
        false => pairs.map(|pair| json!(pair)).collect(),
    }
}

fn cases() -> Vec<Case> {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../../../tests/fixtures/added_tokens.json")).unwrap();
    fixture.cases
}

/// What people report of other readers: https://github.com/ggml-org/llama.cpp/issues/7049 (rstrip of Phi-3's tokens),
/// https://github.com/iree-org/iree/pull/23805 (rstrip is no condition), https://github.com/huggingface/tokenizers/issues/575
/// (lstrip of a mask), https://github.com/huggingface/transformers/issues/33371 (both),
/// https://github.com/ggml-org/llama.cpp/issues/9692 (merges as pairs).
#[test]
fn every_way_to_say_it_gives_the_python_packages_ids() {
    let cases = cases();
    assert_eq!(cases.len(), 125);
    let mut wrong = Vec::new();
    for case in &cases {
        let spec = TokenizerSpec::from_json(&case.json(), None).unwrap();
        let tokenizer = Tokenizer::new(spec.clone()).unwrap();
        let expected = case.texts.iter().zip(&case.ids).zip(&case.decoded);
        for ((text, ids), decoded) in expected {
            let name = format!("{} {}: {text:?}", case.base, case.name);
            let got = tokenizer.encode_with_special(text).unwrap();
            if got != *ids {
                wrong.push(format!("{name}: {got:?} instead of {ids:?}"));
                continue;
            }
            let got = tokenizer.decode(&got).unwrap();
            if got != *decoded {
                wrong.push(format!("{name}: {got:?} instead of {decoded:?}"));
            }
            // What is typed is never a control token.
            let typed = tokenizer.encode(text).unwrap();
            assert!(!typed.iter().any(|id| tokenizer.is_control(*id)), "{name}");
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A GGUF file has no flags: the tokenizer.json that it then carries has.
#[test]
fn flags_survive_where_only_metadata_is_kept() {
    for case in cases().iter().filter(|case| case.name.contains("strip")) {
        let spec = TokenizerSpec::from_json(&case.json(), None).unwrap();
        let json = spec.json.clone().unwrap();
        assert_eq!(TokenizerSpec::flags_of_json(&json).unwrap(), spec.flags);
        assert!(
            spec.flags
                .values()
                .any(|flags| flags.lstrip || flags.rstrip)
        );
    }
}

/// The chat template's ids are those of the Python package on the text that the template renders.
#[test]
fn a_templates_tokens_take_their_spaces() {
    let case = cases()
        .into_iter()
        .find(|case| case.base == "llama-bpe" && case.name == "both, of two");
    let spec = TokenizerSpec::from_json(&case.unwrap().json(), None).unwrap();
    let tokenizer = Tokenizer::new(spec).unwrap();
    for source in [
        "{% for m in messages %}<|im|>{{ m.role }}\n{{ m.content }} <|sep|>\n<|im|> \n{% endfor %}<|im|>assistant\n",
        "{% for m in messages %}{{ '<|' + 'im|>' }}\n{{ m.content }}\n{{ '<|i' + 'm|>' }}{% endfor %}",
    ] {
        let template = ChatTemplate::new(source, "", "").unwrap();
        for content in ["hi", "  hi  ", "", " ", "a\n\n", "<|im|> x"] {
            let messages = [message(Role::User, content)];
            let ids = template.encode(&tokenizer, &messages, true).unwrap();
            let rendered = template.render(&messages, true).unwrap();
            match content.contains("<|im|>") {
                // Typed, it stays text.
                true => {
                    assert!(tokenizer.decode(&ids).unwrap().contains("<|im|> x"))
                }
                false => assert_eq!(
                    ids,
                    tokenizer.encode_with_special(&rendered).unwrap(),
                    "{content:?}"
                ),
            }
        }
    }
}

#[test]
fn the_configuration_adds_what_the_tokenizer_lacks() {
    let file = base("llama-bpe").to_string();
    let plain = TokenizerSpec::from_json(&file, None).unwrap();
    let (next, known) = (
        plain.tokens.len(),
        plain.tokens.iter().position(|t| t == "<think>"),
    );
    let known = known.unwrap();
    let lower = |t: &String| t.len() > 2 && t.bytes().all(|b| b.is_ascii_lowercase());
    let word = plain.tokens.iter().position(lower).unwrap();
    let text = plain.tokens[word].as_str();
    let config = json!({ "added_tokens_decoder": {
        next.to_string(): { "content": "<|late|>", "special": true, "rstrip": true, "lstrip": false, "normalized": false, "single_word": false },
        // The file's own flags count.
        known.to_string(): { "content": "<think>", "special": true, "rstrip": true },
        word.to_string(): { "content": text, "special": false, "normalized": false },
    } });
    let spec = TokenizerSpec::from_json(&file, Some(&config.to_string())).unwrap();
    assert_eq!(spec.tokens[next], "<|late|>");
    let flags = TokenFlags {
        rstrip: true,
        ..TokenFlags::default()
    };
    assert_eq!(spec.flags, BTreeMap::from([(next as u32, flags)]));
    // What is kept has the token, too.
    let again = TokenizerSpec::from_json(spec.json.as_ref().unwrap(), None).unwrap();
    assert_eq!((&again.tokens, &again.flags), (&spec.tokens, &spec.flags));
    let tokenizer = Tokenizer::new(spec).unwrap();
    assert!(tokenizer.is_control(next as u32) && !tokenizer.is_control(known as u32));
    assert_eq!(
        tokenizer.encode_with_special("<|late|> \n").unwrap(),
        [next as u32]
    );
    assert_eq!(tokenizer.encode(text).unwrap(), [word as u32]);
    // One that is in two places is an error with both names.
    let config = json!({ "added_tokens_decoder": { "5": { "content": "<|late|>" } } });
    let error = TokenizerSpec::from_json(&file, Some(&config.to_string())).unwrap_err();
    assert!(error.to_string().contains("are both token 5"), "{error}");
}

/// https://github.com/ggml-org/llama.cpp/issues/9606, https://github.com/lmstudio-ai/mlx-engine/pull/142: what ends an
/// answer is named in many places, or in none.
#[test]
fn every_end_that_is_named_or_known_ends() {
    let mut spec = tiny_spec("llama-bpe");
    let id = |text: &str, spec: &TokenizerSpec| {
        spec.tokens.iter().position(|t| t == text).unwrap() as u32
    };
    let (word, user) = (id("Ġunreachable", &spec), id("<|user|>", &spec));
    let (system, inst, close) = (
        id("<|system|>", &spec),
        id("[INST]", &spec),
        id("</s>", &spec),
    );
    (spec.eos, spec.eot, spec.eom) = (Some(user), Some(word), Some(system));
    spec.ends = vec![inst, 4_000_000_000];
    let tokenizer = Tokenizer::new(spec.clone()).unwrap();
    for end in [
        word,
        user,
        system,
        inst,
        close,
        id("<|im_end|>", &spec),
        id("<|endoftext|>", &spec),
    ] {
        assert!(tokenizer.is_end_of_generation(end), "{end}");
    }
    assert!(!tokenizer.is_end_of_generation(id("<s>", &spec)));
    // A word that ends answers stays a word.
    assert!(!tokenizer.is_control(word));
    assert!(tokenizer.encode("x unreachable").unwrap().contains(&word));
    // Qwen's vocabularies have `</s>` as text.
    spec.token_types.as_mut().unwrap()[close as usize] = 1;
    let tokenizer = Tokenizer::new(spec).unwrap();
    assert!(!tokenizer.is_end_of_generation(close) && !tokenizer.is_control(close));
}

/// https://github.com/ggml-org/llama.cpp/issues/7898: an id that names an ordinary character, or nothing.
#[test]
fn ids_that_name_text_or_nothing_are_not_there() {
    let text = "What? No!";
    let expected = Tokenizer::new(tiny_spec("smollm"))
        .unwrap()
        .encode(text)
        .unwrap();
    let of = |text: &str| {
        tiny_spec("smollm")
            .tokens
            .iter()
            .position(|t| t == text)
            .unwrap() as u32
    };
    for wrong in [of("!"), of("o"), of("Ġunreachable"), 611, u32::MAX] {
        let mut spec = tiny_spec("smollm");
        (spec.bos, spec.unknown, spec.add_bos) = (Some(wrong), Some(wrong), true);
        spec.ends = vec![wrong];
        spec.eos = Some(wrong);
        let tokenizer = Tokenizer::new(spec.clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), expected);
        assert_eq!(tokenizer.bos(), None);
        // And where the types are missing.
        spec.token_types = None;
        let tokenizer = Tokenizer::new(spec).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), expected);
    }
    let mut spec = tiny_spec("smollm");
    spec.bos = Some(of("<s>"));
    spec.token_types.as_mut().unwrap()[of("<s>") as usize] = 1;
    assert!(
        Tokenizer::new(spec).unwrap().is_control(of("<s>")),
        "by how it is written"
    );
}

/// https://github.com/ggml-org/llama.cpp/issues/25739, and Gemma's files: several tokens of one text, and of none.
#[test]
fn equal_and_empty_tokens_load() {
    let mut spec = tiny_spec("llama-bpe");
    let types = spec.token_types.as_mut().unwrap();
    let unreachable = spec
        .tokens
        .iter()
        .position(|t| t == "Ġunreachable")
        .unwrap();
    let first = spec.tokens.len();
    for (text, kind) in [
        ("<unused>", 5),
        ("<unused>", 5),
        ("", 1),
        ("", 3),
        ("", 4),
        ("Ġunreachable", 5),
        ("<s>", 3),
    ] {
        spec.tokens.push(text.to_owned());
        types.push(kind);
    }
    let tokenizer = Tokenizer::new(spec.clone()).unwrap();
    assert_eq!(tokenizer.vocab_size(), first + 7);
    // An unused one takes no text from another; of control tokens the last counts.
    assert!(
        tokenizer
            .encode("x unreachable")
            .unwrap()
            .contains(&(unreachable as u32))
    );
    assert_eq!(
        tokenizer.encode_with_special("<s>").unwrap(),
        [first as u32 + 6]
    );
    let ids: Vec<u32> = (0..first as u32 + 7).collect();
    let text = tokenizer.decode(&ids).unwrap();
    assert!(
        text.ends_with("<unused><unused> unreachable<s>"),
        "{text:?}"
    );
    let mut stream = tokenizer.detokenize_stream();
    ids.iter().for_each(|id| drop(stream.push(*id).unwrap()));
    // Of two ordinary ones the last counts.
    spec.tokens.push("Ġunreachable".to_owned());
    spec.token_types.as_mut().unwrap().push(1);
    let tokenizer = Tokenizer::new(spec).unwrap();
    assert!(
        tokenizer
            .encode("x unreachable")
            .unwrap()
            .contains(&(first as u32 + 7))
    );
}

/// https://github.com/ggml-org/llama.cpp/issues/3732, https://github.com/ggml-org/llama.cpp/issues/9692
#[test]
fn byte_level_tokens_without_merges_are_refused() {
    let mut spec = tiny_spec("qwen2");
    spec.merges.clear();
    let error = Tokenizer::new(spec.clone()).unwrap_err().to_string();
    assert!(
        error.contains("no merges (tokenizer.ggml.merges)"),
        "{error}"
    );
    let mut file = base("llama-bpe");
    file["model"]["merges"] = json!([]);
    let json = TokenizerSpec::from_json(&file.to_string(), None).unwrap();
    assert!(
        Tokenizer::new(json)
            .unwrap_err()
            .to_string()
            .contains("no merges")
    );
    // A vocabulary of bytes alone needs none.
    let short: Vec<bool> = { spec.tokens.iter() }
        .map(|t| t.chars().nth(1).is_none())
        .collect();
    for (kind, short) in spec.token_types.as_mut().unwrap().iter_mut().zip(short) {
        if *kind == 1 && !short {
            *kind = 5;
        }
    }
    assert_eq!(
        Tokenizer::new(spec).unwrap().encode("abc").unwrap().len(),
        3
    );
}

/// https://github.com/MoonshotAI/Kimina-Prover-Preview/issues/6: rows that pad the embedding are no tokens.
#[test]
fn rows_without_a_token_are_none() {
    let mut spec = tiny_spec("smollm");
    let count = spec.tokens.len();
    spec.tokens[300] = "[PAD300]".to_owned();
    spec.token_types.as_mut().unwrap()[300] = 5;
    spec.merges
        .retain(|merge| !merge.contains(&tiny_spec("smollm").tokens[300]));
    spec.merges.truncate(20);
    for id in count..count + 40 {
        spec.tokens.push(format!("[PAD{id}]"));
        spec.token_types.as_mut().unwrap().push(5);
    }
    let tokenizer = Tokenizer::new(spec.clone()).unwrap();
    assert_eq!(
        (tokenizer.vocab_size(), tokenizer.absent()),
        (count, &[300][..])
    );
    assert!(tokenizer.decode(&[count as u32]).is_err());
    spec.eos = Some(count as u32 + 3);
    assert!(
        !Tokenizer::new(spec.clone())
            .unwrap()
            .is_end_of_generation(count as u32 + 3)
    );
    // What somebody named is a token.
    spec.token_types.as_mut().unwrap()[count + 39] = 3;
    assert_eq!(Tokenizer::new(spec).unwrap().vocab_size(), count + 40);
}

#[test]
fn added_tokens_of_any_number_and_length_are_bounded() {
    let mut spec = tiny_spec("smollm");
    spec.tokens.push("x".repeat(1025));
    spec.token_types.as_mut().unwrap().push(4);
    let error = Tokenizer::new(spec).unwrap_err().to_string();
    assert!(
        error.contains("user-defined token 611 has 1025 bytes"),
        "{error}"
    );
}

#[test]
fn phi_3_says_it_by_its_name() {
    let mut spec = tiny_spec("smollm");
    spec.strip_like_phi3();
    let tokenizer = Tokenizer::new(spec).unwrap();
    let ids = tokenizer
        .encode_with_special("<|user|>\n<s> </s> <|endoftext|> ")
        .unwrap();
    let text = tokenizer.decode(&ids).unwrap();
    assert_eq!(text, "<|user|><s> </s><|endoftext|> ");
}

#[test]
fn a_post_processors_token_comes_once() {
    let mut file = base("qwen2");
    file["post_processor"] = json!({ "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": "BOS", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "special_tokens": { "BOS": { "id": "BOS", "ids": [560], "tokens": ["<|endoftext|>"] } } });
    let spec = TokenizerSpec::from_json(&file.to_string(), None).unwrap();
    assert_eq!((spec.bos, spec.add_bos), (Some(560), true));
    let other = r#"{"bos_token": "<|end|>"}"#;
    let spec = TokenizerSpec::from_json(&file.to_string(), Some(other)).unwrap();
    assert_eq!((spec.bos, spec.add_bos), (Some(561), false));
}
