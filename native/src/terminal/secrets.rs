//! What a log or a message must not hold: tokens and passwords.

use std::sync::{Mutex, OnceLock, PoisonError};

/// Stands for what is left out.
const HIDDEN: &str = "(hidden)";

/// Shorter texts are too common to be looked for by themselves.
const SHORTEST: usize = 6;

/// Addresses that may hold a password; proxies have their names in small and capital letters.
const ADDRESSES: [&str; 7] = [
    "HF_ENDPOINT",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// The secrets of the environment, as they are written and as they are sent.
fn known() -> &'static [String] {
    static KNOWN: OnceLock<Vec<String>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let var =
            |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        let mut known: Vec<String> = var("HF_TOKEN")
            .map(|token| token.trim().to_owned())
            .into_iter()
            .collect();
        for address in ADDRESSES.into_iter().filter_map(var) {
            known.extend(user_info(&address).into_iter().flat_map(spellings));
        }
        known.retain(|secret| secret.len() >= SHORTEST || secret.ends_with('@'));
        // A longer one may hold a shorter one.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known
    })
}

/// Secrets that came to be known on the way.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Leaves a secret out of all that is said from now on.
pub fn hide(secret: &str) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.push(secret.to_owned());
}

/// `USER:PASSWORD` of an address.
fn user_info(address: &str) -> Option<&str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user_info, _) = authority.rsplit_once('@').or_else(|| {
        // A password's slash ought to be written %2F, and often is not.
        rest.rsplit_once('@')
            .filter(|(before, _)| before.contains(':'))
    })?;
    Some(user_info)
}

/// Both as they are, without percent signs, and as HTTP sends them; the password alone, too.
fn spellings(user_info: &str) -> Vec<String> {
    let plain = percent_decoded(user_info);
    let password = |text: &str| {
        text.split_once(':')
            .map(|(_, password)| password.to_owned())
    };
    let mut all = vec![
        format!("{user_info}@"),
        user_info.to_owned(),
        base64(plain.as_bytes()),
    ];
    all.extend(password(user_info));
    all.extend(password(&plain));
    all.push(plain);
    all
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, at| {
            (number << 8) | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for digit in 0..=group.len() {
            let value = (number >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

/// Text without secrets: those of the environment, what follows `authorization:` and the like in a line, and what stands
/// before the `@` of an address.
#[must_use]
pub fn hidden(text: &str) -> String {
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    match told.is_empty() {
        true => without(text, known()),
        false => without(text, &[known(), &told].concat()),
    }
}

fn without(text: &str, known: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in known {
        text = text.replace(secret.as_str(), HIDDEN);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        address(&header(line), &mut out);
    }
    out
}

/// A line without what its headers hold.
fn header(line: &str) -> String {
    const NAMES: [&str; 4] = ["authorization", "cookie", "bearer ", "basic "];
    let small = line.to_ascii_lowercase();
    let found = NAMES.into_iter().filter_map(|name| {
        let end = small.find(name)? + name.len();
        // `authorization: Bearer x`, `"authorization": "Bearer x"`, and not a sentence on authorization.
        let value = small[end..].trim_start_matches(['"', '\'', ' ']);
        let is_value =
            name.ends_with(' ') && looks_like_a_token(value) || value.starts_with([':', '=']);
        is_value.then_some(end)
    });
    let Some(end) = found.min() else {
        return line.to_owned();
    };
    let tail = if line.ends_with('\n') { "\n" } else { "" };
    format!("{}: {HIDDEN}{tail}", line[..end].trim_end())
}

fn looks_like_a_token(value: &str) -> bool {
    let token = value.split_whitespace().next().unwrap_or_default();
    token.len() >= SHORTEST
        && token.contains(|c: char| c.is_ascii_digit() || matches!(c, '_' | '=' | '.' | '-'))
}

/// Appends a line, without what stands before the `@` of its addresses.
fn address(mut line: &str, out: &mut String) {
    while let Some(at) = line.find("://") {
        let (before, rest) = line.split_at(at + 3);
        out.push_str(before);
        let end = rest
            .find(|c: char| {
                c.is_whitespace()
                    || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>' | '\\')
            })
            .unwrap_or(rest.len());
        line = match rest[..end].rfind('@') {
            Some(user_info) => {
                out.push_str(HIDDEN);
                &rest[user_info..]
            }
            None => rest,
        };
    }
    out.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648() {
        // RFC 4648, section 10; RFC 7617, section 2.
        for (text, code) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64(text.as_bytes()), code);
        }
        assert_eq!(base64(b"Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ");
    }

    #[test]
    fn no_spelling_of_a_secret_is_left() {
        let mut known = spellings(
            user_info("https://me:p%40ss%20word@proxy.example:3128/").unwrap_or_default(),
        );
        known.push("hf_0123456789".to_owned());
        known.extend(spellings("a:b"));
        for text in [
            "a proxy: a:b@h",
            "token hf_0123456789 was sent",
            "tried https://me:p%40ss%20word@proxy.example:3128/x",
            "user info: me:p@ss word",
            "password p@ss word",
            "CONNECT with bWU6cEBzcyB3b3Jk",
            "DEBUG authorization: Bearer abc\nnext",
            "{\"Authorization\": \"Bearer abc\"}",
            "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "set-cookie: a=b",
            "got Bearer eyJhbGciOiJI.x",
            "http://token@h/ and ftp://a:b@c",
        ] {
            let said = without(text, &known);
            assert!(said.contains(HIDDEN), "{said}");
            for secret in [
                "hf_0", "p%40ss", "p@ss", "bWU6", "abc", "QWxh", "a=b", "eyJ", "token@", "a:b",
            ] {
                assert!(!said.contains(secret), "{said}");
            }
        }
        assert_eq!(
            without("DEBUG authorization: x\nnext", &[]),
            "DEBUG authorization: (hidden)\nnext"
        );
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "cannot reach https://huggingface.co/a/b@main: no route",
            "the hub wants an authorization of its own",
            "see a@b.example or http://localhost:80",
            "basic training, cookies",
        ] {
            assert_eq!(without(text, &[]), text);
        }
    }
}
