//! Tests of the folder as a whole; what several of them need.
#![allow(clippy::unwrap_used)]

mod added;
mod corpus;
mod golden;
mod hostile_template;
mod injection;
mod templates;
mod tokenizing;

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Message, Role, Tokenizer, TokenizerSpec};
use crate::formats::gguf::Gguf;

/// `tests/fixtures/text_tokenizer.json`; `text_make.py` beside it says what is what.
#[derive(Deserialize)]
struct Fixture {
    lines: Vec<String>,
    smollm2: Vec<Vec<u32>>,
    tiny: Tiny,
}

#[derive(Deserialize)]
struct Tiny {
    tokens: Vec<String>,
    merges: Vec<String>,
    ids: std::collections::BTreeMap<String, Vec<Vec<u32>>>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../../tests/fixtures/text_tokenizer.json")).unwrap()
}

/// The texts that [`tiny`] has as control tokens, after the 601 ordinary ones.
const CONTROL: [&str; 9] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<s>",
    "</s>",
    "[INST]",
];

/// A small byte-level vocabulary with [`CONTROL`] and one user-defined token, `<think>`.
fn tiny_spec(pre: &str) -> TokenizerSpec {
    let Tiny {
        mut tokens, merges, ..
    } = fixture().tiny;
    let mut types = vec![1; tokens.len()];
    tokens.extend(CONTROL.map(str::to_owned));
    types.resize(tokens.len(), 3);
    tokens.push("<think>".to_owned());
    types.push(4);
    TokenizerSpec {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        tokens,
        merges,
        token_types: Some(types),
        ..Default::default()
    }
}

/// The known pre-tokenizers.
const PRE: [&str; 4] = ["smollm", "gpt-2", "qwen2", "llama-bpe"];

fn tiny(pre: &str) -> &'static Tokenizer {
    static ALL: LazyLock<[Tokenizer; 4]> =
        LazyLock::new(|| PRE.map(|pre| Tokenizer::new(tiny_spec(pre)).unwrap()));
    &ALL[PRE.iter().position(|known| *known == pre).unwrap()]
}

/// The header of the real default model, where the environment names it.
fn real_model() -> Option<Gguf> {
    let Some(path) = std::env::var_os("PERIAPT_TEST_MODEL") else {
        assert!(
            std::env::var_os("PERIAPT_REQUIRE_ALL").is_none_or(|v| v != "1"),
            "PERIAPT_TEST_MODEL is not set, and PERIAPT_REQUIRE_ALL=1 asks for every test"
        );
        eprintln!("SKIPPED: PERIAPT_TEST_MODEL is not set");
        return None;
    };
    Some(Gguf::read(&mut std::fs::File::open(path).unwrap()).unwrap())
}

fn real_tokenizer(model: &Gguf) -> Tokenizer {
    Tokenizer::new(crate::load::tokenizer_spec(&model.metadata).unwrap()).unwrap()
}

fn message(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.to_owned(),
    }
}
