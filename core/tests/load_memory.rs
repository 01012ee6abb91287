//! Loading takes little more host memory than the largest tensor, whatever the model's size.

#![allow(clippy::unwrap_used)]

mod common;

use peak_alloc::PeakAlloc;
use periapt_core::formats::gguf::TensorType;
use periapt_core::model::{Decoder, DecoderConfig, Rope, Traits};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn loading_takes_one_tensor_and_a_little() {
    let Some(devices) = common::devices() else {
        return;
    };
    let config = DecoderConfig {
        layers: 12,
        width: 1024,
        heads: 16,
        kv_heads: 4,
        head_dim: 64,
        ffn_width: 4096,
        vocab: 64_000,
        context: 2048,
        rms_epsilon: 1e-5,
        rope: Rope::plain(10_000.0),
        traits: Traits::default(),
    };
    let largest = config.vocab * config.width / 32 * 34;
    let allowed = largest * 5 / 4 + (64 << 20);
    let weights = config.parameters(false) / 32 * 34;
    assert!(weights > allowed, "the test could not fail");
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let gpu = &devices.gpu;
    let variant = gpu.variants(true)[0];
    let decoder =
        Decoder::random(config, false, |_, _| TensorType::Q8_0, &gpu.device, variant).unwrap();
    let peak = MEMORY.peak_usage() - before;
    assert!(decoder.weight_bytes() > weights / 10 * 9);
    assert!(
        peak < allowed,
        "{} MiB at the peak, {} allowed for a largest tensor of {}",
        peak >> 20,
        allowed >> 20,
        largest >> 20
    );
}
