//! From the arguments to a model that answers: the file, what is asked of it, the memory, the progress.

use super::args::{KernelsArg, LoadArgs, ModelArgs};
use super::memory::{self, Available};
use super::{bar_style, millis, models, reading, source, tuning};
use crate::store;
use anyhow::Context;
use indicatif::ProgressBar;
use periapt_core::device::{self, OpenDevice};
use periapt_core::formats::source::Source;
use periapt_core::load::{LoadError, Model, SourceLoader};
use periapt_core::session::Classifier;
use periapt_core::{Error, Session};
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

/// Finds the model (pulling the default one where it is missing), and loads it as [`load_at`] does.
pub(super) fn load(args: &ModelArgs) -> anyhow::Result<Loaded> {
    load_at(model_path(args.model.as_deref())?, &args.load)
}

/// Opens the device and loads the model at `path`.
fn load_at(path: PathBuf, args: &LoadArgs) -> anyhow::Result<Loaded> {
    let device = pollster::block_on(device::open(args.device))?;
    pollster::block_on(load_on(path, args, &device, async || ()))
}

/// Loads the model at `path` onto `device`; others have their turn `between` its tensors.
pub(super) async fn load_on(
    path: PathBuf,
    args: &LoadArgs,
    device: &OpenDevice,
    between: impl AsyncFn(),
) -> anyhow::Result<Loaded> {
    let started = Instant::now();
    let bar = ProgressBar::new(0).with_style(bar_style("loading"));
    let loaded = load_as(
        &path,
        args,
        device,
        &bar,
        between,
        Session::new,
        |session| session,
    );
    let (session, memory) = loaded.await?;
    Ok(Loaded {
        session,
        path,
        memory,
        load_ms: millis(started),
    })
}

/// The reward model `model`, beside the one that is loaded and on its device, where there is one, and where it lies. What the
/// arguments ask of the model, they ask of this one, too.
pub(super) fn load_classifier(
    model: &str,
    args: &LoadArgs,
    beside: Option<&Loaded>,
) -> anyhow::Result<(Classifier, PathBuf)> {
    let path = model_path(Some(model))?;
    let mut args = args.clone();
    let device = match beside {
        Some(loaded) => {
            args.leave(loaded.memory)?;
            loaded.session.device().clone()
        }
        None => pollster::block_on(device::open(args.device))?,
    };
    let (bar, session) = (ProgressBar::hidden(), Classifier::session_mut);
    let at_once = async || ();
    let loaded = load_as(
        &path,
        &args,
        &device,
        &bar,
        at_once,
        Classifier::new,
        session,
    );
    let loaded = pollster::block_on(loaded).context("--reward-model")?;
    Ok((loaded.0, path))
}

/// Opens the model at `path`, quantized anew where that is asked for.
pub(super) fn open(path: &Path, args: &LoadArgs) -> anyhow::Result<Box<dyn Source>> {
    let source = source::open(path)?;
    match args.quantize {
        Some(quantize) => source::requantize(source, quantize.into(), path),
        None => Ok(source),
    }
}

/// Loads the model at `path` as what `new` makes of it, and has its `session` compute as the arguments ask. Gives the bytes of
/// memory that it needs, too; that they are there is seen to first.
async fn load_as<M>(
    path: &Path,
    args: &LoadArgs,
    device: &OpenDevice,
    bar: &ProgressBar,
    between: impl AsyncFn(),
    new: impl FnOnce(Model) -> Result<M, Error>,
    session: impl FnOnce(&mut M) -> &mut Session,
) -> anyhow::Result<(M, u64)> {
    let cannot_load = || format!("cannot load {}", path.display());
    let mut source = open(path, args)?;
    let available = Available::of(args, device)?;
    let need = memory::check(source.gguf(), args, device, available).with_context(cannot_load)?;
    let loaded = read(&mut *source, device, bar, between).await;
    bar.finish_and_clear();
    let model = loaded.map_err(Error::from).and_then(new);
    let mut model = model.with_context(cannot_load)?;
    let session = session(&mut model);
    settle(session, args)?;
    session.keeps = match args.cache {
        Some(bytes) => bytes,
        None => need
            .spare
            .map_or(memory::KEEPS, |spare| spare.min(memory::KEEPS)),
    };
    Ok((model, need.bytes))
}

async fn read(
    source: &mut dyn Source,
    device: &OpenDevice,
    bar: &ProgressBar,
    between: impl AsyncFn(),
) -> Result<Model, LoadError> {
    let mut loader = SourceLoader::new(source, device)?;
    bar.set_length(loader.total());
    while loader.step()? {
        bar.set_position(loader.done());
        between().await;
    }
    loader.finish()
}

/// What the arguments ask of a model that is loaded.
fn settle(session: &mut Session, args: &LoadArgs) -> anyhow::Result<()> {
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
