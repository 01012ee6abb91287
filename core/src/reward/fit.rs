//! The user's preference as a reward that an echo of it does not win.

use super::words::echoes;
use super::{Cut, Rater, Response, Reward, RewardError, RewardName, fitted};
use crate::Session;
use crate::decoding::Conversation;
use crate::decoding::PromptSet;
use crate::decoding::streams::{Stream, StreamPreference};
use crate::options::options;
use serde::Serialize;
use std::ops::Range;

/// What an instruction does by being there cancels against this one.
pub const NEUTRAL: &str = "Answer in an ordinary way.";

options! {
    /// How `fit` weighs.
    pub struct FitParams in "fit" {
        /// What a single token may add to an answer's style, or take from it, at most
        #[arg(value_name = "NATS", allow_negative_numbers = true)]
        fit_clip: f64 = 0.5, (f64::MIN_POSITIVE, 1e3), "above 0 and at most 1000", unit "nats", control (0.05, 4.0, 0.05);
        /// What an answer loses for each nat a token that it is less likely than the least likely quarter of the first answers
        #[arg(value_name = "B", allow_negative_numbers = true)]
        fit_beta: f64 = 1.0, (0.0, 1e3), control (0.0, 4.0, 0.1);
    }
}

/// What the model says of an answer, from which its reward follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitRating {
    /// d_t of every token, that of the end of the turn last where it counts: the mean over the rewordings of log p(token |
    /// reworded) - log p(token | neutral), in nats.
    pub differences: Vec<f64>,
    /// m_t: whether it counts, and is no echo.
    pub counted: Vec<bool>,
    /// The mean of -log p(token | no wish) over the answer's tokens, in nats; 0 where it has none.
    pub nll: f64,
}

/// What an answer's reward is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct FitScore {
    /// The reward: `style`, less what the answer is too unlikely.
    pub reward: f64,
    /// The mean over all tokens of how much likelier each is with the reworded wish than with a neutral one, in nats: clipped,
    /// and nothing for what only repeats the wish.
    pub style: f64,
    /// The mean negative log-probability of a token without any wish, in nats.
    pub nll: f64,
    /// What `nll` is held against.
    pub nll_limit: f64,
    /// Tokens that only repeat the wish.
    pub masked: usize,
}

impl FitRating {
    /// s: the clipped differences' sum over all tokens' count; `NaN` where there is no token.
    #[must_use]
    pub fn style(&self, clip: f64) -> f64 {
        let counted = self.differences.iter().zip(&self.counted);
        let sum: f64 = counted
            .filter(|(_, counts)| **counts)
            .map(|(difference, _)| difference.clamp(-clip, clip))
            .sum();
        sum / self.differences.len() as f64
    }

    /// R = s - beta max(0, nll - limit).
    #[must_use]
    pub fn score(&self, params: &FitParams, nll_limit: f64) -> FitScore {
        let style = self.style(params.fit_clip);
        FitScore {
            reward: style - params.fit_beta * (self.nll - nll_limit).max(0.0),
            style,
            nll: self.nll,
            nll_limit,
            masked: self.counted.iter().filter(|counts| !**counts).count(),
        }
    }
}

/// A wish as a reward, without a second model: how much likelier an answer becomes, token by token, under rewordings of the
/// wish than under a neutral instruction of the same form. A token counts for at most `fit_clip` nats, and for nothing where it
/// repeats the wish's own words or four words of an instruction; the end of the turn counts, so that stopping does; and an
/// answer that is less likely without any wish than the upper quartile of the run's first ones pays for it.
#[derive(Debug)]
pub struct FitReward<'a, M = Session> {
    rater: &'a M,
    system: Option<String>,
    preference: String,
    reworded: Vec<String>,
    /// The instruction in place of the wish that its rewordings are held against, [`NEUTRAL`] by itself.
    pub neutral: String,
    /// How it weighs.
    pub params: FitParams,
    /// The query whose first responses' upper quartile this is.
    query: String,
    nll_limit: Option<f64>,
    cuts: Vec<Cut>,
}

impl<'a, M: Rater> FitReward<'a, M> {
    /// By the model of `rater`; `preference` and what [`rewordings`](super::rewordings) has for it, as
    /// [`PromptSet::instruction`] gives them or as they were typed. Without rewordings it is the wish itself.
    #[must_use]
    pub fn new(
        rater: &'a M,
        system: Option<String>,
        preference: String,
        reworded: &[String],
    ) -> Self {
        let reworded = match reworded {
            [] => vec![preference.clone()],
            texts => {
                let worded = |text: &String| PromptSet::default().instruction(text);
                texts.iter().map(worded).collect()
            }
        };
        Self {
            rater,
            system,
            preference,
            reworded,
            neutral: NEUTRAL.to_owned(),
            params: FitParams::default(),
            query: String::new(),
            nll_limit: None,
            cuts: Vec::new(),
        }
    }

    /// Rates responses to a conversation, whatever preference it has, all prompts of all of them as rows of one batch. What
    /// passes the model's context is rated as far as it fits, and counts as cut.
    ///
    /// # Errors
    ///
    /// Where a wish makes no difference to the prompt, a prompt or a response can't be encoded, or the model fails.
    pub async fn rate(
        &mut self,
        conversation: &Conversation,
        responses: &[Response<'_>],
    ) -> Result<Vec<FitRating>, M::Error> {
        let conversation = Conversation {
            preference: Some(self.preference.clone()),
            ..conversation.clone()
        };
        let told = |(name, text): (&str, &String)| Stream {
            name: name.to_owned(),
            preference: StreamPreference::Text(text.clone()),
            ..Stream::base()
        };
        let mut streams: Vec<Stream> = vec![Stream::base(), told(("neutral", &self.neutral))];
        streams.extend(self.reworded.iter().map(|text| told(("reworded", text))));
        let end = self.rater.end_of_turn()?;
        let spare = usize::from(end.is_some());
        let all = fitted(
            self.rater,
            RewardName::Fit,
            &conversation,
            &streams,
            spare,
            responses,
        )?;
        self.cuts.clear();
        let mut answers = Vec::with_capacity(responses.len());
        let mut pieces = Vec::with_capacity(responses.len());
        for (response, (mut ids, cut)) in responses.iter().zip(all) {
            pieces.push(self.rater.token_bytes(&ids)?);
            let ended = response.ended && cut.is_none();
            self.cuts.extend(cut);
            ids.extend(end.filter(|_| ended));
            answers.push(ids);
        }
        let rated = self
            .rater
            .log_probs_under(&streams, &conversation, &answers);
        let rated = rated.await?;
        let instructions: Vec<&str> = std::iter::once(&self.preference)
            .chain(&self.reworded)
            .map(String::as_str)
            .collect();
        let rating = |(pieces, rated): (&Vec<Vec<u8>>, &Vec<Vec<f32>>)| {
            let (base, neutral, reworded) = (&rated[0], &rated[1], &rated[2..]);
            let echoes = echoes(
                &pieces.concat(),
                &self.preference,
                &instructions,
                &conversation.question,
            );
            let mut counted = counted(pieces.iter().map(Vec::len), &echoes);
            // The end of the turn is no word.
            counted.resize(base.len(), true);
            FitRating {
                differences: differences(neutral, reworded),
                counted,
                nll: nll(&base[..pieces.len()]),
            }
        };
        Ok(pieces.iter().zip(&rated).map(rating).collect())
    }

    /// What ratings come to. The first ones of a query set what later ones' `nll` is held against, unless
    /// [`Reward::set_nll_limit`] has said it.
    pub fn scores(&mut self, ratings: &[FitRating]) -> Vec<FitScore> {
        if self.nll_limit.is_none() {
            self.nll_limit = upper_quartile(ratings.iter().map(|rating| rating.nll));
        }
        let limit = self.nll_limit.unwrap_or(f64::NAN);
        let ratings = ratings.iter();
        ratings
            .map(|rating| rating.score(&self.params, limit))
            .collect()
    }
}

/// d_t.
fn differences(neutral: &[f32], reworded: &[Vec<f32>]) -> Vec<f64> {
    let one = |(at, neutral): (usize, &f32)| {
        let sum: f64 = reworded.iter().map(|row| f64::from(row[at])).sum();
        sum / reworded.len() as f64 - f64::from(*neutral)
    };
    neutral.iter().enumerate().map(one).collect()
}

/// The mean of -log p, in nats; 0 where there is none.
pub(crate) fn nll(log_probs: &[f32]) -> f64 {
    let sum: f64 = log_probs.iter().copied().map(f64::from).sum();
    -sum / log_probs.len().max(1) as f64
}

/// Whether each token of so many bytes touches none of `echoes`, which are in the order of their beginnings.
pub(crate) fn counted(lengths: impl Iterator<Item = usize>, echoes: &[Range<usize>]) -> Vec<bool> {
    let mut start = 0;
    lengths
        .map(|length| {
            let token = start..start + length;
            start = token.end;
            let mut echoes = echoes.iter();
            !echoes.any(|echo| echo.start < token.end && token.start < echo.end)
        })
        .collect()
}

/// The upper quartile, between two values in proportion, to six decimals: what a record's text holds is the same number
/// again. `None` where there is no number.
fn upper_quartile(values: impl Iterator<Item = f64>) -> Option<f64> {
    const DECIMALS: f64 = 1e6;
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let place = 0.75 * values.len().checked_sub(1)? as f64;
    let (below, share) = (place as usize, place.fract());
    let above = values.get(below + 1).unwrap_or(&values[below]);
    let value = values[below] + share * (above - values[below]);
    Some((value * DECIMALS).round() / DECIMALS)
}

impl<M: Rater> Reward for FitReward<'_, M> {
    fn name(&self) -> String {
        RewardName::Fit.to_string()
    }

    async fn score(
        &mut self,
        query: &str,
        _: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let conversation = Conversation {
            system: self.system.clone(),
            question: query.to_owned(),
            ..Conversation::default()
        };
        let ratings = self.rate(&conversation, responses).await;
        let ratings = ratings.map_err(Into::into)?;
        let scores = self.scores(&ratings);
        Ok(scores.into_iter().map(|score| score.reward).collect())
    }

    fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }

    fn begin(&mut self, query: &str) {
        // A comparison's run has the same first responses, and its rewards are held against this one's.
        if self.query != query {
            query.clone_into(&mut self.query);
            self.nll_limit = None;
        }
    }

    fn nll_limit(&self) -> Option<f64> {
        self.nll_limit
    }

    fn set_nll_limit(&mut self, limit: f64) {
        self.nll_limit = Some(limit);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn tokens_that_touch_an_echo_do_not_count() {
        // "Be concise. No" as Be| con|cise|.| N|o, with a token of no bytes and one across the word's end.
        let lengths = [2, 4, 4, 1, 0, 2, 1];
        let of = |first: Range<usize>, second: Range<usize>| {
            counted(lengths.into_iter(), &[first, second])
        };
        assert_eq!(
            of(3..10, 3..4),
            [true, false, false, true, true, true, true]
        );
        assert_eq!(
            of(0..2, 0..10),
            [false, false, false, true, true, true, true]
        );
        assert_eq!(
            of(9..12, 11..12),
            [true, true, false, false, false, false, true]
        );
        assert_eq!(of(20..21, 21..22), [true; 7]);
    }

    #[test]
    fn a_score_by_hand() {
        let rating = FitRating {
            differences: vec![2.0, -0.1, -3.0, 0.25],
            counted: vec![true, true, false, true],
            nll: 2.0,
        };
        let params = FitParams::default();
        let score = rating.score(&params, 1.5);
        assert!((score.style - (0.5 - 0.1 + 0.25) / 4.0).abs() < 1e-12);
        assert!((score.reward - (score.style - 0.5)).abs() < 1e-12);
        assert_eq!((score.nll, score.nll_limit, score.masked), (2.0, 1.5, 1));
        // What is likelier than the limit pays nothing.
        assert_eq!(rating.score(&params, 2.5).reward, score.style);
        let mild = FitParams {
            fit_clip: 1.0,
            fit_beta: 0.5,
        };
        let score = rating.score(&mild, 1.5);
        assert!((score.reward - ((1.0 - 0.1 + 0.25) / 4.0 - 0.25)).abs() < 1e-12);
        let nothing = FitRating {
            differences: vec![],
            counted: vec![],
            nll: 0.0,
        };
        assert!(nothing.style(0.5).is_nan());
    }

    #[test]
    fn the_upper_quartile() {
        let of = |values: &[f64]| upper_quartile(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN]), None);
        assert_eq!(of(&[2.0]), Some(2.0));
        assert_eq!(of(&[3.0, 1.0]), Some(2.5));
        assert_eq!(of(&[5.0, 1.0, 3.0, 2.0, 4.0, f64::INFINITY]), Some(4.0));
        assert_eq!(of(&[1.0 / 3.0]), Some(0.333_333));
        let text = serde_json::to_string(&of(&[1.0 / 7.0, 2.0 / 3.0]).unwrap()).unwrap();
        assert_eq!(
            serde_json::from_str::<f64>(&text).ok(),
            of(&[1.0 / 7.0, 2.0 / 3.0])
        );
    }

    #[test]
    fn the_mean_over_rewordings_against_the_neutral_one() {
        let rows = [vec![-1.0, -2.0], vec![-3.0, -1.0]];
        assert_eq!(differences(&[-2.5, -1.0], &rows), [0.5, -0.5]);
        assert_eq!(nll(&[-1.0, -2.0]), 1.5);
        assert_eq!(nll(&[]), 0.0);
    }
}
