//! A corpus in many scripts through many tokenizers, against the Python packages; tokenizer.json.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{real_model, real_tokenizer};
use crate::formats::gguf::{Array, Gguf, GgufWriter, Value as Meta};
use crate::load::tokenizer_spec;
use crate::text::{TextError, Tokenizer, TokenizerSpec};

/// `corpus.json`; `corpus_make.py` beside it says what is what.
#[derive(Deserialize)]
struct Fixture {
    lines: Vec<String>,
    tokenizers: BTreeMap<String, Value>,
    ids: BTreeMap<String, Vec<String>>,
    decoded: BTreeMap<String, Vec<String>>,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../../tests/fixtures/corpus.json")).unwrap()
    });
    &FIXTURE
}

fn fnv(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    format!("{hash:016x}")
}

fn hash(ids: &[u32]) -> String {
    fnv(ids.iter().flat_map(|id| id.to_le_bytes()))
}

/// The tokenizer.json of that name.
pub(super) fn base(name: &str) -> Value {
    fixture().tokenizers[name].clone()
}

fn spec(name: &str) -> TokenizerSpec {
    TokenizerSpec::from_json(&fixture().tokenizers[name].to_string(), None).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.detokenize_stream();
    let mut text: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
    text += &stream.finish();
    text
}

/// All lines through `tokenizer`: ids, text and streamed text.
fn check(name: &str, tokenizer: &Tokenizer) {
    let fixture = fixture();
    for (index, line) in fixture.lines.iter().enumerate() {
        let ids = tokenizer.encode(line).unwrap();
        let pieces: Vec<_> = ids.iter().map(|id| tokenizer.piece(*id).unwrap()).collect();
        assert_eq!(
            hash(&ids),
            fixture.ids[name][index],
            "{name}: {line:?} {pieces:?}"
        );
        assert!(!ids.iter().any(|id| tokenizer.is_control(*id)), "{line:?}");
        let text = tokenizer.decode(&ids).unwrap();
        assert_eq!(streamed(tokenizer, &ids), text, "{name}: {line:?}");
        match fixture.decoded.get(name) {
            Some(decoded) => assert_eq!(fnv(text.bytes()), decoded[index], "{name}: {line:?}"),
            None if name == "qwen2" => {}
            None => assert_eq!(&text, line, "{name}"),
        }
    }
}

#[test]
fn each_tokenizer_json_equals_the_python_package() {
    let fixture = fixture();
    assert_eq!((fixture.lines.len(), fixture.tokenizers.len()), (500, 10));
    for name in fixture.tokenizers.keys() {
        let spec = spec(name);
        let expected = match name.as_str() {
            "spm" | "gemma" => ("llama", None, false),
            "metaspace" => ("llama", None, true),
            "other" => ("gpt2", None, true),
            name => ("gpt2", Some(name), false),
        };
        let got = (
            spec.model.as_str(),
            spec.pre.as_deref(),
            spec.json.is_some(),
        );
        assert_eq!(got, expected, "{name}");
        assert_eq!(
            spec.add_space_prefix,
            ["spm", "metaspace"].contains(&name.as_str())
        );
        check(name, &Tokenizer::new(spec).unwrap());
    }
}

/// As a GGUF file has them: no merges, but scores.
#[test]
fn scores_stand_for_the_merges() {
    for name in ["spm", "gemma"] {
        let mut spec = spec(name);
        assert!(spec.scores.is_some());
        spec.merges.clear();
        check(name, &Tokenizer::new(spec.clone()).unwrap());
        spec.scores.as_mut().unwrap().reverse();
        let other = Tokenizer::new(spec.clone()).unwrap();
        let differs =
            |(line, hashed): (&String, &String)| hash(&other.encode(line).unwrap()) != *hashed;
        let fixture = fixture();
        assert!(fixture.lines.iter().zip(&fixture.ids[name]).any(differs));
        spec.scores = None;
        let error = Tokenizer::new(spec).unwrap_err().to_string();
        assert!(error.contains("scores"), "{error}");
    }
}

#[test]
fn the_real_vocabulary_equals_the_python_package() {
    let Some(model) = real_model() else { return };
    let tokenizer = real_tokenizer(&model);
    let fixture = fixture();
    let mut unencodable = 0;
    for (line, expected) in fixture.lines.iter().zip(&fixture.ids["smollm2"]) {
        match tokenizer.encode(line) {
            Ok(ids) => {
                assert_eq!(&hash(&ids), expected, "{line:?}");
                assert_eq!(&tokenizer.decode(&ids).unwrap(), line);
            }
            // The Python package drops what has no token.
            Err(TextError::Unencodable { .. }) => unencodable += 1,
            Err(error) => panic!("{line:?}: {error}"),
        }
    }
    assert!(unencodable < 25, "{unencodable}");
}

#[test]
fn bytes_that_no_token_has() {
    let tokenizer = Tokenizer::new(spec("spm")).unwrap();
    let ids = tokenizer.encode("\u{10fffd}").unwrap();
    let pieces: Vec<_> = ids
        .iter()
        .map(|id| tokenizer.token_bytes(*id).unwrap())
        .collect();
    assert_eq!(pieces.concat(), " \u{10fffd}".as_bytes());
    assert_eq!(pieces.len(), 5, "one token a byte, after the space");
    assert!(tokenizer.encode("").unwrap().is_empty());
    // Typed names of tokens stay text.
    for text in ["<s>", "</s>", "<unk>", "<0x0A>", "<s> a </s>"] {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    let ids = tokenizer.encode_with_special("<s>a</s>b").unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "<s> a</s> b");
    let later = Tokenizer::new(spec("metaspace")).unwrap();
    let ids = later.encode_with_special("<s>a</s>b").unwrap();
    assert_eq!(
        later.decode(&ids).unwrap(),
        "<s>a</s>b",
        "a space at the beginning alone"
    );
    // And without byte tokens there is an error, no token for what is unknown.
    let mut spec = spec("spm");
    for kind in spec.token_types.as_mut().unwrap() {
        if *kind == 6 {
            *kind = 5;
        }
    }
    let error = Tokenizer::new(spec)
        .unwrap()
        .encode("ab \u{10fffd}")
        .unwrap_err();
    assert!(error.to_string().contains("at byte 3"), "{error}");
}

#[test]
fn the_configuration_says_which_tokens_begin_and_end() {
    let mut file = fixture().tokenizers["spm"].clone();
    let read = |file: &Value, config: Option<&str>| {
        let spec = TokenizerSpec::from_json(&file.to_string(), config).unwrap();
        (spec.bos, spec.eos, spec.unknown, spec.add_bos)
    };
    assert_eq!(read(&file, None), (None, None, Some(0), false));
    let config =
        r#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "x": []}"#;
    assert_eq!(
        read(&file, Some(config)),
        (Some(1), Some(2), Some(0), false)
    );
    let asked = config.replace("\"x\": []", "\"add_bos_token\": true");
    assert!(read(&file, Some(&asked)).3);
    file["post_processor"] = json!({"type": "Sequence", "processors": [
        {"type": "ByteLevel"},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}
    ]});
    assert!(read(&file, Some(config)).3);
    let declined = config.replace("\"x\": []", "\"add_bos_token\": false");
    assert!(!read(&file, Some(&declined)).3);
}

#[test]
fn metadata_gives_the_same_tokenizer() {
    let file = fixture().tokenizers["spm"].to_string();
    let read = |entries: Vec<(&str, Meta)>| {
        let mut writer = GgufWriter::new();
        for (key, value) in entries {
            writer.metadata(format!("tokenizer.{key}"), value);
        }
        let mut bytes = Vec::new();
        writer.write(&mut bytes).unwrap();
        let gguf = Gguf::read(&mut Cursor::new(bytes)).unwrap();
        tokenizer_spec(&gguf.metadata).unwrap()
    };
    let strings = |texts: &[String]| Meta::Array(Array::Strings(texts.to_vec()));
    let entries = |spec: &TokenizerSpec| {
        let types = Array::I32(spec.token_types.clone().unwrap());
        let scores = Array::F32(spec.scores.clone().unwrap_or_default());
        vec![
            ("ggml.model", Meta::String("llama".to_owned())),
            ("ggml.tokens", strings(&spec.tokens)),
            ("ggml.token_type", Meta::Array(types)),
            ("ggml.scores", Meta::Array(scores)),
        ]
    };
    let plain = read(entries(&spec("spm")));
    let ids = (plain.bos, plain.eos, plain.unknown);
    assert_eq!(ids, (Some(1), Some(2), Some(0)));
    assert!(plain.add_bos && plain.add_space_prefix && plain.json.is_none());
    check("spm", &Tokenizer::new(plain).unwrap());
    let mut bare = entries(&spec("gemma"));
    bare.push(("ggml.add_space_prefix", Meta::Bool(false)));
    check("gemma", &Tokenizer::new(read(bare)).unwrap());
    let mut unnamed = entries(&spec("other"));
    unnamed.drain(2..);
    unnamed[0].1 = Meta::String("gpt2".to_owned());
    unnamed.push(("ggml.merges", strings(&spec("other").merges)));
    unnamed.push(("ggml.pre", Meta::String("nosuch".to_owned())));
    assert!(matches!(
        Tokenizer::new(read(unnamed.clone())),
        Err(TextError::UnknownPreTokenizer(_))
    ));
    let other = fixture().tokenizers["other"].to_string();
    unnamed.push(("huggingface.json", Meta::String(other)));
    let unnamed = Tokenizer::new(read(unnamed)).unwrap();
    let of_other = Tokenizer::new(spec("other")).unwrap();
    for line in fixture()
        .lines
        .iter()
        .filter(|line| !line.contains("think>"))
    {
        assert_eq!(
            unnamed.encode(line).unwrap(),
            of_other.encode(line).unwrap()
        );
    }
    let whole = read(vec![
        ("huggingface.json", Meta::String(file)),
        ("ggml.bos_token_id", Meta::U32(1)),
    ]);
    assert_eq!(whole.bos, Some(1));
    check("spm", &Tokenizer::new(whole).unwrap());
}

#[test]
fn broken_files_are_refused_by_name() {
    type Break = fn(&mut Value);
    let cases: [(Break, &str); 19] = [
        (|f| f["model"]["type"] = json!("WordPiece"), "encoder-only"),
        (|f| f["model"]["type"] = json!("Unigram"), "Unigram"),
        (|f| f["model"]["type"] = Value::Null, "of no type"),
        (|f| f["model"] = json!(3), "invalid type"),
        (
            |f| f["model"]["end_of_word_suffix"] = json!("</w>"),
            "end_of_word_suffix",
        ),
        (
            |f| f["model"]["byte_fallback"] = json!(false),
            "neither byte-level",
        ),
        (|f| f["model"]["vocab"]["x y"] = json!(5), "token 5"),
        (
            |f| f["model"]["vocab"]["x y"] = json!(4_000_000_000u32),
            "4000000001",
        ),
        (|f| f["model"]["vocab"]["x y"] = json!(1_000_000), "1000001"),
        (|f| f["model"]["vocab"]["x y"] = json!(-1), "-1"),
        (
            |f| f["model"]["merges"] = json!([["a ", "b"]]),
            "holds a space",
        ),
        (|f| f["model"]["merges"] = json!([1]), "Merges"),
        (|f| f["added_tokens"][0]["id"] = json!(7), "token 7"),
        (
            |f| f["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
            "Precompiled is not supported",
        ),
        (
            |f| {
                f["normalizer"] =
                    json!({"type": "Replace", "pattern": {"Regex": "a*"}, "content": ""})
            },
            "no plain pattern",
        ),
        (
            |f| {
                let step = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
                f["normalizer"] = json!({"type": "Sequence", "normalizers": vec![step; 9]});
            },
            "too long",
        ),
        (
            |f| f["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": "a".repeat(5000)}, "behavior": "Isolated", "invert": false}),
            "Split is too long",
        ),
        (
            |f| f["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            "tokenizer.json:",
        ),
        (
            |f| {
                for _ in 0..40 {
                    let inner = f["pre_tokenizer"].take();
                    f["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [inner]});
                }
            },
            "too many steps",
        ),
    ];
    for (break_it, expected) in cases {
        let mut file = fixture().tokenizers["spm"].clone();
        break_it(&mut file);
        let error = TokenizerSpec::from_json(&file.to_string(), None);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let deep = format!("{{\"normalizer\": {}", "[".repeat(100_000));
    for text in ["", "{", "null", "[]", "{}", &deep] {
        assert!(TokenizerSpec::from_json(text, None).is_err());
        let file = fixture().tokenizers["spm"].to_string();
        assert!(text == "{}" || TokenizerSpec::from_json(&file, Some(text)).is_err());
    }
}

/// Patterns that match nothing at all, at all places, or everything.
#[test]
fn odd_patterns_do_no_harm() {
    for pattern in ["", "x*", "^", "$", "(?=a)", ".", r"[\s\S]*", r"\b"] {
        for kind in ["Regex", "String"] {
            for behavior in [
                "Removed",
                "Isolated",
                "MergedWithPrevious",
                "MergedWithNext",
                "Contiguous",
            ] {
                for invert in [true, false] {
                    let mut file = fixture().tokenizers["spm"].clone();
                    file["pre_tokenizer"] = json!({
                        "type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert
                    });
                    let Ok(spec) = TokenizerSpec::from_json(&file.to_string(), None) else {
                        continue;
                    };
                    let tokenizer = Tokenizer::new(spec).unwrap();
                    for text in ["", "a", "axxa é🦀 x", "\n"] {
                        assert!(tokenizer.encode(text).is_ok(), "{pattern} {text}");
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn hostile_scored_vocabularies_never_panic(
        tokens in prop::collection::vec("[ab▁<0xA>]{0,4}", 0..12),
        scores in prop::collection::vec(prop::num::f32::ANY, 12),
        types in prop::collection::vec(1..7i32, 12),
        add_space_prefix in prop::bool::ANY,
    ) {
        let count = tokens.len();
        let spec = TokenizerSpec {
            model: "llama".into(), tokens, scores: Some(scores[..count].to_vec()),
            token_types: Some(types[..count].to_vec()), add_space_prefix, ..Default::default()
        };
        if let Ok(tokenizer) = Tokenizer::new(spec) {
            for text in ["aab b", "<0xA>", "▁ab", ""] {
                if let Ok(ids) = tokenizer.encode(text) {
                    prop_assert!(!ids.iter().any(|id| tokenizer.is_control(*id)));
                    let text = tokenizer.decode(&ids).unwrap();
                    prop_assert_eq!(streamed(&tokenizer, &ids), text);
                }
            }
        }
    }
}
