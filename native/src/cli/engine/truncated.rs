//! What leaning on a truncated support can have cost, over an answer.

use crate::say;
use periapt_core::session::Truncation;
use serde_json::{Map, Value, json};

/// What leaning on so few tokens can have cost, over an answer.
pub struct Truncated {
    /// Mean and highest probability outside, by stream.
    outside: Vec<(String, f64, f64)>,
    bounded: usize,
    /// The least that would have changed a token.
    margin: Option<f64>,
    /// Tokens that nothing outside could have changed.
    certain: usize,
    tokens: usize,
}

impl Truncated {
    pub fn of(all: &[&Truncation]) -> Self {
        let names = all.first().map(|first| first.outside.keys().cloned());
        let of_stream = |name: String| {
            let each = || all.iter().filter_map(|one| one.outside.get(&name));
            let mean = each().sum::<f64>() / all.len().max(1) as f64;
            let highest = each().copied().fold(0.0, f64::max);
            (name, mean, highest)
        };
        Self {
            outside: names.into_iter().flatten().map(of_stream).collect(),
            bounded: all.iter().map(|one| one.bounded).sum(),
            margin: all.iter().filter_map(|one| one.margin).reduce(f64::min),
            certain: all.iter().filter(|one| one.margin.is_none()).count(),
            tokens: all.len(),
        }
    }

    /// As records and answers have it.
    pub fn object(&self, support: usize) -> Value {
        let outside: Map<String, Value> = (self.outside.iter())
            .map(|(name, mean, highest)| (name.clone(), json!({ "mean": mean, "max": highest })))
            .collect();
        json!({
            "support": support,
            "outside": outside,
            "bounded": self.bounded,
            "margin": self.margin,
            "certain": self.certain,
        })
    }

    /// Says it beside the answer.
    pub fn say(&self) {
        let outside: Vec<String> = (self.outside.iter())
            .map(|(name, mean, highest)| {
                format!(
                    "{name} {:.2}% (at most {:.2}%)",
                    100.0 * mean,
                    100.0 * highest
                )
            })
            .collect();
        say!(
            "outside the likeliest tokens lay, of {}",
            outside.join(", of ")
        );
        if self.bounded > 0 {
            say!(
                "{} log-probabilities without the preference were not to be had, and taken for the least of those that were",
                self.bounded
            );
        }
        match self.margin {
            None => say!("no token outside could have come first"),
            Some(margin) => say!(
                "a token outside could have come first at {} of {} tokens, if the preference made it likelier by {margin:.1} nats \
                 or more",
                self.tokens - self.certain,
                self.tokens
            ),
        }
    }
}
