//! The K types' super-blocks: 256 consecutive elements of a row in eight blocks of 32, with one d (and one
//! dmin) in binary16 for all of them and small integer scales (and minima) for each.
//!
//! | type | layout                          | scales, minima       | element                        |
//! |------|---------------------------------|----------------------|--------------------------------|
//! | Q2_K | 16 scales, 64 q2, d, dmin       | 4 bits, for every 16 | `d * sc * q - dmin * m`        |
//! | Q3_K | 32 bits, 64 q2, 12 scales, d    | 6 bits, for every 16 | `d * (sc - 32) * (q - 4)`      |
//! | Q4_K | d, dmin, 12 scales, 128 q4      | 6 bits, for every 32 | `d * sc * q - dmin * m`        |
//! | Q5_K | d, dmin, 12 scales, 32 bits, 128 q4 | 6 bits, for every 32 | `d * sc * q - dmin * m`    |
//! | Q6_K | 128 q4, 64 q2, 16 scales, d     | 8 bits, for every 16 | `d * sc * (q - 32)`            |
//!
//! Numbers are bytes; q4, q2 and bits are planes of the quants, from the lowest bits up. Bit b of byte i of
//! "bits" is element i of block b. 32 bytes of q2 hold four blocks, bits 2k and 2k + 1 of byte i being element i of
//! the k-th. 32 bytes of q4 hold two blocks, the low halves before the high ones; but in Q6_K it takes
//! 64 bytes, whose low halves are two blocks and whose high halves the next two.

use half::f16;

/// Blocks of 32 in a super-block.
pub(crate) const BLOCKS: usize = 8;

/// 32 quants as they are in the file, before anything is taken from them.
type Quants = [u8; 32];

/// A scale, and a minimum to take from the product.
type Factors = (f32, f32);

/// A K type, whose super-block is `BYTES` long. Its functions are inlined into loops that are compiled for
/// one processor or the other.
pub(crate) trait SuperBlock<const BYTES: usize> {
    /// What is taken from each quant.
    const ZERO: u8;

    /// The blocks' quants.
    fn quants(bytes: &[u8; BYTES]) -> [Quants; BLOCKS];

    /// What scales each block, in two bytes: one for each half of it, or its scale and its minimum.
    fn scales(bytes: &[u8; BYTES]) -> [[u8; 2]; BLOCKS];

    /// d and dmin; the latter 0 for types that have none.
    fn d(bytes: &[u8; BYTES]) -> [f16; 2];

    /// The factors of elements 0 to 15 of a block and of elements 16 to 31.
    fn factors(scales: [u8; 2], d: f32, dmin: f32) -> [Factors; 2];
}

/// The elements of one super-block, rounded as the reference rounds them.
pub(super) fn decode<T: SuperBlock<BYTES>, const BYTES: usize>(
    bytes: &[u8; BYTES],
    out: &mut [f32; 32 * BLOCKS],
) {
    let [d, dmin] = T::d(bytes).map(f16::to_f32);
    let (quants, scales) = (T::quants(bytes), T::scales(bytes));
    for ((out, quants), scales) in out.chunks_exact_mut(32).zip(quants).zip(scales) {
        let factors = T::factors(scales, d, dmin);
        for (i, (out, q)) in out.iter_mut().zip(quants).enumerate() {
            let (scale, min) = factors[i / 16];
            *out = scale * f32::from(q.cast_signed() - T::ZERO.cast_signed()) - min;
        }
    }
}

/// The bits `MASK` of each byte from bit `SHIFT` on.
#[inline(always)]
fn bits<const SHIFT: u32, const MASK: u8>(bytes: &[u8]) -> Quants {
    let mut quants = [0; 32];
    for i in 0..32 {
        quants[i] = bytes[i] >> SHIFT & MASK;
    }
    quants
}

/// Bit b of each of 32 bytes, for every block b.
#[inline(always)]
fn planes(bytes: &[u8]) -> [Quants; BLOCKS] {
    [
        bits::<0, 1>(bytes),
        bits::<1, 1>(bytes),
        bits::<2, 1>(bytes),
        bits::<3, 1>(bytes),
        bits::<4, 1>(bytes),
        bits::<5, 1>(bytes),
        bits::<6, 1>(bytes),
        bits::<7, 1>(bytes),
    ]
}

/// 64 bytes of q2.
#[inline(always)]
fn pairs(bytes: &[u8]) -> [Quants; BLOCKS] {
    let (first, second) = (&bytes[..32], &bytes[32..64]);
    [
        bits::<0, 3>(first),
        bits::<2, 3>(first),
        bits::<4, 3>(first),
        bits::<6, 3>(first),
        bits::<0, 3>(second),
        bits::<2, 3>(second),
        bits::<4, 3>(second),
        bits::<6, 3>(second),
    ]
}

/// 128 bytes of q4.
#[inline(always)]
fn nibbles(bytes: &[u8]) -> [Quants; BLOCKS] {
    let mut quants = [[0; 32]; BLOCKS];
    for chunk in 0..4 {
        let bytes = &bytes[32 * chunk..][..32];
        quants[2 * chunk] = bits::<0, 15>(bytes);
        quants[2 * chunk + 1] = bits::<4, 15>(bytes);
    }
    quants
}

/// Adds higher bits to quants that have `BITS` already.
#[inline(always)]
fn add_high<const BITS: u32>(quants: &mut [Quants; BLOCKS], high: [Quants; BLOCKS]) {
    for block in 0..BLOCKS {
        for i in 0..32 {
            quants[block][i] |= high[block][i] << BITS;
        }
    }
}

/// d and dmin, side by side.
#[inline(always)]
fn two(bytes: &[u8]) -> [f16; 2] {
    [one(bytes), one(&bytes[2..])]
}

#[inline(always)]
fn one(bytes: &[u8]) -> f16 {
    f16::from_le_bytes([bytes[0], bytes[1]])
}

/// Q4_K's and Q5_K's 12 bytes, as scale and minimum of each block: 6 bits in the first 8 bytes for the first
/// four blocks; of the others 4 bits in the last 4 bytes, and 2 above those 6.
#[inline(always)]
fn six_bits(bytes: &[u8]) -> [[u8; 2]; BLOCKS] {
    let mut scales = [[0; 2]; BLOCKS];
    for j in 0..4 {
        scales[j] = [bytes[j] & 63, bytes[j + 4] & 63];
        scales[j + 4] = [
            bytes[j + 8] & 15 | bytes[j] >> 6 << 4,
            bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4,
        ];
    }
    scales
}

/// One scale and one minimum for the whole block.
#[inline(always)]
fn whole(scales: [u8; 2], d: f32, dmin: f32) -> [Factors; 2] {
    let factors = (d * f32::from(scales[0]), dmin * f32::from(scales[1]));
    [factors, factors]
}

/// A signed scale for each half.
#[inline(always)]
fn halves(scales: [u8; 2], d: f32) -> [Factors; 2] {
    scales.map(|scale| (d * f32::from(scale.cast_signed()), 0.0))
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q2_K;

impl SuperBlock<84> for Q2_K {
    const ZERO: u8 = 0;

    #[inline(always)]
    fn quants(bytes: &[u8; 84]) -> [Quants; BLOCKS] {
        pairs(&bytes[16..80])
    }

    #[inline(always)]
    fn scales(bytes: &[u8; 84]) -> [[u8; 2]; BLOCKS] {
        let mut scales = [[0; 2]; BLOCKS];
        for i in 0..16 {
            scales[i / 2][i % 2] = bytes[i];
        }
        scales
    }

    #[inline(always)]
    fn d(bytes: &[u8; 84]) -> [f16; 2] {
        two(&bytes[80..])
    }

    /// The low half of a byte is the scale, the high half the minimum.
    #[inline(always)]
    fn factors(scales: [u8; 2], d: f32, dmin: f32) -> [Factors; 2] {
        scales.map(|byte| (d * f32::from(byte & 15), dmin * f32::from(byte >> 4)))
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q3_K;

impl SuperBlock<110> for Q3_K {
    const ZERO: u8 = 4;

    #[inline(always)]
    fn quants(bytes: &[u8; 110]) -> [Quants; BLOCKS] {
        let mut quants = pairs(&bytes[32..96]);
        add_high::<2>(&mut quants, planes(&bytes[..32]));
        quants
    }

    /// 4 bits of each scale in 8 bytes, the low halves first, and then 2 bits in 4 bytes, the lowest first.
    #[inline(always)]
    fn scales(bytes: &[u8; 110]) -> [[u8; 2]; BLOCKS] {
        let bytes = &bytes[96..108];
        let mut scales = [[0; 2]; BLOCKS];
        for i in 0..16 {
            let low = bytes[i % 8] >> (4 * (i / 8)) & 15;
            let high = bytes[8 + i % 4] >> (2 * (i / 4)) & 3;
            scales[i / 2][i % 2] = (low | high << 4).wrapping_sub(32);
        }
        scales
    }

    #[inline(always)]
    fn d(bytes: &[u8; 110]) -> [f16; 2] {
        [one(&bytes[108..]), f16::ZERO]
    }

    #[inline(always)]
    fn factors(scales: [u8; 2], d: f32, _: f32) -> [Factors; 2] {
        halves(scales, d)
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q4_K;

impl SuperBlock<144> for Q4_K {
    const ZERO: u8 = 0;

    #[inline(always)]
    fn quants(bytes: &[u8; 144]) -> [Quants; BLOCKS] {
        nibbles(&bytes[16..])
    }

    #[inline(always)]
    fn scales(bytes: &[u8; 144]) -> [[u8; 2]; BLOCKS] {
        six_bits(&bytes[4..16])
    }

    #[inline(always)]
    fn d(bytes: &[u8; 144]) -> [f16; 2] {
        two(bytes)
    }

    #[inline(always)]
    fn factors(scales: [u8; 2], d: f32, dmin: f32) -> [Factors; 2] {
        whole(scales, d, dmin)
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q5_K;

impl SuperBlock<176> for Q5_K {
    const ZERO: u8 = 0;

    #[inline(always)]
    fn quants(bytes: &[u8; 176]) -> [Quants; BLOCKS] {
        let mut quants = nibbles(&bytes[48..]);
        add_high::<4>(&mut quants, planes(&bytes[16..48]));
        quants
    }

    #[inline(always)]
    fn scales(bytes: &[u8; 176]) -> [[u8; 2]; BLOCKS] {
        six_bits(&bytes[4..16])
    }

    #[inline(always)]
    fn d(bytes: &[u8; 176]) -> [f16; 2] {
        two(bytes)
    }

    #[inline(always)]
    fn factors(scales: [u8; 2], d: f32, dmin: f32) -> [Factors; 2] {
        whole(scales, d, dmin)
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q6_K;

impl SuperBlock<210> for Q6_K {
    const ZERO: u8 = 32;

    #[inline(always)]
    fn quants(bytes: &[u8; 210]) -> [Quants; BLOCKS] {
        let mut quants = [[0; 32]; BLOCKS];
        for chunk in 0..2 {
            let (first, second) = bytes[64 * chunk..][..64].split_at(32);
            quants[4 * chunk] = bits::<0, 15>(first);
            quants[4 * chunk + 1] = bits::<0, 15>(second);
            quants[4 * chunk + 2] = bits::<4, 15>(first);
            quants[4 * chunk + 3] = bits::<4, 15>(second);
        }
        add_high::<4>(&mut quants, pairs(&bytes[128..192]));
        quants
    }

    #[inline(always)]
    fn scales(bytes: &[u8; 210]) -> [[u8; 2]; BLOCKS] {
        let mut scales = [[0; 2]; BLOCKS];
        for i in 0..16 {
            scales[i / 2][i % 2] = bytes[192 + i];
        }
        scales
    }

    #[inline(always)]
    fn d(bytes: &[u8; 210]) -> [f16; 2] {
        [one(&bytes[208..]), f16::ZERO]
    }

    #[inline(always)]
    fn factors(scales: [u8; 2], d: f32, _: f32) -> [Factors; 2] {
        halves(scales, d)
    }
}
