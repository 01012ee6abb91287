//! `%` formatting and `str.format`.

use std::rc::Rc;

use super::calls::Call;
use super::value::Value;
use super::{Engine, Error, Result, numbers, python};

/// How a value is written in a field.
#[derive(Debug, Clone, Copy)]
struct Spec {
    fill: char,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    const NONE: Self = Self {
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

fn bad(what: impl Into<String>) -> Error {
    Error::new(what)
}

/// A number at the head of `text`, and what follows it.
fn leading(text: &str) -> (Option<usize>, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (text[..text.len() - rest.len()].parse().ok(), rest)
}

impl Engine<'_> {
    /// `format % values`.
    pub(super) fn percent(&mut self, format: &str, values: &Value, markup: bool) -> Result<String> {
        self.fuel.text(format.len())?;
        let (mut positional, single) = match values {
            Value::Tuple(items) => (items.values.clone().into_iter(), false),
            other => (vec![other.clone()].into_iter(), true),
        };
        let mut by_name = false;
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let mut spec = Spec::NONE;
            let mut given = None;
            if let Some(inner) = rest.strip_prefix('(') {
                let end = inner
                    .find(')')
                    .ok_or_else(|| bad("an incomplete % format"))?;
                let Value::Dict(dict) = values else {
                    return Err(bad("a % format by name needs a mapping"));
                };
                let found = self.find(dict, &Value::str(&inner[..end]))?;
                given = Some(found.ok_or_else(|| bad(format!("no value '{}'", &inner[..end])))?);
                by_name = true;
                rest = &inner[end + 1..];
            }
            while let Some(flag) = rest.chars().next().filter(|c| "-+ #0".contains(*c)) {
                match flag {
                    '-' => spec.align = Some('<'),
                    '+' => spec.sign = Some('+'),
                    ' ' => spec.sign = spec.sign.or(Some(' ')),
                    '#' => spec.alternate = true,
                    _ => spec.fill = '0',
                }
                rest = &rest[1..];
            }
            let number = |rest: &mut &str, positional: &mut std::vec::IntoIter<Value>| {
                if let Some(after) = rest.strip_prefix('*') {
                    *rest = after;
                    let value = positional.next().and_then(|value| value.as_int());
                    return value
                        .map(Some)
                        .ok_or_else(|| bad("* in a % format wants a number"));
                }
                let (number, after) = leading(rest);
                *rest = after;
                Ok(number.map(|number| number as i128))
            };
            if let Some(width) = number(&mut rest, &mut positional)? {
                if width < 0 {
                    spec.align = Some('<');
                }
                spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
            }
            if let Some(after) = rest.strip_prefix('.') {
                rest = after;
                let precision = number(&mut rest, &mut positional)?.unwrap_or(0);
                spec.precision = Some(usize::try_from(precision.max(0)).unwrap_or(usize::MAX));
            }
            rest = rest.trim_start_matches(['h', 'l', 'L']);
            let kind = rest
                .chars()
                .next()
                .ok_or_else(|| bad("an incomplete % format"))?;
            rest = &rest[kind.len_utf8()..];
            if kind == '%' {
                out.push('%');
                continue;
            }
            let value = match given {
                Some(value) => value,
                None => positional
                    .next()
                    .ok_or_else(|| bad("too few values for a % format"))?,
            };
            let text = self.percent_field(&value, kind, spec, markup)?;
            self.fuel.grow(out.len(), text.len() + rest.len())?;
            out.push_str(&text);
        }
        out.push_str(rest);
        let unused = positional.len() > 0 && !by_name;
        let mapping =
            single && matches!(values, Value::Dict(_) | Value::List(_) | Value::Range(..));
        if unused && !mapping {
            return Err(bad("too many values for a % format"));
        }
        Ok(out)
    }

    fn percent_field(
        &mut self,
        value: &Value,
        kind: char,
        mut spec: Spec,
        markup: bool,
    ) -> Result<String> {
        let zero = spec.fill == '0' && spec.align.is_none();
        spec.fill = ' ';
        let right = spec.align.is_none();
        let body = match kind {
            's' | 'r' | 'a' => {
                let mut text = String::new();
                match kind {
                    's' => self.write_text(&mut text, value)?,
                    _ => self.write_repr(&mut text, value, 0)?,
                }
                if kind == 'a' {
                    text = ascii(&text);
                }
                if markup && !matches!((kind, value), ('s', Value::Str(_, true))) {
                    text = python::escape_html(&text);
                }
                match spec.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text,
                }
            }
            'c' => match value {
                Value::Str(text, _) if text.chars().count() == 1 => text.to_string(),
                other => {
                    let code = other.as_int().and_then(|n| u32::try_from(n).ok());
                    let c = code.and_then(char::from_u32);
                    c.ok_or_else(|| other.misused("%c"))?.to_string()
                }
            },
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
                let number = match (value, kind) {
                    (Value::Float(number), 'd' | 'i' | 'u') => numbers::truncate(*number)?,
                    (other, _) => other
                        .as_int()
                        .ok_or_else(|| other.misused("a % format of numbers"))?,
                };
                let radix = if matches!(kind, 'd' | 'i' | 'u') {
                    'd'
                } else {
                    kind
                };
                let mut digits = radix_digits(number.unsigned_abs(), radix);
                if let Some(least) = spec.precision {
                    self.fuel.text(least)?;
                    digits = "0".repeat(least.saturating_sub(digits.len())) + &digits;
                }
                let prefix = match (spec.alternate, kind) {
                    (true, 'x') => "0x",
                    (true, 'X') => "0X",
                    (true, 'o') => "0o",
                    _ => "",
                };
                return self.padded_number(number < 0, prefix, &digits, spec, zero, right);
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = value
                    .as_float()
                    .ok_or_else(|| value.misused("a % format of numbers"))?;
                let digits = self.float_digits(number.abs(), kind, spec)?;
                let negative = number.is_sign_negative() && !number.is_nan();
                return self.padded_number(negative, "", &digits, spec, zero, right);
            }
            other => return Err(bad(format!("an unknown % format '{other}'"))),
        };
        let align = if right { '>' } else { '<' };
        self.aligned(&body, spec.width, ' ', align)
    }

    fn padded_number(
        &mut self,
        negative: bool,
        prefix: &str,
        digits: &str,
        spec: Spec,
        zero: bool,
        right: bool,
    ) -> Result<String> {
        let sign = match (negative, spec.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let head = format!("{sign}{prefix}");
        if zero {
            self.fuel.text(spec.width)?;
            let missing = spec.width.saturating_sub(head.len() + digits.len());
            return Ok(format!("{head}{}{digits}", "0".repeat(missing)));
        }
        self.aligned(
            &(head + digits),
            spec.width,
            ' ',
            if right { '>' } else { '<' },
        )
    }

    fn aligned(&mut self, text: &str, width: usize, fill: char, align: char) -> Result<String> {
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
    fn float_digits(&mut self, number: f64, kind: char, spec: Spec) -> Result<String> {
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

    /// `text.format(…)` and `text.format_map(…)`.
    pub(super) fn format_method(
        &mut self,
        text: &Rc<str>,
        markup: bool,
        name: &str,
        mut call: Call,
    ) -> Result<Value> {
        if name == "format_map" {
            let [map] = call.bind(name, ["mapping"], 1)?;
            let map = map.unwrap_or(Value::None);
            let Value::Dict(dict) = &map else {
                return Err(map.misused(name));
            };
            let named = |(key, value): &(Value, Value)| Some((key.as_str()?.into(), value.clone()));
            call = Call {
                positional: Vec::new(),
                keywords: dict.entries.iter().filter_map(named).collect(),
            };
        }
        let mut next = Some(0);
        let out = self.fields(text, &call, &mut next, markup, 2)?;
        Ok(Value::Str(out.into(), markup))
    }

    /// A format's text with its fields filled in. `next` is the next field without a number.
    fn fields(
        &mut self,
        format: &str,
        call: &Call,
        next: &mut Option<usize>,
        markup: bool,
        nesting: usize,
    ) -> Result<String> {
        if nesting == 0 {
            return Err(bad("a format within a format within a format"));
        }
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            self.fuel.grow(out.len(), at)?;
            out.push_str(&rest[..at]);
            let brace = rest.as_bytes()[at];
            rest = &rest[at + 1..];
            if rest.as_bytes().first() == Some(&brace) {
                out.push(char::from(brace));
                rest = &rest[1..];
                continue;
            }
            if brace == b'}' {
                return Err(bad("a single '}' in a format"));
            }
            let mut open = 1;
            let end = rest.find(|c| {
                open += i32::from(c == '{') - i32::from(c == '}');
                open == 0
            });
            let end = end.ok_or_else(|| bad("a single '{' in a format"))?;
            let field = &rest[..end];
            rest = &rest[end + 1..];
            let name_end = field.find(['!', ':']).unwrap_or(field.len());
            let (name, tail) = field.split_at(name_end);
            let (conversion, spec) = match tail.strip_prefix('!') {
                Some(tail) => match tail.split_once(':') {
                    Some((conversion, spec)) => (Some(conversion), spec),
                    None => (Some(tail), ""),
                },
                None => (None, tail.strip_prefix(':').unwrap_or_default()),
            };
            let mut value = self.field_value(name, call, next)?;
            if let Some(conversion) = conversion {
                let mut text = String::new();
                match conversion {
                    "s" => self.write_text(&mut text, &value)?,
                    "r" | "a" => self.write_repr(&mut text, &value, 0)?,
                    _ => return Err(bad("an unknown conversion in a format")),
                }
                value = Value::str(if conversion == "a" {
                    ascii(&text)
                } else {
                    text
                });
            }
            let spec = match spec.is_empty() {
                true => String::new(),
                false => self.fields(spec, call, next, false, nesting - 1)?,
            };
            let mut text = self.formatted(&value, &spec)?;
            if markup && !matches!(value, Value::Str(_, true)) {
                text = python::escape_html(&text);
            }
            self.fuel.grow(out.len(), text.len())?;
            out.push_str(&text);
        }
        self.fuel.grow(out.len(), rest.len())?;
        out.push_str(rest);
        Ok(out)
    }

    fn field_value(&mut self, name: &str, call: &Call, next: &mut Option<usize>) -> Result<Value> {
        let first_end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut path) = name.split_at(first_end);
        let missing = || bad(format!("a format asks for '{first}', which was not given"));
        let mut value = match first.parse::<usize>() {
            Ok(index) => {
                if next.is_some_and(|next| next > 0) {
                    return Err(bad("numbered and other fields in a format"));
                }
                *next = None;
                call.positional.get(index).cloned().ok_or_else(missing)?
            }
            Err(_) if first.is_empty() => {
                let index = next.ok_or_else(|| bad("numbered and other fields in a format"))?;
                *next = Some(index + 1);
                call.positional.get(index).cloned().ok_or_else(missing)?
            }
            Err(_) => {
                let found = call.keywords.iter().find(|(known, _)| &**known == first);
                found.map(|(_, value)| value.clone()).ok_or_else(missing)?
            }
        };
        while !path.is_empty() {
            if let Some(inner) = path.strip_prefix('[') {
                let (key, rest) = inner
                    .split_once(']')
                    .ok_or_else(|| bad("a '[' without ']'"))?;
                let key = match key.parse::<i128>() {
                    Ok(index) if !key.starts_with(['-', '+']) => Value::Int(index),
                    _ => Value::str(key),
                };
                value = self.item(&value, &key)?;
                path = rest;
            } else {
                let inner = path
                    .strip_prefix('.')
                    .ok_or_else(|| bad("a field's name in a format"))?;
                let end = inner.find(['.', '[']).unwrap_or(inner.len());
                value = self.attribute(&value, &inner[..end])?;
                path = &inner[end..];
            }
        }
        Ok(value)
    }

    /// `format(value, spec)`.
    fn formatted(&mut self, value: &Value, spec: &str) -> Result<String> {
        let mut text = String::new();
        if spec.is_empty() {
            self.write_text(&mut text, value)?;
            return Ok(text);
        }
        let spec = parse_spec(spec)?;
        if let Value::Str(value, _) = value {
            let zeros = spec.align == Some('=') && spec.fill == '0';
            let align = spec.align.filter(|_| !zeros).unwrap_or('<');
            let numeric = spec.sign.is_some() || spec.group.is_some() || spec.alternate;
            if numeric || align == '=' || !matches!(spec.kind, None | Some('s')) {
                return Err(bad("a format of numbers for a text"));
            }
            let text: String = value
                .chars()
                .take(spec.precision.unwrap_or(usize::MAX))
                .collect();
            return self.aligned(&text, spec.width, spec.fill, align);
        }
        let (number, whole) = match (value.as_float(), value.as_int()) {
            (Some(number), whole) => (number, whole),
            _ => return Err(value.misused("a format")),
        };
        let kind = spec.kind;
        let (negative, prefix, digits) = match (whole, kind) {
            (Some(n), Some('c')) => {
                let c = u32::try_from(n).ok().and_then(char::from_u32);
                (
                    false,
                    "",
                    c.ok_or_else(|| value.misused("a format c"))?.to_string(),
                )
            }
            (Some(n), None | Some('d' | 'n' | 'x' | 'X' | 'o' | 'b')) => {
                if spec.precision.is_some() {
                    return Err(bad("a precision for a whole number"));
                }
                let prefix = match (spec.alternate, kind) {
                    (true, Some('x')) => "0x",
                    (true, Some('X')) => "0X",
                    (true, Some('o')) => "0o",
                    (true, Some('b')) => "0b",
                    _ => "",
                };
                (
                    n < 0,
                    prefix,
                    radix_digits(n.unsigned_abs(), kind.unwrap_or('d')),
                )
            }
            (None, None) => {
                let mut digits = match spec.precision {
                    None => python::float(number.abs()),
                    Some(_) => self.float_digits(number.abs(), 'g', spec)?,
                };
                if spec.precision.is_some() && number.is_finite() && !digits.contains(['.', 'e']) {
                    digits.push_str(".0");
                }
                (number.is_sign_negative(), "", digits)
            }
            (_, Some('%')) => {
                let digits = self.float_digits(number.abs() * 100.0, 'f', spec)?;
                (number.is_sign_negative(), "", digits + "%")
            }
            (_, Some(kind @ ('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n'))) => {
                let kind = if kind == 'n' { 'g' } else { kind };
                (
                    number.is_sign_negative(),
                    "",
                    self.float_digits(number.abs(), kind, spec)?,
                )
            }
            _ => return Err(bad("an unknown format of a number")),
        };
        let sign = match (negative && !number.is_nan(), spec.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let head = format!("{sign}{prefix}");
        let zero = spec.align == Some('=');
        self.fuel.text(spec.width)?;
        let digits = match spec.group {
            Some(group) => {
                let least = if zero && spec.fill == '0' {
                    spec.width.saturating_sub(head.len())
                } else {
                    0
                };
                grouped(&digits, group, kind, least)
            }
            None => digits,
        };
        if zero {
            let missing = spec
                .width
                .saturating_sub(head.chars().count() + digits.chars().count());
            let pad: String = std::iter::repeat_n(spec.fill, missing).collect();
            return Ok(head + &pad + &digits);
        }
        self.aligned(
            &(head + &digits),
            spec.width,
            spec.fill,
            spec.align.unwrap_or('>'),
        )
    }
}

/// Digits with a separator between groups, at least `least` characters of them.
fn grouped(digits: &str, group: char, kind: Option<char>, least: usize) -> String {
    let size = if matches!(kind, Some('x' | 'X' | 'o' | 'b')) {
        4
    } else {
        3
    };
    let whole = digits.find(['.', 'e', '%']).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole);
    let least = least.saturating_sub(rest.len());
    let mut turned = String::new();
    let mut count = 0;
    let mut digits = whole.chars().rev();
    loop {
        let digit = match digits.next() {
            Some(digit) => digit,
            None if turned.len() < least => '0',
            None => break,
        };
        if count > 0 && count % size == 0 {
            turned.push(group);
        }
        turned.push(digit);
        count += 1;
    }
    turned.chars().rev().collect::<String>() + rest
}

fn parse_spec(text: &str) -> Result<Spec> {
    let mut spec = Spec::NONE;
    let chars: Vec<char> = text.chars().take(2).collect();
    let is_align = |c: Option<&char>| c.is_some_and(|c| "<>^=".contains(*c));
    let mut rest = text;
    if is_align(chars.get(1)) {
        (spec.fill, spec.align) = (chars[0], chars.get(1).copied());
        rest = &rest[chars[0].len_utf8() + 1..];
    } else if is_align(chars.first()) {
        spec.align = chars.first().copied();
        rest = &rest[1..];
    }
    if let Some(sign) = rest.chars().next().filter(|c| "+- ".contains(*c)) {
        spec.sign = Some(sign);
        rest = &rest[1..];
    }
    if let Some(after) = rest.strip_prefix('#') {
        spec.alternate = true;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('0') {
        if spec.align.is_none() {
            (spec.fill, spec.align) = ('0', Some('='));
        }
        rest = after;
    }
    let (width, after) = leading(rest);
    spec.width = width.unwrap_or(if after.len() < rest.len() {
        usize::MAX
    } else {
        0
    });
    rest = after;
    if let Some(group) = rest.chars().next().filter(|c| ",_".contains(*c)) {
        spec.group = Some(group);
        rest = &rest[1..];
    }
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = leading(after);
        spec.precision = Some(precision.ok_or_else(|| bad("a format without its precision"))?);
        rest = after;
    }
    let mut chars = rest.chars();
    spec.kind = chars.next();
    match chars.next() {
        Some(_) => Err(bad("a bad format")),
        None => Ok(spec),
    }
}

fn radix_digits(number: u128, kind: char) -> String {
    match kind {
        'x' => format!("{number:x}"),
        'X' => format!("{number:X}"),
        'o' => format!("{number:o}"),
        'b' => format!("{number:b}"),
        _ => number.to_string(),
    }
}

/// A text's characters beyond ASCII as escapes.
fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => python::escape(&mut out, c),
        }
    }
    out
}
