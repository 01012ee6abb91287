//! Files that must not be read, and what is said of them.

use super::*;

impl RawHeader {
    /// What both entry points say of the file; they must agree.
    fn error(self) -> String {
        refusal(&self.bytes())
    }
}

/// The error of a file that neither entry point takes.
fn refusal(bytes: &[u8]) -> String {
    let error = read(bytes).unwrap_err().to_string();
    let streamed = stream(bytes, Some(bytes.len() as u64), &[7]).unwrap_err();
    assert_eq!(error, streamed.to_string());
    error
}

#[test]
fn other_files_and_versions_are_refused() {
    let bytes = written(&small());
    let mut other = bytes.clone();
    other[0] = b'X';
    assert!(refusal(&other).contains("not a GGUF file"));
    let page = [&b"<!DOCTYPE html>"[..], &[b' '; 2000]].concat();
    assert!(refusal(&page).contains("not a GGUF file, but a web page"));
    assert!(refusal(&page[..20]).contains("a web page"));
    let unknown = stream(&page, None, &[2000]).unwrap_err().to_string();
    assert!(unknown.contains("a web page"), "{unknown}");
    assert!(refusal(b"").contains("an empty file"));
    for (version, message) in [
        (1_u32, "version 1"),
        (4, "version 4"),
        (3 << 24, "big-endian"),
    ] {
        other = bytes.clone();
        other[4..8].copy_from_slice(&version.to_le_bytes());
        let error = refusal(&other);
        assert!(error.contains(message), "{error}");
    }
    assert!(refusal(b"GG").contains("the header wants 4 bytes at byte 0, where the file has 2"));
}

#[test]
fn senseless_counts_and_lengths_are_refused() {
    for (at, place) in [
        (8, "a number of tensors"),
        (16, "a number of metadata keys"),
    ] {
        let mut bytes = written(&small());
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let error = refusal(&bytes);
        assert!(error.contains(place), "{error}");
    }
    let long = (1_u64 << 63).to_le_bytes();
    let array =
        |type_id: u32, count: u64| [&type_id.to_le_bytes()[..], &count.to_le_bytes()].concat();
    for (type_id, value, problem) in [
        (8, long.to_vec(), "a string's length of 9223372036854775808"),
        (
            8,
            string(&[0; 4096])[..100].to_vec(),
            "metadata k wants 4096 bytes",
        ),
        (9, array(6, 1 << 62), "wants 18446744073709551615 bytes"),
        (9, array(8, 1 << 40), "wants 8796093022208 bytes"),
        (9, array(9, 1 << 40), "wants 13194139533312 bytes"),
        (9, array(0, 1 << 40), "wants 1099511627776 bytes"),
    ] {
        let error = RawHeader::default().key("k", type_id, &value).error();
        assert!(error.contains(problem), "{error}");
    }
    let error = RawHeader::default()
        .key(&"k".repeat(65_536), 0, &[0])
        .error();
    assert!(error.contains("limit of 65535"), "{error}");
}

#[test]
fn a_stream_of_unknown_length_bounds_the_header() {
    let endless = RawHeader::default().key("k", 9, &[&[0, 0, 0, 0][..], &[0xff; 8]].concat());
    let error = stream(&endless.bytes(), None, &[100]).unwrap_err();
    assert!(
        matches!(
            error,
            GgufError::Limit {
                max: MAX_HEADER_BYTES,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn senseless_values_are_refused() {
    let array = |type_id: u32, value: &[u8]| {
        [&type_id.to_le_bytes()[..], &1_u64.to_le_bytes(), value].concat()
    };
    for (type_id, value, problem) in [
        (13, vec![0; 8], "metadata k has value type 13"),
        (9, array(14, &[0]), "metadata k has value type 14"),
        (7, vec![2], "a boolean of 0 or 1"),
        (9, array(7, &[2]), "a boolean of 0 or 1"),
    ] {
        let error = RawHeader::default().key("k", type_id, &value).error();
        assert!(error.contains(problem), "{error}");
    }
    let twice = RawHeader::default().key("k", 0, &[1]).key("k", 0, &[1]);
    assert_eq!(twice.error(), "metadata key \"k\" is in the file twice");
}

/// What is no UTF-8 is an error for those who read it alone, and is written as it came. An author in Latin-1; a token of
/// https://github.com/ggml-org/llama.cpp/issues/1590 (broken characters in a vocabulary).
#[test]
fn strings_that_are_no_utf_8_stay_bytes() {
    let words = [string(b"a"), string(&[0xc0]), string("é".as_bytes())].concat();
    let array = [&8_u32.to_le_bytes()[..], &3_u64.to_le_bytes(), &words].concat();
    let file = RawHeader::default()
        .key("general.author", 8, &string(b"Andr\xe9"))
        .key("words", 9, &array);
    let meta = read(&file.bytes()).unwrap().metadata;
    assert_eq!(meta.display("general.author").unwrap(), "Andr\u{fffd}");
    for (error, says) in [
        (
            meta.str("general.author").unwrap_err(),
            "metadata general.author is STRING that is not UTF-8",
        ),
        (
            meta.strings("words").unwrap_err(),
            "metadata words is an array of 3 STRING whose number 1 is not UTF-8",
        ),
    ] {
        assert!(error.to_string().starts_with(says), "{error}");
    }
    let mut again = Vec::new();
    let gguf = Gguf::new(&meta, &[]).unwrap();
    let mut none = |_| -> Result<_, GgufError> { unreachable!() };
    gguf.write(&mut again, &mut none).unwrap();
    assert_eq!(read(&again).unwrap().metadata, meta);
    // A tensor's name is read.
    let mut bytes = RawHeader::default().tensor("ab", &[8], 0, 0).bytes();
    let at = bytes.windows(2).position(|two| two == b"ab").unwrap();
    bytes[at] = 0xff;
    assert!(refusal(&bytes).contains("the name of tensor 0 is not UTF-8"));
}

#[test]
fn arrays_nest_to_the_limit() {
    let nested = |depth: usize| {
        let outer = [9_u32.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec()].concat();
        let inner = [0_u32.to_le_bytes().to_vec(), 0_u64.to_le_bytes().to_vec()].concat();
        RawHeader::default().key("k", 9, &[outer.repeat(depth - 1), inner].concat())
    };
    assert!(read(&nested(MAX_ARRAY_DEPTH as usize).bytes()).is_ok());
    for depth in [MAX_ARRAY_DEPTH as usize + 1, 100, 100_000] {
        let error = nested(depth).error();
        assert!(error.contains("a depth of arrays of 5"), "{error}");
    }
}

#[test]
fn the_alignment_must_make_sense() {
    for alignment in [0_u32, 1, 4, 24] {
        let file = RawHeader::default().key("general.alignment", 4, &alignment.to_le_bytes());
        let error = file.error();
        assert!(
            error.starts_with(&format!("general.alignment is {alignment};")),
            "{error}"
        );
    }
    let file = RawHeader::default().key("general.alignment", 8, &string(b"32"));
    assert!(file.error().contains("general.alignment is STRING"));
    let mut writer = small();
    writer.metadata("general.alignment", Value::U32(8));
    let bytes = written(&writer);
    let gguf = read(&bytes).unwrap();
    assert_eq!(gguf.alignment, 8);
    assert_eq!(gguf.tensors[1].offset, gguf.data_offset + 16);
}

#[test]
fn impossible_tensors_are_refused() {
    let raw = RawHeader::default;
    let fit = || raw().tensor("a", &[64], 0, 0);
    assert!(read(&fit().tensor("b", &[32, 2], 0, 256).bytes()).is_ok());
    for (file, problem) in [
        (
            raw().tensor("blk.0.ffn_down.weight", &[256], 17, 0),
            "unsupported tensor type IQ2_XS in blk.0.ffn_down.weight (supported: F32, F16, BF16, \
             Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, MXFP4)",
        ),
        (
            raw().tensor("a", &[8], 999, 0),
            "unsupported tensor type number 999 in a",
        ),
        (
            raw().tensor("a", &[128, 2], 12, 0),
            "Q4_K needs rows of a multiple of 256",
        ),
        (
            raw().tensor("a", &[48, 2], 2, 0),
            "Q4_0 needs rows of a multiple of 32",
        ),
        (
            raw().tensor("a", &[16, 2], 8, 0),
            "Q8_0 needs rows of a multiple of 32",
        ),
        (
            raw().tensor("a", &[], 8, 0),
            "Q8_0 needs rows of a multiple of 32",
        ),
        (raw().tensor("a", &[0, 2], 0, 0), "it has no elements"),
        (raw().tensor("a", &[2, 0], 0, 0), "it has no elements"),
        (
            raw().tensor("a", &[1; 5], 0, 0),
            "a number of dimensions of 5",
        ),
        (raw().tensor("a", &[1 << 60], 0, 0), "too large"),
        (raw().tensor("a", &[1 << 30, 1 << 30], 0, 0), "too large"),
        (raw().tensor("a", &[1 << 32, 1 << 32], 0, 0), "too large"),
        (raw().tensor("a", &[u64::MAX], 0, 0), "too large"),
        (
            raw().tensor("a", &[1 << 38], 0, 0),
            "tensor a wants 1099511627776 bytes at byte 64",
        ),
        (
            raw().tensor("a", &[257], 0, 0),
            "tensor a wants 1028 bytes at byte 64, where the file has 1024",
        ),
        (
            raw().tensor("a", &[8], 0, u64::MAX - 31),
            "where the file has 0 left",
        ),
        (
            raw().tensor("a", &[8], 0, 16),
            "tensor a begins at 16 in the data, no multiple of 32",
        ),
        (
            fit().tensor("a", &[8], 0, 256),
            "tensor \"a\" is in the file twice",
        ),
        (fit().tensor("b", &[8], 0, 224), "tensors a and b overlap"),
        (
            raw().tensor(&"n".repeat(65), &[8], 0, 0),
            "a string's length of 65",
        ),
    ] {
        let error = file.error();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_tensor_past_the_end_of_a_stream_of_unknown_length_ends_early() {
    let bytes = RawHeader::default().tensor("a", &[1 << 30], 0, 0).bytes();
    let error = stream(&bytes, None, &[100]).unwrap_err().to_string();
    assert!(error.contains("inside tensor a"), "{error}");
    let error = stream(&bytes[..40], None, &[100]).unwrap_err().to_string();
    assert!(
        error.contains("after 40 bytes, inside the header"),
        "{error}"
    );
}

#[test]
fn read_tensor_trusts_no_one() {
    let bytes = written(&small());
    let gguf = read(&bytes).unwrap();
    for (offset, size) in [
        (0, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        (8, 1 << 60),
    ] {
        let mut info = gguf.tensors[0].clone();
        (info.offset, info.bytes) = (offset, size);
        let error = gguf
            .read_tensor(&mut Cursor::new(&bytes), &info)
            .unwrap_err();
        assert!(matches!(error, GgufError::BeyondEnd { .. }), "{error}");
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut out = Vec::new();
    let mut refuse = |edit: &dyn Fn(&mut GgufWriter), problem: &str| {
        let mut writer = small();
        edit(&mut writer);
        let error = writer.write(&mut out).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    };
    refuse(
        &|w| _ = w.tensor("a", [1], TensorType::F32, [0; 4]),
        "\"a\" is in the file twice",
    );
    refuse(
        &|w| _ = w.tensor("c", [2], TensorType::F32, [0; 4]),
        "given 4 bytes",
    );
    refuse(
        &|w| _ = w.tensor("c", [2], TensorType::Q8_0, [0; 4]),
        "a multiple of 32",
    );
    refuse(
        &|w| _ = w.tensor("c", [1; 5], TensorType::F32, [0; 4]),
        "dimensions of 5",
    );
    refuse(
        &|w| _ = w.metadata("k".repeat(70_000), Value::U8(0)),
        "limit of 65535",
    );
    refuse(
        &|w| _ = w.metadata("general.alignment", Value::U8(0)),
        "general.alignment is 0",
    );
    assert!(out.is_empty());
}
