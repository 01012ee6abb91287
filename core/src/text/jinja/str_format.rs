//! `str.format`.

use std::rc::Rc;

use super::calls::Call;
use super::spec::{Spec, ascii, bad, leading, radix_digits};
use super::value::Value;
use super::{Engine, Result, python};

impl Engine<'_> {
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
