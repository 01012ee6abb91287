//! The words of a text, and which of an answer's words only repeat an instruction.
//!
//! A word is a run of letters and digits. In scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
//! Burmese) every character is taken as a word of its own; what stands for a content word there is a pair of Chinese or
//! Japanese characters, as search engines index them, and nothing shorter than four characters in the others. Hangul is
//! written with spaces, and its words are compared as they are.

use std::collections::HashSet;
use std::ops::Range;

/// So many words of an instruction in a row are an echo of it, whatever they are.
const GRAM: usize = 4;

/// English words that say nothing of what is wished for.
const FUNCTION_WORDS: &str = "a about all also an and any are as at be been but by can could did do does each for from \
    had has have he her his how i if in into is it its just like make may me might more most much must my no not of on \
    only or other our out over own she should so some such than that the their them then there these they this those to \
    too up use very was we were what when where which while who why will with would you your";

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands, in bytes.
    pub at: Range<usize>,
    /// In lower case.
    text: String,
    script: Script,
}

/// How words are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Between spaces.
    Spaced,
    /// Every character by itself: Chinese characters and katakana.
    Ideograph,
    /// The same, of hiragana, in which Japanese writes its endings and particles.
    Hiragana,
    /// The same, without pairs: scripts of South East Asia.
    Unspaced,
}

fn script(c: char) -> Script {
    match c {
        '\u{3041}'..='\u{309f}' => Script::Hiragana,
        '\u{30a0}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Script::Ideograph,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => {
            Script::Unspaced
        }
        _ => Script::Spaced,
    }
}

/// Whether a character stands inside of words: a letter, a digit, or an accent by itself.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}') || script(c) != Script::Spaced
}

/// The words of bytes that are text; what is no UTF-8 in them stands between words.
pub(crate) fn words(bytes: &[u8]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut offset = 0;
    for chunk in bytes.utf8_chunks() {
        // A word does not go on across what is no text.
        let mut goes_on = false;
        for (at, c) in chunk.valid().char_indices() {
            let (at, script) = (offset + at, script(c));
            let is_spaced = script == Script::Spaced;
            let end = at + c.len_utf8();
            match words.last_mut() {
                _ if !is_of_word(c) => {}
                Some(last) if goes_on && is_spaced => {
                    last.at.end = end;
                    last.text.extend(c.to_lowercase());
                }
                _ => words.push(Word {
                    at: at..end,
                    text: c.to_lowercase().collect(),
                    script,
                }),
            }
            goes_on = is_of_word(c) && is_spaced;
        }
        offset += chunk.valid().len() + chunk.invalid().len();
    }
    words
}

/// What the forms of an English word have in common, or nearly so: endings are taken off for as long as four letters
/// stay, and of a doubled last letter one. "concise", "concisely" and "conciseness" become "concis", "creative" and
/// "creativity" "creativ", "planned" "plan". Words of other Latin spellings lose what looks like such an ending, which does no harm where only
/// stems are compared; words of other scripts are their own stems.
pub(super) fn stem(word: &str) -> String {
    const ENDINGS: [&str; 16] = [
        "ities", "ness", "ical", "ing", "ity", "ies", "ion", "est", "ic", "ly", "ed", "er", "es",
        "s", "e", "y",
    ];
    const LEAST: usize = 4;
    let is_latin = |c: char| c.is_ascii_alphabetic() || matches!(c, '\u{c0}'..='\u{24f}');
    let mut stem = word.to_lowercase();
    if !stem.chars().all(is_latin) {
        return stem;
    }
    while let Some(rest) = ENDINGS
        .iter()
        .filter_map(|ending| stem.strip_suffix(ending))
        .find(|rest| rest.chars().count() >= LEAST)
    {
        stem = rest.to_owned();
    }
    let mut last = stem.chars().rev();
    if let (Some(one), Some(other)) = (last.next(), last.next())
        && one == other
        && stem.chars().count() > LEAST
    {
        stem.pop();
    }
    stem
}

/// The stems of a text's content words, and its pairs of characters in scripts that have no words.
pub(super) fn content(text: &str) -> HashSet<String> {
    let words = words(text.as_bytes());
    let of_pairs = words.windows(2).filter_map(pair).map(|(pair, _)| pair);
    let stems = words.iter().filter(|word| {
        word.script == Script::Spaced
            && word.text.chars().nth(1).is_some()
            && !FUNCTION_WORDS.split(' ').any(|other| other == word.text)
    });
    stems.map(|word| stem(&word.text)).chain(of_pairs).collect()
}

/// Two characters side by side that may be a word, and where they stand.
fn pair(words: &[Word]) -> Option<(String, Range<usize>)> {
    let [a, b] = words else { return None };
    let is_pair = |script| matches!(script, Script::Ideograph | Script::Hiragana);
    let stands = a.at.end == b.at.start && is_pair(a.script) && is_pair(b.script);
    let says = a.script == Script::Ideograph || b.script == Script::Ideograph;
    (stands && says).then(|| (format!("{}{}", a.text, b.text), a.at.start..b.at.end))
}

/// An instruction's runs of words: of four, or all of it where it has fewer.
fn grams(words: &[Word]) -> impl Iterator<Item = Vec<&str>> {
    let size = words.len().clamp(1, GRAM);
    words
        .windows(size)
        .map(|run| run.iter().map(|word| word.text.as_str()).collect())
}

/// What of an answer only repeats a wish, as places in its bytes, in their order and perhaps one within another: the content
/// words of `wish` in any form, unless the question has them, too, and runs of four words of `instructions`.
pub(crate) fn echoes(
    answer: &[u8],
    wish: &str,
    instructions: &[&str],
    question: &str,
) -> Vec<Range<usize>> {
    let asked = content(question);
    let mut named = content(wish);
    named.retain(|stem| !asked.contains(stem));
    let told: Vec<Vec<Word>> = instructions
        .iter()
        .map(|text| words(text.as_bytes()))
        .collect();
    let said: HashSet<Vec<&str>> = told.iter().flat_map(|words| grams(words)).collect();
    let sizes: HashSet<usize> = said.iter().map(Vec::len).collect();

    let answer = words(answer);
    let mut found: Vec<Range<usize>> = Vec::new();
    let by_stem = |word: &&Word| word.script == Script::Spaced && named.contains(&stem(&word.text));
    found.extend(answer.iter().filter(by_stem).map(|word| word.at.clone()));
    let pairs = answer.windows(2).filter_map(pair);
    found.extend(
        pairs
            .filter(|(pair, _)| named.contains(pair))
            .map(|(_, at)| at),
    );
    for size in sizes {
        for run in answer.windows(size) {
            let texts: Vec<&str> = run.iter().map(|word| word.text.as_str()).collect();
            if said.contains(&texts) {
                found.push(run[0].at.start..run[size - 1].at.end);
            }
        }
    }
    found.sort_by_key(|at| (at.start, at.end));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoed<'a>(answer: &'a str, wish: &str, question: &str) -> Vec<&'a str> {
        let found = echoes(answer.as_bytes(), wish, &[wish], question);
        found.into_iter().map(|at| &answer[at]).collect()
    }

    #[test]
    fn forms_of_a_word_share_its_stem() {
        for forms in [
            &[
                "concise",
                "concisely",
                "conciseness",
                "concision",
                "Concise",
            ][..],
            &["creative", "creatively", "creativity", "creativeness"],
            &["complex", "complexity", "complexities", "complexly"],
            &["verbose", "verbosity", "verbosely"],
            &["formal", "formally", "formality", "formalities"],
            &["uplifting", "uplift", "uplifted", "uplifts"],
            &["pleasant", "pleasantly", "pleasantness"],
            &["sycophant", "sycophantic", "sycophants"],
            &["plan", "planned", "planning", "plans"],
            &["short", "shorter", "shortest", "shortly"],
        ] {
            let stems: HashSet<String> = forms.iter().map(|form| stem(form)).collect();
            assert_eq!(stems.len(), 1, "{stems:?}");
        }
        assert_ne!(stem("formal"), stem("format"));
        assert_ne!(stem("answer"), stem("question"));
        // Nothing is left of no word, and other scripts stay.
        for word in [
            "",
            "a",
            "es",
            "sss",
            "\u{43a}\u{440}\u{430}\u{442}\u{43a}\u{438}\u{439}",
        ] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn words_stand_where_they_are() {
        let text = "Caf\u{e9}, na\u{ef}ve: 3 \u{1f642}\u{7b80}\u{6d01} O\u{2019}k\n";
        let found = words(text.as_bytes());
        let texts: Vec<&str> = found.iter().map(|word| &text[word.at.clone()]).collect();
        assert_eq!(
            texts,
            [
                "Caf\u{e9}",
                "na\u{ef}ve",
                "3",
                "\u{7b80}",
                "\u{6d01}",
                "O",
                "k"
            ]
        );
        // Half a character parts two words.
        let broken = [b"one\xe7two ", "three".as_bytes()].concat();
        let at: Vec<Range<usize>> = words(&broken).into_iter().map(|word| word.at).collect();
        assert_eq!(at, [0..3, 4..7, 8..13]);
        assert!(words(b"\xff\xfe").is_empty());
    }

    #[test]
    fn the_wish_is_found_in_any_form_and_nothing_else_is() {
        let wish = "Your answer should be concise as much as possible.";
        assert_eq!(
            echoed("Concisely: sleep, eat. Conciseness!", wish, "Why?"),
            ["Concisely", "Conciseness"]
        );
        assert!(echoed("It should be as good as yours.", wish, "Why?").is_empty());
        // What is asked about may be said.
        assert!(echoed("It is concise.", wish, "What is a concise text?").is_empty());
        // Four words of it, whatever they are.
        assert_eq!(
            echoed("It should be concise as much as it can.", wish, "Why?"),
            [
                "should be concise as",
                "be concise as much",
                "concise",
                "concise as much as"
            ]
        );
        assert_eq!(echoed("Rhyme in rhyme.", "in rhyme", "Why?").len(), 3);
        assert!(echoed("", wish, "").is_empty() && echoed("No.", "", "").is_empty());
    }

    #[test]
    fn scripts_without_spaces_are_read_by_characters() {
        let wish = "\u{8bf7}\u{7528}\u{7b80}\u{6d01}\u{7684}\u{8bdd}\u{56de}\u{7b54}";
        let answer = "\u{7b80}\u{6d01}\u{ff1a}\u{65e9}\u{8d77}";
        assert_eq!(echoed(answer, wish, ""), ["\u{7b80}\u{6d01}"]);
        assert!(echoed("\u{65e9}\u{8d77}\u{7684}\u{4eba}", wish, "").is_empty());
        // Hiragana alone are particles.
        assert!(echoed("\u{306b}\u{3066}", "\u{306b}\u{3066}\u{3059}\u{308b}", "").is_empty());
        // Of Thai, four characters.
        let thai = "\u{e15}\u{e2d}\u{e1a}\u{e2a}\u{e31}\u{e49}\u{e19}\u{e46}";
        assert_eq!(echoed(thai, thai, "").len(), 5);
        assert!(echoed("\u{e15}\u{e2d}\u{e1a}", thai, "").is_empty());
        // Korean has words.
        let korean = "\u{ac04}\u{acb0}\u{d558}\u{ac8c} \u{b2f5}\u{d558}\u{c138}\u{c694}";
        assert_eq!(
            echoed("\u{ac04}\u{acb0}\u{d558}\u{ac8c}!", korean, ""),
            ["\u{ac04}\u{acb0}\u{d558}\u{ac8c}"]
        );
    }
}
