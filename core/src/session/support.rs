//! Leaning on a few tokens' log-probabilities in place of a vocabulary's logits: what a server gives that runs the model
//! elsewhere.

use super::{Error, read_ids};
use crate::decoding::sampler::{self, Chosen};
use crate::decoding::{Method, Sampler, Sampling};
use crate::device::{self, DeviceChoice, OpenDevice};
use crate::model::Logits;
use burn::tensor::{Tensor, TensorData};
use serde::Serialize;
use std::collections::BTreeMap;

/// Ids are below this: the largest vocabularies have as many.
pub const MOST_IDS: u32 = 1 << 18;

/// Some tokens that may come next, with their log-probabilities in nats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Support {
    /// The tokens: the likeliest ones of the method's anchor, each once.
    pub ids: Vec<u32>,
    /// Their log-probabilities, one list for each of [`Method::streams`].
    pub log_probs: Vec<Vec<f64>>,
    /// How many of them are no more than upper bounds, since the server did not say them.
    pub bounded: usize,
}

/// What leaning on so few tokens can have cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truncation {
    /// Tokens that were looked at.
    pub tokens: usize,
    /// The probability of all others, by stream.
    pub outside: BTreeMap<String, f64>,
    /// Log-probabilities among them that were no more than bounds.
    pub bounded: usize,
    /// A token outside would have come first only where the preference made it likelier by so many nats at least; `None` where
    /// none could have.
    pub margin: Option<f64>,
}

/// One answer's tokens, drawn by the engine's own guidance and sampler.
#[derive(Debug)]
pub struct SupportSampler {
    device: OpenDevice,
    sampler: Sampler,
    method: Method,
    plausibility: f64,
}

impl SupportSampler {
    /// A sampler at the first token of the answer of that number. Nucleus, KL budget and adaptive strength go by the probability that a support has, and the
    /// repetition penalty, which is not the same for logits and for log-probabilities, by the latter.
    ///
    /// # Errors
    ///
    /// As [`Sampling::check_ranges`].
    pub async fn new(method: &Method, sampling: &Sampling, number: u32) -> Result<Self, Error> {
        let device = device::open(DeviceChoice::Cpu).await?;
        let weights = method.batch_weights(1);
        let vocab = MOST_IDS as usize;
        let sampler = Sampler::new(sampling, &weights, number, 0, vocab, &device.device)?;
        Ok(Self {
            sampler,
            device,
            method: method.clone(),
            plausibility: sampling.plausibility,
        })
    }

    /// The next token of a support whose ids are below [`MOST_IDS`], and what the others can have cost.
    ///
    /// # Errors
    ///
    /// [`Error::NotANumber`] where there is no token to choose.
    pub async fn choose(&mut self, support: &Support) -> Result<(u32, Chosen, Truncation), Error> {
        let width = MOST_IDS as usize;
        let rows = self.method.streams().len();
        let mut logits = vec![f32::NEG_INFINITY; rows * width];
        for (row, log_probs) in logits.chunks_exact_mut(width).zip(&support.log_probs) {
            for (id, log_prob) in support.ids.iter().zip(log_probs) {
                if let Some(logit) = row.get_mut(*id as usize) {
                    *logit = *log_prob as f32;
                }
            }
        }
        let logits = TensorData::new(logits, [rows, width]);
        let logits = Logits(Tensor::from_data(logits, &self.device.device));
        let chosen = read_ids(self.sampler.choose(logits), &self.device).await?;
        let chosen = sampler::read(&chosen, 1).into_iter().next();
        let chosen = chosen.and_then(|chosen| Some((chosen.id?, chosen)));
        let (id, chosen) = chosen.ok_or_else(|| Error::NotANumber {
            device: self.device.info.name.clone(),
        })?;
        let truncation = self.truncation(support, f64::from(chosen.share));
        Ok((id, chosen, truncation))
    }

    /// What the tokens outside can have cost at `share` of the strength.
    fn truncation(&self, support: &Support, share: f64) -> Truncation {
        let outside = |log_probs: &Vec<f64>| {
            let inside: f64 = log_probs.iter().map(|log_prob| log_prob.exp()).sum();
            (1.0 - inside).max(0.0)
        };
        let streams = self.method.streams();
        let names = streams.iter().map(|stream| stream.name.clone());
        let weights = self.method.weights();
        let anchor = &support.log_probs[weights[0].0];
        let highest = anchor.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = anchor.iter().copied().fold(f64::INFINITY, f64::min);
        // No token outside is likelier than the support's last one, or than all of them together.
        let most = lowest.min(outside(anchor).ln());
        let strength = share * self.method.strength();
        let best = match weights.get(1) {
            Some((other, _)) => (anchor.iter().zip(&support.log_probs[*other]))
                .filter(|(a, _)| **a >= highest + self.plausibility.ln())
                .map(|(a, b)| a + strength * (a - b))
                .fold(f64::NEG_INFINITY, f64::max),
            None => highest,
        };
        let is_cut = self.plausibility > 0.0 && most < highest + self.plausibility.ln();
        let margin = match strength > 0.0 {
            true => Some((best - most) / strength).filter(|margin| margin.is_finite()),
            false => None,
        };
        Truncation {
            tokens: support.ids.len(),
            outside: names.zip(support.log_probs.iter().map(outside)).collect(),
            bounded: support.bounded,
            margin: margin.filter(|_| !is_cut),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn chosen(sampling: &Sampling, support: &Support) -> (u32, Truncation) {
        let method = Method::LinearAlignment { strength: 2.0 };
        let choose = async {
            let mut sampler = SupportSampler::new(&method, sampling, 0).await?;
            let (id, _, truncation) = sampler.choose(support).await?;
            Ok::<_, Error>((id, truncation))
        };
        pollster::block_on(choose).unwrap()
    }

    #[test]
    fn a_token_by_hand() {
        let ln = |of: [f64; 3]| of.map(f64::ln).to_vec();
        let support = Support {
            ids: vec![7, 150_000, 3],
            log_probs: vec![ln([0.8, 0.1, 0.05]), ln([0.6, 0.3, 0.05])],
            bounded: 1,
        };
        // 0.6 (0.6/0.8)^2 = 0.34, 0.3 (0.3/0.1)^2 = 2.7, 0.05.
        let (id, truncation) = chosen(&Sampling::default(), &support);
        assert_eq!((id, truncation.tokens, truncation.bounded), (150_000, 3, 1));
        assert!((truncation.outside["base"] - 0.05).abs() < 1e-9);
        assert!((truncation.outside["pref"] - 0.05).abs() < 1e-9);
        // 0.05 r^2 = 2.7.
        let margin = truncation.margin.unwrap();
        assert!((margin - 54f64.sqrt().ln()).abs() < 1e-6, "{margin}");
        // Nothing outside is plausible: 0.05 < 0.1 x 0.6.
        let guarded = Sampling {
            plausibility: 0.1,
            ..Sampling::default()
        };
        assert_eq!(chosen(&guarded, &support).1.margin, None);
        let strict = Sampling {
            plausibility: 0.6,
            ..Sampling::default()
        };
        assert_eq!(chosen(&strict, &support).0, 7);
    }
}
