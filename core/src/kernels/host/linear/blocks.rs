//! The types whose blocks hold 32 weights.

use super::{BLOCK, Block, multiply_add};
use crate::formats::quant;
use macerator::Simd;

/// A finite binary16 without a branch: its exponent is moved by a multiplication.
#[inline(always)]
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

pub(super) struct F32;
impl Block<128> for F32 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 128]) -> [f32; BLOCK] {
        let values = bytes.as_chunks::<4>().0;
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = f32::from_le_bytes(values[i]);
        }
        w
    }
}

pub(super) struct F16;
impl Block<64> for F16 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 64]) -> [f32; BLOCK] {
        let values = bytes.as_chunks::<2>().0;
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = half(values[i]);
        }
        w
    }
}

pub(super) struct BF16;
impl Block<64> for BF16 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 64]) -> [f32; BLOCK] {
        let values = bytes.as_chunks::<2>().0;
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = f32::from_bits(u32::from(u16::from_le_bytes(values[i])) << 16);
        }
        w
    }
}

/// `d * q + m`. One loop a step: the compiler turns each into vector instructions.
#[inline(always)]
fn scaled<S: Simd, Q: Copy + Into<i32>>(quants: [Q; BLOCK], d: f32, m: f32) -> [f32; BLOCK] {
    let mut w = [0.0; BLOCK];
    for i in 0..BLOCK {
        w[i] = quants[i].into() as f32;
    }
    for w in &mut w {
        *w = multiply_add::<S>(*w, d, m);
    }
    w
}

/// The 32 quants in 16 bytes of nibbles, the low ones first.
#[inline(always)]
fn nibbles(bytes: &[u8]) -> [i8; BLOCK] {
    let mut quants = [0; BLOCK];
    for i in 0..BLOCK / 2 {
        quants[i] = (bytes[i] & 15) as i8;
    }
    for i in 0..BLOCK / 2 {
        quants[i + BLOCK / 2] = (bytes[i] >> 4) as i8;
    }
    quants
}

/// As [`nibbles`], with a fifth bit of each in `high`.
#[inline(always)]
fn quints(high: &[u8], bytes: &[u8]) -> [i32; BLOCK] {
    let nibbles = nibbles(bytes);
    let high = i32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    let mut quants = [0; BLOCK];
    for i in 0..BLOCK {
        quants[i] = (high >> i & 1) << 4;
    }
    for i in 0..BLOCK {
        quants[i] |= i32::from(nibbles[i]);
    }
    quants
}

pub(super) struct Q4_0;
impl Block<18> for Q4_0 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 18]) -> [f32; BLOCK] {
        let d = half([bytes[0], bytes[1]]);
        scaled::<S, _>(nibbles(&bytes[2..18]), d, -8.0 * d)
    }
}

pub(super) struct Q4_1;
impl Block<20> for Q4_1 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 20]) -> [f32; BLOCK] {
        let (d, m) = (half([bytes[0], bytes[1]]), half([bytes[2], bytes[3]]));
        scaled::<S, _>(nibbles(&bytes[4..20]), d, m)
    }
}

pub(super) struct Q5_0;
impl Block<22> for Q5_0 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 22]) -> [f32; BLOCK] {
        let d = half([bytes[0], bytes[1]]);
        scaled::<S, _>(quints(&bytes[2..6], &bytes[6..22]), d, -16.0 * d)
    }
}

pub(super) struct Q5_1;
impl Block<24> for Q5_1 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 24]) -> [f32; BLOCK] {
        let (d, m) = (half([bytes[0], bytes[1]]), half([bytes[2], bytes[3]]));
        scaled::<S, _>(quints(&bytes[4..8], &bytes[8..24]), d, m)
    }
}

pub(super) struct Q8_0;
impl Block<34> for Q8_0 {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 34]) -> [f32; BLOCK] {
        let d = half([bytes[0], bytes[1]]);
        let mut quants = [0; BLOCK];
        for i in 0..BLOCK {
            quants[i] = bytes[2 + i] as i8;
        }
        scaled::<S, _>(quants, d, 0.0)
    }
}

/// Element `quant` of the table, by halving it with each bit: the compiler makes vector instructions of this, and of
/// indexing none.
#[inline(always)]
fn chosen(table: &[i8; 16], quant: i8) -> i8 {
    let mut table = *table;
    for bit in (0..4).rev() {
        let mask = -(quant >> bit & 1);
        let half = 1 << bit;
        for i in 0..half {
            table[i] ^= (table[i] ^ table[i + half]) & mask;
        }
    }
    table[0]
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(super) struct IQ4_NL;
impl Block<18> for IQ4_NL {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 18]) -> [f32; BLOCK] {
        let mut quants = nibbles(&bytes[2..18]);
        for quant in &mut quants {
            *quant = chosen(&quant::IQ4_NL, *quant);
        }
        scaled::<S, _>(quants, half([bytes[0], bytes[1]]), 0.0)
    }
}

pub(super) struct MXFP4;
impl Block<17> for MXFP4 {
    /// Of a quant's lower three bits v the value is v + max(v - 4, 0) + 2 max(v - 6, 0), and the fourth the sign.
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; 17]) -> [f32; BLOCK] {
        let mut quants = nibbles(&bytes[1..17]);
        for quant in &mut quants {
            let v = *quant & 7;
            let magnitude = v + v.max(4) + 2 * v.max(6) - 16;
            *quant = if *quant < 8 { magnitude } else { -magnitude };
        }
        scaled::<S, _>(quants, quant::half_e8m0(bytes[0]), 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::half::f16;

    #[test]
    fn every_finite_half_is_exact() {
        for bits in 0..=u16::MAX {
            let want = f16::from_bits(bits);
            if want.is_finite() {
                assert_eq!(half(bits.to_le_bytes()).to_bits(), want.to_f32().to_bits());
            }
        }
    }
    /// Unpacked for whatever processor runs the test.
    struct Unpacked([u8; 17]);

    impl macerator::WithSimd for Unpacked {
        type Output = [f32; BLOCK];

        fn with_simd<S: Simd>(self) -> [f32; BLOCK] {
            MXFP4::unpack::<S>(&self.0)
        }
    }

    #[test]
    fn mxfp4_is_its_table() {
        for (q, want) in quant::MXFP4.into_iter().enumerate() {
            // An exponent of 0, and the quant in every low half.
            let mut bytes = [q as u8; 17];
            bytes[0] = 128;
            let w = macerator::AutoArch::new().dispatch(Unpacked(bytes));
            assert_eq!(w[..16], [f32::from(want); 16]);
            assert_eq!(w[16..], [0.0; 16]);
        }
    }
}
