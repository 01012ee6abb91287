//! What `periapt bench` takes.

use super::ModelArgs;
use clap::{Args, ValueEnum};
use periapt_core::decoding::MethodName;
use periapt_core::formats::gguf::TensorType;
use periapt_core::model::{DecoderConfig, Rope, Traits};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeArg {
    /// SmolLM2-135M
    #[value(name = "135m")]
    M135,
    /// Qwen2.5-0.5B
    #[value(name = "0.5b")]
    B05,
    /// Llama-3.2-1B
    #[value(name = "1b")]
    B1,
    /// Qwen2.5-1.5B
    #[value(name = "1.5b")]
    B15,
    /// Llama-2-7B (as many key heads as query heads)
    #[value(name = "7b")]
    B7,
    /// Llama-3.1-8B
    #[value(name = "8b")]
    B8,
}

impl ShapeArg {
    /// The shape, and whether it has a head of its own.
    pub fn config(self) -> (DecoderConfig, bool) {
        let config = |layers, width, [heads, kv_heads]: [usize; 2], head_dim, ffn_width, vocab| {
            DecoderConfig {
                layers,
                width,
                heads,
                kv_heads,
                head_dim,
                ffn_width,
                vocab,
                context: 8192,
                rms_epsilon: 1e-5,
                rope: Rope::plain(10_000.0),
                traits: Traits::default(),
            }
        };
        match self {
            Self::M135 => (config(30, 576, [9, 3], 64, 1536, 49_152), false),
            Self::B05 => (config(24, 896, [14, 2], 64, 4864, 151_936), false),
            Self::B1 => (config(16, 2048, [32, 8], 64, 8192, 128_256), false),
            Self::B15 => (config(28, 1536, [12, 2], 128, 8960, 151_936), false),
            Self::B7 => (config(32, 4096, [32, 32], 128, 11_008, 32_000), true),
            Self::B8 => (config(32, 4096, [32, 8], 128, 14_336, 128_256), true),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VariantArg {
    /// 32 outputs by 8 shares of the inputs
    Wide,
    /// 16 outputs by 16 shares of the inputs
    Narrow,
    /// 8 invocations with 8 outputs each
    Deep,
    /// Subgroups, where the adapter has them
    Subgroup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(non_camel_case_types, reason = "the format's own names")]
pub enum WeightsArg {
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_1")]
    Q4_1,
    #[value(name = "q5_0")]
    Q5_0,
    #[value(name = "q5_1")]
    Q5_1,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q2_k")]
    Q2_K,
    #[value(name = "q3_k")]
    Q3_K,
    #[value(name = "q4_k")]
    Q4_K,
    #[value(name = "q5_k")]
    Q5_K,
    #[value(name = "q6_k")]
    Q6_K,
    #[value(name = "iq4_nl")]
    IQ4_NL,
    #[value(name = "mxfp4")]
    MXFP4,
    #[value(name = "f16")]
    F16,
    /// As llama.cpp mixes them: Q6_K for the head and for a part of the values and down projections, else Q4_K
    #[value(name = "q4_k_m")]
    Q4_K_M,
}

impl WeightsArg {
    /// How a tensor of that name is stored in a model of so many layers, whose head is its embedding or not.
    pub fn of(self, name: &str, inputs: usize, layers: usize, head: bool) -> TensorType {
        match self {
            Self::Q4_0 => TensorType::Q4_0,
            Self::Q4_1 => TensorType::Q4_1,
            Self::Q5_0 => TensorType::Q5_0,
            Self::Q5_1 => TensorType::Q5_1,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q2_K => TensorType::Q2_K,
            Self::Q3_K => TensorType::Q3_K,
            Self::Q4_K => TensorType::Q4_K,
            Self::Q5_K => TensorType::Q5_K,
            Self::Q6_K => TensorType::Q6_K,
            Self::IQ4_NL => TensorType::IQ4_NL,
            Self::MXFP4 => TensorType::MXFP4,
            Self::F16 => TensorType::F16,
            Self::Q4_K_M => {
                let more = match name.split('.').collect::<Vec<_>>()[..] {
                    ["output", _] => true,
                    ["token_embd", _] => !head,
                    ["blk", index, "attn_v" | "ffn_down", _] => {
                        let (index, eighth) = (index.parse().unwrap_or(0), layers / 8);
                        index < eighth || index >= 7 * eighth || (index - eighth) % 3 == 2
                    }
                    _ => false,
                };
                // Rows that K blocks don't fill are stored in plain ones.
                match (more, inputs.is_multiple_of(TensorType::Q4_K.block_size())) {
                    (true, true) => TensorType::Q6_K,
                    (false, true) => TensorType::Q4_K,
                    (true, false) => TensorType::Q8_0,
                    (false, false) => TensorType::Q5_0,
                }
            }
        }
    }

    /// Its name.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_uppercase())
    }
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Random weights of this shape in place of a model
    #[arg(long, value_enum, conflicts_with = "model")]
    pub shape: Option<ShapeArg>,
    /// With --shape: how the weights are stored
    #[arg(long, value_enum, default_value = "q4_0", requires = "shape")]
    pub weights: WeightsArg,
    /// Answers decoded at once; amulet runs two rows for each
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2, 8])]
    pub rows: Vec<usize>,
    /// Methods
    #[arg(long, value_enum, value_name = "M,M", value_delimiter = ',',
          default_values_t = [MethodName::Base, MethodName::Pref, MethodName::Amulet])]
    pub method: Vec<MethodName>,
    /// Tokens that each row holds already
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [128, 1024, 4096])]
    pub context: Vec<usize>,
    /// Decode steps of one measurement
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub steps: usize,
    /// Tokens of all rows in a measured prefill
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub prefill: usize,
    /// Measure steps as generation runs them: the next one is recorded while the device computes this one
    #[arg(long)]
    pub pipelined: bool,
    /// One matrix kernel for all matrices in place of the fastest for each
    #[arg(long, value_enum, value_name = "V")]
    pub variant: Option<VariantArg>,
    /// Measurements of each combination in turns at most; they end when the 95% interval of the median is under 5% of it
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub repeats: usize,
    /// Measure another build of periapt in turns with this one, and print ratios of their step and prefill times
    #[arg(long, value_name = "BINARY")]
    pub vs: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
