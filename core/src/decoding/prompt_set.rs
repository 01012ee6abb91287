//! How a preference is put into the prompts: the system prompt that both streams share, and the words for a wish.

use super::preference::single_word;
use super::wishes::WISHES;
use serde::{Deserialize, Serialize};

/// The system prompt of Amulet's public code (arXiv 2502.19148, `prompts.py`); `{preference}` is
/// where the preference goes, and nothing in the base stream.
const PAPER_SYSTEM_PROMPT: &str = "You are an AI designed to provide the most helpful, clear, \
    and concise responses. Focus on giving actionable information, ensuring accuracy and detail \
    without overwhelming the user. You should also be patient, polite, and calm. Avoid unnecessary \
    complexity and always prioritize practical, user-friendly advice. {preference}";

/// The prompts of base and pref, where no system prompt is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(clap::ValueEnum, ts_rs::TS))]
pub enum PromptSet {
    /// An empty system prompt, and in pref the wish as an instruction
    #[default]
    Plain,
    /// The Amulet paper's: a system prompt that asks for concise, helpful answers itself, and in pref ends with the wish
    Paper,
}

impl PromptSet {
    /// The system prompt of all streams where there is a wish and none is given; `{preference}` in it is where the wish
    /// goes. Without a wish that is left to the model's template.
    #[must_use]
    pub fn system(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Paper => PAPER_SYSTEM_PROMPT,
        }
    }

    /// `system`, or where there is none but a wish, the set's own.
    #[must_use]
    pub fn system_or(self, system: Option<String>, wished: bool) -> Option<String> {
        system.or_else(|| wished.then(|| self.system().to_owned()))
    }

    /// All sets.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Paper];

    /// A wish as an instruction: one English word (see [`single_word`]) in a sentence, other text as it stands.
    #[must_use]
    pub fn instruction(self, wish: &str) -> String {
        let Some(word) = single_word(wish) else {
            return wish.to_owned();
        };
        match self {
            Self::Paper => format!("Your answer should be {word} as much as possible."),
            Self::Plain => {
                let known = WISHES
                    .iter()
                    .find(|wish| wish.word.eq_ignore_ascii_case(word));
                known.map_or_else(|| in_a_way(word), |wish| wish.plain.to_owned())
            }
        }
    }
}

/// A single word as an instruction: of the general wordings that were tried, the one that moved answers most.
fn in_a_way(word: &str) -> String {
    let vowel = word.starts_with(|c: char| "aeiouAEIOU".contains(c));
    let article = if vowel { "an" } else { "a" };
    format!("Answer in {article} {word} way.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_becomes_an_instruction() {
        let plain = |wish| PromptSet::Plain.instruction(wish);
        assert_eq!(
            plain(" concise\n"),
            "Be concise: answer in as few words as possible."
        );
        assert_eq!(plain("witty"), "Answer in a witty way.");
        assert_eq!(plain("amusing"), "Answer in an amusing way.");
        assert_eq!(plain("in plain words"), "in plain words");
        let paper = PromptSet::Paper.instruction("concise");
        assert_eq!(paper, "Your answer should be concise as much as possible.");
    }

    #[test]
    fn a_set_gives_a_system_prompt_where_there_is_a_wish() {
        for set in PromptSet::ALL {
            assert_eq!(set.system_or(None, false), None);
            assert_eq!(set.system_or(None, true).as_deref(), Some(set.system()));
            let own = Some("S".to_owned());
            assert_eq!(set.system_or(own.clone(), true), own);
        }
    }
}
