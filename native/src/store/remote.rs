//! How sources are reached: addresses, the hub's token, commands, time limits.

use std::{env, ffi::OsString, fmt, time::Duration};

/// How the store reaches its sources; [`Remote::from_env`] is what the program uses.
#[derive(Clone)]
pub struct Remote {
    /// Base URL of the model hub, without a slash at the end.
    pub hub: String,
    /// The hub's access token. It goes to [`Self::hub`] only: over HTTPS (or to this very machine), and never along
    /// a redirect.
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
