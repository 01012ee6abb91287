//! What the kernel tests share: the two devices, random input, and a comparison that says where it failed.

#![allow(dead_code, clippy::unwrap_used)]

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use periapt_core::device::{self, DeviceChoice, OpenDevice};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The GPU under test and the CPU backend with the twins.
pub struct Devices {
    pub gpu: OpenDevice,
    pub cpu: OpenDevice,
}

/// Both devices, or `None` (aloud) where there is no GPU adapter.
pub fn devices() -> Option<Devices> {
    let cpu = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
    match pollster::block_on(device::open(DeviceChoice::Gpu)) {
        Ok(gpu) => Some(Devices { gpu, cpu }),
        Err(error) => {
            assert!(std::env::var_os("PERIAPT_REQUIRE_ALL").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// Numbers in `-size..size`.
pub fn random(seed: u64, count: usize, size: f32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 2.0 * size)
        .collect()
}

/// Leaves recognizable values in the GPU's free memory, so that a kernel that skips an element
/// can't find the right one there.
pub fn poison(device: &Device) {
    for _ in 0..4 {
        let tensor = Tensor::<1>::full([1 << 16], 1e30, device);
        drop(tensor.into_data());
    }
}

pub fn floats<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

pub fn ints<const D: usize>(values: &[i32], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, (device, DType::I32))
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

pub fn int_values<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Compares, and says where and by how much.
pub fn compare(
    what: &str,
    adapter: &str,
    got: &[f32],
    want: &[f32],
    tolerance: f32,
) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!(
            "{what}: {} values, wanted {}",
            got.len(),
            want.len()
        ));
    }
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let near = got == want || (got - want).abs() <= tolerance * want.abs().max(1.0);
        if !near {
            return Err(format!(
                "{what}[{index}]: got {got}, wanted {want} within {tolerance} on {adapter}; \
                 rerun with: cargo test --release --workspace --exclude periapt-web --test twins"
            ));
        }
    }
    Ok(())
}
