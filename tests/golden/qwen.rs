//! The models that people use, Qwen2.5-Coder 0.5B and 1.5B, against an independent implementation
//! (`tests/fixtures/golden/qwen.py`). They are too large to be pulled for a test: each is held to its numbers where it is in
//! the user's store or `PERIAPT_TEST_QWEN` names its file (several as in `PATH`), and else the test skips aloud, with
//! PERIAPT_REQUIRE_ALL set, too.

use super::{LOGITS, PACKED_LOGITS, generate};
use crate::common::{self, hub::hex};
use periapt::store::Store;
use periapt_core::decoding::{Conversation, Method};
use periapt_core::device::DeviceChoice;
use periapt_core::formats::gguf::Gguf;
use periapt_core::load::tokenizer_spec;
use periapt_core::model::KvType;
use periapt_core::text::{Message, Tokenizer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SMALL: (&str, &str) = ("qwen2.5-coder:0.5b", "qwen2.5-coder-0.5b.json");
const LARGE: (&str, &str) = ("qwen2.5-coder:1.5b", "qwen2.5-coder-1.5b.json");

/// Prompts that an adapter in software reads, on which the long one takes minutes; a GPU reads all.
const SOFTWARE_PROMPTS: usize = 2;

/// A model of this size takes a gigabyte and more, and every core: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The golden of that name, and the very file that it was made from, where that is here.
fn golden((model, golden): (&str, &str)) -> Option<(Value, PathBuf)> {
    let golden = common::golden(golden);
    let named = std::env::var_os("PERIAPT_TEST_QWEN").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
    let stored = Store::open().and_then(|store| store.path(model));
    let mut here = named.chain(stored.ok().flatten());
    let Some(path) = here.find(|path| is_of(path, &golden)) else {
        eprintln!(
            "SKIPPED: {model} with the SHA-256 {} is neither in the store nor named by PERIAPT_TEST_QWEN",
            golden["sha256"]
        );
        return None;
    };
    Some((golden, path))
}

fn is_of(path: &Path, golden: &Value) -> bool {
    let mut file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if golden["bytes"] != file.metadata().unwrap().len() {
        return false;
    }
    let (mut sha256, mut chunk) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => return golden["sha256"] == hex(sha256.finalize()),
            read => sha256.update(&chunk[..read]),
        }
    }
}

fn lines_encode_as_the_python_package_does(model: (&str, &str)) {
    let Some((golden, path)) = golden(model) else {
        return;
    };
    let gguf = Gguf::read(&mut File::open(path).unwrap()).unwrap();
    let tokenizer = Tokenizer::new(tokenizer_spec(&gguf.metadata).unwrap()).unwrap();
    let lines = golden["lines"].as_array().unwrap();
    for line in lines {
        let text = line[0].as_str().unwrap();
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids, common::ids(&line[1]), "{text:?}");
    }
    assert!(lines.len() >= 60, "{} lines", lines.len());
}

#[test]
fn qwen_05b_encodes_lines_as_the_python_package_does() {
    lines_encode_as_the_python_package_does(SMALL);
}

#[test]
fn qwen_15b_encodes_lines_as_the_python_package_does() {
    lines_encode_as_the_python_package_does(LARGE);
}

fn equals_the_reference_on(model: (&str, &str), choice: DeviceChoice, kv: KvType, tolerance: f32) {
    let _alone = alone();
    let Some((golden, path)) = golden(model) else {
        return;
    };
    let Some(device) = common::device(choice) else {
        return;
    };
    let session = common::load(&path, &device, kv);
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    let read = match device.info.software && device.info.is_gpu() {
        true => SOFTWARE_PROMPTS,
        false => cases.len(),
    };
    let mut answered = 0;
    for case in &cases[..read] {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let name = format!("{} on {:?}: {messages:?}", model.0, device.info);

        let prompt = session.encode_chat(&messages).unwrap();
        assert_eq!(prompt, common::ids(&case["token_ids"]), "{name}");

        let got = pollster::block_on(session.next_logits(&prompt)).unwrap();
        let best = case["top_logits"].as_array().unwrap();
        assert_eq!(best.len(), 20);
        for pair in best {
            let id = pair[0].as_u64().unwrap() as usize;
            let (got, want) = (got[id], pair[1].as_f64().unwrap() as f32);
            assert!(
                (got - want).abs() <= tolerance,
                "{name}: logit of token {id}: got {got}, wanted {want} within {tolerance}"
            );
        }
        // No other token is better than those.
        let least = best[19][1].as_f64().unwrap() as f32;
        let better = got.iter().filter(|got| **got > least + tolerance).count();
        assert!(
            better < best.len(),
            "{name}: {better} tokens are above {least}"
        );

        if case["greedy"].is_null() {
            continue;
        }
        let [system, question] = &messages[..] else {
            panic!("{name}: the golden answer is to a system prompt and a question");
        };
        let conversation = Conversation {
            system: Some(system.content.clone()),
            question: question.content.clone(),
            ..Conversation::default()
        };
        // Its races are won by far more than the tolerance: qwen.py takes no others.
        let want = common::ids(&case["greedy"]);
        let got = generate(&session, conversation, Method::Base, want.len());
        assert_eq!(got.ids, want, "{name}");
        answered += 1;
    }
    assert_eq!(answered, 1);
}

#[test]
fn qwen_05b_equals_the_reference_on_the_cpu() {
    equals_the_reference_on(SMALL, DeviceChoice::Cpu, KvType::F32, LOGITS);
}

#[test]
fn qwen_05b_stays_close_to_the_reference_on_the_gpu() {
    equals_the_reference_on(SMALL, DeviceChoice::Gpu, KvType::F16, PACKED_LOGITS);
}

#[test]
fn qwen_15b_equals_the_reference_on_the_cpu() {
    equals_the_reference_on(LARGE, DeviceChoice::Cpu, KvType::F32, LOGITS);
}

#[test]
fn qwen_15b_stays_close_to_the_reference_on_the_gpu() {
    equals_the_reference_on(LARGE, DeviceChoice::Gpu, KvType::F16, PACKED_LOGITS);
}
