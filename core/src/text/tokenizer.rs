//! The tokenizer that a GGUF file's metadata describes (`tokenizer.ggml.*`): byte-level BPE, built
//! through the `tokenizers` crate.

use std::borrow::Cow;
use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder, TokenizerImpl,
};

use super::control::{Part, TokenMatcher};
use super::pre_tokenizer::PreTokenization;
use super::{DetokenizeStream, TextError};

/// More tokens, or merges, than any real model has.
const MAX_ENTRIES: usize = 1 << 22;
/// More bytes than any real control token has.
const MAX_CONTROL_BYTES: usize = 256;

/// `tokenizer.ggml.token_type` (GGUF's llama_token_type).
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const TYPES: std::ops::RangeInclusive<i32> = 0..=6;

/// Tokens that end an answer in the known model families, whatever the file calls them.
const END_OF_GENERATION: [&str; 8] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
];

/// What a model's files say of its tokenizer: the metadata of a GGUF file as it stands there, or a
/// hub folder's `tokenizer.json` put into the same words ([`TokenizerSpec::from_json`]). Each field
/// names the GGUF key that it is read from and written to.
#[derive(Debug, Clone, Default)]
pub struct TokenizerSpec {
    /// `tokenizer.ggml.model`: the kind of tokenizer. We build `gpt2` (byte-level BPE) and `llama`
    /// (BPE as SentencePiece has it: spaces written `▁`, byte tokens for what is in no token).
    pub model: String,
    /// `tokenizer.ggml.pre`: the pre-tokenizer's name; `llama` needs none.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: text of each token; the index is the id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`, one for each token: of `llama` tokens the highest is merged first.
    /// Not needed where there are merges.
    pub scores: Option<Vec<f32>>,
    /// `tokenizer.ggml.merges`: `"left right"`, most important first.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.token_type`, one for each token (1 normal, 2 unknown, 3 control, 4
    /// user-defined, 5 unused, 6 byte); all are ordinary where it is missing.
    pub token_types: Option<Vec<i32>>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: end of a turn.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`: a control token here, which no text gives.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`: whether plain text is preceded by `bos`.
    pub add_bos: bool,
    /// `tokenizer.ggml.add_space_prefix`: whether `llama` text gets a space in front.
    pub add_space_prefix: bool,
    /// `tokenizer.huggingface.json`: the whole `tokenizer.json`, there only where the fields above
    /// can't say what is done to a text before the merges: its normalizer and pre-tokenizer then
    /// count instead of `pre` and `add_space_prefix`.
    pub json: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes in the byte-level alphabet.
    Ordinary,
    /// Plain text, recognized as a whole in any text.
    UserDefined,
    /// Plain text; never made from ordinary text.
    Control,
}

/// Text to token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    inner: TokenizerImpl<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >,
    control: TokenMatcher,
    /// Byte-level alphabet: character to byte.
    byte_of: HashMap<char, u8>,
    /// Bytes that the vocabulary can express.
    has_byte: Vec<bool>,
    end_of_generation: Vec<u32>,
    bos: Option<u32>,
    add_bos: bool,
}

impl Tokenizer {
    /// Builds the tokenizer and checks the vocabulary. Control tokens are those of type control or
    /// unknown, `bos`, `eos`, `eot`, the well-known end tokens, and tokens written `<|...|>`
    /// unless they are of type normal (some converters mislabel these).
    ///
    /// # Errors
    /// [`TextError::UnsupportedModel`], [`TextError::UnknownPreTokenizer`] (also where the file
    /// names none), and [`TextError::BadVocabulary`] for an empty vocabulary, duplicate tokens,
    /// merges that are malformed or name unknown tokens, ids out of range, absurd counts.
    pub fn new(spec: TokenizerSpec) -> Result<Self, TextError> {
        if spec.model != "gpt2" {
            return Err(TextError::UnsupportedModel(spec.model));
        }
        let pre = PreTokenization::named(spec.pre.as_deref())?;
        let kinds = kinds(&spec)?;

        let mut ids = HashMap::with_capacity(spec.tokens.len());
        for (id, token) in (0u32..).zip(&spec.tokens) {
            if let Some(other) = ids.insert(token.as_str(), id) {
                return Err(bad(format!("tokens {other} and {id} are both {token:?}")));
            }
        }
        // Control tokens stay out of the model's vocabulary: nothing that it does with ordinary
        // text can produce one.
        let of_kind = |control: bool| {
            (0u32..)
                .zip(&spec.tokens)
                .zip(&kinds)
                .filter(move |(_, kind)| (**kind == Kind::Control) == control)
                .map(|((id, token), _)| (token.clone(), id))
        };
        let control = TokenMatcher::new(of_kind(true));
        let vocab: Vocab = of_kind(false).collect();
        let merges = merges(&spec, &vocab, &control)?;

        let byte_of = byte_level_alphabet();
        let mut has_byte = vec![false; 256];
        for (character, byte) in &byte_of {
            has_byte[usize::from(*byte)] = vocab.contains_key(character.to_string().as_str());
        }

        let user_defined: Vec<AddedToken> = (spec.tokens.iter().zip(&kinds))
            .filter(|(token, kind)| **kind == Kind::UserDefined && !token.is_empty())
            .map(|(token, _)| AddedToken::from(token.as_str(), false).normalized(false))
            .collect();
        let failed = |e: tokenizers::Error| bad(e.to_string());
        let model = pre
            .bpe()
            .vocab_and_merges(vocab, merges)
            .build()
            .map_err(failed)?;
        let mut inner = TokenizerBuilder::default()
            .with_model(model)
            .with_normalizer(pre.normalizer.map(Into::into))
            .with_pre_tokenizer(Some(pre.pre_tokenizer))
            .with_post_processor(None)
            .with_decoder(None)
            .build()
            .map_err(failed)?;
        inner.add_tokens(user_defined).map_err(failed)?;

        let mut end_of_generation: Vec<u32> = (0u32..)
            .zip(&spec.tokens)
            .filter(|(_, token)| END_OF_GENERATION.contains(&token.as_str()))
            .map(|(id, _)| id)
            .collect();
        end_of_generation.extend(spec.eos.into_iter().chain(spec.eot));
        Ok(Self {
            tokens: spec.tokens,
            kinds,
            inner,
            control,
            byte_of,
            has_byte,
            end_of_generation,
            bos: spec.bos,
            add_bos: spec.add_bos,
        })
    }

    /// Number of tokens; ids run from 0 to this, exclusive.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// Ids of ordinary text: no control token whatever it contains, and no BOS. Where the model's
    /// own tokenizer has user-defined tokens, they are recognized, as there.
    ///
    /// # Errors
    /// [`TextError::Unencodable`] where the vocabulary lacks a byte of the text (the reference
    /// tokenizers drop such characters without a word).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        for (offset, character) in text.char_indices() {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).bytes();
            if let Some(byte) = { bytes }.find(|b| !self.has_byte[usize::from(*b)]) {
                return Err(TextError::Unencodable {
                    byte,
                    character,
                    offset,
                });
            }
        }
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| TextError::Encode(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of text in which control tokens are written out and meant: only for text that no person
    /// typed. No BOS is added.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        for part in self.control.split(text) {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(run) => ids.extend(self.encode(run)?),
            }
        }
        Ok(ids)
    }

    /// The text of `ids`, control tokens as their own text. The inverse of [`Tokenizer::encode`]
    /// (with `qwen2`, of its NFC form); ids that end within a character give U+FFFD.
    ///
    /// # Errors
    /// [`TextError::UnknownId`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        let mut bytes = Vec::new();
        for id in ids {
            bytes.extend_from_slice(&self.known_bytes(*id)?);
        }
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// A token's text for display, U+FFFD where it holds part of a character; `None` outside the
    /// vocabulary.
    pub fn piece(&self, id: u32) -> Option<String> {
        Some(String::from_utf8_lossy(&self.token_bytes(id)?).into_owned())
    }

    /// The bytes a token stands for; `None` outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<Cow<'_, [u8]>> {
        let index = usize::try_from(id).ok()?;
        let token = self.tokens.get(index)?;
        let bytes = match self.kinds[index] {
            // A token outside the byte-level alphabet stands for its own text.
            Kind::Ordinary => token
                .chars()
                .map(|c| self.byte_of.get(&c).copied())
                .collect(),
            Kind::UserDefined | Kind::Control => None,
        };
        Some(bytes.map_or(Cow::Borrowed(token.as_bytes()), |b: Vec<u8>| Cow::Owned(b)))
    }

    /// [`Tokenizer::token_bytes`] of an id that must be in the vocabulary.
    pub(super) fn known_bytes(&self, id: u32) -> Result<Cow<'_, [u8]>, TextError> {
        let vocab_size = self.vocab_size();
        self.token_bytes(id)
            .ok_or(TextError::UnknownId { id, vocab_size })
    }

    /// Whether `id` is a control token; `false` outside the vocabulary.
    pub fn is_control(&self, id: u32) -> bool {
        usize::try_from(id).is_ok_and(|i| self.kinds.get(i) == Some(&Kind::Control))
    }

    /// Whether generation ends at `id`: `eos`, `eot`, or a well-known end token.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.end_of_generation.contains(&id)
    }

    /// The beginning-of-sequence token, if the file names one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Whether the model wants [`Tokenizer::bos`] before plain text. Nothing here adds it; chat
    /// templates write their own.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// A stream that turns generated ids into text.
    pub fn detokenize_stream(&self) -> DetokenizeStream<'_> {
        DetokenizeStream::new(self)
    }

    pub(super) fn control_tokens(&self) -> &TokenMatcher {
        &self.control
    }
}

fn bad(what: String) -> TextError {
    TextError::BadVocabulary(what)
}

/// The kind of each token, with the counts, types and ids of `spec` checked.
fn kinds(spec: &TokenizerSpec) -> Result<Vec<Kind>, TextError> {
    let count = spec.tokens.len();
    if count == 0 {
        return Err(bad("the vocabulary is empty".to_owned()));
    }
    for (entries, what) in [(count, "tokens"), (spec.merges.len(), "merges")] {
        if entries > MAX_ENTRIES {
            return Err(bad(format!(
                "{entries} {what}, more than the limit of {MAX_ENTRIES}"
            )));
        }
    }
    let types = spec.token_types.as_deref().unwrap_or_default();
    if spec.token_types.is_some() && types.len() != count {
        return Err(bad(format!(
            "{} token types for {count} tokens",
            types.len()
        )));
    }
    if let Some((id, kind)) = types.iter().enumerate().find(|(_, t)| !TYPES.contains(t)) {
        return Err(bad(format!("token {id} has the unknown type {kind}")));
    }
    let named = [("bos", spec.bos), ("eos", spec.eos), ("eot", spec.eot)];
    for (name, id) in named {
        if let Some(id) = id.filter(|id| usize::try_from(*id).map_or(true, |id| id >= count)) {
            return Err(bad(format!("{name} is token {id} of {count}")));
        }
    }
    let mut kinds = Vec::with_capacity(count);
    for (id, text) in (0u32..).zip(&spec.tokens) {
        let kind = types.get(kinds.len()).copied().unwrap_or_default();
        let marked = kind != NORMAL && text.starts_with("<|") && text.ends_with("|>");
        let control = matches!(kind, CONTROL | UNKNOWN)
            || named.iter().any(|(_, named)| *named == Some(id))
            || END_OF_GENERATION.contains(&text.as_str())
            || marked;
        if control && text.len() > MAX_CONTROL_BYTES {
            return Err(bad(format!("control token {id} has {} bytes", text.len())));
        }
        kinds.push(match kind {
            _ if control => Kind::Control,
            USER_DEFINED => Kind::UserDefined,
            _ => Kind::Ordinary,
        });
    }
    Ok(kinds)
}

/// The merges as pairs; those that touch a control token are left out, since no text has one.
fn merges(
    spec: &TokenizerSpec,
    vocab: &Vocab,
    control: &TokenMatcher,
) -> Result<Vec<(String, String)>, TextError> {
    let mut pairs = Vec::with_capacity(spec.merges.len());
    'merges: for (rank, merge) in spec.merges.iter().enumerate() {
        let Some((left, right)) = merge
            .split_once(' ')
            .filter(|(_, right)| !right.contains(' '))
        else {
            return Err(bad(format!(
                "merge {rank} {merge:?} is not two tokens with one space"
            )));
        };
        let merged = [left, right].concat();
        for token in [left, right, &merged] {
            if !vocab.contains_key(token) {
                if control
                    .longest_at(token, 0)
                    .is_some_and(|(length, _)| length == token.len())
                {
                    continue 'merges;
                }
                return Err(bad(format!(
                    "merge {rank} {merge:?} names no token {token:?}"
                )));
            }
        }
        pairs.push((left.to_owned(), right.to_owned()));
    }
    Ok(pairs)
}

/// GPT-2's byte-level alphabet: printable Latin-1 bytes stand for themselves, the others, in
/// order, for the characters from U+0100 on.
fn byte_level_alphabet() -> HashMap<char, u8> {
    let mut next = 0x100u32;
    (0..=255u8)
        .filter_map(|byte| {
            let code = if matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) {
                u32::from(byte)
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).map(|character| (character, byte))
        })
        .collect()
}
