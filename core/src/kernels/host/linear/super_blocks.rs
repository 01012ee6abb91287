//! The K types, whose super-blocks hold 256 weights.

use super::{BLOCK, Block, multiply_add};
use crate::formats::quant::k::{BLOCKS, SuperBlock};
use half::f16;
use macerator::Simd;

impl<T: SuperBlock<BYTES>, const BYTES: usize> Block<BYTES, BLOCKS> for T {
    #[inline(always)]
    fn unpack<S: Simd>(bytes: &[u8; BYTES]) -> [[f32; BLOCK]; BLOCKS] {
        let [d, dmin] = T::d(bytes).map(single);
        let scales = T::scales(bytes);
        let quants = T::quants(bytes);
        let mut w = [[0.0; BLOCK]; BLOCKS];
        for block in 0..BLOCKS {
            let [low, high] = T::factors(scales[block], d, dmin);
            for i in 0..BLOCK {
                w[block][i] = f32::from((quants[block][i] as i8) - T::ZERO as i8);
            }
            let (first, second) = w[block].split_at_mut(BLOCK / 2);
            for w in first {
                *w = multiply_add::<S>(*w, low.0, -low.1);
            }
            for w in second {
                *w = multiply_add::<S>(*w, high.0, -high.1);
            }
        }
        w
    }
}

/// A finite binary16. The d of a K type is often subnormal, with which the blocks' own conversion is slow.
#[inline(always)]
fn single(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let magnitude = match bits & 0x7c00 {
        0 => (bits & 0x03ff) as f32 * f32::from_bits(0x3380_0000),
        _ => f32::from_bits(((bits & 0x7fff) << 13) + 0x3800_0000),
    };
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_is_exact() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(single(half).to_bits(), half.to_f32().to_bits());
            }
        }
    }
}
