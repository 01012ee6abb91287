//! What `periapt bench` takes.

use super::{MethodArg, ModelArgs};
use clap::{Args, ValueEnum};
use periapt_core::formats::gguf::TensorType;
use periapt_core::model::{DecoderConfig, Rope, Traits};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeArg {
    /// SmolLM2-135M
    #[value(name = "135m")]
    M135,
    /// Llama-3.2-1B
    #[value(name = "1b")]
    B1,
    /// Llama-2-7B
    #[value(name = "7b")]
    B7,
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
            Self::B1 => (config(16, 2048, [32, 8], 64, 8192, 128_256), false),
            Self::B7 => (config(32, 4096, [32, 32], 128, 11_008, 32_000), true),
        }
    }
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
}

impl From<WeightsArg> for TensorType {
    fn from(weights: WeightsArg) -> Self {
        match weights {
            WeightsArg::Q4_0 => Self::Q4_0,
            WeightsArg::Q4_1 => Self::Q4_1,
            WeightsArg::Q5_0 => Self::Q5_0,
            WeightsArg::Q5_1 => Self::Q5_1,
            WeightsArg::Q8_0 => Self::Q8_0,
            WeightsArg::Q2_K => Self::Q2_K,
            WeightsArg::Q3_K => Self::Q3_K,
            WeightsArg::Q4_K => Self::Q4_K,
            WeightsArg::Q5_K => Self::Q5_K,
            WeightsArg::Q6_K => Self::Q6_K,
            WeightsArg::IQ4_NL => Self::IQ4_NL,
            WeightsArg::MXFP4 => Self::MXFP4,
            WeightsArg::F16 => Self::F16,
        }
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
          default_values_t = [MethodArg::Base, MethodArg::Pref, MethodArg::Amulet])]
    pub method: Vec<MethodArg>,
    /// Tokens that each row holds already
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [128, 1024, 4096])]
    pub context: Vec<usize>,
    /// Decode steps of one measurement
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub steps: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
