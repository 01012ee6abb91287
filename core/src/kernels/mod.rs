//! The operations burn lacks or is slow at: one trait, [`Ops`], implemented with WGSL for the
//! wgpu backend (`wgsl`) and in plain Rust for the CPU backend (`host`). This folder knows
//! tensors and shaders, and nothing of models or tokens. The functions here are the tensors'
//! way in; each op has a test that compares the two implementations.

mod host;
mod wgsl;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

/// The operations, on one backend's own tensors. All floats are f32, all integers i32, and every
/// input may be strided. See the functions of the same names for shapes and equations.
#[backend_extension(Cube, Flex)]
pub trait Ops: Backend {
    /// See [`linear`].
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    /// See [`rms_norm`].
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;
    /// See [`rope`].
    fn rope(
        x: FloatTensor<Self>,
        table: FloatTensor<Self>,
        positions: IntTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
    /// See [`silu_mul`].
    fn silu_mul(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The product of `x [rows, inputs]` and `weight [inputs, outputs]`, to `[rows, outputs]`. A few
/// rows go through a kernel of ours that reads each weight once; more through burn's own product.
#[must_use]
pub fn linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Ops>::linear(
        x.into_dispatch(),
        weight.into_dispatch(),
    ))
}

/// Root mean square normalization of `x [rows, width]` times `gain [width]`, to `[rows, width]`:
/// `x * gain / sqrt(mean(x^2) + epsilon)` (Zhang & Sennrich 2019, eq. 4).
#[must_use]
pub fn rms_norm(x: Tensor<2>, gain: Tensor<1>, epsilon: f32) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Ops>::rms_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        epsilon,
    ))
}

/// Rotary position embedding (Su et al. 2021, eq. 34) of the first `heads` heads of each row of
/// `x [rows, any width]`, in interleaved pairs, to `[rows, heads, head_dim]`. Row `r` is turned by
/// line `positions[r]` of `table [positions, head_dim]`, which holds cos, sin of each pair.
#[must_use]
pub fn rope(x: Tensor<2>, table: Tensor<2>, positions: Tensor<1, Int>, heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as Ops>::rope(
        x.into_dispatch(),
        table.into_dispatch(),
        positions.into_dispatch(),
        heads,
    ))
}

/// `silu(gate) * up` of `x [rows, 2 * width]`, gate first, to `[rows, width]` (Shazeer 2020, eq. 6).
#[must_use]
pub fn silu_mul(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Ops>::silu_mul(x.into_dispatch()))
}
