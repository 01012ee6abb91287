//! Every kernel's WGSL against its CPU twin, on random input.

#![allow(clippy::unwrap_used)]

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use periapt_core::device::{self, DeviceChoice};
use periapt_core::kernels;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Around a workgroup of 64, and the default model's own widths.
const WIDTHS: [usize; 7] = [1, 63, 64, 65, 128, 576, 1536];

struct Devices {
    gpu: Device,
    cpu: Device,
    adapter: String,
}

fn devices() -> Option<Devices> {
    match pollster::block_on(device::open(DeviceChoice::Gpu)) {
        Ok(open) => {
            let cpu = pollster::block_on(device::open(DeviceChoice::Cpu)).unwrap();
            Some(Devices {
                gpu: open.device,
                cpu: cpu.device,
                adapter: open.info.name,
            })
        }
        Err(error) => {
            assert!(std::env::var_os("PERIAPT_REQUIRE_ALL").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 8.0)
        .collect()
}

/// Leaves recognizable values in the GPU's free memory, so that a kernel that skips an element
/// can't find the right one there.
fn poison(device: &Device) {
    for _ in 0..4 {
        let tensor = Tensor::<1>::full([1 << 16], 1e30, device);
        drop(tensor.into_data());
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Compares, and says where and by how much.
fn compare(
    kernel: &str,
    adapter: &str,
    got: &[f32],
    want: &[f32],
    tolerance: f32,
) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!(
            "{kernel}: {} values, wanted {}",
            got.len(),
            want.len()
        ));
    }
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let near = (got - want).abs() <= tolerance * want.abs().max(1.0);
        if !near {
            return Err(format!(
                "{kernel}[{index}]: got {got}, wanted {want} within {tolerance} on {adapter}; \
                 rerun with: cargo test --release -p periapt-core --test kernels {kernel}"
            ));
        }
    }
    Ok(())
}

/// `linear` against a sum in f64, on both devices: the twin here is burn's own product.
#[test]
fn matvec() {
    let Some(devices) = devices() else { return };
    for rows in [1, 2, 3, 8, 9] {
        for (inputs, outputs) in [(1, 1), (3, 63), (64, 64), (65, 65), (576, 960), (1536, 576)] {
            let (x, weight) = (random(8, rows * inputs), random(9, inputs * outputs));
            let run = |device: &Device| {
                let x = TensorData::new(x.clone(), [rows, inputs]);
                let weight = TensorData::new(weight.clone(), [inputs, outputs]);
                floats(kernels::linear(
                    Tensor::from_data(x, device),
                    Tensor::from_data(weight, device),
                ))
            };
            let want: Vec<f32> = (0..rows * outputs)
                .map(|at| {
                    let (row, output) = (at / outputs, at % outputs);
                    let terms = (0..inputs).map(|i| {
                        f64::from(x[row * inputs + i]) * f64::from(weight[i * outputs + output])
                    });
                    terms.sum::<f64>() as f32
                })
                .collect();
            poison(&devices.gpu);
            // Sums of so many terms of magnitude 4 keep about this much.
            let tolerance = 1e-5 * (inputs as f32).sqrt() * 4.0;
            compare(
                "matvec",
                &devices.adapter,
                &run(&devices.gpu),
                &want,
                tolerance,
            )
            .unwrap();
            compare("matvec", "CPU", &run(&devices.cpu), &want, tolerance).unwrap();
        }
    }
}

#[test]
fn rms_norm() {
    let Some(devices) = devices() else { return };
    for rows in [1, 3, 130] {
        for width in WIDTHS {
            let (x, gain) = (random(1, rows * width), random(2, width));
            let run = |device: &Device| {
                let x = Tensor::from_data(TensorData::new(x.clone(), [rows, width]), device);
                let gain = Tensor::from_data(TensorData::new(gain.clone(), [width]), device);
                floats(kernels::rms_norm(x, gain, 1e-5))
            };
            poison(&devices.gpu);
            let (got, want) = (run(&devices.gpu), run(&devices.cpu));
            compare("rms_norm", &devices.adapter, &got, &want, 1e-5).unwrap();
            let mean = x[..width].iter().map(|v| v * v).sum::<f32>() / width as f32;
            let first = x[0] / (mean + 1e-5).sqrt() * gain[0];
            compare("rms_norm's equation", "CPU", &want[..1], &[first], 1e-5).unwrap();
        }
    }
}

#[test]
fn rope() {
    let Some(devices) = devices() else { return };
    for (rows, heads, head_dim, beyond) in [
        (1, 1, 2, 0),
        (2, 3, 64, 64),
        (5, 12, 64, 192),
        (3, 2, 130, 7),
    ] {
        let width = heads * head_dim + beyond;
        let lines = 9;
        let (x, table) = (random(3, rows * width), random(4, lines * head_dim));
        let positions: Vec<i32> = (0..rows as i32)
            .map(|row| (row * 5) % lines as i32)
            .collect();
        let run = |device: &Device| {
            let x = Tensor::from_data(TensorData::new(x.clone(), [rows, width]), device);
            let table =
                Tensor::from_data(TensorData::new(table.clone(), [lines, head_dim]), device);
            let positions = Tensor::<1, Int>::from_data(
                TensorData::new(positions.clone(), [rows]),
                (device, DType::I32),
            );
            floats(kernels::rope(x, table, positions, heads))
        };
        poison(&devices.gpu);
        let (got, want) = (run(&devices.gpu), run(&devices.cpu));
        compare("rope", &devices.adapter, &got, &want, 1e-6).unwrap();
        let turned = [
            x[0] * table[0] - x[1] * table[1],
            x[0] * table[1] + x[1] * table[0],
        ];
        compare("rope's equation", "CPU", &want[..2], &turned, 1e-6).unwrap();
    }
}

#[test]
fn silu_mul() {
    let Some(devices) = devices() else { return };
    for rows in [1, 3, 130] {
        for width in WIDTHS {
            let x = random(5, rows * 2 * width);
            let run = |device: &Device| {
                let x = Tensor::from_data(TensorData::new(x.clone(), [rows, 2 * width]), device);
                floats(kernels::silu_mul(x))
            };
            poison(&devices.gpu);
            let (got, want) = (run(&devices.gpu), run(&devices.cpu));
            compare("silu_mul", &devices.adapter, &got, &want, 1e-5).unwrap();
            let first = x[0] / (1.0 + (-x[0]).exp()) * x[width];
            compare("silu_mul's equation", "CPU", &want[..1], &[first], 1e-5).unwrap();
        }
    }
}

/// A strided input gives what its dense copy gives.
#[test]
fn strided_inputs() {
    let Some(devices) = devices() else { return };
    let x = random(6, 8 * 6);
    for device in [&devices.gpu, &devices.cpu] {
        let x = Tensor::<2>::from_data(TensorData::new(x.clone(), [8, 6]), device);
        let gain = Tensor::<1>::ones([8], device);
        let strided = floats(kernels::rms_norm(x.clone().transpose(), gain.clone(), 1e-5));
        let dense = Tensor::<2>::from_data(x.transpose().into_data(), device);
        let dense = floats(kernels::rms_norm(dense, gain, 1e-5));
        compare("strided rms_norm", &devices.adapter, &strided, &dense, 1e-6).unwrap();
    }
}

#[test]
fn the_comparison_finds_a_planted_fault() {
    let want = random(7, 100);
    let mut got = want.clone();
    got[57] += 1e-3;
    let error = compare("planted", "none", &got, &want, 1e-5).unwrap_err();
    assert!(error.contains("planted[57]"), "{error}");
    assert!(compare("planted", "none", &[f32::NAN], &[0.0], 1.0).is_err());
    assert!(compare("planted", "none", &got[1..], &want, 1.0).is_err());
}
