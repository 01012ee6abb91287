//! How keys and values are stored, as a setting.

use std::fmt;

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(clap::ValueEnum, ts_rs::TS))]
pub enum KvType {
    /// 16 bits, half the memory
    F16,
    /// 32 bits, as computed
    F32,
}

impl KvType {
    /// What is taken where nobody asks for another: the CPU backend gains nothing from packing, and pays for it.
    #[must_use]
    pub fn fitting(is_gpu: bool) -> Self {
        match is_gpu {
            true => Self::F16,
            false => Self::F32,
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        })
    }
}
