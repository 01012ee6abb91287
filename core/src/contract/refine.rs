//! Refinement (TPO): what is asked, what is told, and what comes back.

use super::generate::not_here;
use super::unknown::NothingElse;
use super::{BadRequest, Chat};
use crate::decoding::{AmuletParams, Method, MethodName, PromptSet, Strength};
use crate::reward::{RewardName, rewordings};
use crate::tpo::{
    Budget, Candidate, Mode, Options, Outcome, Query, RecordLine, RefineDraws, RefineSize,
};
use serde::{Deserialize, Serialize};

/// What to refine, and how. All but `messages` may be left out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(
    feature = "contract",
    derive(ts_rs::TS),
    ts(rename = "RefineAsked", optional_fields)
)]
pub struct RefineParams {
    /// The chat whose last question is answered.
    pub messages: Chat,
    /// As for an answer.
    pub preference: Option<String>,
    /// As for an answer.
    pub prompt_set: Option<PromptSet>,
    /// `fit` where there is a preference, else `judge`.
    pub reward: Option<RewardName>,
    /// The preference in other words, once or twice, for the reward `fit`: those of the built-in preferences where it is left
    /// out, or else the preference itself.
    pub reworded: Option<Vec<String>>,
    /// What an earlier run's `scores` have for this question: a comparison's rewards are held against that run's.
    pub nll_limit: Option<f64>,
    /// What is done with the first responses.
    pub mode: Option<Mode>,
    /// Of the mode `bon`: how long it goes on, N responses a round; one round where it is left out.
    pub budget: Option<Budget>,
    /// How responses are decoded: where it is left out pref where there is a preference, else base.
    pub method: Option<MethodName>,
    /// The lines of a run that was broken off, as JSON, one a line.
    pub recorded: Option<String>,
    /// Responses and rounds.
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    pub size: RefineSize,
    /// How texts are drawn.
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    pub draws: RefineDraws,
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    unknown: NothingElse,
}

/// A request for a refinement in the engine's own types.
#[derive(Debug, Clone, PartialEq)]
pub struct RefineRequest {
    /// What is asked.
    pub query: Query,
    /// How the run goes.
    pub options: Options,
    /// How responses are decoded.
    pub method: Method,
    /// What scores them.
    pub reward: RewardName,
    /// What an earlier run of the same question has set.
    pub nll_limit: Option<f64>,
    /// The lines of a run that was broken off.
    pub recorded: Vec<RecordLine>,
}

impl RefineParams {
    /// The request, its ranges not checked yet.
    ///
    /// # Errors
    ///
    /// [`BadRequest`] for what is no conversation, contradicts itself, or can't be read.
    pub fn into_request(self) -> Result<RefineRequest, BadRequest> {
        let preference = self.preference.filter(|text| !text.trim().is_empty());
        let set = self.prompt_set.unwrap_or_default();
        let given = self.reworded.unwrap_or_default();
        let own = rewordings(&given, preference.as_deref().unwrap_or_default());
        let mut reworded = own.map_err(|error| BadRequest(error.to_string()))?;
        let conversation = self.messages.into_conversation(set, preference)?;
        let preference = conversation.preference;
        let name = self
            .method
            .unwrap_or(Query::default_method(preference.as_deref()));
        let method = name.of_preference(AmuletParams::default(), Strength::default());
        let reward = self
            .reward
            .unwrap_or(RewardName::default_for(preference.as_deref()));
        if reward.wants_preference() && preference.is_none() {
            return Err(BadRequest(format!(
                "the reward {reward} needs a preference"
            )));
        }
        if reward != RewardName::Fit {
            if !given.is_empty() {
                return Err(BadRequest(format!(
                    "reworded is of the reward fit alone, and the reward is {reward}"
                )));
            }
            reworded.clear();
        }
        if self.nll_limit.is_some_and(|limit| !limit.is_finite()) {
            return Err(BadRequest("nll_limit is no number".to_owned()));
        }
        let mode = self.mode.unwrap_or(Mode::Tpo);
        if self.budget.is_some() && mode != Mode::Bon {
            return Err(BadRequest("a budget is of the mode bon alone".to_owned()));
        }
        let recorded = self.recorded.unwrap_or_default();
        let line = |line| serde_json::from_str(line).map_err(|error| BadRequest(error.to_string()));
        Ok(RefineRequest {
            method: method.ok_or_else(|| not_here(name))?,
            options: Options {
                budget: self.budget,
                ..Options::new(mode, self.size, self.draws)
            },
            reward,
            nll_limit: self.nll_limit,
            recorded: recorded.lines().map(line).collect::<Result<_, _>>()?,
            query: Query {
                question: conversation.question,
                system: conversation.system,
                earlier: conversation.earlier,
                preference,
                reworded,
            }
            .with_default_system(),
        })
    }
}

/// What is asked of who listens to a refinement, beside the [`RunEvent`](crate::tpo::RunEvent)s that are told.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum AskEvent<'a> {
    /// A person is to say which of two responses is better.
    Choose {
        /// The question.
        query: &'a str,
        /// The first response.
        a: &'a str,
        /// The second.
        b: &'a str,
    },
}

/// A response with its number and reward.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct CandidateResult {
    /// Its round times N, and its index.
    pub number: usize,
    /// The response.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Its reward, where it has one.
    pub reward: Option<f64>,
}

/// What came of a refinement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "Refinement"))]
pub struct RefineResult {
    /// The answer's number; null where nothing was written.
    pub best: Option<usize>,
    /// All responses.
    pub candidates: Vec<CandidateResult>,
    /// Generations, losses and gradients among them.
    pub generations: usize,
    /// Tokens that were generated.
    pub tokens: usize,
    /// Whether the run was broken off.
    pub cancelled: bool,
}

impl From<Outcome> for RefineResult {
    fn from(outcome: Outcome) -> Self {
        let rewards = outcome.rewards;
        let candidates = outcome.candidates.into_iter();
        Self {
            best: outcome.best,
            candidates: candidates
                .map(|(number, candidate)| CandidateResult {
                    number,
                    candidate,
                    reward: rewards.get(&number).copied(),
                })
                .collect(),
            generations: outcome.generations,
            tokens: outcome.tokens,
            cancelled: outcome.cancelled,
        }
    }
}
