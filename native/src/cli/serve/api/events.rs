//! Answers as server-sent events.

use super::answer::Answers;
use super::engine::Told;
use super::error::ApiError;
use axum::response::sse::Event;
use futures_core::Stream;
use serde_json::Value;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::UnboundedReceiver;

/// How far a stream's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Counts,
    Mark,
    Closed,
}

/// The answers as server-sent events.
pub struct Events {
    told: UnboundedReceiver<Told>,
    answers: Answers,
    first: Option<Value>,
    end: End,
}

impl Events {
    /// What `told` tells from now on, behind `first`.
    pub fn new(told: UnboundedReceiver<Told>, answers: Answers, first: Option<Value>) -> Self {
        Self {
            told,
            answers,
            first,
            end: End::Open,
        }
    }
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |value: &Value| Poll::Ready(Some(Ok(Event::default().data(value.to_string()))));
        if let Some(first) = self.first.take() {
            return event(&first);
        }
        loop {
            match self.end {
                End::Open if self.answers.complete() => self.end = End::Counts,
                End::Open => {
                    let Some(told) = ready!(self.told.poll_recv(task)) else {
                        self.end = End::Closed;
                        return event(&ApiError::ended().json());
                    };
                    if let Told::Works(how) = &told {
                        return Poll::Ready(Some(Ok(Event::default().comment(how))));
                    }
                    match self.answers.hear(told) {
                        Ok(None) => {}
                        Ok(Some(chunk)) => return event(&chunk),
                        Err(error) => {
                            self.end = End::Closed;
                            return event(&error.json());
                        }
                    }
                }
                End::Counts => {
                    self.end = End::Mark;
                    if let Some(counts) = self.answers.last_chunk() {
                        return event(&counts);
                    }
                }
                End::Mark => {
                    self.end = End::Closed;
                    return Poll::Ready(Some(Ok(Event::default().data("[DONE]"))));
                }
                End::Closed => return Poll::Ready(None),
            }
        }
    }
}
