//! Requests that come at any time, decoded as one batch: continuous batching. The caller drives it: there are no threads and no
//! clock here.
//!
//! A request's prompts are read a chunk at a time, between the steps of the others; its answers then go along, a step at a time,
//! until they end. What one is answered does not depend on who else is there: rows do not see each other, and each request has
//! a sampler of its own.

use super::batch::worth_dropping;
use super::form::masked;
use super::generate::{Answer, GenerateRequest, Generation, most_tokens};
use super::{Error, Event, Session, read, read_ids};
use crate::decoding::sampler::{self, Sampler};
use crate::decoding::streams::Stream;
use crate::kernels::PAGE;
use crate::model::{Chunk, Logits, ModelError, PromptReader, SharedCache};
use burn::tensor::Tensor;
use std::collections::{BTreeMap, VecDeque};

/// A request's name.
pub type RequestId = u64;

/// What a scheduler did so far, and what its cache holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens of prompts that were computed.
    pub read: u64,
    /// Tokens of prompts that were there already.
    pub reused: u64,
    /// Steps of all answers together.
    pub steps: u64,
    /// Rows of the cache that requests under way have.
    pub rows: u64,
    /// Pages of the cache that hold something, also of what has ended.
    pub pages: u64,
}

/// A request on its way.
#[derive(Debug)]
struct Job<'a> {
    id: RequestId,
    request: GenerateRequest,
    streams: Vec<Stream>,
    /// Reads the prompts of all answers, an answer's streams one after the other.
    reader: PromptReader,
    /// The most tokens of an answer.
    most: usize,
    /// Pages that it takes at most.
    pages: usize,
    answers: Vec<Answer<'a>>,
    sampler: Sampler,
    /// Places of answers that are decoded.
    active: Vec<usize>,
    /// Tokens that each of them has.
    tokens: usize,
}

/// Bytes of keys and values that are enough for a few short answers at once.
const FEW: u64 = 256 << 20;

impl Session {
    /// Answers several requests as one batch, each as [`Session::generate`] would.
    ///
    /// # Errors
    ///
    /// As [`Scheduler::submit`].
    pub async fn generate_together(
        &self,
        requests: Vec<GenerateRequest>,
    ) -> Result<Vec<Vec<Generation>>, Error> {
        let mut scheduler = Scheduler::new(self, self.keeps.max(FEW))?;
        let mut ids = Vec::with_capacity(requests.len());
        for request in requests {
            ids.push(scheduler.submit(request)?);
        }
        let mut done = BTreeMap::new();
        while !scheduler.is_idle() {
            let hear = &mut |id: RequestId, event: Event<'_>| {
                if let Event::Done { answer, generation } = event {
                    done.insert((id, answer), generation.clone());
                }
            };
            scheduler.advance(hear).await?;
        }
        scheduler.finish();
        let of = |id: &RequestId| {
            let own = done.range((*id, 0)..(*id + 1, 0));
            own.map(|(_, generation)| generation.clone()).collect()
        };
        Ok(ids.iter().map(of).collect())
    }
}

/// The requests of one model.
#[derive(Debug)]
pub struct Scheduler<'a> {
    session: &'a Session,
    cache: SharedCache,
    /// Those whose pages are not there yet, first come first.
    waiting: VecDeque<Job<'a>>,
    /// Those that are under way, first come first.
    jobs: Vec<Job<'a>>,
    next: RequestId,
    counts: Counts,
}

impl<'a> Scheduler<'a> {
    /// For `session`, with a cache of so many bytes: the session's own, where it keeps one of that size.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] where there is no room for it.
    pub fn new(session: &'a Session, bytes: u64) -> Result<Self, Error> {
        let (decoder, kv) = (&session.decoder, session.kv);
        let pages = SharedCache::pages_in(decoder, kv, bytes).max(1);
        Ok(Self {
            cache: session.cache(pages)?,
            session,
            waiting: VecDeque::new(),
            jobs: Vec::new(),
            next: 0,
            counts: Counts::default(),
        })
    }

    /// What was done so far, and what the cache holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            rows: self.cache.rows_under_way() as u64,
            pages: self.cache.pages() as u64,
            ..self.counts
        }
    }

    /// Keeps nothing of what is done: who comes next is computed from its first token.
    pub fn forget(&mut self) {
        self.cache.forget();
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.waiting.is_empty()
    }

    /// Takes a request up; [`Scheduler::advance`] tells of it under this name.
    ///
    /// # Errors
    ///
    /// As [`Session::generate`]; also where it asks for nothing, for a companion model, or for more than the cache can hold.
    pub fn submit(&mut self, request: GenerateRequest) -> Result<RequestId, Error> {
        request.validate()?;
        let session = self.session;
        let streams = request.method.streams();
        if let Some(stream) = streams.iter().find(|stream| stream.model > 0) {
            return Err(Error::NoCompanion(stream.model));
        }
        let prompts = session.all_prompts(&request, &streams)?;
        let context = session.decoder.config().context;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let most = most_tokens(longest, request.max_new_tokens, context)?.max(1);
        session.decoder.check_prompts(&prompts, 0)?;
        let answers: Vec<Answer<'a>> = prompts
            .chunks(streams.len())
            .map(|prompts| session.answer(&request, &streams, prompts))
            .collect::<Result<_, _>>()?;
        let reader = PromptReader::new(prompts);
        let (pages, there) = (reader.pages(most, 1), self.cache.most_pages());
        if pages > there {
            return Err(ModelError::CacheTooLarge {
                tokens: pages * PAGE,
                most: there * PAGE,
            }
            .into());
        }
        let sampler = Sampler::new(
            &request.sampling,
            &request.method.batch_weights(answers.len()),
            request.first,
            0,
            session.decoder.config().vocab,
            &session.device.device,
        )?;
        let id = self.next;
        self.next += 1;
        self.waiting.push_back(Job {
            id,
            active: (0..answers.len()).collect(),
            request,
            streams,
            reader,
            most,
            pages,
            answers,
            sampler,
            tokens: 0,
        });
        Ok(id)
    }

    /// Breaks a request off: nothing more is told of it.
    pub fn cancel(&mut self, id: RequestId) {
        self.waiting.retain(|job| job.id != id);
        if let Some(at) = self.jobs.iter().position(|job| job.id == id) {
            self.jobs.remove(at).end(&mut self.cache);
        }
    }

    /// Ends what is under way, and leaves the cache to the session, which keeps it where it may.
    pub fn finish(mut self) {
        for job in std::mem::take(&mut self.jobs) {
            job.end(&mut self.cache);
        }
        self.session.keep(self.cache);
    }

    /// Reads a chunk of a prompt, if one is to be read, and decodes a token of every answer that is under way. `on_event` hears
    /// of each request by its name; a request is over once each of its answers is done.
    ///
    /// # Errors
    ///
    /// [`Error`] where the device fails: then no request can go on.
    pub async fn advance(
        &mut self,
        on_event: &mut impl FnMut(RequestId, Event<'_>),
    ) -> Result<(), Error> {
        let mut held: usize = self.jobs.iter().map(|job| job.pages).sum();
        while let Some(mut job) = self.waiting.pop_front() {
            held += job.pages;
            if held > self.cache.most_pages() {
                self.waiting.push_front(job);
                break;
            }
            let decoder = &self.session.decoder;
            self.cache.admit(decoder, &mut job.reader, job.most, 1)?;
            self.counts.reused += job.reader.reused() as u64;
            self.jobs.push(job);
        }
        self.step(on_event).await?;
        self.read(on_event).await?;
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let is_over = |job: &Job<'_>| job.answers.iter().all(|answer| answer.done);
        let (over, going): (Vec<_>, Vec<_>) = jobs.partition(is_over);
        self.jobs = going;
        over.iter().for_each(|job| job.end(&mut self.cache));
        Ok(())
    }

    /// One step of all answers that are decoded.
    async fn step(&mut self, on_event: &mut impl FnMut(RequestId, Event<'_>)) -> Result<(), Error> {
        let (mut tokens, mut rows) = (Vec::new(), Vec::new());
        for job in self.jobs.iter_mut().filter(|job| job.tokens > 0) {
            tokens.push(job.sampler.begin_step());
            let width = job.streams.len();
            let of_answer = |place: &usize| place * width..(place + 1) * width;
            rows.extend(
                job.active
                    .iter()
                    .flat_map(of_answer)
                    .map(|at| job.reader.rows()[at]),
            );
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.counts.steps += 1;
        let Logits(logits) =
            self.cache
                .step(&self.session.decoder, Tensor::cat(tokens, 0), &rows)?;
        let mut from = 0;
        let mut stepped = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| job.tokens > 0) {
            let count = job.active.len() * job.streams.len();
            stepped.push((job, logits.clone().narrow(0, from, count)));
            from += count;
        }
        take(self.session, stepped, &mut self.cache, on_event).await
    }

    /// The next chunk of prompts; with the last one of a request's come its answers' first tokens.
    async fn read(&mut self, on_event: &mut impl FnMut(RequestId, Event<'_>)) -> Result<(), Error> {
        let (decoder, cache) = (&self.session.decoder, &mut self.cache);
        let mut chunk = Chunk::default();
        for (at, job) in self.jobs.iter_mut().enumerate() {
            if job.tokens == 0 {
                job.reader.fill(at, &mut chunk, cache);
            }
        }
        if chunk.runs.is_empty() {
            return Ok(());
        }
        self.counts.read += chunk.tokens.len() as u64;
        let hidden = cache.read(decoder, &chunk.tokens, &chunk.runs)?;
        let mut begun = Vec::new();
        for (at, job) in self.jobs.iter_mut().enumerate() {
            if job.tokens > 0 {
                continue;
            }
            let ends = chunk.ends.iter().filter(|(whose, _)| *whose == at);
            let ends = ends.map(|(_, end)| hidden.clone().narrow(0, *end, 1));
            job.reader.take(ends, cache);
            let (done, total) = job.reader.progress();
            on_event(job.id, Event::Prefill { done, total });
            if let Some(last) = job.reader.hidden() {
                let Logits(logits) = decoder.logits(last);
                begun.push((job, logits));
            }
        }
        take(self.session, begun, &mut self.cache, on_event).await
    }
}

impl Job<'_> {
    /// The rows of all answers that are decoded are free for others, who may begin alike.
    fn end(&self, cache: &mut SharedCache) {
        self.active
            .iter()
            .for_each(|answer| self.end_answer(*answer, cache));
    }

    fn end_answer(&self, answer: usize, cache: &mut SharedCache) {
        let width = self.streams.len();
        let tokens = &self.answers[answer].generation.token_ids;
        (answer * width..(answer + 1) * width)
            .for_each(|place| self.reader.end(place, tokens, cache));
    }

    /// Takes the tokens that were chosen for the answers that are decoded.
    fn deliver(
        &mut self,
        session: &Session,
        chosen: &[i32],
        logits: &[f32],
        on_event: &mut impl FnMut(RequestId, Event<'_>),
    ) -> Result<(), Error> {
        let (width, vocab) = (self.streams.len(), session.decoder.config().vocab);
        self.tokens += 1;
        for (index, chosen) in sampler::read(chosen, self.active.len()).iter().enumerate() {
            let place = self.active[index];
            let answer = &mut self.answers[place];
            if answer.done {
                continue;
            }
            let rows = logits.chunks_exact(vocab).skip(index * width).take(width);
            let rows: Vec<&[f32]> = rows.collect();
            let first = rows.first().copied().unwrap_or_default();
            let last = self.tokens == self.most;
            let taken = answer.take(session, &self.request, chosen, rows, last)?;
            on_event(self.id, taken.event(place, chosen, first));
            if answer.done {
                let generation = &answer.generation;
                let answer = place;
                on_event(self.id, Event::Done { answer, generation });
            }
        }
        Ok(())
    }

    /// Drops answers that are done, see [`worth_dropping`].
    fn drop_done(&mut self, cache: &mut SharedCache) {
        let done = |answer: usize| self.answers[answer].done;
        let Some((gone, going)) = worth_dropping(&self.active, done) else {
            return;
        };
        self.sampler.keep(&going);
        for index in gone {
            self.end_answer(self.active[index], cache);
        }
        self.active = going.into_iter().map(|index| self.active[index]).collect();
    }
}

/// Chooses the next token of all answers of these jobs, from their streams' logits, with one readback.
async fn take(
    session: &Session,
    jobs: Vec<(&mut Job<'_>, Tensor<2>)>,
    cache: &mut SharedCache,
    on_event: &mut impl FnMut(RequestId, Event<'_>),
) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let (mut chosen, mut traced) = (Vec::new(), Vec::new());
    let mut choosing = Vec::with_capacity(jobs.len());
    for (job, logits) in jobs {
        let logits = masked(logits, &mut job.answers, &job.active);
        traced.push(job.request.trace.map(|_| logits.clone()));
        chosen.push(job.sampler.choose(Logits(logits)));
        choosing.push(job);
    }
    let jobs = choosing;
    let answers: usize = jobs.iter().map(|job| job.active.len()).sum();
    let chosen = read_ids(Tensor::cat(chosen, 0), &session.device).await?;
    let width = chosen.len() / answers.max(1);
    let mut rest = chosen.as_slice();
    for (job, logits) in jobs.into_iter().zip(traced) {
        let logits = match logits {
            Some(logits) => read(logits, &session.device).await?,
            None => Vec::new(),
        };
        let (own, others) = rest.split_at((job.active.len() * width).min(rest.len()));
        rest = others;
        job.deliver(session, own, &logits, on_event)?;
        job.drop_done(cache);
    }
    Ok(())
}
