use super::error::GgufError;
use super::header::{HeaderParser, MAGIC, VERSIONS};
use super::layout;
use super::metadata::{Array, Metadata, Value};
use super::tensor_type::TensorType;
use std::io::{Read, Write};

/// Writes a GGUF file of the newest version that we read, all tensors held in memory.
#[derive(Debug, Clone, Default)]
pub struct GgufWriter {
    metadata: Metadata,
    tensors: Vec<NewTensor>,
}

#[derive(Debug, Clone)]
struct NewTensor {
    name: String,
    /// Row-major.
    shape: Vec<usize>,
    dtype: TensorType,
    bytes: Vec<u8>,
}

impl GgufWriter {
    /// A file with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a metadata key; a key set before gets the new value. `general.alignment` is heeded.
    pub fn metadata(&mut self, key: impl Into<String>, value: Value) -> &mut Self {
        self.metadata.insert(key.into(), value);
        self
    }

    /// Adds a tensor of a row-major shape (a weight is `[out, in]`), its bytes as the type lays
    /// them out ([`crate::formats::quant::quantize`] makes them).
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        dtype: TensorType,
        bytes: impl Into<Vec<u8>>,
    ) -> &mut Self {
        self.tensors.push(NewTensor {
            name: name.into(),
            shape: shape.into(),
            dtype,
            bytes: bytes.into(),
        });
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// [`GgufError`] where a tensor's bytes are not what its shape needs, where our own reader
    /// would refuse the header, or where the bytes can't be written.
    pub fn write(&self, out: &mut impl Write) -> Result<(), GgufError> {
        let alignment = layout::alignment(&self.metadata)?;
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSIONS[1].to_le_bytes());
        put_len(&mut header, self.tensors.len());
        put_len(&mut header, self.metadata.iter().count());
        for (key, value) in self.metadata.iter() {
            put_string(&mut header, key);
            put_value(&mut header, value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            let bytes = tensor.checked_bytes()?;
            put_string(&mut header, &tensor.name);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                header.extend((*size as u64).to_le_bytes());
            }
            header.extend(tensor.dtype.id().to_le_bytes());
            header.extend(u64::to_le_bytes(offset));
            offset = (offset + bytes).next_multiple_of(alignment);
        }
        if let Some(Err(error)) = HeaderParser::new(None).push(&header) {
            return Err(error);
        }
        let parts = std::iter::once(&header).chain(self.tensors.iter().map(|tensor| &tensor.bytes));
        for part in parts {
            let len = part.len() as u64;
            let padding = len.next_multiple_of(alignment) - len;
            out.write_all(part)?;
            std::io::copy(&mut std::io::repeat(0).take(padding), out)?;
        }
        Ok(())
    }
}

impl NewTensor {
    /// How many bytes it has, which are as many as its shape and type need.
    fn checked_bytes(&self) -> Result<u64, GgufError> {
        let shape: Vec<u64> = self.shape.iter().map(|size| *size as u64).collect();
        let wanted = match layout::tensor_bytes(self.dtype, &shape) {
            Ok(bytes) => bytes,
            Err(problem) => {
                return Err(GgufError::Shape {
                    tensor: self.name.clone(),
                    shape,
                    problem,
                });
            }
        };
        let got = self.bytes.len() as u64;
        match got == wanted {
            true => Ok(got),
            false => Err(GgufError::WrongBytes {
                tensor: self.name.clone(),
                got,
                wanted,
            }),
        }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as u64).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, string: &str) {
    put_len(out, string.len());
    out.extend(string.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    out.extend(value.type_id().to_le_bytes());
    match value {
        Value::U8(n) => out.extend(n.to_le_bytes()),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F32(n) => out.extend(n.to_le_bytes()),
        Value::F64(n) => out.extend(n.to_le_bytes()),
        Value::Bool(bit) => out.push(u8::from(*bit)),
        Value::String(string) => put_string(out, string),
        Value::Array(array) => put_array(out, array),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.element_type_id().to_le_bytes());
    put_len(out, array.len());
    match array {
        Array::U8(numbers) => out.extend(numbers),
        Array::I8(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::U16(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::I16(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::U32(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::I32(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::U64(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::I64(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::F32(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::F64(numbers) => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Array::Bool(bits) => out.extend(bits.iter().map(|bit| u8::from(*bit))),
        Array::Strings(strings) => strings.iter().for_each(|string| put_string(out, string)),
        Array::Nested(arrays) => arrays.iter().for_each(|array| put_array(out, array)),
    }
}
