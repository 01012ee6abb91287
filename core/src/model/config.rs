//! What a GGUF file's metadata says of the decoder's shape.

use super::ModelError;
use crate::formats::gguf::{Gguf, Metadata};
use periapt_shaders::floor::WORKGROUP_BYTES;

/// The shape of a llama-type decoder. All counts are in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides [`DecoderConfig::heads`].
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Inner width of the feed-forward layers.
    pub ffn_width: usize,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Positions the model was trained for.
    pub context: usize,
    /// Epsilon of the normalizations.
    pub rms_epsilon: f32,
    /// Base of the rotary position embedding.
    pub rope_base: f32,
}

/// The architectures that can run today.
const ARCHITECTURES: &[&str] = &["llama"];

/// No known model comes near these; past them a file is damaged, or made to exhaust memory.
const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 20;
const MAX_CONTEXT: usize = 1 << 28;

impl DecoderConfig {
    /// Query heads that share a key head.
    #[must_use]
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Query vectors that attention can hold in workgroup memory at once: each takes its own values, 64 scores and
    /// 4 maxima, within the floor's 16 KiB.
    #[must_use]
    pub fn query_vectors(&self) -> usize {
        (WORKGROUP_BYTES as usize / 4 - 128) / (self.head_dim + 64 + 4)
    }

    /// The number of parameters, with a head of its own (`head`) or tied to the embedding.
    #[must_use]
    pub fn parameters(&self, head: bool) -> usize {
        let qkvo = 2 * (self.heads + self.kv_heads) * self.head_dim * self.width;
        let layer = qkvo + 3 * self.width * self.ffn_width + 2 * self.width;
        let embedding = self.vocab * self.width * if head { 2 } else { 1 };
        self.layers * layer + embedding + self.width
    }

    /// Reads the shape from `gguf` (keys of the GGUF specification, "LLM" section).
    ///
    /// # Errors
    ///
    /// [`ModelError`] where a key is missing or senseless, or where the file asks for something
    /// that would silently answer wrongly: another architecture, scaled or partial rope.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let meta = &gguf.metadata;
        let architecture = meta.str("general.architecture")?;
        if !ARCHITECTURES.contains(&architecture) {
            return Err(ModelError::Unsupported(format!(
                "architecture {architecture:?} (supported: {})",
                ARCHITECTURES.join(", ")
            )));
        }
        if let Some(scaling) = meta.opt_str("llama.rope.scaling.type")?
            && scaling != "none"
        {
            return Err(ModelError::Unsupported(format!("rope scaling {scaling:?}")));
        }
        let width = count(meta, "llama.embedding_length", MAX_WIDTH)?;
        let heads = count(meta, "llama.attention.head_count", MAX_WIDTH)?;
        let kv_heads = match opt_count(meta, "llama.attention.head_count_kv", MAX_WIDTH)? {
            Some(kv_heads) => kv_heads,
            None => heads,
        };
        if heads % kv_heads != 0 {
            return Err(ModelError::BadValue {
                key: "llama.attention.head_count_kv",
                value: kv_heads.to_string(),
                problem: "no divisor of the number of heads",
            });
        }
        let head_dim = match opt_count(meta, "llama.attention.key_length", MAX_WIDTH)? {
            Some(head_dim) => head_dim,
            None => width / heads,
        };
        if head_dim == 0 || head_dim % 2 != 0 {
            return Err(ModelError::BadValue {
                key: "llama.attention.head_count",
                value: heads.to_string(),
                problem: "not a number that gives heads of an even width",
            });
        }
        for key in ["llama.rope.dimension_count", "llama.attention.value_length"] {
            if let Some(other) = opt_count(meta, key, MAX_WIDTH)?
                && other != head_dim
            {
                return Err(ModelError::Unsupported(format!(
                    "{key} = {other} with heads of width {head_dim}"
                )));
            }
        }
        let embedding = gguf
            .tensor("token_embd.weight")
            .ok_or_else(|| ModelError::MissingTensor("token_embd.weight".to_owned()))?;
        Ok(Self {
            layers: count(meta, "llama.block_count", MAX_LAYERS)?,
            width,
            heads,
            kv_heads,
            head_dim,
            ffn_width: count(meta, "llama.feed_forward_length", MAX_WIDTH)?,
            vocab: embedding.shape.first().copied().unwrap_or(0),
            context: count(meta, "llama.context_length", MAX_CONTEXT)?,
            rms_epsilon: positive(
                "llama.attention.layer_norm_rms_epsilon",
                meta.f32("llama.attention.layer_norm_rms_epsilon")?,
            )?,
            rope_base: positive(
                "llama.rope.freq_base",
                meta.opt_f32("llama.rope.freq_base")?.unwrap_or(10_000.0),
            )?,
        })
    }

    /// Width of the fused query, key and value projection.
    #[must_use]
    pub fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

fn count(meta: &Metadata, key: &'static str, max: usize) -> Result<usize, ModelError> {
    let value = meta.u32(key)? as usize;
    if value == 0 || value > max {
        return Err(ModelError::BadValue {
            key,
            value: value.to_string(),
            problem: "not a possible number",
        });
    }
    Ok(value)
}

fn opt_count(meta: &Metadata, key: &'static str, max: usize) -> Result<Option<usize>, ModelError> {
    match meta.get(key) {
        Some(_) => count(meta, key, max).map(Some),
        None => Ok(None),
    }
}

fn positive(key: &'static str, value: f32) -> Result<f32, ModelError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(ModelError::BadValue {
        key,
        value: value.to_string(),
        problem: "not a positive number",
    })
}
