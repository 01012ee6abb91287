//! The methods of Python's texts.

use std::rc::Rc;

use super::calls::Call;
use super::letters::{Made, partition, simple, strip, words};
use super::value::{Value, slice_indices};
use super::{Engine, Error, Result, python};

pub(super) const METHODS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// Methods whose text arguments are escaped where the text is markup.
const ESCAPING: [&str; 11] = [
    "replace",
    "ljust",
    "rjust",
    "lstrip",
    "rstrip",
    "center",
    "strip",
    "removeprefix",
    "removesuffix",
    "partition",
    "rpartition",
];

impl Engine<'_> {
    /// `text.name(…)`.
    pub(super) fn text_method(
        &mut self,
        text: &Rc<str>,
        markup: bool,
        name: &'static str,
        mut call: Call,
    ) -> Result<Value> {
        self.fuel.read(text.len() * 2 + 1)?;
        match name {
            "join" => return self.join_method(text, markup, call),
            "format" | "format_map" => return self.format_method(text, markup, name, call),
            _ => {}
        }
        if markup && ESCAPING.contains(&name) {
            for argument in &mut call.positional {
                if let Value::Str(text, false) = argument {
                    *argument = Value::str(python::escape_html(text));
                }
            }
        }
        let made = match name {
            "startswith" | "endswith" | "find" | "rfind" | "index" | "rindex" | "count" => {
                Made::Other(self.search_method(text, name, call)?)
            }
            "split" | "rsplit" | "splitlines" => Made::Texts(self.split_method(text, name, call)?),
            "partition" | "rpartition" => partition(text, name, call)?,
            "center" | "ljust" | "rjust" | "zfill" | "expandtabs" | "replace" | "translate" => {
                Made::Text(self.growing_method(text, name, call)?)
            }
            "strip" | "lstrip" | "rstrip" => Made::Text(strip(text, name, call)?.to_owned()),
            "removeprefix" | "removesuffix" => {
                let [part] = call.texts(name)?;
                let rest = match name {
                    "removeprefix" => text.strip_prefix(&*part),
                    _ => text.strip_suffix(&*part),
                };
                Made::Text(rest.unwrap_or(text).to_owned())
            }
            "encode" | "maketrans" => {
                return Err(Error::new(format!("the method {name} is not supported")));
            }
            _ => {
                call.nothing(name)?;
                simple(text, name)
            }
        };
        let of = |text: String| Value::Str(text.into(), markup);
        match made {
            Made::Text(text) => {
                self.fuel.text(text.len())?;
                Ok(of(text))
            }
            Made::Texts(texts) => {
                self.fuel.items(texts.len())?;
                Value::list(texts.into_iter().map(of).collect())
            }
            Made::Three(a, b, c) => Value::tuple(vec![of(a), of(b), of(c)]),
            Made::Other(value) => Ok(value),
        }
    }

    fn join_method(&mut self, separator: &str, markup: bool, call: Call) -> Result<Value> {
        let [values] = call.bind("join", ["iterable"], 1)?;
        let values = self.iterate(&values.unwrap_or(Value::None))?;
        let mut out = String::new();
        for (index, value) in values.iter().enumerate() {
            let Value::Str(text, safe) = value else {
                return Err(Error::new(format!(
                    "join: a {} among the texts",
                    value.type_name()
                )));
            };
            let more = text.len() + separator.len();
            self.fuel.grow(out.len(), more)?;
            if index > 0 {
                out.push_str(separator);
            }
            match markup && !safe {
                true => out.push_str(&python::escape_html(text)),
                false => out.push_str(text),
            }
        }
        Ok(Value::Str(out.into(), markup))
    }

    /// Looks for a part, between two places.
    fn search_method(&mut self, text: &str, name: &str, call: Call) -> Result<Value> {
        let [part, start, stop] = call.bind(name, ["sub", "start", "end"], 1)?;
        let bound = |value: Option<Value>| match value {
            None | Some(Value::None) => Ok(None),
            Some(value) => value.as_int().map(Some).ok_or_else(|| value.misused(name)),
        };
        let (start, stop) = (bound(start)?, bound(stop)?);
        let part = part.unwrap_or(Value::None);
        let length = text.chars().count();
        // Byte ranges of what is searched.
        let mut range = slice_indices([start, stop, None], length)?;
        let count = range.len();
        let outside = start.is_some_and(|start| start > length as i128);
        let first = match range.next() {
            Some(first) => first,
            None => slice_indices([start, None, None], length)?
                .next()
                .unwrap_or(length),
        };
        let byte = |at: usize| {
            text.char_indices()
                .nth(at)
                .map_or(text.len(), |(byte, _)| byte)
        };
        let within = &text[byte(first)..byte(first + count)];
        if let ("startswith" | "endswith", Value::Tuple(parts)) = (name, &part) {
            let mut any = false;
            for part in &parts.values {
                let part = part.as_str().ok_or_else(|| part.misused(name))?;
                any |= !outside
                    && match name {
                        "startswith" => within.starts_with(part),
                        _ => within.ends_with(part),
                    };
            }
            return Ok(Value::Bool(any));
        }
        let part = part.as_str().ok_or_else(|| part.misused(name))?;
        self.fuel.search(within.len(), part.len())?;
        let place = |at: Option<usize>| {
            let at = at.filter(|_| !outside);
            at.map_or(-1, |at| (first + within[..at].chars().count()) as i128)
        };
        let missing = || Error::new(format!("{name}: the part is not in the text"));
        Ok(match name {
            "startswith" => Value::Bool(!outside && within.starts_with(part)),
            "endswith" => Value::Bool(!outside && within.ends_with(part)),
            "find" => Value::Int(place(within.find(part))),
            "rfind" => Value::Int(place(within.rfind(part))),
            "index" => Value::Int(
                Some(place(within.find(part)))
                    .filter(|p| *p >= 0)
                    .ok_or_else(missing)?,
            ),
            "rindex" => Value::Int(
                Some(place(within.rfind(part)))
                    .filter(|p| *p >= 0)
                    .ok_or_else(missing)?,
            ),
            _ => Value::Int(if outside {
                0
            } else {
                within.matches(part).count() as i128
            }),
        })
    }

    fn split_method(&mut self, text: &str, name: &str, call: Call) -> Result<Vec<String>> {
        if name == "splitlines" {
            let [keep] = call.bind(name, ["keepends"], 0)?;
            let keep = keep.is_some_and(|keep| self.truth(&keep));
            let line = |(line, end): (&str, &str)| match keep {
                true => format!("{line}{end}"),
                false => line.to_owned(),
            };
            return Ok(python::lines(text).into_iter().map(line).collect());
        }
        let [separator, most] = call.bind(name, ["sep", "maxsplit"], 0)?;
        let most = match most {
            None => -1,
            Some(most) => most.as_int().ok_or_else(|| most.misused(name))?,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let separator = match separator {
            None | Some(Value::None) => None,
            Some(separator) => Some(
                separator
                    .as_str()
                    .ok_or_else(|| separator.misused(name))?
                    .to_owned(),
            ),
        };
        self.fuel.items(text.len() / 4)?;
        let mut parts = match (&separator, name) {
            (None, "split") => return Ok(words(text, most)),
            (None, _) => {
                let turned: String = text.chars().rev().collect();
                let turned = words(&turned, most).into_iter();
                turned.map(|word| word.chars().rev().collect()).collect()
            }
            (Some(separator), _) if separator.is_empty() => {
                return Err(Error::new(format!("{name}: the separator is empty")));
            }
            (Some(separator), "split") => {
                let parts = text.splitn(most.saturating_add(1), &**separator);
                return Ok(parts.map(str::to_owned).collect());
            }
            (Some(separator), _) => {
                let parts = text.rsplitn(most.saturating_add(1), &**separator);
                parts.map(str::to_owned).collect::<Vec<_>>()
            }
        };
        parts.reverse();
        Ok(parts)
    }

    /// Methods whose result may be much larger than the text.
    fn growing_method(&mut self, text: &str, name: &str, call: Call) -> Result<String> {
        match name {
            "replace" => {
                let [old, new, count] = call.bind(name, ["old", "new", "count"], 2)?;
                let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
                let old = old.as_str().ok_or_else(|| old.misused(name))?;
                let new = new.as_str().ok_or_else(|| new.misused(name))?;
                let count = match count {
                    None => -1,
                    Some(count) => count.as_int().ok_or_else(|| count.misused(name))?,
                };
                self.replaced(text, old, new, count)
            }
            "translate" => {
                let [table] = call.bind(name, ["table"], 1)?;
                let table = table.unwrap_or(Value::None);
                let mut out = String::new();
                for c in text.chars() {
                    self.fuel.grow(out.len(), 4)?;
                    let key = Value::Int(i128::from(c as u32));
                    let new = match &table {
                        Value::Dict(dict) => self.find(dict, &key)?,
                        other => return Err(other.misused(name)),
                    };
                    match new {
                        None => out.push(c),
                        Some(Value::None) => {}
                        Some(Value::Str(new, _)) => out.push_str(&new),
                        Some(new) => {
                            let code = new.as_int().and_then(|n| u32::try_from(n).ok());
                            let new = code
                                .and_then(char::from_u32)
                                .ok_or_else(|| new.misused(name))?;
                            out.push(new);
                        }
                    }
                }
                Ok(out)
            }
            "expandtabs" => {
                let [size] = call.bind(name, ["tabsize"], 0)?;
                let size = size.unwrap_or(Value::Int(8));
                let size = size.as_int().ok_or_else(|| size.misused(name))?;
                let size = usize::try_from(size).unwrap_or(0);
                let (mut out, mut column) = (String::new(), 0);
                for c in text.chars() {
                    let width = match c {
                        '\t' if size > 0 => size - column % size,
                        '\t' => 0,
                        _ => 1,
                    };
                    self.fuel.grow(out.len(), width)?;
                    match c {
                        '\t' => out.extend(std::iter::repeat_n(' ', width)),
                        c => out.push(c),
                    }
                    column = if matches!(c, '\n' | '\r') {
                        0
                    } else {
                        column + width
                    };
                }
                Ok(out)
            }
            _ => self.padded(text, name, call),
        }
    }

    fn padded(&mut self, text: &str, name: &str, call: Call) -> Result<String> {
        let [width, fill] = call.bind(name, ["width", "fillchar"], 1)?;
        let width = width.unwrap_or(Value::None);
        let width = width.as_int().ok_or_else(|| width.misused(name))?;
        let fill = match &fill {
            None if name == "zfill" => '0',
            None => ' ',
            Some(fill) => {
                let mut chars = fill.as_str().unwrap_or_default().chars();
                match (chars.next(), chars.next()) {
                    (Some(fill), None) if name != "zfill" => fill,
                    _ => return Err(fill.misused(name)),
                }
            }
        };
        let length = text.chars().count();
        let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
        let missing = width.saturating_sub(length);
        self.fuel.text(
            missing
                .saturating_mul(fill.len_utf8())
                .saturating_add(text.len()),
        )?;
        let pad = |count: usize| -> String { std::iter::repeat_n(fill, count).collect() };
        Ok(match name {
            "ljust" => text.to_owned() + &pad(missing),
            "rjust" => pad(missing) + text,
            "zfill" => match text.strip_prefix(['-', '+']) {
                Some(rest) => text[..1].to_owned() + &pad(missing) + rest,
                None => pad(missing) + text,
            },
            _ => {
                let left = missing / 2 + (missing & width & 1);
                pad(left) + text + &pad(missing - left)
            }
        })
    }

    /// `text.replace(old, new, count)`.
    pub(super) fn replaced(
        &mut self,
        text: &str,
        old: &str,
        new: &str,
        count: i128,
    ) -> Result<String> {
        self.fuel.search(text.len(), old.len())?;
        let found = text.matches(old).count();
        let count = usize::try_from(count).map_or(found, |count| count.min(found));
        let kept = text.len().saturating_sub(count.saturating_mul(old.len()));
        self.fuel
            .text(count.saturating_mul(new.len()).saturating_add(kept))?;
        Ok(text.replacen(old, new, count))
    }
}
