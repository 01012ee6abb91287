#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn decoded(dtype: TensorType, bytes: &[u8], elements: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; elements];
    dequantize(dtype, bytes, &mut out).unwrap();
    out
}

/// Little-endian binary16: 0.5, -2 and 1.25.
const HALF: [u8; 2] = [0x00, 0x38];
const MINUS_TWO: [u8; 2] = [0x00, 0xc0];
const FIVE_QUARTERS: [u8; 2] = [0x00, 0x3d];

/// Byte i holds element i = i in its low half and element 16 + i = 15 - i in its high half.
fn rising_and_falling() -> Vec<u8> {
    (0..16).map(|i| i | (15 - i) << 4).collect()
}

/// The elements of [`rising_and_falling`].
fn nibbles() -> impl Iterator<Item = f32> {
    (0..16).chain((0..16).rev()).map(|q| q as f32)
}

/// Bits 0, 5, 16 and 31.
const QH: [u8; 4] = [0x21, 0x00, 0x01, 0x80];

/// [`nibbles`] with 16 added where [`QH`] has a bit.
fn fives() -> impl Iterator<Item = f32> {
    nibbles().enumerate().map(|(i, q)| match i {
        0 | 5 | 16 | 31 => q + 16.0,
        _ => q,
    })
}

#[test]
fn floats_decode() {
    let bytes = [1.5_f32.to_le_bytes(), (-0.25_f32).to_le_bytes()].concat();
    assert_eq!(decoded(TensorType::F32, &bytes, 2), [1.5, -0.25]);
    let bytes = [HALF, MINUS_TWO, [0x01, 0x00]].concat();
    assert_eq!(
        decoded(TensorType::F16, &bytes, 3),
        [0.5, -2.0, 2.0_f32.powi(-24)]
    );
    let bytes = [0xc0, 0x3f, 0x80, 0xbe];
    assert_eq!(decoded(TensorType::BF16, &bytes, 2), [1.5, -0.25]);
}

#[test]
fn q4_0_is_d_times_q_minus_8() {
    let bytes = [&HALF[..], &rising_and_falling()].concat();
    let expected: Vec<f32> = nibbles().map(|q| 0.5 * (q - 8.0)).collect();
    assert_eq!(decoded(TensorType::Q4_0, &bytes, 32), expected);
}

#[test]
fn q4_1_is_d_times_q_plus_m() {
    let bytes = [&FIVE_QUARTERS[..], &MINUS_TWO, &rising_and_falling()].concat();
    let expected: Vec<f32> = nibbles().map(|q| 1.25 * q - 2.0).collect();
    assert_eq!(decoded(TensorType::Q4_1, &bytes, 32), expected);
}

#[test]
fn q5_0_is_d_times_q_minus_16() {
    let bytes = [&MINUS_TWO[..], &QH, &rising_and_falling()].concat();
    let expected: Vec<f32> = fives().map(|q| -2.0 * (q - 16.0)).collect();
    assert_eq!(decoded(TensorType::Q5_0, &bytes, 32), expected);
}

#[test]
fn q5_1_is_d_times_q_plus_m() {
    let bytes = [&HALF[..], &FIVE_QUARTERS, &QH, &rising_and_falling()].concat();
    let expected: Vec<f32> = fives().map(|q| 0.5 * q + 1.25).collect();
    assert_eq!(decoded(TensorType::Q5_1, &bytes, 32), expected);
}

#[test]
fn q8_0_is_d_times_a_signed_byte() {
    let qs: Vec<i8> = (-16..16).map(|i| i * 8).collect();
    let bytes: Vec<u8> = HALF
        .into_iter()
        .chain(qs.iter().map(|q| q.cast_unsigned()))
        .collect();
    let expected: Vec<f32> = qs.iter().map(|q| 0.5 * f32::from(*q)).collect();
    assert_eq!(decoded(TensorType::Q8_0, &bytes, 32), expected);
}

#[test]
fn each_block_has_its_own_scale() {
    let block = |d: [u8; 2]| [&d[..], &[0xff; 16]].concat();
    let bytes = [block(HALF), block(MINUS_TWO)].concat();
    let out = decoded(TensorType::Q4_0, &bytes, 64);
    assert_eq!(out[..32], [3.5; 32]);
    assert_eq!(out[32..], [-14.0; 32]);
}

/// The bytes and values of another implementation; `source` in the file says which.
#[test]
fn the_reference_agrees_bit_for_bit() {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/quant_blocks.json"
    ));
    let fixture: serde_json::Value = serde_json::from_str(text).unwrap();
    let unhex = |value: &serde_json::Value| -> Vec<u8> {
        let (pairs, _) = value.as_str().unwrap().as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        pairs.iter().map(byte).collect()
    };
    let mut seen = Vec::new();
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["type"].as_str().unwrap();
        let dtype = TensorType::ALL
            .into_iter()
            .find(|t| t.name() == name)
            .unwrap();
        let bytes = unhex(&case["bytes"]);
        let values = unhex(&case["values"]);
        let got = decoded(dtype, &bytes, values.len() / 4);
        let got: Vec<u8> = got.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(got, values, "{dtype} decodes otherwise than the reference");
        if let Some(input) = case["input"].as_str() {
            let input = unhex(&fixture["inputs"][input]);
            let input = decoded(TensorType::F32, &input, input.len() / 4);
            let encoded = quantize(dtype, &input).unwrap();
            assert_eq!(
                encoded, bytes,
                "{dtype} encodes otherwise than the reference"
            );
        }
        seen.push(dtype);
    }
    seen.dedup();
    assert_eq!(seen, TensorType::ALL);
}

#[test]
fn lengths_must_agree() {
    let mut out = [0.0; 256];
    for (dtype, bytes, elements) in [
        (TensorType::F32, 7, 2),
        (TensorType::F32, 12, 2),
        (TensorType::Q4_0, 18, 31),
        (TensorType::Q4_0, 18, 64),
        (TensorType::Q8_0, 0, 32),
        (TensorType::Q8_0, 34, 0),
        (TensorType::Q4_K, 144, 32),
        (TensorType::Q6_K, 211, 256),
    ] {
        assert_eq!(
            dequantize(dtype, &vec![0; bytes], &mut out[..elements]),
            Err(QuantError::Length {
                dtype,
                elements,
                bytes
            })
        );
    }
    assert_eq!(
        quantize(TensorType::Q5_1, &[0.0; 33]),
        Err(QuantError::PartialBlock {
            dtype: TensorType::Q5_1,
            elements: 33
        })
    );
}

/// The types that are written too.
const WRITTEN: [TensorType; 8] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
];

#[test]
fn the_other_types_are_read_alone() {
    for dtype in TensorType::ALL {
        let result = quantize(dtype, &[0.5; 256]);
        match WRITTEN.contains(&dtype) {
            true => assert!(result.is_ok()),
            false => assert_eq!(result, Err(QuantError::ReadOnly(dtype))),
        }
    }
}

#[test]
fn random_blocks_keep_their_size() {
    for dtype in TensorType::ALL {
        for size in [1.0 / 128.0, 1.0] {
            let bytes = random_blocks(dtype, 512, size, &mut 7);
            let values = decoded(dtype, &bytes, 512 * dtype.block_size());
            let far = values.iter().fold(0f32, |far, x| far.max(x.abs()));
            assert!((0.5..2.1).contains(&(far / size)), "{dtype}: {far}");
        }
    }
}

#[test]
fn what_a_type_cannot_hold_is_refused() {
    for (value, dtypes) in [
        (f32::NAN, &WRITTEN[..]),
        (f32::NEG_INFINITY, &WRITTEN),
        (f32::MAX, &[TensorType::BF16, TensorType::F16]),
        (
            70_000.0,
            &[TensorType::F16, TensorType::Q4_1, TensorType::Q8_0],
        ),
    ] {
        for dtype in dtypes {
            let mut values = [0.0; 32];
            values[9] = value;
            let error = quantize(*dtype, &values).unwrap_err();
            assert!(
                matches!(error, QuantError::OutOfRange { index: 9, .. }),
                "{error}"
            );
        }
    }
}

/// How far from `values` their encoding may be: half a step, and what binary16 rounds of the scale
/// and the minimum.
fn tolerance(dtype: TensorType, values: &[f32]) -> f32 {
    let min = values.iter().copied().fold(f32::INFINITY, f32::min);
    let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let far = max.max(-min);
    let step = match dtype {
        TensorType::F32 => return 0.0,
        TensorType::F16 => return far / 2048.0 + 2.0_f32.powi(-25),
        TensorType::BF16 => return far / 256.0,
        // The side away from the extreme ends a step short of it.
        TensorType::Q4_0 => 2.0 * far / 8.0,
        TensorType::Q5_0 => 2.0 * far / 16.0,
        TensorType::Q4_1 => (max - min) / 15.0,
        TensorType::Q5_1 => (max - min) / 31.0,
        TensorType::Q8_0 => far / 127.0,
        other => panic!("{other} is not written"),
    };
    // A scale near 0 is a subnormal binary16, off by up to 2^-25; times at most 127 steps.
    step / 2.0 + 3.0 * far / 2048.0 + 127.0 * 2.0_f32.powi(-24)
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_nearly_the_same(
        values in prop::collection::vec(-1.0_f32..1.0, 32),
        exponent in -20..15,
    ) {
        let values: Vec<f32> = values.iter().map(|x| x * 2.0_f32.powi(exponent)).collect();
        for dtype in WRITTEN {
            let bytes = quantize(dtype, &values).unwrap();
            let got = decoded(dtype, &bytes, 32);
            let tolerance = tolerance(dtype, &values);
            for (index, (got, want)) in got.iter().zip(&values).enumerate() {
                prop_assert!(
                    (got - want).abs() <= tolerance,
                    "{dtype}, element {index}: got {got}, wanted {want} within {tolerance}"
                );
            }
        }
    }

    #[test]
    fn any_bytes_decode(
        bytes in prop::collection::vec(any::<u8>(), 700),
        blocks in 0_usize..4,
        more in 0_usize..2,
        extra in 0_usize..2,
    ) {
        for dtype in TensorType::ALL {
            let elements = blocks * dtype.block_size() + more;
            let bytes = &bytes[..blocks * dtype.block_bytes() + extra];
            let mut out = vec![0.0; elements];
            let whole = elements % dtype.block_size() == 0
                && elements / dtype.block_size() * dtype.block_bytes() == bytes.len();
            prop_assert_eq!(dequantize(dtype, bytes, &mut out).is_ok(), whole);
        }
    }
}
