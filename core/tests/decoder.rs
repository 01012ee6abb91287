//! A tiny random model: prefill equals step by step, rows don't feel each other, both devices
//! agree, and files that describe no decoder are refused by name.

use crate::tiny::{CONTEXT, Tiny, VOCAB};
use periapt_core::device::{self, DeviceChoice, OpenDevice};
use periapt_core::formats::gguf::{Gguf, TensorInfo, TensorType, Value};
use periapt_core::formats::quant::{dequantize, random_blocks};
use periapt_core::model::{Decoder, DecoderBuilder, KvCache, KvType, Logits, ModelError};
use periapt_core::session::read;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Cursor;

fn build(tiny: &Tiny, device: &OpenDevice) -> Result<Decoder, ModelError> {
    let mut file = Cursor::new(tiny.file());
    let gguf = Gguf::read(&mut file)?;
    let mut builder = DecoderBuilder::new(&gguf, &device.device, device.variants(false)[0])?;
    for info in &gguf.tensors {
        let bytes = gguf.read_tensor(&mut file, info)?;
        builder.tensor(info, &bytes)?;
    }
    builder.finish()
}

fn devices() -> Vec<OpenDevice> {
    [DeviceChoice::Cpu, DeviceChoice::Gpu]
        .into_iter()
        .filter_map(|choice| match pollster::block_on(device::open(choice)) {
            Ok(open) => Some(open),
            Err(error) => {
                assert!(std::env::var_os("PERIAPT_REQUIRE_ALL").is_none(), "{error}");
                eprintln!("SKIPPED: {error}");
                None
            }
        })
        .collect()
}

fn prompt(seed: u64, length: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.next_u32() % VOCAB as u32).collect()
}

fn prefill(decoder: &Decoder, prompts: &[Vec<u32>], more: usize) -> (Logits, KvCache) {
    let prefill = decoder.prefill(prompts, more, KvType::F32).unwrap();
    prefill.finish().unwrap()
}

fn values(Logits(logits): Logits, device: &OpenDevice) -> Vec<f32> {
    pollster::block_on(read(logits, device)).unwrap()
}

#[track_caller]
fn assert_near(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= tolerance,
            "{what}[{index}]: got {got}, wanted {want} within {tolerance}"
        );
    }
}

#[test]
fn prefill_equals_step_by_step() {
    for device in devices() {
        let decoder = build(&Tiny::new(11), &device).unwrap();
        // Longer than one chunk, and not a whole number of anything.
        let ids = prompt(1, 150);
        let (at_once, _) = prefill(&decoder, std::slice::from_ref(&ids), 0);
        let (mut logits, mut cache) = prefill(&decoder, &[ids[..1].to_vec()], ids.len() - 1);
        for id in &ids[1..] {
            logits = decoder.step(&[*id], &mut cache).unwrap();
        }
        let what = format!("logits on {}", device.info.name);
        assert_near(
            &what,
            &values(logits, &device),
            &values(at_once, &device),
            1e-4,
        );
    }
}

#[test]
fn rows_of_different_lengths_do_not_feel_each_other() {
    for device in devices() {
        let decoder = build(&Tiny::new(11), &device).unwrap();
        let prompts = [prompt(2, 3), prompt(3, 140), prompt(4, 64), prompt(5, 1)];
        let next = [5, 6, 7, 8];
        let (first, mut cache) = prefill(&decoder, &prompts, 2);
        let first = values(first, &device);
        let second = values(decoder.step(&next, &mut cache).unwrap(), &device);
        for (row, ids) in prompts.iter().enumerate() {
            let (alone, mut cache) = prefill(&decoder, std::slice::from_ref(ids), 2);
            let what = format!("row {row} on {}", device.info.name);
            let of_row = |all: &[f32]| all[row * VOCAB..][..VOCAB].to_vec();
            assert_near(&what, &of_row(&first), &values(alone, &device), 1e-4);
            let alone = decoder.step(&next[row..=row], &mut cache).unwrap();
            assert_near(&what, &of_row(&second), &values(alone, &device), 1e-4);
        }
    }
}

/// Prompts that begin alike, within one pass and across passes, give what each gives alone.
#[test]
fn shared_beginnings_change_nothing() {
    for device in devices() {
        let decoder = build(&Tiny::new(11), &device).unwrap();
        let whole = prompt(21, 400);
        let with = |length: usize, end: u64| [&whole[..length], &prompt(end, 9)].concat();
        let prompts = [
            with(64, 1),
            with(64, 1),
            with(70, 2),
            with(200, 3),
            with(200, 4),
            whole.clone(),
            with(390, 5),
            whole[..128].to_vec(),
            prompt(22, 30),
        ];
        let (together, _) = prefill(&decoder, &prompts, 4);
        let together = values(together, &device);
        for (row, prompt) in prompts.iter().enumerate() {
            let alone = prefill(&decoder, std::slice::from_ref(prompt), 4).0;
            let what = format!("row {row} on {:?}", device.info.kind);
            let row = &together[row * VOCAB..][..VOCAB];
            assert_near(&what, row, &values(alone, &device), 1e-3);
        }
    }
}

#[test]
fn both_devices_agree() {
    let all: Vec<Vec<f32>> = devices()
        .iter()
        .map(|device| {
            let decoder = build(&Tiny::new(11), device).unwrap();
            values(prefill(&decoder, &[prompt(6, 40)], 0).0, device)
        })
        .collect();
    for other in &all[1..] {
        assert_near("GPU against CPU", other, &all[0], 1e-3);
    }
    let spread = all[0].iter().fold(0f32, |most, v| most.max(v.abs()));
    assert!(
        spread > 0.1,
        "logits of {spread} would agree by being nothing"
    );
}

/// The mixture of a Q4_K_M file and more types beside it: wide enough for their blocks, and with types that differ
/// within a layer's q, k and v and within its gate and up. The same numbers as F32 give the same logits.
#[test]
fn mixed_types_give_what_their_numbers_give() {
    let dtype = |name: &str| {
        let part = name.split('.').rev().nth(1).unwrap();
        match (part, name.contains(".0.")) {
            ("token_embd" | "attn_v" | "ffn_down", _) => TensorType::Q6_K,
            ("attn_k", true) => TensorType::MXFP4,
            ("attn_output", true) => TensorType::Q5_K,
            ("attn_output", false) => TensorType::Q2_K,
            ("ffn_up", false) => TensorType::Q3_K,
            ("output", _) => TensorType::IQ4_NL,
            _ => TensorType::Q4_K,
        }
    };
    let mut tiny = Tiny::new(11);
    for (key, value) in &mut tiny.metadata {
        match key.as_str() {
            "llama.embedding_length" => *value = Value::U32(256),
            "llama.feed_forward_length" => *value = Value::U32(512),
            _ => {}
        }
    }
    for (_, shape) in &mut tiny.tensors {
        for size in shape {
            *size = match *size {
                VOCAB => VOCAB,
                96 => 512,
                size => 4 * size,
            };
        }
    }
    for device in devices() {
        let gguf = Gguf::read(&mut Cursor::new(tiny.file())).unwrap();
        let builder = || {
            let variant = device.variants(false)[0];
            DecoderBuilder::new(&gguf, &device.device, variant).unwrap()
        };
        let (mut mixed, mut floats) = (builder(), builder());
        let mut state = 5;
        for info in &gguf.tensors {
            let elements = info.shape.iter().product::<usize>();
            let mut values = vec![1.0; elements];
            if info.shape.len() == 2 {
                let dtype = dtype(&info.name);
                let blocks = elements / dtype.block_size();
                let bytes = random_blocks(dtype, blocks, 0.1, &mut state);
                dequantize(dtype, &bytes, &mut values).unwrap();
                let bytes_long = bytes.len() as u64;
                let info = TensorInfo {
                    dtype,
                    bytes: bytes_long,
                    ..info.clone()
                };
                mixed.tensor(&info, &bytes).unwrap();
            }
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let info = TensorInfo {
                dtype: TensorType::F32,
                bytes: bytes.len() as u64,
                ..info.clone()
            };
            floats.tensor(&info, &bytes).unwrap();
            if info.shape.len() == 1 {
                mixed.tensor(&info, &bytes).unwrap();
            }
        }
        let logits = |builder: DecoderBuilder| {
            let decoder = builder.finish().unwrap();
            let (first, mut cache) = prefill(&decoder, &[prompt(6, 40)], 1);
            let second = decoder.step(&[3], &mut cache).unwrap();
            [values(first, &device), values(second, &device)].concat()
        };
        let (got, want) = (logits(mixed), logits(floats));
        assert_near(&format!("{:?}", device.info.kind), &got, &want, 1e-3);
        let spread = want.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert!(
            spread > 0.1,
            "logits of {spread} would agree by being nothing"
        );
    }
}

#[test]
fn files_that_are_no_decoder_are_refused_by_name() {
    let device = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
    let refused = |change: &dyn Fn(&mut Tiny)| {
        let mut tiny = Tiny::new(11);
        change(&mut tiny);
        build(&tiny, &device).unwrap_err().to_string()
    };
    let set = |tiny: &mut Tiny, key: &str, value: Value| {
        tiny.metadata.retain(|(k, _)| k != key);
        tiny.metadata.push((key.to_owned(), value));
    };
    for (change, says) in [
        (
            (&|tiny: &mut Tiny| {
                set(
                    tiny,
                    "general.architecture",
                    Value::String("bert".to_owned()),
                )
            }) as &dyn Fn(&mut Tiny),
            "bert",
        ),
        (
            &|tiny| set(tiny, "llama.attention.head_count_kv", Value::U32(3)),
            "head_count_kv",
        ),
        (
            &|tiny| set(tiny, "llama.attention.head_count", Value::U32(0)),
            "head_count",
        ),
        (
            &|tiny| set(tiny, "llama.block_count", Value::U32(4_000_000)),
            "block_count",
        ),
        (
            &|tiny| set(tiny, "llama.block_count", Value::U32(3)),
            "blk.2.",
        ),
        (
            &|tiny| set(tiny, "llama.feed_forward_length", Value::U32(64)),
            "ffn_",
        ),
        (
            &|tiny| {
                set(
                    tiny,
                    "llama.rope.scaling.type",
                    Value::String("longrope".to_owned()),
                )
            },
            "longrope",
        ),
        (
            &|tiny| set(tiny, "llama.rope.freq_base", Value::F32(f32::NAN)),
            "freq_base",
        ),
        (
            &|tiny| tiny.metadata.retain(|(k, _)| !k.ends_with("epsilon")),
            "epsilon",
        ),
        (
            &|tiny| tiny.tensors.retain(|(n, _)| n != "blk.1.ffn_up.weight"),
            "blk.1.ffn_up.weight",
        ),
        (
            &|tiny| tiny.tensors.push(("rope_turns.weight".to_owned(), vec![8])),
            "rope_turns",
        ),
    ] {
        let error = refused(change);
        assert!(error.contains(says), "{error:?} does not name {says:?}");
    }
}

#[test]
fn prompts_that_cannot_be_run_are_refused() {
    let device = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
    let decoder = build(&Tiny::new(11), &device).unwrap();
    let error = |prompts: &[Vec<u32>], more| {
        decoder
            .prefill(prompts, more, KvType::F32)
            .unwrap_err()
            .to_string()
    };
    assert!(error(&[vec![]], 0).contains("no tokens"));
    assert!(error(&[], 0).contains("no tokens"));
    assert!(error(&[vec![VOCAB as u32]], 0).contains("97"));
    assert!(error(&[vec![1; CONTEXT as usize]], 1).contains("1024"));
    let (_, mut cache) = prefill(&decoder, &[vec![1; CONTEXT as usize]], 0);
    assert!(
        decoder
            .step(&[1], &mut cache)
            .unwrap_err()
            .to_string()
            .contains("full")
    );
    assert!(
        decoder
            .step(&[9999], &mut cache)
            .unwrap_err()
            .to_string()
            .contains("9999")
    );
}
