//! A server as who writes a refinement's texts: each is a chat of its own, several at once.

use super::{Engine, EngineError, Kind, estimate, sent, size};
use periapt_core::decoding::streams::Stream;
use periapt_core::decoding::{Conversation, Method, Sampling};
use periapt_core::session::FinishReason;
use periapt_core::text::Message;
use periapt_core::tpo::{Draft, Error, Generator, WriteEvent, WriteRequest};
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;

/// A server's model, and the preference that it is told.
pub struct Writer<'a> {
    /// The server.
    pub engine: &'a Engine,
    /// How responses are decoded: base or pref.
    pub method: Method,
    /// The user's preference.
    pub preference: Option<String>,
}

impl Writer<'_> {
    fn messages(&self, conversation: &Conversation, aligned: bool) -> Vec<Message> {
        let conversation = Conversation {
            preference: self.preference.clone().filter(|_| aligned),
            ..conversation.clone()
        };
        match (&self.method, aligned) {
            (Method::Base, _) | (_, false) => conversation.messages(&Stream::base()),
            _ => conversation.messages(&Stream::pref()),
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Generator(error.to_string())
    }
}

impl Generator for Writer<'_> {
    fn context(&self) -> usize {
        self.engine.context()
    }

    fn count(&self, conversation: &Conversation, prefix: &str) -> Result<usize, Error> {
        let messages = self.messages(conversation, true);
        Ok(self.engine.count(&messages)? + self.engine.count_text(prefix)?)
    }

    /// A text's draws depend on the seed and its number, so that none depends on which others were there: of our own server as
    /// they do here, of others by a seed of its own.
    async fn write(
        &self,
        wanted: &WriteRequest,
        on_event: &mut impl AsyncFnMut(WriteEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<Draft>, Error> {
        let messages = self.messages(&wanted.conversation, wanted.aligned);
        let numbers: Vec<u32> = (wanted.first..).take(wanted.n).collect();
        let mut drafts = vec![None; wanted.n];
        self.engine.each(
            &numbers,
            |number| {
                let stops = std::slice::from_ref(&wanted.stop);
                let asked = Asked {
                    prefix: &wanted.prefix,
                    stops: if wanted.stop.is_empty() { &[] } else { stops },
                    number: *number,
                    sampling: &wanted.sampling,
                    max_new_tokens: wanted.max_new_tokens,
                };
                self.engine.draft(&messages, &asked)
            },
            |index, draft| {
                let event = WriteEvent::Done {
                    index,
                    draft: &draft,
                };
                let heard = pollster::block_on(on_event(event));
                drafts[index] = Some(draft);
                heard
            },
        )?;
        Ok(drafts.into_iter().flatten().collect())
    }
}

/// How a text is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its beginning, no part of it.
    pub prefix: &'a str,
    /// What ends it.
    pub stops: &'a [String],
    /// Its number, on which its draws depend.
    pub number: u32,
    /// How its tokens are drawn, without guards.
    pub sampling: &'a Sampling,
    /// The most of them.
    pub max_new_tokens: usize,
}

impl Engine {
    /// A text, as it is asked for.
    pub fn draft(&self, messages: &[Message], asked: &Asked<'_>) -> Result<Draft, EngineError> {
        let Asked {
            prefix,
            number,
            sampling,
            ..
        } = *asked;
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("max_tokens", json!(asked.max_new_tokens));
        put("temperature", json!(sampling.temperature));
        put("top_p", json!(sampling.top_p));
        if !asked.stops.is_empty() {
            put("stop", json!(asked.stops));
        }
        // A server has defaults of its own, and many a model, too: whoever is known to know these is told them all.
        let none = Sampling::default();
        let is_known = self.kind != Kind::Other;
        if is_known || sampling.top_k != none.top_k {
            put(
                "top_k",
                match (self.kind, sampling.top_k) {
                    (Kind::Vllm, 0) => json!(-1),
                    (_, top_k) => json!(top_k),
                },
            );
        }
        for (name, own, none) in [
            ("min_p", sampling.min_p, none.min_p),
            (
                match self.kind {
                    Kind::LlamaCpp => "repeat_penalty",
                    _ => "repetition_penalty",
                },
                sampling.repetition_penalty,
                none.repetition_penalty,
            ),
            (
                "frequency_penalty",
                sampling.frequency_penalty,
                none.frequency_penalty,
            ),
            (
                "presence_penalty",
                sampling.presence_penalty,
                none.presence_penalty,
            ),
        ] {
            if is_known || own != none {
                put(name, json!(own));
            }
        }
        if self.kind == Kind::LlamaCpp {
            // It would cut before the temperature, and forget for penalties what is 64 tokens ago.
            put(
                "samplers",
                json!(["penalties", "temperature", "top_k", "top_p", "min_p"]),
            );
            put("repeat_last_n", json!(self.context));
        }
        let mut messages = sent(messages);
        let begun = || json!({ "role": "assistant", "content": prefix });
        match self.kind {
            Kind::Periapt => {
                put("seed", json!(sampling.seed));
                // Its own defaults are not asked for.
                put(
                    "alignment",
                    json!({ "method": "base", "first": number, "prefix": prefix, "fold": true }),
                );
            }
            kind => {
                // Others may know no seed of more than 63 bits.
                let seed = sampling.seed.wrapping_add(u64::from(number)) & (u64::MAX >> 1);
                put("seed", json!(seed));
                match kind {
                    _ if prefix.is_empty() => {}
                    Kind::Vllm => {
                        messages.push(begun());
                        put("continue_final_message", json!(true));
                        put("add_generation_prompt", json!(false));
                    }
                    Kind::LlamaCpp => messages.push(begun()),
                    // The prompt asks for the tag by itself.
                    _ => {}
                }
            }
        }
        let answer = self.chat(&messages, body)?;
        let choice = &answer["choices"][0];
        let text = choice["message"]["content"].as_str().unwrap_or_default();
        let text = after(text, prefix.trim()).to_owned();
        Ok(Draft {
            tokens: size(&answer["usage"]["completion_tokens"])
                .unwrap_or_else(|| estimate(&text))
                .min(asked.max_new_tokens),
            finish_reason: match choice["finish_reason"].as_str() {
                Some("length") => FinishReason::Length,
                _ => FinishReason::Stop,
            },
            text,
        })
    }
}

/// What stands behind `begin`, where a model that could not be given it wrote it itself; else the whole text.
fn after<'a>(text: &'a str, begin: &str) -> &'a str {
    match text.split_once(begin) {
        Some((_, rest)) if !begin.is_empty() => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_tag() {
        assert_eq!(after("Sure! <T>\nA", "<T>"), "\nA");
        assert_eq!(after("A <T> B", ""), "A <T> B");
        assert_eq!(after("A", "<T>"), "A");
    }
}
