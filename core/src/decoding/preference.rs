//! A preference as a person types it: its text, perhaps with a weight at its end.
//!
//! `TEXT:NUMBER` gives a weight where nothing else can be meant: the colon stands right between them, the number is a
//! plain decimal, and what stands before it is no number, no address and no other colon's. After a number
//! (`10:30`, `3:2`, `John 3:16`) it is text, as it is after white space (`Items: 3`). Everything in between is refused,
//! with the two spellings that leave no doubt: `TEXT;weight=NUMBER` for a weight, `TEXT\:NUMBER` for text.

use super::DecodingError;
use std::ops::RangeInclusive;

/// The weight, spelled out.
const WEIGHT: &str = ";weight=";

/// What a preference's weight may be.
pub(super) const WEIGHTS: RangeInclusive<f64> = -1e3..=1e3;

/// A preference with the weight that was typed with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// How to answer; see [`PromptSet::instruction`](super::PromptSet::instruction).
    pub text: String,
    /// Its weight, where one was given.
    pub weight: Option<f64>,
}

impl Preference {
    /// Reads `TEXT`, `TEXT:NUMBER` or `TEXT;weight=NUMBER`; see the module's text for what counts as a weight.
    ///
    /// # Errors
    ///
    /// [`DecodingError::EmptyPreference`], or [`DecodingError::UnclearWeight`] where both readings are possible.
    pub fn parse(given: &str) -> Result<Self, DecodingError> {
        if let Some((text, weight)) = given.rsplit_once(WEIGHT) {
            let unclear = || unclear(text, weight);
            return Self::new(text, Some(plain(weight.trim()).ok_or_else(unclear)?));
        }
        let colon = |(_, c): &(usize, char)| matches!(c, ':' | '\u{ff1a}');
        let Some((at, colon)) = given.char_indices().rfind(colon) else {
            return Self::new(given, None);
        };
        let (before, after) = (&given[..at], &given[at + colon.len_utf8()..]);
        let number = after.trim();
        if !looks_like_a_number(number) {
            return Self::new(given, None);
        }
        if let Some(before) = before.strip_suffix('\\') {
            return Self::new(&format!("{before}{}", &given[at..]), None);
        }
        if is_empty(before) {
            return Err(DecodingError::EmptyPreference);
        }
        let unclear = || unclear(before, number);
        if after.starts_with(char::is_whitespace) {
            // Prose, unless a single word stands before it.
            let is_prose = before.trim().contains(char::is_whitespace);
            return match is_prose {
                true => Self::new(given, None),
                false => Err(unclear()),
            };
        }
        if before.ends_with(char::is_numeric) {
            return match belongs_to_a_number(before, number) {
                true => Self::new(given, None),
                false => Err(unclear()),
            };
        }
        let doubtful =
            colon != ':' || before.ends_with(char::is_whitespace) || ends_in_an_address(before);
        let weight = plain(number).filter(|_| !doubtful).ok_or_else(unclear)?;
        Self::new(before, Some(weight))
    }

    fn new(text: &str, weight: Option<f64>) -> Result<Self, DecodingError> {
        match is_empty(text) {
            true => Err(DecodingError::EmptyPreference),
            false => Ok(Self {
                text: text.to_owned(),
                weight,
            }),
        }
    }
}

fn unclear(text: &str, number: &str) -> DecodingError {
    // Said in an error: nothing there may steer a terminal.
    let shown = |text: &str| text.trim().replace(char::is_control, " ");
    DecodingError::UnclearWeight {
        text: shown(text),
        number: shown(number),
    }
}

/// Whether nothing can be read in it: white space, controls and characters without width alone.
#[must_use]
pub fn is_empty(text: &str) -> bool {
    let unseen = |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars()
        .all(|c| c.is_whitespace() || c.is_control() || unseen(c))
}

/// A plain decimal number that a weight may be.
fn plain(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.ends_with(|c: char| c.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain);
    number.filter(|weight| WEIGHTS.contains(weight))
}

/// Whether somebody may have meant a number, in whatever form.
fn looks_like_a_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-', '\u{2212}', '.']);
    let named = ["nan", "inf", "infinity"].contains(&digits.to_lowercase().as_str());
    let part = |c: char| c.is_numeric() || "+-\u{2212}.,_eEx%".contains(c);
    named || (digits.starts_with(char::is_numeric) && digits.chars().all(part))
}

/// Whether `before:number` is one thing, a time of day, a ratio, a verse: a number stands before the colon by itself, and
/// digits after it. Of three numbers the last has two digits, as seconds have.
fn belongs_to_a_number(before: &str, number: &str) -> bool {
    let of_number = |c: char| c.is_numeric() || matches!(c, '.' | ',' | ':' | '\u{ff1a}');
    let others = before.trim_end_matches(of_number);
    let run = &before[others.len()..];
    let digits = number.chars().take_while(char::is_ascii_digit).count();
    let least = match run.contains([':', '\u{ff1a}']) {
        true => 2..=2,
        false => 1..=usize::MAX,
    };
    !others.ends_with(char::is_alphanumeric) && least.contains(&digits)
}

/// Whether the last word is an address, whose port a number might be, or holds a colon of its own.
fn ends_in_an_address(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
    let dot_inside = |(at, _): (usize, &str)| word[at + 1..].starts_with(char::is_alphanumeric);
    word.contains(['/', '@', ':', '\u{ff1a}', '=', '\\']) || word.match_indices('.').any(dot_inside)
}

/// The word, where a preference is a single English one: letters of the Latin script, with hyphens and apostrophes inside.
/// What is written without spaces in another script is no single word, and the sentences that it would go into are English.
#[must_use]
pub fn single_word(preference: &str) -> Option<&str> {
    let word = preference.trim();
    let letter = |c: char| {
        c.is_ascii_alphabetic()
            || matches!(c, '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' | '\u{300}'..='\u{36f}')
    };
    let mut parts = word.split(['-', '\'', '\u{2019}']);
    parts
        .all(|part| !part.is_empty() && part.chars().all(letter))
        .then_some(word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(given: &str) -> (String, Option<f64>) {
        let preference = Preference::parse(given).unwrap_or_else(|e| panic!("{given:?}: {e}"));
        (preference.text, preference.weight)
    }

    /// Colons in prose that are no weights: times, ratios, verses, lists, emoticons. Prompts that crashed or lost text over one:
    /// <https://github.com/dribnet/pixray/pull/46>, <https://github.com/invoke-ai/InvokeAI/pull/258>,
    /// <https://github.com/YosemiteCrew/Yosemite-Crew/issues/3409> (a ratio, or a time).
    #[test]
    fn text_with_a_colon_stays_whole() {
        for text in [
            "Mention 10:30",
            "Mention 10:30.",
            "Use ratio 3:2",
            "Use ratio 1:1.5",
            "at 9:05",
            "10:30",
            "10:30:15",
            "(10:30",
            "between 9-10:30",
            "16:9",
            "Genesis 1:1",
            "Cite John 3:16 and Acts 2:38",
            "um 10\u{ff1a}30",
            "Answer: in verse",
            "Answer in this many steps: 3",
            "Answer like so:",
            "like this :)",
            "use :100:",
            "meet at noon:5pm",
            "at res:1080p",
            "https://example.org",
            "Reply with {\"a\": 1}",
            "concise",
            "12:00-13:00",
        ] {
            assert_eq!(parse(text), (text.to_owned(), None));
        }
    }

    #[test]
    fn a_weight_is_taken_where_nothing_else_can_be_meant() {
        for (given, text, weight) in [
            ("concise:1.5", "concise", 1.5),
            ("concise:2", "concise", 2.0),
            ("concise:2 ", "concise", 2.0),
            ("concise:-1", "concise", -1.0),
            ("concise:+1", "concise", 1.0),
            ("concise:.5", "concise", 0.5),
            ("concise:0", "concise", 0.0),
            ("in plain words:0.25", "in plain words", 0.25),
            (
                "Your answer should be X.:4.6487",
                "Your answer should be X.",
                4.6487,
            ),
            ("Answer: in verse:2", "Answer: in verse", 2.0),
            ("\u{7b80}\u{6d01}:2", "\u{7b80}\u{6d01}", 2.0),
            ("\u{1f642}:3", "\u{1f642}", 3.0),
            ("Mention 10:30;weight=2", "Mention 10:30", 2.0),
            ("a;weight= -0.5 ", "a", -0.5),
            ("C:1", "C", 1.0),
        ] {
            assert_eq!(parse(given), (text.to_owned(), Some(weight)));
        }
        for (given, text) in [
            ("Psalm\\:23", "Psalm:23"),
            ("see example.com\\:80", "see example.com:80"),
            ("H2O\\:2", "H2O:2"),
            (
                "keep \\ and \\:) as they are",
                "keep \\ and \\:) as they are",
            ),
        ] {
            assert_eq!(parse(given), (text.to_owned(), None));
        }
    }

    #[test]
    fn what_may_be_both_is_refused_with_both_spellings() {
        for given in [
            "CO2:2",
            "John3:16",
            "v2:1.5",
            "10:30:2",
            "concise: 2",
            "concise :2",
            "concise\u{ff1a}2",
            "concise:\u{ff12}",
            "concise:1,5",
            "concise:1e3",
            "concise:1e999",
            "concise:NaN",
            "concise:inf",
            "concise:-Infinity",
            "concise:1001",
            "concise:0x10",
            "concise:50%",
            "concise:2.",
            "10:-1",
            "see example.com:80",
            "http://x:80",
            "a;weight=much",
            "a;weight=",
            "a;weight=1e5",
        ] {
            let error = Preference::parse(given).unwrap_err();
            assert!(
                matches!(error, DecodingError::UnclearWeight { .. }),
                "{given}: {error}"
            );
            let said = error.to_string();
            assert!(said.contains(";weight=") && said.contains("\\:"), "{said}");
        }
        for given in ["", " ", "\t\n", ":2", " :2", ";weight=2", "\u{200b}", "\0"] {
            let error = Preference::parse(given).unwrap_err();
            assert_eq!(error, DecodingError::EmptyPreference, "{given:?}");
        }
    }

    #[test]
    fn a_single_word_is_found() {
        for word in [
            "concise",
            "step-by-step",
            "na\u{ef}ve",
            "kid\u{2019}s",
            "cafe\u{301}",
            "Klar",
        ] {
            assert_eq!(single_word(word), Some(word));
            assert_eq!(single_word(&format!(" {word}\n")), Some(word));
        }
    }

    /// In Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan a whole sentence has no space
    /// (<https://www.unicode.org/reports/tr14/>, <https://www.unicode.org/reports/tr29/>); a word of another script, one with
    /// punctuation, a number and an emoji make no English sentence either.
    #[test]
    fn what_is_no_english_word_stands_as_it_is() {
        for text in [
            "",
            "in plain words",
            "\u{8bf7}\u{7528}\u{4e2d}\u{6587}\u{56de}\u{7b54}",
            "\u{7c21}\u{6f54}\u{306b}\u{7b54}\u{3048}\u{3066}",
            "\u{e15}\u{e2d}\u{e1a}\u{e2a}\u{e31}\u{e49}\u{e19}\u{e46}",
            "\u{e95}\u{ead}\u{e9a}",
            "\u{1786}\u{17d2}\u{179b}\u{17be}\u{1799}",
            "\u{1010}\u{102d}\u{102f}",
            "\u{f56}\u{f66}\u{fa1}\u{f74}\u{f66}",
            "\u{43a}\u{440}\u{430}\u{442}\u{43a}\u{43e}",
            "\u{3c3}\u{3cd}\u{3bd}\u{3c4}\u{3bf}\u{3bc}\u{3b1}",
            "\u{642}\u{635}\u{64a}\u{631}",
            "\u{5e7}\u{5e6}\u{5e8}",
            "\u{ac04}\u{acb0}",
            "\u{938}\u{902}\u{915}\u{94d}\u{937}\u{93f}\u{92a}\u{94d}\u{924}",
            "\u{ff43}\u{ff4f}\u{ff4e}",
            "concise!",
            "Answer:briefly",
            "yes/no",
            "C++",
            "42",
            "B2B",
            "10:30",
            "\u{1f642}",
            "nice\u{1f642}",
            "-",
            "well-",
        ] {
            assert_eq!(single_word(text), None, "{text}");
        }
    }
}
