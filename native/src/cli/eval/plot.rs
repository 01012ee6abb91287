//! The frontier: preference score against base perplexity.

use minijinja::{AutoEscape, Environment, value::Serde};
use serde::Serialize;
use serde_json::{Value, json};

const PLOT: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 440" role="img" aria-labelledby="title" font-family="system-ui, sans-serif" font-size="13">
<title id="title">Preference score against base perplexity, by method</title>
<rect width="720" height="440" fill="#fff"/>
<g stroke="#ccc">{% for tick in x %}<line x1="{{ tick.at }}" y1="20" x2="{{ tick.at }}" y2="380"/>{% endfor %}{% for tick in y %}<line x1="70" y1="{{ tick.at }}" x2="700" y2="{{ tick.at }}"/>{% endfor %}</g>
<g fill="#333" text-anchor="middle">{% for tick in x %}<text x="{{ tick.at }}" y="398">{{ tick.label }}</text>{% endfor %}<text x="385" y="425">base perplexity (lower is more fluent)</text></g>
<g fill="#333" text-anchor="end">{% for tick in y %}<text x="64" y="{{ tick.at + 4 }}">{{ tick.label }}</text>{% endfor %}</g>
<text fill="#333" transform="translate(16 200) rotate(-90)" text-anchor="middle">preference score, nats a token</text>
<g fill="#0072b2">{% for point in points %}<circle cx="{{ point.x }}" cy="{{ point.y }}" r="5"/>{% endfor %}</g>
<g stroke="#888">{% for point in points %}<line x1="{{ point.x }}" y1="{{ point.y }}" x2="{{ point.label.near }}" y2="{{ point.label.y - 4 }}"/>{% endfor %}</g>
<g fill="#111">{% for point in points %}<text x="{{ point.label.x }}" y="{{ point.label.y }}">{{ point.name }}</text>{% endfor %}</g>
</svg>
"##;

/// Where a point's name stands: its left end and its baseline, and the end that is nearer to the point.
#[derive(Debug, Clone, Copy, Serialize)]
struct Label {
    x: f64,
    y: f64,
    near: f64,
    width: f64,
}

impl Label {
    const HEIGHT: f64 = 15.0;

    /// The place nearest to `at` that covers no other label and no point.
    fn beside(at: (f64, f64), name: &str, others: &[Self], points: &[(f64, f64)]) -> Self {
        const CHARACTER: f64 = 7.6;
        let width = CHARACTER * name.chars().count() as f64;
        let right = at.0 + 12.0;
        let left = at.0 - 12.0 - width;
        let steps = (0..20).flat_map(|step: i32| [f64::from(step), -f64::from(step)]);
        let sides = |step: f64| {
            let y = at.1 + 4.0 + step * Self::HEIGHT;
            let label = move |x: f64, near: f64| Self { x, y, near, width };
            [label(right, right - 2.0), label(left, left + width + 2.0)]
        };
        let fits = |label: &Self| {
            let within =
                label.x > 72.0 && label.x + width < 700.0 && label.y > 32.0 && label.y < 376.0;
            let apart = |other: &Self| {
                label.x > other.x + other.width
                    || other.x > label.x + width
                    || (label.y - other.y).abs() >= Self::HEIGHT
            };
            let clear = |(x, y): &(f64, f64)| {
                *x < label.x - 6.0 || *x > label.x + width + 6.0 || (label.y - 4.0 - y).abs() > 11.0
            };
            within && others.iter().all(apart) && points.iter().all(clear)
        };
        let first = sides(0.0)[0];
        steps.flat_map(sides).find(fits).unwrap_or(first)
    }
}

/// Methods as points (name, base perplexity, preference score), as an SVG file.
pub fn frontier(methods: &[(&str, f64, f64)]) -> anyhow::Result<String> {
    const TICKS: usize = 5;
    let axis = |values: Vec<f64>, from: f64, to: f64| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let margin = ((high - low) * 0.1).max(1e-3);
        let (low, high) = (low - margin, high + margin);
        let at = move |value: f64| (from + (value - low) / (high - low) * (to - from)).round();
        let ticks: Vec<Value> = (0..=TICKS)
            .map(|tick| low + (high - low) * tick as f64 / TICKS as f64)
            .map(|value| json!({ "at": at(value), "label": format!("{value:.2}") }))
            .collect();
        (at, ticks)
    };
    let (x_at, x) = axis(methods.iter().map(|m| m.1).collect(), 70.0, 700.0);
    let (y_at, y) = axis(methods.iter().map(|m| m.2).collect(), 380.0, 20.0);
    let places: Vec<(f64, f64)> = methods
        .iter()
        .map(|(_, x, y)| (x_at(*x), y_at(*y)))
        .collect();
    let mut labels: Vec<Label> = Vec::new();
    let points: Vec<Value> = methods
        .iter()
        .zip(&places)
        .map(|((name, ..), (x, y))| {
            let label = Label::beside((*x, *y), name, &labels, &places);
            labels.push(label);
            json!({ "name": name, "x": x, "y": y, "label": label })
        })
        .collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("plot", PLOT)?;
    let plot = environment.get_template("plot")?;
    Ok(plot.render(Serde(json!({ "x": x, "y": y, "points": points })))?)
}
