//! What is known of a person, in words and as JSON.

use super::file;
use crate::cli::args::ShowArgs;
use crate::cli::{Usage, print_json};
use crate::store::{self, Recommended};
use crate::terminal;
use periapt_core::decoding::Strength;
use periapt_core::persona::{AXES, Known, Lean, Measured, Persona};
use std::io::Write;

/// Half the width of a bar, in characters; so many standard deviations of the prior it stands for.
const HALF: usize = 10;
const REACH: f64 = 2.0;

pub fn run(args: &ShowArgs) -> anyhow::Result<()> {
    args.strength
        .check_ranges()
        .map_err(|error| Usage(error.to_string()))?;
    let persona = file::read(&file::path(args.file.persona.as_deref())?)?;
    let model = known(args.model.as_deref())?;
    match args.json {
        true => print_json(&Known::of(&persona, model, strength(model, args.strength))),
        false => report(&persona, model, Some(args.strength)),
    }
}

/// The catalogue's name of a model, of the default one where none is named.
pub fn known(model: Option<&str>) -> anyhow::Result<Option<&'static str>> {
    Ok(store::known(model)?.map(|spec| spec.name))
}

/// What was measured to suit a model.
pub fn suits(model: Option<&str>) -> Option<Recommended> {
    let mut all = store::catalogue().models.iter();
    all.find(|spec| Some(spec.name) == model)?.recommended
}

/// How far to lean in all: what suits the model, unless something else was asked for.
pub fn strength(model: Option<&str>, given: Strength) -> f64 {
    match suits(model).filter(|_| given == Strength::default()) {
        Some(suits) => suits.strength,
        None => given.strength,
    }
}

/// What leaning comes to, in words.
pub fn leaning(leans: &[Lean]) -> String {
    let one = |lean: &Lean| format!("{} (k = {:.2})", lean.towards(), lean.k.abs());
    match leans {
        [] => "leans nowhere yet".to_owned(),
        leans => {
            let all: Vec<String> = leans.iter().map(one).collect();
            format!("leans towards {}", all.join(" and "))
        }
    }
}

/// All that is known, a bar an axis.
pub fn report(
    persona: &Persona,
    model: Option<&str>,
    given: Option<Strength>,
) -> anyhow::Result<()> {
    let posterior = persona.posterior();
    let deviations = posterior.deviations();
    let measured = Measured::of(model);
    let mut out = terminal::report();
    let choices = match persona.choices().len() {
        1 => "1 choice".to_owned(),
        count => format!("{count} choices"),
    };
    let paused = match persona.is_paused() {
        true => ", paused",
        false => "",
    };
    writeln!(out, "{choices}{paused}")?;
    for (i, axis) in AXES.iter().enumerate() {
        let (mean, deviation) = (posterior.mean[i], deviations[i]);
        let note = match persona.held()[i] {
            Some(0.0) => "taken away".to_owned(),
            Some(_) => "set by hand".to_owned(),
            None if model.is_some() && !measured.moves(i) => {
                format!("± {deviation:.2}; this model can't be moved along it")
            }
            None => format!("± {deviation:.2}"),
        };
        let (minus, plus) = (axis.minus.name, axis.plus.name);
        writeln!(
            out,
            "{minus:>9} {} {plus:<9} {mean:>+5.2} {note}",
            bar(mean)
        )?;
    }
    if let Some(given) = given {
        let leans = persona.leans(measured, strength(model, given));
        writeln!(out, "the next answer {}", leaning(&leans))?;
        if !measured.is_of(model) {
            writeln!(
                out,
                "(this model was not measured: it is taken to be like {})",
                measured.model
            )?;
        }
    }
    Ok(())
}

/// A weight as a bar about the middle.
fn bar(weight: f64) -> String {
    let length = (weight.abs() / REACH * HALF as f64).round() as usize;
    let full = "#".repeat(length.min(HALF));
    match weight < 0.0 {
        true => format!("[{full:>HALF$}|{:HALF$}]", ""),
        false => format!("[{:HALF$}|{full:<HALF$}]", ""),
    }
}
