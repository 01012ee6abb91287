//! Guidance: the next token's scores as a weighted sum of the streams' logits.
//!
//! `y = sum_s w_s logits_s` covers every method here: base and pref are one stream of weight 1;
//! Linear Alignment (Gao et al. 2024, arXiv 2401.11458), Amulet and classifier-free guidance are
//! pref with weight 1 + k and base with weight -k, at different strengths k.

use super::streams::{Stream, Wish};
use super::wish::{WEIGHTS, is_empty};
use super::{AmuletParams, DecodingError, in_range};
use crate::kernels::sampling;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

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
    /// Any number of streams with weights of their own. The first is the anchor, against which plausibility and the
    /// KL budget are measured.
    Guidance(Vec<Stream>),
}

impl Method {
    /// The strength of Linear Alignment in the Amulet paper's baseline.
    pub const LINEAR_ALIGNMENT_STRENGTH: f64 = 2.0;

    /// The method's name on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pref => "pref",
            Self::LinearAlignment { .. } => "la",
            Self::Amulet(_) => "amulet",
            Self::Guidance(_) => "guidance",
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
            Self::LinearAlignment { strength } => {
                in_range("strength", *strength, 0.0, 1e6, "from 0 to 1000000")
            }
            Self::Amulet(params) => params.validate(),
            Self::Guidance(streams) => {
                if streams.is_empty() {
                    return Err(DecodingError::NoStreams);
                }
                for (index, stream) in streams.iter().enumerate() {
                    let range = "a number from -1000 to 1000";
                    let (least, most) = (*WEIGHTS.start(), *WEIGHTS.end());
                    in_range("a stream's weight", stream.weight, least, most, range)?;
                    if matches!(&stream.wish, Wish::Text(text) if is_empty(text)) {
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

/// `pref + k (pref - base)` on raw logits `[rows, vocab]`; softmax removes what normalization would add. A token
/// that pref forbids (`-inf`) stays forbidden, and where base is not finite, pref's own logit
/// stands: there is no difference to lean on.
#[must_use]
pub fn lean(pref: Tensor<2>, base: Tensor<2>, strength: f64) -> Tensor<2> {
    let [rows, _] = pref.dims();
    let answers: Vec<_> = (0..rows)
        .map(|row| vec![(row, 1.0), (rows + row, -strength as f32)])
        .collect();
    weighted(Tensor::cat(vec![pref, base], 0), &answers)
}

/// One score row for each answer's list of streams (row, weight), the anchor first.
fn weighted(logits: Tensor<2>, answers: &[Vec<(usize, f32)>]) -> Tensor<2> {
    let device = logits.device();
    let (rows, weights) = streams(answers, &device);
    let settings = Tensor::zeros([sampling::Settings::NAMES.len()], &device);
    sampling::guidance(logits, rows, weights, settings, 0).scores
}

/// The tensors of [`sampling::guidance`]: each answer's rows and weights, `[answers, streams]`. All answers have
/// the same number of streams.
pub(super) fn streams(
    answers: &[Vec<(usize, f32)>],
    device: &Device,
) -> (Tensor<2, Int>, Tensor<2>) {
    let shape = [answers.len(), answers.first().map_or(0, Vec::len)];
    let rows: Vec<i32> = answers
        .iter()
        .flatten()
        .map(|(row, _)| *row as i32)
        .collect();
    let weights: Vec<f32> = answers
        .iter()
        .flatten()
        .map(|(_, weight)| *weight)
        .collect();
    (
        Tensor::from_data(TensorData::new(rows, shape), (device, DType::I32)),
        Tensor::from_data(TensorData::new(weights, shape), device),
    )
}
