//! What a device is, in words.

use serde::{Deserialize, Serialize};

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "DeviceKind"))]
pub enum Kind {
    /// A wgpu adapter, software ones included.
    Gpu,
    /// burn's CPU backend.
    Cpu,
}

/// What was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "Adapter"))]
pub struct DeviceInfo {
    /// What kind of device it is.
    pub kind: Kind,
    /// The adapter's own name, or `"CPU (burn flex)"`.
    pub name: String,
    /// The graphics API (`"vulkan"`, `"metal"`, `"dx12"`, `"webgpu"`, ...); empty for the CPU backend.
    pub backend: String,
    /// True where the adapter is a software rasterizer (lavapipe, SwiftShader, WARP).
    pub software: bool,
    /// True where it computes in the machine's own memory, as the CPU, software and integrated adapters do; false
    /// where that isn't known, as in old records.
    #[serde(default)]
    #[cfg_attr(feature = "contract", ts(optional, as = "Option<bool>"))]
    pub shares_memory: bool,
    /// The driver's name and version as it reports them; may be empty.
    pub driver: String,
}

impl DeviceInfo {
    /// Whether it is a wgpu adapter.
    #[must_use]
    pub fn is_gpu(&self) -> bool {
        self.kind == Kind::Gpu
    }
}
