//! One request to a server: within limits, again where that may help, and never with more than it is owed.

use super::EngineError;
use crate::cli::{Usage, input};
use crate::store::{is_loopback, proxy_for, retry_after, shown, without_login};
use crate::terminal::{self, say};
use serde_json::Value;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use ureq::http::{StatusCode, header};
use ureq::{Agent, Body, http::Response};
use url::Url;

/// Attempts at a request, where another one may do better.
const ATTEMPTS: u32 = 5;

/// Before the second attempt; doubled for each further one.
const PAUSE: Duration = Duration::from_millis(250);

/// What a server may ask to wait; who asks for longer is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// For a connection to be there.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes of an answer: the log-probabilities of a large vocabulary take 20 MB.
const MOST_BYTES: u64 = 64 << 20;

/// Characters of what a server says of an error.
const MOST_SAID: usize = 400;

/// How messages speak of a server.
#[derive(Debug)]
pub struct Called {
    /// What it is.
    pub what: &'static str,
    /// The options that name it, the variable with its key, and its model.
    pub option: &'static str,
    pub key: &'static str,
    pub model: &'static str,
    /// What its address should be that of.
    pub of: &'static str,
}

/// A server, and the key for it.
pub struct Http {
    pub called: &'static Called,
    /// The address above `/v1`.
    root: Url,
    key: Option<String>,
    agent: Agent,
    /// Whether it has answered anything: until then nobody waits for it to come up.
    reached: AtomicBool,
}

/// Why an attempt failed.
enum Failed {
    /// Another one may do better, after so long.
    Again(String, Option<Duration>),
    /// None will.
    Finally(EngineError),
}

impl Http {
    /// The server at `address`, with or without `/v1`, whose key is in the variable `key`; an answer has `limit` to come.
    pub fn new(
        called: &'static Called,
        address: &str,
        key: Option<&str>,
        limit: Duration,
    ) -> Result<Self, Usage> {
        let wrong = |why: &str| {
            Usage(format!(
                "{} {}: {why} (such as http://127.0.0.1:8000/v1)",
                called.option,
                without_login(address)
            ))
        };
        let mut root = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(root.scheme(), "http" | "https") || !root.has_host() {
            return Err(wrong("it has to begin with http:// or https://"));
        }
        if !root.username().is_empty() || root.password().is_some() {
            return Err(wrong(&format!(
                "a key goes into an environment variable that {} names, not into the address",
                called.key
            )));
        }
        if root.query().is_some() || root.fragment().is_some() {
            return Err(wrong("it may not hold `?` or `#`"));
        }
        let path = root.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
        root.set_path(&path);
        let key = key.map(|name| input::secret(called.key, name));
        let key = key.transpose()?;
        if let Some(key) = &key {
            terminal::hide(key);
            if root.scheme() == "http" && !is_loopback(&root) {
                say(&format!(
                    "{}: the key goes over plain http, where anybody in between can read it; https:// would keep it",
                    called.key
                ));
            }
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("periapt/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(limit))
            .timeout_recv_body(Some(limit))
            .build();
        Ok(Self {
            called,
            root,
            key,
            agent: agent.into(),
            reached: AtomicBool::new(false),
        })
    }

    /// The server, as messages and records name it.
    pub fn name(&self) -> String {
        shown(&self.root).trim_end_matches('/').to_owned()
    }

    /// What it is, with its name.
    pub fn called(&self) -> String {
        format!("{} {}", self.called.what, self.name())
    }

    /// What the server says at `path`, to `body` where there is one.
    pub fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, EngineError> {
        let (mut pause, mut attempts) = (PAUSE, 0);
        loop {
            attempts += 1;
            let (why, asked) = match self.once(path, body) {
                Ok(value) => return Ok(value),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Again(why, asked)) => (why, asked),
            };
            let wait = asked.unwrap_or(jittered(pause));
            let gives_up = attempts == ATTEMPTS || wait > LONGEST_PAUSE;
            if gives_up || !self.reached.load(Ordering::Relaxed) {
                let tried = match attempts {
                    1 => String::new(),
                    attempts => format!(", at {attempts} attempts"),
                };
                let called = self.called();
                return Err(EngineError::new(format!(
                    "{called} does not answer{tried}: {why}"
                )));
            }
            tracing::debug!("{}: {why}; again in {wait:?}", self.name());
            std::thread::sleep(wait);
            pause *= 2;
        }
    }

    fn once(&self, path: &str, body: Option<&Value>) -> Result<Value, Failed> {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{path}", self.root.path().trim_end_matches('/')));
        let refused = |why: String| Failed::Finally(EngineError::new(why));
        let proxy = match is_loopback(&url) {
            true => None,
            false => proxy_for(&url).map_err(|error| refused(error.to_string()))?,
        };
        let proxy = proxy.map(|chosen| chosen.proxy);
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let answer = match body {
            Some(body) => {
                let mut request = self.agent.post(url.as_str());
                if let Some(bearer) = bearer {
                    request = request.header(header::AUTHORIZATION, bearer);
                }
                let request = request.header(header::CONTENT_TYPE, "application/json");
                let request = request.config().proxy(proxy).build();
                request.send(body.to_string().as_bytes())
            }
            None => {
                let mut request = self.agent.get(url.as_str());
                if let Some(bearer) = bearer {
                    request = request.header(header::AUTHORIZATION, bearer);
                }
                request.config().proxy(proxy).build().call()
            }
        };
        let mut response = answer.map_err(|error| Failed::Again(error.to_string(), None))?;
        self.reached.store(true, Ordering::Relaxed);
        let status = response.status();
        if status.is_redirection() {
            let place = response.headers().get(header::LOCATION);
            let place = place.map(|place| String::from_utf8_lossy(place.as_bytes()).into_owned());
            return Err(refused(format!(
                "{} redirects {path} to {}: refused; give the address that answers itself",
                self.called(),
                without_login(&place.unwrap_or_default())
            )));
        }
        let waits = waits(&response);
        let text = response
            .body_mut()
            .with_config()
            .limit(MOST_BYTES)
            .read_to_string();
        let text = text.map_err(|error| Failed::Again(error.to_string(), None))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|error| {
                refused(format!(
                    "{} answers {path} with what is no JSON ({error}): is {} the address of {}?",
                    self.called(),
                    self.called.option,
                    self.called.of
                ))
            });
        }
        let said = said(&text);
        let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        if busy && status != StatusCode::NOT_IMPLEMENTED {
            return Err(Failed::Again(format!("{status}: {said}"), waits));
        }
        Err(Failed::Finally(EngineError {
            missing: matches!(
                status,
                StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_IMPLEMENTED
            ),
            ..EngineError::new(format!(
                "{} answers {path} with {status}: {said}",
                self.called()
            ))
        }))
    }
}

/// How long the server asks to wait.
fn waits(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    retry_after(value.to_str().ok()?, SystemTime::now())
}

/// Half of it to all of it, so that those who failed together do not come again together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}

/// What a server says of an error, in the shapes there are.
fn said(text: &str) -> String {
    let object: Value = serde_json::from_str(text).unwrap_or_default();
    let places = ["/error/message", "/error", "/message", "/detail"];
    let mut found = places.iter().filter_map(|at| object.pointer(at)?.as_str());
    let message = found.next().unwrap_or(text).trim();
    message.chars().take(MOST_SAID).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::ENGINE;
    use super::*;

    #[test]
    fn addresses() {
        let of = |address: &str| Http::new(&ENGINE, address, None, CONNECT).map(|http| http.name());
        for (address, name) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
            ("https://h.example/llm/v1", "https://h.example/llm"),
        ] {
            assert_eq!(of(address).unwrap(), name);
        }
        for (address, says) in [
            ("file:///etc/passwd", "http://"),
            ("ftp://h.example", "http://"),
            ("127.0.0.1:8000", "such as"),
            ("https://me:geheim@h.example", "--engine-key-env"),
            ("https://h.example/?key=geheim", "may not hold"),
        ] {
            let error = of(address).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn what_servers_say() {
        for (text, says) in [
            (r#"{"error": {"message": "no"}}"#, "no"),
            (r#"{"error": "no"}"#, "no"),
            (r#"{"detail": "no"}"#, "no"),
            (r#"{"object": "error", "message": "no"}"#, "no"),
            (" no\n", "no"),
        ] {
            assert_eq!(said(text), says);
        }
    }

    #[test]
    fn pauses_differ_within_bounds() {
        let pauses: Vec<Duration> = (0..50).map(|_| jittered(PAUSE)).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (PAUSE / 2..=PAUSE).contains(pause))
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
