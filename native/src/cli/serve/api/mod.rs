//! OpenAI's API (<https://platform.openai.com/docs/api-reference>), so that the programs that speak it are aligned with their
//! user: all that is Periapt's own stands in one object, `alignment`.
//!
//! Reading order: this file (the addresses, and who may ask), `request` (what is asked), `engine` (who answers), with `models`
//! (which are loaded), `batch` (one model's requests) and `refine` (those that one request makes), `answer` (how that is told), `error`, `metrics`.

mod answer;
mod batch;
mod engine;
mod error;
mod metrics;
mod models;
mod refine;
mod request;

pub use models::Room;

use super::{Offers, json_response};
use crate::store::Recommended;
use answer::{Answers, Frame, Kind};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    AUTHORIZATION, CONTENT_TYPE, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::{Ask, Engine, Model, Told};
use error::ApiError;
use futures_core::Stream;
use metrics::Metrics;
use periapt_core::contract::Chat;
use periapt_core::decoding::Method;
use refine::Refined;
use request::{Defaults, object};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

/// How requests are met, as the command line says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How models are loaded, and what they find.
    pub room: Room,
    /// The preference of chats that name none.
    pub prefer: Option<String>,
    /// The key that every request must bring.
    pub key: Option<String>,
    /// Pages of other origins that may ask.
    pub origins: Vec<String>,
    /// The server's own origins.
    pub own: Vec<String>,
    /// Requests that may be met or wait.
    pub queue: usize,
    /// A body's bytes.
    pub body: usize,
    /// For a body to come.
    pub patience: Duration,
    /// Tokens of a chat's answer that names no limit.
    pub tokens: usize,
}

/// What the addresses share.
#[derive(Clone)]
struct Api(Arc<Shared>);

struct Shared {
    settings: Settings,
    offers: Offers,
    /// The name of the model that answers as `default`.
    default: Option<String>,
    engine: Engine,
    metrics: Arc<Metrics>,
}

/// A model that was asked for.
struct Named {
    model: Model,
    preference: Option<String>,
    recommended: Option<Recommended>,
}

/// The API's addresses, and what is open until all its requests are met.
pub fn router(
    settings: Settings,
    offers: Offers,
    default: Option<String>,
) -> std::io::Result<(Router, Finishing)> {
    let metrics = Arc::new(Metrics::default());
    let engine = Engine::start(settings.room.clone(), settings.queue, Arc::clone(&metrics))?;
    let finishing = Finishing(Arc::clone(&metrics));
    let api = Api(Arc::new(Shared {
        settings,
        offers,
        default,
        engine,
        metrics,
    }));
    let router = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route(
            "/v1/{*rest}",
            axum::routing::any(async || ApiError::no_route()),
        )
        .method_not_allowed_fallback(async || ApiError::no_method())
        .route("/metrics", get(counts))
        .layer(middleware::from_fn_with_state(api.clone(), only_allowed))
        .route(
            "/health",
            get(async || json_response(&json!({ "status": "ok" }))),
        )
        .with_state(api);
    Ok((router, finishing))
}

/// Whether requests are still met.
pub struct Finishing(Arc<Metrics>);

impl Finishing {
    /// Comes back once none is, or after `limit`.
    pub async fn wait(self, limit: Duration) {
        let none = async {
            while self.0.waiting() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // What is not done by then is broken off.
        let _ = timeout(limit, none).await;
    }
}

/// Refuses pages of other origins, and who has not the key; counts the others.
async fn only_allowed(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Shared {
        settings, metrics, ..
    } = &*api.0;
    let origin = request.headers().get(ORIGIN).cloned();
    let text = origin
        .as_ref()
        .map(|origin| origin.to_str().unwrap_or_default());
    let is_own = |origin: &str| settings.own.iter().any(|own| own == origin);
    let is_named = |origin: &str| {
        settings
            .origins
            .iter()
            .any(|own| own == origin || own == "*")
    };
    let named = text.is_some_and(is_named);
    if text.is_some_and(|origin| !is_own(origin)) && !named {
        return ApiError::origin().into_response();
    }
    let route = match request.uri().path() {
        "/v1/chat/completions" => "chat",
        "/v1/completions" => "completions",
        "/tokenize" => "tokenize",
        "/detokenize" => "detokenize",
        "/metrics" => "metrics",
        _ => "models",
    };
    let asks_first = named && request.method() == Method::OPTIONS;
    let mut response = if asks_first {
        StatusCode::NO_CONTENT.into_response()
    } else if brings_key(settings.key.as_deref(), &request) {
        next.run(request).await
    } else {
        ApiError::key().into_response()
    };
    metrics.request(route, response.status().as_u16());
    if let Some(origin) = origin.filter(|_| named) {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(VARY, HeaderValue::from_static("origin"));
        let methods = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        // A page's client sends some of its own.
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("*, authorization"),
        );
    }
    response
}

fn brings_key(key: Option<&str>, request: &Request) -> bool {
    let Some(key) = key else { return true };
    let given = request.headers().get(AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.split_once(' '));
    let (Some((kind, given)), true) = (given, !key.is_empty()) else {
        return false;
    };
    // All bytes are looked at, however many are right.
    let given = given.trim().as_bytes();
    let differs = given.len() != key.len();
    let wrong = given
        .iter()
        .zip(key.as_bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    kind.eq_ignore_ascii_case("bearer") && !differs && wrong == 0
}

impl Api {
    /// The names of the models that can be asked for: what the catalogue calls them, or else their files' names.
    fn names(&self) -> impl Iterator<Item = (String, &super::Offer)> {
        self.0.offers.iter().map(|(file, offer)| {
            let own = file.strip_suffix(".gguf").unwrap_or(file);
            (offer.model.map_or(own, |spec| spec.name).to_owned(), offer)
        })
    }

    /// The model called `name`: `default`, or one of [`Api::names`], perhaps with `@` and a preference behind it.
    fn named(&self, name: Option<&str>) -> Result<Named, ApiError> {
        let name = name.unwrap_or("default");
        let (wanted, preference) = match self.offer(name) {
            Some(_) => (name, None),
            None => match name.split_once('@') {
                Some((model, wish)) => (model, Some(wish.to_owned())),
                None => (name, None),
            },
        };
        let Some((name, offer)) = self.offer(wanted) else {
            return Err(self.unknown(wanted));
        };
        Ok(Named {
            model: Model {
                name,
                path: offer.path.clone(),
            },
            preference,
            recommended: offer.model.and_then(|spec| spec.recommended),
        })
    }

    fn unknown(&self, wanted: &str) -> ApiError {
        let mut names: Vec<String> = self.names().map(|(name, _)| name).collect();
        if names.is_empty() {
            return ApiError::no_model(
                "there is no model on this machine yet: `periapt models pull` gets one; then start the server again"
                    .to_owned(),
            );
        }
        let distance =
            |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
        names.sort_by_key(|name| distance(name));
        let is_near = distance(&names[0]) <= (wanted.chars().count() / 4).max(1);
        let meant = match is_near {
            true => format!(" (did you mean {}?)", names[0]),
            false => String::new(),
        };
        ApiError::no_model(format!(
            "there is no model {wanted:?} here{meant}: take `default` or one of {}; `periapt models pull` gets more",
            names.join(", ")
        ))
    }

    /// The model called so, with the name that it is listed by.
    fn offer(&self, name: &str) -> Option<(String, &super::Offer)> {
        let name = match (name, &self.0.default) {
            ("default", Some(default)) => default,
            _ => name,
        };
        self.names().find(|(own, offer)| {
            let is = |part: Option<&OsStr>| part.is_some_and(|part| part == name);
            let is_file = is(offer.path.file_name()) || is(offer.path.file_stem());
            own.eq_ignore_ascii_case(name) || is_file
        })
    }

    /// The body's object, and the model that it names.
    async fn read(&self, body: Body) -> Result<(Map<String, Value>, String, Named), ApiError> {
        let settings = &self.0.settings;
        // What says that it is too long is refused before a byte of it is read.
        if body.size_hint().lower() > settings.body as u64 {
            return Err(ApiError::too_large(settings.body));
        }
        let bytes: Bytes = timeout(settings.patience, to_bytes(body, settings.body))
            .await
            .map_err(|_| ApiError::slow())?
            .map_err(|_| ApiError::too_large(settings.body))?;
        let mut fields = object(&bytes)?;
        let name = request::text(&mut fields, "model")?;
        let named = self.named(name.as_deref())?;
        Ok((fields, name.unwrap_or_else(|| "default".to_owned()), named))
    }

    /// Asks the engine, and tells what comes.
    async fn answer(
        &self,
        frame: Frame,
        count: usize,
        model: &Named,
        ask: Ask,
    ) -> Result<Response, ApiError> {
        let mut told = self.0.engine.ask(&model.model, ask)?;
        let stream = frame.telling.stream;
        let mut answers = Answers::new(frame, count);
        if stream {
            // What goes wrong at once is told by the status.
            let first = told.recv().await.ok_or_else(ApiError::ended)?;
            let first = answers.hear(first)?;
            let events = Events {
                told,
                answers,
                first,
                end: End::Open,
            };
            return Ok(Sse::new(events)
                .keep_alive(KeepAlive::default())
                .into_response());
        }
        while !answers.complete() {
            let next = told.recv().await.ok_or_else(ApiError::ended)?;
            answers.hear(next)?;
        }
        Ok(json_response(&answers.whole()))
    }
}

/// How far a stream's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Counts,
    Mark,
    Closed,
}

/// The answers as server-sent events.
struct Events {
    told: UnboundedReceiver<Told>,
    answers: Answers,
    first: Option<Value>,
    end: End,
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |value: &Value| Poll::Ready(Some(Ok(Event::default().data(value.to_string()))));
        if let Some(first) = self.first.take() {
            return event(&first);
        }
        loop {
            match self.end {
                End::Open if self.answers.complete() => self.end = End::Counts,
                End::Open => {
                    let Some(told) = ready!(self.told.poll_recv(task)) else {
                        self.end = End::Closed;
                        return event(&ApiError::ended().json());
                    };
                    if let Told::Works(how) = &told {
                        return Poll::Ready(Some(Ok(Event::default().comment(how))));
                    }
                    match self.answers.hear(told) {
                        Ok(None) => {}
                        Ok(Some(chunk)) => return event(&chunk),
                        Err(error) => {
                            self.end = End::Closed;
                            return event(&error.json());
                        }
                    }
                }
                End::Counts => {
                    self.end = End::Mark;
                    if let Some(counts) = self.answers.last_chunk() {
                        return event(&counts);
                    }
                }
                End::Mark => {
                    self.end = End::Closed;
                    return Poll::Ready(Some(Ok(Event::default().data("[DONE]"))));
                }
                End::Closed => return Poll::Ready(None),
            }
        }
    }
}

async fn chat(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (mut fields, name, model) = api.read(body).await?;
    let settings = &api.0.settings;
    let own = model.preference.as_deref().or(settings.prefer.as_deref());
    if refine::is_asked(&fields) {
        let Refined {
            request,
            telling,
            preference,
        } = refine::read(fields, own)?;
        let mut frame = Frame::new(Kind::Chat, name, telling, 1);
        frame.alignment = Some(alignment(&request.method, preference));
        return api
            .answer(frame, 1, &model, Ask::Refine(Box::new(request)))
            .await;
    }
    if !fields.contains_key("max_completion_tokens") {
        fields.entry("max_tokens").or_insert(json!(settings.tokens));
    }
    let defaults = Defaults {
        preference: own,
        recommended: model.recommended,
    };
    let asked = request::chat(fields, defaults)?;
    let (request, telling) = (asked.request, asked.telling);
    let count = request.conversations.len();
    let mut frame = Frame::new(Kind::Chat, name, telling, count);
    let mut alignment = alignment(&request.method, asked.preference);
    alignment.insert(
        "plausibility".to_owned(),
        json!(request.sampling.plausibility),
    );
    frame.alignment = Some(alignment);
    let ask = Ask::Generate(Box::new(request));
    api.answer(frame, count, &model, ask).await
}

/// What an answer's `alignment` says of a method, towards a preference as it was given.
fn alignment(method: &Method, preference: Option<String>) -> Map<String, Value> {
    let mut alignment = Map::new();
    alignment.insert("method".to_owned(), json!(method.name()));
    alignment.insert("preference".to_owned(), json!(preference));
    alignment.insert("strength".to_owned(), json!(method.strength()));
    alignment
}

async fn completions(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (fields, name, model) = api.read(body).await?;
    let asked = request::completion(fields)?;
    let count = asked.prompts.len() * asked.n;
    let frame = Frame::new(Kind::Completion, name, asked.telling, asked.n);
    let ask = Ask::Complete {
        request: Box::new(asked.request),
        prompts: asked.prompts,
        n: asked.n,
        rate: asked.echo,
        by_id: asked.by_id,
    };
    api.answer(frame, count, &model, ask).await
}

/// The one thing that the engine tells of a request that is no answer.
async fn told(api: &Api, model: &Named, ask: Ask) -> Result<Told, ApiError> {
    let mut told = api.0.engine.ask(&model.model, ask)?;
    match told.recv().await {
        Some(Told::Failed(error)) => Err(error),
        Some(told) => Ok(told),
        None => Err(ApiError::ended()),
    }
}

/// `{content, add_special?}` or `{messages}` to `{tokens}`, as llama.cpp's server has it, with `count` and `max_model_len` as
/// vLLM's.
async fn tokenize(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (mut fields, _, model) = api.read(body).await?;
    let special = fields
        .remove("add_special")
        .is_some_and(|flag| flag == true);
    let ask = match fields.remove("messages") {
        Some(messages) => {
            let chat: Chat = serde_json::from_value(messages)
                .map_err(|error| ApiError::field("messages", error.to_string()))?;
            Ask::TokenizeChat(chat.0)
        }
        None => {
            let text = request::text(&mut fields, "content")?.ok_or_else(|| {
                ApiError::field("content", "give a text as content, or a chat as messages")
            })?;
            Ask::Tokenize { text, special }
        }
    };
    request::nothing_else(&fields)?;
    match told(&api, &model, ask).await? {
        Told::Ids { ids, context, ends } => Ok(json_response(&json!({
            "tokens": ids,
            "count": ids.len(),
            "max_model_len": context,
            "end_token_ids": ends,
        }))),
        _ => Err(ApiError::internal("the engine told something else")),
    }
}

/// `{tokens}` to `{content}`.
async fn detokenize(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (mut fields, _, model) = api.read(body).await?;
    let ids = fields.remove("tokens").unwrap_or_default();
    let ids: Vec<u32> = serde_json::from_value(ids)
        .map_err(|_| ApiError::field("tokens", "tokens must be a list of token ids"))?;
    request::nothing_else(&fields)?;
    match told(&api, &model, Ask::Detokenize(ids)).await? {
        Told::Text(text) => Ok(json_response(&json!({ "content": text }))),
        _ => Err(ApiError::internal("the engine told something else")),
    }
}

/// What `/v1/models` says of a model that is called `name`, and listed as `own`; its status is llama.cpp's.
fn card(api: &Api, name: &str, own: &str) -> Value {
    json!({
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "periapt",
        "status": { "value": api.0.metrics.standing(own) },
    })
}

async fn models(State(api): State<Api>) -> Response {
    let default = api.offer("default").filter(|_| api.0.default.is_some());
    let default = default.map(|(own, _)| card(&api, "default", &own));
    let all: Vec<Value> = default
        .into_iter()
        .chain(api.names().map(|(own, _)| card(&api, &own, &own)))
        .collect();
    json_response(&json!({ "object": "list", "data": all }))
}

async fn model(
    State(api): State<Api>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Result<Response, ApiError> {
    let named = api.named(Some(&name))?;
    Ok(json_response(&card(&api, &name, &named.model.name)))
}

async fn counts(State(api): State<Api>) -> Response {
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(CONTENT_TYPE, text)], api.0.metrics.text()).into_response()
}
