//! Decode steps to measure: a batch at any depth, without a prompt.

use super::{Error, read_ids, read_while};
use crate::decoding::{Method, Sampler, Sampling};
use crate::device::OpenDevice;
use crate::kernels::measure::flush;
use crate::model::{Decoder, KvCache, KvType};
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
