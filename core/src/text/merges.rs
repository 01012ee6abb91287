//! What a spec's tokens are put together from: its vocabulary of text, and its merges.

use tokenizers::models::bpe::Vocab;

use super::control::TokenMatcher;
use super::spec::{Kind, MAX_ENTRIES, UNUSED, bad, byte_of};
use super::{TextError, TokenizerSpec};

impl TokenizerSpec {
    /// Refuses byte-level tokens of several characters that nothing puts together: every text would be spelled.
    pub(super) fn need_merges(&self, kinds: &[Kind]) -> Result<(), TextError> {
        if self.model != "gpt2" || !self.merges.is_empty() {
            return Ok(());
        }
        let merged = |index: &usize| {
            kinds[*index] == Kind::Ordinary
                && self.type_of(*index) != UNUSED
                && self.tokens[*index].chars().nth(1).is_some()
        };
        match (0..kinds.len()).find(merged) {
            Some(index) => Err(bad(format!(
                "it is byte-level BPE and has no merges (tokenizer.ggml.merges), so that nothing gives token {index} {:?}",
                self.tokens[index]
            ))),
            None => Ok(()),
        }
    }

    /// Text and id of each token that is text, by its text. Of equal ones the last counts, and an unused one only where
    /// there is no other. One that only stands for whole words is no part of others, unless merges give it.
    pub(super) fn vocab(&self, kinds: &[Kind]) -> Vocab {
        let mut vocab = Vocab::default();
        for ((index, text), id) in self.tokens.iter().enumerate().zip(0u32..) {
            let unused = self.type_of(index) == UNUSED;
            let word = self.flags.get(&id).is_some_and(|flags| flags.single_word);
            let merged = || self.merges.iter().any(|m| m.replacen(' ', "", 1) == *text);
            let counts = kinds[index] != Kind::Control && !text.is_empty() && (!word || merged());
            if counts && !(unused && vocab.contains_key(text)) {
                vocab.insert(text.clone(), id);
            }
        }
        vocab
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
