//! The K types, whose super-blocks hold 256 weights.

use super::{BLOCK, Group, multiply_add};
use crate::formats::quant::k::{BLOCKS, SuperBlock};
use half::f16;
use macerator::Simd;

impl<T: SuperBlock<BYTES>, const BYTES: usize> Group<BYTES, BLOCKS> for T {
    /// For each half block what scales its quants, and what is added to the products: the minimum, and the
    /// scaled zero. The latter is exact, so that with fused multiplications each weight is rounded once, as if
    /// the zero were taken from its quant; without them by at most twice as much as its block's largest.
    type Shared = ([f32; 2 * BLOCKS], [f32; 2 * BLOCKS]);

    #[inline(always)]
    fn shared(bytes: &[u8; BYTES]) -> Self::Shared {
        let [d, dmin] = T::d(bytes).map(single);
        let (scales, mut added) = T::factors(&T::scales(bytes), d, dmin);
        for half in 0..2 * BLOCKS {
            added[half] = -added[half] - scales[half] * f32::from(T::ZERO);
        }
        (scales, added)
    }

    #[inline(always)]
    fn unpack<S: Simd>(
        bytes: &[u8; BYTES],
        (scales, added): &Self::Shared,
        block: usize,
    ) -> [f32; BLOCK] {
        let quants = T::quants(bytes, block);
        let mut w = [0.0; BLOCK];
        for i in 0..BLOCK {
            w[i] = f32::from(quants[i]);
        }
        let (first, second) = w.split_at_mut(BLOCK / 2);
        for w in first {
            *w = multiply_add::<S>(*w, scales[2 * block], added[2 * block]);
        }
        for w in second {
            *w = multiply_add::<S>(*w, scales[2 * block + 1], added[2 * block + 1]);
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
