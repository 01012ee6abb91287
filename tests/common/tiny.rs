//! A tiny random Llama with a tokenizer of single characters: everything that a real model file has, in 100 kB.

#![allow(dead_code, clippy::unwrap_used)]

use periapt_core::formats::gguf::{Array, GgufWriter, TensorType, Value};
use periapt_core::formats::quant::quantize;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub const VOCAB: usize = 97;
const WIDTH: usize = 64;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = WIDTH / HEADS;
const FFN: usize = 96;
pub const CONTEXT: u32 = 1024;

/// Its metadata and tensors, to change before [`Tiny::file`].
pub struct Tiny {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<(String, Vec<usize>)>,
    seed: u64,
}

impl Tiny {
    /// The model of that seed.
    pub fn new(seed: u64) -> Self {
        let number = |key: &str, value: u32| (format!("llama.{key}"), Value::U32(value));
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![VOCAB, WIDTH]),
            ("output_norm.weight".to_owned(), vec![WIDTH]),
            ("output.weight".to_owned(), vec![VOCAB, WIDTH]),
        ];
        for layer in 0..LAYERS {
            for (name, shape) in [
                ("attn_norm", vec![WIDTH]),
                ("attn_q", vec![HEADS * HEAD_DIM, WIDTH]),
                ("attn_k", vec![KV_HEADS * HEAD_DIM, WIDTH]),
                ("attn_v", vec![KV_HEADS * HEAD_DIM, WIDTH]),
                ("attn_output", vec![WIDTH, HEADS * HEAD_DIM]),
                ("ffn_norm", vec![WIDTH]),
                ("ffn_gate", vec![FFN, WIDTH]),
                ("ffn_up", vec![FFN, WIDTH]),
                ("ffn_down", vec![WIDTH, FFN]),
            ] {
                tensors.push((format!("blk.{layer}.{name}.weight"), shape));
            }
        }
        Self {
            metadata: vec![
                (
                    "general.architecture".to_owned(),
                    Value::String("llama".to_owned()),
                ),
                number("block_count", LAYERS as u32),
                number("context_length", CONTEXT),
                number("embedding_length", WIDTH as u32),
                number("feed_forward_length", FFN as u32),
                number("attention.head_count", HEADS as u32),
                number("attention.head_count_kv", KV_HEADS as u32),
                (
                    "llama.attention.layer_norm_rms_epsilon".to_owned(),
                    Value::F32(1e-5),
                ),
                text("general.name", "tiny"),
                text("tokenizer.ggml.model", "gpt2"),
                text("tokenizer.ggml.pre", "smollm"),
                ("tokenizer.ggml.tokens".to_owned(), tokens()),
                (
                    "tokenizer.ggml.merges".to_owned(),
                    Value::Array(Array::Strings(Vec::new())),
                ),
                ("tokenizer.ggml.token_type".to_owned(), kinds()),
                ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(0)),
                text(
                    "tokenizer.chat_template",
                    "{% for message in messages %}{{ message.content }}\n{% endfor %}",
                ),
            ],
            tensors,
            seed,
        }
    }

    /// Says that of the model, whatever it said before.
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// The GGUF file.
    pub fn file(&self) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut writer = GgufWriter::new();
        for (key, value) in &self.metadata {
            writer.metadata(key.as_str(), value.clone());
        }
        for (name, shape) in &self.tensors {
            let scale = 2.0 / (*shape.last().unwrap() as f32).sqrt();
            let norm = shape.len() == 1;
            let mut values: Vec<f32> = (0..shape.iter().product())
                .map(|_| {
                    let value = rng.next_u32() as f32 / u32::MAX as f32 - 0.5;
                    if norm {
                        1.0 + 0.2 * value
                    } else {
                        2.0 * scale * value
                    }
                })
                .collect();
            if name == "output.weight" {
                // The ending token's logit spreads wider than the others', so that answers end by themselves.
                values[..WIDTH].iter_mut().for_each(|value| *value *= 4.0);
            }
            let dtype = if norm {
                TensorType::F32
            } else {
                TensorType::Q8_0
            };
            writer.tensor(
                name.as_str(),
                shape.clone(),
                dtype,
                quantize(dtype, &values).unwrap(),
            );
        }
        let mut file = Vec::new();
        writer.write(&mut file).unwrap();
        file
    }
}

fn text(key: &str, value: &str) -> (String, Value) {
    (key.to_owned(), Value::String(value.to_owned()))
}

/// The ending token, printable ASCII, and byte-level BPE's characters for space and line break.
fn tokens() -> Value {
    let characters = ('!'..='~').chain(['\u{120}', '\u{10a}']);
    let end = std::iter::once("<|end|>".to_owned());
    let tokens: Vec<String> = end.chain(characters.map(String::from)).collect();
    assert_eq!(tokens.len(), VOCAB);
    Value::Array(Array::Strings(tokens))
}

fn kinds() -> Value {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    let mut kinds = vec![NORMAL; VOCAB];
    kinds[0] = CONTROL;
    Value::Array(Array::I32(kinds))
}
