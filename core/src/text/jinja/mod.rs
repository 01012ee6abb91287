//! Jinja2 as transformers runs it (an immutable sandbox, `trim_blocks`, `lstrip_blocks`, loop
//! controls, `{% generation %}`), with Python's values: chat templates are programs written against
//! those, and a prompt that differs in a space is another prompt.
//!
//! A template comes from anywhere. Bounded are its steps, the bytes that it reads and makes, the size
//! and nesting of each value, and recursion; an operation is charged for the size of its operands.
//! What is not supported is refused when it is reached.

mod ast;
mod calls;
mod containers;
mod evaluate;
mod expression;
mod filters;
mod format;
mod fuel;
mod json;
mod letters;
mod lexer;
mod lists;
mod lookup;
mod numbers;
mod operators;
mod parser;
mod percent;
mod python;
mod run;
mod spec;
mod statements;
mod str_format;
mod strings;
mod tests;
mod texts;
mod value;

use std::rc::Rc;

use super::Today;
use fuel::Fuel;
use value::{Dict, Value};

/// What went wrong, and where.
#[derive(Debug, Clone)]
pub(super) struct Error {
    pub message: String,
    pub line: Option<u32>,
}

pub(super) type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            message,
            line: None,
        }
    }

    /// This error in a line, unless it has one.
    fn at(mut self, line: u32) -> Self {
        self.line = self.line.or(Some(line));
        self
    }
}

/// A variable that a template is given.
pub(super) enum Given<'v> {
    None,
    Bool(bool),
    Text(&'v str),
    /// Messages: role and content of each.
    Messages(Vec<(&'v str, &'v str)>),
}

/// A template that was read.
pub(super) struct Template(parser::Parsed);

/// What a rendering may use.
pub(super) struct Limits<'a> {
    /// Expressions and statements run.
    pub steps: u64,
    /// Bytes read and made.
    pub bytes: u64,
    /// Bytes of a value, and of the output.
    pub value: usize,
    /// What `strftime_now` tells.
    pub today: Option<Today>,
    /// Characters that stand for something else, and so are never escaped.
    pub verbatim: &'a [char],
}

impl Template {
    /// Reads a template.
    pub(super) fn new(source: &str) -> Result<Self> {
        parser::parse(source).map(Self)
    }

    /// The text that it makes of these variables.
    pub(super) fn render(
        &self,
        given: Vec<(&str, Given<'_>)>,
        limits: &Limits<'_>,
    ) -> Result<String> {
        if let Some(error) = &self.0.unknown {
            return Err(error.clone());
        }
        let mut engine = Engine {
            fuel: Fuel::new(limits),
            today: limits.today,
            verbatim: limits.verbatim,
            objects: Vec::new(),
            scopes: Vec::new(),
            written: Vec::new(),
            next_scope: 0,
            depth: 0,
            line: 1,
        };
        let variables = given
            .into_iter()
            .map(|(name, value)| Ok((Rc::from(name), value_of(value)?)))
            .collect::<Result<_>>()?;
        engine.open_scope(None, variables);
        let mut out = String::new();
        match engine.run(&self.0.body, &mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(error.at(engine.line)),
        }
    }
}

fn value_of(given: Given<'_>) -> Result<Value> {
    Ok(match given {
        Given::None => Value::None,
        Given::Bool(truth) => Value::Bool(truth),
        Given::Text(text) => Value::str(text),
        Given::Messages(messages) => {
            let entry = |key: &str, text: &str| (Value::str(key), Value::str(text));
            let message =
                |(role, content)| Value::dict(vec![entry("role", role), entry("content", content)]);
            Value::list(messages.into_iter().map(message).collect::<Result<_>>()?)?
        }
    })
}

/// A rendering under way.
struct Engine<'a> {
    fuel: Fuel,
    today: Option<Today>,
    verbatim: &'a [char],
    /// What changes, under the number that values hold: no value holds itself, so all is freed.
    objects: Vec<Object>,
    scopes: Vec<Scope>,
    /// Namespaces whose text is being written: one within itself is `{...}`.
    written: Vec<usize>,
    next_scope: u64,
    /// Recursion of `evaluate` and `run`.
    depth: usize,
    line: u32,
}

/// Variables, and where those around them are.
struct Scope {
    variables: Vec<(Rc<str>, Value)>,
    parent: Option<usize>,
    id: u64,
}

enum Object {
    Namespace(Dict),
    Loop(Loop),
    /// A generator: what is left of it, and how it ends.
    Iterator(std::vec::IntoIter<Value>, Option<Error>),
    Cycler(Rc<value::Items>, usize),
    Joiner(Value, bool),
}

struct Loop {
    code: Rc<ast::For>,
    /// The scope around the loop, for recursion.
    scope: (usize, u64),
    items: Rc<value::Items>,
    /// The element that the loop is at.
    index: usize,
    depth: usize,
    changed: Option<Value>,
}
