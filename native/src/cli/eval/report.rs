//! What a run comes to: a table, the paper's own JSON files, and the frontier as a plot.

use super::record::Row;
use super::{EvalArgs, matched_name, plot, write_whole};
use crate::cli::print_json;
use crate::terminal;
use periapt_core::decoding::Method;
use periapt_core::session::Score;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// One method over all its answers.
#[derive(Debug, Serialize)]
struct Line {
    method: String,
    answers: usize,
    /// Means over the answers; the perplexities' are geometric.
    preference_score: f64,
    base_perplexity: f64,
    pref_perplexity: f64,
    distinct_2: f64,
    repetition: f64,
    tokens: f64,
    mean_k: f64,
    mean_kl: Option<f64>,
    max_kl: Option<f64>,
}

/// Writes all reports into the run's folder and prints the table.
pub fn write(args: &EvalArgs, rows: &[Row]) -> anyhow::Result<()> {
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let of = |method: &&str| rows.iter().filter(|row| row.method == **method).collect();
    let lines: Vec<Line> = methods
        .iter()
        .map(|method| line(method, &of(method) as &Vec<&Row>))
        .collect();
    let amulet = Method::Amulet(args.decoding.amulet);
    let matched = matched(rows, "amulet", &matched_name(amulet.strength()));
    let summary = json!({
        "methods": lines,
        "matched": matched,
        "paper_compat": args.decoding.paper_compat,
    });
    let folder = &args.output;
    write_whole(&folder.join("summary.json"), &format!("{summary:#}\n"))?;
    let points: Vec<(&str, f64, f64)> = lines
        .iter()
        .map(|line| {
            (
                line.method.as_str(),
                line.base_perplexity,
                line.preference_score,
            )
        })
        .collect();
    write_whole(&folder.join("frontier.svg"), &plot::frontier(&points)?)?;
    let mut files: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for row in rows {
        let file = files.entry((&row.dataset, &row.method)).or_default();
        file.push(json!({
            "index": row.index,
            "preference": row.preference,
            "question": row.question,
            "response": row.response,
        }));
    }
    for ((dataset, method), rows) in files {
        let text = format!("{:#}\n", Value::from(rows));
        write_whole(&folder.join(responses(dataset, method)), &text)?;
    }
    if args.json {
        return print_json(&summary);
    }
    table(&lines, matched.as_ref())
}

/// Where the paper's own file of a method's answers lies in a run's folder.
pub fn responses(dataset: &str, method: &str) -> String {
    format!("responses/{dataset}.{method}.json")
}

fn line(method: &str, rows: &[&Row]) -> Line {
    let scored: Vec<&Score> = rows.iter().filter_map(|row| row.score.as_ref()).collect();
    let mean = |of: fn(&Score) -> f64| {
        scored.iter().map(|score| of(score)).sum::<f64>() / scored.len().max(1) as f64
    };
    let count = rows.len().max(1) as f64;
    let kl = || rows.iter().filter_map(|row| row.mean_kl);
    Line {
        method: method.to_owned(),
        answers: rows.len(),
        preference_score: mean(|score| score.preference_score),
        base_perplexity: mean(|score| score.base_perplexity.ln()).exp(),
        pref_perplexity: mean(|score| score.pref_perplexity.ln()).exp(),
        distinct_2: mean(|score| score.distinct[1]),
        repetition: mean(|score| score.repetition),
        tokens: rows
            .iter()
            .map(|row| row.token_ids.len() as f64)
            .sum::<f64>()
            / count,
        mean_k: rows.iter().map(|row| row.mean_k).sum::<f64>() / count,
        mean_kl: kl().next().map(|_| kl().sum::<f64>() / kl().count() as f64),
        max_kl: rows.iter().filter_map(|row| row.max_kl).reduce(f64::max),
    }
}

/// How many of `other`'s answers are `method`'s, token for token; `None` where one of them has none.
fn matched(rows: &[Row], method: &str, other: &str) -> Option<Value> {
    let of = |name: &str| -> BTreeMap<(&str, &str, String), &[u32]> {
        let own = rows.iter().filter(|row| row.method == name);
        own.map(|row| {
            let key = (
                row.dataset.as_str(),
                row.preference.as_str(),
                row.index.to_string(),
            );
            (key, row.token_ids.as_slice())
        })
        .collect()
    };
    let (first, second) = (of(method), of(other));
    let both: Vec<bool> = first
        .iter()
        .filter_map(|(key, ids)| Some(second.get(key)? == ids))
        .collect();
    (!both.is_empty()).then(|| {
        json!({
            "method": method,
            "other": other,
            "answers": both.len(),
            "identical": both.iter().filter(|same| **same).count(),
        })
    })
}

fn table(lines: &[Line], matched: Option<&Value>) -> anyhow::Result<()> {
    let mut out = terminal::report();
    writeln!(
        out,
        "{:<18} {:>7} {:>10} {:>8} {:>8} {:>10} {:>10} {:>6} {:>6} {:>7} {:>7}",
        "method",
        "answers",
        "preference",
        "base ppl",
        "pref ppl",
        "distinct-2",
        "repetition",
        "tokens",
        "k",
        "KL",
        "max KL"
    )?;
    for line in lines {
        let kl = |kl: Option<f64>| kl.map_or_else(|| "-".to_owned(), |kl| format!("{kl:.3}"));
        writeln!(
            out,
            "{:<18} {:>7} {:>+10.4} {:>8.2} {:>8.2} {:>10.3} {:>10.3} {:>6.1} {:>6.3} {:>7} {:>7}",
            line.method,
            line.answers,
            line.preference_score,
            line.base_perplexity,
            line.pref_perplexity,
            line.distinct_2,
            line.repetition,
            line.tokens,
            line.mean_k,
            kl(line.mean_kl),
            kl(line.max_kl),
        )?;
    }
    if let Some(matched) = matched {
        writeln!(
            out,
            "{} gives the same tokens as amulet in {} of {} answers",
            matched["other"].as_str().unwrap_or_default(),
            matched["identical"],
            matched["answers"]
        )?;
    }
    Ok(())
}
