//! Records as one self-contained page.

use super::figures::{Compared, Item, Report, summary, verdict};
use super::format::reward_name;
use crate::terminal::shown;
use minijinja::{AutoEscape, Environment, value::Serde};
use periapt_core::session::FinishReason;
use periapt_core::tpo::{Mode, PromptName, RecordLine, Round};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

/// The records as a page.
pub fn page(reports: &[Report]) -> Result<String, minijinja::Error> {
    let summaries: Vec<Value> = reports.iter().map(summary).collect();
    let sections: Vec<Value> = reports
        .iter()
        .flat_map(|report| report.items.iter().map(|item| section(report, item)))
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

/// What the page shows of one question.
fn section(report: &Report, item: &Item) -> Value {
    let Report { name, header, .. } = report;
    let (run, lines) = (item.run.outcome(), &item.run.lines);
    let rounds = &run.rounds;
    let text = |number| {
        run.candidates
            .get(&number)
            .map_or("", |response| &response.text)
    };
    let compared = item.compared(header);
    let compared = compared.as_ref();
    let is_cut = |number| {
        let response = run.candidates.get(&number);
        response.is_some_and(|response| response.finish_reason == FinishReason::Length)
    };
    let mut steps: Vec<Value> = Vec::new();
    for (at, round) in rounds.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| rounds[before].best);
        let texts: Vec<Value> = lines
            .iter()
            .filter_map(|line| match line {
                RecordLine::Text {
                    round,
                    prompt,
                    text,
                    finish_reason,
                    shortened,
                    ..
                } if *round == at => Some(json!({
                    "name": prompt.name(),
                    "text": text,
                    "is_cut": *finish_reason == Some(FinishReason::Length),
                    "shortened": shortened,
                })),
                RecordLine::Update {
                    round, shortened, ..
                } if *round == at && !shortened.is_empty() => Some(json!({
                    "name": PromptName::Improve.name(),
                    "text": "",
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
            "is_cut": is_cut(round.best),
            "texts": texts,
        }));
    }
    let others: Vec<(&str, f64)> = compared
        .map(|compared| {
            let figures = compared.figures;
            [
                ("other", figures.generations.reward),
                ("other tokens", figures.tokens.reward),
            ]
        })
        .into_iter()
        .flatten()
        .collect();
    let last = rounds.last().map_or(f64::NAN, |round| round.best_reward);
    let first = rounds.first().map_or(f64::NAN, |round| round.best_reward);
    let verdict = match compared {
        _ if header.options.mode == Mode::Bon => {
            "The best of the first responses; there were no rounds."
        }
        Some(compared) => verdict(last, &compared.figures),
        None if last > first => {
            "By this reward the rounds improved on the first responses; there is no comparison at equal cost."
        }
        None => "The rounds did not help here: the best of the first responses stayed the best.",
    };
    let dropped: Vec<String> = lines
        .iter()
        .filter_map(|line| match line {
            RecordLine::Dropped {
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
    let samples = header.options.samples;
    let cuts = lines.iter().flat_map(|line| match line {
        RecordLine::Scores { cut, .. } => cut.as_slice(),
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
                "is_cut": is_cut(number),
            })
        })
        .collect();
    json!({
        "file": name,
        "query": item.run.state.query(),
        "reward_name": reward_name(header),
        "verdict": verdict,
        "generations": run.generations,
        "tokens": run.tokens,
        "compared": compared.map(Compared::said),
        "limits": {
            "response": header.options.max_new_tokens,
            "text": header.options.max_text_tokens,
        },
        "chart": chart(rounds, &others),
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

/// Places for a chart of 600 by 220: every candidate a dot, the best so far a line, and lines across by their classes.
fn chart(rounds: &[Round], others: &[(&str, f64)]) -> Value {
    const WIDTH: f64 = 600.0;
    const HEIGHT: f64 = 220.0;
    let all = || {
        let dots = rounds
            .iter()
            .flat_map(|round| round.rewards.iter().map(|(_, reward)| *reward));
        dots.chain(others.iter().map(|(_, reward)| *reward))
    };
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(f64::NEG_INFINITY, f64::max);
    // Halves, since a difference of large numbers may be none.
    let span = if high > low {
        high / 2.0 - low / 2.0
    } else {
        1.0
    };
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
        "others": others.iter().map(|(class, reward)| json!({ "class": class, "y": format!("{:.1}", y(*reward)) })).collect::<Vec<_>>(),
        "rounds": (0..rounds.len()).map(|at| json!({ "x": format!("{:.1}", x(at)), "name": at })).collect::<Vec<_>>(),
    })
}
