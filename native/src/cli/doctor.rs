//! `periapt doctor`: adapters, what `auto` takes, the store, and whether a generation is possible.

use super::args::{Cli, DoctorArgs};
use super::config;
use super::memory::KEEPS;
use super::print_json;
use crate::store::{State, Store, catalogue};
use crate::terminal::{self, line};
use anyhow::Context;
use indicatif::HumanBytes;
use periapt_core::device::{self, DeviceChoice, describe};
use periapt_core::formats::gguf::Gguf;
use periapt_core::model::{DecoderConfig, KvCache, KvType};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

pub fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let adapters: Vec<Value> = pollster::block_on(device::adapters())
        .iter()
        .map(|adapter| {
            let (limits, features) = (adapter.limits(), adapter.features());
            json!({
                "device": describe(&adapter.get_info()),
                "type": format!("{:?}", adapter.get_info().device_type),
                "limits": {
                    "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
                    "max_buffer_size": limits.max_buffer_size,
                    "max_storage_buffers_per_shader_stage":
                        limits.max_storage_buffers_per_shader_stage,
                    "max_compute_workgroup_storage_size":
                        limits.max_compute_workgroup_storage_size,
                    "max_compute_invocations_per_workgroup":
                        limits.max_compute_invocations_per_workgroup,
                    "max_compute_workgroups_per_dimension":
                        limits.max_compute_workgroups_per_dimension,
                },
                "features": features
                    .iter_names()
                    .map(|(name, _)| name)
                    .filter(|name| ["SHADER_F16", "SUBGROUP", "TIMESTAMP_QUERY"].contains(name))
                    .collect::<Vec<_>>(),
            })
        })
        .collect();
    let gpu = pollster::block_on(device::open(DeviceChoice::Gpu));
    let (auto, why) = match &gpu {
        Ok(open) if open.info.software => (
            open.info.clone(),
            "there is no hardware GPU, and software Vulkan runs the same code".to_owned(),
        ),
        Ok(open) => (open.info.clone(), "it is the best adapter".to_owned()),
        Err(error) => (
            pollster::block_on(device::open(DeviceChoice::Cpu))?.info,
            error.to_string(),
        ),
    };

    let store = Store::open()?;
    let default = catalogue().default_model();
    let here = store.standing(default)?;
    let state = here.as_ref().map(|here| here.state);
    let model_state = match state {
        Some(State::Complete) => "complete",
        Some(State::Partial) => "partial: `periapt models pull` goes on",
        Some(State::WrongSize) => "damaged: remove it with `periapt models rm`",
        Some(State::Unreadable) => "unreadable: `periapt models list` shows where it lies",
        None => "not here yet: the first command that needs it pulls it",
    };
    let whole = here.filter(|here| here.state == State::Complete);
    let model_memory = whole.map(|here| model_memory(&here.path)).transpose()?;
    let broken = state == Some(State::WrongSize);
    let memory = available_memory();
    let (configuration, fault) = config::checked(&Cli::grammar());

    if args.json {
        print_json(&json!({
            "adapters": adapters,
            "auto": { "device": auto, "why": why },
            "memory_available_bytes": memory,
            "default_model_memory": model_memory,
            "store": { "path": store.root(), "default_model": model_state },
            "default_model_name": default.name,
            "configuration": configuration,
            "configuration_fault": fault,
            "generation_possible": !broken,
        }))?;
    } else {
        let mut out = terminal::report();
        writeln!(out, "GPU adapters: {}", adapters.len())?;
        for adapter in &adapters {
            let text = |pointer: &str| {
                let text = adapter.pointer(pointer).and_then(Value::as_str);
                line(&text.unwrap_or_default())
            };
            let size = |pointer: &str| {
                let bytes = adapter.pointer(pointer).and_then(Value::as_u64);
                HumanBytes(bytes.unwrap_or(0)).to_string()
            };
            writeln!(
                out,
                "  {} ({}, {}, {})",
                text("/device/name"),
                text("/device/backend"),
                text("/type"),
                text("/device/driver"),
            )?;
            writeln!(
                out,
                "    largest binding {}, largest buffer {}, workgroup memory {}, {} invocations",
                size("/limits/max_storage_buffer_binding_size"),
                size("/limits/max_buffer_size"),
                size("/limits/max_compute_workgroup_storage_size"),
                adapter["limits"]["max_compute_invocations_per_workgroup"],
            )?;
            let features: Vec<_> = adapter["features"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            writeln!(out, "    features: {}", features.join(", "))?;
        }
        writeln!(
            out,
            "--device auto takes: {} ({})",
            line(&auto.name),
            line(&why)
        )?;
        if let Some(bytes) = memory {
            writeln!(out, "host memory available: {}", HumanBytes(bytes))?;
        }
        writeln!(out, "store: {}", line(&store.root().display()))?;
        writeln!(out, "default model {}: {model_state}", default.name)?;
        if let Some(memory) = &model_memory {
            writeln!(
                out,
                "  takes {} for its weights, and for a row of {ROW_TOKENS} tokens {} (--kv f16) or {} (--kv f32); of rows that are done \
                 up to {} stay (--cache)",
                HumanBytes(memory.weight_bytes),
                HumanBytes(memory.row_bytes_f16),
                HumanBytes(memory.row_bytes_f32),
                HumanBytes(memory.kept_bytes),
            )?;
        }
        if let Some(path) = &configuration {
            let state = fault.as_deref().map_or_else(
                || "`periapt config` shows what it says".to_owned(),
                |fault| format!("wrong: {fault}"),
            );
            writeln!(
                out,
                "configuration: {} ({})",
                line(&path.display()),
                line(&state)
            )?;
        }
        let verdict = if broken { "not possible" } else { "possible" };
        writeln!(out, "a generation is {verdict}")?;
    }
    // Says what is wrong with a damaged default model, and so sets the exit code.
    store.path(default.name)?;
    Ok(())
}

/// Tokens of the row whose memory is predicted.
const ROW_TOKENS: usize = 1024;

/// What a model takes on the device.
#[derive(Debug, Serialize)]
struct ModelMemory {
    weight_bytes: u64,
    row_tokens: usize,
    row_bytes_f16: u64,
    row_bytes_f32: u64,
    kept_bytes: u64,
}

/// From the file's header alone.
fn model_memory(path: &Path) -> anyhow::Result<ModelMemory> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let gguf = Gguf::read(&mut BufReader::new(file)).map_err(periapt_core::Error::from)?;
    let config = DecoderConfig::from_gguf(&gguf).map_err(periapt_core::Error::from)?;
    let row_bytes = |kv| KvCache::row_bytes(&config, kv, ROW_TOKENS);
    Ok(ModelMemory {
        weight_bytes: gguf.tensors.iter().map(|tensor| tensor.bytes).sum(),
        row_tokens: ROW_TOKENS,
        row_bytes_f16: row_bytes(KvType::F16),
        row_bytes_f32: row_bytes(KvType::F32),
        kept_bytes: KEEPS,
    })
}

/// Host memory that is free to use, in bytes, where the system says so (Linux): what the machine has, or what this
/// process's group may still take where that is less.
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let group = |file: &str| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?;
        text.trim().parse().ok()
    };
    let left = group("memory.max").zip(group("memory.current"));
    let left = left.map_or(u64::MAX, |(most, now)| most.saturating_sub(now));
    Some((kib * 1024).min(left))
}
