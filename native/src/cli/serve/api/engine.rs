//! The engine's own thread: it loads models on demand, one at a time, and decodes all requests for one as one batch. Who hangs
//! up is answered no further: the thread hears of it before the next step.

use super::error::ApiError;
use super::metrics::Metrics;
use super::request::{ById, Prompt};
use crate::cli::args::LoadArgs;
use crate::cli::load::load_at;
use periapt_core::Session;
use periapt_core::decoding::trace::{TokenTrace, log_probs_of};
use periapt_core::session::{
    Event, FinishReason, GenerateRequest, Generation, Rated, RequestId, Scheduler,
};
use periapt_core::text::{Message, SystemPrompt};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the thread tells of a request, in this order.
#[derive(Debug)]
pub enum Told {
    /// What the chat template does with system prompts.
    Begun(Option<SystemPrompt>),
    /// A token of an answer.
    Token(Box<Token>),
    /// An answer is complete.
    Done {
        answer: usize,
        reason: FinishReason,
        tokens: usize,
        /// Of its prompt; of several streams' prompts the longest.
        prompt_tokens: usize,
    },
    /// The tokens of a text that was given, each (but the first) with what the model thinks of it.
    Rated {
        ids: Vec<Piece>,
        rated: Vec<(Rated, Piece)>,
    },
    /// Token ids, with the model's context and the tokens that end an answer, that of the template first.
    Ids {
        ids: Vec<u32>,
        context: usize,
        ends: Vec<u32>,
    },
    /// A text.
    Text(String),
    /// It went wrong; nothing more comes.
    Failed(ApiError),
}

/// A token, as text and as bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    pub text: String,
    pub bytes: Vec<u8>,
}

impl Piece {
    /// A token by its id, as vLLM's `return_tokens_as_token_ids` has it.
    fn of_id(id: u32) -> Self {
        Self {
            text: format!("token_id:{id}"),
            bytes: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub struct Token {
    pub answer: usize,
    pub piece: Piece,
    /// The text that it completes.
    pub text: String,
    pub log_prob: f32,
    pub k: f64,
    pub kl: Option<f32>,
    pub trace: Option<TokenTrace>,
    /// The likeliest tokens with their log-probabilities, where there is a trace.
    pub top: Vec<(Piece, f64)>,
}

/// What is asked of the engine.
#[derive(Debug)]
pub enum Ask {
    /// Answers.
    Generate(Box<GenerateRequest>),
    /// Answers to prompts that are texts or ids, which [`Told::Rated`] goes before where they are to be rated.
    Complete {
        request: Box<GenerateRequest>,
        prompts: Vec<Prompt>,
        n: usize,
        rate: bool,
        by_id: ById,
    },
    /// A text's ids, with what begins texts where `special` is true.
    Tokenize {
        text: String,
        special: bool,
    },
    /// A chat's.
    TokenizeChat(Vec<Message>),
    Detokenize(Vec<u32>),
}

struct Job {
    model: PathBuf,
    ask: Ask,
    tell: UnboundedSender<Told>,
    waits: Waits,
}

/// While this is there, a request waits or is met.
struct Waits(Arc<Metrics>);

impl Waits {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.enter();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The way to the engine's thread.
#[derive(Clone)]
pub struct Engine {
    jobs: Sender<Job>,
    metrics: Arc<Metrics>,
    most: usize,
}

impl Engine {
    /// Starts the thread. `args` say how to load a model, whose cache has `cache` bytes; up to `most` requests are met or wait.
    pub fn start(
        args: LoadArgs,
        cache: u64,
        most: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (jobs, asked) = channel();
        let of_thread = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run(&args, cache, &asked, &of_thread))?;
        Ok(Self {
            jobs,
            metrics,
            most,
        })
    }

    /// Has the model at `model` meet `ask`.
    pub fn ask(&self, model: &Path, ask: Ask) -> Result<UnboundedReceiver<Told>, ApiError> {
        let (tell, told) = unbounded_channel();
        let job = Job {
            model: model.to_owned(),
            ask,
            tell,
            waits: Waits::begin(&self.metrics),
        };
        if self.metrics.waiting() > self.most as u64 {
            return Err(ApiError::busy(self.most));
        }
        self.jobs.send(job).map_err(|_| ApiError::ended())?;
        Ok(told)
    }
}

fn run(args: &LoadArgs, cache: u64, asked: &Receiver<Job>, metrics: &Metrics) {
    let mut here: Option<(PathBuf, Session)> = None;
    let mut next = None;
    while let Some(job) = next.take().or_else(|| asked.recv().ok()) {
        if job.tell.is_closed() {
            continue;
        }
        if here.as_ref().is_none_or(|(path, _)| *path != job.model) {
            // The memory of one is the other's.
            here = None;
            match load_at(job.model.clone(), args) {
                Ok(loaded) => here = Some((job.model.clone(), loaded.session)),
                Err(error) => {
                    let error = ApiError::internal(format!("{error:#}"));
                    tell(&job.tell, Told::Failed(error));
                    continue;
                }
            }
        }
        if let Some((path, session)) = &here {
            next = with_model(path, session, cache, job, asked, metrics);
        }
    }
}

/// Meets requests for one model as they come, until one for another comes, which is given back.
fn with_model(
    path: &Path,
    session: &Session,
    cache: u64,
    first: Job,
    asked: &Receiver<Job>,
    metrics: &Metrics,
) -> Option<Job> {
    let mut scheduler = match Scheduler::new(session, cache) {
        Ok(scheduler) => scheduler,
        Err(error) => {
            tell(&first.tell, Told::Failed(error.into()));
            return None;
        }
    };
    let (mut first, mut other) = (Some(first), None);
    let mut under_way: Vec<UnderWay> = Vec::new();
    loop {
        while other.is_none() {
            let job = match first.take() {
                Some(job) => job,
                None if scheduler.is_idle() => asked.recv().ok()?,
                None => match asked.try_recv() {
                    Ok(job) => job,
                    Err(_) => break,
                },
            };
            if job.tell.is_closed() {
                continue;
            }
            if job.model != path {
                other = Some(job);
                break;
            }
            let to = job.tell.clone();
            match begin(session, &mut scheduler, job, metrics) {
                Ok(begun) => under_way.extend(begun),
                Err(error) => tell(&to, Told::Failed(error)),
            }
        }
        if scheduler.is_idle() {
            return other;
        }
        under_way.retain(|one| {
            let hangs_up = one.tell.is_closed();
            if hangs_up {
                scheduler.cancel(one.id);
            }
            !hangs_up
        });
        let mut on_event = |id: RequestId, event: Event<'_>| {
            if let Some(one) = under_way.iter_mut().find(|one| one.id == id) {
                one.hear(session, event, metrics);
            }
        };
        let advanced = pollster::block_on(scheduler.advance(&mut on_event));
        metrics.counts(scheduler.counts());
        if let Err(error) = advanced {
            let error = ApiError::from(error);
            for one in under_way {
                tell(&one.tell, Told::Failed(error.clone()));
            }
            return other;
        }
        under_way.retain(|one| one.left > 0);
    }
}

/// A request whose answers are under way.
struct UnderWay {
    id: RequestId,
    tell: UnboundedSender<Told>,
    /// What is told once it is certain that there will be an answer.
    begun: Option<Told>,
    /// Answers that are not complete.
    left: usize,
    last: Instant,
    by_id: ById,
    _waits: Waits,
}

impl UnderWay {
    fn hear(&mut self, session: &Session, event: Event<'_>, metrics: &Metrics) {
        if let Some(begun) = self.begun.take() {
            tell(&self.tell, begun);
        }
        match event {
            Event::Prefill { .. } => {}
            Event::Token {
                answer,
                id,
                text,
                log_prob,
                k,
                kl,
                trace,
                logits,
            } => {
                metrics.token(self.last.elapsed());
                self.last = Instant::now();
                let best = trace.and_then(|trace| trace.top.get("final"));
                let best = best.into_iter().flatten();
                let named = |id: u32| match self.by_id.names {
                    true => Piece::of_id(id),
                    false => piece(session, id),
                };
                let top: Vec<(Piece, f64)> = match &self.by_id.wanted[..] {
                    [] => best.map(|top| (named(top.id), top.log_prob)).collect(),
                    ids => {
                        let log_probs = log_probs_of(logits, ids);
                        ids.iter().map(|id| named(*id)).zip(log_probs).collect()
                    }
                };
                let token = Token {
                    answer,
                    piece: named(id),
                    text: text.to_owned(),
                    log_prob,
                    k,
                    kl,
                    trace: trace.cloned(),
                    top,
                };
                tell(&self.tell, Told::Token(Box::new(token)));
            }
            Event::Done { answer, generation } => {
                self.left -= 1;
                tell(&self.tell, complete(answer, generation, metrics));
            }
        }
    }
}

/// Tells it, unless nobody listens any more.
fn tell(to: &UnboundedSender<Told>, told: Told) {
    // Who asked may have hung up.
    let _ = to.send(told);
}

/// Begins with a request; gives what of it is then under way.
fn begin(
    session: &Session,
    scheduler: &mut Scheduler<'_>,
    job: Job,
    metrics: &Metrics,
) -> Result<Option<UnderWay>, ApiError> {
    let to = job.tell;
    let mut named = ById::default();
    let request = match job.ask {
        Ask::Generate(request) => request,
        Ask::Complete {
            mut request,
            prompts,
            n,
            rate,
            by_id,
        } => {
            named = by_id;
            for prompt in prompts {
                let ids = match prompt {
                    Prompt::Ids(ids) => ids,
                    Prompt::Text(text) => session.encode_text(&text)?,
                };
                if rate {
                    let rated = match ids.len() {
                        0 | 1 => Vec::new(),
                        _ => pollster::block_on(session.rate_tokens(&ids))?,
                    };
                    let rated = rated
                        .into_iter()
                        .map(|one| (one, piece(session, one.best_id)));
                    let ids = ids.iter().map(|id| piece(session, *id)).collect();
                    let rated = rated.collect();
                    tell(&to, Told::Rated { ids, rated });
                }
                request.plain.extend(std::iter::repeat_n(ids, n));
                if to.is_closed() {
                    return Ok(None);
                }
            }
            request
        }
        Ask::Tokenize { text, special } => {
            let ids = match special {
                true => session.encode_text(&text)?,
                false => session.encode_answer(&text)?,
            };
            tell(&to, ids_of(session, ids));
            return Ok(None);
        }
        Ask::TokenizeChat(messages) => {
            tell(&to, ids_of(session, session.encode_chat(&messages)?));
            return Ok(None);
        }
        Ask::Detokenize(ids) => {
            let text = session.tokenizer().decode(&ids);
            tell(&to, Told::Text(text.map_err(periapt_core::Error::from)?));
            return Ok(None);
        }
    };
    let system = match request.plain.is_empty() {
        true => session.prompting(&request)?.system,
        false => None,
    };
    if request.max_new_tokens == 0 {
        // There is nothing to decode.
        let on_event = &mut async |_: Event<'_>| ControlFlow::Continue(());
        let answers = pollster::block_on(session.generate(&request, on_event))?;
        tell(&to, Told::Begun(system));
        for (answer, generation) in answers.iter().enumerate() {
            tell(&to, complete(answer, generation, metrics));
        }
        return Ok(None);
    }
    let left = request.conversations.len().max(request.plain.len());
    Ok(Some(UnderWay {
        id: scheduler.submit(*request)?,
        tell: to,
        begun: Some(Told::Begun(system)),
        left,
        last: Instant::now(),
        by_id: named,
        _waits: job.waits,
    }))
}

/// Token ids as they are told.
fn ids_of(session: &Session, ids: Vec<u32>) -> Told {
    let own = session.end_of_turn();
    let others = session.tokenizer().ends_of_generation().iter().copied();
    Told::Ids {
        ids,
        context: session.decoder().config().context,
        ends: own
            .into_iter()
            .chain(others.filter(|id| Some(*id) != own))
            .collect(),
    }
}

/// What is told of an answer that is complete.
fn complete(answer: usize, generation: &Generation, metrics: &Metrics) -> Told {
    let prompts = generation.prompt_token_ids.iter();
    let prompt_tokens = prompts.map(|(_, ids)| ids.len()).max().unwrap_or(0);
    metrics.answer(prompt_tokens);
    Told::Done {
        answer,
        reason: generation.finish_reason,
        tokens: generation.token_ids.len(),
        prompt_tokens,
    }
}

/// What stands for a token: its text, where its bytes are one by themselves, and its bytes.
fn piece(session: &Session, id: u32) -> Piece {
    let tokenizer = session.tokenizer();
    let bytes = tokenizer.token_bytes(id).map(|bytes| bytes.into_owned());
    let bytes = bytes.unwrap_or_default();
    let text = match tokenizer.is_control(id) {
        true => tokenizer.piece(id).unwrap_or_default(),
        false => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Piece { text, bytes }
}
