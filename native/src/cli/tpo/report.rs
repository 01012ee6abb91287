//! `periapt tpo report`: records as one self-contained page, or as figures.

use super::super::{Usage, print_json};
use super::format::{Content, Part};
use super::record;
use crate::output::{self, Existing, Output};
use crate::terminal::shown;
use minijinja::{AutoEscape, Environment, value::Serde};
use periapt_core::tpo::{Line, Mode};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One question's run.
struct Item {
    query: String,
    lines: Vec<Line>,
    baseline: Vec<Line>,
}

pub fn run(files: &[PathBuf], output: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    if output.is_none() && !as_json {
        return Err(
            Usage("name the page to write with --output, or ask for --json".to_owned()).into(),
        );
    }
    if let Some(output) = output {
        output::apart(output, files)?;
    }
    let output = output.map(|path| Output::create(path, Existing::Replace)).transpose()?;
    let mut records = Vec::new();
    for path in files {
        let content = record::read(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let items = items(&content);
        if items.is_empty() {
            return Err(Usage(format!("{} holds no finished round yet", path.display())).into());
        }
        records.push((name.into_owned(), content, items));
    }
    let summaries: Vec<Value> = records
        .iter()
        .map(|(name, content, items)| summary(name, content, items))
        .collect();
    if as_json {
        print_json(&json!({ "records": summaries }))?;
    }
    let Some(output) = output else {
        return Ok(());
    };
    Ok(output.put(page(&records, &summaries)?.as_bytes())?)
}

/// The records as a page.
fn page(records: &[(String, Content, Vec<Item>)], summaries: &[Value]) -> anyhow::Result<String> {
    let sections: Vec<Value> = records
        .iter()
        .flat_map(|(name, content, items)| {
            items.iter().map(move |item| section(name, content, item))
        })
        .collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", include_str!("page.html"))?;
    let values = json!({ "summaries": summaries, "sections": sections });
    // A page, too, may be written to a terminal.
    Ok(shown(
        &environment.get_template("page")?.render(Serde(values))?,
    ))
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
struct Round {
    rewards: Vec<(usize, f64)>,
    best: usize,
    best_reward: f64,
}

fn rounds(lines: &[Line]) -> Vec<Round> {
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
fn spent(lines: &[Line]) -> (usize, usize) {
    let tokens = lines.iter().map(|line| match line {
        Line::Candidate(candidate) => candidate.tokens,
        Line::Text { tokens, .. } | Line::Dropped { tokens, .. } => *tokens,
        _ => 0,
    });
    (tokens.sum(), super::generations(lines))
}

fn last_best(lines: &[Line]) -> Option<f64> {
    rounds(lines).last().map(|round| round.best_reward)
}

/// A record's figures: means over its questions.
fn summary(name: &str, content: &Content, items: &[Item]) -> Value {
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

/// What the page shows of one question.
fn section(name: &str, content: &Content, item: &Item) -> Value {
    let rounds = rounds(&item.lines);
    let candidates: BTreeMap<usize, &str> = item
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Candidate(candidate) => Some((
                candidate.round * content.header.options.samples + candidate.index,
                candidate.text.as_str(),
            )),
            _ => None,
        })
        .collect();
    let text = |number: usize| candidates.get(&number).copied().unwrap_or_default();
    let other = last_best(&item.baseline);
    let mut steps: Vec<Value> = Vec::new();
    for (at, round) in rounds.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| rounds[before].best);
        let texts: Vec<Value> = item
            .lines
            .iter()
            .filter_map(|line| match line {
                Line::Text {
                    round,
                    prompt,
                    text,
                    shortened,
                    ..
                } if *round == at => Some(json!({
                    "name": prompt.name(),
                    "text": text,
                    "shortened": shortened,
                })),
                _ => None,
            })
            .collect();
        steps.push(json!({
            "round": at,
            "reward": format!("{:.4}", round.best_reward),
            "is_new": before != Some(round.best),
            "diff": before.map(|before| diff(text(before), text(round.best))),
            "text": text(round.best),
            "texts": texts,
        }));
    }
    let (tokens, generations) = spent(&item.lines);
    let last = rounds.last().map_or(f64::NAN, |round| round.best_reward);
    let first = rounds.first().map_or(f64::NAN, |round| round.best_reward);
    let verdict = match other {
        _ if content.header.options.mode == Mode::Bon => {
            "The best of the first responses; there were no rounds."
        }
        Some(other) if last > other => "The rounds beat as many first responses.",
        Some(other) if last < other => {
            "The rounds did not help here: as many first responses did better."
        }
        Some(_) => "The rounds did not help here: as many first responses did as well.",
        None if last > first => {
            "The rounds improved on the first responses; there is no comparison at equal cost."
        }
        None => "The rounds did not help here: the best of the first responses stayed the best.",
    };
    let dropped: Vec<String> = item
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Dropped {
                round,
                index,
                reason,
                ..
            } => Some(format!(
                "Round {round}, response {index} was left out: {reason}."
            )),
            _ => None,
        })
        .collect();
    let samples = content.header.options.samples;
    let cuts = item.lines.iter().flat_map(|line| match line {
        Line::Scores { cut, .. } => cut.as_slice(),
        _ => &[],
    });
    let cuts = cuts.map(|cut| {
        let (round, index) = (cut.response / samples, cut.response % samples);
        format!(
            "Round {round}, response {index} was scored by {} of its {} characters, as the {} model's context allows.",
            cut.to, cut.from, cut.reward
        )
    });
    let dropped: Vec<String> = dropped.into_iter().chain(cuts).collect();
    let table: Vec<Value> = rounds
        .iter()
        .enumerate()
        .flat_map(|(at, round)| {
            round
                .rewards
                .iter()
                .map(move |(number, reward)| (at, *number, *reward))
        })
        .map(|(round, number, reward)| {
            json!({
                "round": round,
                "reward": format!("{reward:.4}"),
                "text": text(number),
            })
        })
        .collect();
    json!({
        "file": name,
        "query": item.query,
        "reward_name": content.header.reward_name(),
        "verdict": verdict,
        "generations": generations,
        "tokens": tokens,
        "other": other.map(|other| json!({
            "n": content.header.options.generations(),
            "reward": format!("{other:.4}"),
            "tokens": spent(&item.baseline).0,
        })),
        "chart": chart(&rounds, other),
        "steps": steps,
        "dropped": dropped,
        "table": table,
    })
}

/// Words of `new` with what `old` had, as pieces `{kind, text}`.
fn diff(old: &str, new: &str) -> Vec<Value> {
    let kind = |tag| match tag {
        ChangeTag::Equal => "same",
        ChangeTag::Delete => "gone",
        ChangeTag::Insert => "new",
    };
    TextDiff::from_words(old, new)
        .iter_all_changes()
        .map(|change| json!({ "kind": kind(change.tag()), "text": change.value() }))
        .collect()
}

/// Places for a chart of 600 by 220: every candidate a dot, the best so far a line.
fn chart(rounds: &[Round], other: Option<f64>) -> Value {
    const WIDTH: f64 = 600.0;
    const HEIGHT: f64 = 220.0;
    let all = || {
        let dots = rounds
            .iter()
            .flat_map(|round| round.rewards.iter().map(|(_, reward)| *reward));
        dots.chain(other)
    };
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(f64::NEG_INFINITY, f64::max);
    // Halves, since a difference of large numbers may be none.
    let span = if high > low { high / 2.0 - low / 2.0 } else { 1.0 };
    let x = |at: usize| (at as f64 + 0.5) * WIDTH / rounds.len().max(1) as f64;
    let y = |reward: f64| HEIGHT - (reward / 2.0 - low / 2.0) / span * HEIGHT;
    let dots: Vec<Value> = rounds
        .iter()
        .enumerate()
        .flat_map(|(at, round)| {
            let count = round.rewards.len() as f64;
            let place = move |index: usize| x(at) + (index as f64 - (count - 1.0) / 2.0) * 7.0;
            round.rewards.iter().enumerate().map(move |(index, (_, reward))| {
                json!({ "x": format!("{:.1}", place(index)), "y": format!("{:.1}", y(*reward)), "label": format!("round {at}: {reward:.4}") })
            })
        })
        .collect();
    let line: Vec<String> = rounds
        .iter()
        .enumerate()
        .map(|(at, round)| format!("{:.1},{:.1}", x(at), y(round.best_reward)))
        .collect();
    json!({
        "low": format!("{low:.3}"),
        "high": format!("{high:.3}"),
        "dots": dots,
        "line": line.join(" "),
        "other": other.map(|other| format!("{:.1}", y(other))),
        "rounds": (0..rounds.len()).map(|at| json!({ "x": format!("{:.1}", x(at)), "name": at })).collect::<Vec<_>>(),
    })
}
