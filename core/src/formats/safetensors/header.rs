use super::super::foreign::{self, BEGIN};
use super::super::gguf::TensorType;
use super::{Keyed, Pairs, SafetensorsError};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of a header (the format's own reader allows no more).
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Dimensions of a tensor; PyTorch allows no more.
const MAX_DIMS: usize = 64;
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

/// What a header's JSON has under a name.
enum Entry {
    Tensor(RawTensor),
    /// Under the one name that is no tensor's.
    Metadata,
}

struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Keyed<'de> for Entry {
    fn read<A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Self, A::Error> {
        Ok(match key == METADATA {
            true => {
                map.next_value::<IgnoredAny>()?;
                Self::Metadata
            }
            false => Self::Tensor(map.next_value_seed(Named(key))?),
        })
    }
}

/// A tensor of this name. What is no tensor takes no memory.
struct Named<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = RawTensor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawTensor, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = RawTensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} to be a tensor of dtype, shape and data_offsets",
            self.0
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawTensor, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<Field>()? {
            match key {
                Field::Dtype => dtype = Some(map.next_value()?),
                Field::Shape => shape = Some(map.next_value::<Shape>()?.0),
                Field::DataOffsets => offsets = Some(map.next_value()?),
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match (dtype, shape, offsets) {
            (Some(dtype), Some(shape), Some(data_offsets)) => Ok(RawTensor {
                dtype,
                shape,
                data_offsets,
            }),
            _ => Err(serde::de::Error::custom(format!(
                "{:?} is no tensor of dtype, shape and data_offsets",
                self.0
            ))),
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Dtype,
    Shape,
    DataOffsets,
    #[serde(other)]
    Other,
}

/// Sizes, no more than any tensor has.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a shape of up to {MAX_DIMS} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = list.next_element()? {
                    if sizes.len() == MAX_DIMS {
                        return Err(serde::de::Error::invalid_length(sizes.len() + 1, &self));
                    }
                    sizes.push(size);
                }
                Ok(Shape(sizes))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
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
        let mut begin = Vec::new();
        (&mut *reader).take(BEGIN as u64).read_to_end(&mut begin)?;
        let length = begin.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        // A header begins with a brace, and says how long it is.
        let starts = begin.get(LENGTH as usize).is_none_or(|byte| *byte == b'{');
        let plausible = length.is_none_or(|length| length <= MAX_HEADER_BYTES);
        if (length.is_none() || !starts || !plausible)
            && let Some(what) = foreign::what(&begin)
            && !what.starts_with("a safetensors file")
        {
            return Err(SafetensorsError::Foreign(what));
        }
        let Some(length) = length else {
            return Err(SafetensorsError::EndedEarly { len });
        };
        if !plausible {
            return Err(SafetensorsError::HeaderLength(length));
        }
        if length > len - LENGTH {
            return Err(SafetensorsError::EndedEarly { len });
        }
        reader.seek(SeekFrom::Start(LENGTH))?;
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
                Entry::Metadata => {}
            }
        }
        let mut order: Vec<&Tensor> = tensors.iter().collect();
        order.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
        let (mut done, mut before) = (begin, "");
        for tensor in order {
            let (first, second) = (before.to_owned(), tensor.name.clone());
            match tensor.offset {
                offset if offset < done => {
                    return Err(SafetensorsError::Overlap { first, second });
                }
                offset if offset > done => {
                    let (begin, end) = (done, offset);
                    return Err(SafetensorsError::Hole { begin, end });
                }
                offset => (done, before) = (offset + tensor.bytes, &tensor.name),
            }
        }
        match done < len {
            true => Err(SafetensorsError::Hole {
                begin: done,
                end: len,
            }),
            false => Ok(Self { tensors }),
        }
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
