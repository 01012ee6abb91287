//! One loaded model's requests, decoded as one batch as they come.

use super::completion::{ById, Prompt};
use super::engine::{Ask, Job, Piece, Token, Told, Waits, tell};
use super::error::ApiError;
use super::metrics::Metrics;
use super::refine;
use periapt_core::Session;
use periapt_core::decoding::trace::log_probs_of;
use periapt_core::session::{Event, Generation, RequestId, Scheduler};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::{spawn_local, yield_now};

/// Meets requests for the model `name` until no more can come. Its cache has `cache` bytes; what is done stays there where it
/// `keeps` that.
pub async fn serve(
    name: &str,
    session: &Rc<Session>,
    (cache, keeps): (u64, bool),
    asked: &mut UnboundedReceiver<Job>,
    metrics: &Metrics,
) {
    while let Some(first) = asked.recv().await {
        match Scheduler::new(session, cache) {
            Ok(scheduler) => {
                let scheduler = (scheduler, keeps);
                meet(name, session, scheduler, first, asked, metrics).await;
            }
            Err(error) => tell(&first.tell, Told::Failed(error.into())),
        }
    }
}

/// Meets requests until no more can come, or the device fails.
async fn meet(
    name: &str,
    session: &Rc<Session>,
    (mut scheduler, keeps): (Scheduler<'_>, bool),
    first: Job,
    asked: &mut UnboundedReceiver<Job>,
    metrics: &Metrics,
) {
    let mut first = Some(first);
    let mut under_way: Vec<UnderWay> = Vec::new();
    loop {
        loop {
            let job = match first.take() {
                Some(job) => job,
                None if scheduler.is_idle() => match asked.recv().await {
                    Some(job) => job,
                    None => return,
                },
                None => match asked.try_recv() {
                    Ok(job) => job,
                    Err(_) => break,
                },
            };
            if job.tell.is_closed() {
                continue;
            }
            let to = job.tell.clone();
            match begin(session, &mut scheduler, job, metrics).await {
                Ok(begun) => under_way.extend(begun),
                Err(error) => tell(&to, Told::Failed(error)),
            }
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
        let advanced = scheduler.advance(&mut on_event).await;
        metrics.counts(name, scheduler.counts());
        if !keeps {
            scheduler.forget();
        }
        if let Err(error) = advanced {
            let error = ApiError::from(error);
            for one in under_way {
                tell(&one.tell, Told::Failed(error.clone()));
            }
            return;
        }
        under_way.retain(|one| one.left > 0);
        // Other models have their turn.
        yield_now().await;
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
    _waits: Option<Waits>,
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
                let best = best.map(Vec::as_slice).unwrap_or_default();
                let named = |id: u32| match self.by_id.names {
                    true => Piece::of_id(id),
                    false => piece(session, id),
                };
                let top: Vec<(Piece, f64)> = match &self.by_id.wanted[..] {
                    [] => (best.iter().map(|top| (named(top.id), top.log_prob))).collect(),
                    ids => {
                        let log_probs = log_probs_of(logits, ids);
                        ids.iter().map(|id| named(*id)).zip(log_probs).collect()
                    }
                };
                // The device's number and the trace's differ in their last digits: clients look for the one among the others.
                let own = best.iter().find(|top| top.id == id);
                let token = Token {
                    answer,
                    piece: named(id),
                    text: text.to_owned(),
                    log_prob: own.map_or(f64::from(log_prob), |own| own.log_prob),
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

/// Begins with a request; gives what of it is then under way.
async fn begin(
    session: &Rc<Session>,
    scheduler: &mut Scheduler<'_>,
    job: Job,
    metrics: &Metrics,
) -> Result<Option<UnderWay>, ApiError> {
    let to = job.tell;
    let mut named = ById::default();
    let request = match job.ask {
        Ask::Generate(request) => request,
        Ask::Refine(request) => {
            let run = refine::Run {
                session: Rc::clone(session),
                request: *request,
                model: job.model,
                queue: job.queue.ok_or_else(ApiError::ended)?,
                tell: to,
                _waits: job.waits,
            };
            spawn_local(run.run());
            return Ok(None);
        }
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
                        _ => session.rate_tokens(&ids).await?,
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
        Ask::Tokenize {
            text,
            begins,
            written_out,
        } => {
            let mut ids = match begins {
                true => session.encode_text("")?,
                false => Vec::new(),
            };
            ids.extend(match written_out {
                true => (session.tokenizer().encode_with_special(&text))
                    .map_err(periapt_core::Error::from)?,
                false => session.encode_answer(&text)?,
            });
            tell(&to, ids_of(session, ids));
            return Ok(None);
        }
        Ask::TokenizeChat(messages) => {
            tell(&to, ids_of(session, session.encode_chat(&messages)?));
            return Ok(None);
        }
        Ask::Describe => {
            let tokenizer = session.tokenizer();
            let written = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id));
            let told = Told::Tokenizer {
                bos: written(tokenizer.bos()),
                eos: written(tokenizer.eos()),
                template: session.template().map(str::to_owned),
                context: session.decoder().config().context,
            };
            tell(&to, told);
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
        let answers = session.generate(&request, on_event).await?;
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
