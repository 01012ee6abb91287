//! The methods of values that are no texts.

use super::calls::Call;
use super::value::{Value, View};
use super::{Engine, Error, Object, Result, python};

impl Engine<'_> {
    /// `value.name(…)`.
    pub(super) fn method(
        &mut self,
        value: &Value,
        name: &'static str,
        call: Call,
    ) -> Result<Value> {
        match value {
            Value::Str(text, markup) => self.text_method(text, *markup, name, call),
            Value::Dict(dict) => match name {
                "get" => {
                    let [key, default] = call.bind(name, ["key", "default"], 1)?;
                    let found = self.find(dict, &key.unwrap_or(Value::None))?;
                    Ok(found.or(default).unwrap_or(Value::None))
                }
                _ => {
                    call.nothing(name)?;
                    Ok(match name {
                        "items" => Value::View(View::Items, dict.clone()),
                        "keys" => Value::View(View::Keys, dict.clone()),
                        "values" => Value::View(View::Values, dict.clone()),
                        _ => value.clone(),
                    })
                }
            },
            Value::List(_) | Value::Tuple(_) | Value::Range(..) => {
                self.list_method(value, name, call)
            }
            Value::Int(_) | Value::Bool(_) => {
                call.nothing(name)?;
                let number = value.as_int().unwrap_or_default();
                let size = number.unsigned_abs();
                match name {
                    "bit_length" => Ok(Value::Int(i128::from(u128::BITS - size.leading_zeros()))),
                    "bit_count" => Ok(Value::Int(i128::from(size.count_ones()))),
                    "conjugate" => Ok(Value::Int(number)),
                    "as_integer_ratio" => Value::pair(Value::Int(number), Value::Int(1)),
                    _ => Err(Error::new(format!("the method {name} is not supported"))),
                }
            }
            Value::Float(number) => {
                call.nothing(name)?;
                match name {
                    "is_integer" => Ok(Value::Bool(number.is_finite() && number.fract() == 0.0)),
                    "conjugate" => Ok(value.clone()),
                    _ => Err(Error::new(format!("the method {name} is not supported"))),
                }
            }
            Value::View(..) => {
                let [other] = call.bind(name, ["other"], 1)?;
                let others = self.iterate(&other.unwrap_or(Value::None))?;
                for item in self.iterate(value)? {
                    if self.position(&others, &item)?.is_some() {
                        return Ok(Value::Bool(false));
                    }
                }
                Ok(Value::Bool(true))
            }
            Value::Object(index) => self.object_method(*index, name, call),
            other => Err(other.misused("a method")),
        }
    }

    fn list_method(&mut self, value: &Value, name: &'static str, call: Call) -> Result<Value> {
        if name == "copy" {
            call.nothing(name)?;
            return Ok(value.clone());
        }
        let [item, start, stop] = match name {
            _ if matches!(value, Value::Range(..)) => call
                .bind(name, ["value"], 1)
                .map(|[item]| [item, None, None])?,
            "count" => call
                .bind(name, ["value"], 1)
                .map(|[item]| [item, None, None])?,
            _ => call.bind(name, ["value", "start", "stop"], 1)?,
        };
        let item = item.unwrap_or(Value::None);
        let mut items = self.iterate(value)?;
        if name == "count" {
            let mut count = 0;
            for other in &items {
                count += i128::from(self.equal(other, &item)?);
            }
            return Ok(Value::Int(count));
        }
        let bound = |value: Option<Value>| match value {
            None => Ok(None),
            Some(value) => value.as_int().map(Some).ok_or_else(|| value.misused(name)),
        };
        let parts = [bound(start)?, bound(stop)?, None];
        let chosen: Vec<usize> = super::value::slice_indices(parts, items.len())?.collect();
        let first = chosen.first().copied().unwrap_or_default();
        items.truncate(first + chosen.len());
        match self.position(&items[first.min(items.len())..], &item)? {
            Some(at) => Ok(Value::Int((first + at) as i128)),
            None => Err(Error::new("index: the value is not in the list")),
        }
    }

    fn object_method(&mut self, index: usize, name: &'static str, call: Call) -> Result<Value> {
        match (name, &mut self.objects[index]) {
            ("next", Object::Cycler(items, at)) => {
                call.nothing(name)?;
                let value = items.values[*at].clone();
                *at = (*at + 1) % items.values.len();
                Ok(value)
            }
            ("reset", Object::Cycler(_, at)) => {
                call.nothing(name)?;
                *at = 0;
                Ok(Value::None)
            }
            ("cycle", Object::Loop(state)) => {
                let count = call.positional.len();
                match call.positional.get(state.index % count.max(1)) {
                    Some(value) => Ok(value.clone()),
                    None => Err(Error::new("loop.cycle without items")),
                }
            }
            ("changed", Object::Loop(state)) => {
                let before = state.changed.take();
                let now = Value::tuple(call.positional)?;
                let same = match &before {
                    Some(before) => self.equal(before, &now)?,
                    None => false,
                };
                if let Object::Loop(state) = &mut self.objects[index] {
                    state.changed = Some(now);
                }
                Ok(Value::Bool(!same))
            }
            _ => Err(Error::new(format!("the method {name} is not supported"))),
        }
    }

    /// `value` escaped for HTML, as markup.
    pub(super) fn escaped(&mut self, value: &Value) -> Result<Value> {
        if let Value::Str(_, true) = value {
            return Ok(value.clone());
        }
        let text = self.text(value)?;
        self.fuel.text(text.len())?;
        Ok(Value::Str(python::escape_html(&text).into(), true))
    }
}
