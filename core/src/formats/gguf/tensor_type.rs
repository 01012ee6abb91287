/// How a tensor's elements are stored. The quantized types hold blocks of 32 or 256 elements along
/// a row; [`crate::formats::quant`] has their layouts.
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
    /// 2 bits, with scales and minima of 4 bits for every 16 elements.
    Q2_K,
    /// 3 bits, with scales of 6 bits for every 16 elements.
    Q3_K,
    /// 4 bits, with scales and minima of 6 bits for every 32 elements.
    Q4_K,
    /// 5 bits, with scales and minima of 6 bits for every 32 elements.
    Q5_K,
    /// 6 bits, with scales of 8 bits for every 16 elements.
    Q6_K,
    /// 4 bits that choose one of sixteen unevenly spaced values, and a scale.
    IQ4_NL,
    /// 4-bit floats and a power of two (OCP Microscaling Formats 1.0).
    MXFP4,
}

/// Each type with its number in the file, its name, and the elements and bytes of its block.
const TYPES: [(TensorType, u32, &str, usize, usize); TensorType::ALL.len()] = [
    (TensorType::F32, 0, "F32", 1, 4),
    (TensorType::F16, 1, "F16", 1, 2),
    (TensorType::BF16, 30, "BF16", 1, 2),
    (TensorType::Q4_0, 2, "Q4_0", 32, 18),
    (TensorType::Q4_1, 3, "Q4_1", 32, 20),
    (TensorType::Q5_0, 6, "Q5_0", 32, 22),
    (TensorType::Q5_1, 7, "Q5_1", 32, 24),
    (TensorType::Q8_0, 8, "Q8_0", 32, 34),
    (TensorType::Q2_K, 10, "Q2_K", 256, 84),
    (TensorType::Q3_K, 11, "Q3_K", 256, 110),
    (TensorType::Q4_K, 12, "Q4_K", 256, 144),
    (TensorType::Q5_K, 13, "Q5_K", 256, 176),
    (TensorType::Q6_K, 14, "Q6_K", 256, 210),
    (TensorType::IQ4_NL, 20, "IQ4_NL", 32, 18),
    (TensorType::MXFP4, 39, "MXFP4", 32, 17),
];

/// The numbers of types that we can't read, so that an error can name them. 4, 5, 31 to 33 and 36 to 38
/// are ggml's own no more, but stand in older files.
const UNSUPPORTED: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl TensorType {
    /// Every type there is.
    pub const ALL: [TensorType; 15] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::MXFP4,
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
        for (id, name) in UNSUPPORTED {
            assert_eq!(TensorType::from_id(*id), Err((*name).to_owned()));
        }
        assert_eq!(TensorType::from_id(17), Err("IQ2_XS".to_owned()));
        assert_eq!(TensorType::from_id(99), Err("number 99".to_owned()));
    }

    /// Every number up to ggml's last is one of ours or has a name.
    #[test]
    fn no_number_is_forgotten() {
        let named = |id| TensorType::from_id(id).map_or_else(|name| name, |t| t.name().to_owned());
        for id in 0..=41 {
            assert!(!named(id).contains("number"), "{id}");
        }
    }
}
