//! The built-in wishes in other words, and what a user may give in their place.

use crate::decoding::PromptSet;
use crate::decoding::preference::is_empty;
use crate::decoding::wishes::WISHES;

/// So many rewordings a wish may have.
pub const MOST_REWORDED: usize = 2;

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

/// The rewordings of `wish`, which may be as it was typed or as a [`PromptSet`] words it: those that were given, else those of
/// the built-in wish that it is, else none.
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
    let is_it = |word: &str| {
        let worded = |set: PromptSet| wish == set.instruction(word);
        wish.trim().eq_ignore_ascii_case(word) || PromptSet::ALL.into_iter().any(worded)
    };
    let own = WISHES.iter().find(|known| is_it(known.word));
    let texts = own.map_or(&[][..], |known| &known.reworded[..]);
    Ok(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::words::content;
    use super::*;

    /// Whether two instructions share a content word in whatever form.
    fn shares_a_word(wish: &str, reworded: &str) -> bool {
        !content(wish).is_disjoint(&content(reworded))
    }

    #[test]
    fn no_built_in_rewording_shares_a_word_with_its_wish() {
        for wish in WISHES {
            for text in wish.reworded {
                assert!(!shares_a_word(wish.word, text), "{}: {text}", wish.word);
                for set in PromptSet::ALL {
                    let worded = set.instruction(wish.word);
                    assert!(!shares_a_word(&worded, text), "{worded}: {text}");
                }
            }
            assert_ne!(wish.reworded[0], wish.reworded[1]);
        }
        assert!(shares_a_word("creative", "Show creativity."));
    }

    #[test]
    fn given_ones_come_first_then_the_built_in_ones() {
        let given = ["Be short.".to_owned()];
        assert_eq!(rewordings(&given, "concise").unwrap(), given);
        let worded = PromptSet::ALL.map(|set| set.instruction("concise"));
        for wish in ["concise", " Concise ", &worded[0], &worded[1]] {
            assert_eq!(rewordings(&[], wish).unwrap(), WISHES[0].reworded);
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
