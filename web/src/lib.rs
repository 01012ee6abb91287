//! The wasm-bindgen face of periapt-core, made for a dedicated Web Worker: [`Engine`] opens the
//! device, [`ModelLoader`] takes a model file in chunks, [`files::FilesLoader`] reads a model's files, and [`Model`]
//! answers. Values cross as plain objects, with the names that the command line's `--json` uses; an error crosses as a
//! JavaScript `Error` with a stable `code` ([`error`]).
//!
//! One call at a time: a call that waits holds its object, and a second one on it fails.

// What it takes from JavaScript is private to Rust, and documented where it stands.
#![allow(rustdoc::private_intra_doc_links)]

mod error;
mod files;
mod refine;
mod together;

use error::{JsResult, bad_request};
use files::Hasher;
use js_sys::{Function, Promise};
use periapt_core::contract::{
    BadRequest, ChatPrompt, GenerateParams, GenerateResult, PersonaParams, RunHeader, ScoreParams,
    ScoreResult,
};
use periapt_core::decoding::PromptSet;
use periapt_core::decoding::streams::Stream;
use periapt_core::decoding::{AmuletParams, Method};
use periapt_core::kernels::{Tuning, measure};
use periapt_core::load::{self, LoadError, Loader};
use periapt_core::reward::{FitReward, Response, rewordings};
use periapt_core::session::{Event, GenerateRequest, Prompting, Steps, pace};
use periapt_core::text::Today;
use periapt_core::{DeviceChoice, Error, OpenDevice, Session};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Sends a panic's message to the console before the instance is lost.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The device that computes.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    device: OpenDevice,
}

#[wasm_bindgen]
impl Engine {
    /// Opens `"gpu"`, `"cpu"`, or the better of both that there is (`"auto"`).
    ///
    /// # Errors
    ///
    /// `device` where it can't be opened, `bad_request` for another name.
    pub async fn open(device: String) -> JsResult<Engine> {
        let choice = match device.as_str() {
            "auto" => DeviceChoice::Auto,
            "gpu" => DeviceChoice::Gpu,
            "cpu" => DeviceChoice::Cpu,
            other => return Err(bad_request(&format!("no device is called {other:?}"))),
        };
        let device = periapt_core::device::open(choice)
            .await
            .map_err(|error| error::to_js(&error.into()))?;
        Ok(Self { device })
    }

    /// What computes: `{kind, name, backend, software, driver}`.
    ///
    /// # Errors
    ///
    /// None in practice: the object always converts.
    #[wasm_bindgen(getter)]
    pub fn adapter(&self) -> JsResult<JsValue> {
        to_object(&self.device.info)
    }

    /// How many bytes of weights a second are decoded here, measured for about `ms`: see [`pace`].
    ///
    /// # Errors
    ///
    /// `device_failed`.
    pub async fn pace(&self, ms: f64) -> JsResult<f64> {
        let now = clock()?;
        let measured = pace(&self.device, ms, &now).await;
        measured.map_err(|error| error::to_js(&error))
    }

    /// A loader onto this device. `total` is the file's length in bytes where it is known.
    pub fn loader(&self, total: Option<f64>) -> ModelLoader {
        let total = total
            .filter(|total| *total >= 0.0)
            .map(|total| total as u64);
        ModelLoader {
            loader: Loader::new(&self.device, total),
            hasher: Hasher::new(),
        }
    }
}

/// A persona after a change, with what is known by it: `params` is a [`PersonaParams`]. Needs no model and no device.
///
/// # Errors
///
/// `bad_request`.
#[wasm_bindgen]
pub fn persona(params: JsValue) -> JsResult<JsValue> {
    let params: PersonaParams = from_object(params)?;
    to_object(&params.apply().map_err(refused)?)
}

/// Takes a model file in chunks of any size, in order.
#[wasm_bindgen]
#[derive(Debug)]
pub struct ModelLoader {
    loader: Loader,
    hasher: Hasher,
}

#[wasm_bindgen]
impl ModelLoader {
    /// Takes the file's next bytes. After an error the loader is of no more use.
    ///
    /// # Errors
    ///
    /// As soon as the bytes show that the file can't be loaded.
    pub fn push(&mut self, chunk: &[u8]) -> JsResult<()> {
        self.hasher.update(chunk);
        self.loader
            .push(chunk)
            .map_err(|error| error::to_js(&error.into()))
    }

    /// The SHA-256 of the bytes so far, in hexadecimal.
    #[wasm_bindgen(getter)]
    pub fn sha256(&self) -> String {
        self.hasher.sha256()
    }

    /// The model, once the whole file has been pushed.
    ///
    /// # Errors
    ///
    /// `model_file` where the file ended early.
    pub fn finish(self) -> JsResult<Model> {
        Model::new(self.loader.finish())
    }
}

/// Bytes of keys and values that stay for a chat's next turn: WASM has 4 GB for all.
const KEEPS: u64 = 128 << 20;

/// A model on the device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    session: Session,
}

impl Model {
    /// A session with what was loaded, whose chat template is told the day that it is here.
    fn new(loaded: Result<load::Model, LoadError>) -> JsResult<Self> {
        let session = loaded.map_err(Error::from).and_then(Session::new);
        let mut session = session.map_err(|error| error::to_js(&error))?;
        session.keeps = KEEPS;
        let now = js_sys::Date::new_0();
        session.set_today(Today {
            year: now.get_full_year() as u16,
            month: now.get_month() as u8 + 1,
            day: now.get_date() as u8,
        });
        Ok(Self { session })
    }
}

#[wasm_bindgen]
impl Model {
    /// What the file says of itself, and how it is run: a [`ModelInfo`](periapt_core::contract::ModelInfo).
    ///
    /// # Errors
    ///
    /// None in practice: the object always converts.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> JsResult<JsValue> {
        to_object(&self.session.info())
    }

    /// Answers. `params` is a [`GenerateParams`]; `on_event` is called with `{kind: "begin", header}`, the header being a
    /// [`RunHeader`] whose file the caller knows, and with each
    /// [`Event`] as it happens, and breaks off by returning `false`, or a promise of it: the engine waits for a promise,
    /// which gives the worker a turn to hear of a cancellation on the CPU backend, too. Gives a [`GenerateResult`].
    ///
    /// # Errors
    ///
    /// `bad_request`, one of the engine's own codes, or whatever `on_event` throws.
    pub async fn generate(&self, params: JsValue, on_event: Function) -> JsResult<JsValue> {
        let (request, prompting, header) = begin(&self.session, params)?;
        call(&on_event, &Begin::of(&header)).await?;
        let mut thrown = None;
        let mut listen = async |event: Event<'_>| match tell(&on_event, event).await {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(error) => {
                thrown = Some(error);
                ControlFlow::Break(())
            }
        };
        let generations = self.session.generate(&request, &mut listen).await;
        if let Some(error) = thrown {
            return Err(error);
        }
        let generations = generations.map_err(|error| error::to_js(&error))?;
        let system = prompting.system;
        to_object(&GenerateResult::of(
            &self.session,
            &request,
            system,
            generations,
        ))
    }

    /// Answers several requests as one batch: each joins it once the one before has its first token, so that this one does not
    /// wait for the others' prompts. `on_event` is called with a request's place in the list and what [`Model::generate`] tells of it,
    /// and breaks that one off by returning `false`. Gives for each a [`GenerateResult`], the error that it ended with,
    /// `null` where it was broken off, or `false` where it must be met alone, since it does not fit beside others.
    ///
    /// # Errors
    ///
    /// Whatever `on_event` throws, or where the device fails.
    pub async fn generate_together(
        &self,
        params: Vec<JsValue>,
        on_event: Function,
    ) -> JsResult<Vec<JsValue>> {
        together::run(&self.session, params, &on_event).await
    }

    /// Scores answers: `params` is a [`ScoreParams`]. Gives a list of [`ScoreResult`]s.
    ///
    /// # Errors
    ///
    /// `bad_request`, or one of the engine's own codes.
    pub async fn score(&self, params: JsValue) -> JsResult<JsValue> {
        let ScoreParams {
            messages,
            preference,
            prompt_set,
            reworded,
            responses,
        } = from_object(params)?;
        let reworded = rewordings(&reworded, &preference);
        let reworded = reworded.map_err(|error| error::bad_request(&error.to_string()))?;
        let set = prompt_set.unwrap_or_default();
        let conversation = messages.into_conversation(set, Some(preference));
        let conversation = conversation.map_err(refused)?;
        let scores = async {
            let encode = |text: &String| self.session.encode_answer(text);
            let answers = responses
                .iter()
                .map(encode)
                .collect::<Result<Vec<_>, _>>()?;
            let pairs: Vec<_> = answers
                .iter()
                .map(|answer| (&conversation, answer.as_slice()))
                .collect();
            let scores = self.session.score_all(&pairs).await?;
            let preference = conversation.preference.clone().unwrap_or_default();
            let system = conversation.system.clone();
            let mut fit = FitReward::new(&self.session, system, preference, &reworded);
            let answers: Vec<_> = responses.iter().map(|text| Response::ended(text)).collect();
            let ratings = fit.rate(&conversation, &answers).await?;
            let fits = fit.scores(&ratings);
            let both = scores.into_iter().zip(fits);
            Ok(both
                .map(|(score, fit)| ScoreResult { score, fit })
                .collect::<Vec<_>>())
        };
        to_object(&scores.await.map_err(|error: Error| error::to_js(&error))?)
    }

    /// Refines an answer (TPO): `params` is a [`RefineParams`](periapt_core::contract::RefineParams). `on_event` is called
    /// as [`refine::run`] says, and breaks off by returning `false`, or a promise of it; the best so far comes back then. Gives a
    /// [`RefineResult`](periapt_core::contract::RefineResult).
    ///
    /// # Errors
    ///
    /// `bad_request`, one of the engine's own codes, or whatever `on_event` throws.
    pub async fn refine(&self, params: JsValue, on_event: Function) -> JsResult<JsValue> {
        refine::run(&self.session, from_object(params)?, on_event).await
    }

    /// Takes the kernels that are fastest on this adapter: those that `known` names, what an earlier call on the same
    /// adapter gave, and where it names none, after measuring. Gives all that is known now.
    ///
    /// # Errors
    ///
    /// `device_failed`. What `known` is not is measured anew.
    pub async fn tune(&mut self, known: Option<String>) -> JsResult<String> {
        let known = known.and_then(|known| serde_json::from_str(&known).ok());
        let mut known: Tuning = known.unwrap_or_default();
        let now = clock()?;
        let tuned = self.session.tune(&mut known, &now).await;
        tuned.map_err(|error| error::to_js(&error))?;
        serde_json::to_string(&known).map_err(|error| error::new("internal", &error.to_string()))
    }

    /// What a decode step costs here, the mean of `steps` steps of one answer at a depth of `context` tokens: `{rows,
    /// host_ms, step_ms, dispatches}`, `host_ms` being what passes until the step is recorded and submitted.
    ///
    /// # Errors
    ///
    /// One of the engine's own codes.
    pub async fn bench(&self, amulet: bool, context: usize, steps: usize) -> JsResult<JsValue> {
        let method = match amulet {
            true => Method::Amulet(AmuletParams::default()),
            false => Method::Pref,
        };
        let now = clock()?;
        let measured = async {
            let (decoder, device) = (self.session.decoder(), self.session.device());
            let room = steps + 2;
            let kv = self.session.kv;
            let mut batch = Steps::new(decoder, device, &method, 1, context, room, kv)?;
            // The first two compile kernels.
            batch.step(&now).await?;
            batch.step(&now).await?;
            let before = measure::dispatches();
            let (mut host, mut whole) = (0.0, 0.0);
            for _ in 0..steps {
                let time = batch.step(&now).await?;
                host += time.record + time.submit;
                whole += time.whole;
            }
            let count = steps.max(1) as f64;
            Ok(json!({
                "rows": batch.rows(),
                "host_ms": host / count,
                "step_ms": whole / count,
                "dispatches": (measure::dispatches() - before) as f64 / count,
            }))
        };
        to_object(&measured.await.map_err(|error| error::to_js(&error))?)
    }

    /// The tokens of a text, without a beginning-of-text token: `{token_ids, pieces}`. `special` parses control tokens in
    /// the text; without it they are ordinary text.
    ///
    /// # Errors
    ///
    /// `text` where the tokenizer fails.
    pub fn tokenize(&self, text: &str, special: Option<bool>) -> JsResult<JsValue> {
        let tokenizer = self.session.tokenizer();
        let ids = match special.unwrap_or(false) {
            true => tokenizer.encode_with_special(text),
            false => tokenizer.encode(text),
        };
        let ids = ids.map_err(|error| error::to_js(&error.into()))?;
        let piece = |id: &u32| tokenizer.piece(*id).unwrap_or_default();
        let pieces: Vec<String> = ids.iter().map(piece).collect();
        to_object(&json!({ "token_ids": ids, "pieces": pieces }))
    }

    /// The text of tokens.
    ///
    /// # Errors
    ///
    /// `bad_request` where an id is none of the model's.
    pub fn detokenize(&self, ids: &[u32]) -> JsResult<String> {
        let text = self.session.tokenizer().decode(ids);
        text.map_err(|error| bad_request(&error.to_string()))
    }

    /// The logits of all tokens after these.
    ///
    /// # Errors
    ///
    /// One of the engine's own codes.
    pub async fn next_logits(&self, ids: Vec<u32>) -> JsResult<Vec<f32>> {
        let logits = self.session.next_logits(&ids).await;
        logits.map_err(|error| error::to_js(&error))
    }

    /// The `count` best next tokens after a chat prompt (`{messages}`), best first:
    /// `{token_ids, top: [[id, logit, piece], ...]}`.
    ///
    /// # Errors
    ///
    /// `bad_request`, or one of the engine's own codes.
    pub async fn top_logits(&self, prompt: JsValue, count: usize) -> JsResult<JsValue> {
        let prompt: ChatPrompt = from_object(prompt)?;
        let conversation = prompt
            .messages
            .into_conversation(PromptSet::default(), None)
            .map_err(refused)?;
        let messages = conversation.messages(&Stream::base());
        let top = async {
            let ids = self.session.encode_chat(&messages)?;
            let logits = self.session.next_logits(&ids).await?;
            Ok((ids, logits))
        };
        let (ids, logits) = top.await.map_err(|error| error::to_js(&error))?;
        // A row without a token has none.
        let mut order: Vec<usize> = (0..logits.len())
            .filter(|id| logits[*id] > f32::NEG_INFINITY)
            .collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        order.truncate(count);
        let tokenizer = self.session.tokenizer();
        let top: Vec<_> = order
            .into_iter()
            .map(|id| {
                (
                    id,
                    logits[id],
                    tokenizer.piece(id as u32).unwrap_or_default(),
                )
            })
            .collect();
        to_object(&json!({ "token_ids": ids, "top": top }))
    }
}

/// What a caller asks for, how its prompts come to be, and the header that says so.
fn begin(session: &Session, params: JsValue) -> JsResult<(GenerateRequest, Prompting, RunHeader)> {
    let request = from_object::<GenerateParams>(params)?;
    let request = request.into_request().map_err(refused)?;
    let valid = request.validate().map_err(Error::from);
    valid.map_err(|error| error::to_js(&error))?;
    let prompting = session.prompting(&request);
    let prompting = prompting.map_err(|error| error::to_js(&error))?;
    let header = session.run_header(&request, prompting);
    Ok((request, prompting, header))
}

/// The browser's clock, in milliseconds.
fn clock() -> JsResult<impl Fn() -> f64> {
    let clock = js_sys::Reflect::get(&js_sys::global(), &"performance".into())?;
    let now: Function = js_sys::Reflect::get(&clock, &"now".into())?.dyn_into()?;
    Ok(move || {
        let time = now.call0(&clock);
        time.ok().and_then(|time| time.as_f64()).unwrap_or(f64::NAN)
    })
}

/// Calls `on_event` and waits for its promise; `false` where that gave `false`.
async fn tell(on_event: &Function, event: Event<'_>) -> JsResult<bool> {
    match event {
        // All answers are the call's result.
        Event::Done { .. } => Ok(true),
        event => Ok(call(on_event, &event).await? != JsValue::FALSE),
    }
}

/// The first event: what decides all that follows.
#[derive(Serialize)]
struct Begin<'a, H> {
    kind: &'static str,
    header: &'a H,
}

impl<'a, H> Begin<'a, H> {
    fn of(header: &'a H) -> Self {
        let kind = "begin";
        Self { kind, header }
    }
}

/// Calls `on_event` and gives what it, or its promise, gives.
async fn call<T: Serialize>(on_event: &Function, event: &T) -> JsResult<JsValue> {
    let answer = on_event.call1(&JsValue::NULL, &to_object(event)?)?;
    JsFuture::from(Promise::resolve(&answer)).await
}

/// A request that can't be met as it stands.
fn refused(error: BadRequest) -> JsValue {
    bad_request(&error.to_string())
}

/// What a caller passed, or why it is not what is wanted.
fn from_object<T: DeserializeOwned>(value: JsValue) -> JsResult<T> {
    serde_wasm_bindgen::from_value(value).map_err(|error| bad_request(&error.to_string()))
}

/// A value as a plain JavaScript object.
fn to_object<T: Serialize>(value: &T) -> JsResult<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value
        .serialize(&serializer)
        .map_err(|error| error::new("internal", &error.to_string()))
}
