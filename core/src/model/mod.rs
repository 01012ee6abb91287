//! The decoder-only transformer on burn tensors, its paged KV cache, and how a file's tensors become
//! one. This folder uses `kernels` and `formats`; it knows token ids and logits, and nothing of
//! prompts, guidance or sampling.

mod config;
mod decoder;
mod kv_cache;
mod kv_type;
mod layers;
mod load;
mod log_probs;
mod memory;
mod pages;
mod prompt_reader;
mod random;
mod rope;
mod shared_cache;
mod tune;

pub use config::{DecoderConfig, Traits};
pub use decoder::{Decoder, Logits, OnReading, Prefill};
pub use kv_cache::KvCache;
pub use kv_type::KvType;
pub use load::DecoderBuilder;
pub use memory::{Memory, Usage, largest_context};
pub(crate) use prompt_reader::{Chunk, PromptReader};
pub use rope::{Rope, RopeScaling};
pub(crate) use shared_cache::SharedCache;

use crate::formats::gguf::GgufError;
use crate::formats::quant::QuantError;

/// Why a model can't be built or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file's metadata is missing, wrong, or of the wrong type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A tensor's bytes do not decode.
    #[error("tensor {tensor}: {source}")]
    Quant {
        /// The tensor's name.
        tensor: String,
        /// What was wrong.
        source: QuantError,
    },
    /// The file asks for something this engine does not do.
    #[error("unsupported model: {0}")]
    Unsupported(String),
    /// The file holds something else.
    #[error("this GGUF file is no language model, but {0}")]
    NoModel(&'static str),
    /// The model only reads text.
    #[error(
        "the model is an encoder (architecture {0}): it turns text into vectors and can't write any; take a \
         decoder-only language model"
    )]
    Encoder(String),
    /// The model classifies texts and has no head that writes.
    #[error(
        "the model is a reward model (a classifier of {0} outputs, tensor cls.output.weight): it scores texts and can't \
         write any; give it as --reward-model, and a language model as --model"
    )]
    Classifier(usize),
    /// The model is no classifier with one output.
    #[error(
        "the model has {0} outputs of a classifier, and a reward model has one (tensor cls.output.weight, or \
         score.weight in a folder); take a sequence-classification model with a scalar head"
    )]
    NoReward(usize),
    /// A metadata value makes no sense.
    #[error("the model file says {key} = {value}, which is {problem}; the file is damaged")]
    BadValue {
        /// The metadata key.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A tensor is missing.
    #[error("the model file has no tensor {0}; it is incomplete, or not a whole model")]
    MissingTensor(String),
    /// A tensor has another shape than the metadata implies.
    #[error("tensor {tensor} has shape {got:?}, but the model's metadata asks for {want:?}")]
    WrongShape {
        /// The tensor's name.
        tensor: String,
        /// Its shape in the file, row-major.
        got: Vec<usize>,
        /// The shape asked for.
        want: Vec<usize>,
    },
    /// A prompt has no tokens.
    #[error("a prompt of no tokens has no next token; give at least one")]
    EmptyPrompt,
    /// A token id lies outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab} tokens")]
    BadToken {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab: usize,
    },
    /// The prompt and the answer don't fit the model's context.
    #[error(
        "the prompt takes {prompt} tokens, and the model's context holds {context}; shorten the \
         prompt so that at least one token is left for the answer"
    )]
    ContextFull {
        /// Tokens of the longest prompt.
        prompt: usize,
        /// The model's context length.
        context: usize,
    },
    /// All rows' keys and values pass what one layer can hold.
    #[error(
        "all rows together need {tokens} tokens of KV cache, and a layer holds {most}; take fewer rows, \
         shorter prompts or fewer new tokens, or store keys and values as f16"
    )]
    CacheTooLarge {
        /// Tokens asked for, in whole pages.
        tokens: usize,
        /// Tokens there is room for.
        most: usize,
    },
    /// The device failed while kernels were chosen.
    #[error("the device failed while its fastest kernels were measured: {0}")]
    Device(String),
    /// The cache has no room for another token.
    #[error("the KV cache is full at {0} tokens")]
    CacheFull(usize),
}
