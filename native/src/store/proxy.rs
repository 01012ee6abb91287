//! Which proxy a request goes through: the variables that curl and pip read, too. One that cannot be used is an error:
//! never is it passed by.

use super::{StoreError, address::without_login};
use std::{env, net::IpAddr};
use ureq::Proxy;
use url::{Host, Url};

/// A proxy, and the variable that names it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub variable: &'static str,
    pub proxy: Proxy,
    /// Its address, to print.
    pub shown: String,
}

/// By the target's scheme: its own variables first, then those for all, then (as the HTTP library has it) the other
/// scheme's. Lower case goes first, as in curl.
const HTTPS: [&str; 6] = [
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "http_proxy",
    "HTTP_PROXY",
];
const HTTP: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
];

/// The proxy for `url` that the environment names.
pub(crate) fn from_env(url: &Url) -> Result<Option<Chosen>, StoreError> {
    choose(url, &|name| match env::var(name) {
        Ok(value) => Ok(value),
        Err(env::VarError::NotPresent) => Ok(String::new()),
        Err(env::VarError::NotUnicode(_)) => Err(StoreError::variable(name, "it is not UTF-8")),
    })
}

/// The same with another way to read variables. All that are set must be right, not only the one that is taken: what is
/// skipped today is taken when that one goes.
fn choose(
    url: &Url,
    var: &dyn Fn(&'static str) -> Result<String, StoreError>,
) -> Result<Option<Chosen>, StoreError> {
    if ["no_proxy", "NO_PROXY"]
        .into_iter()
        .map(var)
        .find(|value| !matches!(value, Ok(value) if value.trim().is_empty()))
        .transpose()?
        .is_some_and(|list| spares(&list, url))
    {
        return Ok(None);
    }
    let mut chosen = None;
    for variable in if url.scheme() == "http" { HTTP } else { HTTPS } {
        let value = var(variable)?;
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let shown = without_login(value);
        let proxy = Proxy::new(value).ok().filter(has_place);
        let proxy = proxy.ok_or_else(|| {
            StoreError::variable(
                variable,
                format!(
                    "`{shown}` is no proxy that can be used: write http://HOST:PORT, https://HOST:PORT, \
                     socks5://HOST:PORT or socks5h://HOST:PORT. (NO_PROXY=* leaves all proxies out)"
                ),
            )
        })?;
        chosen.get_or_insert(Chosen {
            variable,
            proxy,
            shown,
        });
    }
    Ok(chosen)
}

/// Whether there is a host, and what stands behind it is a port: the library takes the default one for what is none.
fn has_place(proxy: &Proxy) -> bool {
    let place = proxy.uri().authority().map_or("", |place| place.as_str());
    let place = place.rsplit('@').next().unwrap_or_default();
    let port = place.strip_prefix(proxy.host()).unwrap_or(place);
    let is_port = |port: &str| {
        port.strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok())
    };
    !proxy.host().is_empty() && (port.is_empty() || is_port(port))
}

/// Whether the list in NO_PROXY leaves this target out: `*`, a domain (with what is below it, a leading dot or `*.` makes no
/// difference), an address, a network in CIDR notation, each perhaps with a port. As curl has it, with Go's ports.
fn spares(list: &str, url: &Url) -> bool {
    let Some(host) = url.host() else {
        return false;
    };
    let port = url.port_or_known_default();
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches_entry(entry, &host, port))
}

fn matches_entry(entry: &str, host: &Host<&str>, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    let (name, wanted) = with_port(entry);
    if wanted.is_some() && wanted != port {
        return false;
    }
    let address = match host {
        Host::Domain(host) => {
            let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
            let (host, name) = (plain(host), plain(name));
            let name = name.trim_start_matches('*').trim_start_matches('.');
            return !name.is_empty()
                && host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        }
        Host::Ipv4(address) => IpAddr::V4(*address),
        Host::Ipv6(address) => IpAddr::V6(*address),
    };
    match name.split_once('/') {
        Some((network, bits)) => match (network.parse::<IpAddr>(), bits.parse::<u32>()) {
            (Ok(network), Ok(bits)) => is_within(address, network, bits),
            _ => false,
        },
        None => name.parse::<IpAddr>() == Ok(address),
    }
}

/// `NAME:PORT` and `[ADDRESS]:PORT` apart; an IPv6 address without brackets has no port.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(rest) = entry.strip_prefix('[') {
        let (address, port) = rest.split_once(']').unwrap_or((rest, ""));
        return (address, port.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn chosen(url: &str, vars: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let var = |name: &'static str| {
            let found = vars.iter().find(|(own, _)| *own == name);
            Ok(found.map_or(String::new(), |(_, value)| (*value).to_owned()))
        };
        match choose(&Url::parse(url).unwrap(), &var) {
            Ok(chosen) => Ok(chosen.map(|chosen| format!("{} {}", chosen.variable, chosen.shown))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// curl(1), "ENVIRONMENT", on who goes first.
    #[test]
    fn the_scheme_and_the_case_choose() {
        let all = [
            ("https_proxy", "http://a:1"),
            ("HTTPS_PROXY", "http://b:2"),
            ("all_proxy", "socks5://c:3"),
            ("ALL_PROXY", "socks5h://d:4"),
            ("http_proxy", "e:5"),
            ("HTTP_PROXY", "https://f:6"),
        ];
        let of = |url: &str, vars: &[(&'static str, &str)]| chosen(url, vars).unwrap();
        let (s, h) = ("https://x.example/a", "http://x.example/a");
        assert_eq!(of(s, &all).unwrap(), "https_proxy http://a:1");
        assert_eq!(of(h, &all).unwrap(), "http_proxy e:5");
        assert_eq!(of(s, &all[1..]).unwrap(), "HTTPS_PROXY http://b:2");
        assert_eq!(of(s, &all[2..]).unwrap(), "all_proxy socks5://c:3");
        assert_eq!(of(h, &all[..4]).unwrap(), "all_proxy socks5://c:3");
        assert_eq!(of(s, &all[3..]).unwrap(), "ALL_PROXY socks5h://d:4");
        assert_eq!(of(h, &all[..1]).unwrap(), "https_proxy http://a:1");
        assert_eq!(of(s, &[]), None);
        // An empty variable counts as unset.
        let unset = [("https_proxy", ""), ("HTTPS_PROXY", "http://b:2")];
        assert_eq!(of(s, &unset).unwrap(), "HTTPS_PROXY http://b:2");
    }

    #[test]
    fn what_is_no_proxy_is_said_without_its_password() {
        for bad in [
            "ftp://p:1",
            "foo://me:geheim@p:1",
            "http://",
            "http://me:geheim@",
            "http://p:port",
            "r32/?//52:**",
            "http://a b:1",
            "://x",
        ] {
            for variable in ["HTTPS_PROXY", "all_proxy", "HTTP_PROXY"] {
                let error = chosen("https://x.example", &[(variable, bad)]).unwrap_err();
                assert!(error.contains(variable), "{bad}: {error}");
                assert!(!error.contains("geheim"), "{bad}: {error}");
            }
        }
        // Wrong is wrong, even where another one goes first.
        let both = [("https_proxy", "http://a:1"), ("ALL_PROXY", "foo://b")];
        assert!(
            chosen("https://x.example", &both)
                .unwrap_err()
                .contains("ALL_PROXY")
        );
        let shown = chosen(
            "https://x.example",
            &[("ALL_PROXY", "http://me:geheim@p:1")],
        );
        assert_eq!(shown.unwrap().unwrap(), "ALL_PROXY ***@p:1");
    }

    /// Reports of how lists differ: https://github.com/curl/curl/issues/1208 and 9773 (CIDR),
    /// https://github.com/docker/docs/issues/9745 (`*.`), https://github.com/nahi/httpclient/pull/110 (leading dots),
    /// https://github.com/redhat-developer/red-hat-developers-documentation-rhdh/pull/709 (spaces, ports).
    #[test]
    fn no_proxy_lists() {
        let spares = |list: &str, url: &str| spares(list, &Url::parse(url).unwrap());
        for (list, url) in [
            ("*", "https://x.example"),
            ("example.org,*", "http://10.0.0.1"),
            ("x.example", "https://x.example"),
            ("example", "https://x.example"),
            (".x.example", "https://x.example"),
            (".x.example", "https://a.x.example"),
            ("*.x.example", "https://a.x.example"),
            ("X.Example", "https://a.X.EXAMPLE/"),
            ("x.example.", "https://x.example"),
            ("x.example", "https://x.example./"),
            ("a.org , x.example", "https://x.example"),
            ("a.org x.example", "https://x.example"),
            ("x.example:443", "https://x.example"),
            ("x.example:8080", "http://x.example:8080"),
            ("10.0.0.0/8", "http://10.1.2.3"),
            ("10.1.2.3", "http://10.1.2.3:99"),
            ("0.0.0.0/0", "http://10.1.2.3"),
            ("fd00::/8", "http://[fd12::1]"),
            ("[fd12::1]:80", "http://[fd12::1]"),
            ("fd12::1", "http://[fd12::1]"),
        ] {
            assert!(spares(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("", "https://x.example"),
            (",", "https://x.example"),
            (".", "https://x.example"),
            ("x.example", "https://ax.example"),
            ("a.x.example", "https://x.example"),
            ("x.example.org", "https://x.example"),
            ("x.example:80", "https://x.example"),
            ("10.0.0.0/8", "http://11.1.2.3"),
            ("10.0.0.0/33", "http://10.1.2.3"),
            ("10.0.0.0/8", "http://10.example"),
            ("0.0.0.1", "http://10.0.0.1"),
            ("fd00::/8", "http://[fe12::1]"),
            ("fd00::/8", "http://10.1.2.3"),
        ] {
            assert!(!spares(list, url), "{list} {url}");
        }
    }
}
