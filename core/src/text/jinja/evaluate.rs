//! Expressions to values.

use std::rc::Rc;

use super::ast::{Args, Comparison, Expr};
use super::calls::{Call, FUNCTIONS, MAX_RECURSION};
use super::value::Value;
use super::{Engine, Error, Result};

impl Engine<'_> {
    /// Something one level deeper.
    pub(super) fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.fuel.step()?;
        if self.depth >= MAX_RECURSION {
            return Err(Error::new("it nests too deeply"));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// The value of an expression.
    pub(super) fn evaluate(&mut self, expr: &Expr) -> Result<Value> {
        match expr {
            Expr::Const(value) => {
                self.fuel.step()?;
                Ok(value.clone())
            }
            Expr::Name(name) => {
                self.fuel.step()?;
                self.variable(name)
            }
            _ => self.deeper(|engine| engine.compound(expr)),
        }
    }

    fn compound(&mut self, expr: &Expr) -> Result<Value> {
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Name(name) => self.variable(name),
            Expr::List(items) => Value::list(self.all(items)?),
            Expr::Tuple(items) => Value::tuple(self.all(items)?),
            Expr::Dict(items) => self.dict(items),
            Expr::Attribute(of, name) => {
                let of = self.evaluate(of)?;
                self.attribute(&of, name)
            }
            Expr::Item(of, key) => {
                let of = self.evaluate(of)?;
                let key = self.evaluate(key)?;
                self.item(&of, &key)
            }
            Expr::Slice(of, parts) => self.evaluate_slice(of, parts),
            Expr::Call(function, args) => {
                let function = self.evaluate(function)?;
                let call = self.arguments(args)?;
                self.call(&function, call)
            }
            Expr::Filter(of, name, args) => {
                let of = self.evaluate(of)?;
                let call = self.arguments(args)?;
                self.filter(name, of, call)
            }
            Expr::Test(of, name, args) => {
                let of = self.evaluate(of)?;
                let call = self.arguments(args)?;
                self.test(name, &of, call).map(Value::Bool)
            }
            Expr::Not(of) => {
                let of = self.evaluate(of)?;
                Ok(Value::Bool(!self.truth(&of)))
            }
            Expr::Sign(negative, of) => {
                let of = self.evaluate(of)?;
                self.sign(*negative, &of)
            }
            Expr::Binary(operator, left, right) => {
                let left = self.evaluate(left)?;
                let right = self.evaluate(right)?;
                self.binary(*operator, &left, &right)
            }
            Expr::And(left, right) => {
                let left = self.evaluate(left)?;
                match self.truth(&left) {
                    true => self.evaluate(right),
                    false => Ok(left),
                }
            }
            Expr::Or(left, right) => {
                let left = self.evaluate(left)?;
                match self.truth(&left) {
                    true => Ok(left),
                    false => self.evaluate(right),
                }
            }
            Expr::Concat(parts) => {
                let parts = self.all(parts)?;
                self.concat(&parts)
            }
            Expr::Compare(first, others) => self.chain(first, others),
            Expr::If(parts) => {
                let (test, value, other) = &**parts;
                let test = self.evaluate(test)?;
                match (self.truth(&test), other) {
                    (true, _) => self.evaluate(value),
                    (false, Some(other)) => self.evaluate(other),
                    (false, None) => Ok(Value::undefined(
                        "the inline if-expression evaluated to false and has no else",
                    )),
                }
            }
        }
    }

    #[inline(never)]
    fn evaluate_slice(&mut self, of: &Expr, parts: &[Option<Expr>; 3]) -> Result<Value> {
        let of = self.evaluate(of)?;
        let mut values = [Value::None, Value::None, Value::None];
        for (value, part) in values.iter_mut().zip(parts) {
            if let Some(part) = part {
                *value = self.evaluate(part)?;
            }
        }
        self.slice(&of, &values)
    }

    #[inline(never)]
    fn dict(&mut self, items: &[(Expr, Expr)]) -> Result<Value> {
        let mut entries = Vec::new();
        for (key, value) in items {
            let key = self.evaluate(key)?;
            let value = self.evaluate(value)?;
            self.put(&mut entries, key, value)?;
        }
        Value::dict(entries)
    }

    /// `a < b < c`: each value once, up to the first that fails.
    #[inline(never)]
    fn chain(&mut self, first: &Expr, others: &[(Comparison, Expr)]) -> Result<Value> {
        let mut left = self.evaluate(first)?;
        for (comparison, right) in others {
            let right = self.evaluate(right)?;
            if !self.compare(*comparison, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn all(&mut self, items: &[Expr]) -> Result<Vec<Value>> {
        self.fuel.items(items.len())?;
        items.iter().map(|item| self.evaluate(item)).collect()
    }

    /// The values of a call's arguments.
    #[inline(never)]
    pub(super) fn arguments(&mut self, args: &Args) -> Result<Call> {
        let mut call = Call {
            positional: self.all(&args.positional)?,
            keywords: Vec::new(),
        };
        for (name, value) in &args.keywords {
            call.keywords.push((name.clone(), self.evaluate(value)?));
        }
        if let Some(star) = &args.star {
            let star = self.evaluate(star)?;
            call.positional.extend(self.iterate(&star)?);
        }
        if let Some(stars) = &args.star_star {
            let stars = self.evaluate(stars)?;
            let Value::Dict(dict) = &stars else {
                return Err(stars.misused("** of arguments"));
            };
            for (key, value) in &dict.entries {
                let Value::Str(key, _) = key else {
                    return Err(key.misused("an argument's name"));
                };
                if call.keywords.iter().any(|(name, _)| name == key) {
                    return Err(Error::new(format!("two values for the argument {key}")));
                }
                call.keywords.push((key.clone(), value.clone()));
            }
        }
        Ok(call)
    }

    /// A variable, or a function that is always there.
    fn variable(&mut self, name: &Rc<str>) -> Result<Value> {
        let mut place = Some(self.current_scope());
        while let Some(at) = place {
            let scope = &self.scopes[at];
            if let Some((_, value)) = scope.variables.iter().find(|(known, _)| known == name) {
                return Ok(value.clone());
            }
            place = scope.parent;
        }
        let known = FUNCTIONS.iter().find(|known| **known == &**name);
        if let Some(function) = known.filter(|f| **f != "strftime_now" || self.today.is_some()) {
            return Ok(Value::Function(function));
        }
        if matches!(&**name, "self" | "super") {
            return Err(Error::new(format!("{name}: not supported")));
        }
        Ok(Value::undefined(format!("'{name}' is undefined")))
    }
}
