//! Refinement (TPO) as JavaScript asks for it and hears of it.

use crate::error::{self, JsResult, bad_request};
use crate::request::{Chat, MethodName};
use crate::to_object;
use js_sys::{Function, Promise};
use periapt_core::Session;
use periapt_core::decoding::streams::expand_preference;
use periapt_core::decoding::{AmuletParams, Method, Sampling};
use periapt_core::reward::{AnyReward, Ask, Choice, Human, Judge, PreferenceReward, RewardError};
use periapt_core::tpo::{
    self, Local, Mode, Options, Prompts, Query, RecordLine, RefineEvent, Stage,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// What to refine, and how. All but `messages` may be left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefineParams {
    messages: Chat,
    /// As for an answer.
    preference: Option<String>,
    /// `preference` where there is one, else `judge`.
    reward: Option<RewardName>,
    mode: Option<Mode>,
    samples: Option<usize>,
    rounds: Option<usize>,
    max_new_tokens: Option<usize>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<u64>,
    /// How responses are decoded: base where it is left out.
    method: Option<MethodName>,
    /// The lines of a run that was broken off, as JSON, one a line.
    recorded: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RewardName {
    Preference,
    Judge,
    Human,
}

/// Runs the loop. `on_event` hears `{kind: "line", line}` for every line of the record, `{kind: "prefill", round, stage,
/// done, total}` while a prompt is read, `{kind: "token", round, stage, index, text}` for every token, and
/// `{kind: "choose", query, a, b}`, which it answers with `"first"`, `"second"` or `"same"`.
pub async fn run(session: &Session, params: RefineParams, on_event: Function) -> JsResult<JsValue> {
    let preference = params.preference.filter(|text| !text.trim().is_empty());
    let preference = preference.as_deref().map(expand_preference);
    let conversation = params.messages.into_conversation(None)?;
    let query = Query {
        question: conversation.question,
        system: conversation.system,
        earlier: conversation.earlier,
        preference: preference.clone(),
    };
    let defaults = Options::default();
    let options = Options {
        mode: params.mode.unwrap_or(defaults.mode),
        samples: params.samples.unwrap_or(defaults.samples),
        rounds: params.rounds.unwrap_or(defaults.rounds),
        sampling: Sampling {
            temperature: params.temperature.unwrap_or(defaults.sampling.temperature),
            top_p: params.top_p.unwrap_or(defaults.sampling.top_p),
            seed: params.seed.unwrap_or(defaults.sampling.seed),
            ..defaults.sampling
        },
        max_new_tokens: params.max_new_tokens.unwrap_or(256),
        ..defaults
    };
    let method = match params.method {
        None | Some(MethodName::Base) => Method::Base,
        Some(MethodName::Pref) => Method::Pref,
        Some(MethodName::La) => Method::LinearAlignment {
            strength: Method::LINEAR_ALIGNMENT_STRENGTH,
        },
        Some(MethodName::Amulet) => Method::Amulet(AmuletParams::default()),
    };
    let mut reward = match (params.reward, preference.clone()) {
        (None | Some(RewardName::Preference), Some(preference)) => AnyReward::Preference(
            PreferenceReward::new(session, query.system.clone(), preference),
        ),
        (Some(RewardName::Preference), None) => {
            return Err(bad_request("the reward preference needs a preference"));
        }
        (Some(RewardName::Human), _) => AnyReward::Human(Human::new(ask(on_event.clone()))),
        (None | Some(RewardName::Judge), preference) => {
            AnyReward::Judge(Judge::new(session, preference))
        }
    };
    let recorded = params.recorded.unwrap_or_default();
    let recorded = recorded
        .lines()
        .map(|line| {
            serde_json::from_str::<RecordLine>(line)
                .map_err(|error| bad_request(&error.to_string()))
        })
        .collect::<JsResult<Vec<_>>>()?;
    let prompts = Prompts::for_size(session.decoder().parameters() as u64);
    let generator = Local {
        session,
        method,
        preference,
        batch: usize::MAX,
    };
    let mut thrown = None;
    let mut listen = async |event: RefineEvent<'_>| match tell(&on_event, describe(&event)).await {
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
    let candidates: Vec<Value> = outcome
        .candidates
        .iter()
        .map(|(number, candidate)| {
            let mut object = json!(candidate);
            object["number"] = json!(number);
            object["reward"] = json!(outcome.rewards.get(number));
            object
        })
        .collect();
    to_object(&json!({
        "best": outcome.best,
        "candidates": candidates,
        "generations": outcome.generations,
        "tokens": outcome.tokens,
        "cancelled": outcome.cancelled,
    }))
}

fn describe(event: &RefineEvent<'_>) -> Value {
    let name = |stage: &Stage| match stage {
        Stage::Responses => "responses",
        Stage::Text(name) => name.name(),
    };
    match event {
        RefineEvent::Line { line, .. } => json!({ "kind": "line", "line": line }),
        RefineEvent::Prefill {
            round,
            stage,
            done,
            total,
        } => json!({
            "kind": "prefill",
            "round": round,
            "stage": name(stage),
            "done": done,
            "total": total,
        }),
        RefineEvent::Token {
            round,
            stage,
            index,
            text,
        } => json!({
            "kind": "token",
            "round": round,
            "stage": name(stage),
            "index": index,
            "text": text,
        }),
    }
}

/// Asks whoever listens.
fn ask(on_event: Function) -> Ask<'static> {
    Box::new(move |query, a, b| {
        let event = json!({ "kind": "choose", "query": query, "a": a, "b": b });
        let on_event = on_event.clone();
        Box::pin(async move {
            let answer = tell(&on_event, event)
                .await
                .map_err(|error| format!("{error:?}"))?;
            match answer.as_string().as_deref() {
                Some("first") => Ok(Choice::First),
                Some("second") => Ok(Choice::Second),
                _ => Ok(Choice::Same),
            }
        })
    })
}

async fn tell(on_event: &Function, event: Value) -> JsResult<JsValue> {
    let answer = on_event.call1(&JsValue::NULL, &to_object(&event)?)?;
    JsFuture::from(Promise::resolve(&answer)).await
}
