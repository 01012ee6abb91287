//! `periapt models`, and pulling with a progress bar.

use super::args::{ModelsArgs, ModelsCommand};
use super::{bar_style, print_json};
use crate::store::{
    DEFAULT_MODEL, HubId, ModelSpec, Progress, Resolved, State, Store, StoreError, Verified,
};
use crate::terminal::{self, line};
use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

pub fn run(args: &ModelsArgs) -> anyhow::Result<()> {
    let store = Store::open()?;
    match &args.command {
        ModelsCommand::List { json } => list(&store, *json)?,
        ModelsCommand::Pull { name } => {
            let path = match store.resolve(or_default(name.as_deref()))? {
                Resolved::Known(spec) => pull(&store, spec)?,
                Resolved::File(path) => path,
                Resolved::Hub(id) => pull_hub(&store, &id)?,
            };
            terminal::answer().path(&path)?;
        }
        ModelsCommand::Path { name } => {
            let name = or_default(name.as_deref());
            let path = store.path(name)?.ok_or_else(|| StoreError::NotInStore {
                name: name.to_owned(),
                root: store.root().to_owned(),
            })?;
            terminal::answer().path(&path)?;
        }
        ModelsCommand::Verify { name } => {
            let verified =
                with_bar(|callback| store.verify(or_default(name.as_deref()), callback))?;
            let mut out = terminal::report();
            writeln!(out, "{}", line(&verified.path.display()))?;
            writeln!(
                out,
                "sha256 {} {}",
                verified.sha256,
                line(&verdict(&verified))
            )?;
        }
        ModelsCommand::Inspect(args) => super::inspect::run(args)?,
        ModelsCommand::Convert(args) => super::convert::run(args)?,
        ModelsCommand::Rm { name } => {
            let bytes = store.remove(name)?;
            let (name, bytes) = (line(name), HumanBytes(bytes));
            writeln!(terminal::report(), "removed {name}, {bytes} freed")?;
        }
    }
    Ok(())
}

/// What a verification without a fault has found.
fn verdict(verified: &Verified) -> String {
    match (verified.known, &verified.path) {
        (true, _) => "is right".to_owned(),
        (_, path) if path.is_file() => {
            "is not known, so there is nothing to compare it with".to_owned()
        }
        _ => {
            let files: Vec<_> = verified
                .unknown
                .iter()
                .map(|name| name.escape_debug().to_string())
                .collect();
            format!(
                "is not known as a whole: nobody has told the hashes of {}, so that they were not compared. All other files \
                 are right. (`periapt models rm` and `pull` ask for the hashes of a model that an older version pulled)",
                files.join(", ")
            )
        }
    }
}

/// Pulls a model, saying on stderr what and how large.
pub fn pull(store: &Store, spec: &ModelSpec) -> Result<PathBuf, StoreError> {
    with_bar(|callback| store.pull(spec, callback))
}

/// Pulls a model of the hub, where it isn't there yet.
pub fn pull_hub(store: &Store, id: &HubId) -> Result<PathBuf, StoreError> {
    with_bar(|callback| store.pull_hub(id, callback))
}

fn or_default(name: Option<&str>) -> &str {
    name.unwrap_or(DEFAULT_MODEL.name)
}

/// Runs `work` with a progress bar on stderr; its notices are printed above the bar, and also
/// where stderr is no terminal.
fn with_bar<T>(work: impl FnOnce(&mut dyn FnMut(Progress<'_>)) -> T) -> T {
    let bar = ProgressBar::new(0);
    let result = work(&mut |progress| match progress {
        Progress::Notice(line) => bar.suspend(|| terminal::say(line)),
        Progress::Step {
            phase,
            bytes,
            total,
            ..
        } => {
            bar.set_style(bar_style(&phase.to_string()));
            bar.set_length(total);
            bar.set_position(bytes);
        }
    });
    bar.finish_and_clear();
    result
}

fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let entries = store.list()?;
    let state = |state| match state {
        State::Complete => "complete",
        State::Partial => "partial",
        State::WrongSize => "wrong size",
        State::Unreadable => "unreadable",
    };
    let missing: Vec<_> = store
        .known()
        .iter()
        .filter(|spec| entries.iter().all(|entry| entry.name != spec.name))
        .collect();
    if as_json {
        let models: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "path": entry.path,
                    "bytes": entry.bytes,
                    "state": state(entry.state),
                    "sha256": entry.spec.map(|spec| spec.sha256),
                    "license": entry.spec.map(|spec| spec.license),
                })
            })
            .collect();
        let available: Vec<_> = missing
            .iter()
            .map(|spec| json!({ "name": spec.name, "bytes": spec.bytes, "license": spec.license }))
            .collect();
        return print_json(&json!({
            "store": store.root(),
            "models": models,
            "available": available,
        }));
    }
    let mut out = terminal::report();
    writeln!(out, "store: {}", line(&store.root().display()))?;
    for entry in &entries {
        let size = HumanBytes(entry.bytes).to_string();
        let name = line(&entry.name);
        writeln!(out, "{name:<32} {size:>12}  {}", state(entry.state))?;
    }
    for spec in missing {
        let size = HumanBytes(spec.bytes).to_string();
        writeln!(out, "{:<32} {size:>12}  not pulled yet", spec.name)?;
    }
    Ok(())
}
