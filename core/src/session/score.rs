//! How well a given answer fits: its tokens' log-probabilities with and without the preference.

use super::{Error, Session, read};
use crate::decoding::Conversation;
use crate::decoding::streams::Stream;
use crate::model::LogProbs;
use burn::tensor::Tensor;
use std::collections::HashSet;

/// What one answer scores.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Mean over the answer's tokens of log p(token | with the preference) - log p(token | without), in nats: above 0
    /// where the answer is likelier with the preference. Amulet's utility (arXiv 2502.19148).
    pub preference_score: f64,
    /// exp of the mean negative log-probability without the preference.
    pub base_perplexity: f64,
    /// The same with it.
    pub pref_perplexity: f64,
    /// Different n-grams of tokens among all, n = 1, 2, 3 (Li et al. 2016, arXiv 1510.03055); 0 where there is none.
    pub distinct: [f64; 3],
    /// The share of tokens that stand in a 4-gram seen before in the answer.
    pub repetition: f64,
    /// Tokens of the answer.
    pub tokens: usize,
}

/// Scores answers one after the other. What their prompts share with the first one's is computed once.
#[derive(Debug)]
pub struct Scorer<'a> {
    session: &'a Session,
    log_probs: LogProbs<'a>,
}

impl Session {
    /// A scorer for `conversations`, which have a preference each, and answers of up to `tokens` tokens.
    ///
    /// # Errors
    ///
    /// [`Error`] where they pass the model's context, or a prompt can't be encoded.
    pub fn scorer(
        &self,
        conversations: &[Conversation],
        tokens: usize,
    ) -> Result<Scorer<'_>, Error> {
        let mut longest = 0;
        for conversation in conversations {
            longest = longest.max(
                self.encode_chat(&conversation.messages(&Stream::pref()))?
                    .len(),
            );
            longest = longest.max(
                self.encode_chat(&conversation.messages(&Stream::base()))?
                    .len(),
            );
        }
        // An answer ends where the context does.
        let longest = longest.max((longest + tokens).min(self.decoder.config().context));
        Ok(Scorer {
            session: self,
            log_probs: self.decoder.log_probs(longest, self.kv)?,
        })
    }

    /// The tokens of an answer given as text, to score.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] where the tokenizer fails.
    pub fn encode_answer(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.text.tokenizer.encode(text)?)
    }
}

impl Scorer<'_> {
    /// Scores an answer, given as tokens without control tokens.
    ///
    /// # Errors
    ///
    /// [`Error`] where the answer is empty or too long, or the device fails.
    pub async fn score(
        &mut self,
        conversation: &Conversation,
        answer: &[u32],
    ) -> Result<Score, Error> {
        let mut rated = Vec::with_capacity(2);
        for stream in [Stream::base(), Stream::pref()] {
            let mut ids = self.session.encode_chat(&conversation.messages(&stream))?;
            let from = ids.len();
            ids.extend(answer);
            rated.push(self.log_probs.rate(&ids, from)?);
        }
        let rated = Tensor::stack::<2>(rated, 0);
        let rated = read(rated, &self.session.device).await?;
        let (base, pref) = rated.split_at(answer.len());
        Ok(score(base, pref, answer))
    }
}

fn score(base: &[f32], pref: &[f32], answer: &[u32]) -> Score {
    let mean = |log_probs: &[f32]| {
        let sum: f64 = log_probs.iter().copied().map(f64::from).sum();
        sum / log_probs.len() as f64
    };
    Score {
        preference_score: mean(pref) - mean(base),
        base_perplexity: (-mean(base)).exp(),
        pref_perplexity: (-mean(pref)).exp(),
        distinct: [1, 2, 3].map(|n| distinct(answer, n)),
        repetition: repetition(answer),
        tokens: answer.len(),
    }
}

fn distinct(tokens: &[u32], n: usize) -> f64 {
    let all = tokens.windows(n).count();
    let different: HashSet<&[u32]> = tokens.windows(n).collect();
    different.len() as f64 / all.max(1) as f64
}

fn repetition(tokens: &[u32]) -> f64 {
    const N: usize = 4;
    let mut seen = HashSet::new();
    let mut repeated = vec![false; tokens.len()];
    for (start, gram) in tokens.windows(N).enumerate() {
        if !seen.insert(gram) {
            repeated[start..start + N].fill(true);
        }
    }
    let count = repeated.iter().filter(|repeated| **repeated).count();
    count as f64 / tokens.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let score = score(&[-1.0, -3.0], &[-1.0, -2.0], &[7, 7]);
        assert!((score.preference_score - 0.5).abs() < 1e-9);
        assert!((score.base_perplexity - 2f64.exp()).abs() < 1e-9);
        assert!((score.pref_perplexity - 1.5f64.exp()).abs() < 1e-9);
        assert_eq!(score.distinct, [0.5, 1.0, 0.0]);
        assert_eq!(repetition(&[1, 2, 3, 4, 9, 1, 2, 3, 4]), 4.0 / 9.0);
        assert_eq!(repetition(&[1, 2]), 0.0);
    }
}
