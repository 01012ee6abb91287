//! `periapt models convert`.

use clap::{Args, ValueEnum};
use periapt_core::formats::gguf::TensorType;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// A hub folder, a GGUF file (of a split model any one of its files), or a model of the store
    pub source: String,
    /// The GGUF file to write
    #[arg(value_name = "OUTPUT.gguf")]
    pub output: PathBuf,
    /// The type of the matrices [default: as they are]
    #[arg(long, value_enum, value_name = "TYPE")]
    pub quantize: Option<ConvertTo>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConvertTo {
    /// 32 bits
    F32,
    /// 16 bits, IEEE 754
    F16,
    /// 16 bits, the upper half of 32
    Bf16,
    /// 8 bits and a scale a block
    #[value(name = "q8_0")]
    Q8_0,
    /// 5 bits, a scale and a minimum a block
    #[value(name = "q5_1")]
    Q5_1,
    /// 5 bits and a scale a block
    #[value(name = "q5_0")]
    Q5_0,
    /// 4 bits, a scale and a minimum a block
    #[value(name = "q4_1")]
    Q4_1,
    /// 4 bits and a scale a block
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<ConvertTo> for TensorType {
    fn from(to: ConvertTo) -> Self {
        match to {
            ConvertTo::F32 => Self::F32,
            ConvertTo::F16 => Self::F16,
            ConvertTo::Bf16 => Self::BF16,
            ConvertTo::Q8_0 => Self::Q8_0,
            ConvertTo::Q5_1 => Self::Q5_1,
            ConvertTo::Q5_0 => Self::Q5_0,
            ConvertTo::Q4_1 => Self::Q4_1,
            ConvertTo::Q4_0 => Self::Q4_0,
        }
    }
}
