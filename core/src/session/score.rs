//! How well a given answer fits: its tokens' log-probabilities with and without the preference.

use super::{Error, Session, read_ids};
use crate::decoding::streams::Stream;
use crate::decoding::{Conversation, Method, Sampler, Sampling, sampler};
use crate::kernels::sampling;
use crate::text::{Encoded, Message, Role};
use std::collections::HashSet;

/// What one answer scores.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
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

/// What the model thinks of a token that it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rated {
    /// Its log-probability, in nats.
    pub log_prob: f32,
    /// The likeliest token in its place.
    pub best_id: u32,
    /// That one's log-probability: the same number where both are one token.
    pub best_log_prob: f32,
}

impl Session {
    /// Scores answers, given as tokens without control tokens, each to a conversation that has a preference. All go
    /// through the model at once, with and without the preference; what their prompts share is computed once.
    ///
    /// # Errors
    ///
    /// [`Error`] where an answer is empty or passes the model's context, a prompt can't be encoded, or the device fails.
    pub async fn score_all(
        &self,
        answers: &[(&Conversation, &[u32])],
    ) -> Result<Vec<Score>, Error> {
        let streams = [Stream::base(), Stream::pref()];
        let rated = self.log_probs_under(&streams, answers).await?;
        let rated = answers.iter().zip(&rated);
        Ok(rated
            .map(|((_, answer), rated)| Score::of(&rated[0], &rated[1], answer))
            .collect())
    }

    /// The log-probabilities of answers' tokens after the prompts of `streams`: of each answer one list a stream, in nats. All
    /// go through the model at once; what their prompts share is computed once.
    ///
    /// # Errors
    ///
    /// As [`Session::score_all`].
    pub async fn log_probs_under(
        &self,
        streams: &[Stream],
        answers: &[(&Conversation, &[u32])],
    ) -> Result<Vec<Vec<Vec<f32>>>, Error> {
        if answers.is_empty() || streams.is_empty() {
            return Ok(vec![Vec::new(); answers.len()]);
        }
        let mut rows = Vec::with_capacity(streams.len() * answers.len());
        for (conversation, answer) in answers {
            for Encoded { mut ids, .. } in self.prompts(conversation, streams, true, true)? {
                let from = ids.len();
                ids.extend(*answer);
                rows.push((ids, from));
            }
        }
        let rated = self.decoder.log_probs(&rows, self.kv)?;
        let rated = self.read(rated.unsqueeze::<2>()).await?;
        let mut rest = rated.as_slice();
        let mut take = |count: usize| {
            let (part, after) = rest.split_at(count.min(rest.len()));
            rest = after;
            part.to_vec()
        };
        let of_answer = |(_, answer): &(&Conversation, &[u32])| {
            streams.iter().map(|_| take(answer.len())).collect()
        };
        Ok(answers.iter().map(of_answer).collect())
    }

    /// What the model thinks of the tokens of a text that it is given: the log-probability of each after those before it, in
    /// nats, beside the likeliest token there with its own. The first token has none.
    ///
    /// # Errors
    ///
    /// [`Error`] where there are fewer than two tokens, or more than the model's context, or the device fails.
    pub async fn rate_tokens(&self, ids: &[u32]) -> Result<Vec<Rated>, Error> {
        let mut of_passes = Vec::new();
        let (vocab, device) = (self.decoder.config().vocab, &self.device.device);
        let mut targets = ids.iter().skip(1);
        let mut failed = None;
        self.decoder.each_logits(ids, self.kv, &mut |logits| {
            let rows = logits.0.dims()[0];
            let own: Vec<i32> = targets.by_ref().take(rows).map(|id| *id as i32).collect();
            let own = sampling::log_probs(logits.0.clone(), sampler::ints(own, device));
            let weights = Method::Base.batch_weights(rows);
            match Sampler::new(&Sampling::default(), &weights, 0, 0, vocab, device) {
                Ok(mut best) => of_passes.push((rows, own, best.choose(logits))),
                Err(error) => failed = Some(error),
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut rated = Vec::with_capacity(ids.len());
        let mut ids = ids.iter().skip(1);
        for (rows, own, best) in of_passes {
            let own = self.read(own.unsqueeze::<2>()).await?;
            let best = read_ids(best, &self.device).await?;
            for (log_prob, best) in own.into_iter().zip(sampler::read(&best, rows)) {
                let best_id = best.id.ok_or_else(|| self.not_a_number())?;
                // Two kernels computed them, whose last digits differ.
                let is_it = ids.next() == Some(&best_id);
                rated.push(Rated {
                    log_prob,
                    best_id,
                    best_log_prob: if is_it { log_prob } else { best.log_prob },
                });
            }
        }
        Ok(rated)
    }

    /// The token that ends an answer in the chat template, or else the one that the model's file names; `None` where there is
    /// none.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<u32> {
        let turns = [Role::User, Role::Assistant].map(|role| Message {
            role,
            content: "a".to_owned(),
        });
        let tokenizer = &self.text.tokenizer;
        let written = self.encode_with(None, &turns, false, true).ok()?;
        let mut from_behind = written.ids.into_iter().rev();
        let end = from_behind.find(|id| tokenizer.is_end_of_generation(*id));
        end.or(tokenizer.eos())
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

/// The mean of log-probabilities; `NaN` where there are none.
pub(crate) fn mean(log_probs: &[f32]) -> f64 {
    let sum: f64 = log_probs.iter().copied().map(f64::from).sum();
    sum / log_probs.len() as f64
}

impl Score {
    /// What an answer scores whose tokens have these log-probabilities without the preference and with it.
    #[must_use]
    pub fn of(base: &[f32], pref: &[f32], answer: &[u32]) -> Self {
        Self {
            preference_score: mean(pref) - mean(base),
            base_perplexity: (-mean(base)).exp(),
            pref_perplexity: (-mean(pref)).exp(),
            distinct: [1, 2, 3].map(|n| distinct(answer, n)),
            repetition: repetition(answer),
            tokens: answer.len(),
        }
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
        let score = Score::of(&[-1.0, -3.0], &[-1.0, -2.0], &[7, 7]);
        assert!((score.preference_score - 0.5).abs() < 1e-9);
        assert!((score.base_perplexity - 2f64.exp()).abs() < 1e-9);
        assert!((score.pref_perplexity - 1.5f64.exp()).abs() < 1e-9);
        assert_eq!(score.distinct, [0.5, 1.0, 0.0]);
        assert_eq!(repetition(&[1, 2, 3, 4, 9, 1, 2, 3, 4]), 4.0 / 9.0);
        assert_eq!(repetition(&[1, 2]), 0.0);
    }
}
