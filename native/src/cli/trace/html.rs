//! A trace as one self-contained page.

use super::format::{Token, Trace};
use crate::terminal::shown;
use minijinja::{AutoEscape, Environment, value::Serde};
use serde_json::{Value, json};

/// Nats at which the colour is full.
const FULL: f64 = 4.0;

pub fn page(trace: &Trace) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", include_str!("page.html"))?;
    let reference = trace.reference();
    let header = &trace.header;
    let streams: Vec<&str> = header.streams.iter().map(|s| s.name.as_str()).collect();
    let tokens: Vec<Value> = trace
        .tokens
        .iter()
        .map(|token| describe(token, reference, &streams))
        .collect();
    let of = |value: fn(&Token) -> f64| trace.tokens.iter().map(value).collect::<Vec<_>>();
    let values = json!({
        "title": trace.title(),
        "header": header,
        "settings": serde_json::to_string_pretty(header)?,
        "reference": reference,
        "streams": streams,
        "tokens": tokens,
        "broken_off": trace.finish_reason.is_none(),
        "plots": [
            plot("Strength k", &of(|token| token.trace.k)),
            plot("KL from the anchor, nats", &of(|token| token.trace.kl)),
        ],
    });
    let page = environment.get_template("page")?;
    // A page, too, may be written to a terminal.
    Ok(shown(&page.render(Serde(values))?))
}

fn describe(token: &Token, reference: &str, streams: &[&str]) -> Value {
    // Not a negative zero.
    let lift = (token.lift(reference) * 100.0).round() / 100.0 + 0.0;
    let number = |value: Option<&f64>| match value {
        Some(value) if value.is_finite() => format!("{value:.3}"),
        _ => "−∞".to_owned(),
    };
    let trace = &token.trace;
    let names = streams.iter().copied().chain(["final"]);
    let columns: Vec<Value> = names
        .map(|name| {
            let top = trace.top.get(name).into_iter().flatten();
            let top: Vec<Value> = top
                .map(|t| json!({ "piece": visible(&t.piece), "log_prob": format!("{:.3}", t.log_prob) }))
                .collect();
            json!({ "name": name, "log_prob": number(trace.log_prob.get(name).and_then(Option::as_ref)), "top": top })
        })
        .collect();
    let iterates: Vec<Value> = trace
        .iterates
        .iter()
        .map(|it| {
            json!({
                "i": it.i,
                "k": format!("{:.3}", it.k),
                "chosen": number(Some(&it.chosen)),
                "runner_up": number(it.runner_up.as_ref()),
            })
        })
        .collect();
    json!({
        "number": token.index + 1,
        "text": token.text,
        "piece": visible(&trace.piece),
        "lift": format!("{lift:+.2}"),
        "class": if lift >= 1.0 { "up" } else if lift <= -1.0 { "down" } else { "even" },
        "percent": format!("{:.0}", (lift.abs() / FULL).min(1.0) * 45.0),
        "k": format!("{:.3}", trace.k),
        "kl": format!("{:.3}", trace.kl),
        "entropy": format!("{:.3}", trace.entropy),
        "columns": columns,
        "iterates": iterates,
        "runner_up": trace.runner_up.as_ref().map(|t| visible(&t.piece)),
    })
}

/// White space made visible.
fn visible(piece: &str) -> String {
    piece
        .replace(' ', "␣")
        .replace('\n', "⏎")
        .replace('\t', "⇥")
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;

/// A line over the tokens, as an SVG polyline's points.
fn plot(name: &str, values: &[f64]) -> Value {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let scale = if highest > 0.0 { highest } else { 1.0 };
    let last = values.len().saturating_sub(1).max(1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let x = index as f64 / last * WIDTH;
            let y = HEIGHT * (1.0 - value / scale);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    json!({
        "name": name,
        "points": points.join(" "),
        "highest": format!("{highest:.3}"),
        "mean": format!("{mean:.3}"),
        "count": values.len(),
    })
}
