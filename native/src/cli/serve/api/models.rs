//! Which models are loaded: one is when it is asked for, and the one that was asked for the longest ago leaves where the memory,
//! or the bound on their number, asks for it. What is under way with it ends first, while what is new waits.

use super::batch;
use super::engine::{Job, Model, Told, tell};
use super::error::ApiError;
use super::metrics::Metrics;
use crate::cli::args::LoadArgs;
use crate::cli::load::{Loaded, load_on, open};
use crate::cli::memory::{self, Available};
use anyhow::Context;
use periapt_core::device::{self, OpenDevice};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{spawn_local, yield_now};

/// Models at once where it is known how much memory they find.
const MODELS: usize = 4;

/// What models find, and how they are loaded.
#[derive(Debug, Clone)]
pub struct Room {
    pub load: LoadArgs,
    /// Bytes of each one's cache.
    pub cache: u64,
    /// Whether what is done stays in it.
    pub keeps: bool,
    /// How many there may be at once.
    pub models: Option<usize>,
}

/// The models that are loaded, or on their way.
struct Models {
    room: Room,
    metrics: Arc<Metrics>,
    here: Vec<Here>,
    /// Requests that were handed over so far.
    requests: u64,
    /// Who leaves says it here.
    left: UnboundedSender<Model>,
}

/// One of them.
struct Here {
    model: Model,
    /// Nothing where it is to leave.
    jobs: Option<UnboundedSender<Job>>,
    /// Bytes of memory that it was predicted to need, without its cache.
    bytes: u64,
    /// The number of its last request.
    used: u64,
    /// Held by each of its requests.
    requests: Arc<()>,
}

impl Here {
    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.requests) > 1
    }
}

/// Has each request met by its model, until no more can come.
pub async fn run(mut room: Room, mut asked: UnboundedReceiver<Job>, metrics: Arc<Metrics>) {
    // The scheduler's cache is the only one.
    room.load.cache = Some(0);
    let (left, mut leaving) = unbounded_channel();
    let mut models = Models {
        room,
        metrics,
        here: Vec::new(),
        requests: 0,
        left,
    };
    let mut waiting = VecDeque::new();
    loop {
        tokio::select! {
            job = asked.recv() => match job {
                Some(job) => waiting.push_back(job),
                None => return,
            },
            gone = leaving.recv() => models.here.retain(|one| Some(&one.model) != gone.as_ref()),
        }
        models.hand_out(&mut waiting).await;
    }
}

impl Models {
    /// Hands requests to their models, in order; those whose model finds no room yet wait on.
    async fn hand_out(&mut self, waiting: &mut VecDeque<Job>) {
        let mut is_full = false;
        for _ in 0..waiting.len() {
            let Some(job) = waiting.pop_front() else {
                return;
            };
            if job.tell.is_closed() {
                continue;
            }
            let Some(job) = self.hand_over(job) else {
                continue;
            };
            if !is_full {
                match self.make_room(&job.model).await {
                    Ok(is_there) => is_full = !is_there,
                    Err(error) => {
                        let error = ApiError::internal(format!("{error:#}"));
                        tell(&job.tell, Told::Failed(error));
                        continue;
                    }
                }
            }
            waiting.extend(self.hand_over(job));
        }
    }

    /// Hands a request to its model; gives it back where that is not here to stay.
    fn hand_over(&mut self, mut job: Job) -> Option<Job> {
        let mut here = self.here.iter_mut();
        let Some(one) = here.find(|one| one.model == job.model) else {
            return Some(job);
        };
        let Some(jobs) = &one.jobs else {
            return Some(job);
        };
        self.requests += 1;
        one.used = self.requests;
        if let Some(waits) = &mut job.waits {
            waits._model = Some(Arc::clone(&one.requests));
        }
        job.queue = Some(jobs.clone());
        let SendError(mut job) = jobs.send(job).err()?;
        // It could not be loaded, and is about to leave.
        (one.jobs, job.queue) = (None, None);
        Some(job)
    }

    /// Begins to load a model, where there is room for it. Else the one that was asked for the longest ago is to leave, one
    /// that does nothing before one that is busy, and this is false.
    async fn make_room(&mut self, model: &Model) -> anyhow::Result<bool> {
        if self.here.iter().any(|one| one.jobs.is_none()) {
            return Ok(false);
        }
        let args = &self.room.load;
        let device = device::open(args.device).await?;
        let cannot_load = || format!("cannot load {}", model.path.display());
        let source = open(&model.path, args)?;
        let known = Available::of(args, &device)?;
        let (mut alone, mut beside) = (known, known);
        for one in &self.here {
            // Free memory is less already by what is loaded, and not yet by what its cache may come to.
            let is_counted = known.is_free && self.metrics.is_loaded(&one.model.name);
            let (freed, taken) = match is_counted {
                true => (one.bytes, 0),
                false => (0, one.bytes),
            };
            alone.bytes = alone.bytes.map(|bytes| bytes.saturating_add(freed));
            beside.bytes = (beside.bytes)
                .map(|bytes| bytes.saturating_sub(taken).saturating_sub(self.room.cache));
        }
        let need = |available| memory::check(source.gguf(), args, &device, available);
        let need_alone = need(alone).with_context(cannot_load)?;
        let most = self.room.models.unwrap_or(match known.bytes {
            Some(_) => MODELS,
            None => 1,
        });
        if self.here.len() < most && (self.here.is_empty() || need(beside).is_ok()) {
            self.begin(model, need_alone.bytes, device);
            return Ok(true);
        }
        let oldest = (self.here.iter_mut()).min_by_key(|one| (one.is_busy(), one.used));
        if let Some(oldest) = oldest {
            oldest.jobs = None;
        }
        Ok(false)
    }

    fn begin(&mut self, model: &Model, bytes: u64, device: OpenDevice) {
        let (jobs, asked) = unbounded_channel();
        self.metrics.loads(&model.name);
        self.here.push(Here {
            model: model.clone(),
            jobs: Some(jobs),
            bytes,
            used: self.requests,
            requests: Arc::default(),
        });
        let leaves = Leaves {
            model: model.clone(),
            metrics: Arc::clone(&self.metrics),
            left: self.left.clone(),
        };
        spawn_local(live(leaves, self.room.clone(), device, asked));
    }
}

/// Says that a model has left, however it does.
struct Leaves {
    model: Model,
    metrics: Arc<Metrics>,
    left: UnboundedSender<Model>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.metrics.left(&self.model.name);
        // Who listens may have ended, too.
        let _ = self.left.send(self.model.clone());
    }
}

/// A model's life: it is loaded, meets its requests until no more can come, and leaves its memory to others.
async fn live(leaves: Leaves, room: Room, device: OpenDevice, mut asked: UnboundedReceiver<Job>) {
    let Leaves { model, metrics, .. } = &leaves;
    let between = async || yield_now().await;
    match load_on(model.path.clone(), &room.load, &device, between).await {
        Ok(Loaded { session, .. }) => {
            metrics.loaded(&model.name);
            let session = Rc::new(session);
            let cache = (room.cache, room.keeps);
            batch::serve(&model.name, &session, cache, &mut asked, metrics).await;
        }
        Err(error) => {
            let error = ApiError::internal(format!("{error:#}"));
            asked.close();
            while let Some(job) = asked.recv().await {
                tell(&job.tell, Told::Failed(error.clone()));
            }
        }
    }
    // What the device keeps of it for tensors to come goes back.
    device.device.memory_cleanup();
}
