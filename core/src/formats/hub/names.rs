//! The transformers library's names of tensors, and ggml's.

/// A tensor's name in a GGUF file, and what is to be done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub gguf: String,
    pub rotary: Rotary,
}

/// Whether a tensor's rows are of heads that rotary positions turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotary {
    No,
    Queries,
    Keys,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    Known(Name),
    /// A buffer that is computed and no weight.
    Ignored,
    Unknown,
}

/// Parts of a layer that have a weight alone.
const NORMS: [(&str, &str); 4] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
];

/// Parts of a layer that may have a bias, too.
const PROJECTIONS: [(&str, &str, Rotary); 7] = [
    ("self_attn.q_proj", "attn_q", Rotary::Queries),
    ("self_attn.k_proj", "attn_k", Rotary::Keys),
    ("self_attn.v_proj", "attn_v", Rotary::No),
    ("self_attn.o_proj", "attn_output", Rotary::No),
    ("mlp.gate_proj", "ffn_gate", Rotary::No),
    ("mlp.up_proj", "ffn_up", Rotary::No),
    ("mlp.down_proj", "ffn_down", Rotary::No),
];

pub(super) const HEAD: &str = "lm_head.weight";
pub(super) const SCORE: &str = "score.weight";

/// What the name of a tensor of a Llama, Mistral or Qwen model means.
pub(super) fn meaning(name: &str) -> Meaning {
    let plain = |gguf: &str| {
        Meaning::Known(Name {
            gguf: gguf.to_owned(),
            rotary: Rotary::No,
        })
    };
    match name {
        "model.embed_tokens.weight" => plain("token_embd.weight"),
        "model.norm.weight" => plain("output_norm.weight"),
        HEAD => plain("output.weight"),
        SCORE => plain("cls.output.weight"),
        _ if name.ends_with("rotary_emb.inv_freq") => Meaning::Ignored,
        _ => of_layer(name).map_or(Meaning::Unknown, Meaning::Known),
    }
}

fn of_layer(name: &str) -> Option<Name> {
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let layer = layer.parse::<u16>().ok()?;
    let (part, kind) = part.rsplit_once('.')?;
    let norm = || {
        let (_, ours) = NORMS.iter().find(|(theirs, _)| *theirs == part)?;
        (kind == "weight").then_some((*ours, Rotary::No))
    };
    let projection = || {
        let (_, ours, rotary) = PROJECTIONS.iter().find(|(theirs, ..)| *theirs == part)?;
        matches!(kind, "weight" | "bias").then_some((*ours, *rotary))
    };
    let (ours, rotary) = norm().or_else(projection)?;
    Some(Name {
        gguf: format!("blk.{layer}.{ours}.{kind}"),
        rotary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ggmls() {
        for (theirs, ours, rotary) in [
            ("model.embed_tokens.weight", "token_embd.weight", Rotary::No),
            ("model.norm.weight", "output_norm.weight", Rotary::No),
            ("lm_head.weight", "output.weight", Rotary::No),
            ("score.weight", "cls.output.weight", Rotary::No),
            (
                "model.layers.0.input_layernorm.weight",
                "blk.0.attn_norm.weight",
                Rotary::No,
            ),
            (
                "model.layers.12.post_attention_layernorm.weight",
                "blk.12.ffn_norm.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.self_attn.q_proj.bias",
                "blk.1.attn_q.bias",
                Rotary::Queries,
            ),
            (
                "model.layers.1.self_attn.k_proj.weight",
                "blk.1.attn_k.weight",
                Rotary::Keys,
            ),
            (
                "model.layers.1.self_attn.v_proj.weight",
                "blk.1.attn_v.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.self_attn.o_proj.weight",
                "blk.1.attn_output.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.self_attn.q_norm.weight",
                "blk.1.attn_q_norm.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.self_attn.k_norm.weight",
                "blk.1.attn_k_norm.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.mlp.gate_proj.weight",
                "blk.1.ffn_gate.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.mlp.up_proj.weight",
                "blk.1.ffn_up.weight",
                Rotary::No,
            ),
            (
                "model.layers.1.mlp.down_proj.weight",
                "blk.1.ffn_down.weight",
                Rotary::No,
            ),
        ] {
            let gguf = ours.to_owned();
            assert_eq!(
                meaning(theirs),
                Meaning::Known(Name { gguf, rotary }),
                "{theirs}"
            );
        }
    }

    #[test]
    fn other_names_are_unknown() {
        let buffer = "model.layers.0.self_attn.rotary_emb.inv_freq";
        assert_eq!(meaning(buffer), Meaning::Ignored);
        for name in [
            "",
            "model.layers.0",
            "model.layers.x.mlp.up_proj.weight",
            "model.layers.0.mlp.up_proj.weight_scale",
            "model.layers.0.input_layernorm.bias",
            "model.layers.99999.mlp.up_proj.weight",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
        ] {
            assert_eq!(meaning(name), Meaning::Unknown, "{name}");
        }
    }
}
