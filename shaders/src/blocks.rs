//! How quantized matrices lie on the device: what packs them and `common/blocks.wgsl`, which reads them, go by this table.

use std::collections::BTreeMap;

/// Outputs that lie together.
pub const TILE: usize = 64;

/// How a type's blocks of 32 inputs lie: `group` blocks, each with its words of quants, and after them the group's words
/// of scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// What the type is called in the kernels.
    pub name: &'static str,
    /// Bits of a quant, and so words of a block's 32.
    pub bits: usize,
    /// Blocks that share words of scales.
    pub group: usize,
    /// These words: none for floats; one word of two or four scales, or of a block's scale and minimum; for the
    /// super-blocks of the K types two bytes for each block, and then d and dmin.
    pub scale_words: usize,
    /// Whether the halves of a block have scales of their own.
    pub halves: bool,
    /// Whether there is a minimum beside a scale.
    pub minima: bool,
    /// What is added to a quant before it is scaled.
    pub offset: i32,
}

impl Layout {
    /// Words of a group.
    #[must_use]
    pub fn group_words(&self) -> usize {
        self.group * self.bits + self.scale_words
    }

    /// As templates know it.
    pub(crate) fn value(&self) -> minijinja::Value {
        BTreeMap::from([
            ("bits", self.bits as i32),
            ("group", self.group as i32),
            ("group_words", self.group_words() as i32),
            ("scale_words", self.scale_words as i32),
            ("halves", self.halves.into()),
            ("minima", self.minima.into()),
            ("offset", self.offset),
        ])
        .into()
    }

    /// The layout of the type that the kernels call `name`.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.name == name)
    }
}

macro_rules! layouts {
    ($($name:literal $bits:literal $group:literal $scale_words:literal $halves:literal $minima:literal $offset:literal;)*) => {
        /// Every type's layout.
        pub const LAYOUTS: &[Layout] = &[$(Layout {
            name: $name,
            bits: $bits,
            group: $group,
            scale_words: $scale_words,
            halves: $halves,
            minima: $minima,
            offset: $offset,
        }),*];
    };
}

layouts! {
    // bits, group, scale_words, halves, minima, offset
    "f32"    32 1 0 false false   0;
    "f16"    16 1 0 false false   0;
    "bf16"   16 1 0 false false   0;
    "q4_0"    4 2 1 false false  -8;
    "q4_1"    4 1 1 false true    0;
    "q5_0"    5 2 1 false false -16;
    "q5_1"    5 1 1 false true    0;
    "q8_0"    8 2 1 false false   0;
    "q2_k"    2 8 5 true  true    0;
    "q3_k"    3 8 5 true  false  -4;
    "q4_k"    4 8 5 false true    0;
    "q5_k"    5 8 5 false true    0;
    "q6_k"    6 8 5 true  false -32;
    "iq4_nl"  4 2 1 false false   0;
    "mxfp4"   4 4 1 false false   0;
}
