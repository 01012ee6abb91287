//! From the arguments to a model that answers: the file, what is asked of it, the memory, the progress.

use super::args::{KernelsArg, ModelArgs};
use super::{bar_style, memory, millis, models, reading, source, tuning};
use crate::store;
use anyhow::Context;
use indicatif::ProgressBar;
use periapt_core::Session;
use periapt_core::device::{self, OpenDevice};
use periapt_core::formats::source::Source;
use periapt_core::session::Classifier;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A session, with what loading it took.
pub(super) struct Loaded {
    pub session: Session,
    pub path: PathBuf,
    /// Bytes of memory that it was predicted to need.
    pub memory: u64,
    pub load_ms: f64,
}

/// Opens the device, finds the model (pulling the default one where it is missing) and loads it.
pub(super) fn load(args: &ModelArgs) -> anyhow::Result<Loaded> {
    let path = model_path(args.model.as_deref())?;
    let device = pollster::block_on(device::open(args.device))?;
    let started = Instant::now();
    let (mut source, memory) = open(&path, args, &device)?;
    let bar = ProgressBar::new(0).with_style(bar_style("loading"));
    let session = Session::load_source(&mut *source, &device, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let mut session = session.with_context(|| format!("cannot load {}", path.display()))?;
    settle(&mut session, args)?;
    Ok(Loaded {
        session,
        path,
        memory,
        load_ms: millis(started),
    })
}

/// The reward model `model`, beside the one that is loaded and on its device, and where it lies. What the arguments ask
/// of the model, they ask of this one, too.
pub(super) fn load_classifier(
    model: &str,
    args: &ModelArgs,
    beside: &Loaded,
) -> anyhow::Result<(Classifier, PathBuf)> {
    let path = model_path(Some(model))?;
    let device = beside.session.device();
    let mut args = args.clone();
    args.leave(beside.memory)?;
    let load = || -> anyhow::Result<Classifier> {
        let (mut source, _) = open(&path, &args, device)?;
        let classifier = Classifier::load_source(&mut *source, device, &mut |_, _| {});
        let mut classifier =
            classifier.with_context(|| format!("cannot load {}", path.display()))?;
        settle(classifier.session_mut(), &args)?;
        Ok(classifier)
    };
    Ok((load().context("--reward-model")?, path))
}

/// The model's tensors, quantized anew where that is asked for, and the memory that it will need; that it is there, is
/// seen to.
fn open(
    path: &Path,
    args: &ModelArgs,
    device: &OpenDevice,
) -> anyhow::Result<(Box<dyn Source>, u64)> {
    let mut source = source::open(path)?;
    if let Some(quantize) = args.quantize {
        source = source::requantize(source, quantize.into(), path)?;
    }
    let memory = memory::check(source.gguf(), args, device)
        .with_context(|| format!("cannot load {}", path.display()))?;
    Ok((source, memory))
}

/// What the arguments ask of a model that is loaded.
fn settle(session: &mut Session, args: &ModelArgs) -> anyhow::Result<()> {
    match args.kernels {
        KernelsArg::Auto => tuning::apply(async |known, now| session.tune(known, now).await)?,
        KernelsArg::Floor => session.use_floor_kernels(),
    }
    if let Some(kv) = args.kv {
        session.kv = kv;
    }
    if let Some(tokens) = args.max_context {
        session.limit_context(tokens);
    }
    session.set_today(args.today());
    session.on_reading(reading::bar());
    Ok(())
}

/// Where the model lies, pulling the default one (or a known one) where it isn't there yet.
pub(super) fn model_path(model: Option<&str>) -> anyhow::Result<PathBuf> {
    match store::resolve(model)? {
        store::Resolved::File(path) => Ok(path),
        store::Resolved::Hub(id) => Ok(models::pull_hub(&store::Store::open()?, &id)?),
        store::Resolved::Known(spec) => {
            let store = store::Store::open()?;
            match store.path(spec.name)? {
                Some(path) => Ok(path),
                None => Ok(models::pull(&store, spec)?),
            }
        }
    }
}
