//! What goes into a run: the question, and how it is gone about.

use super::Error;
use crate::decoding::{MethodName, Sampling};
use crate::options::{in_range, options};
use crate::text::Message;
use serde::{Deserialize, Deserializer, Serialize};

/// The system prompt of first responses where there is neither a wish nor another one: that of the TPO paper's public code.
pub const SYSTEM: &str = "You are a helpful, creative, and smart assistant.";

/// How many times as many responses as the run's generations best-of-N draws at most, to reach the run's tokens.
const MOST_DRAWS: usize = 8;

/// Generations of the longest run: 64 rounds of 64 responses and two texts, behind 64 first responses.
const MOST_GENERATIONS: f64 = 64.0 + 64.0 * (64.0 + 2.0);

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

impl Query {
    /// With [`SYSTEM`] where there is neither a system prompt nor a preference, whose own prompt would stand there.
    #[must_use]
    pub fn with_default_system(mut self) -> Self {
        if self.preference.is_none() {
            self.system.get_or_insert_with(|| SYSTEM.to_owned());
        }
        self
    }

    /// How responses are decoded where nobody says it: as the preference has it, where there is one, so that first
    /// responses and the best-of-N that a run is held against are told the wish, as the critics are.
    #[must_use]
    pub fn default_method(preference: Option<&str>) -> MethodName {
        match preference {
            Some(_) => MethodName::Pref,
            None => MethodName::Base,
        }
    }
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
        /// The most tokens of a response
        #[arg(short = 'n', value_name = "N")]
        max_new_tokens: usize = 256, (1.0, 65_536.0), unit "tokens", control (16.0, 2048.0, 16.0);
        /// The most tokens of a critique or a feedback
        #[arg(value_name = "N")]
        max_text_tokens: usize = 256, (1.0, 65_536.0), unit "tokens", control (16.0, 2048.0, 16.0);
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

/// What best-of-N spends at least: it draws N responses a round until it has, and at most eight times as many as
/// `generations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "RefineBudget"))]
pub struct Budget {
    /// Responses.
    pub generations: usize,
    /// Their tokens.
    pub tokens: usize,
}

/// How a run goes. Read back, what an earlier version did not write is as it was there: critiques had the limit of
/// responses.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// The most tokens of a response.
    pub max_new_tokens: usize,
    /// The most tokens of a loss or a gradient.
    #[cfg_attr(feature = "contract", ts(as = "Option<usize>", optional))]
    pub max_text_tokens: usize,
    /// Of best-of-N: how long it goes on. `None` is for one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "contract", ts(optional))]
    pub budget: Option<Budget>,
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            mode: Mode,
            samples: usize,
            rounds: usize,
            sampling: Sampling,
            text_top_p: f64,
            max_new_tokens: usize,
            max_text_tokens: Option<usize>,
            budget: Option<Budget>,
        }
        let written = Written::deserialize(from)?;
        Ok(Self {
            mode: written.mode,
            samples: written.samples,
            rounds: written.rounds,
            sampling: written.sampling,
            text_top_p: written.text_top_p,
            max_new_tokens: written.max_new_tokens,
            max_text_tokens: written.max_text_tokens.unwrap_or(written.max_new_tokens),
            budget: written.budget,
        })
    }
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
            max_text_tokens: draws.max_text_tokens,
            budget: None,
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

    /// Generations of a whole run: N + D (N + 2), losses and gradients among them; of best-of-N with a budget, the fewest.
    #[must_use]
    pub fn generations(&self) -> usize {
        match self.spends() {
            Some(budget) => budget.generations.max(self.samples),
            None => self.samples + self.depth() * (self.samples + 2),
        }
    }

    /// What a run that spent `tokens` tokens is held against: first responses alone, drawn N at a time as the run's own
    /// were, until they are as many as the run's generations and have as many tokens.
    #[must_use]
    pub fn baseline(&self, tokens: usize) -> Self {
        Self {
            mode: Mode::Bon,
            budget: Some(Budget {
                generations: self.generations(),
                tokens,
            }),
            ..self.clone()
        }
    }

    /// What earlier versions held a run against: as many first responses as it made generations, all in one round.
    #[must_use]
    pub fn baseline_at_once(&self) -> Self {
        Self {
            mode: Mode::Bon,
            samples: self.generations(),
            budget: None,
            ..self.clone()
        }
    }

    fn spends(&self) -> Option<Budget> {
        self.budget.filter(|_| self.mode == Mode::Bon)
    }

    /// Whether best-of-N draws another round, where it has made so many generations and tokens.
    pub(super) fn draws_on(&self, generations: usize, tokens: usize) -> bool {
        self.spends().is_some_and(|budget| {
            let lacks = generations < budget.generations || tokens < budget.tokens;
            lacks && generations < budget.generations.saturating_mul(MOST_DRAWS)
        })
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
            max_text_tokens: self.max_text_tokens,
            temperature: self.sampling.temperature,
            top_p: self.sampling.top_p,
            text_top_p: self.text_top_p,
            seed: self.sampling.seed,
        }
        .check_ranges()?;
        self.sampling.check_ranges()?;
        if let Some(Budget {
            generations,
            tokens,
        }) = self.budget
        {
            in_range("generations", generations, (1.0, MOST_GENERATIONS), None)?;
            in_range("tokens", tokens, (0.0, 1e9), None)?;
        }
        Ok(())
    }
}
