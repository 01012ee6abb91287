//! Jinja's filters: which there are, and those of single values.

use super::calls::Call;
use super::value::{Value, View};
use super::{Engine, Error, Result, numbers};

pub(super) const NAMES: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

impl Engine<'_> {
    /// `value | name(…)`.
    #[inline(never)]
    pub(super) fn filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value> {
        match name {
            "default" | "d" => {
                let [default, boolean] = call.bind(name, ["default_value", "boolean"], 0)?;
                let falsy = boolean.is_some_and(|b| self.truth(&b)) && !self.truth(&value);
                match value.is_undefined() || falsy {
                    true => Ok(default.unwrap_or_else(|| Value::str(""))),
                    false => Ok(value),
                }
            }
            "length" | "count" => {
                call.nothing(name)?;
                self.length(&value).map(|length| Value::Int(length as i128))
            }
            "abs" => {
                call.nothing(name)?;
                match (&value, value.as_int()) {
                    (_, Some(number)) => Ok(Value::Int(number.saturating_abs())),
                    (Value::Float(number), _) => Ok(Value::Float(number.abs())),
                    _ => Err(value.misused(name)),
                }
            }
            "int" => self.int_filter(&value, call),
            "float" => {
                let [default] = call.bind(name, ["default"], 0)?;
                let number = match &value {
                    Value::Str(text, _) => {
                        self.fuel.read(16 * text.len())?;
                        numbers::parse_float(text)
                    }
                    Value::Undefined(_) => return Err(value.misused(name)),
                    other => other.as_float(),
                };
                Ok(number.map_or(default.unwrap_or(Value::Float(0.0)), Value::Float))
            }
            "round" => self.round_filter(&value, call),
            "attr" => {
                let [attribute] = call.bind(name, ["name"], 1)?;
                let attribute = attribute.unwrap_or(Value::None);
                let attribute = attribute.as_str().ok_or_else(|| attribute.misused(name))?;
                if value.is_undefined() {
                    return Err(value.misused(name));
                }
                let found = self.python_attribute(&value, attribute)?;
                Ok(
                    found
                        .unwrap_or_else(|| Value::undefined(format!("no attribute '{attribute}'"))),
                )
            }
            "items" => {
                call.nothing(name)?;
                match &value {
                    Value::Undefined(_) => self.iterator(Vec::new(), None),
                    Value::Dict(dict) => {
                        let items = self.view(View::Items, dict)?;
                        self.iterator(items, None)
                    }
                    _ => {
                        let error = Error::new("items: only of a mapping");
                        self.iterator(Vec::new(), Some(error))
                    }
                }
            }
            "tojson" => self.tojson(&value, call),
            "safe" => {
                call.nothing(name)?;
                self.text(&value).map(|text| Value::Str(text, true))
            }
            "escape" | "e" => {
                call.nothing(name)?;
                self.escaped(&value)
            }
            "forceescape" => {
                call.nothing(name)?;
                let text = self.text(&value)?;
                self.escaped(&Value::Str(text, false))
            }
            "format" => {
                let format = self.soft_text(&value)?;
                let markup = matches!(value, Value::Str(_, true));
                let values = match (call.positional.is_empty(), call.keywords.is_empty()) {
                    (false, false) => {
                        return Err(Error::new("format with both kinds of arguments"));
                    }
                    (true, false) => {
                        let entry = |(key, value)| (Value::str(key), value);
                        Value::dict(call.keywords.into_iter().map(entry).collect())?
                    }
                    _ => Value::tuple(call.positional)?,
                };
                let text = self.percent(&format, &values, markup)?;
                Ok(Value::Str(text.into(), markup))
            }
            "random" | "urlize" => Err(Error::new(format!("the filter {name} is not supported"))),
            "batch" | "dictsort" | "first" | "groupby" | "join" | "last" | "list" | "map"
            | "max" | "min" | "reject" | "rejectattr" | "reverse" | "select" | "selectattr"
            | "slice" | "sort" | "sum" | "unique" => self.list_filter(name, value, call),
            _ => self.text_filter(name, value, call),
        }
    }

    fn int_filter(&mut self, value: &Value, call: Call) -> Result<Value> {
        let [default, base] = call.bind("int", ["default", "base"], 0)?;
        let default = default.unwrap_or(Value::Int(0));
        let base = base.unwrap_or(Value::Int(10));
        let base = base.as_int().ok_or_else(|| base.misused("int"))?;
        let number = match value {
            Value::Undefined(_) => return Err(value.misused("int")),
            Value::Str(text, _) => {
                self.fuel.read(16 * text.len())?;
                match numbers::parse_int(text, u32::try_from(base).unwrap_or(1)) {
                    Some(number) => Some(number),
                    None => match numbers::parse_float(text) {
                        Some(number) if number.is_finite() => Some(numbers::truncate(number)?),
                        _ => None,
                    },
                }
            }
            // What Python doesn't catch.
            Value::Float(number) if number.is_infinite() => {
                return Err(Error::new("int of an infinite number"));
            }
            Value::Float(number) if number.is_nan() => None,
            Value::Float(number) => Some(numbers::truncate(*number)?),
            other => other.as_int(),
        };
        Ok(number.map_or(default, Value::Int))
    }

    fn round_filter(&mut self, value: &Value, call: Call) -> Result<Value> {
        let [digits, method] = call.bind("round", ["precision", "method"], 0)?;
        let digits = digits.unwrap_or(Value::Int(0));
        let digits = digits.as_int().ok_or_else(|| digits.misused("round"))?;
        let method = method.unwrap_or_else(|| Value::str("common"));
        let number = value.as_float().ok_or_else(|| value.misused("round"))?;
        let up = match method.as_str() {
            Some("common") => {
                return match value.as_int() {
                    Some(whole) => numbers::round_whole(whole, digits).map(Value::Int),
                    None => Ok(Value::Float(numbers::round(number, digits))),
                };
            }
            Some("ceil") => true,
            Some("floor") => false,
            _ => return Err(Error::new("round: the method is common, ceil or floor")),
        };
        let power = 10f64.powi(digits.clamp(-400, 400) as i32);
        let scaled = number * power;
        if !scaled.is_finite() {
            return Err(Error::new("round of too large a number"));
        }
        Ok(Value::Float(
            if up { scaled.ceil() } else { scaled.floor() } / power,
        ))
    }
}
