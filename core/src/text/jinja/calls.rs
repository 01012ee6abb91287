//! Calls: arguments, global functions, macros.

use std::rc::Rc;

use super::ast::Macro;
use super::value::{Closure, MAX_DEPTH, Value, range_len};
use super::{Engine, Error, Object, Result};

/// Functions that every template has. `strftime_now` is there where a day was given.
pub(super) const FUNCTIONS: [&str; 8] = [
    "range",
    "dict",
    "namespace",
    "cycler",
    "joiner",
    "lipsum",
    "raise_exception",
    "strftime_now",
];

/// Numbers in a range, as the sandbox allows them.
const MAX_RANGE: usize = 100_000;

/// The values of a call's arguments.
#[derive(Default)]
pub(super) struct Call {
    pub positional: Vec<Value>,
    pub keywords: Vec<(Rc<str>, Value)>,
}

impl Call {
    /// The arguments by parameter; the first `required` are there.
    pub(super) fn bind<const N: usize>(
        self,
        what: &str,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            return Err(Error::new(format!("{what} takes at most {N} arguments")));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keywords {
            match names.iter().position(|known| *known == &*name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return Err(Error::new(format!("{what} has two values for {name}"))),
                None => return Err(Error::new(format!("{what} takes no argument {name}"))),
            }
        }
        match bound.iter().take(required).position(Option::is_none) {
            Some(at) => Err(Error::new(format!(
                "{what} lacks its argument {}",
                names[at]
            ))),
            None => Ok(bound),
        }
    }

    /// That there are no arguments.
    pub(super) fn nothing(self, what: &str) -> Result<()> {
        self.bind(what, [], 0).map(|[]| ())
    }

    /// Positional arguments, all of them texts.
    pub(super) fn texts<const N: usize>(self, what: &str) -> Result<[Rc<str>; N]> {
        let values = <[Value; N]>::try_from(self.positional)
            .map_err(|_| Error::new(format!("{what} takes {N} arguments")))?;
        let mut texts = [const { None }; N];
        for (place, value) in texts.iter_mut().zip(&values) {
            match value {
                Value::Str(text, _) => *place = Some(text.clone()),
                other => return Err(other.misused(what)),
            }
        }
        Ok(texts.map(Option::unwrap_or_default))
    }
}

impl Engine<'_> {
    /// `function(…)`.
    pub(super) fn call(&mut self, function: &Value, call: Call) -> Result<Value> {
        match function {
            Value::Method(bound) => self.method(&bound.0, bound.1, call),
            Value::Function(name) => self.function(name, call),
            Value::Macro(closure) => self.call_macro(closure, call),
            Value::Object(index) => match &mut self.objects[*index] {
                Object::Joiner(separator, used) => {
                    call.nothing("a joiner")?;
                    match std::mem::replace(used, true) {
                        true => Ok(separator.clone()),
                        false => Ok(Value::str("")),
                    }
                }
                Object::Loop(state) => {
                    let (code, scope, depth) = (state.code.clone(), state.scope, state.depth);
                    if !code.recursive {
                        return Err(Error::new("a loop that is not recursive is called"));
                    }
                    let [items] = call.bind("loop", ["iterable"], 1)?;
                    let scope = self.alive(scope)?;
                    let mut out = String::new();
                    let items = items.unwrap_or(Value::None);
                    self.within(scope, |engine| {
                        engine
                            .run_loop(&code, &items, depth + 1, &mut out)
                            .map(|_| ())
                    })?;
                    Ok(Value::str(out))
                }
                _ => Err(function.misused("a call")),
            },
            other => Err(other.misused("a call")),
        }
    }

    fn function(&mut self, name: &'static str, call: Call) -> Result<Value> {
        match name {
            "range" => {
                let mut numbers = Vec::new();
                for value in &call.positional {
                    let number = value.as_int().filter(|n| n.unsigned_abs() < 1 << 64);
                    numbers.push(number.ok_or_else(|| value.misused("range"))?);
                }
                let (start, stop, step) = match numbers[..] {
                    [stop] => (0, stop, 1),
                    [start, stop] => (start, stop, 1),
                    [start, stop, step] if step != 0 => (start, stop, step),
                    _ => {
                        return Err(Error::new(
                            "range takes one to three numbers, the last not 0",
                        ));
                    }
                };
                if !call.keywords.is_empty() || range_len(start, stop, step) > MAX_RANGE {
                    return Err(Error::new(format!("range has at most {MAX_RANGE} numbers")));
                }
                Ok(Value::Range(start, stop, step))
            }
            "dict" | "namespace" => {
                let mut entries = match &call.positional[..] {
                    [] => Vec::new(),
                    [from] => self.dict_of(from)?,
                    _ => return Err(Error::new(format!("{name} takes one mapping"))),
                };
                for (key, value) in call.keywords {
                    self.put(&mut entries, Value::str(key), value)?;
                }
                match name {
                    "dict" => Value::dict(entries),
                    _ => self.namespace(entries),
                }
            }
            "cycler" => match Value::tuple(call.positional)? {
                Value::Tuple(items) if !items.values.is_empty() && call.keywords.is_empty() => {
                    self.object(Object::Cycler(items, 0))
                }
                _ => Err(Error::new("a cycler without items")),
            },
            "joiner" => {
                let [separator] = call.bind(name, ["sep"], 0)?;
                let separator = separator.unwrap_or_else(|| Value::str(", "));
                self.object(Object::Joiner(separator, false))
            }
            "raise_exception" => {
                let [message] = call.bind(name, ["message"], 1)?;
                let text = self.text(&message.unwrap_or(Value::None))?;
                Err(Error::new(&*text))
            }
            "strftime_now" => {
                let [format] = call.bind(name, ["format"], 1)?;
                let format = format.unwrap_or(Value::None);
                let text = format.as_str().ok_or_else(|| format.misused(name))?;
                let today = self
                    .today
                    .ok_or_else(|| Error::new("strftime_now without a day"))?;
                self.fuel.text(text.len())?;
                let text = today
                    .format(text, self.fuel.largest())
                    .map_err(Error::new)?;
                self.fuel.text(text.len())?;
                Ok(Value::str(text))
            }
            _ => Err(Error::new(format!(
                "{name} gives other text each time: not supported"
            ))),
        }
    }

    /// The place of a scope that must not be gone.
    fn alive(&self, (place, id): (usize, u64)) -> Result<usize> {
        match self.scopes.get(place) {
            Some(scope) if scope.id == id => Ok(place),
            _ => Err(Error::new(
                "a macro or loop is called outside of where it was defined: not supported",
            )),
        }
    }

    fn call_macro(&mut self, closure: &Rc<Closure>, call: Call) -> Result<Value> {
        let code: &Macro = &closure.code;
        let scope = self.alive(closure.scope)?;
        let Call {
            positional,
            mut keywords,
        } = call;
        self.fuel.items(positional.len() + keywords.len() + 4)?;
        let extra = positional.len().saturating_sub(code.parameters.len());
        let mut positional = positional.into_iter();
        let mut take = |name: &str| {
            let at = keywords.iter().position(|(known, _)| &**known == name);
            at.map(|at| keywords.remove(at).1)
        };
        let mut variables: Vec<(Rc<str>, Option<Value>)> = Vec::new();
        for name in &code.parameters {
            let value = positional.next().or_else(|| take(name));
            variables.push((name.clone(), value));
        }
        let has_caller = code.parameters.iter().any(|name| &**name == "caller");
        let name = code.name.as_deref().unwrap_or("caller");
        if code.caller && !has_caller {
            let caller = take("caller").filter(|caller| !matches!(caller, Value::None));
            let caller = caller.unwrap_or_else(|| Value::undefined("No caller defined"));
            variables.push(("caller".into(), Some(caller)));
        }
        if code.kwargs {
            let entries = keywords
                .into_iter()
                .map(|(key, value)| (Value::str(key), value));
            variables.push(("kwargs".into(), Some(Value::dict(entries.collect())?)));
        } else if let Some((unknown, _)) = keywords.first() {
            return Err(Error::new(format!(
                "macro '{name}' takes no argument {unknown}"
            )));
        }
        if code.varargs {
            variables.push(("varargs".into(), Some(Value::tuple(positional.collect())?)));
        } else if extra > 0 {
            return Err(Error::new(format!(
                "macro '{name}' takes at most {} arguments",
                code.parameters.len()
            )));
        }
        let mut out = String::new();
        let line = self.line;
        self.within(scope, |engine| {
            for (name, value) in &variables {
                if let Some(value) = value {
                    engine.assign_name(name, value.clone());
                }
            }
            let first_default = code.parameters.len() - code.defaults.len();
            for (index, (name, value)) in variables.iter().enumerate() {
                if value.is_none() {
                    let default = index.checked_sub(first_default);
                    let value = match default.and_then(|at| code.defaults.get(at)) {
                        Some(default) => engine.evaluate(default)?,
                        None => Value::undefined(format!("parameter '{name}' was not provided")),
                    };
                    engine.assign_name(name, value);
                }
            }
            engine.run(&code.body, &mut out).map(|_| ())
        })?;
        self.line = line;
        Ok(Value::str(out))
    }

    /// A macro that is defined here.
    pub(super) fn closure(&self, code: &Rc<Macro>) -> Value {
        let place = self.current_scope();
        let scope = (place, self.scopes[place].id);
        Value::Macro(Rc::new(Closure {
            code: code.clone(),
            scope,
        }))
    }
}

/// Python's recursion limit, roughly, in our measure; each level needs some of the stack.
pub(super) const MAX_RECURSION: usize = 3 * MAX_DEPTH;
