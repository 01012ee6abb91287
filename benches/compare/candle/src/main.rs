//! candle's quantized llama on the CPU, as `run.py` calls it: `compare-candle MODEL PROMPT TOKENS`. Prints tokens a
//! second of prefill and of decode, with one sequence and with eight.

use anyhow::{Context, Result};
use candle_core::quantized::gguf_file;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::fs::File;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("no model")?;
    let prompt: usize = args.next().context("no prompt length")?.parse()?;
    let tokens: usize = args.next().context("no token count")?.parse()?;

    let mut model = load(&path)?;
    let mut prefill = 0.0;
    for _ in 0..2 {
        let started = Instant::now();
        model.forward(&Tensor::ones((1, prompt), DType::U32, &Device::Cpu)?, 0)?;
        prefill = prompt as f64 / started.elapsed().as_secs_f64();
    }
    let decode = decode(&mut model, 1, prompt, tokens)?;
    let mut model = load(&path)?;
    // Its prefill takes one sequence; eight go token by token.
    self::decode(&mut model, 8, 0, prompt)?;
    let decode_8 = self::decode(&mut model, 8, prompt, tokens)?;
    println!("{}", serde_json::json!({ "prefill": prefill, "decode": decode, "decode_8": decode_8 }));
    Ok(())
}

fn load(path: &str) -> Result<ModelWeights> {
    let mut file = File::open(path)?;
    let content = gguf_file::Content::read(&mut file)?;
    Ok(ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?)
}

/// Tokens a second of all sequences together, in steps from position `from` on.
fn decode(model: &mut ModelWeights, sequences: usize, from: usize, steps: usize) -> Result<f64> {
    let next = Tensor::ones((sequences, 1), DType::U32, &Device::Cpu)?;
    let started = Instant::now();
    for step in 0..steps {
        model.forward(&next, from + step)?;
    }
    Ok((steps * sequences) as f64 / started.elapsed().as_secs_f64())
}
