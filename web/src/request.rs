//! What a caller may ask, as it comes from JavaScript. Unknown fields are refused by name.

use crate::error::{JsResult, bad_request};
use periapt_core::decoding::streams::{expand_preference, in_turns, preference_streams};
use periapt_core::decoding::{AmuletParams, Conversation, Method, Sampling};
use periapt_core::session::GenerateRequest;
use periapt_core::text::{Message, Role};
use serde::Deserialize;

/// The most answers at once.
const ANSWERS: usize = 64;

/// A chat: perhaps a system prompt, then turns of user and assistant, a user's last.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Chat(Vec<Message>);

impl Chat {
    /// The conversation, with a preference where there is one.
    ///
    /// # Errors
    ///
    /// `bad_request` where turns are missing or out of order.
    pub fn into_conversation(self, preference: Option<String>) -> JsResult<Conversation> {
        let mut messages = self.0;
        let system = match messages.first() {
            Some(first) if first.role == Role::System => Some(messages.remove(0).content),
            _ => None,
        };
        let question = messages
            .pop()
            .filter(|last| last.role == Role::User)
            .ok_or_else(|| bad_request("the last message must be the user's"))?;
        if !in_turns(&messages) {
            return Err(bad_request(
                "messages must be a system prompt or none, then the user's and the assistant's in turns",
            ));
        }
        Ok(Conversation {
            system,
            preference,
            earlier: messages,
            question: question.content,
        })
    }
}

/// A chat prompt without a preference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatPrompt {
    pub messages: Chat,
}

/// Answers to score.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreParams {
    pub messages: Chat,
    /// As in [`GenerateParams`].
    pub preference: String,
    pub responses: Vec<String>,
}

/// One of several preferences.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    text: String,
    weight: f64,
}

/// A chat, how to answer it, and how to decode. All but `messages` and `max_new_tokens` may
/// be left out; what is left out has the engine's default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateParams {
    messages: Chat,
    max_new_tokens: usize,
    /// Answers, each with draws of its own.
    n: Option<usize>,
    /// Trace every token, with so many best tokens of each stream.
    trace: Option<usize>,
    /// One word, worded as in the paper, or text that stands as it is; empty for none.
    preference: Option<String>,
    /// Several, in place of `preference` and `method`: base + the sum of weight (preference - base).
    preferences: Option<Vec<Preference>>,
    /// Amulet where there is a preference, else base.
    method: Option<MethodName>,
    /// Linear Alignment's strength k.
    strength: Option<f64>,
    alpha: Option<f64>,
    lambda: Option<f64>,
    eta: Option<f64>,
    iterations: Option<u32>,
    temperature: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    plausibility: Option<f64>,
    kl_budget: Option<f64>,
    seed: Option<u64>,
    /// Texts that end an answer where they come up; no part of it.
    stop: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodName {
    Base,
    Pref,
    La,
    Amulet,
}

impl GenerateParams {
    /// The engine's own request, its ranges not checked yet.
    ///
    /// # Errors
    ///
    /// `bad_request` for what is no conversation, or contradicts itself.
    pub fn into_request(self) -> JsResult<GenerateRequest> {
        let n = self.n.unwrap_or(1);
        if !(1..=ANSWERS).contains(&n) {
            return Err(bad_request(&format!("n = {n} must be from 1 to {ANSWERS}")));
        }
        if self.preferences.is_some() && (self.preference.is_some() || self.method.is_some()) {
            return Err(bad_request(
                "preferences come with weights: leave preference and method out",
            ));
        }
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(0.0),
            top_k: self.top_k.unwrap_or(0),
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            plausibility: self.plausibility.unwrap_or(0.0),
            kl_budget: self.kl_budget,
            seed: self.seed.unwrap_or(0),
        };
        let mut preference = self.preference.filter(|text| !text.trim().is_empty());
        let method = match (self.preferences, self.method) {
            (Some(preferences), _) => {
                preference = Some(String::new());
                let all = preferences.iter().map(|p| (p.text.as_str(), p.weight));
                Method::Guidance(preference_streams(&all.collect::<Vec<_>>()))
            }
            (None, Some(MethodName::Base)) => Method::Base,
            (None, Some(MethodName::Pref)) => Method::Pref,
            (None, Some(MethodName::La)) => Method::LinearAlignment {
                strength: self.strength.unwrap_or(Method::LINEAR_ALIGNMENT_STRENGTH),
            },
            (None, None) if preference.is_none() => Method::Base,
            (None, Some(MethodName::Amulet) | None) => {
                let defaults = AmuletParams::default();
                Method::Amulet(AmuletParams {
                    alpha: self.alpha.unwrap_or(defaults.alpha),
                    lambda: self.lambda.unwrap_or(defaults.lambda),
                    eta: self.eta.unwrap_or(defaults.eta),
                    iterations: self.iterations.unwrap_or(defaults.iterations),
                })
            }
        };
        let preference = preference.as_deref().map(expand_preference);
        let conversation = self.messages.into_conversation(preference)?;
        Ok(GenerateRequest {
            conversations: vec![conversation; n],
            method,
            sampling,
            max_new_tokens: self.max_new_tokens,
            trace: self.trace,
            stop: self.stop.unwrap_or_default(),
            ..GenerateRequest::default()
        })
    }
}
