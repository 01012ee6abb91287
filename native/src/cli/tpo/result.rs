//! What came of a run.

use super::figures::{Compared, amount, verdict};
use crate::{say, terminal};
use periapt_core::contract::RecordHeader;
use periapt_core::session::FinishReason;
use periapt_core::tpo::Outcome;
use serde_json::{Value, json};
use std::io::Write;

/// A run with what it is held against.
pub struct RunResult<'a> {
    outcome: &'a Outcome,
    header: &'a RecordHeader,
    compared: Option<Compared<'a>>,
}

impl<'a> RunResult<'a> {
    pub fn new(
        outcome: &'a Outcome,
        baseline: Option<&'a Outcome>,
        header: &'a RecordHeader,
    ) -> Self {
        let compared = baseline.and_then(|baseline| Compared::new(outcome, baseline, header));
        Self {
            outcome,
            header,
            compared,
        }
    }

    /// As JSON.
    pub fn describe(&self) -> Value {
        let Self {
            outcome, header, ..
        } = self;
        let candidates: Vec<Value> = outcome
            .candidates
            .iter()
            .map(|(number, candidate)| {
                let mut object = json!(candidate);
                object["reward"] = json!(outcome.rewards.get(number));
                object
            })
            .collect();
        let compared = self.compared.as_ref();
        json!({
            "text": outcome.answer().map(|answer| &answer.text),
            "reward": outcome.reward(),
            "reward_name": header.reward,
            "reward_model": header.reward_model,
            "mode": header.options.mode,
            "method": header.method,
            "candidates": candidates,
            "generations": outcome.generations,
            "tokens": outcome.tokens,
            "cut": { "responses": outcome.responses_cut(), "texts": outcome.texts_cut },
            "best_of_n": compared.map(Compared::at_generations),
            "best_of_n_at_tokens": compared.map(Compared::at_tokens),
            "device": header.device,
            "model": header.model,
        })
    }

    /// The answer on stdout; what it took, and how first responses alone did, on stderr.
    pub fn say(&self, one_of_many: bool) -> anyhow::Result<()> {
        let Self {
            outcome, header, ..
        } = self;
        let mut out = terminal::answer();
        if let Some(answer) = outcome.answer() {
            writeln!(out, "{}", answer.text)?;
            if one_of_many {
                writeln!(out)?;
            }
        }
        let reward = outcome.reward().unwrap_or(f64::NAN);
        say!(
            "reward {reward:.4} by {} after {} generations, {} tokens",
            terminal::line(&header.reward),
            outcome.generations,
            outcome.tokens
        );
        let options = &header.options;
        let answer = outcome.answer();
        if answer.is_some_and(|answer| answer.finish_reason == FinishReason::Length) {
            say!(
                "the answer was cut at its limit of {} tokens (--max-new-tokens)",
                options.max_new_tokens
            );
        }
        let (responses, texts) = (outcome.responses_cut(), outcome.texts_cut);
        if responses + texts > 0 {
            say!(
                "cut at their limits: {} (--max-new-tokens {}), {} (--max-text-tokens {})",
                amount(responses, "response"),
                options.max_new_tokens,
                amount(texts, "critique or feedback"),
                options.max_text_tokens
            );
        }
        if let Some(compared) = &self.compared {
            say!("{}", compared.said());
            say!("{}", verdict(reward, &compared.figures));
        }
        Ok(())
    }
}
