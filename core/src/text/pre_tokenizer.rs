//! What a text goes through before its pieces are merged: by the name that `tokenizer.ggml.pre`
//! gives it, with the settings of the models' own tokenizer.json, or as a tokenizer.json says.

use serde_json::Value;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::TextError;

/// The names we know. Those of one row are the same, the first being the one we write.
const NAMES: [&[&str]; 6] = [
    &["smollm"],
    &["gpt-2", "phi-2"],
    &["qwen2", "deepseek-r1-qwen"],
    &["llama-bpe", "llama3", "llama-v3"],
    &["smaug-bpe"],
    &["tekken"],
];

/// All names, for messages.
pub(super) fn names() -> String {
    NAMES.concat().join(", ")
}

/// What a text goes through before its pieces are merged.
#[derive(Debug)]
pub(super) struct PreTokenization {
    pub(super) normalizer: Option<NormalizerWrapper>,
    at_start: Option<PreTokenizerWrapper>,
    /// The one of text that follows a control token, where it is another.
    later: Option<PreTokenizerWrapper>,
    /// A piece that is itself a token is taken whole, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Decoding leaves out a space at the text's beginning.
    pub(super) drops_first_space: bool,
}

impl PreTokenization {
    /// The one of this name; an error that lists the known ones otherwise.
    pub(super) fn named(name: Option<&str>) -> Result<Self, TextError> {
        let row = name.and_then(|name| NAMES.iter().find(|row| row.contains(&name)));
        let known = row.map(|row| row[0]);
        let steps = match known {
            Some("smollm") => vec![Digits::new(true).into(), byte_level(true)],
            Some("gpt-2") => vec![byte_level(true)],
            Some("qwen2") => vec![words(1)?, byte_level(false)],
            Some("llama-bpe" | "smaug-bpe") => vec![words(3)?, byte_level(false)],
            Some("tekken") => vec![cased_words()?, byte_level(false)],
            _ => return Err(TextError::UnknownPreTokenizer(name.map(str::to_owned))),
        };
        let normalizer = (known == Some("qwen2")).then(|| NFC.into());
        let ignore_merges = matches!(known, Some("llama-bpe" | "tekken"));
        Ok(Self::of(normalizer, steps, ignore_merges))
    }

    /// SentencePiece's: a space in front if `prefix` says so, and all spaces written `▁`.
    pub(super) fn spaces(prefix: bool) -> Self {
        let prepend = prefix.then(|| Prepend::new("▁".to_owned()).into());
        // A plain string always compiles.
        let replace = Replace::new(" ", "▁").ok().map(Into::into);
        let steps = prepend.into_iter().chain(replace).collect();
        let normalizer = Some(Normalizers::new(steps).into());
        Self {
            drops_first_space: prefix,
            ..Self::of(normalizer, Vec::new(), false)
        }
    }

    /// These steps. A `Metaspace` that puts its space at the first piece alone puts none later.
    pub(super) fn of(
        normalizer: Option<NormalizerWrapper>,
        steps: Vec<PreTokenizerWrapper>,
        ignore_merges: bool,
    ) -> Self {
        let mut later = steps.clone();
        let mut differs = false;
        for step in &mut later {
            if let PreTokenizerWrapper::Metaspace(metaspace) = step
                && metaspace.prepend_scheme == PrependScheme::First
            {
                metaspace.prepend_scheme = PrependScheme::Never;
                differs = true;
            }
        }
        let sequence = |steps: Vec<_>| (!steps.is_empty()).then(|| Sequence::new(steps).into());
        Self {
            normalizer,
            at_start: sequence(steps),
            later: sequence(later).filter(|_| differs),
            ignore_merges,
            drops_first_space: false,
        }
    }

    /// The pre-tokenizer of text at the beginning (`first`) or behind a control token.
    pub(super) fn pre_tokenizer(&self, first: bool) -> Option<&PreTokenizerWrapper> {
        let later = self.later.as_ref().filter(|_| !first);
        later.or(self.at_start.as_ref())
    }

    /// What it does, in the words of a tokenizer.json: two that are the same do the same.
    fn described(&self) -> (Vec<Value>, Vec<Value>, bool) {
        let described = |value: Result<Value, _>| {
            let mut steps = Vec::new();
            flatten(&value.unwrap_or(Value::Null), &mut steps);
            steps
        };
        let normalizer = described(serde_json::to_value(&self.normalizer));
        let pre_tokenizer = described(serde_json::to_value(&self.at_start));
        (normalizer, pre_tokenizer, self.ignore_merges)
    }

    /// The name of the one that does what this does.
    pub(super) fn name(&self) -> Option<&'static str> {
        let same = |name: &&str| {
            Self::named(Some(name)).is_ok_and(|known| known.described() == self.described())
        };
        NAMES.iter().map(|row| row[0]).find(same)
    }

    /// Whether this is [`PreTokenization::spaces`], and with which prefix.
    pub(super) fn is_spaces(&self) -> Option<bool> {
        let (normalizer, mut steps, ignore_merges) = self.described();
        // Gemma's splits at spaces when there are none left.
        steps.retain(|step| step["pattern"] != serde_json::json!({"String": " "}));
        let same = |prefix: &bool| {
            let known = Self::spaces(*prefix);
            known.drops_first_space == self.drops_first_space && known.described().0 == normalizer
        };
        let plain = steps.is_empty() && !ignore_merges;
        [true, false].into_iter().find(same).filter(|_| plain)
    }
}

/// Adds the steps in `value` to `steps`, without what makes no difference to ids.
fn flatten(value: &Value, steps: &mut Vec<Value>) {
    let inner = value.get("normalizers").or(value.get("pretokenizers"));
    if let Some(inner) = inner.and_then(Value::as_array) {
        inner.iter().for_each(|step| flatten(step, steps));
    } else if !value.is_null() {
        let mut step = value.clone();
        if let Some(fields) = step.as_object_mut() {
            fields.remove("trim_offsets");
        }
        steps.push(step);
    }
}

/// Whether `name` is a pre-tokenizer's.
pub(crate) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|row| row.contains(&name))
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
    split(&[
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        &number,
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ])
}

/// The word pattern of Mistral's Tekken: a word ends before a capital, digits stand alone.
fn cased_words() -> Result<PreTokenizerWrapper, TextError> {
    split(&[
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ])
}

/// Splits where one of these matches, the first that does.
fn split(alternatives: &[&str]) -> Result<PreTokenizerWrapper, TextError> {
    Split::new(
        SplitPattern::Regex(alternatives.join("|")),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map(Into::into)
    .map_err(|e| TextError::Encode(e.to_string()))
}
