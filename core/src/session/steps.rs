//! Decode steps to measure: a batch at any depth, without a prompt.

use super::{Error, read_ids, read_while};
use crate::decoding::{Method, Sampler, Sampling};
use crate::device::OpenDevice;
use crate::formats::gguf::TensorType;
use crate::kernels::measure::flush;
use crate::model::{Decoder, DecoderConfig, KvCache, KvType, Rope, Traits};
use burn::tensor::{Int, Tensor};

/// What a step took, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct StepTime {
    /// Until its commands were recorded; on the CPU backend, computed.
    pub record: f64,
    /// From there until they were submitted. A driver that computes while it takes them, as lavapipe's does, has
    /// the whole computation in here.
    pub submit: f64,
    /// Until the chosen tokens were read back.
    pub whole: f64,
}

/// A batch of answers in decode, greedy, at a depth that was never computed.
#[derive(Debug)]
pub struct Steps<'a> {
    decoder: &'a Decoder,
    device: &'a OpenDevice,
    rows: Vec<usize>,
    cache: KvCache,
    sampler: Sampler,
}

impl<'a> Steps<'a> {
    /// `answers` answers of `method`, each stream's row holding `context` tokens at the first step, with room for
    /// `steps` steps.
    ///
    /// # Errors
    ///
    /// [`Error`] where they pass the model's context or the device's memory.
    pub fn new(
        decoder: &'a Decoder,
        device: &'a OpenDevice,
        method: &Method,
        answers: usize,
        context: usize,
        steps: usize,
        kv: KvType,
    ) -> Result<Self, Error> {
        let streams = method.streams().len();
        let rows = answers * streams;
        let vocab = decoder.config().vocab;
        Ok(Self {
            decoder,
            device,
            rows: (0..rows).collect(),
            cache: decoder.blank_cache(rows, context.saturating_sub(1), steps + 1, kv)?,
            sampler: Sampler::new(
                &Sampling::default(),
                &method.batch_weights(answers),
                0,
                0,
                vocab,
                &device.device,
            )?,
        })
    }

    /// One step, timed by the clock `now`, in milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error`] where the device fails or there is no room.
    pub async fn step(&mut self, now: &dyn Fn() -> f64) -> Result<StepTime, Error> {
        let started = now();
        let chosen = self.record()?;
        let record = now() - started;
        flush(&self.device.device);
        let submit = now() - started - record;
        read_ids(chosen, self.device).await?;
        Ok(StepTime {
            record,
            submit,
            whole: now() - started,
        })
    }

    /// So many steps as generation runs them, each recorded and handed over before the one before is read back; gives
    /// the milliseconds of one by the clock `now`.
    ///
    /// # Errors
    ///
    /// As [`Steps::step`].
    pub async fn pipelined(&mut self, steps: usize, now: &dyn Fn() -> f64) -> Result<f64, Error> {
        let started = now();
        let mut pending = self.record()?;
        for _ in 1..steps {
            let device = self.device;
            let (_, next) = read_while(pending, device, || {
                let next = self.record()?;
                flush(&device.device);
                Ok(next)
            })
            .await?;
            pending = next;
        }
        read_ids(pending, self.device).await?;
        Ok((now() - started) / steps as f64)
    }

    fn record(&mut self) -> Result<Tensor<2, Int>, Error> {
        let tokens = self.sampler.begin_step();
        let logits = self
            .decoder
            .step_rows(tokens, &self.rows, &mut self.cache)?;
        Ok(self.sampler.choose(logits))
    }

    /// Rows of the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// The bytes of weights that decoding reads in a second on this device, measured for about `ms` by the clock `now` on a few
/// layers of a small model's shape: a model's size divided by it is about the time of a token.
///
/// # Errors
///
/// [`Error`] where the device fails.
pub async fn pace(device: &OpenDevice, ms: f64, now: &dyn Fn() -> f64) -> Result<f64, Error> {
    // As a model of half a billion parameters, with few layers and a small vocabulary.
    let shape = DecoderConfig {
        layers: 4,
        width: 896,
        heads: 14,
        kv_heads: 2,
        head_dim: 64,
        ffn_width: 4864,
        vocab: 4096,
        context: 1024,
        rms_epsilon: 1e-5,
        rope: Rope::plain(10_000.0),
        traits: Traits::default(),
    };
    let room = shape.context / 2;
    let variant = device.variants(false)[0];
    let of = |_: &str, _| TensorType::Q4_0;
    let decoder = Decoder::random(shape, false, of, &device.device, variant)?;
    let kv = KvType::fitting(device.info.is_gpu());
    let mut steps = Steps::new(&decoder, device, &Method::Pref, 1, 64, room, kv)?;
    // The first two compile kernels.
    steps.step(now).await?;
    steps.step(now).await?;
    let started = now();
    let mut done = 0;
    while done < room - 3 && (done == 0 || now() - started < ms) {
        steps.step(now).await?;
        done += 1;
    }
    let seconds = (now() - started) / 1000.0;
    Ok(decoder.weight_bytes() as f64 * f64::from(done as u32) / seconds)
}
