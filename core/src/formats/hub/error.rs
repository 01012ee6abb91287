use super::super::gguf::GgufError;
use super::super::quant::QuantError;
use super::super::safetensors::SafetensorsError;
use super::config;

/// Why a hub folder holds no model that we can read.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A file that every model has is not there.
    #[error("the folder has no {file}: {hint}")]
    Missing {
        /// The file.
        file: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// A file of the model's weights is not there.
    #[error(
        "the folder has no {shard}, where {tensors} of the model's {all} tensors lie: the download is incomplete; get \
         that file, too"
    )]
    MissingShard {
        /// The file.
        shard: String,
        /// How many tensors lie there.
        tensors: usize,
        /// How many the model has.
        all: usize,
    },
    /// A file can't be read.
    #[error("{file} can't be read: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text is larger than any real one.
    #[error("{file} has more than {max} bytes, which is this reader's limit")]
    TooLarge {
        /// The file.
        file: &'static str,
        /// The limit.
        max: u64,
    },
    /// A text is no UTF-8, or no JSON, or not what it should be.
    #[error("{file} is damaged: {problem}")]
    Damaged {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Something else lies in a file's place.
    #[error("{file} is {what}")]
    Foreign {
        /// The file.
        file: &'static str,
        /// What it is.
        what: String,
    },
    /// A file of weights, or their index, can't be read.
    #[error("{file}: {source}")]
    Weights {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: SafetensorsError,
    },
    /// The index and the files of weights don't fit each other.
    #[error(
        "{file} has no tensor {tensor}, which the index says is there; get the model's files anew, all from one place"
    )]
    NotInShard {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor is in two files.
    #[error(
        "tensor {0} is in two of the folder's files; get the model's files anew, all from one place"
    )]
    Twice(String),
    /// The model only reads text.
    #[error(
        "{0} is an encoder-only model: it turns text into vectors and can't generate any; take a decoder-only language \
         model"
    )]
    EncoderOnly(String),
    /// The model reads with one half and writes with another.
    #[error(
        "{0} is an encoder-decoder model, which this engine can't run; take a decoder-only language model"
    )]
    EncoderDecoder(String),
    /// An architecture that we don't have.
    #[error(
        "unsupported architecture {class} (supported: {}, each also ForSequenceClassification)",
        config::supported()
    )]
    Architecture {
        /// Its class in the transformers library.
        class: String,
    },
    /// `config.json` asks for something that would silently answer wrongly if it were left out.
    #[error("unsupported model: config.json says {key} = {value}, {problem}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What of it is not supported.
        problem: &'static str,
    },
    /// A tensor that we don't know (leaving it out would answer wrongly without a word).
    #[error("unsupported model: this engine does not know what to do with tensor {0}")]
    UnknownTensor(String),
    /// A tensor of another type than floats of 16 or 32 bits.
    #[error(
        "tensor {tensor} is {dtype} (supported: F32, F16, BF16); take the model's unquantized folder"
    )]
    Dtype {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: &'static str,
    },
    /// A tensor is missing.
    #[error("the folder's weights have no tensor {0}; they are incomplete")]
    MissingTensor(&'static str),
    /// A tensor's rows are not those of so many heads.
    #[error(
        "tensor {tensor} has shape {shape:?}, which does not fit {heads} heads of an even width"
    )]
    Heads {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The heads that config.json tells of.
        heads: usize,
    },
    /// A tensor's elements can't be stored as the model needs them.
    #[error("tensor {tensor}: {source}")]
    Quant {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: QuantError,
    },
    /// The tokenizer has more tokens than the model.
    #[error(
        "the tokenizer has {tokens} tokens, and the model's embedding {rows}: tokenizer.json and the weights are not of \
         the same model"
    )]
    Vocabulary {
        /// Of the tokenizer.
        tokens: usize,
        /// Of the model.
        rows: usize,
    },
    /// The header that the folder makes is none that we can read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
}
