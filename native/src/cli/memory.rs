//! Whether a model fits into memory, asked of its header before anything is loaded.

use super::args::LoadArgs;
use super::doctor::available_memory;
use super::source;
use indicatif::HumanBytes;
use periapt_core::OpenDevice;
use periapt_core::formats::gguf::{Gguf, TensorType};
use periapt_core::kernels::PAGE;
use periapt_core::model::{DecoderConfig, KvCache, KvType, Memory, Usage, largest_context};
use std::path::Path;

/// Tokens of a row that there must be room for where nothing is said.
const CONTEXT: usize = 2048;

/// Rows that there must be room for: Amulet's two.
const ROWS: usize = 2;

/// The model is larger than the memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model is larger than the memory: it needs {} for its weights and {} for {ROWS} rows of {context} tokens, {} at \
     once, and {} are available ({known}). {fits}. (--memory says how much there really is)",
    HumanBytes(need.weights), HumanBytes(need.cache + need.activations), HumanBytes(need.peak()), HumanBytes(*available)
)]
pub struct TooLarge {
    need: Memory,
    context: usize,
    available: u64,
    known: &'static str,
    fits: String,
}

/// What a model that fits takes.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Bytes at once.
    pub bytes: u64,
    /// What is left beside them, where that is known.
    pub spare: Option<u64>,
}

/// Bytes of keys and values that stay for prompts that begin alike, where nothing is said.
pub const KEEPS: u64 = 256 << 20;

/// Tokens that [`KEEPS`] holds.
pub fn kept_tokens(config: &DecoderConfig, kv: KvType) -> u64 {
    KEEPS / KvCache::row_bytes(config, kv, PAGE).max(1) * PAGE as u64
}

/// The memory that models find.
#[derive(Debug, Clone, Copy)]
pub struct Available {
    /// Nothing where nothing is known of it (a GPU with its own, a system that doesn't say).
    pub bytes: Option<u64>,
    /// Whether it is what is free now, and not what somebody says there is.
    pub is_free: bool,
}

impl Available {
    /// What the arguments say there is, or else what is free where `device` computes in the machine's own memory.
    ///
    /// # Errors
    ///
    /// [`super::Usage`] where PERIAPT_MEMORY says no size.
    pub fn of(args: &LoadArgs, device: &OpenDevice) -> Result<Self, super::Usage> {
        let said = args.memory()?;
        let free = || available_memory().filter(|_| device.info.shares_memory);
        Ok(Self {
            bytes: said.or_else(free),
            is_free: said.is_none(),
        })
    }
}

/// Refuses a model that doesn't fit with the context asked for; its header is what it is loaded as. Where nothing is known
/// of the memory, nothing is refused.
///
/// # Errors
///
/// [`TooLarge`], with what would fit; [`periapt_core::Error`] where the header describes no model we can run.
pub fn check(
    gguf: &Gguf,
    args: &LoadArgs,
    device: &OpenDevice,
    available: Available,
) -> anyhow::Result<Need> {
    let known = match available.is_free {
        true => "free memory of this machine",
        false => "as --memory or PERIAPT_MEMORY says",
    };
    let config = DecoderConfig::from_gguf(gguf).map_err(periapt_core::Error::from)?;
    let gpu = device.info.is_gpu();
    let kv = args.kv;
    let kv = kv.unwrap_or(KvType::fitting(gpu));
    let context = args.max_context.unwrap_or(CONTEXT).min(config.context);
    let need = |quantize: Option<TensorType>, context: usize| {
        let tensors = gguf.tensors.iter().map(|info| {
            let dtype = quantize.filter(|_| info.shape.len() == 2);
            (dtype.unwrap_or(info.dtype), &*info.shape)
        });
        let usage = Usage {
            context,
            rows: ROWS,
            kv,
            gpu,
        };
        Memory::predict(&config, tensors, usage)
    };
    let wanted = need(None, context);
    let bytes = wanted.peak();
    let available = available.bytes;
    let Some(available) = available.filter(|available| *available < bytes) else {
        let spare = available.map(|available| available - bytes);
        return Ok(Need { bytes, spare });
    };
    let mut fits = Vec::new();
    if let Some(context) = largest_context(available, context, |context| need(None, context)) {
        fits.push(format!("--max-context {context} would fit"));
    }
    for (dtype, flag) in [(TensorType::Q8_0, "q8_0"), (TensorType::Q4_0, "q4_0")] {
        let smaller = need(Some(dtype), context);
        if smaller.peak() <= available && smaller.weights < wanted.weights {
            let how = match floats(gguf) {
                true => format!("--quantize {flag}"),
                false => format!("a {dtype} file"),
            };
            fits.push(format!("{how} would need {}", HumanBytes(smaller.peak())));
            break;
        }
    }
    let fits = match fits.is_empty() {
        true => "No shorter context and no Q4_0 weights would fit: take a smaller model".to_owned(),
        false => format!("What would fit: {}", fits.join("; ")),
    };
    Err(TooLarge {
        need: wanted,
        context,
        available,
        known,
        fits,
    }
    .into())
}

/// What the list of models says of one.
#[derive(Debug, Clone, Copy)]
pub struct Fit {
    /// Bytes that it takes, as [`check`] predicts them.
    pub bytes: u64,
    /// Whether that is an estimate, since its header isn't here.
    pub is_estimate: bool,
}

impl Fit {
    /// What the model at `path` takes on the CPU, by its header; nothing where that can't be read or describes no model that
    /// we can run.
    pub fn of_file(path: &Path) -> Option<Self> {
        let source = source::open(path).ok()?;
        let gguf = source.gguf();
        let config = DecoderConfig::from_gguf(gguf).ok()?;
        let usage = Usage {
            context: CONTEXT.min(config.context),
            rows: ROWS,
            kv: KvType::fitting(false),
            gpu: false,
        };
        Some(Self {
            bytes: Memory::of_gguf(gguf, &config, usage).peak(),
            is_estimate: false,
        })
    }

    /// What a model with a file of so many bytes takes, or somewhat less: a quarter more, and 256 MiB for what small ones
    /// keep beside their weights.
    pub fn estimate(bytes: u64) -> Self {
        Self {
            bytes: bytes + bytes / 4 + (256 << 20),
            is_estimate: true,
        }
    }
}

/// The memory that PERIAPT_MEMORY says there is; an empty variable says nothing.
pub(super) fn said() -> Result<Option<u64>, super::Usage> {
    let said = std::env::var("PERIAPT_MEMORY").unwrap_or_default();
    match said.trim() {
        "" => Ok(None),
        said => {
            let bytes = parse_bytes(said);
            Ok(Some(bytes.map_err(|why| {
                super::Usage(format!("PERIAPT_MEMORY: {why}"))
            })?))
        }
    }
}

/// Whether nothing in the file is quantized yet.
fn floats(gguf: &Gguf) -> bool {
    gguf.tensors.iter().all(|info| info.dtype.block_size() == 1)
}

/// Bytes from `4000000000`, `4G`, `3.5GiB`, `512M`; units are powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => {
            return Err(format!(
                "`{text}` is no size: write 4000000000, 512M or 3.5G"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no size: write 4000000000, 512M or 3.5G"))?;
    Ok((number * (1u64 << power) as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("4000000000"), Ok(4_000_000_000));
        assert_eq!(parse_bytes("3.5GiB"), Ok(7 << 29));
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        for wrong in ["", "G", "4 apples", "-1", "1.2.3"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
