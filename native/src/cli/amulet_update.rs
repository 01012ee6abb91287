//! `periapt amulet-update`: the update on logits from a file, to compare with other sources.

use super::args::{AmuletUpdateArgs, Form};
use super::{Usage, input, print_json};
use crate::store::StoreError;
use crate::terminal;
use periapt_core::decoding::{AmuletParams, DecodingError, amulet};
use periapt_core::device::{self, OpenDevice};
use periapt_core::session::read;
use serde::{Deserialize, Serialize};
use std::io::Write;

#[derive(Deserialize)]
struct Input {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    alpha: f64,
    lam: f64,
    eta: f64,
    iterations: u32,
    base_logits: Vec<f32>,
    pref_logits: Vec<f32>,
}

#[derive(Serialize)]
struct Output {
    cases: Vec<Updated>,
}

#[derive(Serialize)]
struct Updated {
    log_policy: Vec<f32>,
    argmax: usize,
}

pub fn run(args: &AmuletUpdateArgs) -> anyhow::Result<()> {
    let bytes = std::fs::read(&args.file).map_err(|source| StoreError::Io {
        action: "read",
        path: args.file.clone(),
        source,
    })?;
    let text = input::decode(bytes, &args.file.display().to_string())?;
    let input: Input = serde_json::from_str(&text).map_err(|error| {
        Usage(format!(
            "{} is not JSON of the form {{\"cases\": [{{\"base_logits\", \"pref_logits\", \
             \"alpha\", \"lam\", \"eta\", \"iterations\"}}]}}: {error}",
            args.file.display()
        ))
    })?;
    let device = pollster::block_on(device::open(args.device))?;
    let cases = input
        .cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            update(case, args.form, &device)
                .map_err(|error| anyhow::Error::from(error).context(format!("case {index}")))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    if args.json {
        return print_json(&Output { cases });
    }
    let mut out = terminal::report();
    for (index, (case, updated)) in input.cases.iter().zip(&cases).enumerate() {
        let best = updated.log_policy[updated.argmax];
        writeln!(
            out,
            "case {index}: {} tokens, k = {:.4}, best {} (log-probability {best:.4})",
            case.base_logits.len(),
            params(case).strength(),
            updated.argmax,
        )?;
    }
    Ok(())
}

fn params(case: &Case) -> AmuletParams {
    AmuletParams {
        alpha: case.alpha,
        lambda: case.lam,
        eta: case.eta,
        iterations: case.iterations,
    }
}

fn update(case: &Case, form: Form, device: &OpenDevice) -> Result<Updated, periapt_core::Error> {
    let params = params(case);
    params.validate()?;
    let (base, pref) = amulet::tensors(&case.base_logits, &case.pref_logits, &device.device)?;
    let log_policy = match form {
        Form::Collapsed => amulet::collapsed(pref, base, &params),
        Form::Iterative => amulet::iterative(pref, base, &params),
    };
    let log_policy = pollster::block_on(read(log_policy, device))?;
    let argmax = (0..log_policy.len())
        .max_by(|a, b| log_policy[*a].total_cmp(&log_policy[*b]).then(b.cmp(a)))
        .ok_or(DecodingError::NoLogits)?;
    Ok(Updated { log_policy, argmax })
}
