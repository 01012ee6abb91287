//! The values of a template, with Python's types.

use std::rc::Rc;

use super::ast::Macro;
use super::{Error, Result};

/// Containers within containers. Python's own recursion limit allows some 300.
pub(super) const MAX_DEPTH: usize = 100;

/// A value. Containers are immutable, as the sandbox of transformers makes them; what changes while a
/// template runs (namespaces, loops, iterators) lies in the engine, under a number.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// What is missing, and what an error about it says.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A text, and whether it is markup (`safe`, `escape`): what is joined to that is escaped.
    Str(Rc<str>, bool),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    Range(i128, i128, i128),
    View(View, Rc<Dict>),
    /// A method of a value, by name.
    Method(Rc<(Value, &'static str)>),
    /// A global function, by name.
    Function(&'static str),
    Macro(Rc<Closure>),
    /// Something that changes: `Engine::objects` has it.
    Object(usize),
}

/// What of a dictionary a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Keys,
    Values,
    Items,
}

/// The elements of a list or tuple.
#[derive(Debug)]
pub(super) struct Items {
    pub values: Vec<Value>,
    depth: usize,
    /// Whether it is one of `groupby`'s pairs, whose parts have names.
    pub group: bool,
}

/// A dictionary, in the order of insertion.
#[derive(Debug)]
pub(super) struct Dict {
    pub entries: Vec<(Value, Value)>,
    depth: usize,
}

/// A macro, or the body of a call block, where it was defined.
#[derive(Debug)]
pub(super) struct Closure {
    pub code: Rc<Macro>,
    /// The scope around it: where, and which (places are taken again).
    pub scope: (usize, u64),
}

fn deeper(values: impl Iterator<Item = usize>) -> Result<usize> {
    match values.max().unwrap_or_default() {
        deep if deep >= MAX_DEPTH => Err(Error::new("it nests values too deeply")),
        depth => Ok(depth + 1),
    }
}

impl Value {
    pub(super) fn str(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into(), false)
    }

    pub(super) fn undefined(what: impl Into<Rc<str>>) -> Self {
        Self::Undefined(what.into())
    }

    pub(super) fn list(values: Vec<Self>) -> Result<Self> {
        Ok(Self::List(Rc::new(Items::new(values)?)))
    }

    pub(super) fn tuple(values: Vec<Self>) -> Result<Self> {
        Ok(Self::Tuple(Rc::new(Items::new(values)?)))
    }

    pub(super) fn pair(first: Self, second: Self) -> Result<Self> {
        Self::tuple(vec![first, second])
    }

    /// A dictionary of entries whose keys are known to differ.
    pub(super) fn dict(entries: Vec<(Self, Self)>) -> Result<Self> {
        Ok(Self::Dict(Rc::new(Dict::new(entries)?)))
    }

    pub(super) fn method(of: &Self, name: &'static str) -> Self {
        Self::Method(Rc::new((of.clone(), name)))
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Self::List(items) | Self::Tuple(items) => items.depth,
            Self::Dict(dict) => dict.depth,
            Self::View(_, dict) => dict.depth + 1,
            Self::Method(bound) => bound.0.depth() + 1,
            _ => 0,
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text, _) => Some(text),
            _ => None,
        }
    }

    /// A whole number; Python's booleans are some.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(truth) => Some(i128::from(*truth)),
            _ => None,
        }
    }

    /// A number as a float.
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            other => other.as_int().map(|number| number as f64),
        }
    }

    /// `type(value).__name__`.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_, false) => "str",
            Self::Str(_, true) => "Markup",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Range(..) => "range",
            Self::View(View::Keys, _) => "dict_keys",
            Self::View(View::Values, _) => "dict_values",
            Self::View(View::Items, _) => "dict_items",
            Self::Method(_) => "method",
            Self::Function(_) => "function",
            Self::Macro(_) => "Macro",
            Self::Object(_) => "object",
        }
    }

    /// The error where this can't be used.
    pub(super) fn misused(&self, at: &str) -> Error {
        match self {
            Self::Undefined(what) => Error::new(&**what),
            other => Error::new(format!(
                "{at} can't be done with a value of type {}",
                other.type_name()
            )),
        }
    }

    /// Whether a dictionary can have it as a key.
    pub(super) fn is_hashable(&self) -> bool {
        match self {
            Self::List(_) | Self::Dict(_) | Self::View(View::Keys | View::Items, _) => false,
            Self::Tuple(items) => items.values.iter().all(Self::is_hashable),
            _ => true,
        }
    }

    /// Whether both are one object. Python's small numbers and single characters are.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b && (-5..=256).contains(a),
            (Self::Str(a, false), Self::Str(b, false)) => Rc::ptr_eq(a, b),
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => Rc::ptr_eq(a, b),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Macro(a), Self::Macro(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Items {
    fn new(values: Vec<Value>) -> Result<Self> {
        let depth = deeper(values.iter().map(Value::depth))?;
        Ok(Self {
            values,
            depth,
            group: false,
        })
    }

    /// One of `groupby`'s pairs.
    pub(super) fn group(key: Value, values: Value) -> Result<Value> {
        let mut items = Self::new(vec![key, values])?;
        items.group = true;
        Ok(Value::Tuple(Rc::new(items)))
    }
}

impl Dict {
    pub(super) fn new(entries: Vec<(Value, Value)>) -> Result<Self> {
        let depth = deeper(entries.iter().map(|(k, v)| k.depth().max(v.depth())))?;
        Ok(Self { entries, depth })
    }

    /// The value of a text.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let found = |(k, _): &&(Value, Value)| k.as_str() == Some(key);
        self.entries.iter().find(found).map(|(_, value)| value)
    }
}

/// Elements `start`, `start + step` … of a sequence of `length`, as Python's slices choose them.
pub(super) fn slice_indices(
    parts: [Option<i128>; 3],
    length: usize,
) -> Result<impl ExactSizeIterator<Item = usize>> {
    let [start, stop, step] = parts;
    let (step, length) = (step.unwrap_or(1), length as i128);
    if step == 0 {
        return Err(Error::new("a slice's step is 0"));
    }
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let place = |at: Option<i128>, default: i128| match at {
        None => default,
        Some(at) if at < 0 => at.saturating_add(length).max(low),
        Some(at) => at.min(high),
    };
    let (start, stop) = match step > 0 {
        true => (place(start, low), place(stop, high)),
        false => (place(start, high), place(stop, low)),
    };
    let count = range_len(start, stop, step);
    Ok((0..count).map(move |n| (start + n as i128 * step) as usize))
}

/// How many numbers `range(start, stop, step)` has.
pub(super) fn range_len(start: i128, stop: i128, step: i128) -> usize {
    let distance = if step > 0 {
        stop.saturating_sub(start)
    } else {
        start.saturating_sub(stop)
    };
    let Some(before_last) = distance.checked_sub(1).filter(|d| *d >= 0) else {
        return 0;
    };
    usize::try_from(before_last / step.saturating_abs() + 1).unwrap_or(usize::MAX)
}
