//! candle's quantized llama on the CPU, as `run.py` calls it: `compare-candle MODEL PROMPT TOKENS`. Prints tokens a
//! second of prefill and of decode, with one sequence and with eight.

use anyhow::{Context, Result};
use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::fs::File;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("no model")?;
    let prompt: usize = args.next().context("no prompt length")?.parse()?;
    let tokens: usize = args.next().context("no token count")?.parse()?;
    let (prefill, decode) = measure(&path, prompt, tokens, 1)?;
    let (_, decode_8) = measure(&path, prompt, tokens, 8)?;
    println!("{}", serde_json::json!({ "prefill": prefill, "decode": decode, "decode_8": decode_8 }));
    Ok(())
}

/// Tokens a second of all sequences together: of a second prefill, and of the steps after it.
fn measure(path: &str, prompt: usize, tokens: usize, sequences: usize) -> Result<(f64, f64)> {
    let device = Device::Cpu;
    let mut file = File::open(path)?;
    let content = gguf_file::Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &device)?;
    let ids: Vec<u32> = (0..prompt * sequences).map(|i| 1 + (7 * i % 1000) as u32).collect();
    let input = Tensor::from_vec(ids, (sequences, prompt), &device)?;
    let mut prefill = 0.0;
    for _ in 0..2 {
        let started = Instant::now();
        model.forward(&input, 0)?;
        prefill = (prompt * sequences) as f64 / started.elapsed().as_secs_f64();
    }
    let next = Tensor::ones((sequences, 1), candle_core::DType::U32, &device)?;
    let started = Instant::now();
    for step in 0..tokens {
        model.forward(&next, prompt + step)?;
    }
    Ok((prefill, (tokens * sequences) as f64 / started.elapsed().as_secs_f64()))
}
