//! Renders templates that nobody vouches for: a model file comes from anywhere. Bounded are the
//! instructions run (fuel), the nesting, the size of every value, and all that is made and written
//! together.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::machinery::{eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ObjectRepr, Rest, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, escape_formatter};

use super::rewrite::{GUARD, GUARD_HELD, compile, join_lines};
use super::{TextError, Today};

/// Bytes of a template. The largest in use are about 20 KB.
const MAX_SOURCE: usize = 1 << 17;
/// Nesting of values, and of what `tojson` writes.
const MAX_DEPTH: usize = 16;
/// Nesting of blocks and calls, in minijinja's measure.
const MAX_RECURSION: usize = 100;
/// What a value costs beside its bytes.
const VALUE_COST: usize = 16;
/// Filters that can blow up a small value or nest lazily; no chat template needs them.
const REFUSED_FILTERS: [&str; 9] = [
    "format", "pprint", "batch", "slice", "indent", "chain", "zip", "groupby", "sum",
];

/// How much a rendering may still make.
struct Budget {
    left: AtomicUsize,
    /// How much it may still write: more than the output can be, since a block's text may be
    /// written several times before it gets there.
    unwritten: AtomicUsize,
    value_limit: usize,
}

/// Compiles `source` and drops the result: whether it would.
pub(super) fn check(source: &str) -> Result<(), TextError> {
    if source.len() > MAX_SOURCE {
        let length = source.len();
        return Err(TextError::Template(format!(
            "{length} bytes long, more than the limit of {MAX_SOURCE}"
        )));
    }
    let syntax = syntax().map_err(failed)?;
    compile(&join_lines(source, &syntax), &syntax)
        .map(drop)
        .map_err(failed)
}

/// Renders `source` with the variables of `context`, whose parts number `items` and hold `bytes`
/// bytes of text: the limits grow with them. `today` is what `strftime_now` says.
pub(super) fn render(
    source: &str,
    context: Value,
    items: usize,
    bytes: usize,
    today: Option<Today>,
) -> Result<String, TextError> {
    check(source)?;
    let size = (1 << 14) + source.len() + bytes + items * 256;
    let value_limit = size.saturating_mul(8);
    let budget = Arc::new(Budget {
        left: AtomicUsize::new(size.saturating_mul(2048)),
        unwritten: AtomicUsize::new(value_limit.saturating_mul(4)),
        value_limit,
    });
    let mut output = String::new();
    let result = syntax().and_then(|syntax| {
        let source = join_lines(source, &syntax);
        let instructions = compile(&source, &syntax)?;
        let environment = environment(&budget, items, today);
        let blocks = Default::default();
        let mut out = make_string_output(&mut output);
        eval(
            &environment,
            &instructions,
            context,
            &blocks,
            &mut out,
            AutoEscape::None,
        )
        .map(drop)
    });
    result.map_err(failed)?;
    if output.len() > budget.value_limit {
        return Err(failed(too_large()));
    }
    Ok(output)
}

/// Whitespace as transformers sets it.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
}

fn environment<'e>(budget: &Arc<Budget>, items: usize, today: Option<Today>) -> Environment<'e> {
    let mut env = Environment::new();
    env.set_debug(false);
    env.set_recursion_limit(MAX_RECURSION);
    env.set_fuel(Some(50_000 + 2_000 * items as u64));
    for name in REFUSED_FILTERS {
        env.remove_filter(name);
    }
    env.remove_global("debug");
    let emitted = Arc::clone(budget);
    env.set_formatter(move |out, state, value| {
        emitted.spend(&emitted.unwritten, value, 0)?;
        emitted.guard(value, 0)?;
        escape_formatter(out, state, value)
    });
    for (name, depth) in [(GUARD, 0), (GUARD_HELD, 1)] {
        let made = Arc::clone(budget);
        env.add_function(name, move |value: Value| made.guard(&value, depth));
    }
    env.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> { Err(invalid(message)) },
    );
    if let Some(today) = today {
        env.add_function("strftime_now", move |format: &str| {
            let unknown =
                |what| invalid(format!("strftime_now knows the day alone, and no {what}"));
            today.format(format).map_err(unknown)
        });
    }
    env.add_filter("tojson", tojson);

    let limit = budget.value_limit;
    env.add_filter(
        "replace",
        move |text: &str, old: &str, new: &str, count: Option<i64>| {
            replace(text, old, new, count, limit)
        },
    );
    env.add_filter("join", move |values: &Value, separator: Option<&str>| {
        join(values, separator.unwrap_or_default(), limit)
    });
    env.set_unknown_method_callback(move |state: &mut State<'_, '_>, value, method, args| {
        match (method, value.as_str(), args) {
            ("replace", Some(text), [old, new, rest @ ..]) => {
                let string = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(not_a_string);
                let count = rest.first().and_then(Value::as_i64);
                replace(text, &string(old)?, &string(new)?, count, limit)
            }
            ("join", Some(separator), [values]) => join(values, separator, limit),
            ("format", Some(_), _) => Err(Error::from(ErrorKind::UnknownMethod)),
            _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
        }
    });
    env
}

impl Budget {
    /// Checks a value, and takes its size from what is left.
    fn spend(&self, left: &AtomicUsize, value: &Value, depth: usize) -> Result<(), Error> {
        let mut rest = self.value_limit;
        weigh(value, depth, &mut rest)?;
        let cost = self.value_limit - rest;
        let spend = |budget: usize| budget.checked_sub(cost);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .map(drop)
            .map_err(|_| invalid("it makes too much text".to_owned()))
    }

    /// Checks and charges a value that was just made, or is to be held by `depth` others; gives it
    /// back, a lazy sequence as a list (lazy ones built upon each other would nest without bound).
    fn guard(&self, value: &Value, depth: usize) -> Result<Value, Error> {
        self.spend(&self.left, value, depth)?;
        match value.as_object() {
            Some(object) if object.repr() == ObjectRepr::Iterable => {
                Ok(value.try_iter()?.collect::<Vec<_>>().into())
            }
            _ => Ok(value.clone()),
        }
    }
}

/// Takes the size of `value` and all that is in it from `left`.
fn weigh(value: &Value, depth: usize, left: &mut usize) -> Result<(), Error> {
    let bytes = value.as_str().map_or(0, str::len);
    *left = left.checked_sub(VALUE_COST + bytes).ok_or_else(too_large)?;
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    if depth > MAX_DEPTH {
        return Err(invalid("it nests values too deeply".to_owned()));
    }
    // A namespace within a value could hold that value: a circle.
    if depth > 0 && object.type_name().ends_with("::Namespace") {
        return Err(invalid("it stores a namespace in another value".to_owned()));
    }
    let is_map = object.repr() == ObjectRepr::Map;
    for item in object.try_iter().into_iter().flatten() {
        weigh(&item, depth + 1, left)?;
        if is_map && let Some(value) = object.get_value(&item) {
            weigh(&value, depth + 1, left)?;
        }
    }
    Ok(())
}

fn replace(
    text: &str,
    old: &str,
    new: &str,
    count: Option<i64>,
    limit: usize,
) -> Result<Value, Error> {
    let found = text.matches(old).count();
    let count = count
        .and_then(|c| usize::try_from(c).ok())
        .map_or(found, |c| c.min(found));
    if count.saturating_mul(new.len()) > limit {
        return Err(too_large());
    }
    Ok(Value::from(text.replacen(old, new, count)))
}

fn join(values: &Value, separator: &str, limit: usize) -> Result<Value, Error> {
    let mut text = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        write!(text, "{value}").map_err(Error::from)?;
        if text.len() > limit {
            return Err(too_large());
        }
    }
    Ok(Value::from(text))
}

/// JSON as Python's `json.dumps` writes it, which is what templates were written against (minijinja
/// escapes `<`, `>` and `&`).
fn tojson(value: &Value, rest: Rest<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match options.get::<Option<usize>>("indent")? {
        None => rest.first().and_then(Value::as_usize),
        indent => indent,
    };
    let mut text = String::new();
    write_json(&mut text, value, indent.map(|width| width.min(8)), 0)?;
    Ok(Value::from(text))
}

fn write_json(
    out: &mut String,
    value: &Value,
    indent: Option<usize>,
    depth: usize,
) -> Result<(), Error> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (open, close) = match value.kind() {
        ValueKind::Map => ('{', '}'),
        ValueKind::Seq | ValueKind::Iterable => ('[', ']'),
        kind => {
            out.push_str(&match kind {
                ValueKind::Undefined | ValueKind::None => "null".to_owned(),
                ValueKind::Bool => value.is_true().to_string(),
                ValueKind::Number => value.to_string(),
                _ => quoted(value.as_str().ok_or_else(not_a_string)?),
            });
            return Ok(());
        }
    };
    if depth > MAX_DEPTH {
        return Err(invalid("it nests values too deeply".to_owned()));
    }
    let new_line = |out: &mut String, depth: usize| {
        if let Some(width) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    out.push(open);
    let mut empty = true;
    for item in value.try_iter()? {
        if !empty {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        empty = false;
        new_line(out, depth + 1);
        if open == '{' {
            out.push_str(&quoted(&item.to_string()));
            out.push_str(": ");
            write_json(out, &value.get_item(&item)?, indent, depth + 1)?;
        } else {
            write_json(out, &item, indent, depth + 1)?;
        }
    }
    if !empty {
        new_line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn too_large() -> Error {
    invalid("it makes too large a value".to_owned())
}

fn not_a_string() -> Error {
    invalid("it uses another value as a string".to_owned())
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

fn failed(error: Error) -> TextError {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    let hint = match error.kind() {
        ErrorKind::UnknownFunction if what.contains("strftime_now") => {
            "; it asks for today's date, which was not given: give it, or set another template"
        }
        ErrorKind::OutOfFuel => " (it runs too long)",
        _ => "",
    };
    let line = error
        .line()
        .map_or_else(String::new, |line| format!(" (line {line})"));
    TextError::Template(format!("{what}{line}{hint}"))
}
