//! What was measured of a model: how its features lie, and what leaning along each axis does (`benches/evidence/learn`).

use super::axes::{K, OfAxes};
use serde::Deserialize;
use std::sync::LazyLock;

/// What was measured of one model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Its name in the catalogue.
    pub model: String,
    /// The mean of each axis' feature.
    pub mean: OfAxes,
    /// Its standard deviation.
    pub deviation: OfAxes,
    /// A: how many standard deviations what can be checked of axis j moves with each unit of k along axis i, as `effect[i][j]`; 0
    /// where its interval holds 0.
    pub effect: [OfAxes; K],
}

/// All of them.
static MEASURED: LazyLock<Vec<Measured>> = LazyLock::new(|| {
    #[allow(
        clippy::expect_used,
        reason = "a file of the source, which a test reads"
    )]
    serde_json::from_str(include_str!("measured.json")).expect("measured.json is sound")
});

impl Measured {
    /// What is known of a model by its name in the catalogue; of one that was not measured what is known of the first one.
    #[must_use]
    pub fn of(model: Option<&str>) -> &'static Self {
        let own = MEASURED.iter().find(|one| Some(&*one.model) == model);
        own.unwrap_or(&MEASURED[0])
    }

    /// Whether it is about the model of this name.
    #[must_use]
    pub fn is_of(&self, model: Option<&str>) -> bool {
        model == Some(&self.model)
    }

    /// Features in standard deviations from the mean.
    #[must_use]
    pub fn standard(&self, features: &OfAxes) -> OfAxes {
        std::array::from_fn(|i| (features[i] - self.mean[i]) / self.deviation[i])
    }

    /// Whether leaning along an axis does anything to what it is about.
    #[must_use]
    pub fn moves(&self, axis: usize) -> bool {
        self.effect[axis][axis] > 0.0
    }
}
