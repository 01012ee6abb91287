//! From what is known of a person to how the next answer is decoded.
//!
//! `y = b + sum_i k_i (p_i+ - p_i-)` over the axes that are leaned along, b being the prompt without a wish: two rows an axis and one more,
//! weighed by the kernel that guidance always has.

use super::PersonaError;
use super::axes::{AXES, K, OfAxes, axis};
use super::linear::dot;
use super::measured::Measured;
use super::posterior::Posterior;
use crate::decoding::Method;
use crate::decoding::streams::Stream;

/// The most axes at once: each takes two rows of the batch.
pub const MOST: usize = 2;

/// A second axis that would be leaned along less than by so much of the first is not worth its rows.
const LEAST_SHARE: f64 = 0.25;

/// Leaning by less changes next to no token.
const LEAST: f64 = 0.02;

/// Leaning along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lean {
    /// The axis, as a place in [`AXES`].
    pub axis: usize,
    /// k: below 0 towards the axis' minus.
    pub k: f64,
}

impl Lean {
    /// Along the axis of this name.
    ///
    /// # Errors
    ///
    /// [`PersonaError::NoAxis`] where there is none.
    pub fn along(name: &str, k: f64) -> Result<Self, PersonaError> {
        let axis = axis(name).ok_or_else(|| PersonaError::NoAxis {
            name: name.to_owned(),
        })?;
        Ok(Self { axis, k })
    }

    /// What it leans towards: an end's name.
    #[must_use]
    pub fn towards(&self) -> &'static str {
        AXES[self.axis].pole(self.k).name
    }
}

/// How to lean for a person of whom so much is known, with a model of which `measured` is known: `k` goes with A' w, shrunk by how
/// sure each weight is, along the axes that pull most, at most [`MOST`]. All k together are as long as a slider's `strength`: a k of
/// 2 moves the next token about as far as a typed wish does at 2, or less. Nothing where nothing is known yet.
#[must_use]
pub fn leans(posterior: &Posterior, measured: &Measured, strength: f64) -> Vec<Lean> {
    let deviations = posterior.deviations();
    // The share of a weight's mean square that is not its uncertainty.
    let sure: OfAxes = std::array::from_fn(|i| {
        let [mean, variance] = [posterior.mean[i].powi(2), deviations[i].powi(2)];
        match mean > 0.0 {
            true => mean / (mean + variance),
            false => 0.0,
        }
    });
    let wanted: OfAxes = std::array::from_fn(|j| posterior.mean[j] * sure[j]);
    let mut pulls: Vec<(usize, f64)> = (0..K)
        .filter(|axis| measured.moves(*axis))
        .map(|axis| (axis, dot(&measured.effect[axis], &wanted)))
        .filter(|(_, pull)| *pull != 0.0)
        .collect();
    pulls.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    pulls.truncate(MOST);
    let Some((_, most)) = pulls.first().copied() else {
        return Vec::new();
    };
    pulls.retain(|(_, pull)| pull.abs() >= LEAST_SHARE * most.abs());
    let squares: f64 = pulls.iter().map(|(_, pull)| pull * pull).sum();
    let certainty = pulls.iter().map(|(axis, pull)| pull * pull * sure[*axis]);
    let certainty = certainty.sum::<f64>() / squares;
    let all = strength * certainty / squares.sqrt();
    let lean = |(axis, pull)| Lean {
        axis,
        k: all * pull,
    };
    let leans = pulls.into_iter().map(lean);
    leans.filter(|lean: &Lean| lean.k.abs() >= LEAST).collect()
}

/// The same for a draw of who the person may be.
#[must_use]
pub fn drawn(posterior: &Posterior, measured: &Measured, strength: f64, seed: u64) -> Vec<Lean> {
    leans(&Posterior::known(posterior.draw(seed)), measured, strength)
}

/// The prompts of leaning, weighted: the anchor, which guards go by, is the end that is leaned towards most.
#[must_use]
pub fn streams(leans: &[Lean]) -> Vec<Stream> {
    let mut leans: Vec<&Lean> = leans.iter().filter(|lean| lean.k != 0.0).collect();
    leans.sort_by(|a, b| b.k.abs().total_cmp(&a.k.abs()));
    let mut streams = Vec::with_capacity(1 + 2 * leans.len());
    for (place, lean) in leans.into_iter().enumerate() {
        let axis = &AXES[lean.axis];
        streams.push(axis.pole(lean.k).stream(lean.k.abs()));
        if place == 0 {
            streams.push(Stream::base());
        }
        streams.push(axis.pole(-lean.k).stream(-lean.k.abs()));
    }
    if streams.is_empty() {
        streams.push(Stream::base());
    }
    streams
}

/// Leaning as a decoding method.
#[must_use]
pub fn method(leans: &[Lean]) -> Method {
    Method::Guidance(streams(leans))
}

/// What to tell the model instead, where it is only told: the instructions of the ends.
#[must_use]
pub fn instruction(leans: &[Lean]) -> Option<String> {
    let told: Vec<&str> = leans
        .iter()
        .map(|lean| AXES[lean.axis].pole(lean.k).instruction)
        .collect();
    (!told.is_empty()).then(|| told.join(" "))
}
