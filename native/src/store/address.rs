//! The hub's address, and the addresses of what lies there: checked, encoded, and never printed with a password.

use super::StoreError;
use std::fmt;
use url::{Host, Url};

/// The variable that names another hub.
pub(super) const HUB_VARIABLE: &str = "HF_ENDPOINT";

/// A hub's address: `https://HOST[:PORT][/PATH]`, perhaps with a name and a password, which its `Display` hides.
#[derive(Clone)]
pub(super) struct Hub {
    /// Without name and password.
    base: Url,
    /// With them, where there are some.
    login: Option<Url>,
}

impl Hub {
    /// The hub at `text`, which [`HUB_VARIABLE`] says, or the program.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |why: &str| {
            StoreError::variable(
                HUB_VARIABLE,
                format!(
                    "`{}` is no address of a hub: {why} (such as https://huggingface.co)",
                    without_login(text)
                ),
            )
        };
        let begins = |scheme: &str| {
            text.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if !begins("https://") && !begins("http://") {
            return Err(wrong("it has to begin with https:// or http://"));
        }
        let mut base = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("it may not hold `?` or `#`"));
        }
        let login =
            (!base.username().is_empty() || base.password().is_some()).then(|| base.clone());
        // Both can be taken from every address that has a host.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        Ok(Self { base, login })
    }

    /// The address of `segments` below the hub, each of them one part of the path.
    pub(super) fn at<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether the address is one of this hub's.
    pub(super) fn has(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// An address of this hub with its name and password.
    pub(super) fn with_login(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if let Some(login) = &self.login {
            // As above.
            let _ = url.set_username(login.username());
            let _ = url.set_password(login.password());
        }
        url
    }

    /// Whether a secret sent there is read by nobody in between: it goes over HTTPS, or stays on this machine.
    pub(super) fn is_private(&self) -> bool {
        self.base.scheme() == "https" || is_loopback(&self.base)
    }

    /// A text from a library, without the hub's password.
    pub(super) fn hide(&self, text: &str) -> String {
        match self.login.as_ref().and_then(Url::password) {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text.to_owned(),
        }
    }
}

impl fmt::Display for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(shown(&self.base).trim_end_matches('/'))
    }
}

/// Whether the address is one of this machine's.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
            Some(Host::Ipv6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
            None => false,
        }
}

/// An address to print: without name, password and query, which may be secrets.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// What is no address, to print: nothing before an `@` or behind a `?`, and no control characters.
pub(crate) fn without_login(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let hidden = match text.rfind('@') {
        Some(at) => format!("***{}", &text[at..]),
        None => text.to_owned(),
    };
    hidden.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn hub(text: &str) -> Hub {
        Hub::parse(text).unwrap()
    }

    /// `localhost:80` before an `@` is a name and a password, the host comes behind: RFC 3986, section 3.2.1.
    #[test]
    fn only_this_machine_is_loopback() {
        for yes in [
            "http://127.0.0.1",
            "http://localhost:80",
            "http://LOCALHOST/",
            "http://[::1]/mirror",
            "http://user:pass@localhost",
        ] {
            assert!(is_loopback(&hub(yes).base), "{yes}");
        }
        for no in [
            "http://localhost:80@example.org",
            "http://127.0.0.1:8080@example.org/",
            "http://localhost@example.org:80",
            "http://127.0.0.1.example.org",
            "http://localhosts",
            "http://example.org/http://localhost",
            "http://example.org/@localhost",
            "http://[::1].example.org@evil.example",
            "http://0.0.0.0",
            "https://localhost",
        ] {
            let hub = Hub::parse(no);
            assert!(!hub.is_ok_and(|hub| is_loopback(&hub.base)), "{no}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let hub = hub("https://me:geheim@mirror.example/hf/");
        assert_eq!(hub.to_string(), "https://mirror.example/hf");
        assert_eq!(hub.hide("no route to me:geheim@x"), "no route to me:***@x");
        let url = hub.at(["a", "b"]);
        assert_eq!(url.as_str(), "https://mirror.example/hf/a/b");
        assert_eq!(
            hub.with_login(&url).as_str(),
            "https://me:geheim@mirror.example/hf/a/b"
        );
        for bad in [
            "me:geheim@mirror.example",
            "ftp://me:geheim@mirror.example",
            "https://me:geheim@mirror.example/?key=geheim",
            "https://me:geheim@",
            "https://me:geheim@mirror.example:99999",
        ] {
            let error = Hub::parse(bad).err().unwrap().to_string();
            assert!(error.contains("HF_ENDPOINT"), "{bad}: {error}");
            assert!(!error.contains("geheim"), "{bad}: {error}");
        }
    }

    /// A mirror below a path, with and without a slash at its end
    /// (https://github.com/huggingface/huggingface_hub/issues/2808); names with every character that means something in an address (RFC 3986, section 3.3).
    #[test]
    fn what_is_asked_for_is_encoded() {
        for (base, start) in [
            ("https://h.example", "https://h.example/"),
            ("https://h.example/", "https://h.example/"),
            ("https://h.example/api/hf", "https://h.example/api/hf/"),
            ("https://h.example/api/hf//", "https://h.example/api/hf//"),
        ] {
            for (segment, encoded) in [
                ("a b", "a%20b"),
                ("50%", "50%25"),
                ("%41", "%2541"),
                ("a#1", "a%231"),
                ("why?", "why%3F"),
                ("refs/pr/1", "refs%2Fpr%2F1"),
                ("mö", "m%C3%B6"),
                ("日本", "%E6%97%A5%E6%9C%AC"),
                ("a+b&c=d@e", "a+b&c=d@e"),
            ] {
                let url = hub(base).at(["x", segment]);
                assert_eq!(url.as_str(), format!("{start}x/{encoded}"));
            }
        }
    }
}
