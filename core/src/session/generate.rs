//! Answering: one batch of conversations, decoded together by one method.

use super::batch::{Batch, Pending};
use super::form::Form;
use super::{Error, FinishReason, Session, read, read_while};
use crate::decoding::sampler::{self, Chosen};
use crate::decoding::streams::Stream;
use crate::decoding::trace::{self, TokenTrace};
use crate::decoding::{Conversation, DecodingError, Method, Sampling, preference};
use crate::kernels::measure::flush;
use crate::model::ModelError;
use crate::text::{DetokenizeStream, Encoded, StopTexts};
use serde_json::Value;
use std::ops::ControlFlow;

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// The questions with their preferences, one an answer.
    pub conversations: Vec<Conversation>,
    /// Token ids to go on from, one list an answer, in place of conversations; for [`Method::Base`] alone. They may hold control
    /// tokens.
    pub plain: Vec<Vec<u32>>,
    /// The first answer's number; an answer's draws depend on the seed and its number, whatever else is in the batch.
    pub first: u32,
    /// How the streams' logits become one set of scores.
    pub method: Method,
    /// How a token is chosen from the scores.
    pub sampling: Sampling,
    /// The most tokens to generate; fewer where the model's context ends first.
    pub max_new_tokens: usize,
    /// True where the prompt ends with the template's generation prompt, as it should; the paper's public code
    /// leaves it out.
    pub generation_prompt: bool,
    /// Whether a system prompt goes before the question also where the chat template names the system's role and leaves
    /// the prompt out; one that it refuses, or knows nothing of, does so in any case.
    pub fold: bool,
    /// The beginning of every answer, from which the model goes on; no part of what comes back.
    pub prefix: String,
    /// Texts that end an answer where they come up; no part of it.
    pub stop: Vec<String>,
    /// The JSON schema that every answer keeps to, so far as it gets.
    pub json_schema: Option<Value>,
    /// Trace every token, with so many best tokens of each stream. Reads all logits back: slower.
    pub trace: Option<usize>,
}

impl Default for GenerateRequest {
    /// No conversation; greedy, from the plain prompt, 128 tokens.
    fn default() -> Self {
        Self {
            conversations: Vec::new(),
            plain: Vec::new(),
            first: 0,
            method: Method::Base,
            sampling: Sampling::default(),
            max_new_tokens: 128,
            generation_prompt: true,
            fold: true,
            prefix: String::new(),
            stop: Vec::new(),
            json_schema: None,
            trace: None,
        }
    }
}

impl GenerateRequest {
    /// Checks all that can be checked without a model.
    ///
    /// # Errors
    ///
    /// [`DecodingError`] for a setting out of range, a method that lacks its preference, an adaptive strength with more
    /// prompts than two, or plain prompts with another method than base.
    pub fn validate(&self) -> Result<(), DecodingError> {
        self.method.validate()?;
        self.sampling.check_ranges()?;
        let streams = self.method.streams().len();
        if self.sampling.adaptive.is_some() && streams > 2 {
            return Err(DecodingError::AdaptiveStreams(streams));
        }
        let mixed = self.method != Method::Base || !self.conversations.is_empty();
        if !self.plain.is_empty() && mixed {
            return Err(DecodingError::PlainPrompts);
        }
        let without = |conversation: &Conversation| conversation.preference.is_none();
        if self.method.wants_preference() && self.conversations.iter().any(without) {
            return Err(DecodingError::NoPreference(self.method.name()));
        }
        let empty = |conversation: &Conversation| {
            let preference = conversation.preference.as_deref();
            preference.is_some_and(preference::is_empty)
        };
        if self.method.wants_preference() && self.conversations.iter().any(empty) {
            return Err(DecodingError::EmptyPreference);
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(DecodingError::EmptyStop);
        }
        Ok(())
    }

    /// Asks a plain question as the transformers library would: only where there is a preference, or streams, does a system
    /// prompt that the template leaves out go before the question.
    pub fn fold_where_wished(&mut self) {
        let wished = |conversation: &Conversation| conversation.preference.is_some();
        self.fold =
            matches!(self.method, Method::Guidance(_)) || self.conversations.iter().any(wished);
    }
}

/// What happens while generating.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "contract", derive(ts_rs::TS), ts(rename = "TokenEvent"))]
pub enum Event<'a> {
    /// So many of the prompts' tokens are done.
    Prefill {
        /// Tokens done.
        done: usize,
        /// Tokens in all.
        total: usize,
    },
    /// A token was chosen.
    Token {
        /// The answer's place in the batch.
        answer: usize,
        /// Its id.
        id: u32,
        /// The text it completes; empty for a control token, or in the middle of a character.
        text: &'a str,
        /// Its log-probability under the method's policy, before penalties and temperature.
        log_prob: f32,
        /// The strength that was taken.
        k: f64,
        /// KL divergence of the policy from the anchor's (pref's) in nats, where a budget asked for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "contract", ts(optional))]
        kl: Option<f32>,
        /// The trace, where it was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "contract", ts(optional))]
        trace: Option<&'a TokenTrace>,
        /// The logits of the method's first stream, where there is a trace.
        #[serde(skip)]
        #[cfg_attr(feature = "contract", ts(skip))]
        logits: &'a [f32],
    },
    /// An answer is complete.
    #[serde(skip)]
    Done {
        /// Its place in the batch.
        answer: usize,
        /// The answer.
        generation: &'a Generation,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The answer's text, without control tokens.
    pub text: String,
    /// The chosen tokens, the ending one included.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Each stream's name and prompt.
    pub prompt_token_ids: Vec<(String, Vec<u32>)>,
    /// The strength at each token.
    pub strengths: Vec<f64>,
    /// The policy's KL divergence from the anchor's at each token, where a budget asked for it.
    pub kl: Vec<f32>,
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub generation: Generation,
    tokens: Option<DetokenizeStream<'a>>,
    stop: StopTexts,
    /// What may come next, where something may not.
    pub form: Option<Form>,
    pub done: bool,
}

/// A token that an answer took, for who wants to hear of it.
pub(super) struct Taken {
    id: u32,
    text: String,
    k: f64,
    trace: Option<TokenTrace>,
}

impl Taken {
    pub fn event<'a>(&'a self, answer: usize, chosen: &Chosen, logits: &'a [f32]) -> Event<'a> {
        Event::Token {
            answer,
            id: self.id,
            text: &self.text,
            log_prob: chosen.log_prob,
            k: self.k,
            kl: chosen.kl,
            trace: self.trace.as_ref(),
            logits,
        }
    }
}

impl Session {
    /// Answers all conversations of a request as one batch. `on_event` hears of every step as it happens and may
    /// break off after any; what is done by then comes back.
    ///
    /// # Errors
    ///
    /// [`Error`] where the request can't be met or the device fails.
    pub async fn generate(
        &self,
        request: &GenerateRequest,
        on_event: &mut impl AsyncFnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Generation>, Error> {
        request.validate()?;
        let method = &request.method;
        let streams = method.streams();
        let prompts = self.all_prompts(request, &streams)?;
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let context = streams
            .iter()
            .map(|stream| Ok(self.model(stream.model)?.decoder.config().context))
            .collect::<Result<Vec<_>, Error>>()?;
        let context = context.into_iter().min().unwrap_or(0);
        let most = most_tokens(longest, request.max_new_tokens, context)?;
        let mut answers: Vec<Answer<'_>> = prompts
            .chunks(streams.len())
            .map(|prompts| self.answer(request, &streams, prompts))
            .collect::<Result<_, _>>()?;
        let vocab = self.decoder.config().vocab;
        let begun = Batch::prefill(
            self,
            request,
            &streams,
            &prompts,
            most,
            &mut answers,
            on_event,
        )
        .await?;
        let Some((mut batch, mut pending)) = begun else {
            return Ok(cancelled(answers));
        };
        // On a GPU the next step is on its way while this one's tokens are read back and turned to text; the
        // CPU backend computes where it is called, and would only do a step too many at the end. What may come next follows
        // from this step's token.
        let runs_ahead = self.device.info.is_gpu() && request.json_schema.is_none();
        for count in 1..=most {
            let Pending {
                chosen,
                logits,
                places,
            } = pending;
            let (chosen, ahead) = read_while(chosen, &self.device, || {
                if !runs_ahead || count == most {
                    return Ok(None);
                }
                let ahead = batch.step(&mut answers)?;
                // A GPU goes on with it at once, and not only when its token is asked for; a software adapter would
                // compute it before this step's token is told.
                if !self.device.info.software {
                    flush(&self.device.device);
                }
                Ok(Some(ahead))
            })
            .await?;
            let logits = match logits {
                Some(logits) => read(logits, &self.device).await?,
                None => Vec::new(),
            };
            for (index, chosen) in sampler::read(&chosen, places.len()).into_iter().enumerate() {
                let place = places[index];
                let answer = &mut answers[place];
                if answer.done {
                    continue;
                }
                let rows = logits.chunks_exact(vocab);
                let rows: Vec<&[f32]> = rows
                    .skip(index * streams.len())
                    .take(streams.len())
                    .collect();
                let first = rows.first().copied().unwrap_or_default();
                let taken = answer.take(self, request, &chosen, rows, count == most)?;
                let mut heard = on_event(taken.event(place, &chosen, first)).await;
                if answer.done && heard.is_continue() {
                    let generation = &answer.generation;
                    heard = on_event(Event::Done {
                        answer: place,
                        generation,
                    })
                    .await;
                }
                if heard.is_break() {
                    batch.end(&answers);
                    return Ok(cancelled(answers));
                }
            }
            if answers.iter().all(|answer| answer.done) {
                break;
            }
            batch.drop_done(&answers);
            pending = match ahead {
                Some(ahead) => ahead,
                None => batch.step(&mut answers)?,
            };
        }
        batch.end(&answers);
        Ok(answers
            .into_iter()
            .map(|answer| answer.generation)
            .collect())
    }

    /// The prompts of all answers, an answer's streams one after the other.
    pub(super) fn all_prompts(
        &self,
        request: &GenerateRequest,
        streams: &[Stream],
    ) -> Result<Vec<Vec<u32>>, Error> {
        let mut prompts = request.plain.clone();
        for conversation in &request.conversations {
            let (generation, fold) = (request.generation_prompt, request.fold);
            for Encoded { mut ids, .. } in self.prompts(conversation, streams, generation, fold)? {
                ids.extend(self.text.tokenizer.encode(&request.prefix)?);
                prompts.push(ids);
            }
        }
        Ok(prompts)
    }

    pub(super) fn answer(
        &self,
        request: &GenerateRequest,
        streams: &[Stream],
        prompts: &[Vec<u32>],
    ) -> Result<Answer<'_>, Error> {
        let form = request.json_schema.as_ref();
        let names = streams.iter().map(|stream| stream.name.clone());
        Ok(Answer {
            generation: Generation {
                text: String::new(),
                token_ids: Vec::new(),
                finish_reason: FinishReason::Length,
                prompt_token_ids: names.zip(prompts.iter().cloned()).collect(),
                strengths: Vec::new(),
                kl: Vec::new(),
            },
            tokens: Some(self.text.tokenizer.detokenize_stream()),
            stop: StopTexts::new(&request.stop),
            form: form.map(|schema| self.form(schema)).transpose()?,
            done: false,
        })
    }
}

impl Answer<'_> {
    /// Takes the token that was chosen, from its streams' `logits` where it is to be traced; `last` ends the answer.
    pub fn take(
        &mut self,
        session: &Session,
        request: &GenerateRequest,
        chosen: &Chosen,
        logits: Vec<&[f32]>,
        last: bool,
    ) -> Result<Taken, Error> {
        let id = chosen.id.ok_or_else(|| session.not_a_number())?;
        let (method, sampling) = (&request.method, &request.sampling);
        let share = f64::from(chosen.share);
        let trace = request.trace.map(|top| {
            let piece = |id| session.text.tokenizer.piece(id).unwrap_or_default();
            trace::token(method, &logits, share, sampling, id, top, &piece)
        });
        let k = share * method.strength();
        let text = self.push(session, id, k, chosen.kl, last)?;
        if let Some(form) = self.form.as_mut().filter(|_| !self.done) {
            form.push(id);
        }
        Ok(Taken { id, text, k, trace })
    }

    /// Takes the next token; gives the text it completes.
    fn push(
        &mut self,
        session: &Session,
        id: u32,
        k: f64,
        kl: Option<f32>,
        last: bool,
    ) -> Result<String, Error> {
        let generation = &mut self.generation;
        generation.token_ids.push(id);
        generation.strengths.push(k);
        generation.kl.extend(kl);
        let ended = session.text.tokenizer.is_end_of_generation(id);
        let (mut text, mut stopped) = (String::new(), false);
        if let (false, Some(tokens)) = (ended, &mut self.tokens) {
            (text, stopped) = self.stop.push(&tokens.push(id)?);
        }
        if let Some(tokens) = self.tokens.take_if(|_| ended || last || stopped) {
            if !stopped {
                let (rest, came) = self.stop.push(&tokens.finish());
                text.push_str(&rest);
                stopped = came;
            }
            text.push_str(&self.stop.finish());
            self.done = true;
        }
        let whole = !self.form.as_ref().is_some_and(Form::is_broken);
        if ended && whole || stopped {
            generation.finish_reason = FinishReason::Stop;
        }
        generation.text.push_str(&text);
        Ok(text)
    }
}

/// What there is of each answer when the caller breaks off.
fn cancelled(answers: Vec<Answer<'_>>) -> Vec<Generation> {
    let generation = |answer: Answer<'_>| {
        let mut generation = answer.generation;
        if !answer.done {
            let mut stop = answer.stop;
            generation.text.push_str(&stop.finish());
            generation.finish_reason = FinishReason::Cancelled;
        }
        generation
    };
    answers.into_iter().map(generation).collect()
}

/// Tokens that an answer to a prompt may have: as many as wanted, or as the context leaves.
pub(super) fn most_tokens(prompt: usize, wanted: usize, context: usize) -> Result<usize, Error> {
    match wanted.min(context.saturating_sub(prompt)) {
        0 if wanted > 0 => Err(ModelError::ContextFull { prompt, context }.into()),
        most => Ok(most),
    }
}
