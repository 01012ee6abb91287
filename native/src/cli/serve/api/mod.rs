//! OpenAI's API (<https://platform.openai.com/docs/api-reference>), so that the programs that speak it are aligned with their
//! user: all that is Periapt's own stands in one object, `alignment`.
//!
//! Reading order: this file (the addresses, and who may ask), `names` (of models), `request` and `completion` (what is asked),
//! `engine` (who answers), with `models` (which are loaded), `batch` (one model's requests) and `refine` (those that one request
//! makes), `answer` and `events` (how that is told), `tokens`, `error`, `metrics`.

mod answer;
mod batch;
mod completion;
mod engine;
mod error;
mod events;
mod metrics;
mod models;
mod names;
mod refine;
mod request;
mod tokens;

pub use models::Room;

use super::{Offers, json_response};
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
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::{Ask, Engine};
use error::ApiError;
use events::Events;
use metrics::Metrics;
use names::Named;
use periapt_core::decoding;
use periapt_core::persona::Persona;
use refine::Refined;
use request::{Defaults, object};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How requests are met, as the command line says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How models are loaded, and what they find.
    pub room: Room,
    /// The preference of chats that name none.
    pub prefer: Option<String>,
    /// The person to whom chats lean that wish for nothing.
    pub persona: Option<Persona>,
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
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/tokenizer_info", get(tokens::info))
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
        "/tokenizer_info" => "tokenizer_info",
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
            return Ok(Sse::new(Events::new(told, answers, first))
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
        persona: settings.persona.as_ref(),
        model: model.known,
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
fn alignment(method: &decoding::Method, preference: Option<String>) -> Map<String, Value> {
    let mut alignment = Map::new();
    alignment.insert("method".to_owned(), json!(method.name()));
    alignment.insert("preference".to_owned(), json!(preference));
    alignment.insert("strength".to_owned(), json!(method.strength()));
    alignment
}

async fn completions(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let (fields, name, model) = api.read(body).await?;
    let asked = completion::read(fields)?;
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

async fn models(State(api): State<Api>) -> Response {
    let default = api.offer("default").filter(|_| api.0.default.is_some());
    let default = default.map(|(own, _)| api.card("default", &own));
    let all: Vec<Value> = default
        .into_iter()
        .chain(api.names().map(|(own, _)| api.card(&own, &own)))
        .collect();
    json_response(&json!({ "object": "list", "data": all }))
}

async fn model(
    State(api): State<Api>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Result<Response, ApiError> {
    let named = api.named(Some(&name))?;
    Ok(json_response(&api.card(&name, &named.model.name)))
}

async fn counts(State(api): State<Api>) -> Response {
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(CONTENT_TYPE, text)], api.0.metrics.text()).into_response()
}
