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

/// A number for each half of each block.
type Halves = [f32; 2 * BLOCKS];

/// A K type, whose super-block is `BYTES` long. Its functions are inlined into loops that are compiled for
/// one processor or the other.
pub(crate) trait SuperBlock<const BYTES: usize> {
    /// What is taken from each quant.
    const ZERO: u8;

    /// A block's quants. The block is best a loop's variable and not a constant: the shifts are the same for
    /// all quants either way, and straight code for all blocks is made no vector instructions of (rustc 1.95).
    fn quants(bytes: &[u8; BYTES], block: usize) -> Quants;

    /// What scales each block, in two bytes: one for each half of it, or its scale and its minimum.
    fn scales(bytes: &[u8; BYTES]) -> [[u8; 2]; BLOCKS];

    /// d and dmin; the latter 0 for types that have none.
    fn d(bytes: &[u8; BYTES]) -> [f16; 2];

    /// The scales, and the minima to take from the products. One loop for each: the compiler turns it into
    /// vector instructions.
    fn factors(scales: &[[u8; 2]; BLOCKS], d: f32, dmin: f32) -> (Halves, Halves);
}

/// The elements of one super-block, rounded as the reference rounds them.
pub(super) fn decode<T: SuperBlock<BYTES>, const BYTES: usize>(
    bytes: &[u8; BYTES],
    out: &mut [f32; 32 * BLOCKS],
) {
    let [d, dmin] = T::d(bytes).map(f16::to_f32);
    let (scales, minima) = T::factors(&T::scales(bytes), d, dmin);
    for (block, out) in out.chunks_exact_mut(32).enumerate() {
        let quants = T::quants(bytes, block);
        for (i, (out, q)) in out.iter_mut().zip(quants).enumerate() {
            let (half, q) = (2 * block + i / 16, q.cast_signed() - T::ZERO.cast_signed());
            *out = scales[half] * f32::from(q) - minima[half];
        }
    }
}

/// The bits `MASK` of 32 bytes, from bit `shift` on.
#[inline(always)]
fn bits<const MASK: u8>(bytes: &[u8], shift: usize) -> Quants {
    let mut quants = [0; 32];
    for i in 0..32 {
        quants[i] = bytes[i] >> shift & MASK;
    }
    quants
}

/// The block's bit of each of 32 bytes, as `VALUE`.
#[inline(always)]
fn plane<const VALUE: u8>(bytes: &[u8], block: usize) -> Quants {
    let bit = 1 << block;
    let mut quants = [0; 32];
    for i in 0..32 {
        quants[i] = if bytes[i] & bit == 0 { 0 } else { VALUE };
    }
    quants
}

/// The block's part of 64 bytes of q2.
#[inline(always)]
fn pairs(bytes: &[u8], block: usize) -> Quants {
    bits::<3>(&bytes[32 * (block / 4)..][..32], 2 * (block % 4))
}

/// The block's part of 128 bytes of q4.
#[inline(always)]
fn nibbles(bytes: &[u8], block: usize) -> Quants {
    bits::<15>(&bytes[32 * (block / 2)..][..32], 4 * (block % 2))
}

/// The bits of both, those of `high` from bit `SHIFT` on.
#[inline(always)]
fn both<const SHIFT: u32>(mut quants: Quants, high: Quants) -> Quants {
    for i in 0..32 {
        quants[i] |= high[i] << SHIFT;
    }
    quants
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
fn whole(scales: &[[u8; 2]; BLOCKS], d: f32, dmin: f32) -> (Halves, Halves) {
    let mut factors = (Halves::default(), Halves::default());
    for half in 0..2 * BLOCKS {
        factors.0[half] = d * f32::from(scales[half / 2][0]);
    }
    for half in 0..2 * BLOCKS {
        factors.1[half] = dmin * f32::from(scales[half / 2][1]);
    }
    factors
}

/// A signed scale for each half.
#[inline(always)]
fn signed(scales: &[[u8; 2]; BLOCKS], d: f32) -> (Halves, Halves) {
    let mut factors = Halves::default();
    for half in 0..2 * BLOCKS {
        factors[half] = d * f32::from(scales[half / 2][half % 2].cast_signed());
    }
    (factors, Halves::default())
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q2_K;

impl SuperBlock<84> for Q2_K {
    const ZERO: u8 = 0;

    #[inline(always)]
    fn quants(bytes: &[u8; 84], block: usize) -> Quants {
        pairs(&bytes[16..80], block)
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
    fn factors(scales: &[[u8; 2]; BLOCKS], d: f32, dmin: f32) -> (Halves, Halves) {
        let mut factors = (Halves::default(), Halves::default());
        for half in 0..2 * BLOCKS {
            factors.0[half] = d * f32::from(scales[half / 2][half % 2] & 15);
        }
        for half in 0..2 * BLOCKS {
            factors.1[half] = dmin * f32::from(scales[half / 2][half % 2] >> 4);
        }
        factors
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q3_K;

impl SuperBlock<110> for Q3_K {
    const ZERO: u8 = 4;

    #[inline(always)]
    fn quants(bytes: &[u8; 110], block: usize) -> Quants {
        both::<0>(
            pairs(&bytes[32..96], block),
            plane::<4>(&bytes[..32], block),
        )
    }

    /// 4 bits of each scale in 8 bytes, the low halves first, and then 2 bits in 4 bytes, the lowest first.
    #[inline(always)]
    fn scales(bytes: &[u8; 110]) -> [[u8; 2]; BLOCKS] {
        let words = bytes[96..108].as_chunks::<4>().0;
        let mut scales = [[0; 2]; BLOCKS];
        for quad in 0..4 {
            let low = u32::from_le_bytes(words[quad % 2]) >> (4 * (quad / 2)) & 0x0f0f_0f0f;
            let high = u32::from_le_bytes(words[2]) >> (2 * quad) & 0x0303_0303;
            let quad_scales = (low | high << 4).to_le_bytes();
            for i in 0..4 {
                scales[2 * quad + i / 2][i % 2] = quad_scales[i].wrapping_sub(32);
            }
        }
        scales
    }

    #[inline(always)]
    fn d(bytes: &[u8; 110]) -> [f16; 2] {
        [one(&bytes[108..]), f16::ZERO]
    }

    #[inline(always)]
    fn factors(scales: &[[u8; 2]; BLOCKS], d: f32, _: f32) -> (Halves, Halves) {
        signed(scales, d)
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q4_K;

impl SuperBlock<144> for Q4_K {
    const ZERO: u8 = 0;

    #[inline(always)]
    fn quants(bytes: &[u8; 144], block: usize) -> Quants {
        nibbles(&bytes[16..], block)
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
    fn factors(scales: &[[u8; 2]; BLOCKS], d: f32, dmin: f32) -> (Halves, Halves) {
        whole(scales, d, dmin)
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q5_K;

impl SuperBlock<176> for Q5_K {
    const ZERO: u8 = 0;

    #[inline(always)]
    fn quants(bytes: &[u8; 176], block: usize) -> Quants {
        both::<0>(
            nibbles(&bytes[48..], block),
            plane::<16>(&bytes[16..48], block),
        )
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
    fn factors(scales: &[[u8; 2]; BLOCKS], d: f32, dmin: f32) -> (Halves, Halves) {
        whole(scales, d, dmin)
    }
}

#[allow(non_camel_case_types, reason = "the format's own names")]
pub(crate) struct Q6_K;

impl SuperBlock<210> for Q6_K {
    const ZERO: u8 = 32;

    #[inline(always)]
    fn quants(bytes: &[u8; 210], block: usize) -> Quants {
        let low = &bytes[64 * (block / 4) + 32 * (block % 2)..][..32];
        let low = bits::<15>(low, 4 * (block / 2 % 2));
        both::<4>(low, pairs(&bytes[128..192], block))
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
    fn factors(scales: &[[u8; 2]; BLOCKS], d: f32, _: f32) -> (Halves, Halves) {
        signed(scales, d)
    }
}
