//! What a device can do, and what our kernels make it do: for benchmarks and the tests that count.

use super::ops::Ops;
use super::wgsl;
use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor, TensorData};
use std::cell::Cell;
use std::time::Duration;

/// Dispatches of our kernels on this thread so far.
#[must_use]
pub fn dispatches() -> u64 {
    wgsl::stats::dispatches()
}

thread_local! {
    static READBACKS: Cell<u64> = const { Cell::new(0) };
}

/// Tensors that this thread has read back so far.
#[must_use]
pub fn readbacks() -> u64 {
    READBACKS.get()
}

/// Counts a readback.
pub(crate) fn count_readback() {
    READBACKS.set(READBACKS.get() + 1);
}

/// Runs `work` with a timestamp query around every dispatch of this thread (on adapters without them, the host's
/// clock), and gives each kernel's name and time in order. Empty on the CPU backend.
pub async fn profile(work: impl FnOnce()) -> Vec<(String, Duration)> {
    wgsl::stats::profile(work).await
}

/// Records and submits everything queued on `device`, and doesn't wait for it.
pub fn flush(device: &Device) {
    wgsl::flush(device);
}

/// Bytes that the device's memory pools hold, at most, so far; `None` on the CPU backend.
#[must_use]
pub fn device_memory(device: &Device) -> Option<u64> {
    wgsl::stats::device_memory(device)
}

/// A vector on a device.
pub type Vector = Tensor<1>;

/// `values` on `device`.
#[must_use]
pub fn vector(values: &[f32], device: &Device) -> Vector {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// `x [length]` copied, read and written once: what memory bandwidth a kernel reaches. The length is a multiple of 16.
#[must_use]
pub fn copy(x: Vector) -> Vector {
    Tensor::from_dispatch(<Dispatch as Ops>::copy(x.into_dispatch()))
}

/// `x [length]` after `rounds` times `x * 0.75 + 0.25`: what arithmetic a kernel reaches. The length is a multiple of
/// 16.
#[must_use]
pub fn fma_chain(x: Vector, rounds: usize) -> Vector {
    Tensor::from_dispatch(<Dispatch as Ops>::fma_chain(x.into_dispatch(), rounds))
}
