//! A language model behind a server that speaks OpenAI's API (vLLM, SGLang, llama-server, Ollama, our own): what is larger than
//! this machine.
//!
//! Reading order: this file (the server and its chats), `http` (one request), `tokens` (what is asked in token ids), `write` and
//! `rate` (TPO's generator and rewards), `lean` (Amulet on a truncated support), `truncated` (what that can have cost), `answer`
//! (any of these), `parallel` (several requests at once), `remote` (a reward model behind a server).

mod answer;
mod http;
mod lean;
mod parallel;
mod rate;
mod remote;
mod tokens;
mod truncated;
mod write;

pub use answer::Answered;
use lean::{Leaning, lean};
use parallel::{all, each};
pub use remote::RewardServer;
pub use write::{Asked, Writer};

use super::Usage;
use super::args::EngineArgs;
use http::{Called, Http};
use periapt_core::text::Message;
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::sync::Mutex;

/// Tokens of context of a server that does not say it: what Ollama gives where nobody says more.
const LEAST_CONTEXT: usize = 4096;

/// Bytes that a token has at least, on average, where there is nobody to count them.
const TOKEN_BYTES: usize = 3;

/// Tokens that a template puts around a message, where there is nobody to count them.
const MESSAGE_TOKENS: usize = 8;

/// Requests at once, where nobody says it.
const AT_ONCE: usize = 8;

/// `--engine`.
const ENGINE: Called = Called {
    what: "the engine",
    option: "--engine",
    key: "--engine-key-env",
    model: "--model",
    of: "an OpenAI-compatible server",
};

/// A server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct EngineError {
    why: String,
    /// Whether it knows no such address.
    missing: bool,
}

impl EngineError {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            missing: false,
        }
    }
}

/// What a server is, as far as that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `periapt serve`.
    Periapt,
    /// vLLM and SGLang, which go on from an assistant's message where they are asked to.
    Vllm,
    /// llama-server, which always does.
    LlamaCpp,
    /// Any other.
    Other,
}

/// How a server makes token ids of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokenizing {
    /// `/tokenize` takes messages.
    Chats,
    /// `/apply-template` makes a text of them, and `/tokenize` ids of that.
    Texts,
    /// It does not.
    None,
}

/// A model behind a server.
pub struct Engine {
    http: Http,
    /// The server's name for it.
    pub model: String,
    kind: Kind,
    tokenizing: Tokenizing,
    context: usize,
    /// Tokens that end an answer, as far as they are known.
    ends: Mutex<Vec<u32>>,
    /// Requests at once.
    at_once: usize,
}

impl Engine {
    /// The server that the arguments name, where they do, with its model `model` (else the one that it says itself). A context
    /// has `most` tokens at most, and `at_once` requests are under way together.
    pub fn of(
        args: &EngineArgs,
        model: Option<&str>,
        most: Option<usize>,
        at_once: Option<usize>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(address) = &args.engine else {
            return Ok(None);
        };
        let http = Http::new(
            &ENGINE,
            address,
            args.engine_key_env.as_deref(),
            args.limit(),
        )?;
        let (list, model) = models(&http, model)?;
        let card = list.iter().find(|card| card["id"] == model.as_str());
        let owner = card.or(list.first()).map(|card| &card["owned_by"]);
        let kind = match owner.and_then(Value::as_str) {
            Some("periapt") => Kind::Periapt,
            Some("vllm" | "sglang") => Kind::Vllm,
            Some("llamacpp") => Kind::LlamaCpp,
            _ => Kind::Other,
        };
        let mut engine = Self {
            http,
            model,
            kind,
            tokenizing: Tokenizing::None,
            context: LEAST_CONTEXT,
            ends: Mutex::default(),
            at_once: at_once.unwrap_or(AT_ONCE).max(1),
        };
        let said = engine.find_tokenizer()?;
        let said = said.or(card.and_then(|card| size(&card["max_model_len"])));
        let context = said.or(most).unwrap_or(LEAST_CONTEXT);
        engine.context = context.min(most.unwrap_or(usize::MAX));
        Ok(Some(engine))
    }

    /// The server's address, for messages and records.
    pub fn name(&self) -> String {
        self.http.name()
    }

    /// Tokens that a prompt and its answer may have together.
    pub fn context(&self) -> usize {
        self.context
    }

    fn post(&self, path: &str, mut body: Map<String, Value>) -> Result<Value, EngineError> {
        body.insert("model".to_owned(), json!(self.model));
        self.http.ask(path, Some(&Value::Object(body)))
    }

    /// What the server can't, and what to do about it.
    fn lacks(&self, what: &str) -> EngineError {
        EngineError::new(format!("{} {what}", self.http.called()))
    }

    /// An answer to a chat, of which `body` says how.
    fn chat(&self, messages: &[Value], mut body: Map<String, Value>) -> Result<Value, EngineError> {
        body.insert("messages".to_owned(), json!(messages));
        let mut answer = self.post("/v1/chat/completions", body)?;
        match answer["choices"][0]["message"].is_object() {
            true => Ok(answer.take()),
            false => Err(self.lacks(
                "gives a chat's answer without choices: is it an OpenAI-compatible server?",
            )),
        }
    }

    /// Tokens of a chat up to where its answer begins: counted by the server, or estimated to be more than they are.
    pub fn count(&self, messages: &[Message]) -> Result<usize, EngineError> {
        match self.tokenizing {
            Tokenizing::None => Ok(messages
                .iter()
                .map(|message| estimate(&message.content) + MESSAGE_TOKENS)
                .sum()),
            _ => Ok(self.encode_chat(messages)?.len()),
        }
    }

    /// Tokens of a text, counted or estimated likewise.
    fn count_text(&self, text: &str) -> Result<usize, EngineError> {
        match self.tokenizing {
            _ if text.is_empty() => Ok(0),
            Tokenizing::None => Ok(estimate(text)),
            _ => Ok(self.encode(text)?.len()),
        }
    }

    /// As [`each`], so many requests at once as may be.
    pub fn each<T: Sync, R: Send, E: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, E> + Sync,
        heard: impl FnMut(usize, R) -> ControlFlow<()>,
    ) -> Result<(), E> {
        each(self.at_once, items, work, heard)
    }

    /// As [`all`].
    fn all<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, EngineError> + Sync,
    ) -> Result<Vec<R>, EngineError> {
        all(self.at_once, items, work)
    }
}

/// The models that a server lists, and the one to ask: the one that is named, else its only one, or the one that it calls its
/// default.
fn models(http: &Http, model: Option<&str>) -> anyhow::Result<(Vec<Value>, String)> {
    let list = match http.ask("/v1/models", None) {
        Err(error) if error.missing && model.is_some() => Value::Null,
        list => list?,
    };
    let list = list["data"].as_array().cloned().unwrap_or_default();
    let model = match model {
        Some(model) => model.to_owned(),
        None => only(&list, http)?,
    };
    Ok((list, model))
}

fn only(list: &[Value], http: &Http) -> Result<String, Usage> {
    let ids = || list.iter().filter_map(|card| card["id"].as_str());
    if let Some(default) = ids().find(|id| *id == "default") {
        return Ok(default.to_owned());
    }
    let (called, option) = (http.called(), http.called.model);
    match (ids().next(), ids().count()) {
        (Some(id), 1) => Ok(id.to_owned()),
        (None, _) => Err(Usage(format!(
            "{called} lists no model: name one with {option}"
        ))),
        _ => {
            let ids: Vec<&str> = ids().take(20).collect();
            Err(Usage(format!(
                "{called} has several models: name one with {option} ({})",
                ids.join(", ")
            )))
        }
    }
}

fn size(value: &Value) -> Option<usize> {
    value
        .as_u64()
        .filter(|size| *size > 0)
        .map(|size| size as usize)
}

/// Messages as they are sent.
fn sent(messages: &[Message]) -> Vec<Value> {
    messages.iter().map(|message| json!(message)).collect()
}

/// Tokens of a text, where there is nobody to count them.
fn estimate(text: &str) -> usize {
    text.len().div_ceil(TOKEN_BYTES)
}
