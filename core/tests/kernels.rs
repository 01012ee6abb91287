//! Every kernel's WGSL against its CPU twin, on random input, in the floor variant and in every other that the adapter
//! can run; the twin itself against sums in f64.

#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Device, Int, Tensor};
use common::{Devices, compare, devices, floats, int_values, ints, poison, random, values};
use periapt_core::formats::gguf::TensorType;
use periapt_core::formats::quant::{QuantError, dequantize, quantize, random_blocks};
use periapt_core::kernels::{
    AttentionShape, CacheShape, Matrix, PAGE, Packer, Variant, cache, measure,
};

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
    for dtype in [
        TensorType::Q4_0,
        TensorType::Q4_1,
        TensorType::F16,
        TensorType::Q2_K,
        TensorType::Q3_K,
        TensorType::Q4_K,
        TensorType::Q5_K,
        TensorType::Q6_K,
        TensorType::IQ4_NL,
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

/// One run of rope_write and attention over ragged rows that share a page, on one device.
struct Attended {
    q: Vec<f32>,
    cache: Vec<i32>,
    out: Vec<f32>,
}

const POSITIONS: usize = 256;

struct Rows {
    /// Each row's pages.
    pages: [[i32; 3]; 3],
    /// (row, position) of each token written and attending.
    tokens: Vec<(usize, usize)>,
}

impl Rows {
    /// Rows 0 and 1 share their first page; row 0 is longest.
    fn new(shape: CacheShape) -> (Self, usize) {
        let pages = [[4, 2, 0], [4, 1, 0], [3, 0, 0]];
        let mut tokens: Vec<(usize, usize)> = (0..150).map(|at| (0, at)).collect();
        tokens.extend((64..70).map(|at| (1, at)));
        tokens.extend((0..1).map(|at| (2, at)));
        (Self { pages, tokens }, 6 * shape.page_words())
    }

    fn slot(&self, (row, at): (usize, usize)) -> i32 {
        self.pages[row][at / PAGE] * PAGE as i32 + (at % PAGE) as i32
    }
}

fn attend(
    device: &Device,
    shape: CacheShape,
    heads: usize,
    queries: usize,
    splits: usize,
    lanes: usize,
    subgroup: bool,
) -> Attended {
    let (rows, words) = Rows::new(shape);
    let count = rows.tokens.len();
    let qkv = random(
        11,
        count * (heads + 2 * shape.kv_heads) * shape.head_dim,
        2.0,
    );
    let table: Vec<f32> = (0..POSITIONS * shape.head_dim / 2)
        .flat_map(|i| {
            let angle = (i * i % 1000) as f32 * 0.01;
            [angle.cos(), angle.sin()]
        })
        .collect();
    poison(device);
    let positions: Vec<i32> = rows.tokens.iter().map(|(_, at)| *at as i32).collect();
    let slots: Vec<i32> = rows.tokens.iter().map(|token| rows.slot(*token)).collect();
    let cached = Tensor::<1, Int>::zeros([words], (device, burn::tensor::DType::I32));
    let (q, cached) = cache::rope_write(
        floats(
            &qkv,
            [count, (heads + 2 * shape.kv_heads) * shape.head_dim],
            device,
        ),
        floats(&table, [POSITIONS, shape.head_dim], device),
        ints(&positions, [count], device),
        ints(&slots, [count], device),
        cached,
        shape,
        heads,
    );
    // Tiles of up to `queries` tokens of one row.
    let mut tiles: Vec<i32> = Vec::new();
    let mut first = 0;
    while first < count {
        let (row, at) = rows.tokens[first];
        let same = rows.tokens[first..]
            .iter()
            .take(queries)
            .take_while(|(r, _)| *r == row)
            .count();
        tiles.extend([first as i32, same as i32, at as i32, 3 * row as i32]);
        first += same;
    }
    let spread = AttentionShape {
        heads,
        queries,
        splits,
        lanes,
        subgroup,
    };
    let out = cache::attention(
        q.clone(),
        cached.clone(),
        ints(rows.pages.as_flattened(), [9], device),
        ints(&tiles, [tiles.len() / 4, 4], device),
        shape,
        spread,
    );
    Attended {
        q: values(q),
        cache: int_values(cached),
        out: values(out),
    }
}

/// Attention in f64 from the cache's own words.
fn attention_reference(attended: &Attended, shape: CacheShape, heads: usize) -> Vec<f32> {
    let (rows, _) = Rows::new(shape);
    let (hd, words) = (shape.head_dim, shape.head_words());
    let load = |value: usize, head: usize, slot: usize, dim: usize| -> f64 {
        let (page, place) = (slot / PAGE, slot % PAGE);
        let at = ((page * 2 + value) * shape.kv_heads + head) * words * PAGE;
        let word = if shape.f16 { dim / 2 } else { dim };
        let inside = if value == 1 {
            place * words + word
        } else {
            word * PAGE + place
        };
        let bits = attended.cache[at + inside] as u32;
        match shape.f16 {
            true => half::f16::from_bits((bits >> (16 * (dim % 2))) as u16).to_f64(),
            false => f64::from(f32::from_bits(bits)),
        }
    };
    let mut out = Vec::new();
    for (token, (row, at)) in rows.tokens.iter().enumerate() {
        for head in 0..heads {
            let q = &attended.q[(token * heads + head) * hd..][..hd];
            let kv_head = head / (heads / shape.kv_heads);
            let scores: Vec<f64> = (0..=*at)
                .map(|j| {
                    let slot = rows.slot((*row, j)) as usize;
                    let terms = (0..hd).map(|d| f64::from(q[d]) * load(0, kv_head, slot, d));
                    terms.sum::<f64>() / (hd as f64).sqrt()
                })
                .collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|s| (s - highest).exp()).sum();
            out.extend((0..hd).map(|d| {
                let terms = scores.iter().enumerate().map(|(j, s)| {
                    let slot = rows.slot((*row, j)) as usize;
                    (s - highest).exp() / total * load(1, kv_head, slot, d)
                });
                terms.sum::<f64>() as f32
            }));
        }
    }
    out
}

#[test]
fn attention_over_shared_pages() {
    let Some(devices) = devices() else { return };
    for (kv_heads, head_dim, group) in [(3, 64, 3), (1, 128, 4), (1, 16, 1), (1, 80, 7)] {
        for f16 in [true, false] {
            let shape = CacheShape {
                kv_heads,
                head_dim,
                f16,
            };
            let heads = kv_heads * group;
            let cpu = attend(&devices.cpu.device, shape, heads, 1, 1, 64, false);
            let want = attention_reference(&cpu, shape, heads);
            compare("attention", "CPU", &cpu.out, &want, 2e-5).unwrap();
            let most = (16 / group).max(1);
            let subgroup = devices.gpu.subgroup;
            let mut spreads = vec![(1, 3, 64), (most, 1, 64), (2, 1, 8)]
                .into_iter()
                .map(|(queries, splits, lanes)| (queries, splits, lanes, false))
                .collect::<Vec<_>>();
            if subgroup > 0 && subgroup <= 32 && head_dim % subgroup == 0 {
                spreads.extend([(1, 3, subgroup, true), (2, 1, subgroup, true)]);
            }
            for (queries, splits, lanes, subgroup) in spreads {
                let what =
                    format!("{shape:?} queries {queries} splits {splits} lanes {lanes} {subgroup}");
                let gpu = attend(
                    &devices.gpu.device,
                    shape,
                    heads,
                    queries,
                    splits,
                    lanes,
                    subgroup,
                );
                let adapter = &devices.gpu.info.name;
                compare(&format!("rope {what}"), adapter, &gpu.q, &cpu.q, 1e-5).unwrap();
                // The cache is compared through what attention reads from it, and its untouched words.
                let want = attention_reference(&gpu, shape, heads);
                compare(&format!("attention {what}"), adapter, &gpu.out, &want, 5e-5).unwrap();
                compare(&format!("both {what}"), adapter, &gpu.out, &cpu.out, 2e-3).unwrap();
                let touched = |cache: &[i32]| cache.iter().filter(|word| **word != 0).count();
                assert_eq!(touched(&gpu.cache), touched(&cpu.cache), "{what}");
            }
        }
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
