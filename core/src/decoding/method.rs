//! The decoding methods: the next token's scores as a weighted sum of the streams' logits.
//!
//! `y = sum_s w_s logits_s` covers every method here: base and pref are one stream of weight 1;
//! Linear Alignment (Gao et al. 2024, arXiv 2401.11458), Amulet and classifier-free guidance are
//! pref with weight 1 + k and base with weight -k, at different strengths k.
//!
//! Of Linear Alignment that is the variant without a mask: its repository's demo, which Amulet's baseline follows. The code
//! that its paper evaluated first keeps the nucleus of pref (top-p 0.8), then leans, then takes the best token:
//! [`MethodName::La`] with [`super::Sampling::nucleus`].
//!
//! # What the Amulet paper's public code does, and `--paper-compat`
//!
//! `--paper-compat` reproduces that the prompt ends without the chat template's generation prompt, for every method, and that
//! la and amulet take the best token (their top-p of 0.95 acts after leaning and before an argmax, so it changes nothing). It
//! does not reproduce: base and pref drawn by the model's own generation config, which many chat models have sample; a beam
//! search that samples ([`super::beam`]); batches padded on the left without an attention mask, in which an answer depends on
//! its neighbours; Llama's second beginning-of-text token; Mistral's prompts without a template; the reward model's cut of
//! question and answer to 128 tokens. Here every method is greedy unless told otherwise, and an answer does not depend on
//! its batch.

use super::preference::{WEIGHTS, is_empty};
use super::streams::{Stream, StreamPreference};
use super::{AmuletParams, DecodingError};
use crate::options::{in_range, options};
use std::fmt;

/// The methods there are, by the names that all faces know them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "contract", derive(clap::ValueEnum, ts_rs::TS))]
pub enum MethodName {
    /// The prompt without the preference
    Base,
    /// The prompt with the preference
    Pref,
    /// Linear Alignment: pref, leaning away from base with --strength
    La,
    /// Amulet: la at the strength that alpha, lambda, eta and iterations give
    Amulet,
    /// Beam search with the preference
    Beam,
    /// A weighted sum of any number of prompts: --stream, or --prefer PREFERENCE:WEIGHT
    Guidance,
}

impl MethodName {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pref => "pref",
            Self::La => "la",
            Self::Amulet => "amulet",
            Self::Beam => "beam",
            Self::Guidance => "guidance",
        }
    }

    /// The method where its prompts follow from a preference; `None` for beam search and guidance.
    #[must_use]
    pub fn of_preference(self, amulet: AmuletParams, strength: Strength) -> Option<Method> {
        match self {
            Self::Base => Some(Method::Base),
            Self::Pref => Some(Method::Pref),
            Self::La => Some(Method::LinearAlignment {
                strength: strength.strength,
            }),
            Self::Amulet => Some(Method::Amulet(amulet)),
            Self::Beam | Self::Guidance => None,
        }
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

options! {
    /// Linear Alignment's strength; the default is that of the Amulet paper's baseline.
    #[cfg_attr(feature = "contract", command(next_help_heading = "Decoding"))]
    pub struct Strength in "la" {
        /// Linear Alignment: the strength k
        #[arg(value_name = "K", allow_negative_numbers = true)]
        strength: f64 = 2.0, (0.0, 1e6), control (0.0, 12.0, 0.05);
    }
}

/// A decoding method.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// The prompt without the preference.
    Base,
    /// The prompt with the preference.
    Pref,
    /// Linear Alignment: pref, leaning away from base with a strength given outright.
    LinearAlignment {
        /// The strength k; 2 in the Amulet paper's baseline.
        strength: f64,
    },
    /// Amulet: the strength follows from the online-learning problem's hyperparameters.
    Amulet(AmuletParams),
    /// Any number of streams with weights of their own. The first is the anchor, of which plausibility and
    /// nucleus are, and against which the KL budget is measured.
    Guidance(Vec<Stream>),
}

impl Method {
    /// The method's name.
    #[must_use]
    pub fn name(&self) -> MethodName {
        match self {
            Self::Base => MethodName::Base,
            Self::Pref => MethodName::Pref,
            Self::LinearAlignment { .. } => MethodName::La,
            Self::Amulet(_) => MethodName::Amulet,
            Self::Guidance(_) => MethodName::Guidance,
        }
    }

    /// The strength k with which the method leans from pref away from base; 0 for one stream. Of streams with weights
    /// of their own, the sum of all but the anchor's.
    #[must_use]
    pub fn strength(&self) -> f64 {
        match self {
            Self::Base | Self::Pref => 0.0,
            Self::LinearAlignment { strength } => *strength,
            Self::Amulet(params) => params.strength(),
            Self::Guidance(streams) => streams.iter().skip(1).map(|s| s.weight).sum(),
        }
    }

    /// The streams the method runs, in the order of their rows.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        match self {
            Self::Base => vec![Stream::base()],
            Self::Pref => vec![Stream::pref()],
            Self::LinearAlignment { .. } | Self::Amulet(_) => vec![Stream::base(), Stream::pref()],
            Self::Guidance(streams) => streams.clone(),
        }
    }

    /// True where the method can't do without a preference.
    #[must_use]
    pub fn wants_preference(&self) -> bool {
        !matches!(self, Self::Base | Self::Guidance(_))
    }

    /// # Errors
    ///
    /// [`DecodingError::OutOfRange`] for a hyperparameter outside its range.
    pub fn validate(&self) -> Result<(), DecodingError> {
        match self {
            Self::Base | Self::Pref => Ok(()),
            Self::LinearAlignment { strength } => Ok(Strength {
                strength: *strength,
            }
            .check_ranges()?),
            Self::Amulet(params) => Ok(params.validate()?),
            Self::Guidance(streams) => {
                if streams.is_empty() {
                    return Err(DecodingError::NoStreams);
                }
                for (index, stream) in streams.iter().enumerate() {
                    let range = Some("a number from -1000 to 1000");
                    let weights = (*WEIGHTS.start(), *WEIGHTS.end());
                    in_range("a stream's weight", stream.weight, weights, range)?;
                    if matches!(&stream.preference, StreamPreference::Text(text) if is_empty(text))
                    {
                        return Err(DecodingError::EmptyPreference);
                    }
                    if streams[..index]
                        .iter()
                        .any(|other| other.name == stream.name)
                    {
                        return Err(DecodingError::SameName(stream.name.clone()));
                    }
                }
                Ok(())
            }
        }
    }

    /// The weights of [`Method::streams`], the anchor's row and weight first, as
    /// [`crate::kernels::sampling::guidance`] wants them.
    #[must_use]
    pub fn weights(&self) -> Vec<(usize, f32)> {
        match self {
            Self::Base | Self::Pref => vec![(0, 1.0)],
            Self::LinearAlignment { .. } | Self::Amulet(_) => {
                vec![(1, 1.0), (0, -self.strength() as f32)]
            }
            Self::Guidance(streams) => {
                let all: f64 = streams.iter().map(|stream| stream.weight).sum();
                let others = streams.iter().enumerate().skip(1);
                std::iter::once((0, all as f32))
                    .chain(others.map(|(row, stream)| (row, stream.weight as f32)))
                    .collect()
            }
        }
    }

    /// The weight that each of [`Method::streams`]' logits takes, in their order: of la and amulet base -k and pref 1 + k.
    #[must_use]
    pub fn logit_weights(&self) -> Vec<f64> {
        if let Self::Guidance(streams) = self {
            return streams.iter().map(|stream| stream.weight).collect();
        }
        let of = self.weights();
        let mut weights = vec![0.0; of.len()];
        for (row, weight) in of.iter().skip(1) {
            weights[*row] = f64::from(*weight);
        }
        weights[of[0].0] = f64::from(of[0].1) - weights.iter().sum::<f64>();
        weights
    }

    /// [`Method::weights`] for each of `answers` answers, whose rows come one answer after the other.
    #[must_use]
    pub fn batch_weights(&self, answers: usize) -> Vec<Vec<(usize, f32)>> {
        let weights = self.weights();
        let of_answer = |answer: usize| {
            let first = answer * weights.len();
            let rows = weights.iter();
            rows.map(|(row, weight)| (first + row, *weight)).collect()
        };
        (0..answers).map(of_answer).collect()
    }
}
