//! The pre-tokenizers that `tokenizer.ggml.pre` names, with the settings of the models' own
//! tokenizer.json.

use tokenizers::models::bpe::BpeBuilder;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::TextError;

/// The names we know.
pub(super) const NAMES: [&str; 4] = ["smollm", "gpt-2", "qwen2", "llama-bpe"];

/// What a text goes through before its pieces are merged.
pub(super) struct PreTokenization {
    pub(super) normalizer: Option<NFC>,
    pub(super) pre_tokenizer: PreTokenizerWrapper,
    /// A piece that is itself a token is taken whole, whatever the merges say.
    pub(super) ignore_merges: bool,
}

impl PreTokenization {
    /// The one of this name; an error that lists the known ones otherwise.
    pub(super) fn named(name: Option<&str>) -> Result<Self, TextError> {
        let (normalizer, steps, ignore_merges) = match name {
            Some("smollm") => (
                None,
                vec![Digits::new(true).into(), byte_level(true)],
                false,
            ),
            Some("gpt-2") => (None, vec![byte_level(true)], false),
            Some("qwen2") => (Some(NFC), vec![words(1)?, byte_level(false)], false),
            Some("llama-bpe") => (None, vec![words(3)?, byte_level(false)], true),
            other => return Err(TextError::UnknownPreTokenizer(other.map(str::to_owned))),
        };
        let pre_tokenizer = Sequence::new(steps).into();
        Ok(Self {
            normalizer,
            pre_tokenizer,
            ignore_merges,
        })
    }

    /// The builder of the BPE model that belongs to it. There is no token for what is unknown
    /// (`Tokenizer::encode` refuses such text instead), and no cache: one would keep what people
    /// typed in memory.
    pub(super) fn bpe(&self) -> BpeBuilder {
        BpeBuilder::new()
            .cache_capacity(0)
            .ignore_merges(self.ignore_merges)
    }
}

/// Bytes to the byte-level alphabet, after GPT-2's own split into words if asked for.
fn byte_level(split_words: bool) -> PreTokenizerWrapper {
    ByteLevel::new(false, true, split_words).into()
}

/// The word pattern of Llama 3 and Qwen 2, which differ in how many digits stay together.
fn words(digits: usize) -> Result<PreTokenizerWrapper, TextError> {
    let number = if digits == 1 {
        r"\p{N}".to_owned()
    } else {
        format!(r"\p{{N}}{{1,{digits}}}")
    };
    let pattern = [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        &number,
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
    .join("|");
    Split::new(
        SplitPattern::Regex(pattern),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map(Into::into)
    .map_err(|e| TextError::Encode(e.to_string()))
}
