//! `periapt models convert`: any model that we read, as one GGUF file.

use super::args::ConvertArgs;
use super::{Usage, bar_style, model_path, source};
use crate::store::StoreError;
use anyhow::Context;
use indicatif::{HumanBytes, ProgressBar};
use periapt_core::Error;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub fn run(args: &ConvertArgs) -> anyhow::Result<()> {
    let output = &args.output;
    if output.is_dir() || output.file_name().is_none() {
        return Err(Usage(format!("{} is no name for a file", output.display())).into());
    }
    refuse_existing(args)?;
    let path = model_path(Some(&args.source))?;
    let mut source = source::open(&path)?;
    if let Some(to) = args.quantize {
        source = source::requantize(source, to.into(), &path)?;
    }
    let scratch = Scratch::beside(output);
    let bar = ProgressBar::new(source.gguf().tensors.iter().map(|info| info.bytes).sum())
        .with_style(bar_style("writing"));
    let io = |action: &'static str| {
        let path = scratch.0.clone();
        move |source| StoreError::Io {
            action,
            path,
            source,
        }
    };
    let file = File::create_new(&scratch.0).map_err(io("write"))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let gguf = source.gguf().clone();
    gguf.write(&mut out, &mut |index| -> Result<_, Error> {
        let bytes = source.read(index)?;
        bar.inc(bytes.len() as u64);
        Ok(Cow::Owned(bytes))
    })
    .with_context(|| format!("cannot convert {} to {}", path.display(), output.display()))?;
    out.flush().map_err(io("write"))?;
    out.get_ref().sync_all().map_err(io("write"))?;
    drop(out);
    refuse_existing(args)?;
    fs::rename(&scratch.0, output).map_err(|source| StoreError::Io {
        action: "write",
        path: output.clone(),
        source,
    })?;
    bar.finish_and_clear();
    let bytes = HumanBytes(bar.position());
    let tensors = gguf.tensors.len();
    writeln!(
        std::io::stdout(),
        "{}: {tensors} tensors, {bytes}",
        output.display()
    )?;
    Ok(())
}

fn refuse_existing(args: &ConvertArgs) -> Result<(), Usage> {
    let output = &args.output;
    match output.exists() && !args.force {
        true => Err(Usage(format!(
            "{} is there already; --force writes over it",
            output.display()
        ))),
        false => Ok(()),
    }
}

/// A file that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(output: &Path) -> Self {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        Self(output.with_file_name(format!(".{name}.{}.tmp", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After a rename it is gone already; there is nothing to do about another failure.
        let _ = fs::remove_file(&self.0);
    }
}
