//! What a caller may ask, as it comes from JavaScript. Unknown fields are refused by name.

use periapt_core::decoding::streams::expand_preference;
use periapt_core::decoding::{AmuletParams, Conversation, Method, Sampling};
use periapt_core::session::GenerateRequest;
use serde::Deserialize;

/// A chat prompt without a preference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatPrompt {
    pub question: String,
    pub system: Option<String>,
}

/// A question, how to answer it, and how to decode. All but `question` and `max_new_tokens` may
/// be left out; what is left out has the engine's default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateParams {
    question: String,
    max_new_tokens: usize,
    system: Option<String>,
    /// One word, worded as in the paper, or text that stands as it is; empty for none.
    preference: Option<String>,
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
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    Base,
    Pref,
    La,
    Amulet,
}

impl GenerateParams {
    /// The engine's own request, its ranges not checked yet.
    pub fn into_request(self) -> GenerateRequest {
        let preference = self.preference.filter(|text| !text.trim().is_empty());
        let amulet = AmuletParams::default();
        let sampling = Sampling::default();
        let method = self.method.unwrap_or(match preference {
            Some(_) => MethodName::Amulet,
            None => MethodName::Base,
        });
        GenerateRequest {
            conversations: vec![Conversation {
                system: self.system,
                preference: preference.as_deref().map(expand_preference),
                question: self.question,
            }],
            method: match method {
                MethodName::Base => Method::Base,
                MethodName::Pref => Method::Pref,
                MethodName::La => Method::LinearAlignment {
                    strength: self.strength.unwrap_or(Method::LINEAR_ALIGNMENT_STRENGTH),
                },
                MethodName::Amulet => Method::Amulet(AmuletParams {
                    alpha: self.alpha.unwrap_or(amulet.alpha),
                    lambda: self.lambda.unwrap_or(amulet.lambda),
                    eta: self.eta.unwrap_or(amulet.eta),
                    iterations: self.iterations.unwrap_or(amulet.iterations),
                }),
            },
            sampling: Sampling {
                temperature: self.temperature.unwrap_or(sampling.temperature),
                top_k: self.top_k.unwrap_or(sampling.top_k),
                top_p: self.top_p.unwrap_or(sampling.top_p),
                min_p: self.min_p.unwrap_or(sampling.min_p),
                repetition_penalty: self
                    .repetition_penalty
                    .unwrap_or(sampling.repetition_penalty),
                frequency_penalty: self.frequency_penalty.unwrap_or(sampling.frequency_penalty),
                presence_penalty: self.presence_penalty.unwrap_or(sampling.presence_penalty),
                plausibility: self.plausibility.unwrap_or(sampling.plausibility),
                kl_budget: self.kl_budget,
                seed: self.seed.unwrap_or(sampling.seed),
            },
            max_new_tokens: self.max_new_tokens,
            ..GenerateRequest::default()
        }
    }
}
