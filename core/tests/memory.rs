//! What is predicted of a model's memory is what it takes, on the CPU backend, where all of it can be measured.

#![allow(clippy::unwrap_used)]

use peak_alloc::PeakAlloc;
use periapt_core::device::{self, DeviceChoice};
use periapt_core::formats::gguf::TensorType;
use periapt_core::model::{Decoder, DecoderConfig, KvType, Memory, Rope, Usage};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

struct Case {
    what: &'static str,
    /// Layers, width, heads, key heads, width of a head, inner width, vocabulary.
    shape: [usize; 7],
    dtype: TensorType,
    rows: usize,
    context: usize,
    kv: KvType,
}

const CASES: [Case; 5] = [
    Case {
        what: "weights",
        shape: [8, 512, 8, 2, 64, 2048, 16_000],
        dtype: TensorType::Q8_0,
        rows: 1,
        context: 128,
        kv: KvType::F32,
    },
    Case {
        what: "keys and values",
        shape: [6, 256, 8, 8, 64, 512, 2000],
        dtype: TensorType::Q4_0,
        rows: 4,
        context: 1024,
        kv: KvType::F32,
    },
    Case {
        what: "a wide layer's activations",
        shape: [1, 256, 4, 4, 64, 16_384, 2000],
        dtype: TensorType::Q4_0,
        rows: 1,
        context: 512,
        kv: KvType::F32,
    },
    Case {
        what: "a large vocabulary, while it is loaded",
        shape: [2, 256, 4, 2, 64, 512, 60_000],
        dtype: TensorType::F16,
        rows: 2,
        context: 256,
        kv: KvType::F32,
    },
    Case {
        what: "eight rows with f16 keys and values",
        shape: [8, 512, 8, 8, 64, 1024, 8000],
        dtype: TensorType::Q4_1,
        rows: 8,
        context: 512,
        kv: KvType::F16,
    },
];

/// Tensors' shapes as the decoder has them, with the embedding for a head.
fn tensors(config: &DecoderConfig, dtype: TensorType) -> Vec<(TensorType, Vec<usize>)> {
    let (width, inner) = (config.width, config.ffn_width);
    let (q, kv) = (
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
    );
    let mut tensors = vec![
        (dtype, vec![config.vocab, width]),
        (TensorType::F32, vec![width]),
    ];
    for _ in 0..config.layers {
        let matrices = [
            [q, width],
            [kv, width],
            [kv, width],
            [width, q],
            [inner, width],
            [inner, width],
            [width, inner],
        ];
        tensors.extend(matrices.map(|shape| (dtype, shape.to_vec())));
        tensors.extend([
            (TensorType::F32, vec![width]),
            (TensorType::F32, vec![width]),
        ]);
    }
    tensors
}

#[test]
fn predicted_memory_is_within_a_tenth_of_what_is_measured() {
    let cpu = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
    let variant = cpu.variants(true)[0];
    // The largest share of each part over the cases: a part that never matters would be tested by nothing.
    let mut shares = [0.0f64; 4];
    for case in &CASES {
        let [layers, width, heads, kv_heads, head_dim, ffn_width, vocab] = case.shape;
        let config = DecoderConfig {
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            ffn_width,
            vocab,
            context: 4096,
            rms_epsilon: 1e-5,
            rope: Rope::plain(10_000.0),
            traits: Default::default(),
        };
        let usage = Usage {
            context: case.context,
            rows: case.rows,
            kv: case.kv,
            gpu: false,
        };
        let tensors = tensors(&config, case.dtype);
        let tensors = tensors.iter().map(|(dtype, shape)| (*dtype, &**shape));
        let predicted = Memory::predict(&config, tensors, usage);

        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let decoder =
            Decoder::random(config, false, |_, _| case.dtype, &cpu.device, variant).unwrap();
        let prompts: Vec<Vec<u32>> = (0..case.rows as u32)
            .map(|row| {
                (0..case.context as u32 - 2)
                    .map(|i| (row + 7 * i) % 1000)
                    .collect()
            })
            .collect();
        let (logits, mut cache) = decoder
            .prefill(&prompts, 2, case.kv)
            .unwrap()
            .finish()
            .unwrap();
        drop(logits);
        for _ in 0..2 {
            let next = vec![3; case.rows];
            let logits = decoder.step(&next, &mut cache).unwrap().0.into_data();
            assert_eq!(logits.shape().num_elements(), case.rows * vocab);
        }
        let measured = (MEMORY.peak_usage() - before) as f64;
        drop((decoder, cache));

        let peak = predicted.peak() as f64;
        let parts = [
            predicted.weights,
            predicted.loading,
            predicted.cache,
            predicted.activations,
        ];
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        println!(
            "{}: predicted {:.1} MiB {:?}, measured {:.1} MiB",
            case.what,
            mib(peak),
            parts.map(|part| mib(part as f64).round()),
            mib(measured)
        );
        assert!(
            (peak / measured - 1.0).abs() < 0.1,
            "{}: predicted {:.1} MiB ({predicted:?}), measured {:.1} MiB",
            case.what,
            mib(peak),
            mib(measured)
        );
        for (share, part) in shares.iter_mut().zip(parts) {
            *share = share.max(part as f64 / peak);
        }
    }
    assert!(shares.iter().all(|share| *share > 0.25), "{shares:?}");
}
