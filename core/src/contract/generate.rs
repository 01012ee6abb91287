//! Answers: what is asked, and what comes back.

use super::unknown::NothingElse;
use super::{BadRequest, Chat};
use crate::Session;
use crate::decoding::streams::preference_streams;
use crate::decoding::{AmuletParams, Method, MethodName, PromptSet, Sampling, Strength};
use crate::device::DeviceInfo;
use crate::options::options;
use crate::persona::{self, Lean};
use crate::session::{FinishReason, GenerateRequest, Generation};
use crate::text::SystemPrompt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most answers at once.
const ANSWERS: usize = 64;

options! {
    /// How long an answer may get.
    #[cfg_attr(feature = "contract", command(next_help_heading = "Decoding"))]
    pub struct Length in "answer" {
        /// The most tokens to generate; 0 reads the prompt and answers nothing
        #[arg(short = 'n', value_name = "N", allow_negative_numbers = true)]
        max_new_tokens: usize = 128, (0.0, u64::MAX as f64), unit "tokens", control (1.0, 4096.0, 1.0);
    }
}

/// One of several preferences.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct WeightedPreference {
    /// As [`GenerateParams::preference`].
    pub text: String,
    /// Its weight.
    pub weight: f64,
}

/// A chat, how to answer it, and how to decode. All but `messages` may be left out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(
    feature = "contract",
    derive(ts_rs::TS),
    ts(rename = "Asked", optional_fields)
)]
pub struct GenerateParams {
    /// The chat.
    pub messages: Chat,
    /// Answers, each with draws of its own.
    pub n: Option<usize>,
    /// Trace every token, with so many best tokens of each stream.
    pub trace: Option<usize>,
    /// One word, which the set of prompts makes a sentence of, or text that stands as it is; empty for none.
    pub preference: Option<String>,
    /// Several, in place of `preference` and `method`: base + the sum of weight (preference - base).
    pub preferences: Option<Vec<WeightedPreference>>,
    /// How far to lean along axes of preferences, by their names (`persona::AXES`), in place of the three others: base + the sum of k (plus -
    /// minus).
    pub lean: Option<BTreeMap<String, f64>>,
    /// What a preference is said with, and the system prompt where `messages` have none: plain where it is left out.
    pub prompt_set: Option<PromptSet>,
    /// Amulet where there is a preference, else base.
    pub method: Option<MethodName>,
    /// Texts that end an answer where they come up; no part of it.
    pub stop: Option<Vec<String>>,
    /// The beginning of every answer, from which the model goes on; no part of what comes back.
    pub prefix: Option<String>,
    /// A JSON schema that the answers keep to.
    #[cfg_attr(feature = "contract", ts(optional, type = "unknown"))]
    pub json_schema: Option<Value>,
    /// Amulet's hyperparameters.
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    pub amulet: AmuletParams,
    /// Linear Alignment's.
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    pub strength: Strength,
    /// The most tokens.
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    pub length: Length,
    /// How tokens are drawn.
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    pub sampling: Sampling,
    #[serde(flatten)]
    #[cfg_attr(feature = "contract", ts(skip))]
    unknown: NothingElse,
}

impl GenerateParams {
    /// The engine's own request, its ranges not checked yet.
    ///
    /// # Errors
    ///
    /// [`BadRequest`] for what is no conversation, or contradicts itself.
    pub fn into_request(self) -> Result<GenerateRequest, BadRequest> {
        let n = self.n.unwrap_or(1);
        if !(1..=ANSWERS).contains(&n) {
            return Err(BadRequest(format!("n = {n} must be from 1 to {ANSWERS}")));
        }
        if self.preferences.is_some() && (self.preference.is_some() || self.method.is_some()) {
            return Err(BadRequest(
                "preferences come with weights: leave preference and method out".to_owned(),
            ));
        }
        let named = self.preference.is_some() || self.preferences.is_some();
        if self.lean.is_some() && (named || self.method.is_some()) {
            return Err(BadRequest(
                "lean names axes and how far to lean: leave preference, preferences and method out"
                    .to_owned(),
            ));
        }
        let set = self.prompt_set.unwrap_or_default();
        let mut preference = self.preference.filter(|text| !text.trim().is_empty());
        let method = match (self.lean, self.preferences) {
            (Some(lean), _) => {
                preference = Some(String::new());
                let leans: Result<Vec<_>, _> =
                    lean.iter().map(|(name, k)| Lean::along(name, *k)).collect();
                persona::method(&leans.map_err(|error| BadRequest(error.to_string()))?)
            }
            (None, Some(preferences)) => {
                preference = Some(String::new());
                let all = preferences.iter().map(|p| (p.text.as_str(), p.weight));
                Method::Guidance(preference_streams(set, &all.collect::<Vec<_>>()))
            }
            (None, None) => {
                let name = self.method.unwrap_or(match preference {
                    None => MethodName::Base,
                    Some(_) => MethodName::Amulet,
                });
                let method = name.of_preference(self.amulet, self.strength);
                method.ok_or_else(|| not_here(name))?
            }
        };
        let conversation = self.messages.into_conversation(set, preference)?;
        Ok(GenerateRequest {
            conversations: vec![conversation; n],
            method,
            sampling: self.sampling,
            max_new_tokens: self.length.max_new_tokens,
            trace: self.trace,
            stop: self.stop.unwrap_or_default(),
            prefix: self.prefix.unwrap_or_default(),
            json_schema: self.json_schema,
            ..GenerateRequest::default()
        })
    }
}

/// A method that a request can't name.
pub(super) fn not_here(name: MethodName) -> BadRequest {
    BadRequest(match name {
        MethodName::Guidance => {
            "method guidance takes preferences with weights: leave method out, and give preferences"
                .to_owned()
        }
        other => {
            format!("method {other} is the command line's alone: take base, pref, la or amulet")
        }
    })
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(
    feature = "contract",
    derive(ts_rs::TS),
    ts(rename = "Answer", optional_fields)
)]
pub struct AnswerResult {
    /// The answer's text, without control tokens.
    pub text: String,
    /// The chosen tokens, the ending one included.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The strength at each token.
    pub strengths: Vec<f64>,
    /// KL divergence from pref at each token, where a budget asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<Vec<f32>>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "Generation"))]
pub struct GenerateResult {
    /// The answers.
    pub answers: Vec<AnswerResult>,
    /// Each stream's prompt.
    pub prompt_token_ids: BTreeMap<String, Vec<u32>>,
    /// What the model's chat template did with system prompts, and with them preferences: wrote them; had no place for them,
    /// so that they stand before the question; or left them out. Null where there was none.
    pub system_prompt: Option<SystemPrompt>,
    /// The method.
    pub method: MethodName,
    /// Its strength.
    pub strength: f64,
    /// What computed.
    pub device: DeviceInfo,
}

impl GenerateResult {
    /// What `session` made of `request`.
    #[must_use]
    pub fn of(
        session: &Session,
        request: &GenerateRequest,
        system_prompt: Option<SystemPrompt>,
        generations: Vec<Generation>,
    ) -> Self {
        let prompts = generations.first().map(|first| &first.prompt_token_ids);
        let has_kl = request.sampling.kl_budget.is_some();
        Self {
            prompt_token_ids: prompts.into_iter().flatten().cloned().collect(),
            answers: generations
                .into_iter()
                .map(|generation| AnswerResult {
                    text: generation.text,
                    token_ids: generation.token_ids,
                    finish_reason: generation.finish_reason,
                    strengths: generation.strengths,
                    kl: has_kl.then_some(generation.kl),
                })
                .collect(),
            system_prompt,
            method: request.method.name(),
            strength: request.method.strength(),
            device: session.device().info.clone(),
        }
    }
}
