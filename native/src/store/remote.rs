//! How sources are reached: the hub and its token, commands, time limits.

use super::{
    StoreError,
    address::{HUB_VARIABLE, Hub, without_login},
    hub_id::safe,
    reach::Reach,
};
use std::{env, ffi::OsString, fmt, time::Duration};

pub(super) const DEFAULT_HUB: &str = "https://huggingface.co";

/// How the store reaches its sources; [`Remote::from_env`] is what the program uses.
#[derive(Clone)]
pub struct Remote {
    /// Base URL of the model hub.
    pub hub: String,
    /// The hub's access token. It goes to [`Self::hub`] only: over HTTPS (or to this very machine), and along
    /// a redirect only within the hub itself.
    pub token: Option<String>,
    /// The variable that forbids to ask anybody.
    pub offline: Option<&'static str>,
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
            hub: DEFAULT_HUB.to_owned(),
            token: None,
            offline: None,
            pip: pip.to_vec(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            attempts: 4,
            retry_pause: Duration::from_secs(1),
        }
    }
}

impl Remote {
    /// The defaults, with the hub taken from `HF_ENDPOINT` and the token from `HF_TOKEN` where they are set; what is wrong
    /// with them is said when they are needed. `HF_HUB_OFFLINE=1` (or `TRANSFORMERS_OFFLINE=1`) forbids to ask anybody.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name: &str| {
            let value = env::var_os(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let is_on = |name: &&str| {
            var(name).is_some_and(|value| {
                ["1", "true", "yes", "on"]
                    .iter()
                    .any(|on| value.eq_ignore_ascii_case(on))
            })
        };
        Self {
            token: var("HF_TOKEN"),
            hub: var(HUB_VARIABLE).unwrap_or_else(|| DEFAULT_HUB.to_owned()),
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
                .into_iter()
                .find(is_on),
            ..Self::default()
        }
    }

    /// [`StoreError::Offline`] where nobody may be asked for `what`.
    pub(super) fn is_online(&self, what: &str) -> Result<(), StoreError> {
        match self.offline {
            Some(variable) => Err(StoreError::Offline {
                what: what.to_owned(),
                variable,
            }),
            None => Ok(()),
        }
    }

    /// The way to the hub, where what the user has set for it can be used.
    pub(super) fn reach(&self) -> Result<Reach<'_>, StoreError> {
        let hub = Hub::parse(&self.hub)?;
        if let Some(token) = &self.token
            && let Some(at) = token.find(|c: char| !c.is_ascii_graphic())
        {
            return Err(StoreError::variable(
                "HF_TOKEN",
                format!(
                    "its character {} is none that a token can have (a line break, a space, a letter with an accent?): \
                     copy the token again",
                    token[..at].chars().count() + 1
                ),
            ));
        }
        Ok(Reach::new(self, hub))
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
        if !safe(id) {
            return Err(format!("{id:?} is no name of a dataset's file"));
        }
        self.is_online(id).map_err(|error| error.to_string())?;
        let reach = self.reach().map_err(|error| error.to_string())?;
        let place = ["datasets", owner, name, "resolve", "main"];
        let url = reach.hub.at(place.into_iter().chain(file.split('/')));
        let mut response = reach.get(&url, &[]).map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("{} answers {}", reach.name(), response.status()));
        }
        let body = response.body_mut().with_config().limit(MOST);
        body.read_to_string().map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("hub", &without_login(&self.hub))
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("offline", &self.offline)
            .field("pip", &self.pip)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_token_is_no_more_than_a_token() {
        for bad in ["hf_a\nb", "hf_a b", "hf_ä", "\u{feff}hf_a", "hf_a\u{7f}"] {
            let remote = Remote {
                token: Some(bad.to_owned()),
                ..Remote::default()
            };
            let error = remote.reach().err().unwrap().to_string();
            assert!(error.contains("HF_TOKEN"), "{error}");
            assert!(!error.contains("hf_"), "{error}");
        }
    }

    #[test]
    fn the_token_goes_over_https_or_stays_here() {
        let sent = |hub: &str| {
            let remote = Remote {
                hub: hub.to_owned(),
                token: Some("hf_x".to_owned()),
                ..Remote::default()
            };
            remote.reach().unwrap().token().is_some()
        };
        assert!(sent("https://mirror.example") && sent("http://127.0.0.1:1"));
        assert!(!sent("http://mirror.example") && !sent("http://localhost:80@mirror.example"));
    }
}
