//! Finds tokens in text.

use std::ops::Range;
use std::sync::LazyLock;

use tokenizers::utils::SysRegex;

use super::TokenFlags;

/// A set of token texts with their ids, found in a text leftmost first, the longest first. It takes few times the
/// memory of the texts: they come from outside.
#[derive(Debug, Default)]
pub(super) struct TokenMatcher {
    /// In the order of the texts' bytes, no text twice, none empty.
    tokens: Vec<(Box<str>, u32)>,
    /// Where among them those begin that start with each byte, and the end.
    starts: Vec<usize>,
}

/// A token that was found, and where.
pub(super) type Found = (Range<usize>, u32);

/// A part of a text: a run between tokens, or a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Token(u32),
}

impl TokenMatcher {
    /// A matcher of these tokens. Empty texts are left out; of equal ones the last counts.
    pub(super) fn new<'t>(tokens: impl IntoIterator<Item = (&'t str, u32)>) -> Self {
        let mut tokens: Vec<(Box<str>, u32)> = tokens
            .into_iter()
            .filter(|(text, _)| !text.is_empty())
            .map(|(text, id)| (text.into(), id))
            .collect();
        tokens.reverse();
        tokens.sort_by(|(a, _), (b, _)| a.cmp(b));
        tokens.dedup_by(|(later, _), (first, _)| later == first);
        tokens.shrink_to_fit();
        let starts = (0..=256)
            .map(|byte| tokens.partition_point(|(text, _)| usize::from(text.as_bytes()[0]) < byte))
            .collect();
        Self { tokens, starts }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The texts of all tokens, in their bytes' order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|(text, _)| &**text)
    }

    /// Length and id of the longest token that starts at byte `at` of `text`.
    pub(super) fn longest_at(&self, text: &str, at: usize) -> Option<(usize, u32)> {
        let text = text.as_bytes().get(at..)?;
        let first = usize::from(*text.first()?);
        let bounds = self.starts.get(first..first + 2)?;
        // Those that begin with the first `depth` bytes of `text`.
        let mut left = &self.tokens[bounds[0]..bounds[1]];
        let mut longest = None;
        for depth in 1.. {
            let Some((shortest, id)) = left.first() else {
                break;
            };
            if shortest.len() == depth {
                longest = Some((depth, *id));
                left = &left[1..];
            }
            let Some(next) = text.get(depth) else { break };
            let byte = |(token, _): &(Box<str>, u32)| token.as_bytes()[depth];
            let begin = left.partition_point(|token| byte(token) < *next);
            let end = left.partition_point(|token| byte(token) <= *next);
            left = &left[begin..end];
        }
        longest
    }

    /// The tokens in `text`, in order.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        find([self], text)
    }

    /// `text` as an alternation of non-empty runs and tokens; concatenated, they are `text`.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Part<'t>> {
        let plain = |_| TokenFlags::default();
        let part = |(range, id): (Range<usize>, Option<u32>)| match id {
            Some(id) => Part::Token(id),
            None => Part::Text(&text[range]),
        };
        let parts = resolve(text, self.find(text), plain).into_iter();
        parts.map(part).collect()
    }
}

/// The tokens of all `matchers` in `text`, in order.
pub(super) fn find<const N: usize>(matchers: [&TokenMatcher; N], text: &str) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match matchers.iter().filter_map(|m| m.longest_at(text, at)).max() {
            Some((length, id)) => {
                found.push((at..at + length, id));
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

/// `text` in runs and tokens, where tokens were found in it: each takes the spaces beside it that its flags say, and
/// within a word is none if it stands for whole ones. In the order and with the results of the `tokenizers` package.
pub(super) fn resolve(
    text: &str,
    found: impl IntoIterator<Item = Found>,
    flags: impl Fn(u32) -> TokenFlags,
) -> Vec<(Range<usize>, Option<u32>)> {
    let (mut parts, mut done) = (Vec::new(), 0);
    for (Range { mut start, mut end }, id) in found {
        let flags = flags(id);
        let (before, after) = (&text[..start], &text[end..]);
        if flags.single_word
            && (before.chars().next_back().is_some_and(is_word)
                || after.chars().next().is_some_and(is_word))
        {
            continue;
        }
        if flags.lstrip {
            start = before.trim_end().len().max(done);
        }
        if flags.rstrip {
            end = text.len() - after.trim_start().len();
        }
        if done < start {
            parts.push((done..start, None));
        }
        parts.push((start..end, Some(id)));
        done = end;
    }
    if done < text.len() {
        parts.push((done..text.len(), None));
    }
    parts
}

/// What a regular expression's `\w` matches.
fn is_word(character: char) -> bool {
    static WORD: LazyLock<Option<SysRegex>> = LazyLock::new(|| SysRegex::new(r"\w").ok());
    let text = character.encode_utf8(&mut [0; 4]).to_owned();
    match &*WORD {
        Some(word) => word.find_iter(&text).next().is_some(),
        None => character.is_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftmost_then_longest() {
        let tokens = [
            ("<a>", 1),
            ("<a><b>", 2),
            ("b", 7),
            ("b", 3),
            ("", 4),
            ("é", 5),
        ];
        let matcher = TokenMatcher::new(tokens);
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
        let texts: Vec<&str> = matcher.texts().collect();
        assert_eq!(texts, ["<a>", "<a><b>", "b", "é"]);
    }

    #[test]
    fn words_are_what_regular_expressions_say() {
        // Python's `regex`: [c for c in "aé一1_²½Ⅷ.\u0301\u200d 🦀" if regex.match(r"\w", c)].
        let words: String = { "aé一1_²½Ⅷ.\u{301}\u{200d} 🦀".chars() }
            .filter(|c| is_word(*c))
            .collect();
        assert_eq!(words, "aé一1_Ⅷ\u{301}\u{200d}");
    }
}
