/// How a tensor's elements are stored. The quantized types hold blocks of 32 elements along a
/// row; [`crate::formats::quant`] has their layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "the format's own names")]
pub enum TensorType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 4 bits and a scale.
    Q4_0,
    /// 4 bits, a scale and a minimum.
    Q4_1,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a minimum.
    Q5_1,
    /// 8 bits and a scale.
    Q8_0,
}

/// Each type with its number in the file, its name, and the elements and bytes of its block.
const TYPES: [(TensorType, u32, &str, usize, usize); 8] = [
    (TensorType::F32, 0, "F32", 1, 4),
    (TensorType::F16, 1, "F16", 1, 2),
    (TensorType::BF16, 30, "BF16", 1, 2),
    (TensorType::Q4_0, 2, "Q4_0", 32, 18),
    (TensorType::Q4_1, 3, "Q4_1", 32, 20),
    (TensorType::Q5_0, 6, "Q5_0", 32, 22),
    (TensorType::Q5_1, 7, "Q5_1", 32, 24),
    (TensorType::Q8_0, 8, "Q8_0", 32, 34),
];

/// The numbers of types that we can't read, so that an error can name them.
const UNSUPPORTED: &[(u32, &str)] = &[
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl TensorType {
    /// Every type there is.
    pub const ALL: [TensorType; 8] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
    ];

    /// The name it has in ggml, such as `Q4_1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Elements in a block; 1 for the types that have none.
    #[must_use]
    pub fn block_size(self) -> usize {
        self.row().3
    }

    /// Bytes that a block takes.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        self.row().4
    }

    /// Its number in the file.
    pub(super) fn id(self) -> u32 {
        self.row().1
    }

    /// The type with that number, or the name of the type that we don't have.
    pub(super) fn from_id(id: u32) -> Result<Self, String> {
        if let Some((dtype, ..)) = TYPES.iter().find(|row| row.1 == id) {
            return Ok(*dtype);
        }
        Err(match UNSUPPORTED.iter().find(|row| row.0 == id) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("number {id}"),
        })
    }

    /// The names of all types.
    pub(super) fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn row(self) -> &'static (TensorType, u32, &'static str, usize, usize) {
        &TYPES[self as usize]
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_types() {
        for dtype in TensorType::ALL {
            assert_eq!(dtype.row().0, dtype);
            assert_eq!(TensorType::from_id(dtype.id()), Ok(dtype));
        }
    }

    #[test]
    fn other_types_are_named() {
        assert_eq!(TensorType::from_id(12), Err("Q4_K".to_owned()));
        assert_eq!(TensorType::from_id(4), Err("number 4".to_owned()));
    }
}
