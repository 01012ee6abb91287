//! What a GGUF file says of the decoder's shape.

use super::{ModelError, Rope};
use crate::formats::gguf::{Gguf, GgufError, Metadata};
use periapt_shaders::floor::WORKGROUP_BYTES;

/// The shape of a decoder. All counts are in elements.
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
    /// Rotary positions.
    pub rope: Rope,
    /// Where families differ.
    pub traits: Traits,
}

/// Where decoder families differ from plain Llama, which is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traits {
    /// The file holds each query and key head's rows as the first halves of all rotary pairs, then the second halves
    /// (as the Qwen families do), and not as neighbouring pairs.
    pub split_pairs: bool,
    /// Queries, keys and values have a bias (Qwen2).
    pub qkv_bias: bool,
    /// Each query and key head is normalized (Qwen3).
    pub head_norm: bool,
    /// How many tokens attention sees, the token itself included (Mistral 7B v0.1); `None`: all.
    pub window: Option<usize>,
    /// Outputs of a head that classifies the whole text, in place of one over the vocabulary: a reward model has one;
    /// 0 for a language model.
    pub classes: usize,
}

/// A family that can run.
struct Family {
    name: &'static str,
    /// See [`Traits::split_pairs`].
    split_pairs: bool,
    /// Without a bias of queries, keys and values, a file is incomplete.
    qkv_bias: bool,
    /// The same of norms of the heads.
    head_norm: bool,
}

/// The architectures that can run, as `general.architecture` has them. Mistral's files say `llama`.
const FAMILIES: [Family; 3] = [
    Family {
        name: "llama",
        split_pairs: false,
        qkv_bias: false,
        head_norm: false,
    },
    Family {
        name: "qwen2",
        split_pairs: true,
        qkv_bias: true,
        head_norm: false,
    },
    Family {
        name: "qwen3",
        split_pairs: true,
        qkv_bias: false,
        head_norm: true,
    },
];

/// Architectures whose models read text and don't write any.
const ENCODERS: [&str; 9] = [
    "bert",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "t5encoder",
];

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
        let mut layer = qkvo + 3 * self.width * self.ffn_width + 2 * self.width;
        if self.traits.qkv_bias {
            layer += self.qkv_width();
        }
        if self.traits.head_norm {
            layer += 2 * self.head_dim;
        }
        let of_head = match (self.traits.classes, head) {
            (0, true) => self.vocab * self.width,
            (0, false) => 0,
            (classes, _) => classes * self.width,
        };
        self.layers * layer + self.vocab * self.width + of_head + self.width
    }

    /// Reads the shape from `gguf` (keys of the GGUF specification, "LLM" section).
    ///
    /// # Errors
    ///
    /// [`ModelError`] where a key is missing or senseless, or where the file asks for something
    /// that would silently answer wrongly: another architecture, an unknown scaling, partial rope.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let meta = &gguf.metadata;
        if let Some(what) = no_model(gguf) {
            return Err(ModelError::NoModel(what));
        }
        let architecture = meta.str("general.architecture")?;
        let family = FAMILIES
            .iter()
            .find(|family| family.name == architecture)
            .ok_or_else(|| unsupported(architecture))?;
        let keys = Key { meta, architecture };
        let width = keys.count_up_to("embedding_length", MAX_WIDTH)?;
        let heads = keys.count_up_to("attention.head_count", MAX_WIDTH)?;
        let kv_heads = keys
            .opt_count("attention.head_count_kv", MAX_WIDTH)?
            .unwrap_or(heads);
        if heads % kv_heads != 0 {
            let problem = "no divisor of the number of heads";
            return Err(keys.bad("attention.head_count_kv", kv_heads, problem));
        }
        let head_dim = keys
            .opt_count("attention.key_length", MAX_WIDTH)?
            .unwrap_or(width / heads);
        if head_dim == 0 || head_dim % 2 != 0 {
            let problem = "not a number that gives heads of an even width";
            return Err(keys.bad("attention.head_count", heads, problem));
        }
        for key in ["rope.dimension_count", "attention.value_length"] {
            if let Some(other) = keys.opt_count(key, MAX_WIDTH)?
                && other != head_dim
            {
                return Err(ModelError::Unsupported(format!(
                    "{} = {other} with heads of width {head_dim}",
                    keys.name(key)
                )));
            }
        }
        let rows = |name: &str| {
            let tensor = gguf.tensor(name)?;
            Some(tensor.shape.first().copied().unwrap_or(0))
        };
        let vocab = rows("token_embd.weight")
            .ok_or_else(|| ModelError::MissingTensor("token_embd.weight".to_owned()))?;
        let epsilon = "attention.layer_norm_rms_epsilon";
        let has = |part: &str| gguf.tensor(&format!("blk.0.{part}")).is_some();
        Ok(Self {
            layers: keys.count_up_to("block_count", MAX_LAYERS)?,
            width,
            heads,
            kv_heads,
            head_dim,
            ffn_width: keys.count_up_to("feed_forward_length", MAX_WIDTH)?,
            vocab,
            context: keys.count_up_to("context_length", MAX_CONTEXT)?,
            rms_epsilon: positive(&keys.name(epsilon), meta.f32(&keys.name(epsilon))?)?,
            rope: Rope::from_keys(&keys)?,
            traits: Traits {
                split_pairs: family.split_pairs,
                qkv_bias: family.qkv_bias || has("attn_q.bias"),
                head_norm: family.head_norm || has("attn_q_norm.weight"),
                window: keys.opt_count("attention.sliding_window", MAX_CONTEXT)?,
                classes: rows("cls.output.weight").unwrap_or(0),
            },
        })
    }

    /// Width of the fused query, key and value projection.
    #[must_use]
    pub fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

/// What a GGUF file holds that holds no language model.
fn no_model(gguf: &Gguf) -> Option<&'static str> {
    let meta = &gguf.metadata;
    let text = |key| meta.display(key).unwrap_or_default();
    let (kind, architecture) = (text("general.type"), text("general.architecture"));
    let projector = "the projector (mmproj) of a model that sees or hears: it only goes with the model's own GGUF file, \
                     which is the one to give";
    let adapter = "a LoRA adapter: merge it into its model first";
    let vector = "a control vector: it only goes with a model";
    let matrix =
        "an importance matrix, which tools make to quantize a model; take the model's file";
    let is = |name: &str| kind == name || architecture == name;
    let has = |key| meta.get(key).is_some();
    if is("mmproj") || is("clip") || kind == "clip-vision" {
        Some(projector)
    } else if kind == "adapter" || has("adapter.type") {
        Some(adapter)
    } else if is("controlvector") {
        Some(vector)
    } else if is("imatrix") || has("imatrix.datasets") {
        Some(matrix)
    } else if gguf.tensors.is_empty() && has("tokenizer.ggml.tokens") {
        Some("a vocabulary without a model's weights; take the whole model's file")
    } else {
        None
    }
}

fn unsupported(architecture: &str) -> ModelError {
    if ENCODERS.contains(&architecture) {
        return ModelError::Encoder(architecture.to_owned());
    }
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    ModelError::Unsupported(format!(
        "architecture {architecture:?} (supported: {}; Mistral's files are of llama)",
        names.join(", ")
    ))
}

/// The keys of one architecture, `{architecture}.{key}`.
pub(super) struct Key<'a> {
    meta: &'a Metadata,
    architecture: &'a str,
}

impl Key<'_> {
    /// The whole key.
    pub fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// Whether the file has it.
    pub fn has(&self, key: &str) -> bool {
        self.meta.get(&self.name(key)).is_some()
    }

    pub fn opt_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.meta.opt_str(&self.name(key))
    }

    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.meta.opt_f32(&self.name(key))
    }

    /// A number of positions, at least 1.
    pub fn count(&self, key: &str) -> Result<usize, ModelError> {
        self.count_up_to(key, MAX_CONTEXT)
    }

    fn count_up_to(&self, key: &str, max: usize) -> Result<usize, ModelError> {
        let value = self.meta.u32(&self.name(key))? as usize;
        match (1..=max).contains(&value) {
            true => Ok(value),
            false => Err(self.bad(key, value, "not a possible number")),
        }
    }

    fn opt_count(&self, key: &str, max: usize) -> Result<Option<usize>, ModelError> {
        match self.has(key) {
            true => self.count_up_to(key, max).map(Some),
            false => Ok(None),
        }
    }

    fn bad(&self, key: &str, value: usize, problem: &'static str) -> ModelError {
        ModelError::BadValue {
            key: self.name(key),
            value: value.to_string(),
            problem,
        }
    }
}

pub(super) fn positive(key: &str, value: f32) -> Result<f32, ModelError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(ModelError::BadValue {
        key: key.to_owned(),
        value: value.to_string(),
        problem: "not a positive number",
    })
}
