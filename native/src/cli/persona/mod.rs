//! `periapt persona`: what is known of a person, and the ways to look at it and change it.

pub(super) mod file;
mod rate;
mod show;

use super::args::{EditArgs, PersonaArgs, PersonaCommand, PersonaFile};
use super::{Usage, print_json};
use crate::terminal;
use crate::{output, say};
use anyhow::Context;
use periapt_core::decoding::Strength;
use periapt_core::persona::{AXES, Lean, Measured, PersonaError, instruction};
use serde_json::{Value, json};
pub(super) use show::{known, leaning, report, strength, suits};
use std::fs;
use std::io::Write;
use std::path::Path;

pub fn run(args: &PersonaArgs) -> anyhow::Result<()> {
    match &args.command {
        PersonaCommand::Show(args) => show::run(args),
        PersonaCommand::Edit(args) => edit(args),
        PersonaCommand::Export { file, output } => export(file, output),
        PersonaCommand::Import { file, input } => import(file, input),
        PersonaCommand::Forget { file } => forget(file),
        PersonaCommand::Axes { json } => axes(*json),
        PersonaCommand::Rate(args) => rate::run(args),
    }
}

/// How to lean for the person whose persona a file is, by a model of this name.
pub(super) fn leans(
    file: &Path,
    model: Option<&str>,
    given: Strength,
) -> anyhow::Result<Vec<Lean>> {
    given
        .check_ranges()
        .map_err(|error| Usage(error.to_string()))?;
    let persona = file::read(&file::path(Some(file))?)?;
    let model = known(model)?;
    Ok(persona.leans(Measured::of(model), strength(model, given)))
}

/// The same in words, for a prompt; `file` is where they are from.
pub(super) fn told(file: &Path, leans: &[Lean]) -> Result<String, Usage> {
    let nothing = || {
        Usage(format!(
            "--persona {}: nothing is known of this person yet; `periapt learn` asks",
            file.display()
        ))
    };
    instruction(leans).ok_or_else(nothing)
}

/// AXIS=NUMBER, as `option` has it.
pub(super) fn along(option: &str, given: &str) -> Result<Lean, Usage> {
    let wrong = |what: String| Usage(format!("{option} {given:?}: {what}"));
    let (name, number) = given
        .split_once('=')
        .ok_or_else(|| wrong("this is no AXIS=NUMBER".to_owned()))?;
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| wrong(format!("{number:?} is no number")))?;
    Lean::along(name.trim(), number).map_err(|error| wrong(error.to_string()))
}

fn edit(args: &EditArgs) -> anyhow::Result<()> {
    let path = file::path(args.file.persona.as_deref())?;
    let mut persona = file::read_or_new(&path)?;
    let before = persona.clone();
    for given in &args.hold {
        let Lean { axis, k } = along("--hold", given)?;
        let held = persona.hold(axis, Some(k));
        held.map_err(|error| Usage(format!("--hold {given:?}: {error}")))?;
    }
    for name in &args.release {
        let wrong = |error: PersonaError| Usage(format!("--release: {error}"));
        let Lean { axis, .. } = Lean::along(name, 0.0).map_err(wrong)?;
        persona.hold(axis, None).map_err(wrong)?;
    }
    if args.undo && !persona.undo() {
        return Err(Usage("there is no choice to take back".to_owned()).into());
    }
    if args.pause || args.resume {
        persona.pause(args.pause);
    }
    if persona == before {
        say!("nothing was changed");
        return Ok(());
    }
    file::write(&path, &persona)?;
    report(&persona, None, None)
}

fn export(own: &PersonaFile, to: &Path) -> anyhow::Result<()> {
    let path = file::path(own.persona.as_deref())?;
    let persona = file::read(&path)?;
    output::apart(to, [&path])?;
    file::write(to, &persona)
}

fn import(own: &PersonaFile, from: &Path) -> anyhow::Result<()> {
    let path = file::path(own.persona.as_deref())?;
    output::apart(&path, [from])?;
    let persona = file::read(from)?;
    let old = path.with_extension("json.old");
    if path.exists() {
        fs::rename(&path, &old).with_context(|| format!("cannot keep {}", path.display()))?;
        say!("what was there is now {}", old.display());
    }
    file::write(&path, &persona)
}

fn forget(own: &PersonaFile) -> anyhow::Result<()> {
    let path = file::path(own.persona.as_deref())?;
    let known = file::read(&path)?;
    let cannot = || format!("cannot delete {}", path.display());
    fs::remove_file(&path).with_context(cannot)?;
    // What an import put aside is of the same person.
    let old = path.with_extension("json.old");
    if old.exists() {
        fs::remove_file(&old).with_context(cannot)?;
    }
    say!("{} choices are forgotten", known.choices().len());
    Ok(())
}

fn axes(json: bool) -> anyhow::Result<()> {
    if json {
        let axes: Vec<Value> = AXES
            .iter()
            .map(|axis| {
                let [minus, plus] = [axis.minus, axis.plus]
                    .map(|pole| json!({ "name": pole.name, "instruction": pole.instruction }));
                json!({ "name": axis.name, "minus": minus, "plus": plus })
            })
            .collect();
        return print_json(&json!({ "axes": axes }));
    }
    let mut out = terminal::report();
    for axis in AXES {
        writeln!(out, "{}", axis.name)?;
        for pole in [axis.minus, axis.plus] {
            writeln!(out, "    {:<10} {}", pole.name, pole.instruction)?;
        }
    }
    Ok(())
}
