//! What a model's files say of its tokenizer, and the checks of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{TextError, pre_tokenizer};

/// More tokens, or merges, than any real model has.
pub(super) const MAX_ENTRIES: usize = 1 << 22;
/// More bytes than any real control token has.
const MAX_CONTROL_BYTES: usize = 256;
/// More bytes than any real user-defined token has.
const MAX_USER_DEFINED_BYTES: usize = 1024;

/// `tokenizer.ggml.token_type` (GGUF's llama_token_type).
pub(super) const NORMAL: i32 = 1;
pub(super) const UNKNOWN: i32 = 2;
pub(super) const CONTROL: i32 = 3;
pub(super) const USER_DEFINED: i32 = 4;
pub(super) const UNUSED: i32 = 5;
pub(super) const BYTE: i32 = 6;
const TYPES: std::ops::RangeInclusive<i32> = 0..=BYTE;

/// Tokens that end an answer in the known model families, whatever the file calls them.
const ENDS: [&str; 10] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
];
/// The same, but only where the file says that they are control tokens: they may also be text.
const ENDS_IF_CONTROL: [&str; 10] = [
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<turn|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_utterance>",
];

/// How an added token of a tokenizer.json is found in a text; none of it is what GGUF files can say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenFlags {
    /// It takes the spaces before it.
    pub lstrip: bool,
    /// It takes the spaces behind it.
    pub rstrip: bool,
    /// It is none within a word.
    pub single_word: bool,
    /// It is looked for after the text was normalized (a control token is itself either way).
    pub normalized: bool,
}

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
    /// `tokenizer.ggml.eom_token_id`: end of a message.
    pub eom: Option<u32>,
    /// `tokenizer.ggml.eos_token_ids`: further tokens that end an answer.
    pub ends: Vec<u32>,
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
    /// Tokens that are found otherwise than as they stand. A GGUF file that needs them carries the whole
    /// `tokenizer.json`.
    pub flags: BTreeMap<u32, TokenFlags>,
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
    /// How a row without a token is written, its type being unused, as ggml's converter does it.
    pub(super) fn padding(index: usize) -> String {
        format!("[PAD{index}]")
    }

    /// Fills the lists up to `rows` tokens, as ggml's converter does it: readers take the model's size from them.
    pub fn pad_to(&mut self, rows: usize) {
        let padding = self.tokens.len()..rows;
        let types = self
            .token_types
            .get_or_insert_with(|| vec![NORMAL; padding.start]);
        types.resize(rows, UNUSED);
        // A control token for us, and for SentencePiece one of its own kind.
        if self.model == "llama"
            && let Some(unknown) = self.unknown.and_then(|id| types.get_mut(id as usize))
        {
            *unknown = UNKNOWN;
        }
        if let Some(scores) = &mut self.scores {
            scores.resize(rows, -1000.0);
        }
        self.tokens.extend(padding.map(Self::padding));
    }

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

    /// Lets control tokens take the spaces behind them, as Phi-3's tokenizer.json says it: all but those that begin or
    /// end a whole text.
    pub fn strip_like_phi3(&mut self) {
        let rstrip = TokenFlags {
            rstrip: true,
            ..TokenFlags::default()
        };
        for (index, text) in self.tokens.iter().enumerate() {
            let whole = ["<unk>", "<s>", "<|endoftext|>"].contains(&text.as_str());
            if !whole && (text == "</s>" || self.type_of(index) == CONTROL) {
                self.flags
                    .extend(u32::try_from(index).map(|id| (id, rstrip)));
            }
        }
    }

    /// Checks the counts, and takes back what says nothing: rows at the end that are no tokens, and ids that name
    /// none. `bos` and `unknown` must not name ordinary text either, which would then be missing from every text.
    pub(super) fn tidy(&mut self) -> Result<(), TextError> {
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
        for (given, what) in [
            (self.token_types.as_ref().map(Vec::len), "token types"),
            (self.scores.as_ref().map(Vec::len), "scores"),
        ] {
            if let Some(given) = given.filter(|given| *given != count) {
                return Err(bad(format!("{given} {what} for {count} tokens")));
            }
        }
        let kept = (0..count).rev().find(|index| !self.is_padding(*index));
        let count = kept.map_or(0, |last| last + 1);
        if count == 0 {
            return Err(bad("no row of it has a token".to_owned()));
        }
        self.tokens.truncate(count);
        if let Some(types) = &mut self.token_types {
            types.truncate(count);
        }
        if let Some(scores) = &mut self.scores {
            scores.truncate(count);
        }
        let is_token = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < count);
        let [bos, unknown] = [self.bos, self.unknown]
            .map(|id| id.filter(|id| is_token(id) && !self.is_text(*id as usize)));
        (self.bos, self.unknown) = (bos, unknown);
        for id in [&mut self.eos, &mut self.eot, &mut self.eom] {
            *id = id.filter(is_token);
        }
        self.ends.retain(is_token);
        Ok(())
    }

    /// The type of the token at `index`; 0 where there are no types.
    pub(super) fn type_of(&self, index: usize) -> i32 {
        let types = self.token_types.as_deref().unwrap_or_default();
        types.get(index).copied().unwrap_or_default()
    }

    /// Whether the row at `index` is one without a token, as converters fill them in.
    pub(super) fn is_padding(&self, index: usize) -> bool {
        self.type_of(index) == UNUSED && self.tokens[index] == Self::padding(index)
    }

    /// Whether the token at `index` is what texts consist of, by its type and by how it is written.
    fn is_text(&self, index: usize) -> bool {
        let text = self.tokens[index].as_str();
        let within = |open: char, close: char| {
            let inner = text.strip_prefix(open).and_then(|t| t.strip_suffix(close));
            inner.is_some_and(|inner| !inner.is_empty())
        };
        let marked = within('<', '>') || within('[', ']') || within('|', '|');
        match self.type_of(index) {
            UNKNOWN | CONTROL | USER_DEFINED | UNUSED => false,
            BYTE => true,
            _ => !marked || (self.model == "llama" && byte_of(text).is_some()),
        }
    }

    /// Tokens that end an answer: those that the file names, whatever they are, and the known families' control
    /// tokens.
    pub(super) fn end_ids(&self, kinds: &[Kind]) -> Vec<u32> {
        let named = [self.eos, self.eot, self.eom].into_iter().flatten();
        let known = (0u32..).zip(&self.tokens).zip(kinds);
        let known = known.filter(|((_, text), kind)| {
            let text = text.as_str();
            **kind == Kind::Control && (ENDS.contains(&text) || ENDS_IF_CONTROL.contains(&text))
        });
        let known = known.map(|((id, _), _)| id);
        let mut ends: Vec<u32> = named
            .chain(self.ends.iter().copied())
            .chain(known)
            .collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// The kind of each token of a [tidy](Self::tidy) spec.
    pub(super) fn kinds(&self) -> Result<Vec<Kind>, TextError> {
        let types = self.token_types.as_deref().unwrap_or_default();
        if let Some((id, kind)) = types.iter().enumerate().find(|(_, t)| !TYPES.contains(t)) {
            return Err(bad(format!("token {id} has the unknown type {kind}")));
        }
        let named = [self.bos, self.unknown, self.eos, self.eot, self.eom];
        let named = named.iter().flatten().chain(&self.ends);
        // An end that is text ends answers, and stays text.
        let named: HashSet<usize> = named
            .map(|id| *id as usize)
            .filter(|index| !self.is_text(*index))
            .collect();
        let mut kinds = Vec::with_capacity(self.tokens.len());
        for (index, text) in self.tokens.iter().enumerate() {
            let kind = self.type_of(index);
            let marked = |open, close| text.starts_with(open) && text.ends_with(close);
            // The second are DeepSeek's, with fullwidth bars.
            let marked = kind != NORMAL && (marked("<|", "|>") || marked("<｜", "｜>"));
            let control = matches!(kind, CONTROL | UNKNOWN)
                || named.contains(&index)
                || ENDS.contains(&text.as_str())
                || marked;
            let (length, most) = match (control, kind) {
                (true, _) => (text.len(), MAX_CONTROL_BYTES),
                (false, USER_DEFINED) => (text.len(), MAX_USER_DEFINED_BYTES),
                (false, _) => (0, 0),
            };
            if length > most {
                let what = if control { "control" } else { "user-defined" };
                return Err(bad(format!("{what} token {index} has {length} bytes")));
            }
            kinds.push(match kind {
                _ if control => Kind::Control,
                USER_DEFINED => Kind::UserDefined,
                BYTE if self.model == "llama" => Kind::Byte(byte_of(text).ok_or_else(|| {
                    bad(format!(
                        "byte token {index} is {text:?}, and not like <0x0A>"
                    ))
                })?),
                _ => Kind::Ordinary,
            });
        }
        self.need_merges(&kinds)?;
        Ok(kinds)
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
