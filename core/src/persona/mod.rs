//! A person's preferences, learnt from which of two answers they take, on their own device.
//!
//! Answers stand somewhere on a few bipolar [axes](AXES), by what can be counted in their texts ([`features`]). A choice between two says on which side of their
//! difference a person is ([`Posterior`]); what is known leans the next answers ([`leans`]). A [`Persona`] is what is kept: numbers, and
//! never a text. How well it works for which model is measured in `benches/evidence/learn`; the idea of sparse attributes by
//! contrasted prompts is that of Drift (arXiv 2502.14289), learning a person as weights over few features that of PReF (2503.06358),
//! asking where most is learnt that of T-POP (2509.24696).

mod axes;
mod features;
mod known;
mod lean;
mod linear;
mod measured;
mod posterior;
mod ratios;
#[cfg(test)]
mod tests;

pub use axes::{AXES, Axis, K, LENGTH, OfAxes, Pole, axis};
pub use features::features;
pub use known::{Known, KnownAxis, KnownLean};
pub use lean::{Lean, MOST, drawn, instruction, leans, method, streams};
pub use linear::Matrix;
pub use measured::Measured;
pub use posterior::{Choice, FORGETTING, Posterior, SLIPS, Taken, p_first};
pub use ratios::{CLIP, Ratios, ratios};

use serde::{Deserialize, Serialize};

/// What the form of a persona's file is called.
pub const FORMAT: &str = "periapt-persona/1";
/// Choices that are kept: what came before weighs less than a thousandth of the last one.
pub const MOST_CHOICES: usize = 400;
/// How far a weight can be set by hand.
pub const MOST_WEIGHT: f64 = 5.0;

/// Why something is no persona.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonaError {
    /// Not its form.
    #[error("this is no persona: {0}")]
    NoPersona(String),
    /// An axis that there is not.
    #[error("there is no axis {name:?}: there are {}", AXES.map(|axis| axis.name).join(", "))]
    NoAxis {
        /// What was asked for.
        name: String,
    },
    /// A weight that can't be.
    #[error("a weight must be a number from -{MOST_WEIGHT} to {MOST_WEIGHT}, and this is {0}")]
    BadWeight(String),
}

/// What is kept of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct Persona {
    format: String,
    /// The axes that the numbers are of, in their order.
    axes: Vec<String>,
    /// What was chosen, the latest last.
    choices: Vec<Choice>,
    /// Weights that were set by hand, 0 for an axis that was taken away.
    held: [Option<f64>; K],
    /// Whether it neither learns nor leans for now.
    paused: bool,
}

impl Default for Persona {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            axes: AXES.map(|axis| axis.name.to_owned()).to_vec(),
            choices: Vec::new(),
            held: [None; K],
            paused: false,
        }
    }
}

impl Persona {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`PersonaError::NoPersona`] where it is none, or its numbers can't be.
    pub fn parse(json: &str) -> Result<Self, PersonaError> {
        let wrong = |what: &str| Err(PersonaError::NoPersona(what.to_owned()));
        let persona: Self = serde_json::from_str(json)
            .map_err(|error| PersonaError::NoPersona(error.to_string()))?;
        if persona.format != FORMAT {
            return wrong(&format!("its format is not {FORMAT}"));
        }
        if persona.axes != Self::default().axes {
            return wrong("its axes are not this version's");
        }
        if persona.choices.len() > MOST_CHOICES {
            return wrong(&format!("it holds more than {MOST_CHOICES} choices"));
        }
        let numbers = persona.choices.iter().flat_map(|choice| choice.difference);
        if numbers
            .into_iter()
            .any(|number| !is_within(number, FARTHEST))
        {
            return wrong("a difference in it is no number, or beyond all measure");
        }
        let held = persona.held.into_iter().flatten();
        if held
            .into_iter()
            .any(|weight| !is_within(weight, MOST_WEIGHT))
        {
            return wrong("a weight in it is too large");
        }
        Ok(persona)
    }

    /// What was chosen, the latest last.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Weights that were set by hand.
    #[must_use]
    pub fn held(&self) -> &[Option<f64>; K] {
        &self.held
    }

    /// Whether it neither learns nor leans for now.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Has it neither learn nor lean, or do both again.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Learns from a choice between answers with these features, in standard deviations; one that is paused does not.
    pub fn learn(&mut self, first: &OfAxes, second: &OfAxes, taken: Taken) {
        if self.paused {
            return;
        }
        let difference = |i: usize| {
            let difference = first[i] - second[i];
            match difference.is_finite() {
                true => difference.clamp(-FARTHEST, FARTHEST),
                false => 0.0,
            }
        };
        self.choices.push(Choice {
            difference: std::array::from_fn(difference),
            taken,
        });
        let surplus = self.choices.len().saturating_sub(MOST_CHOICES);
        self.choices.drain(..surplus);
    }

    /// The same between two texts, as they stand with a model of which `measured` is known.
    pub fn learn_from(&mut self, measured: &Measured, first: &str, second: &str, taken: Taken) {
        let of = |text| measured.standard(&features(text));
        self.learn(&of(first), &of(second), taken);
    }

    /// Takes the last choice back; false where there is none.
    pub fn undo(&mut self) -> bool {
        self.choices.pop().is_some()
    }

    /// Sets an axis' weight by hand, or has it learnt again.
    ///
    /// # Errors
    ///
    /// [`PersonaError::BadWeight`] for what is too large, and [`PersonaError::NoAxis`].
    pub fn hold(&mut self, axis: usize, weight: Option<f64>) -> Result<(), PersonaError> {
        if let Some(weight) = weight
            && !is_within(weight, MOST_WEIGHT)
        {
            return Err(PersonaError::BadWeight(weight.to_string()));
        }
        let held = self.held.get_mut(axis);
        *held.ok_or_else(|| PersonaError::NoAxis {
            name: axis.to_string(),
        })? = weight;
        Ok(())
    }

    /// What is known of the person.
    #[must_use]
    pub fn posterior(&self) -> Posterior {
        Posterior::of(&self.choices, &self.held)
    }

    /// How to lean for the person; not at all while it is paused.
    #[must_use]
    pub fn leans(&self, measured: &Measured, strength: f64) -> Vec<Lean> {
        match self.paused {
            true => Vec::new(),
            false => leans(&self.posterior(), measured, strength),
        }
    }
}

/// How to lean for each of `count` answers to one question, of which two are shown: the first as the estimate has it, the others for
/// draws of who the person may be.
#[must_use]
pub fn plans(
    posterior: &Posterior,
    measured: &Measured,
    strength: f64,
    count: usize,
    seed: u64,
) -> Vec<Vec<Lean>> {
    let plan = |at: usize| match at {
        0 => leans(posterior, measured, strength),
        at => drawn(posterior, measured, strength, seed.wrapping_add(at as u64)),
    };
    (0..count).map(plan).collect()
}

/// Which two of these answers to show: those whose choice says most. `None` where no two differ.
#[must_use]
pub fn pair(posterior: &Posterior, measured: &Measured, answers: &[&str]) -> Option<[usize; 2]> {
    let mut places: Vec<usize> = Vec::new();
    for (place, text) in answers.iter().enumerate() {
        let is_new = !places.iter().any(|other| answers[*other] == *text);
        if is_new && !text.trim().is_empty() {
            places.push(place);
        }
    }
    let features: Vec<OfAxes> = places
        .iter()
        .map(|place| measured.standard(&features(answers[*place])))
        .collect();
    let [a, b] = posterior.best_pair(&features)?;
    Some([places[a], places[b]])
}

/// False for what is no number, too.
fn is_within(value: f64, most: f64) -> bool {
    value.abs() <= most
}

/// Standard deviations that two answers may be apart and mean anything.
const FARTHEST: f64 = 10.0;
