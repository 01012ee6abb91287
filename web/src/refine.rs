//! Refinement (TPO) as JavaScript asks for it and hears of it.

use crate::error::{self, JsResult, bad_request};
use crate::{Begin, call, refused, to_object};
use js_sys::Function;
use periapt_core::Session;
use periapt_core::contract::{AskEvent, RefineParams, RefineRequest, RefineResult};
use periapt_core::reward::{AnyReward, Ask, Choice, Human, Reward, RewardError, RewardName};
use periapt_core::tpo::{self, Local, PromptSet, Prompts, RunEvent};
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

/// Runs the loop. `on_event` hears `{kind: "begin", header}`, the header being a
/// [`RecordHeader`](periapt_core::contract::RecordHeader) whose model's hash the caller knows, each
/// [`RunEvent`], and each [`AskEvent`]; a `choose` it answers with `"first"`, `"second"` or `"same"`.
pub async fn run(session: &Session, params: RefineParams, on_event: Function) -> JsResult<JsValue> {
    let request = params.into_request().map_err(refused)?;
    let RefineRequest {
        query,
        options,
        method,
        reward,
        nll_limit,
        recorded,
    } = request;
    let preference = query.preference.clone();
    let prompts = Prompts::from(PromptSet::for_size(session.decoder().parameters() as u64));
    let asked = reward.to_string();
    let (system, wish) = (query.system.clone(), preference.clone());
    let own = AnyReward::of_model(reward, session, system, wish, &query.reworded);
    let mut reward = match own {
        Some(reward) => reward,
        None if reward == RewardName::Human => AnyReward::Human(Human::new(ask(on_event.clone()))),
        None => {
            return Err(bad_request(&format!(
                "the reward {asked} needs a reward model, which is the command line's alone"
            )));
        }
    };
    reward.begin(&query.question);
    if let Some(limit) = nll_limit {
        reward.set_nll_limit(limit);
    }
    let header = session.record_header(&query, &options, &prompts, method.name(), asked);
    call(&on_event, &Begin::of(&header)).await?;
    let generator = Local {
        session,
        method,
        preference,
        batch: usize::MAX,
    };
    let mut thrown = None;
    let mut listen = async |event: RunEvent<'_>| match call(&on_event, &event).await {
        Ok(answer) if answer == JsValue::FALSE => ControlFlow::Break(()),
        Ok(_) => ControlFlow::Continue(()),
        Err(error) => {
            thrown = Some(error);
            ControlFlow::Break(())
        }
    };
    let outcome = tpo::refine(
        &query,
        &options,
        &prompts,
        &generator,
        &mut reward,
        recorded,
        &mut listen,
    )
    .await;
    if let Some(error) = thrown {
        return Err(error);
    }
    let outcome = outcome.map_err(|error| match error {
        tpo::Error::Session(error) | tpo::Error::Reward(RewardError::Session(error)) => {
            error::to_js(&error)
        }
        other => bad_request(&other.to_string()),
    })?;
    to_object(&RefineResult::from(outcome))
}

/// Asks whoever listens.
fn ask(on_event: Function) -> Ask<'static> {
    Box::new(move |query, a, b| {
        let on_event = on_event.clone();
        let (query, a, b) = (query.to_owned(), a.to_owned(), b.to_owned());
        Box::pin(async move {
            let event = AskEvent::Choose {
                query: &query,
                a: &a,
                b: &b,
            };
            let answer = call(&on_event, &event).await;
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            match answer.as_string().as_deref() {
                Some("first") => Ok(Choice::First),
                Some("second") => Ok(Choice::Second),
                _ => Ok(Choice::Same),
            }
        })
    })
}
