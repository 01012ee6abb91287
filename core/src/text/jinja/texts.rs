//! Filters of texts.

use std::rc::Rc;

use super::calls::Call;
use super::value::Value;
use super::{Engine, Error, Result, python, strings};

impl Engine<'_> {
    /// `soft_str`: a text, or what `str` makes of another value.
    pub(super) fn soft_text(&mut self, value: &Value) -> Result<Rc<str>> {
        let text = self.text(value)?;
        self.fuel.text(text.len())?;
        Ok(text)
    }

    pub(super) fn text_filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value> {
        let markup = matches!(value, Value::Str(_, true));
        match name {
            "indent" => return self.indent(&value, call),
            "truncate" => return self.truncate(&value, call),
            "urlencode" => return self.urlencode(&value, call),
            "xmlattr" => return self.xmlattr(&value, call),
            "filesizeformat" => return self.file_size(&value, call),
            "pprint" => return self.pprint(&value, call),
            "wordwrap" => return self.wordwrap(&value, call),
            _ => {}
        }
        let text = self.soft_text(&value)?;
        let method = strings::METHODS
            .iter()
            .find(|known| **known == name)
            .copied();
        match (name, method) {
            ("replace", _) => {
                let [old, new, count] = call.bind(name, ["old", "new", "count"], 2)?;
                let old = self.text(&old.unwrap_or(Value::None))?;
                let new = self.text(&new.unwrap_or(Value::None))?;
                let count = match count {
                    None | Some(Value::None) => -1,
                    Some(count) => count.as_int().ok_or_else(|| count.misused(name))?,
                };
                self.replaced(&text, &old, &new, count).map(Value::str)
            }
            ("trim", _) => {
                let [chars] = call.bind(name, ["chars"], 0)?;
                let call = Call {
                    positional: chars.into_iter().collect(),
                    keywords: Vec::new(),
                };
                self.text_method(&text, markup, "strip", call)
            }
            ("center", _) => {
                let [width] = call.bind(name, ["width"], 0)?;
                let width = width.unwrap_or(Value::Int(80));
                let call = Call {
                    positional: vec![width],
                    keywords: Vec::new(),
                };
                self.text_method(&text, markup, "center", call)
            }
            ("title", _) => {
                call.nothing(name)?;
                Ok(Value::str(title(&text)))
            }
            ("string", _) => {
                call.nothing(name)?;
                Ok(Value::Str(text, markup))
            }
            ("striptags", _) => {
                call.nothing(name)?;
                Ok(Value::str(strip_tags(&text)?))
            }
            ("wordcount", _) => {
                call.nothing(name)?;
                let inside = |c: char| c == '_' || c.is_alphanumeric();
                let words = text.split(|c| !inside(c)).filter(|word| !word.is_empty());
                Ok(Value::Int(words.count() as i128))
            }
            (_, Some(method)) => {
                call.nothing(name)?;
                self.text_method(&text, markup, method, Call::default())
            }
            _ => Err(Error::new(format!("no filter named '{name}'"))),
        }
    }

    fn indent(&mut self, value: &Value, call: Call) -> Result<Value> {
        let [width, first, blank] = call.bind("indent", ["width", "first", "blank"], 0)?;
        let Value::Str(text, markup) = value else {
            return Err(value.misused("indent"));
        };
        let prefix = match width {
            None => "    ".to_owned(),
            Some(Value::Str(prefix, _)) => prefix.to_string(),
            Some(width) => {
                let width = width.as_int().ok_or_else(|| width.misused("indent"))?;
                let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
                self.fuel.text(width)?;
                " ".repeat(width)
            }
        };
        let first = first.is_some_and(|first| self.truth(&first));
        let blank = blank.is_some_and(|blank| self.truth(&blank));
        let text = format!("{text}\n");
        let lines = python::lines(&text);
        self.fuel.text(
            (prefix.len() + 1)
                .saturating_mul(lines.len())
                .saturating_add(text.len()),
        )?;
        let mut out = String::new();
        for (index, (line, _)) in lines.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let indented = if index == 0 {
                first
            } else {
                blank || !line.is_empty()
            };
            if indented {
                out.push_str(&prefix);
            }
            out.push_str(line);
        }
        Ok(Value::Str(out.into(), *markup))
    }

    fn truncate(&mut self, value: &Value, call: Call) -> Result<Value> {
        let names = ["length", "killwords", "end", "leeway"];
        let [length, kill, end, leeway] = call.bind("truncate", names, 0)?;

        let whole = |value: Option<Value>, default: i128| match value {
            None | Some(Value::None) => Ok(default),
            Some(value) => value.as_int().ok_or_else(|| value.misused("truncate")),
        };
        let (length, leeway) = (whole(length, 255)?, whole(leeway, 5)?);
        let end = end.unwrap_or_else(|| Value::str("..."));
        let end = end.as_str().ok_or_else(|| end.misused("truncate"))?;
        let Value::Str(text, markup) = value else {
            // What is short enough is given back, whatever it is.
            return match self.length(value)? as i128 <= length.saturating_add(leeway) {
                true => Ok(value.clone()),
                false => Err(value.misused("truncate")),
            };
        };
        let chars: Vec<char> = text.chars().collect();
        let kept = length - end.chars().count() as i128;
        if kept < 0 || leeway < 0 {
            return Err(Error::new("truncate: too small a length"));
        }
        if chars.len() as i128 <= length.saturating_add(leeway) {
            return Ok(value.clone());
        }
        let cut: String = chars.iter().take(kept as usize).collect();
        let cut = match kill.is_some_and(|kill| self.truth(&kill)) {
            true => &*cut,
            false => cut.rsplit_once(' ').map_or(&*cut, |(before, _)| before),
        };
        Ok(Value::Str(format!("{cut}{end}").into(), *markup))
    }

    fn urlencode(&mut self, value: &Value, call: Call) -> Result<Value> {
        call.nothing("urlencode")?;
        let pairs = match value {
            Value::Dict(dict) => self.view(super::value::View::Items, dict)?,
            Value::Str(..) => Vec::new(),
            other if self.is_iterable(other) => self.iterate(other)?,
            _ => Vec::new(),
        };
        if matches!(value, Value::Str(..)) || !self.is_iterable(value) {
            let text = self.soft_text(value)?;
            return Ok(Value::str(quote_url(&text, "/")));
        }
        let mut parts = Vec::new();
        for pair in pairs {
            let pair = <[Value; 2]>::try_from(self.iterate(&pair)?);
            let [key, value] = pair.map_err(|_| Error::new("urlencode of what are no pairs"))?;
            let (key, value) = (self.soft_text(&key)?, self.soft_text(&value)?);
            let quote = |text: &str| quote_url(text, "").replace("%20", "+");
            parts.push(format!("{}={}", quote(&key), quote(&value)));
        }
        Ok(Value::str(parts.join("&")))
    }

    fn xmlattr(&mut self, value: &Value, call: Call) -> Result<Value> {
        let [space] = call.bind("xmlattr", ["autospace"], 0)?;
        let Value::Dict(dict) = value else {
            return Err(value.misused("xmlattr"));
        };
        let mut parts = Vec::new();
        for (key, value) in &dict.entries {
            if matches!(value, Value::None | Value::Undefined(_)) {
                continue;
            }
            let Value::Str(name, _) = key else {
                return Err(key.misused("xmlattr"));
            };
            if name.contains([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', '/', '>', '=']) {
                return Err(Error::new("xmlattr: a bad character in a name"));
            }
            let (key, value) = (self.escaped(key)?, self.escaped(value)?);
            let (key, value) = (self.text(&key)?, self.text(&value)?);
            parts.push(format!("{key}=\"{value}\""));
        }
        let text = parts.join(" ");
        let spaced = space.is_none_or(|space| self.truth(&space)) && !text.is_empty();
        Ok(Value::str(if spaced { format!(" {text}") } else { text }))
    }

    fn file_size(&mut self, value: &Value, call: Call) -> Result<Value> {
        let [binary] = call.bind("filesizeformat", ["binary"], 0)?;
        let binary = binary.is_some_and(|binary| self.truth(&binary));
        let number = match value {
            Value::Str(text, _) => super::numbers::parse_float(text),
            other => other.as_float(),
        };
        let number = number.ok_or_else(|| value.misused("filesizeformat"))?;
        let base = if binary { 1024.0 } else { 1000.0 };
        if number == 1.0 {
            return Ok(Value::str("1 Byte"));
        }
        if number < base {
            let whole = super::numbers::truncate(number)?;
            return Ok(Value::str(format!("{whole} Bytes")));
        }
        let prefixes = if binary { "KMGTPEZY" } else { "kMGTPEZY" };
        let end = if binary { "iB" } else { "B" };
        let mut unit = base;
        for (index, prefix) in prefixes.chars().enumerate() {
            unit *= base;
            if number < unit || index == 7 {
                return Ok(Value::str(format!(
                    "{:.1} {prefix}{end}",
                    base * number / unit
                )));
            }
        }
        Err(value.misused("filesizeformat"))
    }

    /// Python's `pformat` of what fits in a line; longer ones are refused.
    fn pprint(&mut self, value: &Value, call: Call) -> Result<Value> {
        call.nothing("pprint")?;
        let sorted = self.sorted_dicts(value)?;
        let mut out = String::new();
        self.write_repr(&mut out, &sorted, 0)?;
        match out.chars().count() > 80 {
            true => Err(Error::new("pprint of more than a line is not supported")),
            false => Ok(Value::str(out)),
        }
    }

    fn sorted_dicts(&mut self, value: &Value) -> Result<Value> {
        self.fuel.step()?;
        match value {
            Value::List(items) | Value::Tuple(items) => {
                let items = items.values.iter().map(|item| self.sorted_dicts(item));
                let items = items.collect::<Result<Vec<_>>>()?;
                match value {
                    Value::List(_) => Value::list(items),
                    _ => Value::tuple(items),
                }
            }
            Value::Dict(dict) => {
                let keys = dict.entries.iter().map(|(key, _)| key.clone()).collect();
                let mut entries = Vec::new();
                for at in self.sorted_indices(keys, false)? {
                    let (key, value) = &dict.entries[at];
                    entries.push((key.clone(), self.sorted_dicts(value)?));
                }
                Value::dict(entries)
            }
            other => Ok(other.clone()),
        }
    }

    /// Lines of at most `width` characters, broken at spaces (and, in Python, at hyphens).
    fn wordwrap(&mut self, value: &Value, call: Call) -> Result<Value> {
        let names = [
            "width",
            "break_long_words",
            "wrapstring",
            "break_on_hyphens",
        ];
        let [width, long, wrap, hyphens] = call.bind("wordwrap", names, 0)?;
        let Value::Str(text, _) = value else {
            return Err(value.misused("wordwrap"));
        };
        let width = width.unwrap_or(Value::Int(79));
        let width = width
            .as_int()
            .and_then(|w| usize::try_from(w).ok())
            .filter(|w| *w > 0);
        let width = width.ok_or_else(|| Error::new("wordwrap: a width above 0"))?;
        let wrap = match wrap {
            None | Some(Value::None) => "\n".to_owned(),
            Some(wrap) => wrap
                .as_str()
                .ok_or_else(|| wrap.misused("wordwrap"))?
                .to_owned(),
        };
        let breaks = long.is_none_or(|long| self.truth(&long));
        if text.contains('-') && hyphens.is_none_or(|h| self.truth(&h)) {
            return Err(Error::new(
                "wordwrap of a text with hyphens is not supported",
            ));
        }
        self.fuel.text(text.len().saturating_mul(1 + wrap.len()))?;
        let mut lines = Vec::new();
        for (line, _) in python::lines(text) {
            lines.push(wrapped(line, width, breaks).join(&wrap));
        }
        Ok(Value::str(lines.join(&wrap)))
    }
}

/// One paragraph's lines, as Python's `textwrap` breaks them.
fn wrapped(text: &str, width: usize, breaks: bool) -> Vec<String> {
    let space = |c: char| matches!(c, '\t'..='\r' | ' ');
    let mut chunks: Vec<String> = Vec::new();
    for c in text.chars() {
        match chunks.last_mut() {
            Some(chunk) if chunk.starts_with(space) == space(c) => chunk.push(c),
            _ => chunks.push(c.to_string()),
        }
    }
    chunks.reverse();
    let mut lines: Vec<String> = Vec::new();
    while let Some(first) = chunks.last() {
        if first.starts_with(space) && !lines.is_empty() {
            chunks.pop();
            continue;
        }
        let (mut line, mut length): (Vec<String>, usize) = (Vec::new(), 0);
        while let Some(chunk) = chunks.pop() {
            let more = chunk.chars().count();
            if length + more <= width {
                length += more;
                line.push(chunk);
                continue;
            }
            if more > width && breaks {
                let cut: String = chunk.chars().take(width - length).collect();
                chunks.push(chunk.chars().skip(width - length).collect());
                line.push(cut);
            } else if more > width && line.is_empty() {
                line.push(chunk);
            } else {
                chunks.push(chunk);
            }
            break;
        }
        if line.last().is_some_and(|last| last.chars().all(space)) {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(line.concat());
        }
    }
    lines
}

/// Jinja's own titles: words begin behind spaces, hyphens and opening brackets.
fn title(text: &str) -> String {
    let opens = |c: char| python::is_space(c) || "-({[<".contains(c);
    let (mut out, mut begins) = (String::with_capacity(text.len()), true);
    let mut word = String::new();
    for c in text.chars() {
        if opens(c) {
            out.push_str(&python::lower(&std::mem::take(&mut word)));
            out.push(c);
            begins = true;
        } else if begins {
            out.extend(c.to_uppercase());
            begins = false;
        } else {
            word.push(c);
        }
    }
    out + &python::lower(&word)
}

/// A text without `<…>`, its spaces joined. Entities are refused, since Python would resolve them.
fn strip_tags(text: &str) -> Result<String> {
    let mut plain = text.to_owned();
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
        let mut out = String::new();
        let mut rest = &*plain;
        while let Some((before, inside)) = rest.split_once(open) {
            let Some((_, after)) = inside.split_once(close) else {
                break;
            };
            out.push_str(before);
            rest = after;
        }
        out.push_str(rest);
        plain = out;
    }
    let named = |rest: &str| rest.starts_with(|c: char| c == '#' || c.is_ascii_alphabetic());
    if plain.split('&').skip(1).any(named) {
        return Err(Error::new("striptags of a text with '&' is not supported"));
    }
    let words = plain
        .split(python::is_space)
        .filter(|word| !word.is_empty());
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// A text with everything but letters, digits and some signs as `%XX`.
fn quote_url(text: &str, also: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        match c.is_ascii_alphanumeric()
            || "_.-~".contains(c)
            || (byte.is_ascii() && also.contains(c))
        {
            true => out.push(c),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
