//! Two builds in turns: the ratios of what they take.

use super::Usage;
use super::median::Median;
use crate::cli::print_json;
use crate::terminal;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Pairs of runs at most.
const PAIRS: usize = 24;

/// What is read of the other build's JSON: fields that every version has.
#[derive(Debug, Deserialize)]
struct Report {
    results: Vec<Measured>,
}

#[derive(Debug, Deserialize)]
struct Measured {
    method: String,
    rows: usize,
    context: usize,
    prefill_tokens_per_s: f64,
    step_ms: f64,
}

/// This build's time over the other's.
#[derive(Debug, Serialize)]
struct Ratio {
    method: String,
    rows: usize,
    context: usize,
    step: Median,
    prefill: Median,
}

#[derive(Debug, Serialize)]
struct Versus<'a> {
    vs: &'a Path,
    pairs: usize,
    ratios: Vec<Ratio>,
}

/// Runs both builds in turns with the options of this call, until the step's ratios are settled.
pub fn run(other: &Path, json: bool) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let mut options = Vec::new();
    let mut rest = std::env::args_os().skip(1);
    while let Some(option) = rest.next() {
        match option.to_str() {
            Some("--vs") => drop(rest.next()),
            Some("--json" | "--no-config") => {}
            Some(option) if option.starts_with("--vs=") => {}
            _ => options.push(option),
        }
    }
    let run = |binary: &Path| -> anyhow::Result<Report> {
        let ran = Command::new(binary)
            .args(&options)
            .arg("--json")
            .output()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            bail!(
                "{} ended with {}: {}",
                binary.display(),
                ran.status,
                said.trim()
            );
        }
        serde_json::from_slice(&ran.stdout)
            .with_context(|| format!("{} printed no report of periapt bench", binary.display()))
    };
    let mut pairs: Vec<(Report, Report)> = Vec::new();
    loop {
        // Who is first changes, so that neither always finds the machine warm.
        let pair = match pairs.len() % 2 {
            0 => {
                let first = run(&own)?;
                (first, run(other)?)
            }
            _ => {
                let first = run(other)?;
                (run(&own)?, first)
            }
        };
        if pair.0.results.len() != pair.1.results.len() {
            return Err(Usage(format!("{} measured other combinations", other.display())).into());
        }
        pairs.push(pair);
        let ratios = ratios(&pairs);
        if pairs.len() >= PAIRS || ratios.iter().all(|(steps, _)| Median::settled(steps)) {
            let ratios = report(&pairs[0].0, &ratios);
            return print(
                &Versus {
                    vs: other,
                    pairs: pairs.len(),
                    ratios,
                },
                json,
            );
        }
    }
}

/// For each combination the ratios of steps and of prefills, pair by pair.
fn ratios(pairs: &[(Report, Report)]) -> Vec<(Vec<f64>, Vec<f64>)> {
    (0..pairs[0].0.results.len())
        .map(|at| {
            let of = |ratio: fn(&Measured, &Measured) -> f64| {
                let ratios = pairs
                    .iter()
                    .map(|(own, other)| ratio(&own.results[at], &other.results[at]));
                ratios.collect()
            };
            (
                of(|own, other| own.step_ms / other.step_ms),
                of(|own, other| other.prefill_tokens_per_s / own.prefill_tokens_per_s),
            )
        })
        .collect()
}

fn report(first: &Report, ratios: &[(Vec<f64>, Vec<f64>)]) -> Vec<Ratio> {
    let both = first.results.iter().zip(ratios);
    both.map(|(measured, (steps, prefills))| Ratio {
        method: measured.method.clone(),
        rows: measured.rows,
        context: measured.context,
        step: Median::of(steps),
        prefill: Median::of(prefills),
    })
    .collect()
}

fn print(versus: &Versus<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(versus);
    }
    let mut out = terminal::report();
    writeln!(
        out,
        "time of this build over that of {} ({} pairs in turns; median and its 95% interval)",
        versus.vs.display(),
        versus.pairs
    )?;
    let show = |m: &Median| {
        format!(
            "{:.3} ({:.3} to {:.3})",
            m.median, m.interval[0], m.interval[1]
        )
    };
    writeln!(
        out,
        "{:<7} {:>4} {:>8}  {:<24}  prefill",
        "method", "rows", "context", "step"
    )?;
    for ratio in &versus.ratios {
        writeln!(
            out,
            "{:<7} {:>4} {:>8}  {:<24}  {}",
            ratio.method,
            ratio.rows,
            ratio.context,
            show(&ratio.step),
            show(&ratio.prefill)
        )?;
    }
    Ok(())
}
