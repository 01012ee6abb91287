//! What operators do with values.

use std::cmp::Ordering;
use std::rc::Rc;

use super::ast::{Comparison, Operator};
use super::fuel::VALUE_COST;
use super::value::{Dict, Value, View};
use super::{Engine, Error, Object, Result, numbers, python};

impl Engine<'_> {
    /// `bool(value)`.
    pub(super) fn truth(&self, value: &Value) -> bool {
        match value {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text, _) => !text.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.values.is_empty(),
            Value::Dict(dict) | Value::View(_, dict) => !dict.entries.is_empty(),
            Value::Range(start, stop, step) => super::value::range_len(*start, *stop, *step) > 0,
            _ => true,
        }
    }

    /// `a == b`.
    pub(super) fn equal(&mut self, a: &Value, b: &Value) -> Result<bool> {
        self.fuel.read(1)?;
        Ok(match (a, b) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(a, _), Value::Str(b, _)) => {
                self.fuel.read(a.len().min(b.len()))?;
                a == b
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                a.values.len() == b.values.len() && self.equal_items(&a.values, &b.values)?
            }
            (Value::Dict(a), Value::Dict(b)) => self.equal_dicts(a, b)?,
            (Value::Range(..), Value::Range(..)) => {
                let (a, b) = (self.iterate(a)?, self.iterate(b)?);
                a.len() == b.len() && self.equal_items(&a, &b)?
            }
            (Value::View(a, x), Value::View(b, y)) if a == b && *a != View::Values => {
                let (a, b) = (self.view(*a, x)?, self.view(*b, y)?);
                a.len() == b.len() && self.all_in(&a, &b)?
            }
            _ => match (a.as_int(), b.as_int()) {
                (Some(a), Some(b)) => a == b,
                _ => match (a.as_float(), b.as_float()) {
                    (Some(a), Some(b)) => a == b,
                    _ => a.is_same(b),
                },
            },
        })
    }

    fn equal_items(&mut self, a: &[Value], b: &[Value]) -> Result<bool> {
        for (a, b) in a.iter().zip(b) {
            if !self.equal(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn all_in(&mut self, items: &[Value], of: &[Value]) -> Result<bool> {
        for item in items {
            if self.position(of, item)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_dicts(&mut self, a: &Dict, b: &Dict) -> Result<bool> {
        if a.entries.len() != b.entries.len() {
            return Ok(false);
        }
        for (key, value) in &a.entries {
            match self.find(b, key)? {
                Some(other) if self.equal(value, &other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Where `value` is among `items`.
    pub(super) fn position(&mut self, items: &[Value], value: &Value) -> Result<Option<usize>> {
        for (index, item) in items.iter().enumerate() {
            if item.is_same(value) || self.equal(item, value)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The value of a key.
    pub(super) fn find(&mut self, dict: &Dict, key: &Value) -> Result<Option<Value>> {
        if !key.is_hashable() {
            return Err(key.misused("looking up a key"));
        }
        if let Some(text) = key.as_str() {
            self.fuel.read(text.len() + dict.entries.len())?;
            return Ok(dict.get(text).cloned());
        }
        for (known, value) in &dict.entries {
            if self.equal(known, key)? {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }

    /// Sets a key: the place of one that is there stays.
    pub(super) fn put(
        &mut self,
        entries: &mut Vec<(Value, Value)>,
        key: Value,
        value: Value,
    ) -> Result<()> {
        if !key.is_hashable() {
            return Err(key.misused("using it as a dictionary's key"));
        }
        self.fuel.read(2 * VALUE_COST)?;
        for entry in entries.iter_mut() {
            if self.equal(&entry.0, &key)? {
                entry.1 = value;
                return Ok(());
            }
        }
        entries.push((key, value));
        Ok(())
    }

    /// How two values are ordered; None where neither is before the other.
    pub(super) fn order(&mut self, a: &Value, b: &Value) -> Result<Option<Ordering>> {
        self.fuel.read(1)?;
        if let (Some(a), Some(b)) = (a.as_int(), b.as_int()) {
            return Ok(Some(a.cmp(&b)));
        }
        if let (Some(a), Some(b)) = (a.as_float(), b.as_float()) {
            return Ok(a.partial_cmp(&b));
        }
        match (a, b) {
            (Value::Str(a, _), Value::Str(b, _)) => {
                self.fuel.read(a.len().min(b.len()))?;
                Ok(Some(a.cmp(b)))
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.values.iter().zip(&b.values) {
                    if !self.equal(a, b)? {
                        return self.order(a, b);
                    }
                }
                Ok(Some(a.values.len().cmp(&b.values.len())))
            }
            (Value::Undefined(_), _) => Err(a.misused("")),
            (_, Value::Undefined(_)) => Err(b.misused("")),
            _ => Err(Error::new(format!(
                "a {} can't be compared with a {}",
                a.type_name(),
                b.type_name()
            ))),
        }
    }

    /// One comparison.
    pub(super) fn compare(&mut self, how: Comparison, a: &Value, b: &Value) -> Result<bool> {
        Ok(match how {
            Comparison::Eq => self.equal(a, b)?,
            Comparison::Ne => !self.equal(a, b)?,
            Comparison::Lt => self.order(a, b)? == Some(Ordering::Less),
            Comparison::Gt => self.order(a, b)? == Some(Ordering::Greater),
            Comparison::Le => self.order(a, b)?.is_some_and(Ordering::is_le),
            Comparison::Ge => self.order(a, b)?.is_some_and(Ordering::is_ge),
            Comparison::In => self.contains(b, a)?,
            Comparison::NotIn => !self.contains(b, a)?,
        })
    }

    /// `item in container`.
    pub(super) fn contains(&mut self, container: &Value, item: &Value) -> Result<bool> {
        match container {
            Value::Str(text, _) => {
                let Some(part) = item.as_str() else {
                    return Err(Error::new(format!(
                        "'in' a text looks for a text, not a {}",
                        item.type_name()
                    )));
                };
                self.fuel.search(text.len(), part.len())?;
                Ok(text.contains(part))
            }
            Value::List(items) | Value::Tuple(items) => {
                Ok(self.position(&items.values, item)?.is_some())
            }
            Value::Dict(dict) | Value::View(View::Keys, dict) => {
                Ok(self.find(dict, item)?.is_some())
            }
            Value::Range(start, stop, step) => Ok(match item.as_float() {
                Some(number) if number == number.trunc() => {
                    let number = item.as_int().unwrap_or(number as i128);
                    let inside = match *step > 0 {
                        true => (*start..*stop).contains(&number),
                        false => *stop < number && number <= *start,
                    };
                    inside && (number - start) % step == 0
                }
                _ => false,
            }),
            Value::Object(index) if matches!(self.objects[*index], Object::Iterator(..)) => {
                while let Some(next) = self.next_of(*index)? {
                    if self.equal(&next, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Undefined(_) | Value::View(..) => {
                let items = self.iterate(container)?;
                Ok(self.position(&items, item)?.is_some())
            }
            other => Err(other.misused("'in'")),
        }
    }

    /// The next element of an iterator.
    pub(super) fn next_of(&mut self, index: usize) -> Result<Option<Value>> {
        self.fuel.read(VALUE_COST)?;
        match &mut self.objects[index] {
            Object::Iterator(items, end) => match (items.next(), &end) {
                (None, Some(_)) => Err(end.take().unwrap_or_else(|| Error::new("it failed"))),
                (item, _) => Ok(item),
            },
            _ => Err(Error::new("it iterates over an object")),
        }
    }

    /// An operator of arithmetic, and what it does with texts and lists.
    pub(super) fn binary(&mut self, operator: Operator, a: &Value, b: &Value) -> Result<Value> {
        if let Some(result) = numbers::binary(operator, a, b) {
            return result;
        }
        if a.is_undefined() {
            return Err(a.misused(""));
        }
        match (operator, a, b) {
            (Operator::Mod, Value::Str(format, markup), values) => {
                let text = self.percent(format, values, *markup)?;
                Ok(Value::Str(text.into(), *markup))
            }
            (_, _, Value::Undefined(_)) => Err(b.misused("")),
            (Operator::Add, Value::Str(x, markup), Value::Str(y, other)) => {
                self.fuel.text(x.len() + y.len())?;
                let mut text = String::with_capacity(x.len() + y.len());
                match (markup, other) {
                    (true, false) => text.extend([&**x, &python::escape_html(y)]),
                    (false, true) => text.extend([&python::escape_html(x), &**y]),
                    _ => text.extend([&**x, &**y]),
                }
                Ok(Value::Str(text.into(), *markup || *other))
            }
            (Operator::Add, Value::List(x), Value::List(y)) => {
                self.fuel.items(x.values.len() + y.values.len())?;
                Value::list([&*x.values, &*y.values].concat())
            }
            (Operator::Add, Value::Tuple(x), Value::Tuple(y)) => {
                self.fuel.items(x.values.len() + y.values.len())?;
                Value::tuple([&*x.values, &*y.values].concat())
            }
            (Operator::Mul, sequence, times) | (Operator::Mul, times, sequence)
                if times.as_int().is_some() =>
            {
                let times = usize::try_from(times.as_int().unwrap_or_default().max(0));
                self.repeat(sequence, times.unwrap_or(usize::MAX))
            }
            _ => Err(Error::new(format!(
                "{operator:?} of a {} and a {}",
                a.type_name(),
                b.type_name()
            ))),
        }
    }

    fn repeat(&mut self, sequence: &Value, times: usize) -> Result<Value> {
        match sequence {
            Value::Str(text, markup) => {
                self.fuel.text(text.len().saturating_mul(times))?;
                Ok(Value::Str(text.repeat(times).into(), *markup))
            }
            Value::List(items) => {
                self.fuel.items(items.values.len().saturating_mul(times))?;
                Value::list(items.values.repeat_n(times))
            }
            Value::Tuple(items) => {
                self.fuel.items(items.values.len().saturating_mul(times))?;
                Value::tuple(items.values.repeat_n(times))
            }
            other => Err(other.misused("repeating")),
        }
    }

    /// `a ~ b`, or `''.join` of the texts of values.
    pub(super) fn concat(&mut self, values: &[Value]) -> Result<Value> {
        let mut text = String::new();
        for value in values {
            self.write_text(&mut text, value)?;
        }
        Ok(Value::Str(Rc::from(text), false))
    }

    /// `-value` or `+value`.
    pub(super) fn sign(&self, negative: bool, value: &Value) -> Result<Value> {
        match (value, value.as_int()) {
            (_, Some(number)) => {
                let number = if negative {
                    number.checked_neg()
                } else {
                    Some(number)
                };
                let number =
                    number.ok_or_else(|| Error::new("it computes with too large a number"));
                number.map(Value::Int)
            }
            (Value::Float(number), _) => Ok(Value::Float(if negative { -number } else { *number })),
            (other, _) => Err(other.misused("a sign")),
        }
    }
}

/// Elements, so many times.
trait RepeatItems {
    fn repeat_n(&self, times: usize) -> Vec<Value>;
}

impl RepeatItems for Vec<Value> {
    fn repeat_n(&self, times: usize) -> Vec<Value> {
        let again = std::iter::repeat_n(self, times);
        again.flatten().cloned().collect()
    }
}
