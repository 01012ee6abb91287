//! The rotary positions of `config.json`, in the words of GGUF files.

use super::super::gguf::Value;
use super::HubError;
use super::config::{Keys, damaged};
use std::f64::consts::PI;

/// What a GGUF file says of rotary positions.
pub(super) struct Rope {
    /// Keys after `{arch}.`, and their values.
    pub entries: Vec<(&'static str, Value)>,
    /// The tensor `rope_freqs.weight`, `[head_dim / 2]`; empty: none.
    pub factors: Vec<f32>,
}

/// Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, which holds both (transformers 5).
pub(super) fn read(keys: Keys<'_>, head_dim: u32, context: u32) -> Result<Rope, HubError> {
    let parameters = keys.get("rope_parameters").or(keys.get("rope_scaling"));
    let none = serde_json::Value::Null;
    let scaling = Keys(parameters.unwrap_or(&none));
    let base = match scaling.f32("rope_theta")? {
        Some(base) => base,
        None => keys.f32("rope_theta")?.unwrap_or(10_000.0),
    };
    for keys in [keys, scaling] {
        if keys
            .f32("partial_rotary_factor")?
            .is_some_and(|part| part != 1.0)
        {
            return Err(
                keys.unsupported("partial_rotary_factor", "and only all of a head is turned")
            );
        }
    }
    let kind = match scaling.str("rope_type")? {
        Some(kind) => kind,
        None => scaling.str("type")?.unwrap_or("default"),
    };
    let mut entries = vec![("rope.freq_base", Value::F32(base))];
    let mut factors = Vec::new();
    match kind {
        "default" => {}
        "linear" => {
            entries.push(("rope.scaling.type", Value::String("linear".to_owned())));
            entries.push((
                "rope.scaling.factor",
                Value::F32(scaling.need_f32("factor")?),
            ));
        }
        "llama3" => factors = llama3(scaling, f64::from(base), head_dim)?,
        "yarn" => entries.extend(yarn(scaling, context)?),
        _ => {
            let key = match scaling.get("rope_type") {
                Some(_) => "rope_type",
                None => "type",
            };
            return Err(scaling.unsupported(
                key,
                "and of rope scalings only linear, llama3 and yarn are there",
            ));
        }
    }
    Ok(Rope { entries, factors })
}

/// What each pair's frequency is divided by: 1 for those whose wave is short against the original context, the factor
/// for long ones, and between the two for those between (as ggml's converter and the transformers library have it).
fn llama3(scaling: Keys<'_>, base: f64, head_dim: u32) -> Result<Vec<f32>, HubError> {
    /// Wider heads than any model has; past it the file is damaged, or made to exhaust memory.
    const MAX_HEAD_DIM: u32 = 1 << 16;
    if head_dim > MAX_HEAD_DIM {
        return Err(damaged(format!("heads of width {head_dim} are impossible")));
    }
    let number = |key: &str| scaling.need_f32(key).map(f64::from);
    let factor = number("factor")?;
    let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
    let context = f64::from(scaling.need_u32("original_max_position_embeddings")?);
    let divisor = |pair: u32| {
        let wave = 2.0 * PI * base.powf(f64::from(2 * pair) / f64::from(head_dim));
        if wave < context / high {
            1.0
        } else if wave > context / low {
            factor
        } else {
            let smooth = (context / wave - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    let factors: Vec<f32> = (0..head_dim / 2).map(|pair| divisor(pair) as f32).collect();
    match factors
        .iter()
        .all(|factor| factor.is_finite() && *factor > 0.0)
    {
        true => Ok(factors),
        false => Err(damaged("its llama3 rope scaling makes no sense".to_owned())),
    }
}

fn yarn(scaling: Keys<'_>, context: u32) -> Result<Vec<(&'static str, Value)>, HubError> {
    for key in ["mscale", "mscale_all_dim"] {
        if scaling.get(key).is_some() {
            return Err(scaling.unsupported(key, "which yarn does not have here"));
        }
    }
    let factor = scaling.need_f32("factor")?;
    if let Some(attention) = scaling.f32("attention_factor")?
        && (attention - (1.0 + 0.1 * factor.ln())).abs() > 1e-5
    {
        return Err(scaling.unsupported("attention_factor", "and only 1 + 0.1 ln(factor) is there"));
    }
    let original = scaling.u32("original_max_position_embeddings")?;
    let mut entries = vec![
        ("rope.scaling.type", Value::String("yarn".to_owned())),
        ("rope.scaling.factor", Value::F32(factor)),
        (
            "rope.scaling.original_context_length",
            Value::U32(original.unwrap_or(context)),
        ),
    ];
    for (theirs, ours) in [
        ("beta_fast", "rope.scaling.yarn_beta_fast"),
        ("beta_slow", "rope.scaling.yarn_beta_slow"),
    ] {
        if let Some(beta) = scaling.f32(theirs)? {
            entries.push((ours, Value::F32(beta)));
        }
    }
    Ok(entries)
}
