//! What `/metrics` tells, in Prometheus' text format (exposition formats, version 0.0.4).

use periapt_core::session::Counts;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    loads: AtomicU64,
    /// The models that are loaded, with what their schedulers did; nothing of one that is on its way.
    models: Mutex<BTreeMap<String, Option<Counts>>>,
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

    /// A model begins to be loaded.
    pub fn loads(&self, model: &str) {
        self.loads.fetch_add(1, Relaxed);
        self.models().insert(model.to_owned(), None);
    }

    /// It is loaded.
    pub fn loaded(&self, model: &str) {
        self.counts(model, Counts::default());
    }

    /// What its scheduler did.
    pub fn counts(&self, model: &str, counts: Counts) {
        self.models().insert(model.to_owned(), Some(counts));
    }

    /// It is here no longer.
    pub fn left(&self, model: &str) {
        self.models().remove(model);
    }

    pub fn is_loaded(&self, model: &str) -> bool {
        self.models().get(model).is_some_and(Option::is_some)
    }

    /// How a model stands, in the words of llama.cpp's server.
    pub fn standing(&self, model: &str) -> &'static str {
        match self.models().get(model) {
            None => "unloaded",
            Some(None) => "loading",
            Some(Some(_)) => "loaded",
        }
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<String, Option<Counts>>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
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
                "periapt_model_loads_total",
                "counter",
                "Times that a model was loaded.",
                load(&self.loads) as f64,
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
        let models = self.models();
        for (name, help, value) in OF_MODELS {
            head(&mut out, name, "gauge", help);
            for (model, counts) in models.iter() {
                let (model, value) = (label(model), counts.as_ref().map_or(0, value));
                let _ = writeln!(out, "{name}{{model=\"{model}\"}} {value}");
            }
        }
        out
    }
}

/// What is told of a model: a gauge, its help, and its value.
type OfModel = (&'static str, &'static str, fn(&Counts) -> u64);

/// All that is told of each model that is loaded or on its way.
const OF_MODELS: [OfModel; 6] = [
    (
        "periapt_model_loaded",
        "1 for a model that is loaded, 0 for one that is on its way.",
        |_| 1,
    ),
    (
        "periapt_model_steps",
        "Steps of the loaded model, each for all answers under way.",
        |counts| counts.steps,
    ),
    (
        "periapt_model_read_tokens",
        "Prompts' tokens that the loaded model computed.",
        |counts| counts.read,
    ),
    (
        "periapt_model_reused_tokens",
        "Prompts' tokens that were in its cache already.",
        |counts| counts.reused,
    ),
    (
        "periapt_model_cache_rows",
        "Rows of its cache that requests under way have.",
        |counts| counts.rows,
    ),
    (
        "periapt_model_cache_pages",
        "Pages of its cache, 64 tokens each, that hold something, also of what has ended.",
        |counts| counts.pages,
    ),
];

/// A text as a label's value.
fn label(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_whatever_they_are_called() {
        let metrics = Metrics::default();
        metrics.loads("a \"b\" \\c");
        metrics.loads("d");
        let steps = 3;
        metrics.counts(
            "d",
            Counts {
                steps,
                ..Counts::default()
            },
        );
        let text = metrics.text();
        for line in [
            "periapt_model_loads_total 2",
            r#"periapt_model_loaded{model="a \"b\" \\c"} 0"#,
            r#"periapt_model_loaded{model="d"} 1"#,
            r#"periapt_model_steps{model="d"} 3"#,
        ] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
        metrics.left("d");
        assert!(!metrics.text().contains(r#"model="d""#));
    }
}
