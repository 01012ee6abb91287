//! Reader and writer of GGUF, versions 2 and 3, little-endian (the format: `docs/gguf.md`
//! of the ggml project).
//!
//! A file is a header (metadata, then each tensor's name, shape, type and place) followed by the
//! tensors' bytes. One parser, in `header`, takes the header's bytes as they come; [`Gguf::read`]
//! feeds it from a file, and [`GgufStream`] from chunks of any size.

mod error;
mod header;
mod input;
mod layout;
mod limits;
mod metadata;
mod split;
mod stream;
mod tensor_type;
mod write;

#[cfg(test)]
mod tests;

pub use error::GgufError;
pub use limits::*;
pub use metadata::{Array, Metadata, Value};
pub use split::{GgufFiles, Split};
pub use stream::{GgufStream, StreamEvent};
pub use tensor_type::TensorType;
pub use write::{GgufWriter, NewTensor};

use header::HeaderParser;
use std::io::{Read, Seek, SeekFrom};

/// How much is read from a file at once while its header is parsed.
const READ_BYTES: usize = 64 * 1024;

/// A file's header: all of it but the tensors' bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// The format's version: 2 or 3.
    pub version: u32,
    /// The keys and their values.
    pub metadata: Metadata,
    /// The tensors, in the order the header lists them (not always the order of their bytes).
    pub tensors: Vec<TensorInfo>,
    /// Where the tensors' bytes begin, in bytes from the file's start.
    pub data_offset: u64,
    /// Every tensor's offset from [`Gguf::data_offset`] is a multiple of this many bytes.
    pub alignment: u64,
}

/// One tensor's name, shape, type and place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// The name, such as `blk.0.ffn_down.weight`.
    pub name: String,
    /// Row-major, the outermost dimension first (the file has them the other way round): a
    /// weight is `[out, in]`. At most [`MAX_DIMS`] dimensions, none of them 0.
    pub shape: Vec<usize>,
    /// How the elements are stored.
    pub dtype: TensorType,
    /// Its first byte, in bytes from the file's start.
    pub offset: u64,
    /// How many bytes it takes.
    pub bytes: u64,
}

impl TensorInfo {
    /// The first byte after it. [`Gguf::read`] and [`GgufStream`] check that this does not
    /// overflow; here it saturates.
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }
}

impl Gguf {
    /// Reads the header of the file that begins at `reader`'s first byte, and checks that every
    /// tensor lies inside the file, apart from the others. The reader is left at an unspecified
    /// position.
    ///
    /// # Errors
    ///
    /// [`GgufError`] where the bytes can't be read, or are not a whole GGUF file that we support.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Gguf, GgufError> {
        let len = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        if len == 0 {
            return Err(GgufError::empty());
        }
        let mut parser = HeaderParser::new(Some(len));
        let mut chunk = Vec::with_capacity(READ_BYTES);
        loop {
            chunk.clear();
            reader.take(READ_BYTES as u64).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Err(GgufError::EndedEarly {
                    len: parser.received(),
                    place: "the header".to_owned(),
                });
            }
            if let Some(header) = parser.push(&chunk) {
                return header;
            }
        }
    }

    /// The bytes of the tensor `info`, as they are in the file.
    ///
    /// # Errors
    ///
    /// [`GgufError`] where they can't be read, lie outside the file, or don't fit in memory.
    pub fn read_tensor<R: Read + Seek>(
        &self,
        reader: &mut R,
        info: &TensorInfo,
    ) -> Result<Vec<u8>, GgufError> {
        let len = reader.seek(SeekFrom::End(0))?;
        layout::check_inside(info, len)?;
        let no_memory = || GgufError::Memory {
            tensor: info.name.clone(),
            bytes: info.bytes,
        };
        let size = usize::try_from(info.bytes).map_err(|_| no_memory())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| no_memory())?;
        reader.seek(SeekFrom::Start(info.offset))?;
        reader.take(info.bytes).read_to_end(&mut bytes)?;
        if bytes.len() != size {
            return Err(GgufError::EndedEarly {
                len: info.offset + bytes.len() as u64,
                place: format!("tensor {}", info.name),
            });
        }
        Ok(bytes)
    }

    /// The tensor of that name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|info| info.name == name)
    }
}
