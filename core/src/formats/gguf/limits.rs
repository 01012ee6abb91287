//! What a file may ask for. Real models stay far below each of these; a file past one is damaged,
//! or made to exhaust the machine.

/// Dimensions of a tensor (the format allows no more).
pub const MAX_DIMS: u32 = 4;
/// Bytes of a metadata key (the format allows no more).
pub const MAX_KEY_BYTES: u64 = 65_535;
/// Bytes of a tensor's name (the format allows no more).
pub const MAX_TENSOR_NAME_BYTES: u64 = 64;
/// Arrays within arrays in a metadata value.
pub const MAX_ARRAY_DEPTH: u32 = 4;
/// Metadata keys in a file.
pub const MAX_METADATA: u64 = 1 << 16;
/// Tensors in a file.
pub const MAX_TENSORS: u64 = 1 << 16;
/// Bytes of one metadata string; some files carry a whole `tokenizer.json` in one.
pub const MAX_STRING_BYTES: u64 = 32 << 20;
/// Bytes of everything before the tensors' bytes.
pub const MAX_HEADER_BYTES: u64 = 128 << 20;
/// Bytes of one tensor.
pub const MAX_TENSOR_BYTES: u64 = 1 << 40;
