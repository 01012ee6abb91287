//! What holds of any file.

use super::*;
use proptest::prelude::*;

fn arb_array() -> impl Strategy<Value = Array> {
    use prop::collection::vec;
    let leaf = prop_oneof![
        vec(any::<u8>(), 0..9).prop_map(Array::U8),
        vec(any::<i8>(), 0..9).prop_map(Array::I8),
        vec(any::<u16>(), 0..9).prop_map(Array::U16),
        vec(any::<i16>(), 0..9).prop_map(Array::I16),
        vec(any::<u32>(), 0..9).prop_map(Array::U32),
        vec(any::<i32>(), 0..9).prop_map(Array::I32),
        vec(any::<u64>(), 0..9).prop_map(Array::U64),
        vec(any::<i64>(), 0..9).prop_map(Array::I64),
        vec(any::<f32>(), 0..9).prop_map(Array::F32),
        vec(any::<f64>(), 0..9).prop_map(Array::F64),
        vec(any::<bool>(), 0..9).prop_map(Array::Bool),
        vec("\\PC{0,8}", 0..9).prop_map(Array::Strings),
    ];
    leaf.prop_recursive(MAX_ARRAY_DEPTH - 1, 16, 4, |inner| {
        vec(inner, 0..4).prop_map(Array::Nested)
    })
}

fn arb_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        "\\PC{0,20}".prop_map(Value::String),
        arb_array().prop_map(Value::Array),
    ]
}

prop_compose! {
    fn arb_file()(
        alignment in prop::sample::select(vec![8_u32, 32, 64, 256]),
        keys in prop::collection::btree_map("[a-z._]{1,12}", arb_value(), 0..8),
        tensors in prop::collection::btree_map(
            "[a-z._]{1,20}",
            (prop::sample::select(&TensorType::ALL[..]), prop::collection::vec(1_usize..4, 0..3), any::<u8>()),
            0..6,
        ),
    ) -> (GgufWriter, Metadata, Vec<(String, Vec<usize>, TensorType, Vec<u8>)>) {
        let mut writer = GgufWriter::new();
        let mut metadata = Metadata::default();
        let alignment = [("general.alignment".to_owned(), Value::U32(alignment))];
        for (key, value) in keys.into_iter().chain(alignment) {
            metadata.insert(key.clone(), value.clone());
            writer.metadata(key, value);
        }
        let mut expected = Vec::new();
        for (name, (dtype, mut shape, fill)) in tensors {
            shape.push(2 * dtype.block_size());
            let blocks = shape.iter().product::<usize>() / dtype.block_size();
            let bytes = vec![fill; blocks * dtype.block_bytes()];
            writer.tensor(&name, &shape[..], dtype, &bytes[..]);
            expected.push((name, shape, dtype, bytes));
        }
        (writer, metadata, expected)
    }
}

proptest! {
    #[test]
    fn any_file_is_read_back_from_any_chunks(
        (writer, metadata, expected) in arb_file(),
        sizes in prop::collection::vec(1_usize..200, 1..8),
        known in any::<bool>(),
    ) {
        let bytes = written(&writer);
        let gguf = read(&bytes).unwrap();
        prop_assert_eq!(&gguf.metadata, &metadata);
        let mut reader = Cursor::new(&bytes);
        let got: Vec<_> = gguf.tensors.iter().map(|info| {
            let bytes = gguf.read_tensor(&mut reader, info).unwrap();
            (info.name.clone(), info.shape.clone(), info.dtype, bytes)
        }).collect();
        prop_assert_eq!(&got, &expected);
        let len = known.then_some(bytes.len() as u64);
        let (header, tensors) = stream(&bytes, len, &sizes).unwrap();
        prop_assert_eq!(header, gguf);
        let expected: Vec<_> = expected.into_iter().map(|(name, _, _, bytes)| (name, bytes)).collect();
        prop_assert_eq!(tensors, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), small_counts in any::<bool>()) {
        // Half of them get past the magic number, the version and the counts.
        if small_counts && bytes.len() > 24 {
            bytes[..24].copy_from_slice(b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        }
        let read = read(&bytes);
        let streamed = stream(&bytes, Some(bytes.len() as u64), &[11]);
        prop_assert_eq!(read.is_ok(), streamed.is_ok());
    }
}
