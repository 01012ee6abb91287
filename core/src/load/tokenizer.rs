//! A tokenizer in the metadata of a GGUF file (`tokenizer.*`), read and written.

use super::LoadError;
use crate::formats::gguf::{Array, Metadata, Value};
use crate::text::TokenizerSpec;

/// What a GGUF file says of its tokenizer: in `tokenizer.ggml.*`, or, where the tokens or the
/// pre-tokenizer's name are not there or unknown, in the tokenizer.json that it carries whole as
/// `tokenizer.huggingface.json`. What is missing has llama.cpp's defaults (llama-vocab.cpp).
///
/// # Errors
///
/// [`LoadError::Source`] where a key is missing or has the wrong type, [`LoadError::Text`] where the
/// tokenizer.json can't be used.
pub fn tokenizer_spec(meta: &Metadata) -> Result<TokenizerSpec, LoadError> {
    let json = meta.opt_str("tokenizer.huggingface.json")?;
    let tokens = meta.opt_strings("tokenizer.ggml.tokens")?;
    let id = |name: &str| meta.opt_id(&format!("tokenizer.ggml.{name}_token_id"));
    let mut spec = match (json, tokens) {
        (Some(json), None) => TokenizerSpec::from_json(json, None)?,
        _ => listed(meta, json)?,
    };
    spec.bos = id("bos")?.or(spec.bos);
    // Some files have all that end an answer in the one key.
    let ends = meta.opt_ids("tokenizer.ggml.eos_token_id")?;
    spec.eos = ends.first().copied().or(spec.eos);
    spec.ends = ends;
    spec.ends
        .extend(meta.opt_ids("tokenizer.ggml.eos_token_ids")?);
    (spec.eot, spec.eom) = (id("eot")?, id("eom")?);
    spec.unknown = id("unknown")?.or(spec.unknown);
    if let Some(add_bos) = meta.opt_bool("tokenizer.ggml.add_bos_token")? {
        spec.add_bos = add_bos;
    }
    if spec.flags.is_empty() && strips_like_phi3(meta) {
        spec.strip_like_phi3();
    }
    Ok(spec)
}

/// The tokenizer that `tokenizer.ggml.*` lists, its ids being llama.cpp's defaults.
fn listed(meta: &Metadata, json: Option<&str>) -> Result<TokenizerSpec, LoadError> {
    let model = meta.str("tokenizer.ggml.model")?.to_owned();
    let pre = meta.opt_str("tokenizer.ggml.pre")?.map(str::to_owned);
    let spaces = model == "llama";
    let known = spaces || pre.as_deref().is_some_and(TokenizerSpec::knows_pre);
    Ok(TokenizerSpec {
        tokens: meta.strings("tokenizer.ggml.tokens")?.to_vec(),
        scores: meta.opt_f32s("tokenizer.ggml.scores")?,
        merges: meta
            .opt_strings("tokenizer.ggml.merges")?
            .unwrap_or_default()
            .to_vec(),
        token_types: meta.opt_i32s("tokenizer.ggml.token_type")?,
        bos: spaces.then_some(1),
        eos: spaces.then_some(2),
        unknown: spaces.then_some(0),
        add_bos: spaces || pre.as_deref().is_some_and(TokenizerSpec::pre_adds_bos),
        add_space_prefix: meta
            .opt_bool("tokenizer.ggml.add_space_prefix")?
            .unwrap_or(spaces),
        // What a file carries beside its own words may be broken.
        flags: json
            .and_then(|json| TokenizerSpec::flags_of_json(json).ok())
            .unwrap_or_default(),
        json: json.filter(|_| !known || pre.is_none()).map(str::to_owned),
        model,
        pre,
        ..TokenizerSpec::default()
    })
}

/// Whether the model is of the one family whose control tokens take the spaces behind them, and whose GGUF files can't
/// say it (llama-vocab.cpp goes by the name, too).
fn strips_like_phi3(meta: &Metadata) -> bool {
    let name = meta.display("general.name").unwrap_or_default();
    let name = name.to_lowercase().replace([' ', '_'], "-");
    ["phi-3", "phi3"].iter().any(|phi| name.contains(phi))
}

/// The keys `tokenizer.*` of a model with `rows` tokens.
pub(super) fn entries(mut spec: TokenizerSpec, rows: usize) -> Vec<(String, Value)> {
    spec.pad_to(rows);
    let mut entries = Vec::new();
    let mut set = |key: &str, value: Option<Value>| {
        entries.extend(value.map(|value| (format!("tokenizer.{key}"), value)));
    };
    let llama = spec.model == "llama";
    set("ggml.model", Some(Value::String(spec.model)));
    set("ggml.pre", spec.pre.map(Value::String));
    set(
        "ggml.tokens",
        Some(Value::Array(Array::Strings(spec.tokens))),
    );
    set(
        "ggml.scores",
        spec.scores.map(|scores| Value::Array(Array::F32(scores))),
    );
    if !spec.merges.is_empty() {
        set(
            "ggml.merges",
            Some(Value::Array(Array::Strings(spec.merges))),
        );
    }
    set(
        "ggml.token_type",
        spec.token_types
            .map(|types| Value::Array(Array::I32(types))),
    );
    for (key, id) in [
        ("ggml.bos_token_id", spec.bos),
        ("ggml.eos_token_id", spec.eos),
        ("ggml.eot_token_id", spec.eot),
        ("ggml.unknown_token_id", spec.unknown),
    ] {
        set(key, id.map(Value::U32));
    }
    // Those of the two keys above are all that most readers know of.
    if spec.ends.len() > 2 {
        set(
            "ggml.eos_token_ids",
            Some(Value::Array(Array::U32(spec.ends))),
        );
    }
    set("ggml.add_bos_token", Some(Value::Bool(spec.add_bos)));
    if llama {
        set(
            "ggml.add_space_prefix",
            Some(Value::Bool(spec.add_space_prefix)),
        );
    }
    set("huggingface.json", spec.json.map(Value::String));
    entries
}
