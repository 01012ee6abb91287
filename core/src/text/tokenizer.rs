//! The tokenizer that a [`TokenizerSpec`] describes: byte-level BPE, or BPE over characters with
//! byte tokens, through the models of the `tokenizers` crate.

use std::borrow::Cow;
use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::{
    AddedToken, AddedVocabulary, Model, NormalizerWrapper, OffsetReferential, OffsetType,
    PreTokenizer,
};

use super::control::{Part, TokenMatcher};
use super::pre_tokenizer::PreTokenization;
use super::spec::{END_OF_GENERATION, Kind, bad, byte_level_alphabet};
use super::{DetokenizeStream, TextError, TokenizerSpec};

/// How SentencePiece writes a space.
const SPACE: &str = "▁";

/// Text to token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    pre: PreTokenization,
    /// Finds the user-defined tokens.
    added: AddedVocabulary,
    bpe: BPE,
    control: TokenMatcher,
    /// Byte-level alphabet: character to byte; empty where bytes have their own tokens.
    byte_of: HashMap<char, u8>,
    /// Bytes that the vocabulary can express.
    has_byte: Vec<bool>,
    end_of_generation: Vec<u32>,
    bos: Option<u32>,
    add_bos: bool,
}

impl Tokenizer {
    /// Builds the tokenizer and checks the vocabulary. Control tokens are those of type control or
    /// unknown, `bos`, `eos`, `eot`, `unknown`, the well-known end tokens, and tokens written
    /// `<|...|>` unless they are of type normal (some converters mislabel these).
    ///
    /// # Errors
    /// [`TextError::UnsupportedModel`], [`TextError::UnknownPreTokenizer`] (also where the file
    /// names none), [`TextError::Json`] where `json` is there and can't be used, and
    /// [`TextError::BadVocabulary`] for an empty vocabulary, duplicate tokens, merges that are
    /// malformed or name unknown tokens, ids out of range, absurd counts.
    pub fn new(spec: TokenizerSpec) -> Result<Self, TextError> {
        let pre = match (&spec.json, spec.model.as_str()) {
            (Some(json), "gpt2" | "llama") => PreTokenization::from_json(json, &spec.model)?,
            (None, "gpt2") => PreTokenization::named(spec.pre.as_deref())?,
            (None, "llama") => PreTokenization::spaces(spec.add_space_prefix),
            _ => return Err(TextError::UnsupportedModel(spec.model)),
        };
        let kinds = spec.kinds()?;

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
        let by_score = spec.model == "llama" && spec.merges.is_empty();
        let merges = match by_score {
            true => spec.pairs_by_score(&kinds, &vocab)?,
            false => spec.pairs(&vocab, &control)?,
        };

        let mut has_byte = vec![false; 256];
        let mut byte_of = HashMap::new();
        if spec.model == "gpt2" {
            byte_of = byte_level_alphabet();
            for (character, byte) in &byte_of {
                has_byte[usize::from(*byte)] = vocab.contains_key(character.to_string().as_str());
            }
        }
        for kind in &kinds {
            if let Kind::Byte(byte) = kind {
                has_byte[usize::from(*byte)] = true;
            }
        }

        let user_defined = (spec.tokens.iter().zip(&kinds))
            .filter(|(token, kind)| **kind == Kind::UserDefined && !token.is_empty())
            .map(|(token, _)| AddedToken::from(token.as_str(), false).normalized(false));
        let failed = |e: tokenizers::Error| bad(e.to_string());
        // There is no token for what is unknown (`Tokenizer::encode` refuses such text instead),
        // and no cache: one would keep what people typed in memory.
        let bpe = BpeBuilder::new()
            .cache_capacity(0)
            .ignore_merges(pre.ignore_merges)
            .byte_fallback(spec.model == "llama")
            .vocab_and_merges(vocab, merges)
            .build()
            .map_err(failed)?;
        let mut added = AddedVocabulary::new();
        let normalizer: Option<&NormalizerWrapper> = None;
        added
            .add_tokens(user_defined, &bpe, normalizer)
            .map_err(failed)?;

        let mut end_of_generation: Vec<u32> = (0u32..)
            .zip(&spec.tokens)
            .filter(|(_, token)| END_OF_GENERATION.contains(&token.as_str()))
            .map(|(id, _)| id)
            .collect();
        end_of_generation.extend(spec.eos.into_iter().chain(spec.eot));
        Ok(Self {
            tokens: spec.tokens,
            kinds,
            pre,
            added,
            bpe,
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
        self.encode_run(text, true)
    }

    /// [`Tokenizer::encode`] of a text that begins a whole, or follows a control token.
    pub(super) fn encode_run(&self, text: &str, first: bool) -> Result<Vec<u32>, TextError> {
        let failed = |e: tokenizers::Error| TextError::Encode(e.to_string());
        let normalizer = self.pre.normalizer.as_ref();
        let mut pieces = self.added.extract_and_normalize(normalizer, text);
        if let Some(pre_tokenizer) = self.pre.pre_tokenizer(first) {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(failed)?;
        }
        for (piece, at, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte)
        {
            if tokens.is_none() {
                self.check_piece(text, piece, at.0)?;
            }
        }
        pieces
            .tokenize(|piece| self.bpe.tokenize(piece.get()))
            .map_err(failed)?;
        let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        let tokens = splits.iter().filter_map(|(_, _, tokens)| tokens.as_ref());
        Ok(tokens.flatten().map(|token| token.id).collect())
    }

    /// Refuses a piece of `text`, which begins at its byte `at`, with a character for which there
    /// is no token.
    fn check_piece(&self, text: &str, piece: &str, at: usize) -> Result<(), TextError> {
        if self.pre.ignore_merges && self.bpe.token_to_id(piece).is_some() {
            return Ok(());
        }
        let mut buffer = [0; 4];
        let missing = |character: char, buffer: &mut [u8; 4]| match self.byte_of.get(&character) {
            Some(byte) => Some(*byte).filter(|byte| !self.has_byte[usize::from(*byte)]),
            None => {
                let known = self.bpe.token_to_id(character.encode_utf8(buffer));
                let mut bytes = character.encode_utf8(buffer).bytes();
                bytes.find(|byte| known.is_none() && !self.has_byte[usize::from(*byte)])
            }
        };
        let found = (piece.chars()).find_map(|c| Some((c, missing(c, &mut buffer)?)));
        let Some((shown, byte)) = found else {
            return Ok(());
        };
        // Where in the text it is: at least, in which piece.
        let rest = text.get(at..).unwrap_or_default();
        let is_it = |c: &char| match self.byte_of.is_empty() {
            true => *c == shown,
            false => c.encode_utf8(&mut [0; 4]).as_bytes().contains(&byte),
        };
        let place = rest.char_indices().find(|(_, c)| is_it(c));
        let (offset, character) = place
            .or_else(|| rest.char_indices().next())
            .unwrap_or((0, shown));
        Err(TextError::Unencodable {
            byte,
            character,
            offset: at + offset,
        })
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
                Part::Text(run) => ids.extend(self.encode_run(run, ids.is_empty())?),
            }
        }
        Ok(ids)
    }

    /// The text of `ids`, control tokens as their own text. The inverse of [`Tokenizer::encode`]
    /// (with `qwen2`, of its NFC form; a `llama` vocabulary writes spaces `▁`, so that one typed
    /// comes back as a space); ids that end within a character give U+FFFD.
    ///
    /// # Errors
    /// [`TextError::UnknownId`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        let mut bytes = Vec::new();
        for id in ids {
            bytes.extend_from_slice(&self.known_bytes(*id)?);
        }
        if self.drops_first_space() && bytes.first() == Some(&b' ') {
            bytes.remove(0);
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
        let plain = Cow::Borrowed(token.as_bytes());
        Some(match self.kinds[index] {
            Kind::Control => plain,
            Kind::Byte(byte) => Cow::Owned(vec![byte]),
            _ if self.byte_of.is_empty() => match token.contains(SPACE) {
                true => Cow::Owned(token.replace(SPACE, " ").into_bytes()),
                false => plain,
            },
            Kind::UserDefined => plain,
            // A token outside the byte-level alphabet stands for its own text.
            Kind::Ordinary => (token.chars())
                .map(|c| self.byte_of.get(&c).copied())
                .collect::<Option<Vec<u8>>>()
                .map_or(plain, Cow::Owned),
        })
    }

    /// Whether a text begins without the space that its first token has.
    pub(super) fn drops_first_space(&self) -> bool {
        self.pre.drops_first_space
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
