//! `periapt models inspect`: what a model's header says, and the memory it will take. No weight is read.

use super::args::InspectArgs;
use super::memory::{KEEPS, kept_tokens};
use super::{model_path, print_json, source};
use crate::terminal::{self, line};
use anyhow::Context;
use indicatif::{HumanBytes, HumanCount};
use periapt_core::formats::gguf::{self, Gguf};
use periapt_core::model::{DecoderConfig, KvType, Memory, ModelError, Usage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

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

/// What a model's header says.
struct Report<'a> {
    path: &'a Path,
    gguf: &'a Gguf,
    /// The largest first.
    shares: Vec<(&'a str, Share)>,
    template: Option<&'a str>,
    /// Of a model that we can't run the reason.
    config: Result<DecoderConfig, ModelError>,
    context: usize,
    /// For numbers of rows the memory on a GPU and on the CPU, each with keys and values in f16 and in f32.
    memory: Vec<(usize, [Memory; 2], [Memory; 2])>,
}

pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let path = model_path(args.model.as_deref())?;
    let source = source::open(&path)?;
    let report = Report::new(&path, source.gguf(), args);
    if args.template {
        let template = report.template;
        let template = template.with_context(|| format!("{} has no template", path.display()))?;
        writeln!(terminal::answer(), "{template}")?;
    } else if args.json {
        print_json(&report.json())?;
    } else {
        report.print(&mut terminal::report())?;
    }
    Ok(())
}

impl<'a> Report<'a> {
    fn new(path: &'a Path, gguf: &'a Gguf, args: &InspectArgs) -> Self {
        let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
        for info in &gguf.tensors {
            let share = shares.entry(info.dtype.name()).or_default();
            share.tensors += 1;
            share.elements += info.shape.iter().map(|size| *size as u64).product::<u64>();
            share.bytes += info.bytes;
        }
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by_key(|(_, share)| std::cmp::Reverse(share.bytes));
        let config = DecoderConfig::from_gguf(gguf);
        let context = config.as_ref().map_or(CONTEXT, |config| {
            args.context.unwrap_or(CONTEXT).min(config.context)
        });
        let mut rows = vec![1, 2];
        rows.extend(args.rows.filter(|rows| *rows > 2));
        let mut memory = Vec::new();
        for (config, rows) in config
            .iter()
            .flat_map(|c| rows.iter().map(move |rows| (c, *rows)))
        {
            let need = |gpu| {
                [KvType::F16, KvType::F32].map(|kv| {
                    let usage = Usage {
                        context,
                        rows,
                        kv,
                        gpu,
                    };
                    Memory::of_gguf(gguf, config, usage)
                })
            };
            memory.push((rows, need(true), need(false)));
        }
        Self {
            path,
            gguf,
            shares,
            template: text(gguf, "tokenizer.chat_template"),
            config,
            context,
            memory,
        }
    }

    fn bytes(&self) -> u64 {
        self.shares.iter().map(|(_, share)| share.bytes).sum()
    }

    fn parameters(&self) -> u64 {
        self.shares.iter().map(|(_, share)| share.elements).sum()
    }

    fn json(&self) -> Value {
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
        json!({
            "path": self.path,
            "name": text(self.gguf, "general.name"),
            "architecture": text(self.gguf, "general.architecture"),
            "license": text(self.gguf, "general.license"),
            "runs": self.config.is_ok(),
            "reason": self.config.as_ref().err().map(ToString::to_string),
            "parameters": self.parameters(),
            "bytes": self.bytes(),
            "types": self.shares.iter().map(|(name, share)| json!({
                "type": name,
                "tensors": share.tensors,
                "parameters": share.elements,
                "bytes": share.bytes,
            })).collect::<Vec<_>>(),
            "vocabulary": vocabulary(self.gguf),
            "tokenizer": text(self.gguf, "tokenizer.ggml.model"),
            "pre_tokenizer": text(self.gguf, "tokenizer.ggml.pre"),
            "template": self.template,
            "shape": self.config.as_ref().ok().map(|config| json!({
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
            "context": self.context,
            "kept": self.config.as_ref().ok().map(|config| json!({
                "bytes": KEEPS,
                "tokens_f16": kept_tokens(config, KvType::F16),
                "tokens_f32": kept_tokens(config, KvType::F32),
            })),
            "memory": self.memory.iter().map(|(rows, gpu, cpu)| json!({
                "rows": rows,
                "gpu": pair(gpu),
                "cpu": pair(cpu),
            })).collect::<Vec<_>>(),
        })
    }

    fn print(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let bytes = self.bytes();

        let known = |key| line(&text(self.gguf, key).unwrap_or("not said"));
        writeln!(out, "{}", line(&self.path.display()))?;
        writeln!(out, "name          {}", known("general.name"))?;
        writeln!(out, "architecture  {}", known("general.architecture"))?;
        writeln!(out, "licence       {}", known("general.license"))?;
        writeln!(
            out,
            "parameters    {} in {}",
            HumanCount(self.parameters()),
            HumanBytes(bytes)
        )?;
        for (name, share) in &self.shares {
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
            HumanCount(vocabulary(self.gguf) as u64)
        )?;
        match self.template {
            None => writeln!(out, "template      none: probably no chat model")?,
            Some(template) => {
                let lines = template.lines().count();
                let characters = template.chars().count();
                writeln!(
                    out,
                    "template      {lines} lines, {characters} characters (--template prints it)"
                )?;
                for text in template.lines().take(TEMPLATE_LINES) {
                    let text: String = text.chars().take(100).collect();
                    writeln!(out, "  | {}", line(&text))?;
                }
            }
        }
        let config = match &self.config {
            Ok(config) => config,
            Err(error) => {
                writeln!(out, "does not run here: {}", line(error))?;
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
        if let Some((_, [gpu, _], [cpu, _])) = self.memory.first() {
            writeln!(
                out,
                "memory        weights {} on a GPU, {} on the CPU; for rows of {} tokens:",
                size(gpu.weights),
                size(cpu.weights),
                self.context
            )?;
            writeln!(
                out,
                "  {:>4} {:>14} {:>14} {:>12} {:>16} {:>16}",
                "rows",
                "cache f16",
                "cache f32",
                "activations",
                "GPU, f16 in all",
                "CPU, f32 in all"
            )?;
        }
        for (rows, [f16, f32], [_, cpu]) in &self.memory {
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
        let [f16, f32] = [KvType::F16, KvType::F32].map(|kv| kept_tokens(config, kv));
        writeln!(
            out,
            "  beside them up to {} stay for prompts that begin alike (--cache): {} tokens as f16, {} as f32",
            size(KEEPS),
            HumanCount(f16),
            HumanCount(f32)
        )?;
        Ok(())
    }
}

fn text<'a>(gguf: &'a Gguf, key: &str) -> Option<&'a str> {
    match gguf.metadata.get(key) {
        Some(gguf::Value::String(text)) => Some(text),
        _ => None,
    }
}

fn vocabulary(gguf: &Gguf) -> usize {
    match gguf.metadata.get("tokenizer.ggml.tokens") {
        Some(gguf::Value::Array(tokens)) => tokens.len(),
        _ => 0,
    }
}
