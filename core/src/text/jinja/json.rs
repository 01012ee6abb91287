//! JSON as Python's `json.dumps` writes it.

use super::calls::Call;
use super::value::Value;
use super::{Engine, Error, Result, python};

/// How `tojson` writes.
struct Style {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sorted: bool,
}

impl Engine<'_> {
    /// The filter `tojson`, with transformers' parameters.
    pub(super) fn tojson(&mut self, value: &Value, call: Call) -> Result<Value> {
        let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
        let [ascii, indent, separators, sorted] = call.bind("tojson", names, 0)?;
        let indent = match indent {
            None | Some(Value::None) => None,
            Some(Value::Str(text, _)) => Some(text.to_string()),
            Some(width) => {
                let count = width
                    .as_int()
                    .ok_or_else(|| width.misused("tojson's indent"))?;
                let count = usize::try_from(count).unwrap_or_default();
                self.fuel.text(count)?;
                Some(" ".repeat(count))
            }
        };
        let (item, key) = match separators {
            None | Some(Value::None) => {
                let item = if indent.is_some() { "," } else { ", " };
                (item.to_owned(), ": ".to_owned())
            }
            Some(separators) => match &self.iterate(&separators)?[..] {
                [Value::Str(item, _), Value::Str(key, _)] => (item.to_string(), key.to_string()),
                _ => return Err(separators.misused("tojson's separators")),
            },
        };
        let is = |engine: &Self, value: Option<Value>| value.is_some_and(|v| engine.truth(&v));
        let style = Style {
            ascii: is(self, ascii),
            indent,
            item,
            key,
            sorted: is(self, sorted),
        };
        let mut out = String::new();
        self.write_json(&mut out, value, &style, 0)?;
        Ok(Value::str(out))
    }

    fn write_json(
        &mut self,
        out: &mut String,
        value: &Value,
        style: &Style,
        depth: usize,
    ) -> Result<()> {
        let start = out.len();
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) => out.push_str(&json_float(*number)),
            Value::Str(text, _) => {
                self.fuel.grow(out.len(), text.len())?;
                self.quote_json(out, text, style.ascii);
            }
            Value::List(items) | Value::Tuple(items) => {
                out.push('[');
                for (index, item) in items.values.iter().enumerate() {
                    self.json_separator(out, style, depth, index)?;
                    self.write_json(out, item, style, depth + 1)?;
                }
                self.json_end(out, style, depth, items.values.is_empty())?;
                out.push(']');
            }
            Value::Dict(dict) => {
                let mut entries = dict.entries.clone();
                if style.sorted {
                    let keys = entries.iter().map(|(key, _)| key.clone()).collect();
                    let order = self.sorted_indices(keys, false)?;
                    entries = order.into_iter().map(|at| entries[at].clone()).collect();
                }
                out.push('{');
                for (index, (key, item)) in entries.iter().enumerate() {
                    self.json_separator(out, style, depth, index)?;
                    let key = match key {
                        Value::Str(text, _) => text.to_string(),
                        Value::None => "null".to_owned(),
                        Value::Bool(truth) => truth.to_string(),
                        Value::Int(number) => number.to_string(),
                        Value::Float(number) => json_float(*number),
                        other => return Err(other.misused("a key of JSON")),
                    };
                    self.fuel.grow(out.len(), key.len())?;
                    self.quote_json(out, &key, style.ascii);
                    out.push_str(&style.key);
                    self.write_json(out, item, style, depth + 1)?;
                }
                self.json_end(out, style, depth, dict.entries.is_empty())?;
                out.push('}');
            }
            Value::Undefined(_) => return Err(Error::new("what is undefined can't be JSON")),
            other => return Err(other.misused("tojson")),
        }
        self.fuel.grow(start, out.len() - start)
    }

    fn json_separator(
        &mut self,
        out: &mut String,
        style: &Style,
        depth: usize,
        index: usize,
    ) -> Result<()> {
        if index > 0 {
            out.push_str(&style.item);
        }
        self.json_line(out, style, depth + 1)
    }

    fn json_end(
        &mut self,
        out: &mut String,
        style: &Style,
        depth: usize,
        empty: bool,
    ) -> Result<()> {
        match empty {
            true => Ok(()),
            false => self.json_line(out, style, depth),
        }
    }

    fn json_line(&mut self, out: &mut String, style: &Style, depth: usize) -> Result<()> {
        if let Some(indent) = &style.indent {
            let width = indent.len().saturating_mul(depth);
            self.fuel.grow(
                out.len(),
                width.saturating_add(style.item.len() + style.key.len()),
            )?;
            out.push('\n');
            out.extend(std::iter::repeat_n(&**indent, depth));
        } else {
            self.fuel
                .grow(out.len(), style.item.len() + style.key.len())?;
        }
        Ok(())
    }

    fn quote_json(&self, out: &mut String, text: &str, ascii: bool) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", c as u32)),
                c if ascii && !(' '..='~').contains(&c) && !self.verbatim.contains(&c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn json_float(number: f64) -> String {
    match number.is_finite() {
        true => python::float(number),
        false if number.is_nan() => "NaN".to_owned(),
        false if number > 0.0 => "Infinity".to_owned(),
        false => "-Infinity".to_owned(),
    }
}
