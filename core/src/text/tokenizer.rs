//! The tokenizer that a [`TokenizerSpec`] describes: byte-level BPE, or BPE over characters with
//! byte tokens, through the models of the `tokenizers` crate.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use tokenizers::models::bpe::{BPE, BpeBuilder};
use tokenizers::tokenizer::normalizer::Range;
use tokenizers::{
    Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Token,
};

use super::control::{Found, TokenMatcher, find, resolve};
use super::pre_tokenizer::PreTokenization;
use super::spec::{Kind, bad, byte_level_alphabet};
use super::{DetokenizeStream, TextError, TokenFlags, TokenizerSpec};

/// How SentencePiece writes a space.
const SPACE: &str = "▁";

/// Text to token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    pre: PreTokenization,
    /// Finds the user-defined tokens in a text, and those that are found in its normalized form.
    added: [TokenMatcher; 2],
    flags: BTreeMap<u32, TokenFlags>,
    bpe: BPE,
    control: TokenMatcher,
    /// Byte-level alphabet: character to byte; empty where bytes have their own tokens.
    byte_of: HashMap<char, u8>,
    /// Bytes that the vocabulary can express.
    has_byte: Vec<bool>,
    /// In order.
    end_of_generation: Vec<u32>,
    absent: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
}

impl Tokenizer {
    /// Builds the tokenizer and checks the vocabulary. Control tokens are those of type control or
    /// unknown, `bos`, `unknown` and the end tokens, the well-known end tokens, and tokens written
    /// `<|...|>` unless they are of type normal (some converters mislabel these). An id that is out of
    /// range counts as not there, as do `bos` and `unknown` where they name ordinary text; an end token
    /// that is ordinary text ends answers and stays text. Of equal tokens the last is the one that text
    /// gives, and an unused one only for lack of another.
    ///
    /// # Errors
    /// [`TextError::UnsupportedModel`], [`TextError::UnknownPreTokenizer`] (also where the file
    /// names none), [`TextError::Json`] where `json` is there and can't be used, and
    /// [`TextError::BadVocabulary`] for an empty vocabulary, merges that are malformed, name unknown
    /// tokens or are missing, absurd counts.
    pub fn new(mut spec: TokenizerSpec) -> Result<Self, TextError> {
        let failed = |e: tokenizers::Error| bad(e.to_string());
        let pre = match (&spec.json, spec.model.as_str()) {
            (Some(json), "gpt2" | "llama") => PreTokenization::from_json(json, &spec.model)?,
            (None, "gpt2") => PreTokenization::named(spec.pre.as_deref())?,
            (None, "llama") => PreTokenization::spaces(spec.add_space_prefix),
            _ => return Err(TextError::UnsupportedModel(spec.model)),
        };
        spec.tidy()?;
        let kinds = spec.kinds()?;
        let of_kind = |wanted: Kind| {
            let tokens = (0u32..).zip(&spec.tokens).zip(&kinds);
            tokens
                .filter(move |(_, kind)| **kind == wanted)
                .map(|((id, token), _)| (token.as_str(), id))
        };
        // Control tokens stay out of the model's vocabulary: nothing that it does with ordinary
        // text can produce one.
        let control = TokenMatcher::new(of_kind(Kind::Control));
        let vocab = spec.vocab(&kinds);
        let normalized = |id: &u32| spec.flags.get(id).is_some_and(|flags| flags.normalized);
        let plain = of_kind(Kind::UserDefined).filter(|(_, id)| !normalized(id));
        let added = TokenMatcher::new(plain);
        let mut in_normalized = Vec::new();
        for (token, id) in of_kind(Kind::UserDefined).filter(|(_, id)| normalized(id)) {
            let mut token = NormalizedString::from(token);
            if let Some(normalizer) = &pre.normalizer {
                normalizer.normalize(&mut token).map_err(failed)?;
            }
            in_normalized.push((token.get().to_owned(), id));
        }
        let texts = in_normalized.iter().map(|(text, id)| (text.as_str(), *id));
        let added = [added, TokenMatcher::new(texts)];
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

        // There is no token for what is unknown (`Tokenizer::encode` refuses such text instead),
        // and no cache: one would keep what people typed in memory.
        let bpe = BpeBuilder::new()
            .cache_capacity(0)
            .ignore_merges(pre.ignore_merges)
            .byte_fallback(spec.model == "llama")
            .vocab_and_merges(vocab, merges)
            .build()
            .map_err(failed)?;
        let end_of_generation = spec.end_ids(&kinds);
        // They decode to what they were found as.
        for (text, id) in in_normalized {
            spec.tokens[id as usize] = text;
        }
        Ok(Self {
            end_of_generation,
            absent: (0u32..)
                .zip(0..spec.tokens.len())
                .filter(|(_, index)| spec.is_padding(*index))
                .map(|(id, _)| id)
                .collect(),
            tokens: spec.tokens,
            flags: spec.flags,
            kinds,
            pre,
            added,
            bpe,
            control,
            byte_of,
            has_byte,
            bos: spec.bos,
            eos: spec.eos,
            add_bos: spec.add_bos,
        })
    }

    /// Number of tokens; ids run from 0 to this, exclusive. Rows that a model has beyond are none.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// Ids within the vocabulary that no token has.
    pub fn absent(&self) -> &[u32] {
        &self.absent
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
        let [plain, normalized] = &self.added;
        let mut pieces = PreTokenizedString::from(text);
        pieces
            .split(|_, piece| Ok(self.take_out(piece, plain)))
            .map_err(failed)?;
        pieces
            .split(|_, mut piece| {
                if let Some(normalizer) = &self.pre.normalizer {
                    normalizer.normalize(&mut piece)?;
                }
                Ok(self.take_out(piece, normalized))
            })
            .map_err(failed)?;
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

    /// `piece` in runs of text and the tokens of `added`.
    fn take_out(
        &self,
        piece: NormalizedString,
        added: &TokenMatcher,
    ) -> Vec<(NormalizedString, Option<Vec<Token>>)> {
        if added.is_empty() {
            return vec![(piece, None)];
        }
        let parts = resolve(piece.get(), added.find(piece.get()), |id| self.flags(id));
        let part = |(range, id): (std::ops::Range<usize>, Option<u32>)| {
            let part = piece.slice(Range::Normalized(range))?;
            let token = |id| vec![Token::new(id, part.get().to_owned(), (0, part.len()))];
            Some((part.clone(), id.map(token)))
        };
        parts.into_iter().filter_map(part).collect()
    }

    fn flags(&self, id: u32) -> TokenFlags {
        self.flags.get(&id).copied().unwrap_or_default()
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
        self.encode_found(text, find([&self.control, &self.added[0]], text))
    }

    /// Ids of `text`, in which these tokens were found: each takes what its flags say.
    pub(super) fn encode_found(
        &self,
        text: &str,
        found: Vec<Found>,
    ) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        for (range, id) in resolve(text, found, |id| self.flags(id)) {
            match id {
                Some(id) => ids.push(id),
                None => ids.extend(self.encode_run(&text[range], ids.is_empty())?),
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

    /// Whether generation ends at `id`: a token that the file names as an end, or a well-known one.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.end_of_generation.binary_search(&id).is_ok()
    }

    /// The ids that end an answer, in order.
    #[must_use]
    pub fn ends_of_generation(&self) -> &[u32] {
        &self.end_of_generation
    }

    /// The token that ends a turn in the chat template, if the file names one.
    pub fn eos(&self) -> Option<u32> {
        self.eos
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
