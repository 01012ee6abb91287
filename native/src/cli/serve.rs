//! `periapt serve`: the page, and the model files of this machine, for a browser on this machine.
//!
//! The server listens on 127.0.0.1 alone, answers only requests that name it so (a foreign site's name that was
//! rebound to this address does not), allows no other origin to read from it, and changes nothing.

use super::Usage;
use super::args::ServeArgs;
use crate::store::{State as Stored, Store};
use anyhow::{Context, anyhow};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::timeout::TimeoutLayer;

/// Nothing here reads a request's body.
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
    sha256: Option<&'static str>,
}

/// By the name in their address.
type Offers = Arc<BTreeMap<String, Offer>>;

pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let page = page(args.page.as_deref())?;
    let offers = Arc::new(offers(&args.model)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Usage(format!(
                "cannot listen on {address} ({error}): choose another --port, or 0 for a free one"
            ))
        })?;
        let port = listener.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}/");
        writeln!(std::io::stdout(), "{url}")?;
        eprintln!(
            "{} of this machine's models on offer; Ctrl+C ends the server",
            offers.len()
        );
        if args.open
            && let Err(error) = opener::open_browser(&url)
        {
            eprintln!("no browser could be opened ({error}): open the address yourself");
        }
        axum::serve(listener, router(&page, offers, port))
            .with_graceful_shutdown(async {
                // Where there are no signals to wait for, killing the process ends it.
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
            .await
            .context("the server ended")
    })
}

/// The folder with the page.
fn page(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    let is_page = |folder: &Path| folder.join("index.html").is_file();
    if let Some(folder) = wanted {
        return match is_page(folder) {
            true => Ok(folder.to_owned()),
            false => Err(Usage(format!(
                "--page: {} holds no index.html; `make web` builds the page into www/dist",
                folder.display()
            ))
            .into()),
        };
    }
    // target/release/periapt in its own source tree.
    let built = std::env::current_exe().ok().and_then(|program| {
        Some(
            program
                .canonicalize()
                .ok()?
                .ancestors()
                .nth(3)?
                .join("www/dist"),
        )
    });
    [Some(PathBuf::from("www/dist")), built]
        .into_iter()
        .flatten()
        .find(|folder| is_page(folder))
        .ok_or_else(|| {
            anyhow!("the page isn't built: run `make web`, or name its folder with --page")
        })
}

/// The store's complete files, and those of `--model`.
fn offers(files: &[PathBuf]) -> anyhow::Result<BTreeMap<String, Offer>> {
    let mut offers = BTreeMap::new();
    let mut add = |path: &Path, bytes, sha256| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        if let Some(name) = name {
            let path = path.to_owned();
            offers.insert(
                name.into_owned(),
                Offer {
                    path,
                    bytes,
                    sha256,
                },
            );
        }
    };
    for entry in Store::open()?.list()? {
        if entry.state == Stored::Complete {
            add(&entry.path, entry.bytes, entry.spec.map(|spec| spec.sha256));
        }
    }
    for path in files {
        let about = std::fs::metadata(path)
            .map_err(|error| Usage(format!("--model: cannot read {}: {error}", path.display())))?;
        if !about.is_file() {
            return Err(Usage(format!("--model: {} is no file", path.display())).into());
        }
        add(path, about.len(), None);
    }
    Ok(offers)
}

fn router(page: &Path, offers: Offers, port: u16) -> Router {
    let files = ServeDir::new(page).precompressed_br().precompressed_gzip();
    Router::new()
        .route("/models.json", get(list))
        .route("/models/{name}", get(model))
        .with_state(offers)
        .fallback_service(files)
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn_with_state(port, only_by_name))
        .layer(RequestBodyLimitLayer::new(MOST_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(MOST_SECONDS),
        ))
}

/// Refuses who calls this server by another name than its own.
async fn only_by_name(State(port): State<u16>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let is_own = |name: &str| {
        let rest = host.and_then(|host| host.strip_prefix(name));
        // Port 80 is left out of the name.
        rest == Some(&format!(":{port}")) || (port == 80 && rest == Some(""))
    };
    if is_own("127.0.0.1") || is_own("localhost") {
        return next.run(request).await;
    }
    let why = format!("This server answers as http://127.0.0.1:{port}/ alone.\n");
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

/// `{models: [{name, bytes, sha256}]}`, each at `models/NAME`.
async fn list(State(offers): State<Offers>) -> impl IntoResponse {
    let one = |(name, offer): (&String, &Offer)| json!({ "name": name, "bytes": offer.bytes, "sha256": offer.sha256 });
    let models: Vec<_> = offers.iter().map(one).collect();
    let json = HeaderValue::from_static("application/json");
    (
        [(CONTENT_TYPE, json)],
        json!({ "models": models }).to_string(),
    )
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
    let mut headers = HeaderMap::new();
    if let Some(tag) = tag(&offer.path) {
        headers.insert(ETAG, tag);
    }
    match ServeFile::new(&offer.path).try_call(request).await {
        Ok(response) => (headers, response).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Changes with the file, so that no download goes on with another one's bytes.
fn tag(path: &Path) -> Option<HeaderValue> {
    let about = std::fs::metadata(path).ok()?;
    let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    HeaderValue::from_str(&format!("\"{:x}-{:x}\"", about.len(), changed.as_nanos())).ok()
}
