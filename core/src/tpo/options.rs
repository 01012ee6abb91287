//! What goes into a run: the question, and how it is gone about.

use super::Error;
use crate::decoding::Sampling;
use crate::text::Message;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The question.
    pub question: String,
    /// A system prompt for the responses.
    pub system: Option<String>,
    /// What was said before the question; the critics are not told.
    pub earlier: Vec<Message>,
    /// What the user wishes for; the critics are told.
    pub preference: Option<String>,
}

/// What is done with the first samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The best is held against the worst.
    Tpo,
    /// The best is judged alone.
    Revision,
    /// Nothing: the best of them is the answer.
    Bon,
}

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What is done with the first samples.
    pub mode: Mode,
    /// N: responses a round.
    pub samples: usize,
    /// D: rounds after the first samples.
    pub rounds: usize,
    /// How responses are drawn.
    pub sampling: Sampling,
    /// top-p of losses and gradients, otherwise drawn as the responses.
    pub text_top_p: f64,
    /// The most tokens of a response, a loss or a gradient.
    pub max_new_tokens: usize,
}

impl Default for Options {
    /// The paper's: N = 5, D = 2, temperature 0.7, top-p 0.95 and 0.99, seed 7.
    fn default() -> Self {
        Self {
            mode: Mode::Tpo,
            samples: 5,
            rounds: 2,
            sampling: Sampling {
                temperature: 0.7,
                top_p: 0.95,
                seed: 7,
                ..Sampling::default()
            },
            text_top_p: 0.99,
            max_new_tokens: 2048,
        }
    }
}

impl Options {
    /// Rounds after the first samples.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self.mode {
            Mode::Bon => 0,
            _ => self.rounds,
        }
    }

    /// Generations of a whole run: N + D (N + 2), losses and gradients among them.
    #[must_use]
    pub fn generations(&self) -> usize {
        self.samples + self.depth() * (self.samples + 2)
    }

    /// The run that the whole is held against: as many generations, all of them first responses.
    #[must_use]
    pub fn baseline(&self) -> Self {
        Self {
            mode: Mode::Bon,
            samples: self.generations(),
            ..self.clone()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], or the sampling's own.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name, value, most, range| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(Error::OutOfRange { name, value, range }),
        };
        check("samples", self.samples, 64, "from 1 to 64")?;
        check(
            "max-new-tokens",
            self.max_new_tokens,
            65_536,
            "from 1 to 65536",
        )?;
        if self.rounds > 64 {
            let (name, value, range) = ("rounds", self.rounds, "from 0 to 64");
            return Err(Error::OutOfRange { name, value, range });
        }
        self.sampling.validate()?;
        Ok(())
    }
}
