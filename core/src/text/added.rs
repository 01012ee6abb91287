//! The tokens that a `tokenizer.json` adds to its vocabulary, and how each is found in a text.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::from_json::{parse, refused};
use super::{TextError, TokenFlags, TokenizerSpec};

#[derive(Deserialize, Serialize)]
pub(super) struct Added {
    /// Not there in `tokenizer_config.json`, where it is the key.
    #[serde(default)]
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) normalized: Option<bool>,
}

/// What is found in a text before all else.
#[derive(Deserialize)]
struct AddedTokens {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<IgnoredAny>,
}

impl TokenizerSpec {
    /// The [`flags`](Self::flags) of the tokens that a `tokenizer.json` adds.
    ///
    /// # Errors
    /// [`TextError::Json`] where it can't be read.
    pub fn flags_of_json(tokenizer_json: &str) -> Result<BTreeMap<u32, TokenFlags>, TextError> {
        let file: AddedTokens = parse(tokenizer_json)?;
        Ok(flags(&file.added_tokens, file.normalizer.is_some()))
    }
}

/// The tokens of a `tokenizer_config.json` that the `tokenizer.json` does not add itself.
pub(super) fn further(
    config: Option<BTreeMap<u32, Added>>,
    added: &[Added],
    vocab: &HashMap<String, u32>,
) -> Vec<Added> {
    let known: HashSet<(Option<u32>, Option<&str>)> = added
        .iter()
        .flat_map(|token| [(Some(token.id), None), (None, Some(token.content.as_str()))])
        .collect();
    let tokens = config.unwrap_or_default().into_iter();
    let placed = tokens.map(|(id, token)| Added {
        // The vocabulary knows best which one it is.
        id: vocab.get(&token.content).copied().unwrap_or(id),
        normalized: Some(token.normalized.unwrap_or(!token.special)),
        ..token
    });
    let is_new = |token: &Added| {
        !known.contains(&(Some(token.id), None))
            && !known.contains(&(None, Some(token.content.as_str())))
    };
    placed.filter(is_new).collect()
}

/// The text of a `tokenizer.json` with these tokens, too.
pub(super) fn extended(tokenizer_json: &str, further: &[Added]) -> Result<String, TextError> {
    let unwritten = |error: serde_json::Error| refused(error.to_string());
    let mut file: Value = parse(tokenizer_json)?;
    let further = serde_json::to_value(further).map_err(unwritten)?;
    match (&mut file["added_tokens"], further) {
        (Value::Array(tokens), Value::Array(further)) => tokens.extend(further),
        (other, further) => *other = further,
    }
    Ok(file.to_string())
}

/// What differs from how tokens are found without a word about it.
pub(super) fn flags(added: &[Added], normalizes: bool) -> BTreeMap<u32, TokenFlags> {
    let flags = |token: &Added| TokenFlags {
        lstrip: token.lstrip,
        rstrip: token.rstrip,
        single_word: token.single_word,
        normalized: normalizes && !token.special && token.normalized.unwrap_or(true),
    };
    let all = added.iter().map(|token| (token.id, flags(token)));
    all.filter(|(_, flags)| *flags != TokenFlags::default())
        .collect()
}
