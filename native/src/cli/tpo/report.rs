//! `periapt tpo report`: records as one self-contained page, or as figures.

use super::super::{Usage, print_json};
use super::figures::{Report, summary};
use super::{page, record};
use crate::output::{self, Existing, Output};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub fn run(files: &[PathBuf], output: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    if output.is_none() && !as_json {
        return Err(
            Usage("name the page to write with --output, or ask for --json".to_owned()).into(),
        );
    }
    if let Some(output) = output {
        output::apart(output, files)?;
    }
    let output = output
        .map(|path| Output::create(path, Existing::Replace))
        .transpose()?;
    let mut reports = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let report = Report::new(name.into_owned(), record::read(path)?);
        reports.push(
            report
                .ok_or_else(|| Usage(format!("{} holds no finished round yet", path.display())))?,
        );
    }
    if as_json {
        let summaries: Vec<Value> = reports.iter().map(summary).collect();
        print_json(&json!({ "records": summaries }))?;
    }
    match output {
        Some(output) => Ok(output.put(page::page(&reports)?.as_bytes())?),
        None => Ok(()),
    }
}
