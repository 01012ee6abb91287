//! What a record comes to, in figures.

use super::format::{Content, RecordedRun, RunPart};
use periapt_core::contract::RecordHeader;
use periapt_core::tpo::{Outcome, RecordLine};
use serde_json::{Value, json};

/// One question's run.
pub struct Item {
    pub run: RecordedRun,
    pub baseline: Option<RecordedRun>,
}

/// A record with its questions.
pub struct Report {
    pub name: String,
    pub header: RecordHeader,
    /// Those that have at least their first rewards; at least one.
    pub items: Vec<Item>,
}

impl Report {
    /// `None` where no question has its first rewards yet.
    pub fn new(name: String, content: Content) -> Option<Self> {
        let Content { header, mut runs } = content;
        let mut items = Vec::new();
        while let Some(((item, part), run)) = runs.pop_first() {
            let baseline = runs.remove(&(item, RunPart::Baseline));
            if part == RunPart::Run && !run.outcome().rounds.is_empty() {
                items.push(Item { run, baseline });
            }
        }
        (!items.is_empty()).then_some(Self {
            name,
            header,
            items,
        })
    }
}

impl Item {
    /// What the comparison came to, as far as it was made.
    pub fn baseline(&self) -> Option<&Outcome> {
        self.baseline.as_ref().map(RecordedRun::outcome)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// A record's figures: means over its questions.
pub fn summary(report: &Report) -> Value {
    let Report {
        name,
        header,
        items,
    } = report;
    let runs = || items.iter().map(|item| item.run.outcome());
    let depth = runs().map(|run| run.rounds.len()).max().unwrap_or(0);
    let by_round: Vec<Value> = (0..depth)
        .map(|at| {
            let there = || runs().filter_map(|run| run.rounds.get(at));
            json!({
                "round": at,
                "questions": there().count(),
                "mean": mean(there().filter_map(|round| mean(round.rewards.iter().map(|(_, r)| *r)))),
                "best_so_far": mean(there().map(|round| round.best_reward)),
            })
        })
        .collect();
    let both: Vec<(f64, f64)> = items
        .iter()
        .filter_map(|item| Some((item.run.outcome().reward()?, item.baseline()?.reward()?)))
        .collect();
    let responses = runs().flat_map(|run| run.candidates.values());
    let parsed = responses.filter(|response| response.round > 0).count();
    let empty = items.iter().flat_map(|item| &item.run.lines).filter(|line| matches!(line, RecordLine::Dropped { round, tokens, .. } if *round > 0 && *tokens > 0));
    let of = parsed + empty.count();
    let baselines = items.iter().filter_map(Item::baseline);
    json!({
        "file": name,
        "mode": header.options.mode,
        "reward": header.reward,
        "reward_model": header.reward_model,
        "preference": header.preference,
        "model": header.model,
        "device": header.device,
        "prompts": header.prompts.0,
        "samples": header.options.samples,
        "rounds": header.options.rounds,
        "questions": items.len(),
        "by_round": by_round,
        "updates": { "parsed": parsed, "of": of },
        "generations": runs().map(|run| run.generations).sum::<usize>(),
        "tokens": runs().map(|run| run.tokens).sum::<usize>(),
        "best_of_n": (!both.is_empty()).then(|| json!({
            "n": header.options.generations(),
            "questions": both.len(),
            "reward": mean(both.iter().map(|(_, other)| *other)),
            "run": mean(both.iter().map(|(own, _)| *own)),
            "better": both.iter().filter(|(own, other)| own > other).count(),
            "equal": both.iter().filter(|(own, other)| own == other).count(),
            "worse": both.iter().filter(|(own, other)| own < other).count(),
            "tokens": baselines.map(|baseline| baseline.tokens).sum::<usize>(),
        })),
    })
}
