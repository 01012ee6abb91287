//! Values to texts, as Python's `str` and `repr` do it.

use std::rc::Rc;

use super::value::{Value, View};
use super::{Engine, Error, Object, Result, python};

/// How deep `repr` goes through namespaces, which may hold each other.
const MAX_REPR: usize = 150;

impl Engine<'_> {
    /// `str(value)`.
    pub(super) fn text(&mut self, value: &Value) -> Result<Rc<str>> {
        if let Value::Str(text, _) = value {
            return Ok(text.clone());
        }
        let mut out = String::new();
        self.write_text(&mut out, value)?;
        Ok(out.into())
    }

    /// Appends `str(value)`.
    pub(super) fn write_text(&mut self, out: &mut String, value: &Value) -> Result<()> {
        match value {
            Value::Str(text, _) => {
                self.fuel.grow(out.len(), text.len())?;
                out.push_str(text);
                Ok(())
            }
            Value::Undefined(_) => Ok(()),
            other => self.write_repr(out, other, 0),
        }
    }

    /// Appends `repr(value)`.
    pub(super) fn write_repr(
        &mut self,
        out: &mut String,
        value: &Value,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_REPR {
            return Err(Error::new("it nests values too deeply"));
        }
        let start = out.len();
        match value {
            Value::Undefined(_) => out.push_str("Undefined"),
            Value::None => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) => out.push_str(&python::float(*number)),
            Value::Str(text, markup) => {
                self.fuel.grow(out.len(), text.len())?;
                if *markup {
                    out.push_str("Markup(");
                }
                python::quote(out, text, self.verbatim);
                if *markup {
                    out.push(')');
                }
            }
            Value::List(items) => self.write_items(out, '[', &items.values, ']', depth)?,
            Value::Tuple(items) => {
                self.write_items(out, '(', &items.values, ')', depth)?;
                if items.values.len() == 1 {
                    out.insert(out.len() - 1, ',');
                }
            }
            Value::Dict(dict) => self.write_entries(out, &dict.entries, depth)?,
            Value::Range(start, stop, 1) => out.push_str(&format!("range({start}, {stop})")),
            Value::Range(start, stop, step) => {
                out.push_str(&format!("range({start}, {stop}, {step})"));
            }
            Value::View(view, dict) => {
                let items = self.view(*view, dict)?;
                out.push_str(value.type_name());
                self.write_items(out, '(', &[Value::list(items)?], ')', depth)?;
            }
            Value::Macro(closure) => match &closure.code.name {
                Some(name) => {
                    out.push_str("<Macro ");
                    python::quote(out, name, &[]);
                    out.push('>');
                }
                None => out.push_str("<Macro anonymous>"),
            },
            Value::Object(index) => match &self.objects[*index] {
                Object::Namespace(dict) => {
                    out.push_str("<Namespace ");
                    if self.written.contains(index) {
                        out.push_str("{...}");
                    } else {
                        let entries = dict.entries.clone();
                        self.written.push(*index);
                        self.write_entries(out, &entries, depth)?;
                        self.written.pop();
                    }
                    out.push('>');
                }
                Object::Loop(state) => out.push_str(&format!(
                    "<LoopContext {}/{}>",
                    state.index + 1,
                    state.items.values.len()
                )),
                _ => return Err(no_text()),
            },
            Value::Method(_) | Value::Function(_) => return Err(no_text()),
        }
        self.fuel.grow(start, out.len() - start + 1)
    }

    fn write_items(
        &mut self,
        out: &mut String,
        open: char,
        items: &[Value],
        close: char,
        depth: usize,
    ) -> Result<()> {
        out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            self.write_repr(out, item, depth + 1)?;
        }
        out.push(close);
        Ok(())
    }

    fn write_entries(
        &mut self,
        out: &mut String,
        entries: &[(Value, Value)],
        depth: usize,
    ) -> Result<()> {
        out.push('{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            self.write_repr(out, key, depth + 1)?;
            out.push_str(": ");
            self.write_repr(out, value, depth + 1)?;
        }
        out.push('}');
        Ok(())
    }

    /// What a view of a dictionary shows.
    pub(super) fn view(&mut self, view: View, dict: &super::value::Dict) -> Result<Vec<Value>> {
        self.fuel.items(dict.entries.len())?;
        let entries = dict.entries.iter();
        match view {
            View::Keys => Ok(entries.map(|(key, _)| key.clone()).collect()),
            View::Values => Ok(entries.map(|(_, value)| value.clone()).collect()),
            View::Items => entries
                .map(|(key, value)| Value::pair(key.clone(), value.clone()))
                .collect(),
        }
    }
}

/// In Python such a text holds an address, another one each time.
fn no_text() -> Error {
    Error::new("it writes a function or a generator as text")
}
