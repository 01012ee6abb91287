//! Filters of lists.

use super::calls::Call;
use super::value::{Items, Value};
use super::{Engine, Error, Result, python};

/// One step of a path to an attribute.
type Path = Vec<Value>;

/// `a.b.0` as steps.
fn path(attribute: &Value) -> Path {
    match attribute {
        Value::None => Vec::new(),
        Value::Str(text, _) => {
            let step = |part: &str| match part.parse() {
                Ok(index) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(index),
                _ => Value::str(part),
            };
            text.split('.').map(step).collect()
        }
        other => vec![other.clone()],
    }
}

fn ignore_case(value: Value) -> Value {
    match value {
        Value::Str(text, markup) => Value::Str(python::lower(&text).into(), markup),
        other => other,
    }
}

impl Engine<'_> {
    /// What a path leads to.
    fn follow(&mut self, value: &Value, path: &Path, default: Option<&Value>) -> Result<Value> {
        let mut value = value.clone();
        for step in path {
            value = self.item(&value, step)?;
            if let (true, Some(default)) = (value.is_undefined(), default) {
                value = default.clone();
            }
        }
        Ok(value)
    }

    /// The keys by which values are compared.
    fn keys(
        &mut self,
        values: &[Value],
        attribute: &Option<Value>,
        default: Option<&Value>,
        case_sensitive: bool,
    ) -> Result<Vec<Value>> {
        let path = path(attribute.as_ref().unwrap_or(&Value::None));
        let mut keys = Vec::new();
        for value in values {
            let key = self.follow(value, &path, default)?;
            self.fuel.text(key.as_str().map_or(0, str::len))?;
            keys.push(if case_sensitive {
                key
            } else {
                ignore_case(key)
            });
        }
        Ok(keys)
    }

    /// Places in the order of their keys; equal ones keep their order.
    pub(super) fn sorted_indices(&mut self, keys: Vec<Value>, reverse: bool) -> Result<Vec<usize>> {
        self.fuel.items(2 * keys.len())?;
        let mut places: Vec<usize> = (0..keys.len()).collect();
        let mut failed = None;
        places.sort_by(|a, b| {
            if failed.is_some() {
                return std::cmp::Ordering::Equal;
            }
            let order = self.order(&keys[*a], &keys[*b]);
            let order = order.unwrap_or_else(|error| {
                failed = Some(error);
                None
            });
            let order = order.unwrap_or(std::cmp::Ordering::Equal);
            if reverse { order.reverse() } else { order }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(places),
        }
    }

    pub(super) fn list_filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value> {
        match name {
            "list" => {
                call.nothing(name)?;
                let items = self.iterate(&value)?;
                Value::list(items)
            }
            "first" => {
                call.nothing(name)?;
                let none = || Value::undefined("No first item, sequence was empty.");
                if let Value::Object(index) = value {
                    return Ok(self.next_of(index)?.unwrap_or_else(none));
                }
                Ok(self
                    .iterate(&value)?
                    .into_iter()
                    .next()
                    .unwrap_or_else(none))
            }
            "last" => {
                call.nothing(name)?;
                if matches!(value, Value::Object(_)) {
                    return Err(value.misused(name));
                }
                let none = || Value::undefined("No last item, sequence was empty.");
                Ok(self.iterate(&value)?.pop().unwrap_or_else(none))
            }
            "reverse" => {
                call.nothing(name)?;
                if let Value::Str(..) = &value {
                    return self.slice(&value, &[Value::None, Value::None, Value::Int(-1)]);
                }
                let is_list = matches!(value, Value::Object(_));
                let mut items = self.iterate(&value)?;
                items.reverse();
                match is_list {
                    true => Value::list(items),
                    false => self.iterator(items, None),
                }
            }
            "join" => {
                let [separator, attribute] = call.bind(name, ["d", "attribute"], 0)?;
                let separator = match separator {
                    Some(separator) => self.text(&separator)?,
                    None => "".into(),
                };
                let path = path(&attribute.unwrap_or(Value::None));
                let mut out = String::new();
                for (index, item) in self.iterate(&value)?.iter().enumerate() {
                    if index > 0 {
                        self.fuel.grow(out.len(), separator.len())?;
                        out.push_str(&separator);
                    }
                    let item = self.follow(item, &path, None)?;
                    self.write_text(&mut out, &item)?;
                }
                Ok(Value::str(out))
            }
            "sum" => {
                let [attribute, start] = call.bind(name, ["attribute", "start"], 0)?;
                let path = path(&attribute.unwrap_or(Value::None));
                let mut total = start.unwrap_or(Value::Int(0));
                if let Value::Str(..) = total {
                    return Err(total.misused(name));
                }
                for item in self.iterate(&value)? {
                    let item = self.follow(&item, &path, None)?;
                    total = self.binary(super::ast::Operator::Add, &total, &item)?;
                }
                Ok(total)
            }
            "batch" | "slice" => self.batches(name, &value, call),
            "map" => self.map_filter(&value, call),
            "select" | "reject" | "selectattr" | "rejectattr" => self.select(name, &value, call),
            _ => self.ordering_filter(name, value, call),
        }
    }

    fn batches(&mut self, name: &str, value: &Value, call: Call) -> Result<Value> {
        let [count, fill] = call.bind(name, ["count", "fill_with"], 1)?;
        let count = count.unwrap_or(Value::None);
        let count = count.as_int().ok_or_else(|| count.misused(name))?;
        let fill = fill.filter(|fill| !matches!(fill, Value::None));
        let (items, end) = match self.begun(value) {
            Ok(begun) => begun,
            Err(error) => (Vec::new(), Some(error)),
        };
        if end.is_some() {
            return self.iterator(Vec::new(), end);
        }
        let size = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        let mut batches = Vec::new();
        if name == "batch" {
            let mut rest = &items[..];
            if size == 0 && !items.is_empty() {
                batches.push(Value::list(Vec::new())?);
                rest = &[];
                for item in &items {
                    batches.push(Value::list(vec![item.clone()])?);
                }
            }
            while !rest.is_empty() {
                let (batch, others) = rest.split_at(size.min(rest.len()));
                let mut batch = batch.to_vec();
                if let Some(fill) = &fill {
                    self.fuel.items(size)?;
                    batch.resize(size, fill.clone());
                }
                batches.push(Value::list(batch)?);
                rest = others;
            }
            return self.iterator(batches, None);
        }
        if size == 0 {
            let error = (count == 0).then(|| Error::new("slice in 0 parts"));
            return self.iterator(Vec::new(), error);
        }
        self.fuel.items(size)?;
        let (each, longer) = (items.len() / size, items.len() % size);
        let mut rest = &items[..];
        for index in 0..size {
            let (part, others) = rest.split_at(each + usize::from(index < longer));
            let mut part = part.to_vec();
            if index >= longer {
                part.extend(fill.clone());
            }
            batches.push(Value::list(part)?);
            rest = others;
        }
        self.iterator(batches, None)
    }

    /// A generator of what `make` gives for each element, up to the first error.
    fn generate(
        &mut self,
        value: &Value,
        mut make: impl FnMut(&mut Self, Value) -> Result<Option<Value>>,
    ) -> Result<Value> {
        let (items, mut end) = match self.begun(value) {
            Ok(begun) => begun,
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut made = Vec::new();
        for item in items {
            match make(self, item) {
                Ok(item) => made.extend(item),
                Err(error) => {
                    end = Some(error);
                    break;
                }
            }
        }
        self.iterator(made, end)
    }

    fn map_filter(&mut self, value: &Value, mut call: Call) -> Result<Value> {
        if !self.truth(value) {
            return self.iterator(Vec::new(), None);
        }
        let by_attribute = call.keywords.iter().any(|(name, _)| &**name == "attribute");
        if call.positional.is_empty() && by_attribute {
            let [attribute, default] = call.bind("map", ["attribute", "default"], 0)?;
            let path = path(&attribute.unwrap_or(Value::None));
            let default = default.filter(|default| !matches!(default, Value::None));
            return self.generate(value, |engine, item| {
                engine.follow(&item, &path, default.as_ref()).map(Some)
            });
        }
        if call.positional.is_empty() {
            return self.iterator(Vec::new(), Some(Error::new("map requires a filter")));
        }
        let filter = call.positional.remove(0);
        let name = self.text(&filter)?;
        if !super::filters::NAMES.contains(&&*name) {
            let error = Error::new(format!("no filter named '{name}'"));
            return self.iterator(Vec::new(), Some(error));
        }
        self.generate(value, |engine, item| {
            engine.fuel.step()?;
            let call = Call {
                positional: call.positional.clone(),
                keywords: call.keywords.clone(),
            };
            engine
                .deeper(|engine| engine.filter(&name, item, call))
                .map(Some)
        })
    }

    fn select(&mut self, name: &str, value: &Value, mut call: Call) -> Result<Value> {
        if !self.truth(value) {
            return self.iterator(Vec::new(), None);
        }
        let mut steps = Path::new();
        if name.ends_with("attr") {
            if call.positional.is_empty() {
                let error = Error::new(format!("{name} requires an attribute"));
                return self.iterator(Vec::new(), Some(error));
            }
            steps = path(&call.positional.remove(0));
        }
        let test = match call.positional.is_empty() {
            true => None,
            false => Some(call.positional.remove(0)),
        };
        let test = match test {
            Some(test) => Some(self.text(&test)?),
            None => None,
        };
        let wanted = name.starts_with("select");
        self.generate(value, |engine, item| {
            engine.fuel.step()?;
            let tested = engine.follow(&item, &steps, None)?;
            let passes = match &test {
                None => engine.truth(&tested),
                Some(test) => {
                    let call = Call {
                        positional: call.positional.clone(),
                        keywords: call.keywords.clone(),
                    };
                    engine.test(test, &tested, call)?
                }
            };
            Ok((passes == wanted).then_some(item))
        })
    }

    fn ordering_filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value> {
        let is = |engine: &Self, value: Option<Value>| value.is_some_and(|v| engine.truth(&v));
        match name {
            "sort" => {
                let names = ["reverse", "case_sensitive", "attribute"];
                let [reverse, case, attribute] = call.bind(name, names, 0)?;
                let (reverse, case) = (is(self, reverse), is(self, case));
                let values = self.iterate(&value)?;
                let attributes: Vec<Value> = match &attribute {
                    Some(Value::Str(text, _)) => text.split(',').map(Value::str).collect(),
                    Some(other) => vec![other.clone()],
                    None => vec![Value::None],
                };
                let mut keys = vec![Vec::new(); values.len()];
                for attribute in attributes {
                    let more = self.keys(&values, &Some(attribute), None, case)?;
                    keys.iter_mut()
                        .zip(more)
                        .for_each(|(key, more)| key.push(more));
                }
                let keys = keys.into_iter().map(Value::list).collect::<Result<_>>()?;
                let places = self.sorted_indices(keys, reverse)?;
                Value::list(places.into_iter().map(|at| values[at].clone()).collect())
            }
            "dictsort" => {
                let [case, by, reverse] =
                    call.bind(name, ["case_sensitive", "by", "reverse"], 0)?;
                let (case, reverse) = (is(self, case), is(self, reverse));
                let by_value = match by.as_ref().map(Value::as_str) {
                    None | Some(Some("key")) => false,
                    Some(Some("value")) => true,
                    _ => return Err(Error::new("dictsort sorts by key or value")),
                };
                let Value::Dict(dict) = &value else {
                    return Err(value.misused(name));
                };
                let keys = dict.entries.iter();
                let keys = keys.map(|(key, value)| if by_value { value } else { key }.clone());
                let keys = keys
                    .map(|key| if case { key } else { ignore_case(key) })
                    .collect();
                let pair = |at: usize| {
                    let (key, value) = &dict.entries[at];
                    Value::pair(key.clone(), value.clone())
                };
                let places = self.sorted_indices(keys, reverse)?;
                Value::list(places.into_iter().map(pair).collect::<Result<_>>()?)
            }
            "min" | "max" => {
                let [case, attribute] = call.bind(name, ["case_sensitive", "attribute"], 0)?;
                let case = is(self, case);
                let values = self.iterate(&value)?;
                let keys = self.keys(&values, &attribute, None, case)?;
                let mut best = 0;
                for at in 1..keys.len() {
                    let better = match name {
                        "min" => self
                            .order(&keys[at], &keys[best])?
                            .is_some_and(|o| o.is_lt()),
                        _ => self
                            .order(&keys[at], &keys[best])?
                            .is_some_and(|o| o.is_gt()),
                    };
                    if better {
                        best = at;
                    }
                }
                let none = || Value::undefined("No aggregated item, sequence was empty.");
                Ok(values.into_iter().nth(best).unwrap_or_else(none))
            }
            "unique" => {
                let [case, attribute] = call.bind(name, ["case_sensitive", "attribute"], 0)?;
                let case = is(self, case);
                let path = path(&attribute.unwrap_or(Value::None));
                let mut seen = Vec::new();
                self.generate(&value, |engine, item| {
                    let key = engine.follow(&item, &path, None)?;
                    let key = if case { key } else { ignore_case(key) };
                    if !key.is_hashable() {
                        return Err(key.misused("unique"));
                    }
                    if engine.position(&seen, &key)?.is_some() {
                        return Ok(None);
                    }
                    seen.push(key);
                    Ok(Some(item))
                })
            }
            "groupby" => {
                let names = ["attribute", "default", "case_sensitive"];
                let [attribute, default, case] = call.bind(name, names, 1)?;
                let case = is(self, case);
                let default = default.filter(|default| !matches!(default, Value::None));
                let values = self.iterate(&value)?;
                let keys = self.keys(&values, &attribute, default.as_ref(), case)?;
                let real = self.keys(&values, &attribute, default.as_ref(), true)?;
                let places = self.sorted_indices(keys.clone(), false)?;
                let mut groups: Vec<(usize, Vec<Value>)> = Vec::new();
                for at in places {
                    match groups.last_mut() {
                        Some((first, group)) if self.equal(&keys[*first], &keys[at])? => {
                            group.push(values[at].clone());
                        }
                        _ => groups.push((at, vec![values[at].clone()])),
                    }
                }
                let group = |(first, values): (usize, Vec<Value>)| {
                    Items::group(real[first].clone(), Value::list(values)?)
                };
                Value::list(groups.into_iter().map(group).collect::<Result<_>>()?)
            }
            _ => Err(Error::new(format!("no filter named '{name}'"))),
        }
    }
}
