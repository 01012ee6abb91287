use super::error::GgufError;
use super::header::{HeaderParser, MAGIC, VERSIONS};
use super::layout;
use super::metadata::{Array, Metadata, Value};
use super::tensor_type::TensorType;
use super::{Gguf, TensorInfo};
use std::borrow::Cow;
use std::io::{Read, Write};

/// What is to be known of a tensor before its bytes are.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// Row-major: a weight is `[out, in]`.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub dtype: TensorType,
}

impl Gguf {
    /// The header of a file of these metadata (`general.alignment` is heeded) and tensors, which lie one after the
    /// other: of the newest version that we read.
    ///
    /// # Errors
    ///
    /// [`GgufError`] where our own reader would refuse the header.
    pub fn new(metadata: &Metadata, tensors: &[NewTensor]) -> Result<Self, GgufError> {
        let header = encode(metadata, tensors)?;
        HeaderParser::new(None).push(&header).unwrap_or_else(|| {
            Err(GgufError::EndedEarly {
                len: header.len() as u64,
                place: "the header".to_owned(),
            })
        })
    }

    /// Writes a file of this header's metadata and tensors, in the header's order; `bytes` is asked for one tensor
    /// after the other, by its index.
    ///
    /// # Errors
    ///
    /// What `bytes` returns, or [`GgufError`] where the bytes are not as many as the tensor has, or can't be written.
    pub fn write<'a, E: From<GgufError>>(
        &self,
        out: &mut impl Write,
        bytes: &mut dyn FnMut(usize) -> Result<Cow<'a, [u8]>, E>,
    ) -> Result<(), E> {
        let tensors: Vec<NewTensor> = self.tensors.iter().map(NewTensor::from).collect();
        put_padded(out, &encode(&self.metadata, &tensors)?, self.alignment)?;
        for (index, info) in self.tensors.iter().enumerate() {
            let bytes = bytes(index)?;
            info.check_bytes(&bytes)?;
            put_padded(out, &bytes, self.alignment)?;
        }
        Ok(())
    }
}

impl TensorInfo {
    /// An error where `bytes` are not as many as the tensor has.
    fn check_bytes(&self, bytes: &[u8]) -> Result<(), GgufError> {
        let got = bytes.len() as u64;
        match got == self.bytes {
            true => Ok(()),
            false => Err(GgufError::WrongBytes {
                tensor: self.name.clone(),
                got,
                wanted: self.bytes,
            }),
        }
    }
}

impl From<&TensorInfo> for NewTensor {
    fn from(info: &TensorInfo) -> Self {
        Self {
            name: info.name.clone(),
            shape: info.shape.clone(),
            dtype: info.dtype,
        }
    }
}

/// Writes a small GGUF file, all tensors held in memory.
#[derive(Debug, Clone, Default)]
pub struct GgufWriter {
    metadata: Metadata,
    tensors: Vec<NewTensor>,
    bytes: Vec<Vec<u8>>,
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
        });
        self.bytes.push(bytes.into());
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// [`GgufError`] where a tensor's bytes are not what its shape needs, where our own reader
    /// would refuse the header, or where the bytes can't be written.
    pub fn write(&self, out: &mut impl Write) -> Result<(), GgufError> {
        let gguf = Gguf::new(&self.metadata, &self.tensors)?;
        for (info, bytes) in gguf.tensors.iter().zip(&self.bytes) {
            info.check_bytes(bytes)?;
        }
        gguf.write(out, &mut |index| Ok(Cow::Borrowed(&self.bytes[index][..])))
    }
}

impl NewTensor {
    /// How many bytes its shape and type need.
    fn bytes(&self) -> Result<u64, GgufError> {
        let shape: Vec<u64> = self.shape.iter().map(|size| *size as u64).collect();
        layout::tensor_bytes(self.dtype, &shape).map_err(|problem| GgufError::Shape {
            tensor: self.name.clone(),
            shape,
            problem,
        })
    }
}

/// The header's bytes, up to the last tensor's place.
fn encode(metadata: &Metadata, tensors: &[NewTensor]) -> Result<Vec<u8>, GgufError> {
    let alignment = layout::alignment(metadata)?;
    let mut header = Vec::new();
    header.extend(MAGIC);
    header.extend(VERSIONS[1].to_le_bytes());
    put_len(&mut header, tensors.len());
    put_len(&mut header, metadata.iter().count());
    for (key, value) in metadata.iter() {
        put_string(&mut header, key);
        put_value(&mut header, value);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        put_string(&mut header, &tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        for size in tensor.shape.iter().rev() {
            header.extend((*size as u64).to_le_bytes());
        }
        header.extend(tensor.dtype.id().to_le_bytes());
        header.extend(offset.to_le_bytes());
        // Far below 2^64: there are at most 2^16 tensors of at most 2^40 bytes, or the reader refuses them.
        offset = offset.saturating_add(tensor.bytes()?.next_multiple_of(alignment));
    }
    Ok(header)
}

fn put_padded(out: &mut impl Write, part: &[u8], alignment: u64) -> Result<(), GgufError> {
    let len = part.len() as u64;
    let padding = len.next_multiple_of(alignment) - len;
    out.write_all(part)?;
    std::io::copy(&mut std::io::repeat(0).take(padding), out)?;
    Ok(())
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as u64).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, string: impl AsRef<[u8]>) {
    put_len(out, string.as_ref().len());
    out.extend(string.as_ref());
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
        Value::Bytes(bytes) => put_string(out, bytes),
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
        Array::Bytes(strings) => strings.iter().for_each(|string| put_string(out, string)),
        Array::Nested(arrays) => arrays.iter().for_each(|array| put_array(out, array)),
    }
}
