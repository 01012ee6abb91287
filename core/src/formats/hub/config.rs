//! What `config.json` says, as a GGUF file's metadata.

use super::super::gguf::{Metadata, Value};
use super::HubError;
use super::rope::{self, Rope};
use serde_json::Value as Json;

pub(super) const CONFIG: &str = "config.json";

/// Beginnings of the names of classes that we can run, and the architecture of each in GGUF files, as ggml's converter
/// has them.
const FAMILIES: [(&str, &str); 4] = [
    ("Llama", "llama"),
    ("Mistral", "llama"),
    ("Qwen2", "qwen2"),
    ("Qwen3", "qwen3"),
];

/// The classes that we can run.
pub(super) fn supported() -> String {
    FAMILIES
        .map(|(prefix, _)| format!("{prefix}ForCausalLM"))
        .join(", ")
}

/// Beginnings of the names of encoders' classes.
const ENCODERS: [&str; 14] = [
    "Albert",
    "Bert",
    "CLIP",
    "Camembert",
    "Deberta",
    "DistilBert",
    "Electra",
    "ModernBert",
    "MPNet",
    "Nomic",
    "Roberta",
    "T5Encoder",
    "XLMRoberta",
    "XLNet",
];

/// A JSON object that a number or a text can be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a>(pub &'a Json);

/// What is to be known of the model to read its tensors.
#[derive(Debug)]
pub(super) struct Config {
    pub metadata: Metadata,
    /// Rotary pairs of queries and keys are to be joined, see [`super::super::rotary::join_pairs`].
    pub joins_pairs: bool,
    pub heads: usize,
    pub kv_heads: usize,
    /// The head is the embedding.
    pub tied: bool,
    /// The head classifies the whole text.
    pub classifier: bool,
    /// Divisors of the rotary frequencies; empty: none.
    pub rope_factors: Vec<f32>,
}

impl<'a> Keys<'a> {
    /// The value of `key`, where there is one that is not null.
    pub fn get(self, key: &str) -> Option<&'a Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub fn str(self, key: &str) -> Result<Option<&'a str>, HubError> {
        self.typed(key, "is no text", Json::as_str)
    }

    pub fn bool(self, key: &str) -> Result<bool, HubError> {
        Ok(self
            .typed(key, "is no boolean", Json::as_bool)?
            .unwrap_or(false))
    }

    pub fn f32(self, key: &str) -> Result<Option<f32>, HubError> {
        self.typed(key, "is no number", |value| {
            value.as_f64().map(|value| value as f32)
        })
    }

    pub fn u32(self, key: &str) -> Result<Option<u32>, HubError> {
        self.typed(key, "is no whole number from 0 to 4294967295", |value| {
            value.as_u64().and_then(|value| u32::try_from(value).ok())
        })
    }

    pub fn need_u32(self, key: &str) -> Result<u32, HubError> {
        self.u32(key)?.ok_or_else(|| missing(key))
    }

    pub fn need_f32(self, key: &str) -> Result<f32, HubError> {
        self.f32(key)?.ok_or_else(|| missing(key))
    }

    fn typed<T>(
        self,
        key: &str,
        problem: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, HubError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(damaged(format!("{key} {problem}"))),
        }
    }

    /// An error that says what `key` is.
    pub fn unsupported(self, key: &str, problem: &'static str) -> HubError {
        let value = self.get(key).map(Json::to_string).unwrap_or_default();
        HubError::Unsupported {
            key: key.to_owned(),
            // A value may be as long as the file.
            value: value.chars().take(80).collect(),
            problem,
        }
    }
}

fn missing(key: &str) -> HubError {
    damaged(format!("it has no {key}"))
}

pub(super) fn damaged(problem: String) -> HubError {
    HubError::Damaged {
        file: CONFIG,
        problem,
    }
}

impl Config {
    /// Reads `config.json`; `name` is what the model is called.
    pub fn new(json: &Json, name: &str) -> Result<Self, HubError> {
        let keys = Keys(json);
        let class = class(keys)?;
        let (architecture, classifier) = family(keys, &class)?;
        refuse(keys, architecture)?;

        let heads = keys.need_u32("num_attention_heads")?;
        let kv_heads = keys.u32("num_key_value_heads")?.unwrap_or(heads);
        let width = keys.need_u32("hidden_size")?;
        if heads == 0 || kv_heads == 0 {
            return Err(damaged("it tells of no heads".to_owned()));
        }
        let context = keys.need_u32("max_position_embeddings")?;
        let explicit_head = keys.u32("head_dim")?;
        let head_dim = explicit_head.unwrap_or(width / heads);

        let mut metadata = Metadata::default();
        let mut set = |key: &str, value: Value| {
            let key = match key.contains('.') && key.starts_with("general.") {
                true => key.to_owned(),
                false => format!("{architecture}.{key}"),
            };
            metadata.insert(key, value);
        };
        let text = |text: &str| Value::String(text.to_owned());
        set("general.architecture", text(architecture));
        set("general.type", text("model"));
        set("general.name", text(name));
        set(
            "block_count",
            Value::U32(keys.need_u32("num_hidden_layers")?),
        );
        set("context_length", Value::U32(context));
        set("embedding_length", Value::U32(width));
        set(
            "feed_forward_length",
            Value::U32(keys.need_u32("intermediate_size")?),
        );
        set("attention.head_count", Value::U32(heads));
        set("attention.head_count_kv", Value::U32(kv_heads));
        let epsilon = keys.f32("rms_norm_eps")?.unwrap_or(1e-6);
        set("attention.layer_norm_rms_epsilon", Value::F32(epsilon));
        if let Some(head_dim) = explicit_head {
            set("attention.key_length", Value::U32(head_dim));
            set("attention.value_length", Value::U32(head_dim));
        }
        if class.starts_with("Mistral")
            && let Some(window) = keys.u32("sliding_window")?
        {
            set("attention.sliding_window", Value::U32(window));
        }
        set("rope.dimension_count", Value::U32(head_dim));
        let Rope {
            entries,
            factors: rope_factors,
        } = rope::read(keys, head_dim, context)?;
        for (key, value) in entries {
            set(key, value);
        }
        Ok(Self {
            metadata,
            joins_pairs: architecture == "llama",
            heads: heads as usize,
            kv_heads: kv_heads as usize,
            tied: keys.bool("tie_word_embeddings")?,
            classifier,
            rope_factors,
        })
    }
}

/// The class of the transformers library that the model is of.
fn class(keys: Keys<'_>) -> Result<String, HubError> {
    let classes = keys.get("architectures").and_then(Json::as_array);
    let class = classes.and_then(|classes| classes.first()?.as_str());
    let class = class.or(keys.str("model_type")?);
    Ok(class.ok_or_else(|| missing("architectures"))?.to_owned())
}

/// The architecture, and whether it is a classifier.
fn family(keys: Keys<'_>, class: &str) -> Result<(&'static str, bool), HubError> {
    let known =
        FAMILIES
            .iter()
            .find_map(|(prefix, architecture)| match class.strip_prefix(prefix)? {
                "ForCausalLM" => Some((*architecture, false)),
                "ForSequenceClassification" => Some((*architecture, true)),
                _ => None,
            });
    if let Some(known) = known {
        return Ok(known);
    }
    let begins = |prefix: &&str| {
        let of_model = class.get(..prefix.len());
        of_model.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let class = class.to_owned();
    if ENCODERS.iter().any(begins) || class.ends_with("ForMaskedLM") {
        return Err(HubError::EncoderOnly(class));
    }
    if keys.bool("is_encoder_decoder")? || class.starts_with("T5") {
        return Err(HubError::EncoderDecoder(class));
    }
    Err(HubError::Architecture { class })
}

/// Refuses what the metadata can't say.
fn refuse(keys: Keys<'_>, architecture: &str) -> Result<(), HubError> {
    if keys.get("quantization_config").is_some() {
        let problem = "and weights quantized so are not read; take the model's unquantized folder, or a GGUF file";
        return Err(keys.unsupported("quantization_config", problem));
    }
    if keys.str("hidden_act")?.is_some_and(|act| act != "silu") {
        return Err(keys.unsupported("hidden_act", "and only silu is there"));
    }
    if architecture != "llama" && keys.bool("use_sliding_window")? {
        let problem = "a window of some layers, which is not there";
        return Err(keys.unsupported("use_sliding_window", problem));
    }
    Ok(())
}
