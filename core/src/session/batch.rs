//! A batch on the device: each model's rows, and the sampler over all of them.

use super::form::masked;
use super::generate::Answer;
use super::{Error, Event, GenerateRequest, Session};
use crate::decoding::streams::Stream;
use crate::decoding::{Sampler, sampler::ints};
use crate::model::{Logits, Prefill, PromptReader, SharedCache};
use burn::tensor::{Int, Tensor};
use std::ops::{ControlFlow, Range};

/// One step's result, still on the device.
pub(super) struct Pending {
    pub chosen: Tensor<2, Int>,
    /// The logits it came from, where they are wanted.
    pub logits: Option<Tensor<2>>,
    /// The answers it is for.
    pub places: Vec<usize>,
}

/// One model's streams.
struct Part<'a> {
    session: &'a Session,
    /// Their places among an answer's streams.
    streams: Vec<usize>,
    /// A prompt, and so a row, for each answer and stream.
    reader: PromptReader,
    cache: SharedCache,
}

impl<'a> Part<'a> {
    fn new(session: &'a Session, streams: Vec<usize>, prefill: Prefill<'_>) -> Self {
        let (cache, reader) = prefill.into_parts();
        Self {
            session,
            streams,
            reader,
            cache,
        }
    }

    /// The places of an answer's prompts.
    fn of_answer(&self, answer: usize) -> Range<usize> {
        let width = self.streams.len();
        answer * width..(answer + 1) * width
    }

    /// The rows of an answer are done, with these tokens behind their prompts.
    fn end(&mut self, answer: usize, tokens: &[u32]) {
        for place in self.of_answer(answer) {
            self.reader.end(place, tokens, &mut self.cache);
        }
    }
}

pub(super) struct Batch<'a> {
    parts: Vec<Part<'a>>,
    streams: usize,
    sampler: Sampler,
    /// Answers that are still decoded, by their place.
    active: Vec<usize>,
    traces: bool,
}

impl<'a> Batch<'a> {
    /// Runs all prompts, an answer's streams one after the other, with room for `most` tokens after them, and chooses
    /// the first tokens. `None` where `on_event` breaks off.
    pub async fn prefill(
        session: &'a Session,
        request: &GenerateRequest,
        streams: &[Stream],
        prompts: &[Vec<u32>],
        most: usize,
        answers: &mut [Answer<'_>],
        on_event: &mut impl AsyncFnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<(Self, Pending)>, Error> {
        let count = streams.len();
        let mut models: Vec<usize> = streams.iter().map(|stream| stream.model).collect();
        models.sort_unstable();
        models.dedup();
        let (mut parts, mut logits) = (Vec::new(), Vec::new());
        for (index, &model) in models.iter().enumerate() {
            let of_model = |place: &usize| streams[*place].model == model;
            let places: Vec<usize> = (0..count).filter(of_model).collect();
            let prompts: Vec<Vec<u32>> = prompts
                .chunks_exact(count)
                .flat_map(|answer| places.iter().map(|place| answer[*place].clone()))
                .collect();
            let of_model = session.model(model)?;
            let mut prefill = of_model.prefill(prompts, most)?;
            logits.push(loop {
                let logits = prefill.advance()?;
                let (done, total) = prefill.progress();
                // Of several models, each takes an equal part of the bar.
                let event = Event::Prefill {
                    done: index * total + done,
                    total: models.len() * total,
                };
                if on_event(event).await.is_break() {
                    parts.push(Part::new(of_model, places, prefill));
                    give_back(
                        parts,
                        (0..answers.len()).map(|answer| (answer, [].as_slice())),
                    );
                    return Ok(None);
                }
                if let Some(Logits(logits)) = logits {
                    break logits;
                }
            });
            parts.push(Part::new(of_model, places, prefill));
        }
        let rows = request.method.batch_weights(answers.len());
        let vocab = session.decoder.config().vocab;
        let device = &session.device.device;
        let mut batch = Self {
            parts,
            streams: count,
            sampler: Sampler::new(&request.sampling, &rows, request.first, 0, vocab, device)?,
            active: (0..answers.len()).collect(),
            traces: request.trace.is_some(),
        };
        let pending = batch.choose(logits, answers);
        Ok(Some((batch, pending)))
    }

    /// Decodes one step: the next tokens go into every model, and its logits give those after them.
    pub fn step(&mut self, answers: &mut [Answer<'_>]) -> Result<Pending, Error> {
        let tokens = self.sampler.begin_step();
        let device = tokens.device();
        let mut logits = Vec::with_capacity(self.parts.len());
        let several = self.parts.len() > 1;
        for part in &mut self.parts {
            let places = self
                .active
                .iter()
                .flat_map(|answer| part.of_answer(*answer));
            let rows: Vec<usize> = places.map(|place| part.reader.rows()[place]).collect();
            let mut own = tokens.clone();
            if several {
                let places = (0..self.active.len())
                    .flat_map(|answer| part.streams.iter().map(move |s| (answer, *s)));
                let places = places.map(|(answer, s)| (answer * self.streams + s) as i32);
                own = own.select(0, ints(places.collect(), &device));
            }
            let Logits(of_part) = part.cache.step(&part.session.decoder, own, &rows)?;
            logits.push(of_part);
        }
        Ok(self.choose(logits, answers))
    }

    fn choose(&mut self, logits: Vec<Tensor<2>>, answers: &mut [Answer<'_>]) -> Pending {
        let logits = masked(self.join(logits), answers, &self.active);
        let kept = self.traces.then(|| logits.clone());
        Pending {
            chosen: self.sampler.choose(Logits(logits)),
            logits: kept,
            places: self.active.clone(),
        }
    }

    /// The models' logits as one tensor, an answer's streams one after the other.
    fn join(&self, mut logits: Vec<Tensor<2>>) -> Tensor<2> {
        if logits.len() == 1 {
            return logits.remove(0);
        }
        let mut order = vec![0; self.active.len() * self.streams];
        let mut row = 0;
        for part in &self.parts {
            for answer in 0..self.active.len() {
                for stream in &part.streams {
                    order[answer * self.streams + stream] = row;
                    row += 1;
                }
            }
        }
        let device = logits[0].device();
        Tensor::cat(logits, 0).select(0, ints(order, &device))
    }

    /// Drops answers that are done, see [`worth_dropping`].
    pub fn drop_done(&mut self, answers: &[Answer<'_>]) {
        let done = |answer: usize| answers[answer].done;
        let Some((gone, going)) = worth_dropping(&self.active, done) else {
            return;
        };
        self.sampler.keep(&going);
        for index in gone {
            let answer = self.active[index];
            let tokens = &answers[answer].generation.token_ids;
            let parts = self.parts.iter_mut();
            parts.for_each(|part| part.end(answer, tokens));
        }
        self.active = going.into_iter().map(|index| self.active[index]).collect();
    }

    /// The batch is over: what its rows hold is kept for others.
    pub fn end(self, answers: &[Answer<'_>]) {
        let active = self.active.iter();
        let tokens = |answer: &usize| (*answer, &*answers[*answer].generation.token_ids);
        give_back(self.parts, active.map(tokens));
    }
}

/// These answers' rows, with the tokens behind their prompts, are for others to go on from.
fn give_back<'t>(parts: Vec<Part<'_>>, answers: impl Iterator<Item = (usize, &'t [u32])> + Clone) {
    for mut part in parts {
        answers
            .clone()
            .for_each(|(answer, tokens)| part.end(answer, tokens));
        part.session.keep(part.cache);
    }
}

/// Which of the answers that are decoded, by their indices, are done and which go on, once it is worth to go on without: a quarter
/// is done, and not all.
pub(super) fn worth_dropping(
    active: &[usize],
    done: impl Fn(usize) -> bool,
) -> Option<(Vec<usize>, Vec<usize>)> {
    let (gone, going): (Vec<usize>, Vec<usize>) =
        (0..active.len()).partition(|index| done(active[*index]));
    (!going.is_empty() && 4 * gone.len() >= active.len()).then_some((gone, going))
}
