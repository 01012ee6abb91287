use super::super::foreign;
use super::Gguf;
use super::error::GgufError;
use super::input::{Input, check_limit};
use super::layout::{self, RawTensor};
use super::limits::*;
use super::metadata::{Array, Metadata, Value, value_type};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The versions that we read; they share one layout.
pub(super) const VERSIONS: [u32; 2] = [2, 3];

pub(super) const MAGIC: [u8; 4] = *b"GGUF";

type Parse<T> = Pin<Box<dyn Future<Output = Result<T, GgufError>> + Send>>;

/// Parses a header whose bytes come in chunks. The parser is an `async fn` that waits wherever
/// bytes are missing, so that each byte is parsed once whatever the chunks are, and a chunk's
/// last byte can be the header's last.
pub(super) struct HeaderParser {
    input: Input,
    parse: Parse<Gguf>,
}

impl HeaderParser {
    /// A parser of a file of `len` bytes, where that is known.
    pub(super) fn new(len: Option<u64>) -> Self {
        let input = Input::new(len);
        let parse = Box::pin(header(input.clone()));
        Self { input, parse }
    }

    /// Takes the next bytes; the header, or what is wrong with it, as soon as they show it. After
    /// that it must not be called again.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Option<Result<Gguf, GgufError>> {
        self.input.extend(chunk);
        let mut context = Context::from_waker(Waker::noop());
        match self.parse.as_mut().poll(&mut context) {
            Poll::Ready(header) => Some(header),
            Poll::Pending => None,
        }
    }

    /// Bytes pushed so far.
    pub(super) fn received(&self) -> u64 {
        self.input.position() + self.unread() as u64
    }

    /// How many of the last bytes pushed come after the header.
    pub(super) fn unread(&self) -> usize {
        self.input.available()
    }
}

impl fmt::Debug for HeaderParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderParser")
            .field("received", &self.received())
            .finish_non_exhaustive()
    }
}

async fn header(input: Input) -> Result<Gguf, GgufError> {
    const PLACE: &str = "the header";
    // Named by as much of it as there is, before it is said that the header is not.
    let begin = input.begin().await;
    if !begin.starts_with(&MAGIC) && !MAGIC.starts_with(&begin) {
        let unknown = || {
            let four = &begin[..begin.len().min(4)];
            format!("of a kind unknown here: it begins with {four:02x?}, and not with \"GGUF\"")
        };
        return Err(GgufError::Foreign(
            foreign::what(&begin).unwrap_or_else(unknown),
        ));
    }
    input.array::<4>(PLACE).await?;
    let version = input.u32(PLACE).await?;
    if !VERSIONS.contains(&version) {
        return Err(match VERSIONS.contains(&version.swap_bytes()) {
            true => GgufError::BigEndian,
            false => GgufError::Version(version),
        });
    }
    let tensors = input.u64(PLACE).await?;
    check_limit(PLACE, "a number of tensors", tensors, MAX_TENSORS)?;
    let keys = input.u64(PLACE).await?;
    check_limit(PLACE, "a number of metadata keys", keys, MAX_METADATA)?;

    let mut metadata = Metadata::default();
    for index in 0..keys {
        let place = format!("metadata key {index}");
        let key = input.string(&place, MAX_KEY_BYTES).await?;
        // None that anybody asks for; two such may become one.
        let key = key.unwrap_or_else(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let place = format!("metadata {key}");
        let value = value(&input, &place).await?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(GgufError::Duplicate {
                what: "metadata key",
                name: key,
            });
        }
    }
    let alignment = layout::alignment(&metadata)?;
    let mut infos = Vec::new();
    for index in 0..tensors {
        infos.push(layout::tensor_info(
            raw_tensor(&input, index).await?,
            alignment,
        )?);
    }
    let data_offset = input.position().next_multiple_of(alignment);
    layout::place(&mut infos, data_offset, input.len())?;
    Ok(Gguf {
        version,
        metadata,
        tensors: infos,
        data_offset,
        alignment,
    })
}

async fn raw_tensor(input: &Input, index: u64) -> Result<RawTensor, GgufError> {
    let place = format!("the name of tensor {index}");
    let name = input.string(&place, MAX_TENSOR_NAME_BYTES).await?;
    let name = name.map_err(|_| GgufError::Invalid {
        place: place.clone(),
        wanted: "UTF-8",
    })?;
    let place = format!("tensor {name}");
    let count = input.u32(&place).await?;
    check_limit(
        &place,
        "a number of dimensions",
        count.into(),
        MAX_DIMS.into(),
    )?;
    let mut shape = Vec::new();
    for _ in 0..count {
        shape.insert(0, input.u64(&place).await?);
    }
    Ok(RawTensor {
        name,
        shape,
        dtype: input.u32(&place).await?,
        offset: input.u64(&place).await?,
    })
}

async fn value(input: &Input, place: &str) -> Result<Value, GgufError> {
    macro_rules! number {
        ($kind:ident, $type:ty) => {
            Value::$kind(<$type>::from_le_bytes(input.array(place).await?))
        };
    }
    let id = input.u32(place).await?;
    Ok(match id {
        value_type::U8 => number!(U8, u8),
        value_type::I8 => number!(I8, i8),
        value_type::U16 => number!(U16, u16),
        value_type::I16 => number!(I16, i16),
        value_type::U32 => number!(U32, u32),
        value_type::I32 => number!(I32, i32),
        value_type::U64 => number!(U64, u64),
        value_type::I64 => number!(I64, i64),
        value_type::F32 => number!(F32, f32),
        value_type::F64 => number!(F64, f64),
        value_type::BOOL => {
            let [byte] = input.array(place).await?;
            Value::Bool(boolean(place, byte)?)
        }
        value_type::STRING => match input.string(place, MAX_STRING_BYTES).await? {
            Ok(text) => Value::String(text),
            Err(bytes) => Value::Bytes(bytes),
        },
        value_type::ARRAY => Value::Array(array(input.clone(), place.to_owned(), 1).await?),
        _ => return Err(unknown_type(place, id)),
    })
}

/// An array's values, the outermost of `depth` levels of arrays being level 1. Boxed, since it
/// calls itself for an array of arrays.
fn array(input: Input, place: String, depth: u32) -> Parse<Array> {
    Box::pin(async move {
        check_limit(
            &place,
            "a depth of arrays",
            depth.into(),
            MAX_ARRAY_DEPTH.into(),
        )?;
        let id = input.u32(&place).await?;
        let count = input.u64(&place).await?;
        macro_rules! numbers {
            ($kind:ident, $type:ty) => {{
                const SIZE: usize = size_of::<$type>();
                let wanted = count.saturating_mul(SIZE as u64);
                let bytes = input.bytes(&place, wanted).await?;
                let (numbers, _) = bytes.as_chunks::<SIZE>();
                Array::$kind(numbers.iter().map(|n| <$type>::from_le_bytes(*n)).collect())
            }};
        }
        Ok(match id {
            value_type::U8 => Array::U8(input.bytes(&place, count).await?),
            value_type::I8 => numbers!(I8, i8),
            value_type::U16 => numbers!(U16, u16),
            value_type::I16 => numbers!(I16, i16),
            value_type::U32 => numbers!(U32, u32),
            value_type::I32 => numbers!(I32, i32),
            value_type::U64 => numbers!(U64, u64),
            value_type::I64 => numbers!(I64, i64),
            value_type::F32 => numbers!(F32, f32),
            value_type::F64 => numbers!(F64, f64),
            value_type::BOOL => {
                let bytes = input.bytes(&place, count).await?;
                let booleans = bytes.iter().map(|byte| boolean(&place, *byte));
                Array::Bool(booleans.collect::<Result<_, _>>()?)
            }
            value_type::STRING => {
                input.check(&place, count.saturating_mul(MIN_STRING_BYTES))?;
                let (mut strings, mut broken) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    match input.string(&place, MAX_STRING_BYTES).await? {
                        Ok(text) if broken.is_empty() => strings.push(text),
                        Ok(text) => broken.push(text.into_bytes()),
                        Err(bytes) => {
                            broken.extend(strings.drain(..).map(String::into_bytes));
                            broken.push(bytes);
                        }
                    }
                }
                match broken.is_empty() {
                    true => Array::Strings(strings),
                    false => Array::Bytes(broken),
                }
            }
            value_type::ARRAY => {
                input.check(&place, count.saturating_mul(MIN_ARRAY_BYTES))?;
                let mut arrays = Vec::new();
                for _ in 0..count {
                    arrays.push(array(input.clone(), place.clone(), depth + 1).await?);
                }
                Array::Nested(arrays)
            }
            _ => return Err(unknown_type(&place, id)),
        })
    })
}

/// What an empty string takes in the file: its length.
const MIN_STRING_BYTES: u64 = 8;
/// What an empty array takes in the file: its type and its length.
const MIN_ARRAY_BYTES: u64 = 12;

fn boolean(place: &str, byte: u8) -> Result<bool, GgufError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(GgufError::Invalid {
            place: place.to_owned(),
            wanted: "a boolean of 0 or 1",
        }),
    }
}

fn unknown_type(place: &str, id: u32) -> GgufError {
    GgufError::ValueType {
        place: place.to_owned(),
        id,
    }
}
