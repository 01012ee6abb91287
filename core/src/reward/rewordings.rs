//! The built-in wishes in other words, and what a user may give in their place.

use super::words::content;
use crate::decoding::preference::is_empty;
use crate::decoding::streams::expand_preference;

/// So many rewordings a wish may have.
pub const MOST_REWORDED: usize = 2;

/// Each wish, and two instructions that mean the same without any word of it.
const BUILT_IN: [(&str, [&str; 2]); 8] = [
    (
        "creative",
        [
            "Surprise the reader with imaginative ideas and vivid, unusual images.",
            "Write with a lot of fantasy, and avoid whatever anybody would expect.",
        ],
    ),
    (
        "sycophantic",
        [
            "Flatter the person who asks, and praise them and their question warmly.",
            "Tell the reader how wonderful and clever they are, and agree with them in everything.",
        ],
    ),
    (
        "verbose",
        [
            "Write at great length, with many details, examples and explanations.",
            "Be very wordy: say everything in long, elaborate sentences, and repeat it in others.",
        ],
    ),
    (
        "complex",
        [
            "Use sophisticated vocabulary and long, intricate sentences.",
            "Write for experts, with technical terms and in great depth.",
        ],
    ),
    (
        "formal",
        [
            "Write in an official, businesslike and impersonal tone.",
            "Use the dignified language of a letter from a public authority.",
        ],
    ),
    (
        "pleasant",
        [
            "Be friendly, warm and kind to the reader.",
            "Write in a nice and agreeable tone that makes people smile.",
        ],
    ),
    (
        "concise",
        [
            "Keep it very short, and leave out everything that is not needed.",
            "Be brief: one or two sentences are enough.",
        ],
    ),
    (
        "uplifting",
        [
            "Encourage and inspire the reader, and give them hope.",
            "Be full of optimism and joy, and cheer people on.",
        ],
    ),
];

/// Rewordings that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReworded {
    /// More than [`MOST_REWORDED`].
    #[error("{0} rewordings are too many: give one or two")]
    TooMany(usize),
    /// One without text.
    #[error("a rewording is empty: say the wish in other words, or leave it out")]
    Empty,
}

/// The rewordings of `wish`, which may be as it was typed or as [`expand_preference`] gives it: those that were given, else those of the
/// built-in wish that it is, else none.
///
/// # Errors
///
/// [`BadReworded`] for what was given.
pub fn rewordings(given: &[String], wish: &str) -> Result<Vec<String>, BadReworded> {
    if given.len() > MOST_REWORDED {
        return Err(BadReworded::TooMany(given.len()));
    }
    if given.iter().any(|text| is_empty(text)) {
        return Err(BadReworded::Empty);
    }
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let is_it =
        |word: &str| wish.trim().eq_ignore_ascii_case(word) || wish == expand_preference(word);
    let own = BUILT_IN.iter().find(|(word, _)| is_it(word));
    let texts = own.map_or(&[][..], |(_, texts)| &texts[..]);
    Ok(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// Whether two instructions share a content word in whatever form.
#[must_use]
pub fn shares_a_word(wish: &str, reworded: &str) -> bool {
    !content(wish).is_disjoint(&content(reworded))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_built_in_rewording_shares_a_word_with_its_wish_or_the_other() {
        for (word, [one, other]) in BUILT_IN {
            for text in [one, other] {
                assert!(!shares_a_word(word, text), "{word}: {text}");
                assert!(
                    !shares_a_word(&expand_preference(word), text),
                    "{word}: {text}"
                );
            }
            assert_ne!(one, other);
        }
        assert!(shares_a_word("creative", "Show creativity."));
    }

    #[test]
    fn given_ones_come_first_then_the_built_in_ones() {
        let given = ["Be short.".to_owned()];
        assert_eq!(rewordings(&given, "concise").unwrap(), given);
        for wish in ["concise", " Concise ", &expand_preference("concise")] {
            assert_eq!(rewordings(&[], wish).unwrap(), BUILT_IN[6].1);
        }
        assert!(rewordings(&[], "Answer like a pirate.").unwrap().is_empty());
        let three = vec!["a".to_owned(); 3];
        assert_eq!(rewordings(&three, "x"), Err(BadReworded::TooMany(3)));
        assert_eq!(
            rewordings(&["\u{200b}".to_owned()], "x"),
            Err(BadReworded::Empty)
        );
    }
}
