//! Finds control tokens in text.

use std::collections::HashMap;

/// A set of token texts with their ids, found in a text leftmost first, the longest first.
#[derive(Debug, Default)]
pub(super) struct TokenMatcher {
    ids: HashMap<String, u32>,
    /// Lengths in bytes that occur in `ids`, longest first.
    lengths: Vec<usize>,
    /// Whether some token starts with this byte.
    starts: Vec<bool>,
}

/// A part of a text: a run between tokens, or a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Token(u32),
}

impl TokenMatcher {
    /// A matcher of these tokens. Empty texts are left out.
    pub(super) fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Self {
        let ids: HashMap<String, u32> = tokens
            .into_iter()
            .filter(|(text, _)| !text.is_empty())
            .collect();
        let mut lengths: Vec<usize> = ids.keys().map(String::len).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let mut starts = vec![false; 256];
        for text in ids.keys() {
            starts[usize::from(text.as_bytes()[0])] = true;
        }
        Self {
            ids,
            lengths,
            starts,
        }
    }

    /// The texts of all tokens, in no order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(String::as_str)
    }

    /// Length and id of the longest token that starts at byte `at` of `text`.
    pub(super) fn longest_at(&self, text: &str, at: usize) -> Option<(usize, u32)> {
        let first = *text.as_bytes().get(at)?;
        if !self.starts[usize::from(first)] {
            return None;
        }
        self.lengths.iter().find_map(|&length| {
            let id = self.ids.get(text.get(at..at + length)?)?;
            Some((length, *id))
        })
    }

    /// `text` as an alternation of non-empty runs and tokens; concatenated, they are `text`.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Part<'t>> {
        let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
        while at < text.len() {
            let Some((length, id)) = self.longest_at(text, at) else {
                at += 1;
                continue;
            };
            if start < at {
                parts.push(Part::Text(&text[start..at]));
            }
            parts.push(Part::Token(id));
            at += length;
            start = at;
        }
        if start < text.len() {
            parts.push(Part::Text(&text[start..]));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftmost_then_longest() {
        let tokens = [("<a>", 1), ("<a><b>", 2), ("b", 3), ("", 4), ("é", 5)];
        let matcher = TokenMatcher::new(tokens.map(|(t, id)| (t.to_owned(), id)));
        let parts = matcher.split("<a>x<a><b>bé<é>");
        let expected = [
            Part::Token(1),
            Part::Text("x"),
            Part::Token(2),
            Part::Token(3),
            Part::Token(5),
            Part::Text("<"),
            Part::Token(5),
            Part::Text(">"),
        ];
        assert_eq!(parts, expected);
        assert_eq!(TokenMatcher::new([]).split("ab"), [Part::Text("ab")]);
        assert!(matcher.split("").is_empty());
    }
}
