//! Texts that are too long.

/// The text's beginning of at most `most` characters, up to the end of a sentence where there is one, else of a word.
#[must_use]
pub fn shorten(text: &str, most: usize) -> String {
    let end = text
        .char_indices()
        .nth(most)
        .map_or(text.len(), |(at, _)| at);
    let text = &text[..end];
    let sentence = text
        .match_indices(['.', '!', '?', '\n'])
        .map(|(at, mark)| at + mark.len())
        .rfind(|end| text[*end..].starts_with(char::is_whitespace));
    let end = sentence.or_else(|| text.rfind(char::is_whitespace));
    text[..end.unwrap_or(0)].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_where_a_sentence_does() {
        assert_eq!(shorten("One. Two! Three", 12), "One. Two!");
        assert_eq!(shorten("One. Two! Three", 9), "One.");
        assert_eq!(shorten("no sentence at all", 12), "no sentence");
        assert_eq!(shorten("unbroken", 5), "");
        assert_eq!(shorten("Zwölf. Über.", 8), "Zwölf.");
        assert_eq!(shorten("", 0), "");
    }
}
