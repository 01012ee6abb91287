//! How good a response is: one trait, several rewards. This folder asks a [`Rater`] (the session, or a model behind a
//! server) for log-probabilities, and knows nothing of who wants the scores.

mod classifier;
mod cut;
mod fit;
mod human;
mod judge;
mod name;
mod preference;
mod rater;
mod remote;
mod rewordings;
mod sum;
mod words;

pub use classifier::ClassifierReward;
pub use cut::Cut;
pub use fit::{FitParams, FitRating, FitReward, FitScore, NEUTRAL};
pub use human::{Ask, Choice, Human};
pub use judge::Judge;
pub use name::RewardName;
pub use preference::PreferenceReward;
pub use rater::Rater;
pub use remote::{RemoteReward, ScoreChats};
pub use rewordings::{BadReworded, MOST_REWORDED, rewordings};
pub use sum::{AnyReward, Sum};

pub(crate) use fit::{counted, nll};
pub(crate) use words::{echoes, words};

use crate::decoding::Conversation;
use crate::decoding::streams::Stream;
use crate::model::ModelError;
use crate::text::shorten;
use std::future::Future;

/// Why responses have no scores.
#[derive(Debug, thiserror::Error)]
pub enum RewardError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] crate::Error),
    /// A reward that asks somebody, or a server, got no answer.
    #[error("the reward {name} gave no scores: {reason}")]
    Failed {
        /// Its name.
        name: String,
        /// What went wrong.
        reason: String,
    },
}

/// What `encode` gives for a text in at most `most` tokens, and so much of `text`, up to a sentence's end, as that is.
fn fitting<E: From<crate::Error>>(
    text: &str,
    most: usize,
    encode: impl Fn(&str) -> Result<Vec<u32>, E>,
) -> Result<(Vec<u32>, String), E> {
    let mut text = text.to_owned();
    loop {
        let ids = encode(&text)?;
        if ids.len() <= most {
            return Ok((ids, text));
        }
        if text.is_empty() {
            let (prompt, context) = (ids.len(), most);
            return Err(crate::Error::from(ModelError::ContextFull { prompt, context }).into());
        }
        text = shorter(&text);
    }
}

/// What of a response fits: its tokens, and the cut where that is not all of it.
pub(crate) type Fitted = (Vec<u32>, Option<Cut>);

/// What of each response fits the model's context after the longest of `streams`' prompts, `spare` tokens left. A response that
/// just fitted after its own prompt is rated as far as it fits after this one.
pub(crate) fn fitted<M: Rater>(
    rater: &M,
    name: RewardName,
    conversation: &Conversation,
    streams: &[Stream],
    spare: usize,
    responses: &[Response<'_>],
) -> Result<Vec<Fitted>, M::Error> {
    let mut prompt = 0;
    for stream in streams {
        prompt = prompt.max(rater.chat_tokens(&conversation.messages(stream))?);
    }
    let room = rater.context().saturating_sub(prompt + spare);
    let one = |(place, response): (usize, &Response<'_>)| {
        let encode = |text: &str| rater.encode_answer(text);
        let (ids, text) = fitting(response.text, room, encode)?;
        Ok((ids, Cut::new(name, place, response.text, &text)))
    };
    responses.iter().enumerate().map(one).collect()
}

/// A text without its last tenth, and as much more as to a sentence's end, where it has one.
fn shorter(text: &str) -> String {
    let most = text.chars().count() * 9 / 10;
    let short = shorten(text, most);
    match short.is_empty() {
        true => text.chars().take(most).collect(),
        false => short,
    }
}

/// A response to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether the model ended it, and no limit did.
    pub ended: bool,
}

impl<'a> Response<'a> {
    /// One that the model ended.
    #[must_use]
    pub fn ended(text: &'a str) -> Self {
        Self { text, ended: true }
    }
}

/// Scores responses to a query: higher is better, and scores of one query compare with each other alone.
pub trait Reward {
    /// What it is called in records and reports.
    fn name(&self) -> String;

    /// A score for each of `responses`, in their order. A reward that only compares holds them against `anchor`, a
    /// run's first response, which scores 0.
    ///
    /// # Errors
    ///
    /// [`RewardError`] where it can't score.
    fn score(
        &mut self,
        query: &str,
        anchor: &str,
        responses: &[Response<'_>],
    ) -> impl Future<Output = Result<Vec<f64>, RewardError>>;

    /// What the last scores were given for less than the whole response, since it did not fit the model's context.
    fn take_cuts(&mut self) -> Vec<Cut> {
        Vec::new()
    }

    /// Takes what a response scored in an earlier run of the same query: of use to a reward that remembers.
    fn recall(&mut self, _response: &str, _reward: f64) {}

    /// A run on `query` begins: on another one, or the same one's comparison.
    fn begin(&mut self, _query: &str) {}

    /// What the first responses of the query have set for all that come after them, where the reward is one that holds
    /// responses against it: the mean negative log-probability of a token, in nats, above which a response loses. It is kept in
    /// the run's record.
    fn nll_limit(&self) -> Option<f64> {
        None
    }

    /// Takes that from an earlier run of the same query, after [`Reward::begin`].
    fn set_nll_limit(&mut self, _limit: f64) {}
}
