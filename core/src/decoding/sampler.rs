//! One token from the scores: greedy, or a seeded draw from a truncated distribution, on the device.

use super::sampling::COLDEST;
use super::{Adaptive, DecodingError, Sampling};
use crate::kernels::sampling::{Guards, Settings, guidance, sample};
use crate::model::Logits;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Evaluations in which the strength controller finds its share.
const KL_EVALUATIONS: usize = 12;

impl Sampling {
    /// The settings as the kernels want them.
    fn settings(&self) -> Settings {
        Settings {
            beta: self.plausibility as f32,
            nucleus: (self.nucleus as f32).max(f32::MIN_POSITIVE),
            // So cold that the best token is chosen outright.
            temperature: match self.temperature < COLDEST {
                true => 0.0,
                false => self.temperature as f32,
            },
            top_k: self.top_k as f32,
            // In f32, too, above 0.
            top_p: (self.top_p as f32).max(f32::MIN_POSITIVE),
            min_p: self.min_p as f32,
            repetition: self.repetition_penalty as f32,
            frequency: self.frequency_penalty as f32,
            presence: self.presence_penalty as f32,
            budget: (self.kl_budget.unwrap_or(0.0) as f32).min(f32::MAX),
        }
    }
}

/// The answers of one batch while they are decoded: chooses every answer's next token on the device, where
/// it is the next step's input at once.
#[derive(Debug)]
pub struct Sampler {
    stream_rows: Tensor<2, Int>,
    weights: Tensor<2>,
    settings: Tensor<1>,
    counts: Tensor<2, Int>,
    tokens: Tensor<1, Int>,
    guards: Guards,
    seed: u64,
    step: u32,
    /// Each answer's number, which its draws depend on.
    numbers: Vec<u32>,
    /// What the next draws depend on, once it is uploaded.
    key: Option<Tensor<1, Int>>,
    top: usize,
    device: Device,
}

impl Sampler {
    /// A sampler at its first step. `answers` lists each answer's streams (row, weight) as
    /// [`super::Method::weights`] gives them, all as many, and `first` is the first answer's number; `top` log-probs
    /// are asked for.
    ///
    /// # Errors
    ///
    /// As [`Sampling::check_ranges`].
    pub fn new(
        sampling: &Sampling,
        answers: &[Vec<(usize, f32)>],
        first: u32,
        top: usize,
        vocab: usize,
        device: &Device,
    ) -> Result<Self, DecodingError> {
        sampling.check_ranges()?;
        let (stream_rows, weights) = super::guidance::streams(answers, device);
        let rows = answers.iter().flatten().map(|(row, _)| row + 1).max();
        let zeros = |shape: [usize; 2]| Tensor::zeros(shape, (device, DType::I32));
        Ok(Self {
            stream_rows,
            weights,
            settings: Tensor::from_data(&*sampling.settings().to_slots(), device),
            counts: zeros([answers.len(), vocab]),
            tokens: zeros([1, rows.unwrap_or(0)]).flatten(0, 1),
            guards: Guards {
                nucleus: sampling.nucleus < 1.0,
                jsd: sampling.adaptive == Some(Adaptive::Jsd),
                evaluations: match sampling.kl_budget {
                    None => 0,
                    Some(f64::INFINITY) => 1,
                    Some(_) => KL_EVALUATIONS,
                },
            },
            seed: sampling.seed,
            step: 0,
            numbers: (first..).take(answers.len()).collect(),
            key: None,
            top,
            device: device.clone(),
        })
    }

    /// Chooses each answer's next token from its streams' logits, `[rows, vocab]`; see [`read`] for the result.
    #[must_use]
    pub fn choose(&mut self, logits: Logits) -> Tensor<2, Int> {
        let (rows, settings) = (self.stream_rows.clone(), self.settings.clone());
        let guided = guidance(
            logits.0,
            rows.clone(),
            self.weights.clone(),
            settings.clone(),
            self.guards,
        );
        let key = match self.key.take() {
            Some(key) => key,
            None => self.next_key(),
        };
        self.step += 1;
        let (counts, tokens) = (self.counts.extract(), self.tokens.extract());
        let sampled = sample(guided, rows, settings, key, counts, tokens, self.top);
        self.counts = sampled.counts;
        self.tokens = sampled.tokens;
        sampled.chosen
    }

    /// Goes on with some of the answers alone, given by their places, in order. Their rows are then counted anew.
    pub fn keep(&mut self, answers: &[usize]) {
        let streams = self.stream_rows.dims()[1];
        let places: Vec<i32> = answers.iter().map(|answer| *answer as i32).collect();
        let places = ints(places, &self.device);
        let rows = answers
            .iter()
            .flat_map(|answer| answer * streams..(answer + 1) * streams);
        let rows = ints(rows.map(|row| row as i32).collect(), &self.device);
        let shift = |(place, answer): (usize, &usize)| {
            let shift = ((answer - place) * streams) as i32;
            std::iter::repeat_n(shift, streams)
        };
        let shifts: Vec<i32> = answers.iter().enumerate().flat_map(shift).collect();
        let shifts = ints(shifts, &self.device).reshape([answers.len(), streams]);
        self.stream_rows = self.stream_rows.clone().select(0, places.clone()) - shifts;
        self.weights = self.weights.clone().select(0, places.clone());
        self.counts = self.counts.extract().select(0, places);
        self.tokens = self.tokens.extract().select(0, rows);
        self.numbers = answers.iter().map(|answer| self.numbers[*answer]).collect();
        self.key = None;
    }

    /// The token of every row that [`Sampler::choose`] chose last, `[rows]`: what the next step begins with. What that
    /// step's draws depend on is uploaded with it, since an upload after it would cut the step's submission in two.
    #[must_use]
    pub fn begin_step(&mut self) -> Tensor<1, Int> {
        self.key = Some(self.next_key());
        self.tokens.clone()
    }

    /// See `key` in [`crate::kernels::sampling::sample`].
    fn next_key(&self) -> Tensor<1, Int> {
        let key = [self.seed as u32, (self.seed >> 32) as u32, self.step];
        let key = key.iter().chain(&self.numbers).map(|word| *word as i32);
        ints(key.collect(), &self.device)
    }
}

pub(crate) fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), (device, DType::I32))
}

/// One answer's token.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The token; `None` where no score was a number to choose by.
    pub id: Option<u32>,
    /// Its log-probability under the method's scores, before penalties and temperature.
    pub log_prob: f32,
    /// The share of the method's strength that was taken, from 0 to 1.
    pub share: f32,
    /// The policy's KL divergence from the anchor's in nats, where a budget asked for it.
    pub kl: Option<f32>,
    /// The best tokens with their log-probabilities, as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// What [`Sampler::choose`] gave, read back: one answer each.
#[must_use]
pub fn read(chosen: &[i32], answers: usize) -> Vec<Chosen> {
    let width = (chosen.len() / answers.max(1)).max(4);
    let float = |bits: i32| f32::from_bits(bits as u32);
    chosen
        .chunks_exact(width)
        .map(|answer| Chosen {
            id: u32::try_from(answer[0]).ok(),
            log_prob: float(answer[1]),
            share: float(answer[2]),
            kl: Some(float(answer[3])).filter(|kl| *kl >= 0.0),
            top: answer[4..]
                .chunks_exact(2)
                .filter_map(|pair| Some((u32::try_from(pair[0]).ok()?, float(pair[1]))))
                .collect(),
        })
        .collect()
}
