//! Where an answer stands on the axes: what can be counted in its text, at no cost and without a model. A text in which the words
//! below do not occur, as in another language, differs from none along their axis, so that nothing is learnt of it.

use super::axes::OfAxes;
use crate::reward::words;

/// Of an answer's words, those of so many letters are long.
const LONG: usize = 9;

const SECOND_PERSON: [&str; 5] = ["you", "your", "yours", "yourself", "yourselves"];

/// What follows an apostrophe in a contraction.
const CONTRACTED: [&str; 7] = ["t", "s", "re", "ve", "ll", "d", "m"];

/// Words with which a text is friendly to its reader.
const WARM: &str = "amazing awesome beautiful best brilliant care caring celebrate cheer comfort comfortable delight delightful dear dream \
    encourage enjoy enjoyable excellent excited exciting fantastic friend friendly fun glad good gratitude great happiness happy heart \
    help helpful hope hopeful inspire inspiring inspiration joy joyful kind kindness love lovely loving nice passion peace peaceful \
    perfect pleasant pleasure positive proud rewarding safe smile strong success successful support thank thanks thrive together \
    trust uplifting warm welcome well wonderful worth";

/// What an instance is begun with.
const INSTANCES: [&str; 8] = [
    "for example",
    "for instance",
    "such as",
    "e.g",
    "imagine",
    "including",
    "consider a",
    "like when",
];

/// phi of a text, in the order of the axes: the logarithm of its words, and one more; less contractions, exclamation marks and
/// second person; long words; friendly words; beginnings of instances, each in 100 words; and the share of its lines that are items of a list.
#[must_use]
pub fn features(text: &str) -> OfAxes {
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    let words: Vec<&str> = words(lower.as_bytes())
        .into_iter()
        .map(|word| &lower[word.at])
        .collect();
    let warm: Vec<&str> = WARM.split_whitespace().collect();
    let count = |is: &dyn Fn(&str) -> bool| words.iter().filter(|word| is(word)).count();
    let contractions = lower
        .split_whitespace()
        .filter_map(|word| {
            word.trim_end_matches(|c: char| !c.is_alphanumeric())
                .rsplit_once('\'')
        })
        .filter(|(before, after)| !before.is_empty() && CONTRACTED.contains(after))
        .count();
    let informal =
        contractions + lower.matches('!').count() + count(&|word| SECOND_PERSON.contains(&word));
    let instances: usize = INSTANCES
        .iter()
        .map(|begin| lower.matches(begin).count())
        .sum();
    let lines: Vec<&str> = lower
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let items = lines.iter().filter(|line| is_item(line)).count();
    let in_hundred = |count: usize| 100.0 * count as f64 / words.len().max(1) as f64;
    [
        (1.0 + words.len() as f64).ln(),
        -in_hundred(informal),
        in_hundred(count(&|word| word.chars().count() >= LONG)),
        in_hundred(count(&|word| warm.contains(&word))),
        in_hundred(instances),
        items as f64 / lines.len().max(1) as f64,
    ]
}

/// Whether a line begins as an item of a list does in Markdown: `-`, `*`, `+`, a dot, or a number.
fn is_item(line: &str) -> bool {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = match number.len() < line.len() {
        true => number.strip_prefix(['.', ')']),
        false => line.strip_prefix(['-', '*', '+', '\u{2022}']),
    };
    rest.is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_by_hand() {
        let [length, formality, expertise, warmth, examples, layout] = features(
            "You don't need it! For example:\n\n- it\u{2019}s a wonderful consideration\n2) one 'm\n*bold* text",
        );
        // you don t need it for example it s a wonderful consideration 2 one m bold text
        let words: f64 = 17.0;
        assert!((length - (1.0 + words).ln()).abs() < 1e-12);
        let in_hundred = |count: f64| 100.0 * count / words;
        // you; don't, it's; !
        assert!((formality + in_hundred(4.0)).abs() < 1e-9, "{formality}");
        assert!((expertise - in_hundred(2.0)).abs() < 1e-9, "{expertise}");
        assert!((warmth - in_hundred(1.0)).abs() < 1e-9, "{warmth}");
        assert!((examples - in_hundred(1.0)).abs() < 1e-9, "{examples}");
        assert!((layout - 0.5).abs() < 1e-12, "{layout}");
        assert_eq!(features(""), [0.0; 6]);
        // Nothing of a language that has other words, but its length and layout.
        let [.., warmth, examples, layout] = features("Das ist gut.\n\n- eins\n- zwei");
        assert_eq!((warmth, examples), (0.0, 0.0));
        assert!((layout - 2.0 / 3.0).abs() < 1e-12);
    }
}
