//! What is asked in token ids: prompts as ids, and the log-probabilities of what comes next or stands there. Not every server
//! offers it; each that lacks something is told what.

use super::{Engine, EngineError, Kind, Tokenizing, sent, size};
use periapt_core::text::{Message, Role};
use serde_json::{Map, Value, json};
use std::sync::{MutexGuard, PoisonError};

/// What may come next: tokens with their log-probabilities in nats, likeliest first; one at least.
type Next = Vec<(u32, f64)>;

fn body<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    value.as_array()?.iter().map(id).collect()
}

impl Engine {
    /// Finds out how the server makes ids of a chat; gives its context, where it says that.
    pub(super) fn find_tokenizer(&mut self) -> Result<Option<usize>, EngineError> {
        if self.kind == Kind::LlamaCpp {
            self.tokenizing = Tokenizing::Texts;
            let props = match self.http.ask("/props", None) {
                Err(error) if !error.missing => return Err(error),
                props => props.unwrap_or_default(),
            };
            return Ok(size(&props["default_generation_settings"]["n_ctx"]));
        }
        let question = json!([{ "role": "user", "content": "a" }]);
        let answer = match self.post("/tokenize", body([("messages", question)])) {
            Ok(answer) => answer,
            // Whoever does not know it says so in many ways.
            Err(_) => return Ok(None),
        };
        if ids(&answer["tokens"]).is_none() {
            return Ok(None);
        }
        self.tokenizing = Tokenizing::Chats;
        if let Some(ends) = ids(&answer["end_token_ids"]) {
            self.learn(&ends);
        }
        Ok(size(&answer["max_model_len"]))
    }

    /// Says that these end an answer.
    fn learn(&self, ids: &[u32]) {
        self.known_ends().extend(ids);
    }

    fn known_ends(&self) -> MutexGuard<'_, Vec<u32>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token ends an answer, as far as that is known.
    pub fn ends(&self, id: u32) -> bool {
        self.known_ends().contains(&id)
    }

    /// The ids of a chat in the model's own template, up to where the answer begins.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, EngineError> {
        self.template(messages, true)
    }

    fn template(&self, messages: &[Message], generation: bool) -> Result<Vec<u32>, EngineError> {
        let mut fields = body([("messages", json!(sent(messages)))]);
        if !generation {
            fields.insert("add_generation_prompt".to_owned(), json!(false));
        }
        match self.tokenizing {
            Tokenizing::Chats => self.tokenize(fields),
            Tokenizing::Texts => {
                let written = self.post("/apply-template", fields)?;
                let content = written["prompt"].clone();
                self.tokenize(body([
                    ("content", content),
                    ("add_special", json!(true)),
                    ("parse_special", json!(true)),
                ]))
            }
            Tokenizing::None => Err(self.lacks(
                "makes no token ids of a chat (`/tokenize` with messages, as vLLM and `periapt serve` have it, or llama-server's \
                 `/apply-template`), which this needs",
            )),
        }
    }

    fn tokenize(&self, fields: Map<String, Value>) -> Result<Vec<u32>, EngineError> {
        let answer = self.post("/tokenize", fields)?;
        ids(&answer["tokens"]).ok_or_else(|| self.lacks("gives no list of token ids for /tokenize"))
    }

    /// The ids of a text without a template.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        match (self.tokenizing, self.kind) {
            (Tokenizing::None, _) => {
                Err(self.lacks("makes no token ids of a text (`/tokenize`), which this needs"))
            }
            (Tokenizing::Texts, _) => self.tokenize(body([
                ("content", json!(text)),
                ("parse_special", json!(false)),
            ])),
            (Tokenizing::Chats, Kind::Periapt) => self.tokenize(body([("content", json!(text))])),
            (Tokenizing::Chats, _) => self.tokenize(body([
                ("prompt", json!(text)),
                ("add_special_tokens", json!(false)),
            ])),
        }
    }

    /// The text of token ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, EngineError> {
        let answer = self.post("/detokenize", body([("tokens", json!(ids))]))?;
        let text = answer["content"].as_str().or(answer["prompt"].as_str());
        let text = text.ok_or_else(|| self.lacks("gives no text for /detokenize"))?;
        Ok(text.to_owned())
    }

    /// The token that the template ends an answer with, where it can be told from the others.
    pub fn end_of_turn(&self) -> Result<Option<u32>, EngineError> {
        let known = self.known_ends().first().copied();
        if known.is_some() {
            return Ok(known);
        }
        // With a question behind the answer: whose last message is an answer has it gone on by llama-server.
        let turns = [Role::User, Role::Assistant, Role::User].map(|role| Message {
            role,
            content: "a".to_owned(),
        });
        let (before, after) = (
            self.encode_chat(&turns[..1])?,
            self.template(&turns, false)?,
        );
        let answer = self.encode("a")?;
        // A template may leave its generation prompt out of a turn that is over.
        let end = after
            .strip_prefix(&before[..])
            .and_then(|rest| rest.strip_prefix(&answer[..]))
            .and_then(|rest| rest.first().copied());
        self.learn(end.as_slice());
        let of_model = match self.kind {
            Kind::LlamaCpp => self.end_of_llama()?,
            _ => None,
        };
        self.learn(of_model.as_slice());
        Ok(end.or(of_model))
    }

    /// The token that ends a text by the model's file, as llama-server tells it.
    fn end_of_llama(&self) -> Result<Option<u32>, EngineError> {
        let props = self.http.ask("/props", None)?;
        let Some(written) = props["eos_token"].as_str() else {
            return Ok(None);
        };
        let ids = self.tokenize(body([
            ("content", json!(written)),
            ("parse_special", json!(true)),
        ]))?;
        // What is several tokens was not meant as one.
        Ok((ids.len() == 1).then(|| ids[0]))
    }

    /// What may come after `prompt`: the `top` likeliest tokens; or, where some are asked for by id and the server can give them
    /// so, those of `of`.
    pub fn next(&self, prompt: &[u32], top: usize, of: &[u32]) -> Result<Next, EngineError> {
        let (mut next, ended) = match self.kind {
            Kind::LlamaCpp => self.next_of_llama(prompt, top)?,
            _ => self.next_of_completions(prompt, top, of)?,
        };
        next.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        match next.first() {
            None => Err(self.lacks("gives no likely tokens where it was asked for some")),
            Some((likeliest, _)) => {
                if ended && of.is_empty() {
                    self.learn(&[*likeliest]);
                }
                Ok(next)
            }
        }
    }

    /// The same, and whether the likeliest token ends an answer.
    fn next_of_completions(
        &self,
        prompt: &[u32],
        top: usize,
        of: &[u32],
    ) -> Result<(Next, bool), EngineError> {
        let mut fields = body([
            ("prompt", json!(prompt)),
            ("max_tokens", json!(1)),
            ("temperature", json!(0)),
            ("logprobs", json!(top)),
            ("return_tokens_as_token_ids", json!(true)),
        ]);
        if !of.is_empty() {
            fields.insert("logprob_token_ids".to_owned(), json!(of));
        }
        let answer = self.post("/v1/completions", fields)?;
        let choice = &answer["choices"][0];
        let all = choice["logprobs"]["top_logprobs"][0].as_object();
        let all = all.ok_or_else(|| {
            self.lacks(
                "gives no log-probabilities for /v1/completions with logprobs and a prompt of token ids, which this needs (vLLM: \
                 --max-logprobs)",
            )
        })?;
        let one = |(token, log_prob): (&String, &Value)| {
            let id = token.strip_prefix("token_id:")?.parse().ok()?;
            Some((id, log_prob.as_f64()?))
        };
        let all: Option<Next> = all.iter().map(one).collect();
        let all = all.ok_or_else(|| {
            self.lacks("names tokens by their texts, which several may share: it knows no return_tokens_as_token_ids")
        })?;
        Ok((all, choice["finish_reason"] == "stop"))
    }

    /// The same of llama-server, which has an address of its own for it.
    fn next_of_llama(&self, prompt: &[u32], top: usize) -> Result<(Next, bool), EngineError> {
        let mut fields = body([
            ("prompt", json!(prompt)),
            ("n_predict", json!(1)),
            ("n_probs", json!(top)),
            ("temperature", json!(0)),
            ("cache_prompt", json!(true)),
        ]);
        let tops = |answer: &Value| {
            let all = answer["completion_probabilities"][0]["top_logprobs"].as_array();
            all.cloned()
        };
        let answer = self.post("/completion", fields.clone())?;
        let mut all = tops(&answer);
        if all.is_none()
            && let Some(whole) = self.encode("a")?.first()
        {
            // A token that is no whole character is held back, and all that is said of it: it is to draw another one, which
            // changes nothing of what is likely.
            fields.insert("logit_bias".to_owned(), json!([[whole, 1000]]));
            all = tops(&self.post("/completion", fields)?);
        }
        let one = |token: &Value| {
            let id = u32::try_from(token["id"].as_u64()?).ok()?;
            Some((id, token["logprob"].as_f64()?))
        };
        let all: Option<Next> = all.and_then(|all| all.iter().map(one).collect());
        let all = all.ok_or_else(|| {
            self.lacks("gives no ids with log-probabilities for n_probs: it is too old for this")
        })?;
        Ok((all, answer["stop_type"] == "eos"))
    }

    /// The log-probabilities of the tokens of `prompt` from `from` on, each after those before it.
    pub fn rate(&self, prompt: &[u32], from: usize) -> Result<Vec<f32>, EngineError> {
        let lacks = || {
            self.lacks(
                "does not rate a text that it is given (/v1/completions with echo and logprobs, as vLLM and `periapt serve` have \
                 it), which the rewards fit and preference need: take --reward judge or human",
            )
        };
        if self.kind == Kind::LlamaCpp {
            return Err(lacks());
        }
        let fields = body([
            ("prompt", json!(prompt)),
            ("max_tokens", json!(1)),
            ("temperature", json!(0)),
            ("echo", json!(true)),
            ("logprobs", json!(1)),
        ]);
        let answer = match self.post("/v1/completions", fields) {
            Err(error) if error.missing => return Err(lacks()),
            answer => answer?,
        };
        let all = answer["choices"][0]["logprobs"]["token_logprobs"].as_array();
        let rated = all.and_then(|all| all.get(from..prompt.len()));
        let rated = rated.and_then(|all| {
            let one = |log_prob: &Value| log_prob.as_f64().map(|log_prob| log_prob as f32);
            all.iter().map(one).collect::<Option<Vec<f32>>>()
        });
        rated.ok_or_else(lacks)
    }

    /// Refuses a server that does not rate texts, before anything is written for it.
    pub fn can_rate(&self) -> Result<(), EngineError> {
        let question = Message {
            role: Role::User,
            content: "a".to_owned(),
        };
        let ids = self.encode_chat(&[question])?;
        self.rate(&ids, 1.min(ids.len())).map(|_| ())
    }

    /// Whether prompts may be given as token ids.
    pub fn takes_ids(&self) -> bool {
        self.tokenizing != Tokenizing::None
    }
}
