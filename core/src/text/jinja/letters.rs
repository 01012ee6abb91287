//! What Python's text methods do that need nothing but the text.

use std::collections::HashSet;

use super::calls::Call;
use super::numbers::decimal;
use super::value::Value;
use super::{Error, Result, python};

/// What a text method gives.
pub(super) enum Made {
    /// A text, which is markup where this one is.
    Text(String),
    Texts(Vec<String>),
    Three(String, String, String),
    Other(Value),
}

/// Words between spaces, at most `most` of them split off.
pub(super) fn words(text: &str, most: usize) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start_matches(python::is_space));
    while !rest.is_empty() {
        let end = match words.len() < most {
            true => rest.find(python::is_space).unwrap_or(rest.len()),
            false => rest.len(),
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches(python::is_space);
    }
    words
}

pub(super) fn partition(text: &str, name: &str, call: Call) -> Result<Made> {
    let [separator] = call.texts(name)?;
    if separator.is_empty() {
        return Err(Error::new(format!("{name}: the separator is empty")));
    }
    let (all, nothing) = (text.to_owned(), String::new());
    let parts = match name {
        "partition" => text.split_once(&*separator),
        _ => text.rsplit_once(&*separator),
    };
    Ok(match parts {
        Some((a, b)) => Made::Three(a.to_owned(), separator.to_string(), b.to_owned()),
        None if name == "partition" => Made::Three(all, nothing.clone(), nothing),
        None => Made::Three(nothing.clone(), nothing, all),
    })
}

pub(super) fn strip<'t>(text: &'t str, name: &str, call: Call) -> Result<&'t str> {
    let [chars] = call.bind(name, ["chars"], 0)?;
    let chars = match chars {
        None | Some(Value::None) => None,
        Some(chars) => {
            let chars = chars.as_str().ok_or_else(|| chars.misused(name))?;
            Some(chars.chars().collect::<HashSet<_>>())
        }
    };
    let goes = |c: char| match &chars {
        None => python::is_space(c),
        Some(chars) => chars.contains(&c),
    };
    Ok(strip_where(text, name, goes))
}

fn strip_where<'t>(text: &'t str, name: &str, goes: impl Fn(char) -> bool) -> &'t str {
    let text = match name {
        "rstrip" => text,
        _ => text.trim_start_matches(&goes),
    };
    match name {
        "lstrip" => text,
        _ => text.trim_end_matches(&goes),
    }
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !c.is_numeric() && !('Ⓐ'..='ⓩ').contains(&c)
}

fn is_digit(c: char) -> bool {
    decimal(c).is_some()
        || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨' | '⑴'..='⑼' | '⒈'..='⒐' | '⓪' | '⓵'..='⓽' | '⓿' | '❶'..='❾' | '➀'..='➈' | '➊'..='➒')
}

/// `text.title()`: each letter behind none begins a word.
fn title(text: &str) -> String {
    let (mut out, mut inside) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.push_str(&python::title_case(c)),
        }
        inside = is_cased(c);
    }
    out
}

fn is_title(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for c in text.chars() {
        let begins = c.is_uppercase() || (is_cased(c) && !c.is_lowercase());
        if (begins && inside) || (c.is_lowercase() && !inside) {
            return false;
        }
        inside = is_cased(c);
        any |= inside;
    }
    any
}

/// Whether a text is in lower (or upper) case.
pub(super) fn is_case(text: &str, lower: bool) -> bool {
    let other = |c: char| {
        is_cased(c)
            && if lower {
                !c.is_lowercase()
            } else {
                !c.is_uppercase()
            }
    };
    text.chars().any(is_cased) && !text.chars().any(other)
}

/// Methods without arguments.
pub(super) fn simple(text: &str, name: &str) -> Made {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    let truth = match name {
        "upper" => return Made::Text(text.to_uppercase()),
        "lower" => return Made::Text(python::lower(text)),
        "casefold" => return Made::Text(text.to_lowercase().replace('ß', "ss").replace('ς', "σ")),
        "capitalize" => return Made::Text(python::capitalize(text)),
        "title" => return Made::Text(title(text)),
        "swapcase" => {
            let swap = |c: char| -> String {
                match c.is_uppercase() {
                    true => c.to_lowercase().collect(),
                    false => c.to_uppercase().collect(),
                }
            };
            return Made::Text(text.chars().map(swap).collect());
        }
        "isalnum" => all(|c| is_letter(c) || c.is_numeric()),
        "isalpha" => all(is_letter),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(|c| decimal(c).is_some()),
        "isdigit" => all(is_digit),
        "isidentifier" => {
            let letter = |c: char| c == '_' || c.is_alphabetic();
            all(|c| c == '_' || c.is_alphanumeric()) && text.starts_with(letter)
        }
        "islower" => is_case(text, true),
        "isnumeric" => all(char::is_numeric),
        "isprintable" => text.chars().all(python::is_printable),
        "isspace" => all(python::is_space),
        "istitle" => is_title(text),
        _ => is_case(text, false),
    };
    Made::Other(Value::Bool(truth))
}
