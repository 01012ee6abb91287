//! Writes the seeds that are made and not written by hand: `cargo run --release --example seed` in fuzz/.

use periapt_fuzz::formats::gguf::{Array, GgufWriter, TensorType, Value};
use periapt_fuzz::formats::quant::quantize;
use std::fs;

fn main() -> std::io::Result<()> {
    fs::create_dir_all("seeds/gguf")?;
    let values: Vec<f32> = (0..256).map(|i| (i as f32 / 40.0).sin()).collect();
    let types = [
        TensorType::F32,
        TensorType::F16,
        TensorType::BF16,
        TensorType::Q4_0,
        TensorType::Q4_1,
        TensorType::Q5_0,
        TensorType::Q5_1,
        TensorType::Q8_0,
    ];
    let mut writer = GgufWriter::new();
    writer
        .metadata("general.architecture", Value::String("llama".to_owned()))
        .metadata("llama.block_count", Value::U32(1))
        .metadata("llama.rope.freq_base", Value::F32(1e4))
        .metadata("a.bool", Value::Bool(true))
        .metadata("a.list", Value::Array(Array::I32(vec![1, -2, 3])))
        .metadata(
            "tokenizer.ggml.tokens",
            Value::Array(Array::Strings(vec!["a".to_owned(), "é".to_owned()])),
        )
        .metadata(
            "a.nest",
            Value::Array(Array::Nested(vec![Array::U8(vec![1]), Array::F64(vec![0.5])])),
        );
    for dtype in types {
        let bytes = quantize(dtype, &values).expect("small numbers fit every type");
        writer.tensor(format!("t.{dtype}"), [4, 64], dtype, bytes);
    }
    // The first byte of an input is the size of the chunks.
    let mut file = vec![100];
    writer.write(&mut file).expect("a vector takes every byte");
    fs::write("seeds/gguf/all_types", file)
}
