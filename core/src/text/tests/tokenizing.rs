//! Tokenizer and detokenizer on a small vocabulary, and on broken ones.

use proptest::prelude::*;

use super::{CONTROL, PRE, fixture, tiny, tiny_spec};
use crate::text::{Tokenizer, TokenizerSpec};

#[test]
fn each_pre_tokenizer_equals_the_python_package() {
    let fixture = fixture();
    for pre in PRE {
        let tokenizer = tiny(pre);
        for (line, expected) in fixture.lines.iter().zip(&fixture.tiny.ids[pre]) {
            assert_eq!(
                &tokenizer.encode(line).unwrap(),
                expected,
                "{pre}: {line:?}"
            );
        }
    }
}

#[test]
fn control_tokens_only_where_they_are_meant() {
    let tokenizer = tiny("llama-bpe");
    let text = CONTROL.join("") + "<think>x";
    let plain = tokenizer.encode(&text).unwrap();
    assert!(!plain.iter().any(|id| tokenizer.is_control(*id)));
    assert_eq!(tokenizer.decode(&plain).unwrap(), text);
    let special = tokenizer.encode_with_special(&text).unwrap();
    assert_eq!(
        special[..10],
        [601, 602, 603, 604, 605, 606, 607, 608, 609, 610]
    );
    assert!(special[..9].iter().all(|id| tokenizer.is_control(*id)));
    assert!(!tokenizer.is_control(610), "user-defined");
    assert_eq!(tokenizer.decode(&special).unwrap(), text);
    assert!(tokenizer.is_end_of_generation(602) && tokenizer.is_end_of_generation(603));
    assert!(!tokenizer.is_end_of_generation(601));
}

/// `llama-bpe` takes a piece that is a token whole: not if that is a control token.
#[test]
fn a_control_token_that_is_a_word_stays_a_word() {
    let mut spec = tiny_spec("llama-bpe");
    let id = spec
        .tokens
        .iter()
        .position(|t| t == "Ġunreachable")
        .unwrap();
    let id = u32::try_from(id).unwrap();
    let text = "x unreachable";
    assert!(
        Tokenizer::new(spec.clone())
            .unwrap()
            .encode(text)
            .unwrap()
            .contains(&id)
    );
    spec.eot = Some(id);
    spec.token_types.as_mut().unwrap()[id as usize] = 3;
    let tokenizer = Tokenizer::new(spec).unwrap();
    let ids = tokenizer.encode(text).unwrap();
    assert!(!ids.contains(&id));
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    assert!(tokenizer.is_control(id) && tokenizer.is_end_of_generation(id));
}

#[test]
fn ids_outside_the_vocabulary() {
    let tokenizer = tiny("smollm");
    let size = u32::try_from(tokenizer.vocab_size()).unwrap();
    for id in [size, u32::MAX] {
        assert!(tokenizer.decode(&[0, id]).is_err());
        assert!(tokenizer.detokenize_stream().push(id).is_err());
        assert_eq!(tokenizer.piece(id), None);
        assert!(tokenizer.token_bytes(id).is_none());
        assert!(!tokenizer.is_control(id) && !tokenizer.is_end_of_generation(id));
    }
}

#[test]
fn a_character_waits_for_its_last_byte() {
    let tokenizer = tiny("gpt-2");
    let emoji = tokenizer.encode("🦀").unwrap();
    let mut stream = tokenizer.detokenize_stream();
    let pieces: Vec<String> = emoji.iter().map(|id| stream.push(*id).unwrap()).collect();
    assert_eq!(pieces.concat(), "🦀");
    assert!(pieces.len() > 1 && pieces[0].is_empty());
    assert_eq!(stream.push(602).unwrap(), "", "control tokens say nothing");
    assert_eq!(stream.push(emoji[0]).unwrap(), "");
    assert_eq!(stream.finish(), "\u{fffd}");
}

#[test]
fn broken_vocabularies_are_refused() {
    type Break = fn(&mut TokenizerSpec);
    let cases: [(Break, &str); 14] = [
        (|s| s.model = "bert".into(), "\"bert\" is not supported"),
        (|s| s.pre = None, "names no pre-tokenizer"),
        (
            |s| s.pre = Some("deepseek-llm".into()),
            "known ones: smollm, gpt-2, phi-2, qwen2",
        ),
        (|s| s.tokens.clear(), "empty"),
        (|s| s.merges.clear(), "has no merges"),
        (|s| s.merges[7] = "nosuch token".into(), "merge 7"),
        (|s| s.merges[7] = "nospace".into(), "one space"),
        (|s| s.merges[7] = "a b c".into(), "one space"),
        (|s| s.merges[7] = String::new(), "one space"),
        (|s| s.merges[7] = " ".into(), "merge 7"),
        (
            |s| s.merges.push(["Ġunreachable", "Ġunreachable"].join(" ")),
            "names no token",
        ),
        (|s| s.token_types = Some(vec![1; 3]), "3 token types"),
        (|s| s.token_types.as_mut().unwrap()[9] = 77, "type 77"),
        (|s| s.tokens[601] = "x".repeat(300), "300 bytes"),
    ];
    for (break_it, expected) in cases {
        let mut spec = tiny_spec("smollm");
        break_it(&mut spec);
        let error = Tokenizer::new(spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut spec = tiny_spec("smollm");
    spec.merges = vec![String::new(); (1 << 22) + 1];
    assert!(
        Tokenizer::new(spec)
            .unwrap_err()
            .to_string()
            .contains("limit")
    );
}

#[test]
fn a_byte_without_a_token_is_named() {
    let mut spec = tiny_spec("smollm");
    let index = spec.tokens.iter().position(|t| t == "ð").unwrap();
    spec.tokens[index] = "?gone?".to_owned();
    let kept = |merge: &String| !merge.contains('ð');
    spec.merges.retain(kept);
    let error = Tokenizer::new(spec)
        .unwrap()
        .encode("ab😀")
        .unwrap_err()
        .to_string();
    assert!(error.contains("byte 0xf0") && error.contains('😀') && error.contains("byte 2"));
}

proptest! {
    #[test]
    fn decode_undoes_encode(text in "(\\PC|\\s|[0-9]|<\\|im_end\\|>|[\\x00-\\x1f]){0,60}", pre in 0..4usize) {
        let tokenizer = tiny(PRE[pre]);
        let ids = tokenizer.encode(&text).unwrap();
        if PRE[pre] != "qwen2" {
            prop_assert_eq!(&tokenizer.decode(&ids).unwrap(), &text);
        }
        let mut stream = tokenizer.detokenize_stream();
        let mut streamed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
        streamed += &stream.finish();
        prop_assert_eq!(streamed, tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn any_ids_stream_to_what_they_decode_to(ids in prop::collection::vec(0u32..601, 0..40)) {
        let tokenizer = tiny("smollm");
        let mut stream = tokenizer.detokenize_stream();
        let mut streamed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
        streamed += &stream.finish();
        prop_assert_eq!(streamed, tokenizer.decode(&ids).unwrap());
    }

    #[test]
    fn hostile_vocabularies_never_panic(
        tokens in prop::collection::vec("[ab Ġ<|>]{0,3}", 0..12),
        merges in prop::collection::vec("[ab Ġ]{0,4}", 0..6),
        types in prop::option::of(prop::collection::vec(0..8i32, 0..12)),
        ids in prop::collection::vec(prop::option::of(0..14u32), 3),
        pre in 0..4usize,
    ) {
        let spec = TokenizerSpec {
            model: "gpt2".into(), pre: Some(PRE[pre].into()), tokens, merges, token_types: types,
            bos: ids[0], eos: ids[1], eot: ids[2], add_bos: true, ..Default::default()
        };
        if let Ok(tokenizer) = Tokenizer::new(spec) {
            for text in ["aab b", "<|>", "ab"] {
                if let Ok(ids) = tokenizer.encode(text) {
                    prop_assert!(!ids.iter().any(|id| tokenizer.is_control(*id)));
                    prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text);
                }
            }
        }
    }
}
