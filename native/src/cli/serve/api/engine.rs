//! The engine's own thread: `models` has the models that are asked for loaded, and each meets its requests as one batch
//! (`batch`). All of it runs on this thread in turns, a step of a model after a step of another, since a GPU's free memory is
//! kept for the thread that had it. Who hangs up is answered no further: the thread hears of it before the next step.

use super::completion::{ById, Prompt};
use super::error::ApiError;
use super::metrics::Metrics;
use super::models::{self, Room};
use periapt_core::contract::RefineRequest;
use periapt_core::decoding::trace::TokenTrace;
use periapt_core::session::{FinishReason, GenerateRequest, Rated};
use periapt_core::text::{Message, SystemPrompt};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

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
    /// What begins the model's texts and what ends them, its chat template and its context.
    Tokenizer {
        bos: Option<String>,
        eos: Option<String>,
        template: Option<String>,
        context: usize,
    },
    /// A refinement is so far.
    Works(String),
    /// Its best text, and what the answer says of the run; the answer is complete then.
    Refined { text: String, refine: Value },
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
    pub fn of_id(id: u32) -> Self {
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
    pub log_prob: f64,
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
    /// The best text of a refinement.
    Refine(Box<RefineRequest>),
    /// A text's ids.
    Tokenize {
        text: String,
        /// Whether it has what begins the model's texts before it.
        begins: bool,
        /// Whether control tokens are written out in it, and meant.
        written_out: bool,
    },
    /// A chat's.
    TokenizeChat(Vec<Message>),
    Detokenize(Vec<u32>),
    /// What the tokenizer is.
    Describe,
}

/// A model that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What `/v1/models` calls it.
    pub name: String,
    pub path: PathBuf,
}

/// A request on its way to its model.
pub struct Job {
    pub model: Model,
    pub ask: Ask,
    pub tell: UnboundedSender<Told>,
    /// Nothing of a request that another one makes.
    pub waits: Option<Waits>,
    /// Its model's requests, for one that makes others; the model stays as long as this does.
    pub queue: Option<UnboundedSender<Job>>,
}

/// While this is there, a request waits or is met.
pub struct Waits {
    metrics: Arc<Metrics>,
    /// What its model counts its requests by, once it has it.
    pub _model: Option<Arc<()>>,
}

impl Waits {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.enter();
        Self {
            metrics: Arc::clone(metrics),
            _model: None,
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.metrics.leave();
    }
}

/// Tells it, unless nobody listens any more.
pub fn tell(to: &UnboundedSender<Told>, told: Told) {
    // Who asked may have hung up.
    let _ = to.send(told);
}

/// The way to the engine's thread.
#[derive(Clone)]
pub struct Engine {
    jobs: UnboundedSender<Job>,
    metrics: Arc<Metrics>,
    most: usize,
}

impl Engine {
    /// Starts the thread. Up to `most` requests are met or wait.
    pub fn start(room: Room, most: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, asked) = unbounded_channel();
        let of_thread = Arc::clone(&metrics);
        let runtime = runtime::Builder::new_current_thread().build()?;
        let run = move || {
            LocalSet::new().block_on(&runtime, models::run(room, asked, of_thread));
        };
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(run)?;
        Ok(Self {
            jobs,
            metrics,
            most,
        })
    }

    /// Has `model` meet `ask`.
    pub fn ask(&self, model: &Model, ask: Ask) -> Result<UnboundedReceiver<Told>, ApiError> {
        let (tell, told) = unbounded_channel();
        let job = Job {
            model: model.clone(),
            ask,
            tell,
            waits: Some(Waits::begin(&self.metrics)),
            queue: None,
        };
        if self.metrics.waiting() > self.most as u64 {
            return Err(ApiError::busy(self.most));
        }
        self.jobs.send(job).map_err(|_| ApiError::ended())?;
        Ok(told)
    }
}
