//! Messages to token ids and back: the tokenizer a GGUF file describes ([`tokenizer`]), streamed
//! text ([`detokenizer`]), and conversations rendered by the model's own template
//! ([`chat_template`]). This folder knows no file format and no model: it takes plain structs and
//! gives token ids and strings. Two promises hold for any input: text that a person typed never
//! becomes a control token, and neither a hostile vocabulary nor a hostile template can make the
//! program panic, hang or run out of memory (`jinja`).

mod added;
pub mod chat;
pub mod chat_template;
mod control;
pub mod detokenizer;
mod from_json;
mod jinja;
mod merges;
mod pre_tokenizer;
mod shorten;
mod spec;
mod stop;
mod strftime;
#[cfg(test)]
mod tests;
mod today;
pub mod tokenizer;

pub use chat::{Chat, Encoded, SystemPrompt};
pub use chat_template::{ChatTemplate, Message, Role};
pub use detokenizer::DetokenizeStream;
pub use shorten::shorten;
pub use spec::{TokenFlags, TokenizerSpec};
pub use stop::StopTexts;
pub use today::Today;
pub use tokenizer::Tokenizer;

/// What can go wrong between messages and token ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The file's `tokenizer.ggml.model` is one we cannot build.
    #[error(
        "tokenizer model \"{0}\" is not supported (only \"gpt2\", byte-level BPE, and \"llama\", \
         SentencePiece's BPE, are); use a model file whose tokenizer.ggml.model is one of these"
    )]
    UnsupportedModel(String),
    /// The file's `tokenizer.ggml.pre` is missing or unknown. Guessing one would tokenize wrongly
    /// without a sign, so neither is replaced by a default.
    #[error(
        "{}; known ones: {}. Use a file converted with one of these",
        .0.as_ref().map_or_else(
            || "the file names no pre-tokenizer (tokenizer.ggml.pre is missing)".to_owned(),
            |name| format!("unknown pre-tokenizer \"{name}\" (tokenizer.ggml.pre)"),
        ),
        pre_tokenizer::names()
    )]
    UnknownPreTokenizer(Option<String>),
    /// The vocabulary, the merges or an id of the tokenizer's metadata make no sense.
    #[error("broken tokenizer in the model file: {0}; the file is damaged or badly converted")]
    BadVocabulary(String),
    /// A hub folder's `tokenizer.json` or `tokenizer_config.json` can't be read, or describes a
    /// tokenizer that we can't build.
    #[error("tokenizer.json: {0}")]
    Json(String),
    /// The text has a byte for which the vocabulary has no token.
    #[error(
        "the model's vocabulary has no token for byte 0x{byte:02x} (in character {character:?} \
         at byte {offset} of the text); remove that character"
    )]
    Unencodable {
        /// The byte without a token.
        byte: u8,
        /// The character it belongs to.
        character: char,
        /// Where that character starts in the text.
        offset: usize,
    },
    /// A token id is not in the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab_size} tokens")]
    UnknownId {
        /// The id that was given.
        id: u32,
        /// Ids run from 0 to this, exclusive.
        vocab_size: usize,
    },
    /// The `tokenizers` library failed on a text.
    #[error("could not tokenize the text: {0}")]
    Encode(String),
    /// The chat template does not compile, refused the conversation, or broke a limit.
    #[error("chat template: {0}")]
    Template(String),
}
