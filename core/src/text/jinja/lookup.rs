//! Attributes, elements and slices, as the sandbox looks them up.

use super::value::{Dict, Value, View, range_len, slice_indices};
use super::{Engine, Error, Object, Result, strings};

/// Methods of dictionaries, and those that change one.
const DICT: [&str; 5] = ["copy", "get", "items", "keys", "values"];
const DICT_UNSAFE: [&str; 6] = [
    "clear",
    "fromkeys",
    "pop",
    "popitem",
    "setdefault",
    "update",
];
const LIST: [&str; 3] = ["copy", "count", "index"];
const LIST_UNSAFE: [&str; 8] = [
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
];
const TUPLE: [&str; 2] = ["count", "index"];
const INT: [&str; 5] = [
    "bit_count",
    "bit_length",
    "conjugate",
    "as_integer_ratio",
    "to_bytes",
];
const FLOAT: [&str; 4] = ["is_integer", "conjugate", "as_integer_ratio", "hex"];

impl Engine<'_> {
    /// `value.name`: an attribute, or else an element.
    pub(super) fn attribute(&mut self, value: &Value, name: &str) -> Result<Value> {
        if let (Value::Undefined(_), "__class__" | "__doc__" | "__init__") = (value, name) {
            return Ok(Value::undefined(format!("attribute '{name}' is unsafe")));
        }
        if let Value::Undefined(what) = value {
            return Err(Error::new(&**what));
        }
        if let Some(found) = self.python_attribute(value, name)? {
            return Ok(found);
        }
        let key = Value::str(name);
        match self.element(value, &key)? {
            Some(found) => Ok(found),
            None => self.missing(value, &key),
        }
    }

    /// `value[key]`: an element, or else an attribute.
    pub(super) fn item(&mut self, value: &Value, key: &Value) -> Result<Value> {
        if let Value::Undefined(what) = value {
            return Err(Error::new(&**what));
        }
        if let Some(found) = self.element(value, key)? {
            return Ok(found);
        }
        if let Some(name) = key.as_str()
            && let Some(found) = self.python_attribute(value, name)?
        {
            return Ok(found);
        }
        self.missing(value, key)
    }

    fn missing(&mut self, value: &Value, key: &Value) -> Result<Value> {
        let mut name = String::new();
        match key {
            Value::Str(text, _) => name.extend(text.chars().take(80)),
            Value::Int(number) => name = number.to_string(),
            other => name.push_str(other.type_name()),
        }
        let of = value.type_name();
        Ok(Value::undefined(format!(
            "'{of}' has no attribute or element '{name}'"
        )))
    }

    /// What Python's `value[key]` gives; None where it raises a TypeError or a LookupError.
    fn element(&mut self, value: &Value, key: &Value) -> Result<Option<Value>> {
        let at = |length: usize| -> Option<usize> {
            let index = key.as_int()?;
            let index = if index < 0 {
                index + length as i128
            } else {
                index
            };
            usize::try_from(index).ok().filter(|index| *index < length)
        };
        Ok(match value {
            Value::Dict(dict) if key.is_hashable() => self.find(dict, key)?,
            Value::List(items) | Value::Tuple(items) => {
                at(items.values.len()).map(|index| items.values[index].clone())
            }
            Value::Str(text, markup) => {
                let Some(index) = key.as_int() else {
                    return Ok(None);
                };
                self.fuel.read(text.len())?;
                let found = match usize::try_from(index) {
                    Ok(index) => text.chars().nth(index),
                    Err(_) => usize::try_from(-(index + 1))
                        .ok()
                        .and_then(|index| text.chars().rev().nth(index)),
                };
                found.map(|c| Value::Str(c.to_string().into(), *markup))
            }
            Value::Range(start, stop, step) => at(range_len(*start, *stop, *step))
                .map(|index| Value::Int(start + index as i128 * step)),
            _ => None,
        })
    }

    /// `value[start:stop:step]`.
    pub(super) fn slice(&mut self, value: &Value, parts: &[Value; 3]) -> Result<Value> {
        if let Value::Undefined(what) = value {
            return Err(Error::new(&**what));
        }
        let mut numbers = [None; 3];
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = match (part, part.as_int()) {
                (Value::None, _) => None,
                (_, Some(number)) => Some(number),
                _ => return Err(part.misused("a slice")),
            };
        }
        match value {
            Value::Str(text, markup) => {
                self.fuel.read(8 * text.len())?;
                let chars: Vec<char> = text.chars().collect();
                let chosen = slice_indices(numbers, chars.len())?.map(|index| chars[index]);
                Ok(Value::Str(chosen.collect::<String>().into(), *markup))
            }
            Value::List(items) | Value::Tuple(items) => {
                let chosen = slice_indices(numbers, items.values.len())?;
                self.fuel.items(chosen.len())?;
                let chosen = chosen.map(|index| items.values[index].clone()).collect();
                match value {
                    Value::List(_) => Value::list(chosen),
                    _ => Value::tuple(chosen),
                }
            }
            Value::Range(start, stop, step) => {
                let mut chosen = slice_indices(numbers, range_len(*start, *stop, *step))?;
                let by = step.saturating_mul(numbers[2].unwrap_or(1));
                let count = chosen.len() as i128;
                let first = chosen
                    .next()
                    .map_or(*start, |index| start + index as i128 * step);
                Ok(Value::Range(
                    first,
                    first.saturating_add(count.saturating_mul(by)),
                    by,
                ))
            }
            other => Err(other.misused("a slice")),
        }
    }

    /// `getattr(value, name)`; None where there is none, undefined where the sandbox forbids it.
    pub(super) fn python_attribute(&mut self, value: &Value, name: &str) -> Result<Option<Value>> {
        let known = |names: &[&'static str]| names.iter().find(|known| **known == name).copied();
        let method = |names: &[&'static str]| known(names).map(|name| Value::method(value, name));
        let forbidden = || {
            let of = value.type_name();
            Value::undefined(format!(
                "attribute '{name}' of '{of}' is unsafe: nothing can be changed"
            ))
        };
        if name.starts_with("__") && name.ends_with("__") && name.len() > 4 {
            return Ok(Some(Value::undefined(format!(
                "attribute '{name}' is unsafe"
            ))));
        }
        Ok(match value {
            Value::Str(..) => method(&strings::METHODS),
            Value::Dict(_) if known(&DICT_UNSAFE).is_some() => Some(forbidden()),
            Value::Dict(_) => method(&DICT),
            Value::List(_) if known(&LIST_UNSAFE).is_some() => Some(forbidden()),
            Value::List(_) => method(&LIST),
            Value::Tuple(items) => match (name, items.group) {
                ("grouper", true) => items.values.first().cloned(),
                ("list", true) => items.values.get(1).cloned(),
                _ => method(&TUPLE),
            },
            Value::Int(_) | Value::Bool(_) => match name {
                "real" | "numerator" => value.as_int().map(Value::Int),
                "imag" => Some(Value::Int(0)),
                "denominator" => Some(Value::Int(1)),
                _ => method(&INT),
            },
            Value::Float(_) => match name {
                "real" => Some(value.clone()),
                "imag" => Some(Value::Float(0.0)),
                _ => method(&FLOAT),
            },
            Value::Range(start, stop, step) => match name {
                "start" => Some(Value::Int(*start)),
                "stop" => Some(Value::Int(*stop)),
                "step" => Some(Value::Int(*step)),
                _ => method(&TUPLE),
            },
            Value::View(view, _) => match view {
                View::Values => None,
                _ => method(&["isdisjoint"]),
            },
            Value::Macro(closure) => match name {
                "name" => Some(closure.code.name.clone().map_or(Value::None, Value::str)),
                "arguments" => {
                    let names = closure.code.parameters.iter();
                    Some(Value::tuple(
                        names.map(|name| Value::str(name.clone())).collect(),
                    )?)
                }
                "catch_kwargs" => Some(Value::Bool(closure.code.kwargs)),
                "catch_varargs" => Some(Value::Bool(closure.code.varargs)),
                "caller" => Some(Value::Bool(closure.code.caller)),
                _ => None,
            },
            Value::Object(index) => self.object_attribute(value, *index, name)?,
            _ => None,
        })
    }

    fn object_attribute(
        &mut self,
        value: &Value,
        index: usize,
        name: &str,
    ) -> Result<Option<Value>> {
        Ok(match &self.objects[index] {
            Object::Namespace(dict) => dict.get(name).cloned(),
            Object::Loop(state) => {
                let length = state.items.values.len();
                let item = |at: Option<usize>, none: &str| {
                    let found = at.and_then(|at| state.items.values.get(at)).cloned();
                    found.unwrap_or_else(|| Value::undefined(none))
                };
                let count = |number: usize| Some(Value::Int(number as i128));
                match name {
                    "index" => count(state.index + 1),
                    "index0" => count(state.index),
                    "revindex" => count(length.saturating_sub(state.index)),
                    "revindex0" => count(length.saturating_sub(state.index + 1)),
                    "first" => Some(Value::Bool(state.index == 0)),
                    "last" => Some(Value::Bool(state.index + 1 == length)),
                    "length" => count(length),
                    "depth" => count(state.depth + 1),
                    "depth0" => count(state.depth),
                    "previtem" => Some(item(
                        state.index.checked_sub(1),
                        "there is no previous item",
                    )),
                    "nextitem" => Some(item(Some(state.index + 1), "there is no next item")),
                    "cycle" => Some(Value::method(value, "cycle")),
                    "changed" => Some(Value::method(value, "changed")),
                    _ => None,
                }
            }
            Object::Cycler(items, at) => match name {
                "current" => items.values.get(*at).cloned(),
                "items" => Some(Value::Tuple(items.clone())),
                "pos" => Some(Value::Int(*at as i128)),
                "next" => Some(Value::method(value, "next")),
                "reset" => Some(Value::method(value, "reset")),
                _ => None,
            },
            Object::Joiner(separator, used) => match name {
                "sep" => Some(separator.clone()),
                "used" => Some(Value::Bool(*used)),
                _ => None,
            },
            Object::Iterator(..) => None,
        })
    }

    /// `len(value)`.
    pub(super) fn length(&mut self, value: &Value) -> Result<usize> {
        Ok(match value {
            Value::Undefined(_) => 0,
            Value::Str(text, _) => {
                self.fuel.read(text.len())?;
                text.chars().count()
            }
            Value::List(items) | Value::Tuple(items) => items.values.len(),
            Value::Dict(dict) | Value::View(_, dict) => dict.entries.len(),
            Value::Range(start, stop, step) => range_len(*start, *stop, *step),
            Value::Object(index) => match &self.objects[*index] {
                Object::Loop(state) => state.items.values.len(),
                _ => return Err(value.misused("length")),
            },
            other => return Err(other.misused("length")),
        })
    }

    /// Whether `iter(value)` works.
    pub(super) fn is_iterable(&self, value: &Value) -> bool {
        match value {
            Value::Undefined(_)
            | Value::Str(..)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Range(..)
            | Value::View(..) => true,
            Value::Object(index) => {
                matches!(self.objects[*index], Object::Iterator(..) | Object::Loop(_))
            }
            _ => false,
        }
    }

    /// `list(value)`; an iterator is used up.
    pub(super) fn iterate(&mut self, value: &Value) -> Result<Vec<Value>> {
        match self.begun(value)? {
            (items, None) => Ok(items),
            (_, Some(error)) => Err(error),
        }
    }

    /// The elements of a value, and the error that comes behind them.
    pub(super) fn begun(&mut self, value: &Value) -> Result<(Vec<Value>, Option<Error>)> {
        let items = match value {
            Value::Undefined(_) => Vec::new(),
            Value::Str(text, _) => {
                self.fuel.items(2 * text.len())?;
                let letter = |c: char| Value::str(c.to_string());
                text.chars().map(letter).collect()
            }
            Value::List(items) | Value::Tuple(items) => {
                self.fuel.items(items.values.len())?;
                items.values.clone()
            }
            Value::Dict(dict) => self.view(View::Keys, dict)?,
            Value::View(view, dict) => self.view(*view, dict)?,
            Value::Range(start, stop, step) => {
                let count = range_len(*start, *stop, *step);
                self.fuel.items(count)?;
                (0..count)
                    .map(|n| Value::Int(start + n as i128 * step))
                    .collect()
            }
            Value::Object(index) => match &mut self.objects[*index] {
                Object::Iterator(items, end) => {
                    let items: Vec<_> = items.by_ref().collect();
                    let end = end.take();
                    self.fuel.items(items.len())?;
                    return Ok((items, end));
                }
                _ => return Err(value.misused("iterating")),
            },
            other => return Err(other.misused("iterating")),
        };
        Ok((items, None))
    }

    /// A new changing object.
    pub(super) fn object(&mut self, object: Object) -> Result<Value> {
        self.fuel.read(64)?;
        self.objects.push(object);
        Ok(Value::Object(self.objects.len() - 1))
    }

    /// A generator of these elements, which fails behind them with `end`.
    pub(super) fn iterator(&mut self, items: Vec<Value>, end: Option<Error>) -> Result<Value> {
        self.fuel.items(items.len())?;
        self.object(Object::Iterator(items.into_iter(), end))
    }

    /// A dictionary from a mapping, or from pairs.
    pub(super) fn dict_of(&mut self, value: &Value) -> Result<Vec<(Value, Value)>> {
        if let Value::Dict(dict) = value {
            self.fuel.items(2 * dict.entries.len())?;
            return Ok(dict.entries.clone());
        }
        let mut entries = Vec::new();
        for item in self.iterate(value)? {
            let pair = <[Value; 2]>::try_from(self.iterate(&item)?);
            let [key, value] = pair.map_err(|_| Error::new("a dictionary of what are no pairs"))?;
            self.put(&mut entries, key, value)?;
        }
        Ok(entries)
    }

    /// A namespace.
    pub(super) fn namespace(&mut self, entries: Vec<(Value, Value)>) -> Result<Value> {
        let dict = Dict::new(entries)?;
        self.object(Object::Namespace(dict))
    }

    /// Sets a namespace's attribute.
    pub(super) fn set_attribute(&mut self, of: &Value, name: &str, value: Value) -> Result<()> {
        let entries = match of {
            Value::Object(index) => match &mut self.objects[*index] {
                Object::Namespace(dict) => Some((*index, std::mem::take(&mut dict.entries))),
                _ => None,
            },
            _ => None,
        };
        let Some((index, mut entries)) = entries else {
            return Err(Error::new("attributes can be assigned to namespaces only"));
        };
        self.put(&mut entries, Value::str(name), value)?;
        self.objects[index] = Object::Namespace(Dict::new(entries)?);
        Ok(())
    }
}
