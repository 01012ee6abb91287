//! `%` formatting.

use super::spec::{Spec, ascii, bad, leading, radix_digits};
use super::value::Value;
use super::{Engine, Result, numbers, python};

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
        let mapping = match values {
            Value::Dict(_) | Value::List(_) | Value::Range(..) | Value::Undefined(_) => single,
            _ => false,
        };
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
}
