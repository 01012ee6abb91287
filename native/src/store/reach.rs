//! The way to the hub: one request at a time, with the secrets that may go along, through proxies, and along redirects.

use super::{
    Remote, StoreError,
    address::{HUB_VARIABLE, Hub, is_loopback, shown},
    proxy,
    remote::DEFAULT_HUB,
};
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use ureq::{
    Agent, Body,
    config::RedirectAuthHeaders,
    http::{Response, header},
};
use url::Url;

/// Redirects followed, one after the other.
const REDIRECTS: usize = 10;

/// Why a request brought no answer.
#[derive(Debug)]
pub(super) enum Unreached {
    /// What the user has set, or the machine.
    Store(StoreError),
    /// The server, or the way to it. `again`: the connection was there, so that another one may do better.
    Server { why: String, again: bool },
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Server { why, .. } => f.write_str(why),
        }
    }
}

/// A way to the hub.
pub(super) struct Reach<'a> {
    pub remote: &'a Remote,
    pub hub: Hub,
    agent: Agent,
}

impl<'a> Reach<'a> {
    /// The way to `hub`, within the limits.
    pub(super) fn new(remote: &'a Remote, hub: Hub) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::Never)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("periapt/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .proxy(None)
            .timeout_resolve(Some(remote.connect_timeout))
            .timeout_connect(Some(remote.connect_timeout))
            .timeout_recv_response(Some(remote.stall_timeout))
            .timeout_per_read(Some(remote.stall_timeout))
            .timeout_per_write(Some(remote.stall_timeout))
            .build();
        Self {
            remote,
            hub,
            agent: agent.into(),
        }
    }

    /// Asks for an address of the hub and follows redirects: within the hub (its private files need that) with the token,
    /// elsewhere without; from HTTPS never to anything else.
    pub(super) fn get(
        &self,
        url: &Url,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Body>, Unreached> {
        let refuse = |why| Err(Unreached::Server { why, again: false });
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.once(&url, headers)?;
            let place = response.headers().get(header::LOCATION);
            let Some(place) = place.filter(|_| response.status().is_redirection()) else {
                return Ok(response);
            };
            match follow(&url, &String::from_utf8_lossy(place.as_bytes())) {
                Ok(next) => url = next,
                Err(why) => return refuse(why),
            }
        }
        refuse(format!(
            "{} redirects more than {REDIRECTS} times, at last to {}",
            self.name(),
            shown(&url)
        ))
    }

    fn once(
        &self,
        url: &Url,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Body>, Unreached> {
        let proxy = match is_loopback(url) {
            true => None,
            false => proxy::from_env(url).map_err(Unreached::Store)?,
        };
        let is_own = self.hub.has(url);
        let token = self.token().filter(|_| is_own);
        let mut request = match is_own && token.is_none() {
            true => self.agent.get(self.hub.with_login(url).as_str()),
            false => self.agent.get(url.as_str()),
        };
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let through = proxy.as_ref().map(|chosen| chosen.proxy.clone());
        let answer = request.config().proxy(through).build().call();
        answer.map_err(|error| {
            let place = match is_own {
                true => self.name(),
                false => url.origin().ascii_serialization(),
            };
            let through = proxy.map_or(String::new(), |chosen| {
                format!(
                    " (through the proxy {}, which {} names)",
                    chosen.shown, chosen.variable
                )
            });
            let said = self.hub.hide(&error.to_string());
            Unreached::Server {
                why: format!("{place}{through}: {said}"),
                again: may_pass(&error),
            }
        })
    }

    /// The token, where it may go to the hub.
    pub(super) fn token(&self) -> Option<&str> {
        self.remote
            .token
            .as_deref()
            .filter(|_| self.hub.is_private())
    }

    /// The hub, as a message names it: with the variable that set it.
    pub(super) fn name(&self) -> String {
        match self.remote.hub == DEFAULT_HUB {
            true => self.hub.to_string(),
            false => format!("{} ({HUB_VARIABLE})", self.hub),
        }
    }
}

/// Where a redirect leads: on the web, and from HTTPS to nothing less.
fn follow(url: &Url, place: &str) -> Result<Url, String> {
    let from = shown(url);
    let next = url.join(place);
    let next = next.map_err(|_| format!("{from} redirects to what is no address"))?;
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        _ => Err(format!(
            "{from} redirects to {}, where anybody in between could read and change what comes: refused",
            shown(&next)
        )),
    }
}

/// Whether a connection that was there broke, or stayed silent: the next one may do better.
fn may_pass(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::UnexpectedEof
        ),
        ureq::Error::Protocol(_) => true,
        ureq::Error::Timeout(limit) => matches!(
            limit,
            ureq::Timeout::SendRequest | ureq::Timeout::RecvResponse | ureq::Timeout::RecvBody
        ),
        _ => false,
    }
}

/// How long a server asks to wait: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // A date that has passed, by whichever clock, asks for no wait.
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// RFC 9110, section 10.2.3, and the three forms of a date in 5.6.7.
    #[test]
    fn waits_are_seconds_or_dates() {
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:59 GMT").unwrap();
        let of = |value: &str| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(of("120"), Some(120));
        assert_eq!(of(" 0 "), Some(0));
        assert_eq!(of("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(of("Sat, 01 Jan 2000 00:00:29 GMT"), Some(30));
        assert_eq!(of("Friday, 31-Dec-99 23:59:59 GMT"), Some(0));
        assert_eq!(of("Fri Dec 31 23:59:58 1999"), Some(0));
        for none in ["", "-1", "1.5", "soon", "2 s"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    /// https://github.com/psf/requests/issues/4716 (from https to http); RFC 3986, section 5.4 (relative ones).
    #[test]
    fn redirects_lead_to_nothing_less() {
        let to =
            |from: &str, place: &str| follow(&Url::parse(from).unwrap(), place).map(String::from);
        for (from, place, next) in [
            ("https://h.x/a/b", "/c?d=e", "https://h.x/c?d=e"),
            ("https://h.x/a/b", "c", "https://h.x/a/c"),
            ("https://h.x/a/b", "?c", "https://h.x/a/b?c"),
            ("https://h.x/a/b", "//cdn.x/c", "https://cdn.x/c"),
            (
                "https://h.x/a",
                "https://cdn.x:8/c d",
                "https://cdn.x:8/c%20d",
            ),
            ("http://h.x/a", "http://cdn.x/c", "http://cdn.x/c"),
            ("http://h.x/a", "https://cdn.x/c", "https://cdn.x/c"),
        ] {
            assert_eq!(to(from, place).unwrap(), next);
        }
        for (from, place) in [
            ("https://h.x/a", "http://h.x/a"),
            ("https://h.x/a", "HTTP://cdn.x/c"),
            ("https://h.x/a", "http://localhost/c"),
            ("https://h.x/a", "file:///etc/passwd"),
            ("http://h.x/a", "ftp://h.x/a"),
            ("http://h.x/a", "data:,x"),
            ("https://h.x/a", "https://"),
        ] {
            let error = to(from, place).unwrap_err();
            assert!(error.contains("redirects to"), "{error}");
        }
        let error = to(
            "https://u:geheim@h.x/a?key=geheim",
            "http://u:geheim@h.x/?geheim",
        );
        assert!(!error.unwrap_err().contains("geheim"));
    }
}
