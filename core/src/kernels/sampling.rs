//! From logits to tokens without leaving the device.

use super::ops::Ops;
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

/// Length of the settings: beta (plausibility), temperature, top_k, top_p, min_p, repetition, frequency,
/// presence.
pub const SETTINGS: usize = 8;

/// The scores of some answers' next tokens, `[answers, vocab]`: a weighted sum of their streams' logits,
/// with the plausibility cut of `settings [8]` (Li et al. 2023, arXiv 2210.15097, eq. 3). `logits` is
/// `[rows, vocab]`; `stream_rows` and `weights` are `[answers, streams]`, the anchor (pref) first:
/// `y = w_0 l_0 + sum_{s>0} w_s (l_s - l_0)`, `w_0` being the weight of all streams together. Where a difference is not finite, it
/// counts 0: what the anchor forbids (`-inf`) stays forbidden.
#[must_use]
pub fn guidance(
    logits: Tensor<2>,
    stream_rows: Tensor<2, Int>,
    weights: Tensor<2>,
    settings: Tensor<1>,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Ops>::guidance(
        logits.into_dispatch(),
        stream_rows.into_dispatch(),
        weights.into_dispatch(),
        settings.into_dispatch(),
    ))
}

/// What [`sample`] gives.
#[derive(Debug)]
pub struct Sampled {
    /// How often each token was chosen, `[answers, vocab]`: the input, updated in place.
    pub counts: Tensor<2, Int>,
    /// The next token of every row, `[rows]`: the input, updated in place.
    pub tokens: Tensor<1, Int>,
    /// `[answers, 2 + 2 top]`: the chosen id (-1 where no score is a number to choose by) and its log-prob's
    /// bits, then ids and log-probs of the best `top` tokens. Log-probs are those of `scores`.
    pub chosen: Tensor<2, Int>,
}

/// Chooses a token for each answer from `scores [answers, vocab]`, in the order and with the settings that
/// `shaders/sample.wgsl` gives. `key [4]` holds the seed's low and high word, the step, and the first
/// answer's number: the draw depends on these alone.
#[must_use]
pub fn sample(
    scores: Tensor<2>,
    stream_rows: Tensor<2, Int>,
    settings: Tensor<1>,
    key: Tensor<1, Int>,
    counts: Tensor<2, Int>,
    tokens: Tensor<1, Int>,
    top: usize,
) -> Sampled {
    let (counts, tokens, chosen) = <Dispatch as Ops>::sample(
        scores.into_dispatch(),
        stream_rows.into_dispatch(),
        settings.into_dispatch(),
        key.into_dispatch(),
        counts.into_dispatch(),
        tokens.into_dispatch(),
        top,
    );
    Sampled {
        counts: Tensor::from_dispatch(counts),
        tokens: Tensor::from_dispatch(tokens),
        chosen: Tensor::from_dispatch(chosen),
    }
}
