//! Where a model comes from, whatever it lies in: a header such as a GGUF file has, and its tensors' bytes, one
//! tensor at a time.

use super::gguf::{Gguf, GgufError, GgufFiles, Metadata, NewTensor, TensorType, Value};
use super::hub::{Folder, HubError};
use super::quant::{QuantError, dequantize, quantize};
use std::io::{Read, Seek};

/// A model's header and its tensors' bytes.
pub trait Source {
    /// The header.
    fn gguf(&self) -> &Gguf;

    /// The bytes of the tensor with that index in the header.
    ///
    /// # Errors
    ///
    /// [`SourceError`] where they can't be had.
    fn read(&mut self, index: usize) -> Result<Vec<u8>, SourceError>;
}

/// Why a model can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A GGUF file's fault.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A hub folder's fault.
    #[error(transparent)]
    Hub(Box<HubError>),
    /// A tensor's elements can't be stored as asked for.
    #[error("tensor {tensor}: {source}")]
    Quant {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        source: QuantError,
    },
    /// A tensor is quantized already.
    #[error(
        "tensor {tensor} is {dtype} already, and quantizing it again would lose more than {to} says; take the model's \
         F16, BF16 or F32 file"
    )]
    Quantized {
        /// The tensor's name.
        tensor: String,
        /// Its type.
        dtype: TensorType,
        /// The type asked for.
        to: TensorType,
    },
}

impl From<HubError> for SourceError {
    fn from(error: HubError) -> Self {
        Self::Hub(Box::new(error))
    }
}

impl<R: Read + Seek> Source for GgufFiles<R> {
    fn gguf(&self) -> &Gguf {
        self.gguf()
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, SourceError> {
        Ok(self.read(index)?)
    }
}

impl<R: Read + Seek> Source for Folder<R> {
    fn gguf(&self) -> &Gguf {
        self.gguf()
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, SourceError> {
        Ok(self.read(index)?)
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn gguf(&self) -> &Gguf {
        (**self).gguf()
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, SourceError> {
        (**self).read(index)
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn gguf(&self) -> &Gguf {
        (**self).gguf()
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, SourceError> {
        (**self).read(index)
    }
}

/// A model with its matrices in another type. Norms and biases stay as they are, as do a matrix whose rows don't fill
/// the type's blocks and a classifier's head, which is one row.
#[derive(Debug)]
pub struct Requantized<S> {
    inner: S,
    gguf: Gguf,
}

impl<S: Source> Requantized<S> {
    /// `inner` with its matrices in `to`.
    ///
    /// # Errors
    ///
    /// [`SourceError::Quantized`] where a matrix is in another type than that and in none of F32, F16 and BF16.
    pub fn new(inner: S, to: TensorType) -> Result<Self, SourceError> {
        let mut tensors = Vec::new();
        for info in &inner.gguf().tensors {
            let mut tensor = NewTensor::from(info);
            if let [_, inputs] = *info.shape
                && inputs.is_multiple_of(to.block_size())
                && info.name != CLASSES
                && info.dtype != to
            {
                if info.dtype.block_size() > 1 {
                    return Err(SourceError::Quantized {
                        tensor: tensor.name,
                        dtype: info.dtype,
                        to,
                    });
                }
                tensor.dtype = to;
            }
            tensors.push(tensor);
        }
        let mut metadata = inner.gguf().metadata.clone();
        set_file_type(&mut metadata, to);
        Ok(Self {
            gguf: Gguf::new(&metadata, &tensors)?,
            inner,
        })
    }
}

/// The head of a classifier.
const CLASSES: &str = "cls.output.weight";

/// Elements that are converted at once: whole blocks of every type.
const PIECE: usize = 1 << 16;

impl<S: Source> Source for Requantized<S> {
    fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    fn read(&mut self, index: usize) -> Result<Vec<u8>, SourceError> {
        let bytes = self.inner.read(index)?;
        let (from, to) = (&self.inner.gguf().tensors[index], &self.gguf.tensors[index]);
        convert(bytes, from.dtype, to.dtype).map_err(|source| SourceError::Quant {
            tensor: to.name.clone(),
            source,
        })
    }
}

/// `bytes` of elements of the type `from` as such of `to`, a piece at a time.
pub(super) fn convert(
    bytes: Vec<u8>,
    from: TensorType,
    to: TensorType,
) -> Result<Vec<u8>, QuantError> {
    if from == to {
        return Ok(bytes);
    }
    let elements = bytes.len() / from.block_bytes() * from.block_size();
    let mut out = Vec::with_capacity(elements / to.block_size() * to.block_bytes());
    let mut values = Vec::new();
    for (number, piece) in bytes
        .chunks(PIECE / from.block_size() * from.block_bytes())
        .enumerate()
    {
        values.resize(piece.len() / from.block_bytes() * from.block_size(), 0.0);
        dequantize(from, piece, &mut values)?;
        out.extend(quantize(to, &values).map_err(|error| match error {
            QuantError::OutOfRange {
                dtype,
                index,
                value,
            } => QuantError::OutOfRange {
                dtype,
                index: number * PIECE + index,
                value,
            },
            other => other,
        })?);
    }
    Ok(out)
}

/// Says in the metadata what type most matrices have (ggml's `llama_ftype`).
pub(super) fn set_file_type(metadata: &mut Metadata, dtype: TensorType) {
    let number = match dtype {
        TensorType::F32 => 0,
        TensorType::F16 => 1,
        TensorType::Q4_0 => 2,
        TensorType::Q4_1 => 3,
        TensorType::Q8_0 => 7,
        TensorType::Q5_0 => 8,
        TensorType::Q5_1 => 9,
        TensorType::BF16 => 32,
        #[allow(unreachable_patterns, reason = "types that are only read")]
        _ => return,
    };
    let mut set = |key: &str, number| metadata.insert(key.to_owned(), Value::U32(number));
    set("general.file_type", number);
    set("general.quantization_version", 2);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::gguf::GgufWriter;
    use super::*;
    use std::io::Cursor;

    fn source(dtype: TensorType, width: usize) -> GgufFiles<Cursor<Vec<u8>>> {
        let values = |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 31) as f32).collect() };
        let mut file = Vec::new();
        let matrix = quantize(dtype, &values(3 * width)).unwrap();
        let norm = quantize(TensorType::F32, &values(width)).unwrap();
        GgufWriter::new()
            .tensor("a.weight", [3, width], dtype, matrix.clone())
            .tensor("norm.weight", [width], TensorType::F32, norm)
            .tensor(CLASSES, [3, width], dtype, matrix)
            .write(&mut file)
            .unwrap();
        GgufFiles::one(Cursor::new(file)).unwrap()
    }

    /// Larger than a piece, and the last piece is not full.
    #[test]
    fn matrices_change_their_type_and_nothing_else_does() {
        let width = 64 * 1024 + 32;
        for (from, to) in [
            (TensorType::F32, TensorType::Q8_0),
            (TensorType::BF16, TensorType::Q4_0),
            (TensorType::F16, TensorType::F32),
        ] {
            let (mut plain, mut other) = (
                source(from, width),
                Requantized::new(source(from, width), to).unwrap(),
            );
            let types: Vec<_> = other.gguf().tensors.iter().map(|info| info.dtype).collect();
            assert_eq!(types, [to, TensorType::F32, from]);
            for index in [1, 2] {
                let same = other.read(index).unwrap();
                assert_eq!(same, plain.read(index).unwrap());
            }
            let mut values = vec![0.0; 3 * width];
            dequantize(from, &plain.read(0).unwrap(), &mut values).unwrap();
            assert_eq!(other.read(0).unwrap(), quantize(to, &values).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_quantized_is_kept_or_refused() {
        let narrow = Requantized::new(source(TensorType::F32, 33), TensorType::Q8_0).unwrap();
        assert_eq!(narrow.gguf().tensors[0].dtype, TensorType::F32);
        let again = Requantized::new(source(TensorType::Q4_0, 64), TensorType::Q8_0);
        let error = again.unwrap_err().to_string();
        assert!(error.contains("a.weight is Q4_0 already"), "{error}");
    }
}
