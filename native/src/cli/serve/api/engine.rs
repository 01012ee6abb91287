//! The engine's own thread: it loads models on demand, one at a time, and meets requests in the order in which they came. Who
//! hangs up is answered no further: the thread hears of it at the next token.

use super::error::ApiError;
use super::metrics::Metrics;
use crate::cli::args::{LoadArgs, ModelArgs};
use crate::cli::load::{Loaded, load};
use periapt_core::Session;
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::session::{Event, FinishReason, GenerateRequest, Generation, Rated};
use periapt_core::text::SystemPrompt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
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
    /// Token ids.
    Ids(Vec<u32>),
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
        prompts: Vec<super::request::Prompt>,
        n: usize,
        rate: bool,
    },
    /// A text's ids; of a chat where it is none.
    Tokenize {
        text: Result<String, Vec<periapt_core::text::Message>>,
        special: bool,
    },
    Detokenize(Vec<u32>),
}

struct Job {
    model: PathBuf,
    ask: Ask,
    tell: UnboundedSender<Told>,
    _waits: Waits,
}

/// While this is there, a request waits or is met.
struct Waits(Arc<Metrics>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The way to the engine's thread.
#[derive(Clone)]
pub struct Engine {
    jobs: SyncSender<Job>,
    metrics: Arc<Metrics>,
    most: usize,
}

impl Engine {
    /// Starts the thread. `args` say how to load a model; up to `most` requests wait for the one that is met.
    pub fn start(args: LoadArgs, most: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, asked) = sync_channel(most);
        let of_thread = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run(&args, &asked, &of_thread))?;
        Ok(Self {
            jobs,
            metrics,
            most,
        })
    }

    /// Has the model at `model` meet `ask`.
    pub fn ask(&self, model: &Path, ask: Ask) -> Result<UnboundedReceiver<Told>, ApiError> {
        let (tell, told) = unbounded_channel();
        self.metrics.enter();
        let job = Job {
            model: model.to_owned(),
            ask,
            tell,
            _waits: Waits(Arc::clone(&self.metrics)),
        };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(told),
            Err(TrySendError::Full(_)) => Err(ApiError::busy(self.most)),
            Err(TrySendError::Disconnected(_)) => Err(ApiError::ended()),
        }
    }
}

fn run(args: &LoadArgs, asked: &Receiver<Job>, metrics: &Metrics) {
    let mut here: Option<Loaded> = None;
    while let Ok(job) = asked.recv() {
        if job.tell.is_closed() {
            continue;
        }
        if here.as_ref().is_none_or(|here| here.path != job.model) {
            // The memory of one is the other's.
            here = None;
            let model = job.model.to_string_lossy().into_owned();
            let args = ModelArgs {
                model: Some(model),
                load: args.clone(),
            };
            match load(&args) {
                Ok(loaded) => {
                    here = Some(Loaded {
                        path: job.model.clone(),
                        ..loaded
                    })
                }
                Err(error) => {
                    tell(
                        &job.tell,
                        Told::Failed(ApiError::internal(format!("{error:#}"))),
                    );
                    continue;
                }
            }
        }
        let Some(loaded) = &here else { continue };
        if let Err(error) = meet(&loaded.session, job.ask, &job.tell, metrics) {
            tell(&job.tell, Told::Failed(error));
        }
    }
}

/// Tells it, unless nobody listens any more.
fn tell(to: &UnboundedSender<Told>, told: Told) {
    // Who asked may have hung up.
    let _ = to.send(told);
}

fn meet(
    session: &Session,
    ask: Ask,
    to: &UnboundedSender<Told>,
    metrics: &Metrics,
) -> Result<(), ApiError> {
    match ask {
        Ask::Generate(request) => generate(session, &request, to, metrics),
        Ask::Complete {
            mut request,
            prompts,
            n,
            rate,
        } => {
            for prompt in prompts {
                let ids = match prompt {
                    super::request::Prompt::Ids(ids) => ids,
                    super::request::Prompt::Text(text) => session.encode_text(&text)?,
                };
                if rate {
                    let rated = match ids.len() {
                        0 | 1 => Vec::new(),
                        _ => pollster::block_on(session.rate_tokens(&ids))?,
                    };
                    let rated = rated
                        .into_iter()
                        .map(|one| (one, piece(session, one.best_id)));
                    tell(
                        to,
                        Told::Rated {
                            ids: ids.iter().map(|id| piece(session, *id)).collect(),
                            rated: rated.collect(),
                        },
                    );
                }
                request.plain.extend(std::iter::repeat_n(ids, n));
                if to.is_closed() {
                    return Ok(());
                }
            }
            generate(session, &request, to, metrics)
        }
        Ask::Tokenize { text, special } => {
            let ids = match text {
                Err(messages) => session.encode_chat(&messages)?,
                Ok(text) if special => session.encode_text(&text)?,
                Ok(text) => session.encode_answer(&text)?,
            };
            tell(to, Told::Ids(ids));
            Ok(())
        }
        Ask::Detokenize(ids) => {
            let text = session.tokenizer().decode(&ids);
            let text = text.map_err(periapt_core::Error::from)?;
            tell(to, Told::Text(text));
            Ok(())
        }
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

fn generate(
    session: &Session,
    request: &GenerateRequest,
    to: &UnboundedSender<Told>,
    metrics: &Metrics,
) -> Result<(), ApiError> {
    let system = match request.plain.is_empty() {
        true => session.prompting(request)?.system,
        false => None,
    };
    // Once it is certain that there will be an answer.
    let mut begun = Some(Told::Begun(system));
    let mut done = vec![false; request.conversations.len().max(request.plain.len())];
    let mut last = Instant::now();
    let complete = |answer: usize, generation: &Generation| {
        let prompts = generation.prompt_token_ids.iter();
        let prompt_tokens = prompts.map(|(_, ids)| ids.len()).max().unwrap_or(0);
        metrics.answer(prompt_tokens);
        Told::Done {
            answer,
            reason: generation.finish_reason,
            tokens: generation.token_ids.len(),
            prompt_tokens,
        }
    };
    let mut on_event = async |event: Event<'_>| {
        if let Some(begun) = begun.take() {
            tell(to, begun);
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
            } => {
                metrics.token(last.elapsed());
                last = Instant::now();
                let best = trace.and_then(|trace| trace.top.get("final"));
                let best = best.into_iter().flatten();
                let token = Token {
                    answer,
                    piece: piece(session, id),
                    text: text.to_owned(),
                    log_prob,
                    k,
                    kl,
                    trace: trace.cloned(),
                    top: best
                        .map(|top| (piece(session, top.id), top.log_prob))
                        .collect(),
                };
                tell(to, Told::Token(Box::new(token)));
            }
            Event::Done { answer, generation } => {
                done[answer] = true;
                tell(to, complete(answer, generation));
            }
        }
        match to.is_closed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let answers = pollster::block_on(session.generate(request, &mut on_event))?;
    // Those that had no token to tell.
    for (answer, generation) in answers.iter().enumerate().filter(|(at, _)| !done[*at]) {
        tell(to, complete(answer, generation));
    }
    Ok(())
}
