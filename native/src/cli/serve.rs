//! `periapt serve`: the page, and the model files of this machine, for a browser on this machine.
//!
//! The server listens on 127.0.0.1 unless told otherwise, answers only requests that name it so (a foreign site's name that
//! was rebound to this address does not), allows no other origin to read from it, and changes nothing. Beyond this machine it
//! serves the API alone, to who has the key.
//!
//! Reading order: this file (what is served to whom), `page` (the page's files), `ranges` (parts of files), `api` (OpenAI's
//! API), `connections` (how many, how long, and the end).

mod api;
mod connections;
mod page;
mod ranges;

use super::args::{ApiArgs, ServeArgs};
use super::{Usage, input, persona};
use crate::say;
use crate::store::{ModelSpec, State as Stored, Store, catalogue};
use crate::terminal;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use connections::{Limits, Signals};
use page::Page;
use periapt_core::decoding::preference::is_empty;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::services::ServeFile;
use tower_http::timeout::TimeoutLayer;

/// Bytes of the cache of a model's requests, where nothing is said.
const API_CACHE: u64 = 1 << 30;

/// Nothing but the API reads a request's body.
const MOST_BODY_BYTES: usize = 1024;
/// Until an answer's head; its body may take as long as the browser reads.
const MOST_SECONDS: u64 = 30;

/// What the page needs and nothing more: its own files, WASM, and the model hub with its file servers.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
    style-src 'self'; img-src 'self'; manifest-src 'self'; connect-src 'self' https://huggingface.co \
    https://*.huggingface.co https://*.hf.co; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types dompurify periapt-engine periapt-page";

/// A model file on offer.
struct Offer {
    path: PathBuf,
    bytes: u64,
    sha256: Option<String>,
    /// What the catalogue calls it, if it is one of the known models.
    model: Option<&'static ModelSpec>,
}

/// By the name in their address.
type Offers = Arc<BTreeMap<String, Offer>>;

pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let page = match &args.page {
        Some(folder) => Page::read(folder)?,
        None => Page::embedded()?,
    };
    let offers: Offers = Arc::new(offers(&args.model)?);
    let default = default(&args.model, &offers);
    let limits = Limits {
        connections: args.limits.max_connections,
        head: Duration::from_secs(args.limits.head_timeout),
        stall: Duration::from_secs(args.limits.stall_timeout),
    };
    let key = key(&args.api)?;
    if !args.host.is_loopback() && key.is_none() {
        return Err(Usage(format!(
            "--host {} lets other machines ask: give them a key with --api-key or PERIAPT_API_KEY",
            args.host
        ))
        .into());
    }
    let prefer = args.api.prefer.as_deref().map(input::typed);
    if prefer.as_deref().is_some_and(is_empty) {
        return Err(Usage("--prefer: the preference is empty".to_owned()).into());
    }
    let persona = match &args.api.persona {
        Some(file) => Some(persona::file::read(&persona::file::path(Some(file))?)?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let address = SocketAddr::from((args.host, args.port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Usage(format!(
                "cannot listen on {address} ({error}): choose another --port, or 0 for a free one"
            ))
        })?;
        let address = listener.local_addr()?;
        let (port, url) = (address.port(), format!("http://{address}/"));
        let names = ["127.0.0.1", "localhost", "[::1]"];
        let settings = api::Settings {
            room: api::Room {
                load: args.load.clone(),
                // Nothing of it to keep still needs room for the answers under way.
                cache: (args.load.cache.filter(|bytes| *bytes > 0)).unwrap_or(API_CACHE),
                keeps: args.load.cache != Some(0),
                models: args.limits.max_models,
            },
            prefer,
            persona,
            key,
            origins: args.api.allow_origin.clone(),
            own: names.map(|name| format!("http://{name}:{port}")).to_vec(),
            queue: args.limits.max_queue,
            body: usize::try_from(args.limits.max_body).unwrap_or(usize::MAX),
            patience: Duration::from_secs(args.limits.head_timeout),
            tokens: args.api.max_tokens,
        };
        let (api, finishing) = api::router(settings, Arc::clone(&offers), default)?;
        let count = offers.len();
        let router = match args.host.is_loopback() {
            true => router(page, offers)
                .merge(api)
                .layer(middleware::from_fn_with_state(address, only_by_name)),
            false => api,
        };
        // Before anybody knows the address: who reads it may end us.
        let signals = Signals::listen()?;
        writeln!(terminal::report(), "{url}")?;
        say!(
            "{} of this machine's models on offer; Ctrl+C ends the server",
            count
        );
        if args.open
            && let Err(error) = opener::open_browser(&url)
        {
            say!("no browser could be opened ({error}): open the address yourself");
        }
        let finished = finishing.wait(Duration::from_secs(args.limits.drain_timeout));
        connections::serve(listener, router, limits, signals, finished).await;
        Ok(())
    });
    // A file that is being read (over a network, say) delays no end.
    runtime.shutdown_background();
    ended
}

/// The key that requests must bring, where they must.
fn key(args: &ApiArgs) -> Result<Option<String>, Usage> {
    let own = match (&args.api_key, &args.api_key_env) {
        (Some(key), _) => Some(key.clone()),
        (None, Some(name)) => Some(input::secret("--api-key-env", name)?),
        (None, None) => std::env::var("PERIAPT_API_KEY").ok(),
    };
    Ok(own.filter(|key| !key.trim().is_empty()))
}

/// The store's complete files, and those of `--model`, by name: of a model from the hub its GGUF files.
fn offers(files: &[PathBuf]) -> anyhow::Result<BTreeMap<String, Offer>> {
    let mut offers = BTreeMap::new();
    let store = Store::open()?;
    // Where the known models lie, those from the hub among its other files.
    let mut known = BTreeMap::new();
    for spec in store.known() {
        if let Some(here) = store.standing(spec)? {
            known.insert(here.path, spec);
        }
    }
    let mut add = |name: String, path: &Path, bytes, sha256| {
        // What can't be read is not on offer.
        if File::open(path).is_ok() {
            let offer = Offer {
                path: path.to_owned(),
                bytes,
                sha256,
                model: known.get(path).copied(),
            };
            offers.insert(name, offer);
        }
    };
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    for entry in store.list()? {
        if entry.state != Stored::Complete {
            continue;
        }
        if !entry.path.is_dir() {
            let sha256 = entry.spec.and_then(|spec| spec.sha256).map(str::to_owned);
            add(name(&entry.path), &entry.path, entry.bytes, sha256);
            continue;
        }
        for file in store.hub_ggufs(&entry.path).unwrap_or_default() {
            add(file.name, &file.path, file.bytes, file.sha256);
        }
    }
    for path in files {
        let unreadable = |error: std::io::Error| {
            Usage(format!("--model: cannot read {}: {error}", path.display()))
        };
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            return Err(Usage(format!("--model: {} is no file", path.display())).into());
        }
        File::open(path).map_err(unreadable)?;
        add(name(path), path, about.len(), None);
    }
    Ok(offers)
}

/// The name of the model that answers as the API's `default`: the first of `--model`, else the catalogue's default, its small
/// one, or whichever comes first.
fn default(files: &[PathBuf], offers: &Offers) -> Option<String> {
    let given = files.first().and_then(|path| path.file_name());
    let given = given.map(|name| name.to_string_lossy().into_owned());
    let known = [catalogue().default_model(), catalogue().small_model()];
    let known = known.into_iter().find_map(|spec| {
        let is_it = |(_, offer): &(&String, &Offer)| offer.model == Some(spec);
        Some(offers.iter().find(is_it)?.0.clone())
    });
    given.or(known).or_else(|| offers.keys().next().cloned())
}

fn router(page: Page, offers: Offers) -> Router {
    Router::new()
        .route("/models.json", get(list))
        .route("/models/{*name}", get(model))
        .with_state(offers)
        .fallback(move |request| page.clone().answer(request))
        .layer(middleware::from_fn(ranges::ranges))
        .layer(middleware::from_fn(guard))
        .layer(RequestBodyLimitLayer::new(MOST_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(MOST_SECONDS),
        ))
}

/// Refuses who calls this server by another name than its own. What stands in the request's first line counts before the
/// header (RFC 9112, section 3.2.2); a request without a name is none, unless it is older than names.
async fn only_by_name(State(own): State<SocketAddr>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        (None, _) if request.version() == Version::HTTP_10 => "",
        _ => return (StatusCode::BAD_REQUEST, "A request names one host.\n").into_response(),
    };
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => host,
    };
    let (name, number) = host.rsplit_once(':').unwrap_or((host, "80"));
    let (address, port) = (own.to_string(), own.port());
    let address = address.rsplit_once(':').map_or("", |(address, _)| address);
    let is_own = [address, "localhost", "localhost."]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own));
    // Browsers leave port 80 out of the name.
    if is_own && number == port.to_string() {
        return next.run(request).await;
    }
    let why = format!("This server answers as http://{own}/ alone.\n");
    (StatusCode::FORBIDDEN, why).into_response()
}

/// What every answer says about itself.
async fn guard(request: Request, next: Next) -> Response {
    let is_hashed = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let cache = match is_hashed && response.status().is_success() {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    if response.status() == StatusCode::NOT_MODIFIED {
        // As the whole answer would say.
        let coding = HeaderValue::from_static("accept-encoding");
        response.headers_mut().insert(VARY, coding);
    }
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, cache),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-embedder-policy"),
            "require-corp",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `{models: [{name, bytes, sha256, model?}]}`, each at `models/NAME`; a known model's name is `model`.
async fn list(State(offers): State<Offers>) -> impl IntoResponse {
    let one = |(name, offer): (&String, &Offer)| {
        let mut object = json!({ "name": name, "bytes": offer.bytes, "sha256": offer.sha256 });
        if let Some(spec) = offer.model {
            object["model"] = json!(spec.name);
        }
        object
    };
    let models: Vec<_> = offers.iter().map(one).collect();
    json_response(&json!({ "models": models }))
}

fn json_response(value: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], value.to_string()).into_response()
}

/// A model file, or the range of it that was asked for.
async fn model(
    State(offers): State<Offers>,
    UrlPath(name): UrlPath<String>,
    request: Request<Body>,
) -> Response {
    let Some(offer) = offers.get(&name) else {
        return (StatusCode::NOT_FOUND, "No such model is on offer.\n").into_response();
    };
    // The library takes no other time.
    let changed = tokio::fs::metadata(&offer.path).await;
    let changed = changed.and_then(|about| about.modified());
    if changed.is_ok_and(|changed| page::in_bounds(changed) != changed) {
        let why = "The file's time of change is none that HTTP can tell: `touch` it.\n";
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    match ServeFile::new(&offer.path).try_call(request).await {
        Ok(response) => response.into_response(),
        Err(_) => {
            let why = "The file could be read when this server started, and can't any more.\n";
            (StatusCode::NOT_FOUND, why).into_response()
        }
    }
}
