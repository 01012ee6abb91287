//! The four prompts of the loop, as templates that a user may replace.

use super::Error;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum PromptName {
    /// The textual loss: chosen against rejected.
    Compare,
    /// The textual loss where nothing is rejected.
    Evaluate,
    /// The textual gradient.
    Feedback,
    /// The update.
    Improve,
}

impl PromptName {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Compare, Self::Evaluate, Self::Feedback, Self::Improve];

    /// The template's name, and with `.txt` its file's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::Evaluate => "evaluate",
            Self::Feedback => "feedback",
            Self::Improve => "improve",
        }
    }
}

/// What a template may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromptParts {
    /// The question.
    pub query: String,
    /// The user's preference; empty for none.
    pub preference: String,
    /// The best response so far.
    pub chosen: String,
    /// The worst one; empty for none.
    pub rejected: String,
    /// The textual loss.
    pub critique: String,
    /// The textual gradient.
    pub feedback: String,
}

/// The four templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    /// What the set is called in the record.
    pub name: String,
    templates: [String; 4],
}

/// The sets that there are, by the names that they have on the command line and in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptSet {
    /// For models of 7B and up.
    Full,
    /// For small models.
    Compact,
}

/// Parameters from which on a model is given the full prompts.
const FULL_FROM: u64 = 6_000_000_000;

impl PromptSet {
    /// The set for a model of so many parameters.
    #[must_use]
    pub fn for_size(parameters: u64) -> Self {
        match parameters >= FULL_FROM {
            true => Self::Full,
            false => Self::Compact,
        }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Compact => "compact",
        }
    }
}

impl FromStr for PromptSet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Full, Self::Compact];
        all.into_iter().find(|set| set.as_str() == text).ok_or(())
    }
}

impl From<PromptSet> for Prompts {
    fn from(set: PromptSet) -> Self {
        let templates = match set {
            PromptSet::Full => [
                include_str!("prompts/full/compare.txt"),
                include_str!("prompts/full/evaluate.txt"),
                include_str!("prompts/full/feedback.txt"),
                include_str!("prompts/full/improve.txt"),
            ],
            PromptSet::Compact => [
                include_str!("prompts/compact/compare.txt"),
                include_str!("prompts/compact/evaluate.txt"),
                include_str!("prompts/compact/feedback.txt"),
                include_str!("prompts/compact/improve.txt"),
            ],
        };
        Self {
            name: set.as_str().to_owned(),
            templates: templates.map(str::to_owned),
        }
    }
}

impl Prompts {
    /// The set with one template replaced: a system prompt, a line `---`, a user's message.
    ///
    /// # Errors
    ///
    /// [`Error::Prompt`] where it has no such line, doesn't compile, or uses what there is not.
    pub fn replace(&mut self, name: PromptName, template: String) -> Result<(), Error> {
        self.templates[name as usize] = template;
        // A template that uses something unknown fails here, not in the middle of a run.
        self.render(name, &PromptParts::default()).map(|_| ())
    }

    /// The system prompt and the user's message.
    ///
    /// # Errors
    ///
    /// [`Error::Prompt`] where the template can't be rendered.
    pub fn render(&self, name: PromptName, parts: &PromptParts) -> Result<(String, String), Error> {
        let fault = |reason: String| Error::Prompt {
            name: name.name(),
            reason,
        };
        let (system, user) = self.templates[name as usize]
            .split_once("\n---\n")
            .ok_or_else(|| {
                fault("it needs a line `---` between the system prompt and the message".to_owned())
            })?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A template of a user's own that never ends is their loss, and still no reason to hang.
        environment.set_fuel(Some(100_000));
        let render = |template: &str| {
            let values = context! {
                query => parts.query.as_str(),
                preference => parts.preference.as_str(),
                chosen => parts.chosen.as_str(),
                rejected => parts.rejected.as_str(),
                critique => parts.critique.as_str(),
                feedback => parts.feedback.as_str(),
            };
            environment
                .render_str(template, values)
                .map_err(|error| fault(error.to_string()))
        };
        Ok((
            render(system)?.trim().to_owned(),
            render(user)?.trim().to_owned(),
        ))
    }
}
