//! The engine's answers in the shapes of OpenAI's API.

use super::engine::{Piece, Token, Told};
use super::error::ApiError;
use super::request::Telling;
use periapt_core::session::{FinishReason, Rated};
use periapt_core::text::SystemPrompt;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which address answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chat,
    Completion,
}

/// How an answer is told, and what all its parts say.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: Kind,
    pub id: String,
    pub created: u64,
    pub model: String,
    pub telling: Telling,
    /// Answers a prompt.
    pub n: usize,
    /// What `alignment` says beside each answer's own.
    pub alignment: Option<Map<String, Value>>,
}

impl Frame {
    pub fn new(kind: Kind, model: String, telling: Telling, n: usize) -> Self {
        static ANSWERS: AtomicU64 = AtomicU64::new(0);
        let number = ANSWERS.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let prefix = match kind {
            Kind::Chat => "chatcmpl",
            Kind::Completion => "cmpl",
        };
        Self {
            kind,
            id: format!("{prefix}-{:x}-{number}", now.as_micros()),
            created: now.as_secs(),
            model,
            telling,
            n,
            alignment: None,
        }
    }

    fn object(&self, chunk: bool, choices: Vec<Value>) -> Value {
        let object = match (self.kind, chunk) {
            (Kind::Chat, true) => "chat.completion.chunk",
            (Kind::Chat, false) => "chat.completion",
            (Kind::Completion, _) => "text_completion",
        };
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

/// A token's log-probability, the likeliest ones beside it.
#[derive(Debug, Clone)]
struct LogProb {
    piece: Piece,
    /// None for a text's first token.
    log_prob: Option<f64>,
    top: Vec<(Piece, f64)>,
}

/// One answer as it grows.
#[derive(Debug, Clone, Default)]
struct Choice {
    text: String,
    log_probs: Vec<LogProb>,
    k: Vec<f64>,
    kl: Vec<f32>,
    trace: Vec<Value>,
    finish: Option<FinishReason>,
    tokens: usize,
    prompt_tokens: usize,
}

/// All answers to a request.
#[derive(Debug)]
pub struct Answers {
    frame: Frame,
    choices: Vec<Choice>,
    /// Prompts with log-probabilities that came so far.
    rated: usize,
    system: Option<SystemPrompt>,
}

impl Answers {
    pub fn new(frame: Frame, count: usize) -> Self {
        Self {
            frame,
            choices: vec![Choice::default(); count],
            rated: 0,
            system: None,
        }
    }

    /// Whether all answers are complete.
    pub fn complete(&self) -> bool {
        self.choices.iter().all(|choice| choice.finish.is_some())
    }

    /// Takes what the engine tells; gives what a stream tells of it.
    pub fn hear(&mut self, told: Told) -> Result<Option<Value>, ApiError> {
        match told {
            Told::Failed(error) => Err(error),
            Told::Begun(system) => {
                self.system = system;
                Ok(None)
            }
            Told::Token(token) => Ok(self.token(*token)),
            Told::Rated { ids, rated } => Ok(self.prompt(ids, rated)),
            Told::Done {
                answer,
                reason,
                tokens,
                prompt_tokens,
            } => {
                let choice = &mut self.choices[answer];
                choice.finish = Some(reason);
                (choice.tokens, choice.prompt_tokens) = (tokens, prompt_tokens);
                Ok(Some(self.chunk(answer, "", &[])))
            }
            Told::Refined { text, refine } => {
                if let Some(alignment) = &mut self.frame.alignment {
                    alignment.insert("refine".to_owned(), refine);
                }
                self.choices[0].text.push_str(&text);
                Ok(Some(self.chunk(0, &text, &[])))
            }
            Told::Works(_) | Told::Ids { .. } | Told::Text(_) | Told::Tokenizer { .. } => Ok(None),
        }
    }

    fn token(&mut self, token: Token) -> Option<Value> {
        let Token {
            answer,
            piece,
            text,
            log_prob,
            k,
            kl,
            trace,
            mut top,
        } = token;
        let wanted = self.frame.telling.logprobs;
        // Those that were asked for by id come all.
        top.truncate(wanted.map_or(0, |wanted| wanted.max(self.frame.telling.by_id)));
        let log_prob = LogProb {
            piece,
            log_prob: Some(log_prob),
            top,
        };
        let choice = &mut self.choices[answer];
        choice.text.push_str(&text);
        choice.k.push(k);
        choice.kl.extend(kl);
        if self.frame.telling.trace {
            choice.trace.extend(trace.map(|trace| json!(trace)));
        }
        let told = std::slice::from_ref(&log_prob);
        let told = if wanted.is_some() { told } else { &[] };
        let chunk = (!text.is_empty() || wanted.is_some()).then(|| self.chunk(answer, &text, told));
        if wanted.is_some() {
            self.choices[answer].log_probs.push(log_prob);
        }
        chunk
    }

    /// A prompt that comes back, with what the model thinks of it.
    fn prompt(&mut self, ids: Vec<Piece>, rated: Vec<(Rated, Piece)>) -> Option<Value> {
        let prompt = self.rated;
        self.rated += 1;
        let log_probs = self.frame.telling.logprobs.map(|top| {
            let mut all = Vec::with_capacity(ids.len());
            for (at, piece) in ids.iter().cloned().enumerate() {
                let (mut log_prob, mut best) = (None, Vec::new());
                if let Some((rated, likeliest)) = at.checked_sub(1).and_then(|at| rated.get(at)) {
                    log_prob = Some(f64::from(rated.log_prob));
                    if top > 0 {
                        best.push((likeliest.clone(), f64::from(rated.best_log_prob)));
                    }
                }
                all.push(LogProb {
                    piece,
                    log_prob,
                    top: best,
                });
            }
            all
        });
        let bytes: Vec<u8> = ids.into_iter().flat_map(|piece| piece.bytes).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut told = Vec::new();
        for answer in prompt * self.frame.n..(prompt + 1) * self.frame.n {
            let log_probs = log_probs.as_deref().unwrap_or_default();
            told.push(self.choice(answer, &text, log_probs));
            let choice = &mut self.choices[answer];
            choice.text.push_str(&text);
            choice.log_probs.extend_from_slice(log_probs);
        }
        Some(self.frame.object(true, told))
    }

    /// What a stream tells of one answer.
    fn chunk(&self, answer: usize, text: &str, log_probs: &[LogProb]) -> Value {
        let mut object = self
            .frame
            .object(true, vec![self.choice(answer, text, log_probs)]);
        if self.choices[answer].finish.is_some()
            && let Some(alignment) = self.alignment(answer)
        {
            object["alignment"] = alignment;
        }
        object
    }

    fn choice(&self, answer: usize, text: &str, log_probs: &[LogProb]) -> Value {
        let finish = self.choices[answer].finish.map(reason);
        // What is told is part of the answer already, but for a prompt that comes back.
        let told = &self.choices[answer].text;
        let before = told.strip_suffix(text).unwrap_or(told);
        let log_probs = match log_probs {
            [] => Value::Null,
            log_probs => self.log_probs(log_probs, before.chars().count()),
        };
        match self.frame.kind {
            Kind::Chat => {
                let mut delta = Map::new();
                if finish.is_none() && before.is_empty() {
                    delta.insert("role".to_owned(), json!("assistant"));
                }
                if finish.is_none() {
                    delta.insert("content".to_owned(), json!(text));
                }
                json!({ "index": answer, "delta": delta, "logprobs": log_probs, "finish_reason": finish })
            }
            Kind::Completion => {
                json!({ "index": answer, "text": text, "logprobs": log_probs, "finish_reason": finish })
            }
        }
    }

    fn log_probs(&self, log_probs: &[LogProb], offset: usize) -> Value {
        if self.frame.kind == Kind::Chat {
            let one = |piece: &Piece, log_prob: f64| json!({ "token": piece.text, "logprob": finite(log_prob), "bytes": piece.bytes });
            let content: Vec<Value> = log_probs
                .iter()
                .map(|of| {
                    let mut object = one(&of.piece, of.log_prob.unwrap_or(0.0));
                    object["top_logprobs"] = of.top.iter().map(|(p, l)| one(p, *l)).collect();
                    object
                })
                .collect();
            return json!({ "content": content, "refusal": null });
        }
        let mut offsets = Vec::with_capacity(log_probs.len());
        let mut at = offset;
        for of in log_probs {
            offsets.push(at);
            at += of.piece.text.chars().count();
        }
        let top = |of: &LogProb| {
            let log_prob = of.log_prob?;
            let mut all: Map<String, Value> = of
                .top
                .iter()
                .map(|(piece, log_prob)| (piece.text.clone(), finite(*log_prob)))
                .collect();
            // The token itself is there in any case, as OpenAI's API has it.
            all.entry(of.piece.text.clone())
                .or_insert_with(|| finite(log_prob));
            Some(all)
        };
        json!({
            "tokens": log_probs.iter().map(|of| &of.piece.text).collect::<Vec<_>>(),
            "token_logprobs": log_probs.iter().map(|of| of.log_prob.map(finite)).collect::<Vec<_>>(),
            "top_logprobs": match self.frame.telling.logprobs {
                Some(1..) => json!(log_probs.iter().map(top).collect::<Vec<_>>()),
                _ => Value::Null,
            },
            "text_offset": offsets,
        })
    }

    /// What an answer says of how it was aligned.
    fn alignment(&self, answer: usize) -> Option<Value> {
        let mut alignment = self.frame.alignment.clone()?;
        let choice = &self.choices[answer];
        let mean = |values: &[f64]| match values.len() {
            0 => 0.0,
            count => values.iter().sum::<f64>() / count as f64,
        };
        if !alignment.contains_key("refine") {
            alignment.insert("mean_k".to_owned(), json!(mean(&choice.k)));
        }
        let kl: Vec<f64> = choice.kl.iter().copied().map(f64::from).collect();
        if !kl.is_empty() {
            alignment.insert("mean_kl".to_owned(), json!(mean(&kl)));
            let highest = kl.iter().copied().fold(0.0, f64::max);
            alignment.insert("max_kl".to_owned(), json!(highest));
        }
        alignment.insert("system_prompt".to_owned(), json!(self.system));
        if self.frame.telling.trace {
            alignment.insert("trace".to_owned(), json!(choice.trace));
        }
        Some(Value::Object(alignment))
    }

    fn usage(&self) -> Value {
        let prompts = self.choices.iter().step_by(self.frame.n.max(1));
        let prompt: usize = prompts.map(|choice| choice.prompt_tokens).sum();
        let answers: usize = self.choices.iter().map(|choice| choice.tokens).sum();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": answers,
            "total_tokens": prompt + answers,
        })
    }

    /// The counts, at a stream's end.
    pub fn last_chunk(&self) -> Option<Value> {
        self.frame.telling.usage.then(|| {
            let mut object = self.frame.object(true, Vec::new());
            object["usage"] = self.usage();
            object
        })
    }

    /// All of it at once.
    pub fn whole(&self) -> Value {
        let one = |(index, choice): (usize, &Choice)| {
            let log_probs = match (self.frame.telling.logprobs, self.frame.kind) {
                (None, _) => Value::Null,
                _ => self.log_probs(&choice.log_probs, 0),
            };
            let mut object = match self.frame.kind {
                Kind::Chat => {
                    let message =
                        json!({ "role": "assistant", "content": choice.text, "refusal": null });
                    json!({ "index": index, "message": message })
                }
                Kind::Completion => json!({ "index": index, "text": choice.text }),
            };
            object["logprobs"] = log_probs;
            object["finish_reason"] = json!(choice.finish.map(reason));
            if self.choices.len() > 1
                && let Some(alignment) = self.alignment(index)
            {
                object["alignment"] = alignment;
            }
            object
        };
        let choices = self.choices.iter().enumerate().map(one).collect();
        let mut object = self.frame.object(false, choices);
        object["usage"] = self.usage();
        if let Some(alignment) = self.alignment(0) {
            object["alignment"] = alignment;
        }
        object
    }
}

/// JSON has no infinity; OpenAI's clients know what is this unlikely as impossible.
fn finite(log_prob: f64) -> Value {
    json!(log_prob.max(-9999.0))
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::Cancelled => "stop",
    }
}
