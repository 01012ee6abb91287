//! `periapt models`, and pulling with a progress bar.

use super::args::{ModelsArgs, ModelsCommand};
use super::doctor::available_memory;
use super::memory::{self, Fit};
use super::{bar_style, print_json};
use crate::store::{
    Entry, HubId, ModelSpec, Progress, Resolved, Standing, State, Store, StoreError, Verified,
    catalogue,
};
use crate::terminal::{self, line};
use indicatif::{HumanBytes, ProgressBar};
use serde_json::{Value, json};
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
    name.unwrap_or(catalogue().default_model().name)
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

/// A model of the catalogue, what there is of it, and the memory it takes.
struct Row {
    spec: &'static ModelSpec,
    here: Option<Standing>,
    memory: Fit,
    /// Whether that is there; of a machine that doesn't say how much it has, nobody knows.
    fits: Option<bool>,
}

impl Row {
    fn new(store: &Store, spec: &'static ModelSpec, available: Option<u64>) -> Self {
        // What can't be looked at is told where the model is used.
        let here = store.standing(spec).ok().flatten();
        let whole = here.as_ref().filter(|here| here.state == State::Complete);
        let memory = whole.and_then(|here| Fit::of_file(&here.path));
        let memory = memory.unwrap_or_else(|| Fit::estimate(spec.bytes));
        Self {
            spec,
            here,
            memory,
            fits: available.map(|available| memory.bytes <= available),
        }
    }

    /// Its file, where that is whole.
    fn whole(&self) -> Option<&Standing> {
        let here = self.here.as_ref();
        here.filter(|here| here.state == State::Complete)
    }

    fn state(&self) -> &'static str {
        self.here
            .as_ref()
            .map_or("missing", |here| state(here.state))
    }

    fn json(&self) -> Value {
        let (spec, here) = (self.spec, self.here.as_ref());
        let whole = self.whole();
        json!({
            "name": spec.name,
            "aliases": spec.aliases,
            "title": spec.title,
            "license": spec.license,
            "bytes": whole.map_or(spec.bytes, |here| here.bytes),
            "bytes_exact": spec.sha256.is_some() || whole.is_some(),
            "sha256": here.and_then(|here| here.sha256.as_deref()).or(spec.sha256),
            "default": std::ptr::eq(spec, catalogue().default_model()),
            "state": self.state(),
            "path": here.map(|here| &here.path),
            "memory_bytes": self.memory.bytes,
            "memory_estimated": self.memory.is_estimate,
            "fits": self.fits,
            "recommended": spec.recommended,
        })
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let spec = self.spec;
        let about = |is_rough: bool| if is_rough { "about " } else { "" };
        let whole = self.whole();
        let bytes = whole.map_or(spec.bytes, |here| here.bytes);
        let size = format!(
            "{}{}",
            about(spec.sha256.is_none() && whole.is_none()),
            HumanBytes(bytes)
        );
        let here = match self.here.as_ref().map(|here| here.state) {
            Some(State::Complete) => "here",
            None => "not pulled yet",
            Some(other) => state(other),
        };
        let fits = match self.fits {
            Some(true) => "fits",
            Some(false) => "does not fit",
            None => "takes",
        };
        writeln!(
            out,
            "{:<19} {size:>17}  {:<20} {here:<14}  {fits} ({}{})",
            spec.name,
            spec.license,
            about(self.memory.is_estimate),
            HumanBytes(self.memory.bytes)
        )
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Complete => "complete",
        State::Partial => "partial",
        State::WrongSize => "wrong size",
        State::Unreadable => "unreadable",
    }
}

fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let entries = store.list()?;
    let available = memory::said()?.or_else(available_memory);
    let known = store.known().iter();
    let rows: Vec<Row> = known.map(|spec| Row::new(store, spec, available)).collect();
    if as_json {
        let models: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "path": entry.path,
                    "bytes": entry.bytes,
                    "state": state(entry.state),
                    "sha256": entry.spec.and_then(|spec| spec.sha256),
                    "license": entry.spec.map(|spec| spec.license),
                })
            })
            .collect();
        let missing = rows.iter().filter(|row| row.here.is_none());
        let missing = missing.map(|Row { spec, .. }| {
            json!({ "name": spec.name, "bytes": spec.bytes, "license": spec.license })
        });
        return print_json(&json!({
            "store": store.root(),
            "models": models,
            "available": missing.collect::<Vec<_>>(),
            "catalogue": rows.iter().map(Row::json).collect::<Vec<_>>(),
            "memory_available_bytes": available,
        }));
    }
    let mut out = terminal::report();
    writeln!(out, "store: {}", line(&store.root().display()))?;
    match available {
        Some(bytes) => writeln!(
            out,
            "memory for two rows of an answer, of {} that are free:",
            HumanBytes(bytes)
        )?,
        None => writeln!(out, "memory for two rows of an answer:")?,
    }
    for row in &rows {
        row.print(&mut out)?;
    }
    writeln!(out, "default: {}", catalogue().default_model().name)?;
    let is_known = |path: &PathBuf| {
        let mut here = rows.iter().filter_map(|row| row.here.as_ref());
        here.any(|here| here.path == *path)
    };
    // A repository's folder with nothing but known models was told already.
    let is_told = |entry: &Entry| {
        let files = store.hub_ggufs(&entry.path).unwrap_or_default();
        entry.spec.is_some() || !files.is_empty() && files.iter().all(|file| is_known(&file.path))
    };
    let others = entries.iter().filter(|entry| !is_told(entry));
    for (number, entry) in others.enumerate() {
        if number == 0 {
            writeln!(out, "others in the store:")?;
        }
        let size = HumanBytes(entry.bytes).to_string();
        let name = line(&entry.name);
        writeln!(out, "{name:<32} {size:>12}  {}", state(entry.state))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is told that a model fits should not be refused when it is there.
    #[test]
    fn what_is_not_here_yet_is_estimated_above_what_it_takes() {
        // Of `models inspect`: two rows of 2,048 tokens on the CPU.
        for (name, taken) in [
            ("smollm2:135m", 281 << 20),
            ("qwen2.5-coder:0.5b", 601 << 20),
            ("qwen2.5-coder:1.5b", 1321 << 20),
        ] {
            let spec = catalogue().models.iter().find(|spec| spec.is_called(name));
            let estimate = spec.map(|spec| Fit::estimate(spec.bytes).bytes);
            let estimate = estimate.unwrap_or_default();
            assert!(
                (taken..2 * taken).contains(&estimate),
                "{name}: {estimate} for {taken}"
            );
        }
    }
}
