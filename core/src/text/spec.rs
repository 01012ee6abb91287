//! What a model's files say of its tokenizer, and the checks of it.

use std::collections::HashMap;

use tokenizers::models::bpe::Vocab;

use super::control::TokenMatcher;
use super::{TextError, pre_tokenizer};

/// More tokens, or merges, than any real model has.
pub(super) const MAX_ENTRIES: usize = 1 << 22;
/// More bytes than any real control token has.
const MAX_CONTROL_BYTES: usize = 256;

/// `tokenizer.ggml.token_type` (GGUF's llama_token_type).
pub(super) const NORMAL: i32 = 1;
pub(super) const UNKNOWN: i32 = 2;
pub(super) const CONTROL: i32 = 3;
pub(super) const USER_DEFINED: i32 = 4;
pub(super) const UNUSED: i32 = 5;
pub(super) const BYTE: i32 = 6;
const TYPES: std::ops::RangeInclusive<i32> = 0..=BYTE;

/// Tokens that end an answer in the known model families, whatever the file calls them.
pub(super) const END_OF_GENERATION: [&str; 8] = [
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

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes in the byte-level alphabet, or text with `▁` for spaces.
    Ordinary,
    /// One byte of what no other token of a `llama` vocabulary has: `<0xNN>`.
    Byte(u8),
    /// Plain text, recognized as a whole in any text.
    UserDefined,
    /// Plain text; never made from ordinary text.
    Control,
}

pub(super) fn bad(what: String) -> TextError {
    TextError::BadVocabulary(what)
}

/// The byte that a token written `<0xNN>` stands for.
pub(super) fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let plain = digits.len() == 2
        && digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    u8::from_str_radix(digits, 16).ok().filter(|_| plain)
}

impl TokenizerSpec {
    /// Whether `pre` is a name that we know for `tokenizer.ggml.pre`.
    #[must_use]
    pub fn knows_pre(pre: &str) -> bool {
        pre_tokenizer::is_known(pre)
    }

    /// Whether plain text gets a `bos` with this `tokenizer.ggml.pre` where the file doesn't say
    /// (llama-vocab.cpp).
    #[must_use]
    pub fn pre_adds_bos(pre: &str) -> bool {
        matches!(pre, "llama-bpe" | "llama3" | "llama-v3" | "tekken")
    }

    /// The kind of each token, with the counts, types and ids checked.
    pub(super) fn kinds(&self) -> Result<Vec<Kind>, TextError> {
        let count = self.tokens.len();
        if count == 0 {
            return Err(bad("the vocabulary is empty".to_owned()));
        }
        for (entries, what) in [(count, "tokens"), (self.merges.len(), "merges")] {
            if entries > MAX_ENTRIES {
                return Err(bad(format!(
                    "{entries} {what}, more than the limit of {MAX_ENTRIES}"
                )));
            }
        }
        let types = self.token_types.as_deref().unwrap_or_default();
        let scores = self.scores.as_deref().unwrap_or_default();
        for (given, length, what) in [
            (self.token_types.is_some(), types.len(), "token types"),
            (self.scores.is_some(), scores.len(), "scores"),
        ] {
            if given && length != count {
                return Err(bad(format!("{length} {what} for {count} tokens")));
            }
        }
        if let Some((id, kind)) = types.iter().enumerate().find(|(_, t)| !TYPES.contains(t)) {
            return Err(bad(format!("token {id} has the unknown type {kind}")));
        }
        let named = [
            ("bos", self.bos),
            ("eos", self.eos),
            ("eot", self.eot),
            ("unknown", self.unknown),
        ];
        for (name, id) in named {
            if let Some(id) = id.filter(|id| usize::try_from(*id).map_or(true, |id| id >= count)) {
                return Err(bad(format!("{name} is token {id} of {count}")));
            }
        }
        let mut kinds = Vec::with_capacity(count);
        for (id, text) in (0u32..).zip(&self.tokens) {
            let kind = types.get(kinds.len()).copied().unwrap_or_default();
            let marked = |open, close| text.starts_with(open) && text.ends_with(close);
            // The second are DeepSeek's, with fullwidth bars.
            let marked = kind != NORMAL && (marked("<|", "|>") || marked("<｜", "｜>"));
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
                BYTE if self.model == "llama" => Kind::Byte(byte_of(text).ok_or_else(|| {
                    bad(format!("byte token {id} is {text:?}, and not like <0x0A>"))
                })?),
                _ => Kind::Ordinary,
            });
        }
        Ok(kinds)
    }

    /// The merges as pairs; those that touch a control token are left out, since no text has one.
    pub(super) fn pairs(
        &self,
        vocab: &Vocab,
        control: &TokenMatcher,
    ) -> Result<Vec<(String, String)>, TextError> {
        let mut pairs = Vec::with_capacity(self.merges.len());
        'merges: for (rank, merge) in self.merges.iter().enumerate() {
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
            // What a byte token stands for is no text with its name.
            if self.model != "llama" || byte_of(&merged).is_none() {
                pairs.push((left.to_owned(), right.to_owned()));
            }
        }
        Ok(pairs)
    }

    /// The merges that a `llama` vocabulary's scores stand for: every way to put a token together
    /// from two, the highest score first (transformers, convert_slow_tokenizer.py,
    /// `generate_merges`, orders equal ones the same way).
    pub(super) fn pairs_by_score(
        &self,
        kinds: &[Kind],
        vocab: &Vocab,
    ) -> Result<Vec<(String, String)>, TextError> {
        /// Work on the longest tokens, in squared bytes; Gemma's 256000 take a tenth of it.
        const MAX_WORK: usize = 1 << 28;
        let scores = self.scores.as_deref().ok_or_else(|| {
            bad("neither tokenizer.ggml.scores nor tokenizer.ggml.merges are there".to_owned())
        })?;
        let types = self.token_types.as_deref().unwrap_or_default();
        let lengths = self.tokens.iter().map(String::len);
        if lengths.fold(0usize, |sum, n| sum.saturating_add(n.saturating_mul(n))) > MAX_WORK {
            return Err(bad("its tokens are too long".to_owned()));
        }
        let mut found = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let merged = matches!(kinds[id], Kind::Ordinary | Kind::UserDefined)
                && types.get(id) != Some(&UNUSED);
            if !merged {
                continue;
            }
            let characters = token.chars().count();
            let begin = found.len();
            for (left_length, (at, _)) in token.char_indices().enumerate().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(a), Some(b)) = (vocab.get(left), vocab.get(right)) {
                    let key = (scores[id], left_length, characters - left_length);
                    found.push((key, (*a, *b), (id, at)));
                }
            }
            if found.len() > MAX_ENTRIES {
                return Err(bad(format!("more than {MAX_ENTRIES} merges")));
            }
            found[begin..].sort_by_key(|(_, halves, _)| *halves);
        }
        found.sort_by(|(a, ..), (b, ..)| {
            (b.0.total_cmp(&a.0)).then_with(|| (b.1, b.2).cmp(&(a.1, a.2)))
        });
        let halves = found.into_iter().map(|(_, _, (id, at))| {
            let (left, right) = self.tokens[id].split_at(at);
            (left.to_owned(), right.to_owned())
        });
        Ok(halves.collect())
    }
}

/// GPT-2's byte-level alphabet: printable Latin-1 bytes stand for themselves, the others, in
/// order, for the characters from U+0100 on.
pub(super) fn byte_level_alphabet() -> HashMap<char, u8> {
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
