//! Learning from choices: what is asked, and what comes back.

use super::BadRequest;
use crate::persona::{Known, Measured, Persona, Taken};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What becomes of a persona.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub enum PersonaChange {
    /// One of two answers was taken.
    Choice {
        /// The first one's text, of which numbers alone are kept.
        first: String,
        /// The second one's.
        second: String,
        /// Which it was.
        taken: Taken,
    },
    /// The last choice is taken back.
    Undo,
    /// A weight is set by hand, or learnt again where there is none.
    Hold {
        /// The axis' place.
        axis: usize,
        /// The weight.
        weight: Option<f64>,
    },
    /// It neither learns nor leans, or does both again.
    Pause {
        /// Which.
        paused: bool,
    },
}

/// A persona, and what to do with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct PersonaParams {
    /// As it was kept; `null` for a new one.
    #[cfg_attr(feature = "contract", ts(type = "Persona | null"))]
    pub persona: Option<Value>,
    /// The model's name in the catalogue.
    pub model: Option<String>,
    /// How far answers lean in all.
    pub strength: f64,
    /// What becomes of it, before it is told.
    #[cfg_attr(feature = "contract", ts(optional))]
    pub change: Option<PersonaChange>,
}

/// A persona as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "contract", derive(ts_rs::TS))]
pub struct PersonaResult {
    /// To keep.
    pub persona: Persona,
    /// What is known by it.
    pub known: Known,
}

impl PersonaParams {
    /// The persona after the change, with what is known by it.
    ///
    /// # Errors
    ///
    /// [`BadRequest`] for what is no persona, and for a change that can't be.
    pub fn apply(self) -> Result<PersonaResult, BadRequest> {
        let refused = |error: &dyn std::fmt::Display| BadRequest(error.to_string());
        let mut persona = match self.persona {
            Some(kept) => Persona::parse(&kept.to_string()).map_err(|error| refused(&error))?,
            None => Persona::default(),
        };
        match self.change {
            None => {}
            Some(PersonaChange::Choice {
                first,
                second,
                taken,
            }) => {
                let measured = Measured::of(self.model.as_deref());
                persona.learn_from(measured, &first, &second, taken);
            }
            Some(PersonaChange::Undo) if persona.undo() => {}
            Some(PersonaChange::Undo) => {
                return Err(BadRequest("there is no choice to take back".to_owned()));
            }
            Some(PersonaChange::Hold { axis, weight }) => {
                let held = persona.hold(axis, weight);
                held.map_err(|error| refused(&error))?;
            }
            Some(PersonaChange::Pause { paused }) => persona.pause(paused),
        }
        let known = Known::of(&persona, self.model.as_deref(), self.strength);
        Ok(PersonaResult { persona, known })
    }
}
