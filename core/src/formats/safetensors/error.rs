/// Why bytes are not a safetensors file, or an index, that we can read.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    /// The bytes can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// The file ends before its header does.
    #[error("the file ends after {len} bytes, inside its header; was it downloaded in full?")]
    EndedEarly {
        /// Bytes there are.
        len: u64,
    },
    /// The file is of another kind.
    #[error("it is no safetensors file, but {0}")]
    Foreign(String),
    /// The header's length makes no sense.
    #[error("it is no safetensors file: its header would have {0} bytes")]
    HeaderLength(u64),
    /// The JSON is malformed, or is not what it should be.
    #[error("its JSON is damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// A type that the format doesn't have.
    #[error("tensor {tensor} has type {dtype:?}, which this reader doesn't know")]
    UnknownType {
        /// The tensor's name.
        tensor: String,
        /// The type's name.
        dtype: String,
    },
    /// A tensor's shape and its bytes don't fit each other.
    #[error(
        "tensor {tensor} of shape {shape:?} has {bytes} bytes, which don't fit; the file is damaged"
    )]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its bytes; negative where it ends before it begins.
        bytes: i128,
    },
    /// A tensor lies outside the file.
    #[error(
        "tensor {tensor} ends at byte {end} of a file of {len} bytes; it is damaged or was not downloaded in full"
    )]
    BeyondEnd {
        /// The tensor's name.
        tensor: String,
        /// The first byte after it.
        end: u64,
        /// The file's length.
        len: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap; the file is damaged")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
    },
    /// Bytes that no tensor has: the format forbids them.
    #[error(
        "bytes {begin} to {end} of the file belong to no tensor; it is damaged, or something else is hidden in it"
    )]
    Hole {
        /// The first of them.
        begin: u64,
        /// The first after them.
        end: u64,
    },
    /// An index names a file that can't be one beside it.
    #[error("it names the file {0:?}, and only plain names that end in .safetensors are read")]
    ShardName(String),
}
