//! What a session says of itself in headers.

use super::{
    HeaderKind, ModelFile, ModelHash, ModelInfo, RECORD_FORMAT, RecordHeader, RunHeader,
    StreamLine, TRACE_FORMAT,
};
use crate::Session;
use crate::decoding::streams::{Stream, StreamPreference};
use crate::decoding::{Method, MethodName};
use crate::session::{GenerateRequest, Prompting};
use crate::text::SystemPrompt;
use crate::tpo::{Options, Prompts, Query};
use sha2::{Digest, Sha256};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The SHA-256 of a text, in hexadecimal.
#[must_use]
pub fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What headers say of a system prompt: nothing where the template writes it as one.
fn unusual(system: Option<SystemPrompt>) -> Option<SystemPrompt> {
    system.filter(|system| *system != SystemPrompt::Shown)
}

impl RecordHeader {
    /// The header of a refinement by `method`, as far as it does not depend on who runs the model; `reward` is what was asked
    /// for.
    #[must_use]
    pub fn new(
        query: &Query,
        options: &Options,
        prompts: &Prompts,
        method: MethodName,
        reward: String,
    ) -> Self {
        Self {
            kind: HeaderKind::Header,
            format: RECORD_FORMAT,
            periapt: VERSION.to_owned(),
            model: ModelHash {
                name: None,
                sha256: None,
            },
            engine: None,
            device: None,
            kv: None,
            reward,
            reward_model: None,
            reward_engine: None,
            preference: query.preference.clone(),
            reworded: query.reworded.clone(),
            method,
            system: query.system.clone(),
            system_prompt: None,
            date: None,
            prompts: (prompts.name.clone(), sha256(&format!("{prompts:?}"))),
            options: options.clone(),
        }
    }
}

impl Session {
    /// What the model's file says of itself, and how it is run here.
    #[must_use]
    pub fn info(&self) -> ModelInfo {
        let config = self.decoder().config();
        ModelInfo {
            name: self.model_name().map(str::to_owned),
            parameters: self.decoder().parameters(),
            layers: config.layers,
            vocab: config.vocab,
            context: config.context,
            kv: self.kv,
            date: self.today(),
            system_prompt: self.system_prompt(),
        }
    }

    /// The header of the first conversation's answer; `prompting` is what [`Session::prompting`] gave for the request.
    #[must_use]
    pub fn run_header(&self, request: &GenerateRequest, prompting: Prompting) -> RunHeader {
        let method = &request.method;
        let conversation = request.conversations.first().cloned().unwrap_or_default();
        let line = |(stream, weight): (&Stream, f64)| StreamLine {
            name: stream.name.clone(),
            system: stream.system.clone(),
            preference: match &stream.preference {
                StreamPreference::None => None,
                StreamPreference::Conversation => conversation.preference.clone(),
                StreamPreference::Text(text) => Some(text.clone()),
            },
            weight,
            model: stream.model,
        };
        let streams = method.streams();
        let weights = method.logit_weights();
        RunHeader {
            format: TRACE_FORMAT,
            periapt: VERSION.to_owned(),
            model: ModelFile {
                name: self.model_name().map(str::to_owned),
                path: String::new(),
                sha256: String::new(),
            },
            template_sha256: self.template().map(sha256),
            device: self.device().info.clone(),
            kv: self.kv,
            date: self.today(),
            streams: streams.iter().zip(weights).map(line).collect(),
            system: conversation.system,
            preference: conversation.preference,
            earlier: conversation.earlier,
            question: conversation.question,
            system_prompt: unusual(prompting.system),
            method: method.name(),
            strength: method.strength(),
            amulet: match method {
                Method::Amulet(params) => Some(*params),
                _ => None,
            },
            sampling: request.sampling,
            max_new_tokens: request.max_new_tokens,
            json_schema: request.json_schema.clone(),
            generation_prompt: request.generation_prompt,
            // What its public code does, and nothing else does.
            paper_compat: !request.generation_prompt,
        }
    }

    /// The header of a refinement by `method`; `reward` is what was asked for.
    #[must_use]
    pub fn record_header(
        &self,
        query: &Query,
        options: &Options,
        prompts: &Prompts,
        method: MethodName,
        reward: String,
    ) -> RecordHeader {
        RecordHeader {
            model: ModelHash {
                name: self.model_name().map(str::to_owned),
                sha256: None,
            },
            device: Some(self.device().info.clone()),
            kv: Some(self.kv),
            system_prompt: unusual(self.system_prompt()),
            date: self.today(),
            ..RecordHeader::new(query, options, prompts, method, reward)
        }
    }
}
