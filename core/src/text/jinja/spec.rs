//! A field of a format, for `%` and `str.format`.

use super::{Engine, Error, Result, python};

/// How a value is written in a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub fill: char,
    pub align: Option<char>,
    pub sign: Option<char>,
    pub alternate: bool,
    pub width: usize,
    pub group: Option<char>,
    pub precision: Option<usize>,
    pub kind: Option<char>,
}

impl Spec {
    pub(super) const NONE: Self = Self {
        fill: ' ',
        align: None,
        sign: None,
        alternate: false,
        width: 0,
        group: None,
        precision: None,
        kind: None,
    };
}

pub(super) fn bad(what: impl Into<String>) -> Error {
    Error::new(what)
}

/// A number at the head of `text`, and what follows it.
pub(super) fn leading(text: &str) -> (Option<usize>, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (text[..text.len() - rest.len()].parse().ok(), rest)
}

pub(super) fn radix_digits(number: u128, kind: char) -> String {
    match kind {
        'x' => format!("{number:x}"),
        'X' => format!("{number:X}"),
        'o' => format!("{number:o}"),
        'b' => format!("{number:b}"),
        _ => number.to_string(),
    }
}

/// A text's characters beyond ASCII as escapes.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => python::escape(&mut out, c),
        }
    }
    out
}

impl Engine<'_> {
    pub(super) fn aligned(
        &mut self,
        text: &str,
        width: usize,
        fill: char,
        align: char,
    ) -> Result<String> {
        self.fuel.text(
            width
                .saturating_mul(fill.len_utf8())
                .saturating_add(text.len()),
        )?;
        let missing = width.saturating_sub(text.chars().count());
        let left = match align {
            '<' => 0,
            '^' => missing / 2,
            _ => missing,
        };
        let pad = |count: usize| -> String { std::iter::repeat_n(fill, count).collect() };
        Ok(pad(left) + text + &pad(missing - left))
    }

    /// A number that is not negative, in `e`, `f`, `g` or `%`.
    pub(super) fn float_digits(&mut self, number: f64, kind: char, spec: Spec) -> Result<String> {
        let precision = spec.precision.unwrap_or(6);
        self.fuel.text(precision.saturating_add(320))?;
        if !number.is_finite() {
            let text = if number.is_nan() { "nan" } else { "inf" };
            return Ok(if kind.is_uppercase() {
                text.to_uppercase()
            } else {
                text.to_owned()
            });
        }
        if precision > 4000 {
            return Err(bad("too many digits"));
        }
        let exponential = |precision: usize| {
            let text = format!("{number:.precision$e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            (
                digits.to_owned(),
                exponent.parse::<i64>().unwrap_or_default(),
            )
        };
        let joined = |digits: String, exponent: i64| {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        };
        let text = match kind.to_ascii_lowercase() {
            'f' => format!("{number:.precision$}"),
            'e' => {
                let (digits, exponent) = exponential(precision);
                joined(digits, exponent)
            }
            _ => {
                let most = precision.max(1);
                let (digits, exponent) = exponential(most - 1);
                let trim = |text: String| match text.contains('.') && !spec.alternate {
                    true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    false => text,
                };
                match exponent < -4 || exponent >= most as i64 {
                    true => joined(trim(digits), exponent),
                    false => {
                        let after = (most as i64 - 1 - exponent).max(0) as usize;
                        trim(format!("{number:.after$}"))
                    }
                }
            }
        };
        Ok(if kind.is_uppercase() {
            text.to_uppercase()
        } else {
            text
        })
    }
}
