use super::super::foreign;
use super::tensor_type::TensorType;

/// Why bytes are not a GGUF file that we can read. Each says where, and what to do about it where
/// anything can be done.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The bytes could not be read or written.
    #[error("the model file can't be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// The file does not begin with `GGUF`.
    #[error("this is not a GGUF file, but {0}")]
    Foreign(String),
    /// A file for big-endian machines.
    #[error("this GGUF file is big-endian, which is not supported; get the little-endian file")]
    BigEndian,
    /// A version with another layout.
    #[error("GGUF version {0} is not supported (supported: 2, 3); convert the model anew")]
    Version(u32),
    /// The bytes stop before the file is whole.
    #[error("the file ends after {len} bytes, inside {place}; was it downloaded in full?")]
    EndedEarly {
        /// Bytes there were.
        len: u64,
        /// What they end in.
        place: String,
    },
    /// Something claims more bytes than the file has left.
    #[error(
        "{place} wants {wanted} bytes at byte {offset}, where the file has {left} left; it is \
         damaged or was not downloaded in full"
    )]
    BeyondEnd {
        /// What claims them.
        place: String,
        /// Where they would begin.
        offset: u64,
        /// How many it claims.
        wanted: u64,
        /// How many there are.
        left: u64,
    },
    /// A count or a length past one of this reader's limits.
    #[error("{place}: {what} of {got} is past this reader's limit of {max}; the file is damaged")]
    Limit {
        /// Where in the file.
        place: String,
        /// What is too large.
        what: &'static str,
        /// Its size.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// A metadata value's type is not in the format.
    #[error("{place} has value type {id}, which GGUF does not have; the file is damaged")]
    ValueType {
        /// Where in the file.
        place: String,
        /// The type's number.
        id: u32,
    },
    /// Bytes that are no valid value of their type.
    #[error("{place} is not {wanted}; the file is damaged")]
    Invalid {
        /// Where in the file.
        place: String,
        /// What it should have been.
        wanted: &'static str,
    },
    /// Two metadata keys or two tensors with the same name.
    #[error("{what} {name:?} is in the file twice")]
    Duplicate {
        /// Metadata key or tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A key that is needed is not there.
    #[error("the file's metadata has no {0}; it is not a whole language model")]
    MissingKey(String),
    /// A metadata value has another type than it needs.
    #[error("metadata {key} is {found}; {wanted} is needed")]
    WrongType {
        /// The key.
        key: String,
        /// The type it has, and the value where that is what doesn't fit.
        found: String,
        /// The type needed.
        wanted: &'static str,
    },
    /// `general.alignment` is senseless.
    #[error("general.alignment is {0}; it must be a power of two, and 8 at least")]
    Alignment(u32),
    /// A tensor type we can't read.
    #[error(
        "unsupported tensor type {dtype} in {tensor} (supported: {})",
        TensorType::list()
    )]
    UnsupportedType {
        /// The tensor's name.
        tensor: String,
        /// The type's name in ggml, or its number.
        dtype: String,
    },
    /// A shape that is impossible, or impossible for the tensor's type.
    #[error("tensor {tensor} has shape {shape:?}: {problem}")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Its shape, row-major.
        shape: Vec<u64>,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor begins between two multiples of the alignment.
    #[error("tensor {tensor} begins at {offset} in the data, no multiple of {alignment}")]
    Misaligned {
        /// The tensor's name.
        tensor: String,
        /// Its offset from the start of the data.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap; the file is damaged")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
    },
    /// A tensor does not fit in this machine's memory.
    #[error("there is no memory for the {bytes} bytes of tensor {tensor}; use a smaller model")]
    Memory {
        /// The tensor's name.
        tensor: String,
        /// Its size.
        bytes: u64,
    },
    /// One file of a model that is split into several, alone.
    #[error(
        "this is file {} of the {count} that this model is split into, and they are read together: give all of them, \
         under the names that they came with",
        no + 1
    )]
    SplitAlone {
        /// Its number, from 0.
        no: u32,
        /// How many there are.
        count: u32,
    },
    /// A file that doesn't belong where it is among a split model's files.
    #[error(
        "{file} does not belong to this split model: {problem}; get its files anew, all from one place"
    )]
    Split {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More bytes were pushed into a stream that has failed.
    #[error("the stream has already failed; begin a new one")]
    StreamFailed,
    /// A tensor given to the writer has the wrong number of bytes.
    #[error("tensor {tensor} was given {got} bytes; its shape and type need {wanted}")]
    WrongBytes {
        /// The tensor's name.
        tensor: String,
        /// Bytes given.
        got: u64,
        /// Bytes needed.
        wanted: u64,
    },
}

impl GgufError {
    /// There is nothing in the file.
    pub(super) fn empty() -> Self {
        Self::Foreign(foreign::what(&[]).unwrap_or_default())
    }
}
