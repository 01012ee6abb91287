//! How much likelier a model finds an answer after one end's instruction than after the other's: a feature that was tried, and
//! follows what can be checked of answers too loosely to learn by (`benches/evidence/learn`).

use super::axes::{AXES, K, OfAxes};
use crate::decoding::Conversation;
use crate::decoding::streams::Stream;
use crate::reward::{Rater, Response, RewardName, counted, echoes, fitted, nll};
use serde::Serialize;

/// What a single token may say of an answer, in nats.
pub const CLIP: f64 = 1.0;

/// What the model says of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratios {
    /// Of each axis the difference log p(token | the axis' plus) - log p(token | its minus) of every token, in nats, in the order of
    /// [`AXES`].
    pub differences: Vec<Vec<f64>>,
    /// Of each axis, whether a token counts, and repeats neither instruction.
    pub counted: Vec<Vec<bool>>,
    /// The mean of -log p(token | neither), in nats.
    pub nll: f64,
}

impl Ratios {
    /// Of each axis the clipped differences' sum over all tokens' count.
    #[must_use]
    pub fn means(&self) -> OfAxes {
        std::array::from_fn(|axis| {
            let all = self.differences[axis].iter().zip(&self.counted[axis]);
            let counted = all.filter(|(_, counts)| **counts);
            let sum: f64 = counted
                .map(|(difference, _)| difference.clamp(-CLIP, CLIP))
                .sum();
            sum / self.differences[axis].len().max(1) as f64
        })
    }
}

/// Rates answers to one question, all prompts of all of them as rows of one batch.
///
/// # Errors
///
/// Where an instruction makes no difference to the prompt, a prompt or an answer can't be encoded, or the model fails.
pub async fn ratios<M: Rater>(
    rater: &M,
    conversation: &Conversation,
    answers: &[Response<'_>],
) -> Result<Vec<Ratios>, M::Error> {
    let mut streams = vec![Stream::base()];
    for axis in &AXES {
        streams.extend([axis.plus.stream(1.0), axis.minus.stream(1.0)]);
    }
    // A preference makes base a prompt of the same form.
    let conversation = Conversation {
        preference: Some(AXES[0].plus.instruction.to_owned()),
        ..conversation.clone()
    };
    let mut tokens = Vec::with_capacity(answers.len());
    let mut pieces = Vec::with_capacity(answers.len());
    for (ids, _) in fitted(rater, RewardName::Fit, &conversation, &streams, 0, answers)? {
        pieces.push(rater.token_bytes(&ids)?);
        tokens.push(ids);
    }
    let rated = rater.log_probs_under(&streams, &conversation, &tokens);
    let rated = rated.await?;
    let of_answer = |(pieces, rated): (&Vec<Vec<u8>>, &Vec<Vec<f32>>)| {
        let text = pieces.concat();
        let mut ratios = Ratios {
            differences: Vec::with_capacity(K),
            counted: Vec::with_capacity(K),
            nll: nll(&rated[0]),
        };
        for (axis, both) in AXES.iter().zip(rated[1..].chunks(2)) {
            let both = both[0].iter().zip(&both[1]);
            ratios.differences.push(
                both.map(|(plus, minus)| f64::from(*plus - *minus))
                    .collect(),
            );
            let told = [axis.plus.instruction, axis.minus.instruction];
            let mut echoed = told
                .map(|wish| echoes(&text, wish, &told, &conversation.question))
                .concat();
            echoed.sort_by_key(|echo| echo.start);
            let lengths = pieces.iter().map(Vec::len);
            ratios.counted.push(counted(lengths, &echoed));
        }
        ratios
    };
    Ok(pieces.iter().zip(&rated).map(of_answer).collect())
}
