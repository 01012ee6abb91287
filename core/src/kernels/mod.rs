//! The operations burn lacks or is slow at: one trait, [`Ops`], implemented with WGSL for the
//! wgpu backend (`wgsl`) and in plain Rust for the CPU backend (`host`). This folder knows
//! tensors, blocks of quantized weights and shaders, and nothing of models or tokens. [`Matrix`] and the
//! functions here are the tensors' way in; each op has a test that compares the two implementations.

pub mod cache;
mod host;
mod matrix;
pub mod measure;
mod ops;
mod pack;
pub mod sampling;
mod variant;
mod wgsl;

pub use matrix::{Matrix, Packer};
pub use ops::{AttentionShape, CacheShape, Ops, Product, QkvShape};
pub use variant::{Tuning, Variant};

use burn::tensor::Device;

/// The most bytes of one tensor that a kernel is given on `device`; the floor on the CPU backend.
pub(crate) fn binding_bytes(device: &Device) -> u64 {
    wgsl::binding_bytes(device)
}

/// Tokens in a page of the KV cache.
pub const PAGE: usize = 64;
