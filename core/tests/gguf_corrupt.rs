//! Damaged and hostile GGUF files: each is an error or a valid parse, never a panic, and none makes
//! the reader take much more memory than the bytes it was given.

#![allow(clippy::unwrap_used)]

use peak_alloc::PeakAlloc;
use periapt_core::formats::gguf::{
    Array, Gguf, GgufError, GgufStream, GgufWriter, StreamEvent, TensorType, Value,
};
use periapt_core::formats::safetensors::Header;
use periapt_core::text::{Tokenizer, TokenizerSpec};
use std::fs::File;
use std::io::{Cursor, Read};
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What the tests share is the allocator's peak: they run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What reading a small file may take: a few buffers of 64 KiB.
const SMALL: usize = 512 * 1024;

/// Bytes that `run` takes at its peak, beside what it returns.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = run();
    (result, MEMORY.peak_usage() - before)
}

/// Reads the file in both ways, all tensors included.
fn read_both_ways(bytes: &[u8]) -> [Result<(), GgufError>; 3] {
    let read = || {
        let mut reader = Cursor::new(bytes);
        let gguf = Gguf::read(&mut reader)?;
        for info in &gguf.tensors {
            let tensor = gguf.read_tensor(&mut reader, info)?;
            assert_eq!(tensor.len() as u64, info.bytes);
        }
        Ok(())
    };
    let stream = |len| {
        let mut stream = GgufStream::new(len);
        for chunk in bytes.chunks(1000) {
            stream.push::<GgufError>(chunk, &mut |_| Ok(()))?;
        }
        stream.finish()
    };
    [read(), stream(Some(bytes.len() as u64)), stream(None)]
}

/// Whether the file is taken, which must not cost much memory.
fn taken(bytes: &[u8]) -> bool {
    let (results, peak) = peak(|| read_both_ways(bytes));
    assert!(peak <= SMALL, "{peak} bytes for a file of {}", bytes.len());
    if let [Ok(()), ..] = results {
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        return true;
    }
    let [_, sized, unsized_] = &results;
    assert!(sized.is_err() && unsized_.is_err(), "{results:?}");
    false
}

/// A file in the likeness of a real one: its bytes, and how many of them are the header.
fn file() -> (Vec<u8>, usize) {
    let words = |count| (0..count).map(|n| format!("token {n}")).collect();
    let mut writer = GgufWriter::new();
    writer
        .metadata("general.architecture", Value::String("llama".to_owned()))
        .metadata("general.alignment", Value::U32(32))
        .metadata("llama.block_count", Value::U32(2))
        .metadata("llama.rope.freq_base", Value::F32(1e5))
        .metadata("tokenizer.ggml.add_bos_token", Value::Bool(false))
        .metadata(
            "tokenizer.ggml.tokens",
            Value::Array(Array::Strings(words(60))),
        )
        .metadata(
            "tokenizer.ggml.token_type",
            Value::Array(Array::I32(vec![1; 60])),
        )
        .metadata(
            "nested",
            Value::Array(Array::Nested(vec![
                Array::U8(vec![1]),
                Array::F64(vec![0.5; 4]),
            ])),
        );
    for layer in 0..4 {
        let name = |part| format!("blk.{layer}.{part}.weight");
        writer
            .tensor(name("attn_norm"), [64], TensorType::F32, [0; 256])
            .tensor(name("ffn_down"), [8, 64], TensorType::Q4_1, [0; 320]);
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    let header = Gguf::read(&mut Cursor::new(&bytes)).unwrap().data_offset;
    (bytes, header as usize)
}

/// Numbers that look random and are the same on every run (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn truncated_files_are_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, _) = file();
    assert!(taken(&bytes));
    // The last tensor's 320 bytes are a multiple of the alignment: no padding can go missing.
    for step in 0..200 {
        let len = bytes.len() * step / 200;
        assert!(
            !taken(&bytes[..len]),
            "a file of {} was cut to {len}",
            bytes.len()
        );
    }
    assert!(!taken(&bytes[..bytes.len() - 1]));
}

#[test]
fn flipped_bytes_never_panic() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, header) = file();
    let mut state = 2;
    let mut refused = 0;
    for _ in 0..1000 {
        let mut flipped = bytes.clone();
        let at = random(&mut state) as usize % header;
        flipped[at] ^= 1 + (random(&mut state) % 255) as u8;
        refused += usize::from(!taken(&flipped));
    }
    // Most bytes are text, where a flip may leave a valid file.
    assert!(
        (200..1000).contains(&refused),
        "{refused} of 1000 files were refused"
    );
}

/// A file of one metadata value, or of one tensor, of those raw bytes.
fn crafted(tensors: u64, keys: u64, entry: &[&[u8]]) -> Vec<u8> {
    let counts = [tensors.to_le_bytes(), keys.to_le_bytes()].concat();
    let name = [&1_u64.to_le_bytes()[..], b"k"].concat();
    let mut bytes = [&b"GGUF\x03\0\0\0"[..], &counts, &name, &entry.concat()].concat();
    bytes.resize(bytes.len() + 4096, 0);
    bytes
}

#[test]
fn hostile_claims_cost_no_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [f32_type, string, array] = [0_u32, 8, 9].map(u32::to_le_bytes);
    let huge = [1_u64 << 63, 1 << 60, 1 << 40, 1 << 33, 1 << 26].map(u64::to_le_bytes);
    let one = 1_u64.to_le_bytes();
    let zero = 0_u64.to_le_bytes();
    for size in huge {
        let one_dimension = 1_u32.to_le_bytes();
        let mut files = vec![
            crafted(1, 0, &[&one_dimension, &size, &f32_type, &zero]),
            crafted(0, 1, &[&string, &size]),
        ];
        for element in 0..=12_u32 {
            files.push(crafted(0, 1, &[&array, &element.to_le_bytes(), &size]));
        }
        for file in files {
            assert!(!taken(&file));
        }
    }
    let hundred_deep = [&array[..], &one].concat().repeat(100);
    assert!(!taken(&crafted(0, 1, &[&array, &hundred_deep])));
    let mut unaligned = file().0;
    let key = b"general.alignment";
    let at = unaligned.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 4;
    assert_eq!(unaligned[at..at + 4], 32_u32.to_le_bytes());
    unaligned[at..at + 4].fill(0);
    assert!(!taken(&unaligned));
    for [tensors, keys] in [[u64::MAX, 0], [0, u64::MAX], [1 << 16, 0], [0, 1 << 16]] {
        assert!(!taken(&crafted(tensors, keys, &[])));
    }
}

#[test]
fn the_meter_sees_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The test harness's own thread may free a few bytes meanwhile.
    const HARNESS: usize = 4096;
    let ((), peak) = peak(|| drop(std::hint::black_box(vec![0_u8; 2 * SMALL + HARNESS])));
    assert!(peak >= 2 * SMALL, "{peak}");
}

#[test]
fn a_stream_holds_one_tensor_at_most() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const TENSOR: usize = 4 << 20;
    let mut writer = GgufWriter::new();
    for index in 0..4 {
        writer.tensor(
            index.to_string(),
            [TENSOR],
            TensorType::Q8_0,
            vec![0; TENSOR / 32 * 34],
        );
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    drop(writer);
    for chunk in [100_000, TENSOR, bytes.len()] {
        let (events, peak) = peak(|| {
            let mut stream = GgufStream::new(None);
            let mut events = 0;
            for chunk in bytes.chunks(chunk) {
                let mut count = |_: StreamEvent<'_>| {
                    events += 1;
                    Ok::<_, GgufError>(())
                };
                stream.push(chunk, &mut count).unwrap();
            }
            stream.finish().unwrap();
            events
        });
        assert_eq!(events, 5);
        // While its room doubles, the buffer is there twice, once at half its size at most.
        let bound = TENSOR / 32 * 34 * 2 + SMALL;
        assert!(peak <= bound, "{peak} bytes in chunks of {chunk}");
    }
}

/// The real model streams as it reads. Its path is in `PERIAPT_TEST_MODEL`.
#[test]
fn the_default_model_reads_in_both_ways() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(path) = std::env::var_os("PERIAPT_TEST_MODEL") else {
        assert!(
            std::env::var("PERIAPT_REQUIRE_ALL").as_deref() != Ok("1"),
            "PERIAPT_TEST_MODEL is not set"
        );
        eprintln!("SKIPPED: the_default_model_reads_in_both_ways: PERIAPT_TEST_MODEL is not set");
        return;
    };
    let mut file = File::open(&path).unwrap();
    let gguf = Gguf::read(&mut file).unwrap();
    assert_eq!(gguf.metadata.str("general.architecture").unwrap(), "llama");
    assert_eq!(
        gguf.metadata
            .strings("tokenizer.ggml.tokens")
            .unwrap()
            .len(),
        49152
    );
    assert_eq!(gguf.tensors.len(), 272);
    let embedding = gguf.tensor("token_embd.weight").unwrap();
    assert_eq!(embedding.shape, [49152, 576]);

    let mut chunks = File::open(&path).unwrap();
    let mut stream = GgufStream::new(None);
    let mut chunk = Vec::new();
    let mut tensors = 0;
    loop {
        chunk.clear();
        (&mut chunks)
            .take(1_000_003)
            .read_to_end(&mut chunk)
            .unwrap();
        if chunk.is_empty() {
            break;
        }
        stream
            .push::<GgufError>(&chunk, &mut |event| {
                match event {
                    StreamEvent::Header(header) => assert_eq!(*header, gguf),
                    StreamEvent::Tensor(_, info, bytes) => {
                        tensors += 1;
                        assert!(gguf.read_tensor(&mut file, info)? == bytes, "{}", info.name);
                    }
                }
                Ok(())
            })
            .unwrap();
    }
    stream.finish().unwrap();
    assert_eq!(tensors, gguf.tensors.len());
}

/// Tokens that are looked for in every text once took 85 times their size, in an automaton.
#[test]
fn user_defined_tokens_take_few_times_their_size() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tokens: Vec<String> = ('!'..='~').map(String::from).collect();
    tokens.extend((0..100_000u32).map(|n| format!("<{:08x}>", n.wrapping_mul(2_654_435_761))));
    let count = tokens.len();
    let text: usize = tokens.iter().map(String::len).sum();
    let mut types = vec![1; count];
    types[94..].fill(4);
    let spec = TokenizerSpec {
        model: "gpt2".to_owned(),
        pre: Some("smollm".to_owned()),
        tokens,
        token_types: Some(types),
        ..TokenizerSpec::default()
    };
    let (tokenizer, peak) = peak(|| Tokenizer::new(spec).unwrap());
    assert!(peak < 36 * text, "{} times {text} bytes", peak / text);
    let ids = tokenizer.encode("a<00000000>").unwrap();
    assert_eq!(ids.last(), Some(&94));
}

/// A header of JSON once took 17 times its size.
#[test]
fn safetensors_headers_take_few_times_their_size() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tensor = |shape: &str| {
        format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{shape}],\"data_offsets\":[0,4]}}}}")
    };
    let ones = "1,".repeat(1 << 21) + "1";
    let many = |count: usize| {
        let entry =
            |n| format!("\"{n}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        let entries: Vec<String> = (0..count).map(entry).collect();
        format!("{{{}}}", entries.join(","))
    };
    for (what, json, times, taken) in [
        ("a shape", tensor(&ones), 4, false),
        (
            "an unknown key",
            format!("{{\"a\":{{\"x\":[{ones}]}}}}"),
            4,
            false,
        ),
        (
            "metadata",
            format!("{{\"__metadata__\":{{\"x\":[{ones}]}}}}"),
            4,
            true,
        ),
        ("many tensors", many(60_000), 12, true),
        ("more than there may be", many(70_000), 12, false),
    ] {
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json.as_bytes());
        let (header, peak) = peak(|| Header::read(&mut Cursor::new(&file)));
        assert_eq!(header.is_ok(), taken, "{what}");
        let size = json.len();
        assert!(
            peak < times * size + SMALL,
            "{what}: {} times {size} bytes",
            peak / size
        );
    }
}
