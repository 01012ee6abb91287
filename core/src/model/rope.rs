//! Rotary positions: the angles of every position, with the scalings that stretch a model's context.

use super::ModelError;
use super::config::{Key, positive};
use burn::tensor::{Device, Tensor, TensorData};

/// How positions become angles.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies: pair `i` of `head_dim / 2` turns by `base^(-2i / head_dim)` a position.
    pub base: f32,
    /// What makes the frequencies of a longer context from those.
    pub scaling: RopeScaling,
    /// What each pair's frequency is divided by (the tensor `rope_freqs`, as Llama 3.1 has it); empty: by 1.
    pub factors: Vec<f32>,
}

/// How frequencies are scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// They are not.
    None,
    /// All are divided by this factor (Chen et al. 2023, arXiv 2306.15595).
    Linear(f32),
    /// YaRN (Peng et al. 2023, arXiv 2309.00071): pairs that turn often are kept, those that turn seldom are divided.
    Yarn {
        /// The context's stretch.
        factor: f32,
        /// Positions that the model was trained for before.
        original_context: usize,
        /// Turns within the original context above which a pair is kept whole.
        beta_fast: f32,
        /// Turns below which it is divided.
        beta_slow: f32,
        /// What cos and sin are multiplied by beside `1 + 0.1 ln(factor)` (`rope.scaling.attn_factor`).
        attention_factor: f32,
    },
}

impl Rope {
    /// Plain rotary positions.
    #[must_use]
    pub fn plain(base: f32) -> Self {
        Self {
            base,
            scaling: RopeScaling::None,
            factors: Vec::new(),
        }
    }

    /// Reads the keys `{arch}.rope.*` of the GGUF specification.
    ///
    /// # Errors
    ///
    /// [`ModelError`] where one is senseless, or asks for a scaling that there is not.
    pub(super) fn from_keys(keys: &Key<'_>) -> Result<Self, ModelError> {
        let float = |key: &str| match keys.opt_f32(key)? {
            Some(value) => positive(&keys.name(key), value).map(Some),
            None => Ok(None),
        };
        let factor = || match float("rope.scaling.factor")? {
            // The key of files from before the specification had the other.
            None => Ok(float("rope.scale_linear")?.unwrap_or(1.0)),
            Some(factor) => Ok::<_, ModelError>(factor),
        };
        let base = float("rope.freq_base")?.unwrap_or(10_000.0);
        let scaling = match keys.opt_str("rope.scaling.type")? {
            Some("linear") => RopeScaling::Linear(factor()?),
            Some("yarn") => RopeScaling::Yarn {
                factor: factor()?,
                original_context: keys.count("rope.scaling.original_context_length")?,
                beta_fast: float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                attention_factor: float("rope.scaling.attn_factor")?.unwrap_or(1.0),
            },
            None if keys.has("rope.scale_linear") => RopeScaling::Linear(factor()?),
            None | Some("none") => RopeScaling::None,
            Some(other) => {
                return Err(ModelError::Unsupported(format!(
                    "rope scaling {other:?} (supported: linear, yarn, and the tensor rope_freqs of Llama 3.1)"
                )));
            }
        };
        Ok(Self {
            base,
            scaling,
            factors: Vec::new(),
        })
    }

    /// Each pair's angle a position, and what cos and sin are multiplied by, for heads of width `head_dim`.
    fn frequencies(&self, head_dim: usize) -> (Vec<f64>, f64) {
        let (base, dims) = (f64::from(self.base), head_dim as f64);
        let factor_of = |pair: usize| self.factors.get(pair).copied().map_or(1.0, f64::from);
        let plain = |pair: usize| base.powf(-2.0 * pair as f64 / dims) / factor_of(pair);
        let pairs = 0..head_dim / 2;
        match self.scaling {
            RopeScaling::None => (pairs.map(plain).collect(), 1.0),
            RopeScaling::Linear(factor) => {
                let scaled = |pair| plain(pair) / f64::from(factor);
                (pairs.map(scaled).collect(), 1.0)
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast,
                beta_slow,
                attention_factor,
            } => {
                let (factor, context) = (f64::from(factor), original_context as f64);
                // The pair that turns so many times within the original context.
                let pair_of = |turns: f32| {
                    let wave = context / (f64::from(turns) * 2.0 * std::f64::consts::PI);
                    dims * wave.ln() / (2.0 * base.ln())
                };
                let low = pair_of(beta_fast).floor().max(0.0);
                let high = pair_of(beta_slow).ceil().min(dims - 1.0);
                let high = if high == low { low + 0.001 } else { high };
                let scaled = |pair: usize| {
                    let divided = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    plain(pair) * (1.0 - divided) + plain(pair) / factor * divided
                };
                let size = f64::from(attention_factor) * (1.0 + 0.1 * factor.max(1.0).ln());
                (pairs.map(scaled).collect(), size)
            }
        }
    }

    /// cos and sin of every pair's angle, side by side, computed in f64: `[positions, head_dim]`.
    pub(super) fn table(&self, head_dim: usize, positions: usize, device: &Device) -> Tensor<2> {
        let (frequencies, size) = self.frequencies(head_dim);
        let mut table = Vec::with_capacity(positions * head_dim);
        for position in 0..positions {
            for frequency in &frequencies {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                table.extend([(size * cos) as f32, (size * sin) as f32]);
            }
        }
        Tensor::from_data(TensorData::new(table, [positions, head_dim]), device)
    }
}
