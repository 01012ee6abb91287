//! Any bytes as a GGUF file: read whole, read in chunks, and all tensors decoded. Both readers must agree.

#![no_main]

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::formats::gguf::{Gguf, GgufError, GgufStream, StreamEvent};
use periapt_fuzz::formats::quant::dequantize;
use std::io::Cursor;

fuzz_target!(|data: &[u8]| {
    // The first byte says how large the chunks are.
    let Some((size, file)) = data.split_first() else {
        return;
    };
    let mut reader = Cursor::new(file);
    let header = Gguf::read(&mut reader);
    let mut whole = 0;
    if let Ok(gguf) = &header {
        for info in &gguf.tensors {
            if let Ok(bytes) = gguf.read_tensor(&mut reader, info) {
                let elements = info.shape.iter().product();
                // The file holds the tensor, so its elements are at most 32 times the input's bytes.
                let mut values = vec![0.0; elements];
                dequantize(info.dtype, &bytes, &mut values).expect("the header was checked");
                whole += 1;
            }
        }
    }
    let mut stream = GgufStream::new(Some(file.len() as u64));
    let mut streamed = 0;
    let mut result: Result<(), GgufError> = Ok(());
    for chunk in file.chunks(usize::from(*size) + 1) {
        result = stream.push(chunk, &mut |event| {
            match event {
                // In words, since a NaN is not equal to itself.
                StreamEvent::Header(gguf) => {
                    assert_eq!(Some(format!("{gguf:?}")), header.as_ref().ok().map(|header| format!("{header:?}")));
                }
                StreamEvent::Tensor(..) => streamed += 1,
            }
            Ok(())
        });
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() && stream.finish().is_ok() {
        assert_eq!(streamed, whole);
    }
});
