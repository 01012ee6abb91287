#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::io::Cursor;

fn file(json: &str, data: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.extend((0..data).map(|i| i as u8));
    file
}

fn read(bytes: &[u8]) -> Result<Header, SafetensorsError> {
    Header::read(&mut Cursor::new(bytes))
}

fn refused(json: &str, data: usize) -> String {
    read(&file(json, data)).unwrap_err().to_string()
}

const TWO: &str = r#"{"__metadata__":{"format":"pt"},
    "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
    "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;

#[test]
fn a_header_is_read() {
    let header = read(&file(TWO, 16)).unwrap();
    let begin = 8 + TWO.len() as u64;
    let (b, a) = (&header.tensors[0], &header.tensors[1]);
    assert_eq!((b.name.as_str(), a.name.as_str()), ("b", "a"));
    assert_eq!(
        (b.offset, b.bytes, &b.shape[..]),
        (begin + 4, 12, &[2, 3][..])
    );
    assert_eq!((a.offset, a.bytes, &a.shape[..]), (begin, 4, &[][..]));
    assert_eq!(b.dtype.name, "BF16");
    assert!(a.dtype.float().is_some());
}

#[test]
fn every_truncation_is_refused() {
    let whole = file(TWO, 16);
    for len in 0..whole.len() {
        let error = read(&whole[..len]).unwrap_err().to_string();
        let says = match len {
            0 => "an empty file",
            _ => "downloaded in full",
        };
        assert!(error.contains(says), "{len}: {error}");
    }
}

#[test]
fn impossible_tensors_are_refused() {
    let one = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (json, says) in [
        (one("[2]", "[0,12]"), "of shape [2] has 12 bytes"),
        (one("[2]", "[8,0]"), "has -8 bytes"),
        (one("[4]", "[0,16]"), "ends at byte"),
        (
            one("[1]", "[18446744073709551611,18446744073709551615]"),
            "ends at byte",
        ),
        (one("[4294967296,4294967296,4]", "[0,0]"), "don't fit"),
        (one("[4611686018427387904]", "[0,0]"), "don't fit"),
        (one("[18446744073709551616]", "[0,0]"), "JSON is damaged"),
        (one("[-1]", "[0,4]"), "JSON is damaged"),
        (one("[1]", "[0,4,8]"), "JSON is damaged"),
        (one("[1]", "[0,4]").replace("F32", "F4"), "type \"F4\""),
        (
            one("[1]", "[0,4]").replace("dtype", "type"),
            "JSON is damaged",
        ),
        (r#"{"a":{}}"#.to_owned(), "\"a\" is no tensor"),
        (r#"{"a":1}"#.to_owned(), "\"a\" to be a tensor"),
        (
            one(&format!("[{}1]", "1,".repeat(64)), "[0,4]"),
            "up to 64 dimensions",
        ),
        ("{".to_owned(), "JSON is damaged"),
    ] {
        let error = refused(&json, 12);
        assert!(error.contains(says), "{json}: {error}");
    }
}

#[test]
fn overlaps_and_twins_are_refused() {
    let two = |a: &str, b: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},
                "{second}":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
        )
    };
    assert!(read(&file(&two("[4,8]", "[0,4]", "b"), 8)).is_ok());
    let error = refused(&two("[3,7]", "[0,4]", "b"), 8);
    assert!(error.contains("tensors b and a overlap"), "{error}");
    let error = refused(&two("[0,4]", "[4,8]", "a"), 8);
    assert!(error.contains("\"a\" is in it twice"), "{error}");
}

#[test]
fn a_header_of_any_length_and_depth_takes_no_memory() {
    for length in [100_000_001, 1 << 40, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend([b'{'; 100]);
        let error = read(&bytes).unwrap_err();
        assert!(
            matches!(error, SafetensorsError::HeaderLength(_)),
            "{error}"
        );
    }
    let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
    assert!(refused(&deep, 0).contains("JSON is damaged"));
    let deep = format!("{{\"__metadata__\":{}", "{\"a\":".repeat(1 << 20));
    assert!(refused(&deep, 0).contains("JSON is damaged"));
}

/// https://github.com/antirez/h3.c/pull/48, https://github.com/Comfy-Org/ComfyUI/issues/15602: the format forbids bytes
/// that no tensor has.
#[test]
fn holes_and_trailing_bytes_are_refused() {
    let tensors = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},
                "b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}},
                "none":{{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}}}"#
        )
    };
    let whole = tensors("[0,4]", "[4,8]");
    assert!(read(&file(&whole, 8)).is_ok());
    for (json, data) in [
        (tensors("[1,5]", "[5,9]"), 9),
        (tensors("[0,4]", "[5,9]"), 9),
        (whole.clone(), 9),
        (whole.replace("[4,4]", "[2,2]"), 8),
        (r#"{"__metadata__":{}}"#.to_owned(), 1),
    ] {
        let error = refused(&json, data);
        let says = ["belong to no tensor", "overlap"];
        assert!(
            says.iter().any(|says| error.contains(says)),
            "{json}: {error}"
        );
    }
    let begin = 8 + whole.len() as u64;
    let error = refused(&whole, 12);
    let says = format!("bytes {} to {} of the file", begin + 8, begin + 12);
    assert!(error.contains(&says), "{error}");
}

#[test]
fn what_lies_in_a_files_place_is_named() {
    for (bytes, says) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid"[..],
            "Git LFS",
        ),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04\0\0\0\0\0\0archive/data.pkl", "PyTorch"),
        (b"GGUF\x03\0\0\0\x01\0", "a GGUF file"),
        (b"{\"error\": \"gated\"}", "gated"),
        (b"", "an empty file"),
        (&[0; 64], "zero bytes"),
    ] {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn an_index_is_read() {
    let index = Index::parse(
        br#"{"metadata":{"total_size":1},"weight_map":{"c":"two.safetensors","a":"two.safetensors","b":"one.safetensors"}}"#,
    )
    .unwrap();
    let shards = index.shards();
    assert_eq!(shards, [("one.safetensors", 1), ("two.safetensors", 2)]);
    let first = &index.tensors[0];
    assert_eq!(*first, ("a".to_owned(), "two.safetensors".to_owned()));
}

#[test]
fn an_index_reaches_no_other_folder() {
    for name in [
        "../a.safetensors",
        "/a.safetensors",
        "b\\\\a.safetensors",
        "c:a.safetensors",
        ".a.safetensors",
        "a.bin",
        "",
    ] {
        let json = format!(r#"{{"weight_map":{{"a":"{name}"}}}}"#);
        let error = Index::parse(json.as_bytes()).unwrap_err();
        assert!(matches!(error, SafetensorsError::ShardName(_)), "{error}");
    }
    for json in [
        r#"{"weight_map":{"a":"a.safetensors","a":"b.safetensors"}}"#,
        r#"{"weight_map":{"a":1}}"#,
        "{}",
        "[]",
    ] {
        let error = Index::parse(json.as_bytes()).unwrap_err();
        assert!(matches!(error, SafetensorsError::Json(_)), "{error}");
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = file(TWO, 16);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(header) = read(&bytes) {
            for tensor in header.tensors {
                prop_assert!(tensor.offset + tensor.bytes <= bytes.len() as u64);
            }
        }
    }
}
