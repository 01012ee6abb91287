//! Texts that end an answer.

/// Cuts a stream of text at the first of some texts.
#[derive(Debug, Clone, Default)]
pub struct StopTexts {
    stops: Vec<String>,
    /// What may be the beginning of one.
    held: String,
}

impl StopTexts {
    /// Stops at any of `stops`, none of them empty.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.to_vec(),
            held: String::new(),
        }
    }

    /// Takes the next text. Gives what certainly stands before any stop, and whether one came; what follows it is gone.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop));
        if let Some(at) = found.min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begins = |at: usize| {
            let end = &self.held[at..];
            self.stops.iter().any(|stop| stop.starts_with(end))
        };
        let places = self.held.char_indices().map(|(at, _)| at);
        let keep = places.into_iter().find(|at| begins(*at));
        let rest = self.held.split_off(keep.unwrap_or(self.held.len()));
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, at the text's end.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn in_pieces_as_whole(text in "[ab<>é]{0,24}", cuts in prop::collection::vec(1usize..5, 0..24)) {
            let stops = ["<a>".to_owned(), "bb".to_owned(), "é<".to_owned()];
            let at = stops.iter().filter_map(|stop| text.find(stop)).min();
            let mut stop = StopTexts::new(&stops);
            let (mut got, mut came) = (String::new(), false);
            let mut rest: Vec<char> = text.chars().collect();
            for cut in cuts.into_iter().chain([24]) {
                let piece: String = rest.drain(..cut.min(rest.len())).collect();
                let (text, stopped) = stop.push(&piece);
                got.push_str(&text);
                if stopped {
                    came = true;
                    break;
                }
            }
            if !came {
                got.push_str(&stop.finish());
            }
            prop_assert_eq!(came, at.is_some());
            prop_assert_eq!(got, &text[..at.unwrap_or(text.len())]);
        }
    }
}
