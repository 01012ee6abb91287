//! Several requests as one batch.

use crate::error::{self, JsResult};
use crate::{Begin, begin, to_object};
use js_sys::{Function, Promise};
use periapt_core::contract::GenerateResult;
use periapt_core::model::ModelError;
use periapt_core::session::{Event, GenerateRequest, Generation, RequestId, Scheduler};
use periapt_core::text::SystemPrompt;
use periapt_core::{Error, Session};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// A request on its way.
struct Job {
    /// Its place in the caller's list.
    place: usize,
    id: RequestId,
    request: GenerateRequest,
    system: Option<SystemPrompt>,
    /// Of each answer, once that is done.
    generations: Vec<Option<Generation>>,
    /// Whether it has a token.
    has_begun: bool,
}

impl Job {
    fn is_over(&self) -> bool {
        self.generations.iter().all(Option::is_some)
    }
}

/// See [`crate::Model::generate_together`].
pub async fn run(
    session: &Session,
    params: Vec<JsValue>,
    on_event: &Function,
) -> JsResult<Vec<JsValue>> {
    let failed = |error: Error| error::to_js(&error);
    let mut outcomes = vec![JsValue::UNDEFINED; params.len()];
    let mut scheduler = Scheduler::new(session, session.keeps).map_err(failed)?;
    let mut jobs: Vec<Job> = Vec::new();
    let mut waiting = params.into_iter().enumerate();
    loop {
        // One after the other: who comes first reads its prompts alone.
        if jobs.iter().all(|job| job.has_begun)
            && let Some((place, params)) = waiting.next()
        {
            match submit(session, &mut scheduler, place, params, on_event).await {
                Ok(Some(job)) => jobs.push(job),
                Ok(None) => outcomes[place] = JsValue::FALSE,
                Err(error) => outcomes[place] = error,
            }
            continue;
        }
        if jobs.is_empty() {
            break;
        }
        let mut told = Vec::new();
        let mut hear = |id: RequestId, event: Event<'_>| {
            let Some(job) = jobs.iter_mut().find(|job| job.id == id) else {
                return;
            };
            match event {
                Event::Done { answer, generation } => {
                    job.generations[answer] = Some(generation.clone());
                }
                event => {
                    job.has_begun |= matches!(event, Event::Token { .. });
                    told.push((id, job.place, to_object(&event)));
                }
            }
        };
        scheduler.advance(&mut hear).await.map_err(failed)?;
        for (id, place, event) in told {
            // One that was broken off by an event of this step hears of no other.
            let goes_on = !outcomes[place].is_undefined()
                || tell(on_event, place, event?).await? != JsValue::FALSE;
            if !goes_on {
                scheduler.cancel(id);
                outcomes[place] = JsValue::NULL;
            }
        }
        let mut going = Vec::new();
        for job in jobs {
            if outcomes[job.place].is_null() {
                continue;
            }
            if !job.is_over() {
                going.push(job);
                continue;
            }
            let generations = job.generations.into_iter().flatten().collect();
            let result = GenerateResult::of(session, &job.request, job.system, generations);
            outcomes[job.place] = to_object(&result)?;
        }
        jobs = going;
    }
    scheduler.finish();
    Ok(outcomes)
}

/// Takes a request up; nothing where it must be met alone, since it does not fit beside others.
async fn submit(
    session: &Session,
    scheduler: &mut Scheduler<'_>,
    place: usize,
    params: JsValue,
    on_event: &Function,
) -> JsResult<Option<Job>> {
    let (request, prompting, header) = begin(session, params)?;
    let id = match scheduler.submit(request.clone()) {
        Ok(id) => id,
        Err(Error::Model(ModelError::CacheTooLarge { .. })) => return Ok(None),
        Err(error) => return Err(error::to_js(&error)),
    };
    tell(on_event, place, to_object(&Begin::of(&header))?).await?;
    let answers = request.conversations.len().max(request.plain.len());
    Ok(Some(Job {
        place,
        id,
        system: prompting.system,
        generations: vec![None; answers],
        request,
        has_begun: false,
    }))
}

async fn tell(on_event: &Function, place: usize, event: JsValue) -> JsResult<JsValue> {
    let answer = on_event.call2(&JsValue::NULL, &JsValue::from(place), &event)?;
    JsFuture::from(Promise::resolve(&answer)).await
}
