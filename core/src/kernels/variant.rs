//! Which matrix kernels run.

use std::collections::BTreeMap;

/// The form of `shaders/matvec.wgsl`, and whether `shaders/matmul.wgsl` takes over for many rows: a workgroup of `lanes` by `slices` invocations, each with
/// `outs` outputs; `subgroup` invocations share their loads of x (0: none do).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Variant {
    /// Neighbouring outputs at once.
    pub lanes: usize,
    /// Shares of the inputs; 1 with subgroups.
    pub slices: usize,
    /// Outputs of an invocation, `lanes` apart; `lanes * outs` divides 64.
    pub outs: usize,
    /// The adapter's fixed subgroup size, or 0.
    pub subgroup: usize,
    /// True where more than [`Self::TILED_ABOVE`] rows go through `matmul.wgsl`.
    pub tiled: bool,
}

/// Variants that were measured to be fastest, by adapter and shape.
pub type Tuning = BTreeMap<String, Variant>;

impl Variant {
    /// Rows that never need the tiled kernel.
    pub const TILED_ABOVE: usize = 16;

    /// For hardware: many invocations, each with few registers.
    pub const WIDE: Self = Self {
        lanes: 32,
        slices: 8,
        outs: 1,
        subgroup: 0,
        tiled: true,
    };
    /// The same with more workgroups, each of fewer outputs: up to twice as fast where a GPU has more multiprocessors than
    /// WIDE has workgroups.
    pub const NARROW: Self = Self {
        lanes: 16,
        slices: 16,
        outs: 1,
        subgroup: 0,
        tiled: true,
    };
    /// For software adapters: few invocations, many outputs each, no barriers. Runs everywhere.
    pub const DEEP: Self = Self {
        lanes: 8,
        slices: 1,
        outs: 8,
        subgroup: 0,
        tiled: false,
    };

    /// Those worth trying on an adapter, the one to take without trying first. `subgroup` is its fixed
    /// subgroup size, or 0.
    #[must_use]
    pub fn candidates(software: bool, subgroup: usize) -> Vec<Self> {
        let mut all = match software {
            true => vec![Self::DEEP],
            false => vec![Self::NARROW, Self::WIDE, Self::DEEP],
        };
        if [4, 8, 16, 32].contains(&subgroup) {
            let shared = Self {
                lanes: subgroup,
                slices: 1,
                outs: (64 / subgroup).min(8),
                subgroup,
                tiled: false,
            };
            all.insert(if software { 0 } else { 1 }, shared);
        }
        for variant in &mut all {
            variant.tiled = !software;
        }
        all
    }
}
