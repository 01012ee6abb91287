//! What a record comes to, in figures.

use super::format::{Content, Part, generations};
use periapt_core::tpo::Line;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One question's run.
pub struct Item {
    pub query: String,
    pub lines: Vec<Line>,
    pub baseline: Vec<Line>,
}

/// A record with its questions.
pub struct Report {
    pub name: String,
    pub content: Content,
    /// At least one.
    pub items: Vec<Item>,
}

impl Report {
    /// `None` where no question has its first rewards yet.
    pub fn new(name: String, content: Content) -> Option<Self> {
        let items = items(&content);
        (!items.is_empty()).then_some(Self {
            name,
            content,
            items,
        })
    }
}

/// The questions that have at least their first rewards.
fn items(content: &Content) -> Vec<Item> {
    let mut items: BTreeMap<usize, Item> = BTreeMap::new();
    for entry in &content.entries {
        if let (Line::Run { query, .. }, Part::Run) = (&entry.line, entry.part) {
            items.entry(entry.item).or_insert_with(|| Item {
                query: query.clone(),
                lines: Vec::new(),
                baseline: Vec::new(),
            });
        }
        if let Some(item) = items.get_mut(&entry.item) {
            match entry.part {
                Part::Run => item.lines.push(entry.line.clone()),
                Part::Baseline => item.baseline.push(entry.line.clone()),
            }
        }
    }
    let scored = |item: &Item| {
        item.lines
            .iter()
            .any(|line| matches!(line, Line::Scores { .. }))
    };
    items.into_values().filter(scored).collect()
}

/// One round's rewards, and the best reward so far.
pub struct Round {
    pub rewards: Vec<(usize, f64)>,
    pub best: usize,
    pub best_reward: f64,
}

pub fn rounds(lines: &[Line]) -> Vec<Round> {
    let mut all = BTreeMap::new();
    let mut rounds = Vec::new();
    for line in lines {
        if let Line::Scores { rewards, best, .. } = line {
            all.extend(rewards.iter().copied());
            rounds.push(Round {
                rewards: rewards.clone(),
                best: *best,
                best_reward: all.get(best).copied().unwrap_or(f64::NAN),
            });
        }
    }
    rounds
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// Tokens generated, and generations.
pub fn spent(lines: &[Line]) -> (usize, usize) {
    let tokens = lines.iter().map(|line| match line {
        Line::Candidate(candidate) => candidate.tokens,
        Line::Text { tokens, .. } | Line::Dropped { tokens, .. } => *tokens,
        _ => 0,
    });
    (tokens.sum(), generations(lines))
}

pub fn last_best(lines: &[Line]) -> Option<f64> {
    rounds(lines).last().map(|round| round.best_reward)
}

/// A record's figures: means over its questions.
pub fn summary(report: &Report) -> Value {
    let Report {
        name,
        content,
        items,
    } = report;
    let all: Vec<Vec<Round>> = items.iter().map(|item| rounds(&item.lines)).collect();
    let depth = all.iter().map(Vec::len).max().unwrap_or(0);
    let by_round: Vec<Value> = (0..depth)
        .map(|at| {
            let there = || all.iter().filter_map(|rounds| rounds.get(at));
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
        .filter_map(|item| Some((last_best(&item.lines)?, last_best(&item.baseline)?)))
        .collect();
    let updates = |lines: &[Line]| {
        let updates = lines.iter().filter(|line| match line {
            Line::Candidate(candidate) => candidate.round > 0,
            Line::Dropped { round, tokens, .. } => *round > 0 && *tokens > 0,
            _ => false,
        });
        let parsed = lines
            .iter()
            .filter(|line| matches!(line, Line::Candidate(candidate) if candidate.round > 0));
        (parsed.count(), updates.count())
    };
    let counts: Vec<(usize, usize)> = items.iter().map(|item| updates(&item.lines)).collect();
    let spends: Vec<(usize, usize)> = items.iter().map(|item| spent(&item.lines)).collect();
    let baseline: usize = items.iter().map(|item| spent(&item.baseline).0).sum();
    json!({
        "file": name,
        "mode": content.header.options.mode,
        "reward": content.header.reward,
        "reward_model": content.header.reward_model,
        "preference": content.header.preference,
        "model": content.header.model,
        "device": content.header.device,
        "prompts": content.header.prompts.0,
        "samples": content.header.options.samples,
        "rounds": content.header.options.rounds,
        "questions": items.len(),
        "by_round": by_round,
        "updates": { "parsed": counts.iter().map(|c| c.0).sum::<usize>(), "of": counts.iter().map(|c| c.1).sum::<usize>() },
        "generations": spends.iter().map(|s| s.1).sum::<usize>(),
        "tokens": spends.iter().map(|s| s.0).sum::<usize>(),
        "best_of_n": (!both.is_empty()).then(|| json!({
            "n": content.header.options.generations(),
            "questions": both.len(),
            "reward": mean(both.iter().map(|(_, other)| *other)),
            "run": mean(both.iter().map(|(own, _)| *own)),
            "better": both.iter().filter(|(own, other)| own > other).count(),
            "equal": both.iter().filter(|(own, other)| own == other).count(),
            "worse": both.iter().filter(|(own, other)| own < other).count(),
            "tokens": baseline,
        })),
    })
}
