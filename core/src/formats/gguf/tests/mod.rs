#![allow(clippy::unwrap_used)]

mod properties;
mod refusals;

use super::*;
use std::io::Cursor;

/// A header made of raw parts, for files that the writer would refuse.
#[derive(Default)]
struct RawHeader {
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
}

impl RawHeader {
    fn key(mut self, key: &str, type_id: u32, value: &[u8]) -> Self {
        self.keys
            .push([&string(key.as_bytes())[..], &type_id.to_le_bytes(), value].concat());
        self
    }

    /// `ne` as in the file: the row's length first.
    fn tensor(mut self, name: &str, ne: &[u64], type_id: u32, offset: u64) -> Self {
        let mut bytes = string(name.as_bytes());
        bytes.extend((ne.len() as u32).to_le_bytes());
        bytes.extend(ne.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend(type_id.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        self.tensors.push(bytes);
        self
    }

    /// The file, with 1024 bytes of tensors' data.
    fn bytes(self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32) + 1024, 0);
        bytes
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

fn read(bytes: &[u8]) -> Result<Gguf, GgufError> {
    Gguf::read(&mut Cursor::new(bytes))
}

/// Each tensor's name and bytes.
type Tensors = Vec<(String, Vec<u8>)>;

/// The header and each tensor's name and bytes, from chunks of the sizes in `sizes`, over and over.
fn stream(bytes: &[u8], len: Option<u64>, sizes: &[usize]) -> Result<(Gguf, Tensors), GgufError> {
    let mut stream = GgufStream::new(len);
    let (mut header, mut tensors) = (None, Vec::new());
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        stream.push::<GgufError>(chunk, &mut |event| {
            match event {
                StreamEvent::Header(gguf) => {
                    assert!(header.replace(gguf.clone()).is_none());
                }
                StreamEvent::Tensor(gguf, info, bytes) => {
                    assert_eq!(Some(gguf), header.as_ref());
                    tensors.push((info.name.clone(), bytes.to_vec()));
                }
            }
            Ok(())
        })?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    stream.finish()?;
    Ok((header.unwrap(), tensors))
}

fn written(writer: &GgufWriter) -> Vec<u8> {
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    bytes
}

/// Two tensors and a key.
fn small() -> GgufWriter {
    let mut writer = GgufWriter::new();
    writer
        .metadata("general.architecture", Value::String("llama".to_owned()))
        .tensor("a", [3], TensorType::F32, [1; 12])
        .tensor("b.weight", [2, 64], TensorType::Q4_0, [2; 72]);
    writer
}

#[test]
fn what_is_written_is_read() {
    let bytes = written(&small());
    let gguf = read(&bytes).unwrap();
    assert_eq!(gguf.version, 3);
    assert_eq!(gguf.alignment, 32);
    assert_eq!(gguf.data_offset % 32, 0);
    assert_eq!(gguf.metadata.str("general.architecture").unwrap(), "llama");
    let info = gguf.tensor("b.weight").unwrap();
    assert_eq!(
        *info,
        TensorInfo {
            name: "b.weight".to_owned(),
            shape: vec![2, 64],
            dtype: TensorType::Q4_0,
            offset: gguf.data_offset + 32,
            bytes: 72,
        }
    );
    let mut reader = Cursor::new(&bytes);
    assert_eq!(gguf.read_tensor(&mut reader, info).unwrap(), [2; 72]);
    assert_eq!(gguf.tensor("c"), None);
}

#[test]
fn the_layout_is_the_specifications() {
    let bytes = RawHeader::default()
        .key("k", 4, &7_u32.to_le_bytes())
        .tensor("t", &[32, 2], 8, 64)
        .bytes();
    let expected = [
        &b"GGUF\x03\0\0\0"[..],
        b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
        b"\x01\0\0\0\0\0\0\0k\x04\0\0\0\x07\0\0\0",
        b"\x01\0\0\0\0\0\0\0t\x02\0\0\0\x20\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x08\0\0\0\x40\0\0\0\0\0\0\0",
    ]
    .concat();
    assert_eq!(bytes[..expected.len()], expected);
    let gguf = read(&bytes).unwrap();
    assert_eq!(gguf.metadata.get("k"), Some(&Value::U32(7)));
    assert_eq!(gguf.data_offset, 96);
    let info = &gguf.tensors[0];
    assert_eq!(
        (&info.shape[..], info.offset, info.bytes),
        (&[2, 32][..], 160, 68)
    );
    // Version 2 is laid out the same.
    let mut second = bytes.clone();
    second[4] = 2;
    assert_eq!(read(&second).unwrap().tensors, gguf.tensors);
    assert_eq!(stream(&bytes, None, &[1]).unwrap().0, gguf);
}

#[test]
fn tensors_come_in_the_order_of_their_bytes() {
    let bytes = RawHeader::default()
        .tensor("late", &[8], 0, 512)
        .tensor("early", &[8], 0, 64)
        .bytes();
    let (gguf, tensors) = stream(&bytes, None, &[40]).unwrap();
    assert_eq!(gguf.tensors[0].name, "late");
    assert_eq!(tensors[0].0, "early");
    assert_eq!(tensors[1].0, "late");
}

#[test]
fn a_failed_stream_stays_failed() {
    let bytes = written(&small());
    let mut stream = GgufStream::new(None);
    let mut events = 0;
    let mut refuse = |_: StreamEvent<'_>| {
        events += 1;
        Err(GgufError::BigEndian)
    };
    assert!(matches!(
        stream.push(&bytes, &mut refuse),
        Err(GgufError::BigEndian)
    ));
    assert!(matches!(
        stream.push(&bytes, &mut refuse),
        Err(GgufError::StreamFailed)
    ));
    assert!(matches!(stream.finish(), Err(GgufError::StreamFailed)));
    assert_eq!(events, 1);
}

#[test]
fn bytes_after_the_last_tensor_are_ignored() {
    let bytes = [written(&small()), vec![9; 100]].concat();
    assert_eq!(stream(&bytes, None, &[13]).unwrap().1.len(), 2);
    let empty = written(&GgufWriter::new());
    assert_eq!(read(&empty).unwrap().tensors, []);
    // The padding after the header may be missing where no tensor follows.
    assert_eq!(stream(&empty[..24], Some(24), &[1]).unwrap().1, []);
    assert!(read(&empty[..24]).is_ok());
}

#[test]
fn getters_say_what_is_there() {
    let mut writer = GgufWriter::new();
    writer
        .metadata("n", Value::I64(-1))
        .metadata("big", Value::U64(1 << 32))
        .metadata("fit", Value::I64(7))
        .metadata("real", Value::F64(0.5))
        .metadata("bit", Value::Bool(true))
        .metadata("words", Value::Array(Array::Strings(vec!["a".to_owned()])))
        .metadata("floats", Value::Array(Array::F32(vec![1.5])))
        .metadata("ints", Value::Array(Array::I32(vec![-3, 4])));
    let meta = read(&written(&writer)).unwrap().metadata;
    assert_eq!(meta.u32("fit").unwrap(), 7);
    assert_eq!(meta.f32("real").unwrap(), 0.5);
    assert!(meta.bool("bit").unwrap());
    assert_eq!(meta.strings("words").unwrap(), ["a"]);
    assert_eq!(meta.f32s("floats").unwrap(), [1.5]);
    assert_eq!(meta.opt_i32s("ints").unwrap(), Some(vec![-3, 4]));
    assert_eq!(meta.opt_str("none").unwrap(), None);
    for (error, message) in [
        (
            meta.u32("n").unwrap_err(),
            "metadata n is I64 -1; a whole number",
        ),
        (
            meta.opt_u32("big").unwrap_err(),
            "metadata big is U64 4294967296; a whole number",
        ),
        (
            meta.str("bit").unwrap_err(),
            "metadata bit is BOOL; a string is needed",
        ),
        (
            meta.f32("bit").unwrap_err(),
            "metadata bit is BOOL; a number",
        ),
        (
            meta.strings("ints").unwrap_err(),
            "metadata ints is an array of 2 I32; an array of st",
        ),
        (
            meta.str("none").unwrap_err(),
            "the file's metadata has no none",
        ),
    ] {
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

/// https://github.com/ggml-org/llama.cpp/issues/13557 (a tool makes every integer I32),
/// https://github.com/EricLBuehler/mistral.rs/pull/2215 (types of tokens in U32 and I64),
/// https://github.com/ollama/ollama/pull/1245, https://github.com/lucasjinreal/Crane/issues/127 (a value for each layer).
#[test]
fn numbers_of_other_types_say_the_same() {
    let number = |value: Value| {
        let mut meta = Metadata::default();
        meta.insert("n".to_owned(), value);
        meta
    };
    for value in [
        Value::U8(7),
        Value::I8(7),
        Value::U16(7),
        Value::I16(7),
        Value::U32(7),
        Value::I32(7),
        Value::U64(7),
        Value::I64(7),
        Value::F32(7.0),
        Value::F64(7.0),
        Value::Array(Array::I32(vec![7; 3])),
    ] {
        let meta = number(value);
        assert_eq!(meta.u32("n").unwrap(), 7);
        assert_eq!(meta.f32("n").unwrap(), 7.0);
        assert_eq!(meta.opt_id("n").unwrap(), Some(7));
    }
    for value in [
        Value::F32(7.5),
        Value::F64(f64::NAN),
        Value::F64(1e300),
        Value::String("7".to_owned()),
        Value::Bool(true),
        Value::Array(Array::I32(vec![7, 8])),
        Value::Array(Array::I32(vec![])),
    ] {
        let meta = number(value);
        let error = meta.u32("n").unwrap_err().to_string();
        assert!(error.starts_with("metadata n is "), "{error}");
    }
    for (value, bit) in [
        (Value::U8(1), true),
        (Value::I32(0), false),
        (Value::U64(1), true),
        (Value::Bool(false), false),
    ] {
        assert_eq!(number(value).bool("n").unwrap(), bit);
    }
    assert!(number(Value::U8(2)).bool("n").is_err());
    for array in [
        Array::U8(vec![1, 3]),
        Array::I8(vec![1, 3]),
        Array::U16(vec![1, 3]),
        Array::I16(vec![1, 3]),
        Array::U32(vec![1, 3]),
        Array::U64(vec![1, 3]),
        Array::I64(vec![1, 3]),
        Array::F32(vec![1.0, 3.0]),
    ] {
        let meta = number(Value::Array(array));
        assert_eq!(meta.i32s("n").unwrap(), [1, 3]);
        assert_eq!(meta.f32s("n").unwrap(), [1.0, 3.0]);
        assert_eq!(meta.opt_ids("n").unwrap(), [1, 3]);
    }
    // An empty list has whatever type its writer gave it.
    let empty = number(Value::Array(Array::I32(vec![])));
    assert!(empty.strings("n").unwrap().is_empty() && empty.f32s("n").unwrap().is_empty());
    // Ids that no token has say that there is none.
    for value in [
        Value::I32(-1),
        Value::I64(1 << 40),
        Value::Array(Array::I32(vec![])),
    ] {
        assert_eq!(number(value).opt_id("n").unwrap(), None);
    }
    assert!(number(Value::String("x".to_owned())).opt_id("n").is_err());
}
