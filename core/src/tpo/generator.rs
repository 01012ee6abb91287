//! Who writes: the engine here, or whoever else is a [`Generator`].

use super::Error;
use super::event::{RunEvent, Stage};
use crate::Session;
use crate::decoding::{Conversation, Method, Sampling};
use crate::session::{Event, FinishReason, GenerateRequest, Generation};
use std::future::Future;
use std::ops::ControlFlow;

/// Texts to write, all from one prompt.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// The prompt.
    pub conversation: Conversation,
    /// Whether the run's own decoding method writes it, with the user's preference; else the plain model does.
    pub aligned: bool,
    /// The beginning of every text, no part of it.
    pub prefix: String,
    /// What ends a text; empty for nothing but the model's own end.
    pub stop: String,
    /// How many texts.
    pub n: usize,
    /// The first one's number: a text's draws depend on the seed and its number.
    pub first: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The most tokens of each.
    pub max_new_tokens: usize,
}

/// A text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// What is heard of texts under way.
#[derive(Debug, Clone, Copy)]
pub enum WriteEvent<'a> {
    /// The prompt is read.
    Prefill {
        /// Tokens read.
        done: usize,
        /// Tokens in all.
        total: usize,
    },
    /// The next piece of a text.
    Token {
        /// The text's place.
        index: usize,
        /// The piece.
        text: &'a str,
    },
    /// A text is whole.
    Done {
        /// Its place.
        index: usize,
        /// The text.
        draft: &'a Draft,
    },
}

impl<'a> WriteEvent<'a> {
    /// What a run tells of it, unless a text is whole.
    pub(super) fn of_run(self, round: usize, stage: Stage) -> Option<RunEvent<'a>> {
        match self {
            WriteEvent::Prefill { done, total } => Some(RunEvent::Prefill {
                round,
                stage,
                done,
                total,
            }),
            WriteEvent::Token { index, text } => Some(RunEvent::Token {
                round,
                stage,
                index,
                text,
            }),
            WriteEvent::Done { .. } => None,
        }
    }
}

/// Writes texts.
pub trait Generator {
    /// Tokens that a prompt and its answer may have together.
    fn context(&self) -> usize;

    /// Tokens of a prompt.
    ///
    /// # Errors
    ///
    /// [`Error`] where it can't be encoded.
    fn count(&self, conversation: &Conversation, prefix: &str) -> Result<usize, Error>;

    /// Writes a request's texts. `on_event` hears of each text as it grows and when it is done, and may break off: what is
    /// written by then comes back.
    ///
    /// # Errors
    ///
    /// [`Error`] where it can't.
    fn write(
        &self,
        request: &WriteRequest,
        on_event: &mut impl AsyncFnMut(WriteEvent<'_>) -> ControlFlow<()>,
    ) -> impl Future<Output = Result<Vec<Draft>, Error>>;
}

/// The model of a session. A request's texts are rows of one batch over one prompt, as far as `batch` allows.
#[derive(Debug)]
pub struct Local<'a> {
    /// The model.
    pub session: &'a Session,
    /// How responses are decoded.
    pub method: Method,
    /// The preference that `method` leans towards.
    pub preference: Option<String>,
    /// Rows decoded at once, at most.
    pub batch: usize,
}

impl Local<'_> {
    /// The texts as one request to the model.
    #[must_use]
    pub fn request(&self, wanted: &WriteRequest) -> GenerateRequest {
        let conversation = Conversation {
            preference: self.preference.clone().filter(|_| wanted.aligned),
            ..wanted.conversation.clone()
        };
        let stop = Some(wanted.stop.clone()).filter(|stop| !stop.is_empty());
        GenerateRequest {
            conversations: vec![conversation; wanted.n],
            first: wanted.first,
            method: match wanted.aligned {
                true => self.method.clone(),
                false => Method::Base,
            },
            sampling: wanted.sampling,
            max_new_tokens: wanted.max_new_tokens,
            prefix: wanted.prefix.clone(),
            stop: stop.into_iter().collect(),
            ..GenerateRequest::default()
        }
    }
}

impl Generator for Local<'_> {
    fn context(&self) -> usize {
        self.session.decoder().config().context
    }

    fn count(&self, conversation: &Conversation, prefix: &str) -> Result<usize, Error> {
        // The method's own prompts may be longer, by the preference.
        let conversation = Conversation {
            preference: self.preference.clone(),
            ..conversation.clone()
        };
        let mut most = 0;
        for stream in self.method.streams() {
            let ids = self.session.encode_chat(&conversation.messages(&stream))?;
            most = most.max(ids.len());
        }
        Ok(most + self.session.encode_answer(prefix)?.len())
    }

    async fn write(
        &self,
        wanted: &WriteRequest,
        on_event: &mut impl AsyncFnMut(WriteEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Draft>, Error> {
        let mut request = self.request(wanted);
        let conversations = std::mem::take(&mut request.conversations);
        let mut drafts = Vec::with_capacity(wanted.n);
        let mut heard = ControlFlow::Continue(());
        while drafts.len() < wanted.n && heard.is_continue() {
            let begun = drafts.len();
            let rows = (wanted.n - begun).min(self.batch.max(1));
            request.conversations = conversations[begun..begun + rows].to_vec();
            request.first = wanted.first + begun as u32;
            let mut listen = async |event: Event<'_>| {
                heard = match event {
                    Event::Token { answer, text, .. } => {
                        let index = begun + answer;
                        on_event(WriteEvent::Token { index, text }).await
                    }
                    Event::Done { answer, generation } => {
                        let (index, draft) = (begun + answer, draft(generation));
                        on_event(WriteEvent::Done {
                            index,
                            draft: &draft,
                        })
                        .await
                    }
                    Event::Prefill { done, total } => {
                        on_event(WriteEvent::Prefill { done, total }).await
                    }
                };
                heard
            };
            let generations = self.session.generate(&request, &mut listen).await?;
            drafts.extend(generations.iter().map(draft));
        }
        Ok(drafts)
    }
}

fn draft(generation: &Generation) -> Draft {
    Draft {
        text: generation.text.clone(),
        tokens: generation.token_ids.len(),
        finish_reason: generation.finish_reason,
    }
}
