//! What is known of a person, as every face tells it.

use super::Persona;
use super::axes::AXES;
use super::lean::{Lean, drawn, instruction, leans};
use super::measured::Measured;
use serde::Serialize;

/// An axis with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct KnownAxis {
    /// Its name.
    pub name: &'static str,
    /// The name of its minus.
    pub minus: &'static str,
    /// The name of its plus.
    pub plus: &'static str,
    /// The end that the person is on.
    pub towards: &'static str,
    /// The person's weight, below 0 towards the minus.
    pub weight: f64,
    /// How unsure that is: a standard deviation.
    pub deviation: f64,
    /// The weight that was set by hand, 0 for an axis that was taken away.
    pub held: Option<f64>,
    /// Whether the model can be moved along it.
    pub moves: bool,
}

/// Leaning along an axis, by its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct KnownLean {
    /// The axis.
    pub axis: &'static str,
    /// The end that is leaned towards.
    pub towards: &'static str,
    /// k: below 0 towards the minus.
    pub k: f64,
}

impl From<&Lean> for KnownLean {
    fn from(lean: &Lean) -> Self {
        Self {
            axis: AXES[lean.axis].name,
            towards: lean.towards(),
            k: lean.k,
        }
    }
}

/// All that is known of a person, and what follows for answers by a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Known {
    /// How many choices stand behind it.
    pub choices: usize,
    /// Whether it neither learns nor leans for now.
    pub paused: bool,
    /// Every axis.
    pub axes: Vec<KnownAxis>,
    /// The model's name in the catalogue.
    pub model: Option<String>,
    /// Whether the model was measured; one that was not is taken to be like another.
    pub measured: bool,
    /// How far answers lean in all.
    pub strength: f64,
    /// How the next answer leans.
    pub leans: Vec<KnownLean>,
    /// How one leans that is written to learn from: for a draw of who the person may be.
    pub drawn: Vec<KnownLean>,
    /// What to tell a model that is only told.
    pub told: Option<String>,
}

impl Known {
    /// Of `persona`, for answers of a model of this name at a slider's `strength`.
    #[must_use]
    pub fn of(persona: &Persona, model: Option<&str>, strength: f64) -> Self {
        let posterior = persona.posterior();
        let deviations = posterior.deviations();
        let measured = Measured::of(model);
        let seed = persona.choices().len() as u64;
        let (own, drawn) = match persona.is_paused() {
            true => (Vec::new(), Vec::new()),
            false => (
                leans(&posterior, measured, strength),
                drawn(&posterior, measured, strength, seed),
            ),
        };
        let axis = |(i, axis): (usize, &super::Axis)| KnownAxis {
            name: axis.name,
            minus: axis.minus.name,
            plus: axis.plus.name,
            towards: axis.pole(posterior.mean[i]).name,
            weight: posterior.mean[i],
            deviation: deviations[i],
            held: persona.held()[i],
            moves: measured.moves(i),
        };
        Self {
            choices: persona.choices().len(),
            paused: persona.is_paused(),
            axes: AXES.iter().enumerate().map(axis).collect(),
            model: model.map(str::to_owned),
            measured: measured.is_of(model),
            strength,
            leans: own.iter().map(KnownLean::from).collect(),
            drawn: drawn.iter().map(KnownLean::from).collect(),
            told: instruction(&own),
        }
    }
}
