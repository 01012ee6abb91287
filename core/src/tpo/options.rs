//! What goes into a run: the question, and how it is gone about.

use super::Error;
use crate::decoding::Sampling;
use crate::options::options;
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
    /// The same in other words, where the reward `fit` scores; see [`rewordings`](crate::reward::rewordings).
    pub reworded: Vec<String>,
}

/// What is done with the first samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(
    feature = "contract",
    derive(clap::ValueEnum, ts_rs::TS),
    ts(rename = "RefineMode")
)]
pub enum Mode {
    /// The best response is held against the worst
    Tpo,
    /// The best response is judged alone
    Revision,
    /// The best of N, and no rounds
    Bon,
}

options! {
    /// How much is written; the defaults are the TPO paper's.
    pub struct RefineSize in "refine" {
        /// N: responses a round
        #[arg(value_name = "N")]
        samples: usize = 5, (1.0, 64.0), control (1.0, 16.0, 1.0);
        /// D: rounds after the first responses
        #[arg(value_name = "D")]
        rounds: usize = 2, (0.0, 64.0), control (0.0, 8.0, 1.0);
    }
}

options! {
    /// How the texts of a refinement are drawn. The TPO paper's, but for its limit of 2048 tokens.
    pub struct RefineDraws in "refine" {
        /// The most tokens of a response, a critique or a feedback
        #[arg(short = 'n', value_name = "N")]
        max_new_tokens: usize = 256, (1.0, 65_536.0), unit "tokens", control (16.0, 2048.0, 16.0);
        /// Temperature of all draws
        #[arg(allow_negative_numbers = true)]
        temperature: f64 = 0.7, (0.0, 100.0), control (0.0, 2.0, 0.05);
        /// top-p of responses
        #[arg(value_name = "P", allow_negative_numbers = true)]
        top_p: f64 = 0.95, (f64::MIN_POSITIVE, 1.0), "above 0 and at most 1", control (0.01, 1.0, 0.01);
        /// top-p of critiques and feedback
        #[arg(value_name = "P", allow_negative_numbers = true)]
        text_top_p: f64 = 0.99, (f64::MIN_POSITIVE, 1.0), "above 0 and at most 1", control (0.01, 1.0, 0.01);
        /// Seed of the draws
        seed: u64 = 7, (0.0, u64::MAX as f64), control (0.0, 4_294_967_295.0, 1.0);
    }
}

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "RefineOptions"))]
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
    fn default() -> Self {
        Self::new(Mode::Tpo, RefineSize::default(), RefineDraws::default())
    }
}

impl Options {
    /// What these come to.
    #[must_use]
    pub fn new(mode: Mode, size: RefineSize, draws: RefineDraws) -> Self {
        Self {
            mode,
            samples: size.samples,
            rounds: size.rounds,
            sampling: Sampling {
                temperature: draws.temperature,
                top_p: draws.top_p,
                seed: draws.seed,
                ..Sampling::default()
            },
            text_top_p: draws.text_top_p,
            max_new_tokens: draws.max_new_tokens,
        }
    }

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
        RefineSize {
            samples: self.samples,
            rounds: self.rounds,
        }
        .check_ranges()?;
        RefineDraws {
            max_new_tokens: self.max_new_tokens,
            temperature: self.sampling.temperature,
            top_p: self.sampling.top_p,
            text_top_p: self.text_top_p,
            seed: self.sampling.seed,
        }
        .check_ranges()?;
        self.sampling.check_ranges()?;
        Ok(())
    }
}
