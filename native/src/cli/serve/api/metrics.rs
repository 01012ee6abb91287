//! What `/metrics` tells, in Prometheus' text format (exposition formats, version 0.0.4).

use periapt_core::session::Counts;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts since the server's start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By address and status.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    prompt_tokens: AtomicU64,
    tokens: AtomicU64,
    token_micros: AtomicU64,
    waiting: AtomicU64,
    counts: Mutex<Counts>,
}

impl Metrics {
    pub fn request(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }

    /// A token, so long after the one before it.
    pub fn token(&self, took: Duration) {
        self.tokens.fetch_add(1, Relaxed);
        self.token_micros
            .fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// An answer, to a prompt of so many tokens.
    pub fn answer(&self, prompt_tokens: usize) {
        self.prompt_tokens.fetch_add(prompt_tokens as u64, Relaxed);
    }

    /// What the engine's scheduler did with its present model.
    pub fn counts(&self, counts: Counts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// A request came for the engine.
    pub fn enter(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// It is met, or was given up.
    pub fn leave(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// Requests that wait for the engine, or are met by it.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        head(
            &mut out,
            "periapt_requests_total",
            "counter",
            "Requests by address and status.",
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in requests.iter() {
            let _ = writeln!(
                out,
                "periapt_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        drop(requests);
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let prompt = load(&self.prompt_tokens);
        let (tokens, seconds) = (load(&self.tokens), load(&self.token_micros) as f64 / 1e6);
        for (name, kind, help, value) in [
            (
                "periapt_prompt_tokens_total",
                "counter",
                "Tokens of answered prompts.",
                prompt as f64,
            ),
            (
                "periapt_generated_tokens_total",
                "counter",
                "Tokens of answers.",
                tokens as f64,
            ),
            (
                "periapt_generated_tokens_seconds_total",
                "counter",
                "Seconds from each answer's beginning, or the token before, to each token.",
                seconds,
            ),
            (
                "periapt_model_steps",
                "gauge",
                "Steps of the loaded model, each for all answers under way.",
                counts.steps as f64,
            ),
            (
                "periapt_model_read_tokens",
                "gauge",
                "Prompts' tokens that the loaded model computed.",
                counts.read as f64,
            ),
            (
                "periapt_model_reused_tokens",
                "gauge",
                "Prompts' tokens that were in its cache already.",
                counts.reused as f64,
            ),
            (
                "periapt_model_cache_rows",
                "gauge",
                "Rows of its cache that requests under way have.",
                counts.rows as f64,
            ),
            (
                "periapt_model_cache_pages",
                "gauge",
                "Pages of its cache, 64 tokens each, that hold something, also of what has ended.",
                counts.pages as f64,
            ),
            (
                "periapt_requests_in_progress",
                "gauge",
                "Requests that wait for the engine, or are met by it.",
                load(&self.waiting) as f64,
            ),
        ] {
            head(&mut out, name, kind, help);
            let _ = writeln!(out, "{name} {value}");
        }
        out
    }
}
