//! `periapt models inspect`: what a model's header says, and the memory it will take. No weight is read.

use super::args::InspectArgs;
use super::{model_path, print_json, source};
use anyhow::Context;
use indicatif::{HumanBytes, HumanCount};
use periapt_core::formats::gguf::{Gguf, Value};
use periapt_core::model::{DecoderConfig, KvType, Memory, Usage};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;

/// Tokens of a row where nothing is said, and at most what the model was trained for.
const CONTEXT: usize = 4096;

/// Lines of the chat template that are shown.
const TEMPLATE_LINES: usize = 4;

/// The tensors of one type.
#[derive(Default)]
struct Share {
    tensors: usize,
    elements: u64,
    bytes: u64,
}

pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let path = model_path(args.model.as_deref())?;
    let source = source::open(&path)?;
    let gguf = source.gguf();
    let template = text(gguf, "tokenizer.chat_template");
    let mut out = std::io::stdout().lock();
    if args.template {
        let template = template.with_context(|| format!("{} has no template", path.display()))?;
        writeln!(out, "{template}")?;
        return Ok(());
    }
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for info in &gguf.tensors {
        let share = shares.entry(info.dtype.name()).or_default();
        share.tensors += 1;
        share.elements += info.shape.iter().map(|size| *size as u64).product::<u64>();
        share.bytes += info.bytes;
    }
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(share.bytes));
    let bytes: u64 = shares.iter().map(|(_, share)| share.bytes).sum();
    let parameters: u64 = shares.iter().map(|(_, share)| share.elements).sum();
    // A model that we can't run is described all the same, with the reason.
    let config = DecoderConfig::from_gguf(gguf);
    let mut rows = vec![1, 2];
    rows.extend(args.rows.filter(|rows| *rows > 2));
    let context = config.as_ref().map_or(CONTEXT, |config| {
        args.context.unwrap_or(CONTEXT).min(config.context)
    });
    let memory: Vec<_> = config
        .iter()
        .flat_map(|config| rows.iter().map(move |rows| (config, *rows)))
        .map(|(config, rows)| {
            let need = |gpu, kv| {
                let usage = Usage {
                    context,
                    rows,
                    kv,
                    gpu,
                };
                Memory::of_gguf(gguf, config, usage)
            };
            (
                rows,
                [KvType::F16, KvType::F32].map(|kv| need(true, kv)),
                [KvType::F16, KvType::F32].map(|kv| need(false, kv)),
            )
        })
        .collect();

    if args.json {
        let of = |need: &Memory| {
            json!({
                "weights": need.weights,
                "loading": need.loading,
                "cache": need.cache,
                "activations": need.activations,
                "peak": need.peak(),
            })
        };
        let pair = |[f16, f32]: &[Memory; 2]| json!({ "f16": of(f16), "f32": of(f32) });
        return print_json(&json!({
            "path": path,
            "name": text(gguf, "general.name"),
            "architecture": text(gguf, "general.architecture"),
            "license": text(gguf, "general.license"),
            "runs": config.is_ok(),
            "reason": config.as_ref().err().map(ToString::to_string),
            "parameters": parameters,
            "bytes": bytes,
            "types": shares.iter().map(|(name, share)| json!({
                "type": name,
                "tensors": share.tensors,
                "parameters": share.elements,
                "bytes": share.bytes,
            })).collect::<Vec<_>>(),
            "vocabulary": vocabulary(gguf),
            "tokenizer": text(gguf, "tokenizer.ggml.model"),
            "pre_tokenizer": text(gguf, "tokenizer.ggml.pre"),
            "template": template,
            "shape": config.as_ref().ok().map(|config| json!({
                "context": config.context,
                "layers": config.layers,
                "width": config.width,
                "heads": config.heads,
                "kv_heads": config.kv_heads,
                "head_dim": config.head_dim,
                "ffn_width": config.ffn_width,
                "rope_base": config.rope.base,
                "rope_scaling": format!("{:?}", config.rope.scaling),
                "rope_factors": config.rope.factors.len(),
                "window": config.traits.window,
            })),
            "context": context,
            "memory": memory.iter().map(|(rows, gpu, cpu)| json!({
                "rows": rows,
                "gpu": pair(gpu),
                "cpu": pair(cpu),
            })).collect::<Vec<_>>(),
        }));
    }

    let known = |key| text(gguf, key).unwrap_or("not said");
    writeln!(out, "{}", path.display())?;
    writeln!(out, "name          {}", known("general.name"))?;
    writeln!(out, "architecture  {}", known("general.architecture"))?;
    writeln!(out, "licence       {}", known("general.license"))?;
    writeln!(
        out,
        "parameters    {} in {}",
        HumanCount(parameters),
        HumanBytes(bytes)
    )?;
    for (name, share) in &shares {
        writeln!(
            out,
            "  {name:<6} {:>5} tensors {:>12} {:>6.1}%",
            share.tensors,
            HumanBytes(share.bytes).to_string(),
            100.0 * share.bytes as f64 / bytes.max(1) as f64
        )?;
    }
    writeln!(
        out,
        "tokenizer     {} ({}), {} tokens",
        known("tokenizer.ggml.model"),
        known("tokenizer.ggml.pre"),
        HumanCount(vocabulary(gguf) as u64)
    )?;
    match template {
        None => writeln!(out, "template      none: probably no chat model")?,
        Some(template) => {
            let lines = template.lines().count();
            let characters = template.chars().count();
            writeln!(
                out,
                "template      {lines} lines, {characters} characters (--template prints it)"
            )?;
            for line in template.lines().take(TEMPLATE_LINES) {
                let line: String = line.chars().take(100).filter(|c| !c.is_control()).collect();
                writeln!(out, "  | {line}")?;
            }
        }
    }
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            writeln!(out, "does not run here: {error}")?;
            return Ok(());
        }
    };
    writeln!(
        out,
        "shape         {} layers, width {}, {} heads of {} ({} for keys and values), feed-forward {}",
        config.layers,
        config.width,
        config.heads,
        config.head_dim,
        config.kv_heads,
        config.ffn_width
    )?;
    writeln!(
        out,
        "context       {} tokens as trained, window {}",
        config.context,
        config
            .traits
            .window
            .map_or("none".to_owned(), |window| window.to_string())
    )?;
    writeln!(
        out,
        "rope          base {}, scaling {:?}{}",
        config.rope.base,
        config.rope.scaling,
        if config.rope.factors.is_empty() {
            ""
        } else {
            ", a factor for each pair"
        }
    )?;
    let size = |bytes: u64| HumanBytes(bytes).to_string();
    if let Some((_, [gpu, _], [cpu, _])) = memory.first() {
        writeln!(
            out,
            "memory        weights {} on a GPU, {} on the CPU; for rows of {context} tokens:",
            size(gpu.weights),
            size(cpu.weights)
        )?;
        writeln!(
            out,
            "  {:>4} {:>14} {:>14} {:>12} {:>16} {:>16}",
            "rows", "cache f16", "cache f32", "activations", "GPU, f16 in all", "CPU, f32 in all"
        )?;
    }
    for (rows, [f16, f32], [_, cpu]) in &memory {
        writeln!(
            out,
            "  {rows:>4} {:>14} {:>14} {:>12} {:>16} {:>16}",
            size(f16.cache),
            size(f32.cache),
            size(f16.activations),
            size(f16.peak()),
            size(cpu.peak())
        )?;
    }
    Ok(())
}

fn text<'a>(gguf: &'a Gguf, key: &str) -> Option<&'a str> {
    match gguf.metadata.get(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn vocabulary(gguf: &Gguf) -> usize {
    match gguf.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Array(tokens)) => tokens.len(),
        _ => 0,
    }
}
