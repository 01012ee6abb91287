//! From logits to tokens without leaving the device.

pub use super::ops::Guards;
use super::ops::Ops;
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
pub use periapt_shaders::Settings;

/// What [`guidance`] gives.
#[derive(Debug, Clone)]
pub struct Guided {
    /// The scores, `[answers, vocab]`.
    pub scores: Tensor<2>,
    /// The share t of the differences that was taken, and the policy's KL from the anchor's (-1: not computed),
    /// `[answers, 2]`.
    pub leaning: Tensor<2>,
}

/// The scores of some answers' next tokens: a weighted sum of their streams' logits, with the plausibility cut of
/// `settings`, the slots of [`Settings`] (Li et al. 2023, arXiv 2210.15097, eq. 3). `logits` is `[rows, vocab]`; `stream_rows` and
/// `weights` are `[answers, streams]`, the anchor (pref) first:
/// `y = w_0 l_0 + t sum_{s>0} w_s (l_s - l_0)`, `w_0` being the weight of all streams together. Where a difference is not
/// finite, it counts 0: what the anchor forbids (`-inf`) stays forbidden.
///
/// `guards.nucleus` keeps the smallest set of the anchor's best tokens, equal ones by id, whose probabilities under
/// `softmax(l_0)` reach the settings' nucleus, one at least: what [`sample`]'s top-p would keep of `l_0` (Holtzman et al. 2019,
/// arXiv 1904.09751). A token must pass this and the plausibility cut; what doesn't scores the lowest f32.
///
/// t is 1, or with `guards.jsd` and two streams `JSD(softmax(l_0), softmax(l_1)) / ln 2` over the whole vocabulary (AdaCAD, Wang
/// et al. 2024, arXiv 2409.07394): 0 for equal streams, 1 for two that share no token. With `guards.evaluations` it is the
/// largest t up to that with which the policy's KL divergence from the one at t = 0 stays within the settings' budget, as near
/// as so many evaluations come (12 come within a thousandth); one evaluation and an infinite budget only compute it.
#[must_use]
pub fn guidance(
    logits: Tensor<2>,
    stream_rows: Tensor<2, Int>,
    weights: Tensor<2>,
    settings: Tensor<1>,
    guards: Guards,
) -> Guided {
    let guards = Guards {
        jsd: guards.jsd && stream_rows.dims()[1] == 2,
        ..guards
    };
    let (scores, leaning) = <Dispatch as Ops>::guidance(
        logits.into_dispatch(),
        stream_rows.into_dispatch(),
        weights.into_dispatch(),
        settings.into_dispatch(),
        guards,
    );
    Guided {
        scores: Tensor::from_dispatch(scores),
        leaning: Tensor::from_dispatch(leaning),
    }
}

/// What [`sample`] gives.
#[derive(Debug)]
pub struct Sampled {
    /// How often each token was chosen, `[answers, vocab]`: the input, updated in place.
    pub counts: Tensor<2, Int>,
    /// The next token of every row, `[rows]`: the input, updated in place.
    pub tokens: Tensor<1, Int>,
    /// `[answers, 4 + 2 top]`: the chosen id (-1 where no score is a number to choose by) and its log-prob's
    /// bits, those of the leaning, then ids and log-probs of the best `top` tokens. Log-probs are those of the scores.
    pub chosen: Tensor<2, Int>,
}

/// Chooses a token for each answer from its scores, in the order and with the settings that
/// `shaders/sample.wgsl` gives. `key [3 + answers]` holds the seed's low and high word, the step, and each
/// answer's number: a draw depends on these alone.
#[must_use]
pub fn sample(
    guided: Guided,
    stream_rows: Tensor<2, Int>,
    settings: Tensor<1>,
    key: Tensor<1, Int>,
    counts: Tensor<2, Int>,
    tokens: Tensor<1, Int>,
    top: usize,
) -> Sampled {
    let (counts, tokens, chosen) = <Dispatch as Ops>::sample(
        guided.scores.into_dispatch(),
        guided.leaning.into_dispatch(),
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

/// The log-probability of `targets [rows]` under `softmax(logits [rows, vocab])`: `[rows]`.
#[must_use]
pub fn log_probs(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as Ops>::log_probs(
        logits.into_dispatch(),
        targets.into_dispatch(),
    ))
}
