use super::super::gguf::TensorType;
use super::{Pairs, SafetensorsError};
use serde::Deserialize;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of a header (the format's own reader allows no more).
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes of the header's length.
const LENGTH: u64 = 8;
/// The one key of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// A file's header: what tensors it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// In the header's order. Each lies inside the file, apart from the others.
    pub tensors: Vec<Tensor>,
}

/// One tensor's name, type, shape and place.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The name, such as `model.norm.weight`.
    pub name: String,
    /// How the elements are stored.
    pub dtype: Dtype,
    /// Row-major; none for a single number.
    pub shape: Vec<usize>,
    /// Its first byte, in bytes from the file's start.
    pub offset: u64,
    /// How many bytes it takes.
    pub bytes: u64,
}

/// A type of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype {
    /// The format's name for it, such as `BF16`.
    pub name: &'static str,
    /// Bytes of an element.
    size: u64,
}

/// The format's types of whole bytes.
const TYPES: [(&str, u64); 16] = [
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("F8_E5M2", 1),
    ("F8_E4M3", 1),
    ("F8_E8M0", 1),
    ("I16", 2),
    ("U16", 2),
    ("F16", 2),
    ("BF16", 2),
    ("I32", 4),
    ("U32", 4),
    ("F32", 4),
    ("I64", 8),
    ("U64", 8),
    ("F64", 8),
];

impl Dtype {
    fn named(name: &str) -> Option<Self> {
        let (name, size) = *TYPES.iter().find(|(known, _)| *known == name)?;
        Some(Self { name, size })
    }

    /// The type as a GGUF file has it: of F32, F16 and BF16.
    #[must_use]
    pub fn float(self) -> Option<TensorType> {
        match self.name {
            "F32" => Some(TensorType::F32),
            "F16" => Some(TensorType::F16),
            "BF16" => Some(TensorType::BF16),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Tensor(RawTensor),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Header {
    /// Reads the header of the file that begins at `reader`'s first byte.
    ///
    /// # Errors
    ///
    /// [`SafetensorsError`] where the bytes can't be read or are no whole safetensors file.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Self, SafetensorsError> {
        let len = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        if len < LENGTH {
            return Err(SafetensorsError::EndedEarly { len });
        }
        let mut length = [0; LENGTH as usize];
        reader.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES {
            return Err(SafetensorsError::HeaderLength(length));
        }
        if length > len - LENGTH {
            return Err(SafetensorsError::EndedEarly { len });
        }
        let mut json = Vec::new();
        reader.take(length).read_to_end(&mut json)?;
        Self::parse(&json, len)
    }

    /// Parses a header's JSON, that of a file of `len` bytes.
    ///
    /// # Errors
    ///
    /// [`SafetensorsError`] where it is malformed, or a tensor can't lie where it says.
    pub fn parse(json: &[u8], len: u64) -> Result<Self, SafetensorsError> {
        let Pairs(entries) = serde_json::from_slice::<Pairs<Entry>>(json)?;
        let begin = LENGTH + json.len() as u64;
        let mut tensors = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            match entry {
                Entry::Tensor(raw) => tensors.push(raw.placed(name, begin, len)?),
                Entry::Other(_) if name == METADATA => {}
                Entry::Other(_) => {
                    let problem = format!("{name:?} is no tensor of dtype, shape and data_offsets");
                    return Err(<serde_json::Error as serde::de::Error>::custom(problem).into());
                }
            }
        }
        let mut order: Vec<&Tensor> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
        order.sort_by_key(|tensor| tensor.offset);
        for pair in order.windows(2) {
            if pair[0].offset + pair[0].bytes > pair[1].offset {
                return Err(SafetensorsError::Overlap {
                    first: pair[0].name.clone(),
                    second: pair[1].name.clone(),
                });
            }
        }
        Ok(Self { tensors })
    }
}

impl RawTensor {
    /// The tensor, in a file of `len` bytes whose data begin at `begin`.
    fn placed(self, name: String, begin: u64, len: u64) -> Result<Tensor, SafetensorsError> {
        let Some(dtype) = Dtype::named(&self.dtype) else {
            return Err(SafetensorsError::UnknownType {
                tensor: name,
                dtype: self.dtype,
            });
        };
        let (from, to) = self.data_offsets;
        let wanted = self
            .shape
            .iter()
            .try_fold(dtype.size, |bytes, size| bytes.checked_mul(*size));
        // Elements must be countable on this machine too, which may have 32 bits.
        let shape: Option<Vec<usize>> = { self.shape.iter() }
            .map(|size| usize::try_from(*size).ok())
            .collect();
        let countable = wanted.filter(|wanted| usize::try_from(*wanted).is_ok());
        let (Some(bytes), Some(shape), true) = (
            countable,
            shape,
            to.checked_sub(from) == wanted && wanted.is_some(),
        ) else {
            return Err(SafetensorsError::Shape {
                tensor: name,
                shape: self.shape,
                bytes: i128::from(to) - i128::from(from),
            });
        };
        let end = begin.saturating_add(to);
        if end > len {
            return Err(SafetensorsError::BeyondEnd {
                tensor: name,
                end,
                len,
            });
        }
        Ok(Tensor {
            name,
            dtype,
            shape,
            offset: begin + from,
            bytes,
        })
    }
}
