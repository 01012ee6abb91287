//! Jinja's tests: `value is …`.

use super::ast::Comparison;
use super::calls::Call;
use super::value::Value;
use super::{Engine, Error, Object, Result, ast, filters, letters, numbers};

pub(super) const NAMES: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

impl Engine<'_> {
    /// `value is name(…)`.
    pub(super) fn test(&mut self, name: &str, value: &Value, call: Call) -> Result<bool> {
        let comparison = match name {
            "==" | "eq" | "equalto" => Some(Comparison::Eq),
            "!=" | "ne" => Some(Comparison::Ne),
            ">" | "gt" | "greaterthan" => Some(Comparison::Gt),
            ">=" | "ge" => Some(Comparison::Ge),
            "<" | "lt" | "lessthan" => Some(Comparison::Lt),
            "<=" | "le" => Some(Comparison::Le),
            "in" => Some(Comparison::In),
            _ => None,
        };
        if let Some(comparison) = comparison {
            let [other] = call.bind(name, ["other"], 1)?;
            return self.compare(comparison, value, &other.unwrap_or(Value::None));
        }
        let rest = |engine: &mut Self, by: &Value| -> Result<Value> {
            if let Value::Str(..) = value {
                return Err(value.misused(name));
            }
            let rest = numbers::binary(ast::Operator::Mod, value, by);
            rest.unwrap_or_else(|| engine.binary(ast::Operator::Mod, value, by))
        };
        match name {
            "divisibleby" => {
                let [by] = call.bind(name, ["num"], 1)?;
                let rest = rest(self, &by.unwrap_or(Value::None))?;
                return self.equal(&rest, &Value::Int(0));
            }
            "sameas" => {
                let [other] = call.bind(name, ["other"], 1)?;
                return Ok(value.is_same(&other.unwrap_or(Value::None)));
            }
            _ => call.nothing(name)?,
        }
        Ok(match name {
            "odd" | "even" => {
                let rest = rest(self, &Value::Int(2))?;
                self.equal(&rest, &Value::Int(i128::from(name == "odd")))?
            }
            "defined" => !value.is_undefined(),
            "undefined" => value.is_undefined(),
            "filter" | "test" if !value.is_hashable() => return Err(value.misused(name)),
            "filter" => value
                .as_str()
                .is_some_and(|name| filters::NAMES.contains(&name)),
            "test" => value.as_str().is_some_and(|name| NAMES.contains(&name)),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "false" => matches!(value, Value::Bool(false)),
            "true" => matches!(value, Value::Bool(true)),
            "integer" => matches!(value, Value::Int(_)),
            "float" => matches!(value, Value::Float(_)),
            "lower" | "upper" => {
                let text = self.text(value)?;
                self.fuel.read(text.len())?;
                letters::is_case(&text, name == "lower")
            }
            "string" => matches!(value, Value::Str(..)),
            "mapping" => matches!(value, Value::Dict(_)),
            "number" => value.as_float().is_some(),
            "sequence" => matches!(
                value,
                Value::Undefined(_)
                    | Value::Str(..)
                    | Value::List(_)
                    | Value::Tuple(_)
                    | Value::Dict(_)
                    | Value::Range(..)
            ),
            "iterable" => self.is_iterable(value),
            "callable" => match value {
                Value::Method(_) | Value::Function(_) | Value::Macro(_) | Value::Undefined(_) => {
                    true
                }
                Value::Object(index) => {
                    matches!(self.objects[*index], Object::Joiner(..) | Object::Loop(_))
                }
                _ => false,
            },
            "escaped" => matches!(value, Value::Str(_, true)),
            _ => return Err(Error::new(format!("no test named '{name}'"))),
        })
    }
}
