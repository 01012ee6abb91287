//! Quantized blocks to numbers and back: the types of [`TensorType`], as `ggml-quants` of the ggml
//! project defines them.
//!
//! A block holds 32 consecutive elements of a row, all of it little-endian, with d and m in
//! binary16. The low halves of the 16 bytes `qs` are elements 0 to 15, the high halves elements
//! 16 to 31; bit i of the 32-bit `qh` is the fifth bit of element i.
//!
//! | type   | layout              | element            |
//! |--------|---------------------|--------------------|
//! | Q4_0   | d, qs               | `d * (q - 8)`      |
//! | Q4_1   | d, m, qs            | `d * q + m`        |
//! | Q5_0   | d, qh, qs           | `d * (q - 16)`     |
//! | Q5_1   | d, m, qh, qs        | `d * q + m`        |
//! | Q8_0   | d, 32 signed bytes  | `d * q`            |
//! | IQ4_NL | d, qs               | `d * IQ4_NL[q]`    |
//! | MXFP4  | e, qs               | `2^(e - 128) * MXFP4[q]`, the table being twice the float e2m1 (OCP Microscaling Formats 1.0, 5.3.3) |
//!
//! The K types have super-blocks of 256: see `k`.

pub(crate) mod k;
mod random;
#[cfg(test)]
mod tests;

use super::gguf::TensorType;
use half::{bf16, f16};
pub use random::random_blocks;

/// Elements in a block of the quantized types.
const BLOCK: usize = 32;

/// Why elements can't be decoded or encoded.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum QuantError {
    /// The number of bytes is not what the number of elements takes.
    #[error("{elements} elements of {dtype} take whole blocks, but there are {bytes} bytes")]
    Length {
        /// The type.
        dtype: TensorType,
        /// Elements wanted.
        elements: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// Elements that fill no whole number of blocks.
    #[error("{dtype} holds blocks of {} elements, and {elements} don't fill them", dtype.block_size())]
    PartialBlock {
        /// The type.
        dtype: TensorType,
        /// Elements given.
        elements: usize,
    },
    /// An element that is not finite, or so large that the type would make it infinite.
    #[error("element {index} is {value}, which {dtype} can't hold")]
    OutOfRange {
        /// The type.
        dtype: TensorType,
        /// The element's index.
        index: usize,
        /// The element.
        value: f32,
    },
    /// A type that is only read.
    #[error("{0} is read but not written here; quantize to Q8_0 or Q4_0 instead")]
    ReadOnly(TensorType),
}

/// What the sixteen quants of IQ4_NL stand for.
pub(crate) const IQ4_NL: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// What the sixteen quants of MXFP4 stand for: sign, two bits of exponent and one of mantissa, doubled.
pub(crate) const MXFP4: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// MXFP4's scale, half of the power of two whose biased exponent is `e`; the two least are subnormal.
#[inline(always)]
pub(crate) fn half_e8m0(e: u8) -> f32 {
    f32::from_bits(match e {
        0 | 1 => 0x0020_0000 << e,
        _ => (u32::from(e) - 1) << 23,
    })
}

/// Decodes `bytes` into `out`, every element of which is set.
///
/// # Errors
///
/// [`QuantError::Length`] unless `bytes` holds exactly `out.len()` elements.
pub fn dequantize(dtype: TensorType, bytes: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    let wanted = (out.len() / dtype.block_size()).checked_mul(dtype.block_bytes());
    if !out.len().is_multiple_of(dtype.block_size()) || wanted != Some(bytes.len()) {
        return Err(QuantError::Length {
            dtype,
            elements: out.len(),
            bytes: bytes.len(),
        });
    }
    match dtype {
        TensorType::F32 => each(bytes, out, |bytes, [out]| *out = f32::from_le_bytes(*bytes)),
        TensorType::F16 => each(bytes, out, |bytes, [out]| {
            *out = f16::from_le_bytes(*bytes).to_f32();
        }),
        TensorType::BF16 => each(bytes, out, |bytes, [out]| {
            *out = bf16::from_le_bytes(*bytes).to_f32();
        }),
        TensorType::Q4_0 => each(bytes, out, |[d0, d1, qs @ ..]: &[u8; 18], out| {
            scaled(out, float(*d0, *d1), 8, |i| nibble(qs, i));
        }),
        TensorType::Q4_1 => each(bytes, out, |[d0, d1, m0, m1, qs @ ..]: &[u8; 20], out| {
            shifted(out, float(*d0, *d1), float(*m0, *m1), |i| nibble(qs, i));
        }),
        TensorType::Q5_0 => each(bytes, out, |[d0, d1, q5 @ ..]: &[u8; 22], out| {
            scaled(out, float(*d0, *d1), 16, |i| five_bits(q5, i));
        }),
        TensorType::Q5_1 => each(bytes, out, |[d0, d1, m0, m1, q5 @ ..]: &[u8; 24], out| {
            shifted(out, float(*d0, *d1), float(*m0, *m1), |i| five_bits(q5, i));
        }),
        TensorType::Q8_0 => each(bytes, out, |[d0, d1, qs @ ..]: &[u8; 34], out| {
            scaled(out, float(*d0, *d1), 0, |i| i32::from(qs[i].cast_signed()));
        }),
        TensorType::Q2_K => each(bytes, out, k::decode::<k::Q2_K, 84>),
        TensorType::Q3_K => each(bytes, out, k::decode::<k::Q3_K, 110>),
        TensorType::Q4_K => each(bytes, out, k::decode::<k::Q4_K, 144>),
        TensorType::Q5_K => each(bytes, out, k::decode::<k::Q5_K, 176>),
        TensorType::Q6_K => each(bytes, out, k::decode::<k::Q6_K, 210>),
        TensorType::IQ4_NL => each(bytes, out, |[d0, d1, qs @ ..]: &[u8; 18], out| {
            scaled(out, float(*d0, *d1), 0, |i| meaning(&IQ4_NL, nibble(qs, i)));
        }),
        TensorType::MXFP4 => each(bytes, out, |[e, qs @ ..]: &[u8; 17], out| {
            scaled(out, half_e8m0(*e), 0, |i| meaning(&MXFP4, nibble(qs, i)));
        }),
    }
    Ok(())
}

/// Calls `block` with every `N` bytes and the `B` elements they hold.
fn each<const N: usize, const B: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; N], &mut [f32; B]),
) {
    let (bytes, _) = bytes.as_chunks();
    let (out, _) = out.as_chunks_mut();
    for (bytes, out) in bytes.iter().zip(out) {
        block(bytes, out);
    }
}

fn scaled(out: &mut [f32; BLOCK], d: f32, zero: i32, q: impl Fn(usize) -> i32) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * (q(i) - zero) as f32;
    }
}

fn shifted(out: &mut [f32; BLOCK], d: f32, m: f32, q: impl Fn(usize) -> i32) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * q(i) as f32 + m;
    }
}

fn float(low: u8, high: u8) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// What a quant stands for.
fn meaning(table: &[i8; 16], q: i32) -> i32 {
    i32::from(table[q as usize])
}

/// Element `i` of `qs`.
fn nibble(qs: &[u8; BLOCK / 2], i: usize) -> i32 {
    let byte = qs[i % (BLOCK / 2)];
    i32::from(if i < BLOCK / 2 { byte & 15 } else { byte >> 4 })
}

/// Element `i` of `qh` and then `qs`.
fn five_bits([h0, h1, h2, h3, qs @ ..]: &[u8; 4 + BLOCK / 2], i: usize) -> i32 {
    let qh = u32::from_le_bytes([*h0, *h1, *h2, *h3]);
    nibble(qs, i) | ((qh >> i & 1) << 4) as i32
}

/// Encodes `values`, rounding each to the nearest of the steps that its block's extremes give
/// (the reference rounding of ggml; it searches for no better scale).
///
/// # Errors
///
/// [`QuantError`] where `values` don't fill whole blocks or hold something that the type can't, and for
/// the K types, IQ4_NL and MXFP4, which are only read.
pub fn quantize(dtype: TensorType, values: &[f32]) -> Result<Vec<u8>, QuantError> {
    if !values.len().is_multiple_of(dtype.block_size()) {
        return Err(QuantError::PartialBlock {
            dtype,
            elements: values.len(),
        });
    }
    if let Some(index) = values.iter().position(|value| !holds(dtype, *value)) {
        return Err(QuantError::OutOfRange {
            dtype,
            index,
            value: values[index],
        });
    }
    let (blocks, _) = values.as_chunks::<BLOCK>();
    Ok(match dtype {
        TensorType::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        TensorType::F16 => {
            let halves = values.iter().map(|x| f16::from_f32(*x));
            halves.flat_map(f16::to_le_bytes).collect()
        }
        TensorType::BF16 => {
            let halves = values.iter().map(|x| bf16::from_f32(*x));
            halves.flat_map(bf16::to_le_bytes).collect()
        }
        TensorType::Q4_0 => blocks.iter().flat_map(|x| symmetric(x, 4)).collect(),
        TensorType::Q4_1 => blocks.iter().flat_map(|x| affine(x, 4)).collect(),
        TensorType::Q5_0 => blocks.iter().flat_map(|x| symmetric(x, 5)).collect(),
        TensorType::Q5_1 => blocks.iter().flat_map(|x| affine(x, 5)).collect(),
        TensorType::Q8_0 => blocks.iter().flat_map(bytes_of_q8_0).collect(),
        TensorType::Q2_K
        | TensorType::Q3_K
        | TensorType::Q4_K
        | TensorType::Q5_K
        | TensorType::Q6_K
        | TensorType::IQ4_NL
        | TensorType::MXFP4 => return Err(QuantError::ReadOnly(dtype)),
    })
}

/// Whether the type can hold `value`, whatever the block's other values are that it can hold.
fn holds(dtype: TensorType, value: f32) -> bool {
    match dtype {
        TensorType::F32 => value.is_finite(),
        TensorType::BF16 => bf16::from_f32(value).is_finite(),
        // Scales and minima are binary16. A difference of two such values over 15 is one, too.
        _ => f16::from_f32(value).is_finite(),
    }
}

/// Q4_0 and Q5_0: the value of the largest magnitude becomes q = 0.
fn symmetric(values: &[f32; BLOCK], bits: u32) -> Vec<u8> {
    let zero = (1 << (bits - 1)) as f32;
    let extreme = values
        .iter()
        .fold(0.0_f32, |far, x| match x.abs() > far.abs() {
            true => *x,
            false => far,
        });
    let d = extreme / -zero;
    let mut bytes = f16::from_f32(d).to_le_bytes().to_vec();
    put_bits(
        &mut bytes,
        bits,
        values.map(|x| x * inverse(d) + (zero + 0.5)),
    );
    bytes
}

/// Q4_1 and Q5_1: the least value becomes q = 0, the greatest the greatest q.
fn affine(values: &[f32; BLOCK], bits: u32) -> Vec<u8> {
    let min = values.iter().copied().fold(f32::INFINITY, f32::min);
    let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let d = (max - min) / ((1 << bits) - 1) as f32;
    let mut bytes = f16::from_f32(d).to_le_bytes().to_vec();
    bytes.extend(f16::from_f32(min).to_le_bytes());
    put_bits(
        &mut bytes,
        bits,
        values.map(|x| (x - min) * inverse(d) + 0.5),
    );
    bytes
}

fn bytes_of_q8_0(values: &[f32; BLOCK]) -> Vec<u8> {
    let d = values.iter().fold(0.0_f32, |far, x| far.max(x.abs())) / 127.0;
    let mut bytes = f16::from_f32(d).to_le_bytes().to_vec();
    bytes.extend(values.map(|x| ((x * inverse(d)).round() as i8).cast_unsigned()));
    bytes
}

/// 1/d; 0 for the scale of a block whose values are all equal to its zero.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Appends the steps, cut to whole ones, as `qs`, and before it, for 5 bits, `qh`.
fn put_bits(bytes: &mut Vec<u8>, bits: u32, steps: [f32; BLOCK]) {
    let q = steps.map(|step| (step as u32).min((1 << bits) - 1));
    if bits == 5 {
        let qh = (0..BLOCK).fold(0, |qh, i| qh | (q[i] >> 4) << i);
        bytes.extend(qh.to_le_bytes());
    }
    let half = BLOCK / 2;
    bytes.extend((0..half).map(|i| (q[i] & 15 | (q[i + half] & 15) << 4) as u8));
}
