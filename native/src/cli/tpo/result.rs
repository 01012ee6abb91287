//! What came of a run.

use crate::{say, terminal};
use periapt_core::contract::RecordHeader;
use periapt_core::tpo::{Options, Outcome};
use serde_json::{Value, json};
use std::io::Write;

/// A run as JSON.
pub fn describe(
    outcome: &Outcome,
    baseline: Option<&Outcome>,
    header: &RecordHeader,
    options: &Options,
) -> Value {
    let candidates: Vec<Value> = outcome
        .candidates
        .iter()
        .map(|(number, candidate)| {
            let mut object = json!(candidate);
            object["reward"] = json!(outcome.rewards.get(number));
            object
        })
        .collect();
    json!({
        "text": outcome.answer().map(|answer| &answer.text),
        "reward": outcome.reward(),
        "reward_name": header.reward,
        "reward_model": header.reward_model,
        "mode": options.mode,
        "candidates": candidates,
        "generations": outcome.generations,
        "tokens": outcome.tokens,
        "best_of_n": baseline.map(|baseline| json!({
            "n": baseline.generations,
            "reward": baseline.reward(),
            "text": baseline.answer().map(|answer| &answer.text),
            "tokens": baseline.tokens,
        })),
        "device": header.device,
        "model": header.model,
    })
}

/// The answer on stdout; what it took, and whether that was worth it, on stderr.
pub fn say(outcome: &Outcome, baseline: Option<&Outcome>, one_of_many: bool) -> anyhow::Result<()> {
    let mut out = terminal::answer();
    if let Some(answer) = outcome.answer() {
        writeln!(out, "{}", answer.text)?;
        if one_of_many {
            writeln!(out)?;
        }
    }
    let reward = outcome.reward().unwrap_or(f64::NAN);
    say!(
        "reward {reward:.4} after {} generations, {} tokens",
        outcome.generations,
        outcome.tokens
    );
    if let Some(baseline) = baseline {
        let other = baseline.reward().unwrap_or(f64::NAN);
        let verdict = match reward.total_cmp(&other) {
            std::cmp::Ordering::Greater => "the rounds were worth it",
            std::cmp::Ordering::Equal => "the rounds won nothing over it",
            std::cmp::Ordering::Less => "it did better: the rounds did not help here",
        };
        say!(
            "best of {} first responses: {other:.4}, {} tokens; {verdict}",
            baseline.generations,
            baseline.tokens
        );
    }
    Ok(())
}
