//! An answer of a server's model: its own to a chat, or one that is drawn here.

use super::{Asked, Engine, Leaning, lean};
use periapt_core::decoding::Method;
use periapt_core::session::{FinishReason, GenerateRequest};
use std::ops::ControlFlow;

/// An answer.
pub struct Answered {
    pub text: String,
    /// How many tokens it is.
    pub tokens: usize,
    pub finish_reason: FinishReason,
    /// Where it was drawn here.
    pub leaning: Option<Leaning>,
}

impl Engine {
    /// The answer to a request's first conversation, with `support` tokens where it is drawn here. `heard` hears of every piece
    /// of it and may break off.
    pub fn answer(
        &self,
        request: &GenerateRequest,
        support: usize,
        mut heard: impl FnMut(&str) -> ControlFlow<()>,
    ) -> anyhow::Result<Answered> {
        if !is_plain(request) {
            let leaning = pollster::block_on(lean(self, request, support, heard))?;
            return Ok(Answered {
                text: leaning.text.clone(),
                tokens: leaning.tokens.len(),
                finish_reason: match leaning.ended {
                    true => FinishReason::Stop,
                    false => FinishReason::Length,
                },
                leaning: Some(leaning),
            });
        }
        let conversation = request.conversations.first().cloned().unwrap_or_default();
        let messages = conversation.messages(&request.method.streams()[0]);
        let asked = Asked {
            prefix: "",
            stops: &request.stop,
            number: request.first,
            sampling: &request.sampling,
            max_new_tokens: request.max_new_tokens,
        };
        let draft = self.draft(&messages, &asked)?;
        // It is there already, whole.
        let _ = heard(&draft.text);
        Ok(Answered {
            text: draft.text,
            tokens: draft.tokens,
            finish_reason: draft.finish_reason,
            leaning: None,
        })
    }
}

/// Whether a chat's answer is the method's own: nothing is weighed, and no guard changes what is drawn.
fn is_plain(request: &GenerateRequest) -> bool {
    let sampling = &request.sampling;
    let guarded = sampling.plausibility > 0.0
        || sampling.nucleus < 1.0
        || sampling.kl_budget.is_some()
        || sampling.adaptive.is_some();
    matches!(request.method, Method::Base | Method::Pref)
        && (sampling.temperature == 0.0 || !guarded)
}
