//! `periapt models convert`: any model that we read, as one GGUF file.

use super::args::ConvertArgs;
use super::{bar_style, model_path, source};
use crate::output::{Existing, Output};
use crate::terminal::{self, line};
use anyhow::Context;
use indicatif::{HumanBytes, ProgressBar};
use periapt_core::Error;
use std::borrow::Cow;
use std::io::Write;

pub fn run(args: &ConvertArgs) -> anyhow::Result<()> {
    let existing = match args.force {
        true => Existing::Replace,
        false => Existing::Keep,
    };
    let mut output = Output::create(&args.output, existing)?;
    let path = model_path(Some(&args.source))?;
    let mut source = source::open(&path)?;
    output.apart_from(source::files(&path)?)?;
    if let Some(to) = args.quantize {
        source = source::requantize(source, to.into(), &path)?;
    }
    let bar = ProgressBar::new(source.gguf().tensors.iter().map(|info| info.bytes).sum())
        .with_style(bar_style("writing"));
    let gguf = source.gguf().clone();
    gguf.write(&mut output, &mut |index| -> Result<_, Error> {
        let bytes = source.read(index)?;
        bar.inc(bytes.len() as u64);
        Ok(Cow::Owned(bytes))
    })
    .with_context(|| {
        format!(
            "cannot convert {} to {}",
            path.display(),
            args.output.display()
        )
    })?;
    let is_direct = output.is_direct();
    output.finish()?;
    bar.finish_and_clear();
    let said = format!(
        "{}: {} tensors, {}",
        line(&args.output.display()),
        gguf.tensors.len(),
        HumanBytes(bar.position())
    );
    match is_direct {
        // Standard output may be the model itself.
        true => terminal::say(&said),
        false => writeln!(terminal::report(), "{said}")?,
    }
    Ok(())
}
