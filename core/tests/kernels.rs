//! Every kernel's WGSL against its CPU twin, on random input, in the floor variant and in every other that the adapter
//! can run; the twin itself against sums in f64.

use crate::common::{Devices, compare, devices, floats, int_values, ints, poison, random, values};
use burn::tensor::{Device, Tensor};
use periapt_core::formats::gguf::TensorType;
use periapt_core::formats::quant::{QuantError, dequantize, quantize, random_blocks};
use periapt_core::kernels::{CacheShape, Matrix, Packer, Variant, cache, measure};

/// A random matrix: the file's bytes, and what they mean.
fn weights(dtype: TensorType, outputs: usize, inputs: usize) -> (Vec<u8>, Vec<f32>) {
    let bytes = match quantize(dtype, &random(outputs as u64, outputs * inputs, 1.0)) {
        Err(QuantError::ReadOnly(_)) => {
            let blocks = outputs * inputs / dtype.block_size();
            random_blocks(dtype, blocks, 1.0, &mut (outputs as u64))
        }
        bytes => bytes.unwrap(),
    };
    let mut means = vec![0.0; outputs * inputs];
    dequantize(dtype, &bytes, &mut means).unwrap();
    (bytes, means)
}

/// So many inputs, or as many as the type's blocks take for them.
fn whole_blocks(dtype: TensorType, inputs: usize) -> usize {
    inputs.next_multiple_of(dtype.block_size())
}

/// `x W^T` in f64.
fn product(x: &[f32], weights: &[f32], inputs: usize) -> Vec<f32> {
    x.chunks_exact(inputs)
        .flat_map(|x| {
            weights.chunks_exact(inputs).map(|w| {
                let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                terms.sum::<f64>() as f32
            })
        })
        .collect()
}

/// What a sum of so many terms keeps in f32.
fn tolerance(inputs: usize) -> f32 {
    4e-5 * (inputs as f32).sqrt()
}

fn variants(devices: &Devices) -> Vec<Variant> {
    // On software adapters the hardware's variant is not a candidate, but must compute the same.
    let mut variants = devices.gpu.variants(false);
    if !variants.contains(&Variant::WIDE) {
        variants.push(Variant::WIDE);
    }
    // Both kernels for many rows, whatever the adapter prefers.
    variants.push(Variant {
        tiled: true,
        ..Variant::DEEP
    });
    variants
}

/// Runs `compute` with the same matrix on both devices in every variant, and compares with `want`.
fn check(
    devices: &Devices,
    what: &str,
    (dtype, bytes, outputs, inputs): (TensorType, &[u8], usize, usize),
    want: &[f32],
    compute: impl Fn(&Matrix, &Device) -> Tensor<2>,
) {
    let variants = variants(devices)
        .into_iter()
        .map(|variant| (&devices.gpu, variant));
    for (device, variant) in variants.chain([(&devices.cpu, Variant::DEEP)]) {
        let matrix = Packer::new(&device.device, variant).pack(dtype, bytes, outputs, inputs);
        poison(&device.device);
        let got = values(compute(&matrix, &device.device));
        let what = format!("{what} {dtype} {outputs}x{inputs} {variant:?}");
        compare(&what, &device.info.name, &got, want, tolerance(inputs)).unwrap();
    }
}

#[test]
fn products_of_every_type() {
    let Some(devices) = devices() else { return };
    for dtype in TensorType::ALL {
        for (outputs, inputs) in [(65, 96), (128, 288)] {
            let inputs = whole_blocks(dtype, inputs);
            let (bytes, means) = weights(dtype, outputs, inputs);
            for rows in [1, 9, 21] {
                let x = random(rows as u64, rows * inputs, 4.0);
                let want = product(&x, &means, inputs);
                check(
                    &devices,
                    "linear",
                    (dtype, &bytes, outputs, inputs),
                    &want,
                    |matrix, device| matrix.linear(floats(&x, [rows, inputs], device)),
                );
            }
        }
    }
}

#[test]
fn products_of_a_real_models_shapes() {
    let Some(devices) = devices() else { return };
    for (dtype, outputs, inputs) in [
        (TensorType::Q4_1, 960, 576),
        (TensorType::Q4_1, 576, 1536),
        (TensorType::Q4_K, 576, 1536),
        (TensorType::Q6_K, 576, 1536),
    ] {
        let (bytes, means) = weights(dtype, outputs, inputs);
        for rows in [1, 2, 3, 8, 17, 64] {
            let x = random(rows as u64, rows * inputs, 4.0);
            let residual = random(99, rows * outputs, 4.0);
            let want: Vec<f32> = product(&x, &means, inputs)
                .iter()
                .zip(&residual)
                .map(|(y, residual)| y + residual)
                .collect();
            check(
                &devices,
                "linear_add",
                (dtype, &bytes, outputs, inputs),
                &want,
                |matrix, device| {
                    let x = floats(&x, [rows, inputs], device);
                    matrix.linear_add(x, floats(&residual, [rows, outputs], device))
                },
            );
        }
    }
}

/// WIDE's other shape: as for WIDE, on fewer types, since a software adapter takes seconds to compile each.
#[test]
fn products_of_few_outputs_a_workgroup() {
    let Some(devices) = devices() else { return };
    for (dtype, outputs, inputs) in [(TensorType::Q4_1, 960, 576), (TensorType::Q6_K, 576, 1536)] {
        let (bytes, means) = weights(dtype, outputs, inputs);
        let gpu = &devices.gpu;
        let matrix = Packer::new(&gpu.device, Variant::NARROW).pack(dtype, &bytes, outputs, inputs);
        for rows in [1, 2, 9] {
            let x = random(rows as u64, rows * inputs, 4.0);
            let gain = random(5, inputs, 2.0);
            poison(&gpu.device);
            let got = matrix.norm_linear(
                floats(&x, [rows, inputs], &gpu.device),
                floats(&gain, [inputs], &gpu.device),
                1e-5,
            );
            let want = product(&normed(&x, &gain, 1e-5), &means, inputs);
            let what = format!("norm_linear {dtype} {outputs}x{inputs}, {rows} rows, NARROW");
            let got = values(got);
            compare(&what, &gpu.info.name, &got, &want, tolerance(inputs)).unwrap();
        }
    }
}

fn normed(x: &[f32], gain: &[f32], epsilon: f32) -> Vec<f32> {
    x.chunks_exact(gain.len())
        .flat_map(|row| {
            let squares: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
            let scale = (squares / gain.len() as f64 + f64::from(epsilon))
                .sqrt()
                .recip();
            row.iter()
                .zip(gain)
                .map(move |(x, gain)| (f64::from(*x) * scale) as f32 * gain)
        })
        .collect()
}

#[test]
fn products_after_a_norm_and_before_a_gate() {
    let Some(devices) = devices() else { return };
    let (outputs, epsilon) = (384, 1e-5);
    // One type of each kind of block: norm and gate do not know which it is.
    for dtype in [
        TensorType::Q4_1,
        TensorType::F16,
        TensorType::Q3_K,
        TensorType::Q4_K,
        TensorType::MXFP4,
    ] {
        let inputs = whole_blocks(dtype, 576);
        let gain = random(5, inputs, 2.0);
        let (bytes, means) = weights(dtype, outputs, inputs);
        for rows in [1, 2, 9, 33] {
            let x = random(6, rows * inputs, 4.0);
            let want = product(&normed(&x, &gain, epsilon), &means, inputs);
            let matrix = (dtype, bytes.as_slice(), outputs, inputs);
            check(&devices, "norm_linear", matrix, &want, |matrix, device| {
                let gain = floats(&gain, [inputs], device);
                matrix.norm_linear(floats(&x, [rows, inputs], device), gain, epsilon)
            });
            let gated: Vec<f32> = want
                .chunks_exact(outputs)
                .flat_map(|row| {
                    let (gate, up) = row.split_at(outputs / 2);
                    gate.iter()
                        .zip(up)
                        .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                })
                .collect();
            check(&devices, "norm_gate", matrix, &gated, |matrix, device| {
                let gain = floats(&gain, [inputs], device);
                matrix.norm_gate(floats(&x, [rows, inputs], device), gain, epsilon)
            });
        }
    }
}

#[test]
fn embeddings_of_every_type_whole_and_in_parts() {
    let Some(devices) = devices() else { return };
    let outputs = 300;
    let tokens = [0, 63, 64, 127, 128, 299, 7, 7];
    for dtype in TensorType::ALL {
        let inputs = whole_blocks(dtype, 96);
        let (bytes, means) = weights(dtype, outputs, inputs);
        let want: Vec<f32> = tokens
            .iter()
            .flat_map(|token| &means[*token as usize * inputs..][..inputs])
            .copied()
            .collect();
        // A binding limit of one byte puts every tile into a part of its own.
        for binding_bytes in [1 << 27, 1] {
            for device in [&devices.gpu, &devices.cpu] {
                let mut packer = Packer::new(&device.device, Variant::DEEP);
                packer.binding_bytes = binding_bytes;
                let matrix = packer.pack(dtype, &bytes, outputs, inputs);
                poison(&device.device);
                let tokens = ints(&tokens, [tokens.len()], &device.device);
                let what = format!("embed {dtype}");
                let got = values(matrix.embed(tokens));
                compare(&what, &device.info.name, &got, &want, 1e-6).unwrap();

                let x = random(3, 2 * inputs, 4.0);
                let got = values(matrix.linear(floats(&x, [2, inputs], &device.device)));
                let want = product(&x, &means, inputs);
                compare(
                    "linear in parts",
                    &device.info.name,
                    &got,
                    &want,
                    tolerance(inputs),
                )
                .unwrap();
            }
        }
    }
}

#[test]
fn a_stack_is_its_matrices_side_by_side() {
    let Some(devices) = devices() else { return };
    let (bytes, means) = weights(TensorType::Q4_0, 192, 64);
    let x = random(1, 3 * 64, 4.0);
    let want = product(&x, &means, 64);
    for device in [&devices.gpu, &devices.cpu] {
        let packer = Packer::new(&device.device, Variant::DEEP);
        let (first, second) = bytes.split_at(bytes.len() / 3);
        let parts = vec![
            packer.pack(TensorType::Q4_0, first, 64, 64),
            packer.pack(TensorType::Q4_0, second, 128, 64),
        ];
        let stack = Matrix::stack(parts, &packer).unwrap();
        let got = values(stack.linear(floats(&x, [3, 64], &device.device)));
        compare("stack", &device.info.name, &got, &want, tolerance(64)).unwrap();
        let uneven = vec![
            packer.pack(TensorType::F32, &[0; 64 * 64 * 4], 64, 64),
            packer.pack(TensorType::F32, &[0; 32 * 64 * 4], 32, 64),
        ];
        let returned = Matrix::stack([uneven, vec![stack]].concat(), &packer);
        assert_eq!(returned.map_err(|back| back.len()).unwrap_err(), 3);
    }
}

#[test]
fn pages_are_copied_whole() {
    let Some(devices) = devices() else { return };
    let shape = CacheShape {
        kv_heads: 3,
        head_dim: 64,
        f16: true,
    };
    let words = shape.page_words();
    let before: Vec<i32> = (0..3 * words as i32).collect();
    for device in [&devices.gpu.device, &devices.cpu.device] {
        let copied = cache::copy_page(
            ints(&before, [3 * words], device),
            ints(&[2, 0], [2], device),
            shape,
        );
        let got = int_values(copied);
        assert_eq!(got[..words], before[2 * words..]);
        assert_eq!(got[words..], before[words..]);
    }
}

#[test]
fn measuring_kernels_compute_what_they_say() {
    let Some(devices) = devices() else { return };
    let x = random(1, 4096 + 16, 2.0);
    let run = |device: &Device| {
        let x = || floats(&x, [x.len()], device);
        poison(device);
        (
            values(measure::copy(x())),
            values(measure::fma_chain(x(), 5)),
        )
    };
    let (gpu, cpu) = (run(&devices.gpu.device), run(&devices.cpu.device));
    assert_eq!(gpu.0, x);
    assert_eq!(cpu.0, x);
    compare("fma_chain", &devices.gpu.info.name, &gpu.1, &cpu.1, 1e-5).unwrap();
}

#[test]
fn a_planted_fault_is_found() {
    let want = [1.0, 2.0, 3.0];
    assert!(compare("planted", "none", &[1.0, 2.0, 3.0], &want, 1e-6).is_ok());
    assert!(compare("planted", "none", &[1.0, 2.0, 3.001], &want, 1e-6).is_err());
    assert!(compare("planted", "none", &[1.0, f32::NAN, 3.0], &want, 1e-6).is_err());
    assert!(compare("planted", "none", &[1.0, 2.0], &want, 1e-6).is_err());
}
