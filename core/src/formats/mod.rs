//! Model files' bytes become named, typed, bounded tensors and metadata, and quantized blocks
//! become numbers. Everything here treats its input as hostile: arithmetic is checked, nothing
//! panics, and no length that a file claims is allocated before that many bytes have come. This
//! folder uses no other folder of the crate, and knows no device and no model.

pub mod foreign;
pub mod gguf;
pub mod hub;
pub mod quant;
pub mod rotary;
pub mod safetensors;
pub mod source;
