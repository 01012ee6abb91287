//! How sources are reached: addresses, the hub's token, commands, time limits.

use std::{env, ffi::OsString, fmt, time::Duration};

use ureq::{
    Agent, Body, RequestBuilder,
    config::RedirectAuthHeaders,
    http::{Response, header},
    typestate::WithoutBody,
};

/// Redirects followed within the hub.
const HUB_REDIRECTS: usize = 4;

/// How the store reaches its sources; [`Remote::from_env`] is what the program uses.
#[derive(Clone)]
pub struct Remote {
    /// Base URL of the model hub, without a slash at the end.
    pub hub: String,
    /// The hub's access token. It goes to [`Self::hub`] only: over HTTPS (or to this very machine), and along
    /// a redirect only within the hub itself.
    pub token: Option<String>,
    /// Commands that run pip, tried in order until one exists.
    pub pip: Vec<Vec<OsString>>,
    /// Limit for name resolution, and again for connecting.
    pub connect_timeout: Duration,
    /// Longest silence of the server before the connection is given up (the pull then resumes).
    pub stall_timeout: Duration,
    /// How many attempts in a row may bring no new bytes before a source is given up.
    pub attempts: u32,
    /// Pause before a second attempt; doubled for each further one.
    pub retry_pause: Duration,
}

impl Default for Remote {
    fn default() -> Self {
        let pip = [
            "python3 -m pip",
            "pip3",
            "pip",
            "python -m pip",
            "py -m pip",
        ]
        .map(|line| line.split(' ').map(OsString::from).collect());
        Self {
            hub: "https://huggingface.co".to_owned(),
            token: None,
            pip: pip.to_vec(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            attempts: 4,
            retry_pause: Duration::from_secs(1),
        }
    }
}

impl Remote {
    /// The defaults, with the hub taken from `HF_ENDPOINT` and the token from `HF_TOKEN` where they are set.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name| {
            let value = env::var(name).ok()?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let mut remote = Self {
            token: var("HF_TOKEN"),
            ..Self::default()
        };
        if let Some(hub) = var("HF_ENDPOINT") {
            hub.trim_end_matches('/').clone_into(&mut remote.hub);
        }
        remote
    }

    /// A client with the limits.
    pub(super) fn agent(&self) -> Agent {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::Never)
            .user_agent(concat!("periapt/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_recv_response(Some(self.stall_timeout))
            .timeout_per_read(Some(self.stall_timeout))
            .timeout_per_write(Some(self.stall_timeout));
        if self.hub_is_loopback() {
            config = config.proxy(None);
        }
        config.build().into()
    }

    /// Sends a request to the hub and follows redirects: within the hub (its private files need that) with the token,
    /// elsewhere without.
    pub(super) fn call(
        &self,
        agent: &Agent,
        url: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Body>, ureq::Error> {
        let mut url = url.to_owned();
        for _ in 0..HUB_REDIRECTS {
            if !url.starts_with(&format!("{}/", self.origin())) {
                break;
            }
            let mut request = self.get(agent, &url);
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let request = request.config().max_redirects(0);
            let response = request.max_redirects_will_error(false).build().call()?;
            let place = response.headers().get(header::LOCATION);
            let place = place.and_then(|place| place.to_str().ok());
            match place.filter(|_| response.status().is_redirection()) {
                None => return Ok(response),
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    url = format!("{}{path}", self.origin());
                }
                Some(place) => place.clone_into(&mut url),
            }
        }
        let mut request = agent.get(&url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.call()
    }

    /// The hub's scheme, host and port.
    fn origin(&self) -> &str {
        let host = self.hub.find("://").map_or(0, |at| at + 3);
        let end = self.hub[host..]
            .find('/')
            .map_or(self.hub.len(), |at| host + at);
        &self.hub[..end]
    }

    /// A request to the hub, with the token where it may go.
    pub(super) fn get(&self, agent: &Agent, url: &str) -> RequestBuilder<WithoutBody> {
        let request = agent.get(url);
        match &self.token {
            Some(token) if url.starts_with("https://") || self.hub_is_loopback() => {
                request.header(header::AUTHORIZATION, format!("Bearer {token}"))
            }
            _ => request,
        }
    }

    /// A file of a dataset on the hub, at most 64 MiB, named `OWNER/NAME/PATH`.
    ///
    /// # Errors
    ///
    /// What the server or the connection said.
    pub fn dataset(&self, id: &str) -> Result<String, String> {
        const MOST: u64 = 64 << 20;
        let parts: Vec<&str> = id.splitn(3, '/').collect();
        let [owner, name, file] = parts[..] else {
            return Err("a dataset on the hub is named OWNER/NAME/PATH".to_owned());
        };
        let url = format!("{}/datasets/{owner}/{name}/resolve/main/{file}", self.hub);
        let response = self.get(&self.agent(), &url).call();
        let mut response = response.map_err(|error| format!("{}: {error}", self.hub))?;
        if !response.status().is_success() {
            return Err(format!("{} answers {}", self.hub, response.status()));
        }
        let body = response.body_mut().with_config().limit(MOST);
        body.read_to_string().map_err(|error| error.to_string())
    }

    /// Whether the hub runs on this machine.
    pub(super) fn hub_is_loopback(&self) -> bool {
        ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .filter_map(|host| self.hub.strip_prefix(host))
            .any(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("hub", &self.hub)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("pip", &self.pip)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let is = |hub: &str| {
            let hub = hub.to_owned();
            Remote {
                hub,
                ..Remote::default()
            }
            .hub_is_loopback()
        };
        assert!(is("http://127.0.0.1") && is("http://localhost:80") && is("http://[::1]/mirror"));
        assert!(!is("http://127.0.0.1.example.org") && !is("http://localhosts") && !is(""));
        assert!(!is("http://mirror.example.org/http://localhost"));
    }
}
