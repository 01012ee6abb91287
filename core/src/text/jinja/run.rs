//! Statements.

use std::rc::Rc;

use super::ast::{Args, For, Name, Node, Target};
use super::value::Value;
use super::{Engine, Error, Loop, Object, Result, Scope};

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Through,
    Break,
    Continue,
}

impl Engine<'_> {
    /// Runs a body; what it writes goes to `out`.
    pub(super) fn run(&mut self, nodes: &[Node], out: &mut String) -> Result<Flow> {
        for node in nodes {
            let flow = match node {
                Node::Data(text) => {
                    self.write(out, text)?;
                    Flow::Through
                }
                _ => self.deeper(|engine| engine.statement(node, out))?,
            };
            if flow != Flow::Through {
                return Ok(flow);
            }
        }
        Ok(Flow::Through)
    }

    fn write(&mut self, out: &mut String, text: &str) -> Result<()> {
        self.fuel.step()?;
        self.fuel.grow(out.len(), text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn statement(&mut self, node: &Node, out: &mut String) -> Result<Flow> {
        match node {
            Node::Data(text) => self.write(out, text)?,
            Node::Print(expr, line) => {
                self.line = *line;
                let value = self.evaluate(expr)?;
                self.write_text(out, &value)?;
            }
            Node::If(branches, otherwise) => {
                for (test, line, body) in branches {
                    self.line = *line;
                    let test = self.evaluate(test)?;
                    if self.truth(&test) {
                        return self.run(body, out);
                    }
                }
                return self.run(otherwise, out);
            }
            Node::For(code) => {
                self.line = code.line;
                let items = self.evaluate(&code.iter)?;
                return self.run_loop(code, &items, 0, out);
            }
            Node::Set(target, expr, line) => {
                self.line = *line;
                let value = self.evaluate(expr)?;
                self.assign(target, value)?;
            }
            Node::Macro(code) => {
                self.line = code.line;
                let closure = self.closure(code);
                if let Some(name) = &code.name {
                    self.assign_name(name, closure);
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Refused(what, line) => return Err(Error::new(what).at(*line)),
            _ => return self.block_statement(node, out),
        }
        Ok(Flow::Through)
    }

    /// Statements with a body of their own.
    #[inline(never)]
    fn block_statement(&mut self, node: &Node, out: &mut String) -> Result<Flow> {
        let mut text = String::new();
        match node {
            Node::SetBlock(target, filters, body, line) => {
                self.line = *line;
                let flow = self.scoped(Vec::new(), body, &mut text)?;
                if flow != Flow::Through {
                    return Ok(flow);
                }
                let value = self.filtered(text, filters)?;
                self.assign(target, value)?;
            }
            Node::Filter(filters, body, line) => {
                self.line = *line;
                let flow = self.scoped(Vec::new(), body, &mut text)?;
                if flow != Flow::Through {
                    return Ok(flow);
                }
                let value = self.filtered(text, filters)?;
                self.write_text(out, &value)?;
            }
            Node::With(values, body, line) => {
                self.line = *line;
                let mut given = Vec::new();
                for (target, expr) in values {
                    given.push((target, self.evaluate(expr)?));
                }
                return self.scoped(given, body, out);
            }
            Node::Call(call, code, line) => {
                self.line = *line;
                let super::ast::Expr::Call(function, args) = call else {
                    return Err(Error::new("{% call %} without a call"));
                };
                let function = self.evaluate(function)?;
                let mut args = self.arguments(args)?;
                args.keywords.push(("caller".into(), self.closure(code)));
                let value = self.call(&function, args)?;
                self.write_text(out, &value)?;
            }
            Node::Scope(body) => return self.scoped(Vec::new(), body, out),
            Node::Autoescape(on, body, line) => {
                self.line = *line;
                let on = self.evaluate(on)?;
                if self.truth(&on) {
                    return Err(Error::new("{% autoescape %}: not supported"));
                }
                return self.scoped(Vec::new(), body, out);
            }
            Node::Block(body, true) => return self.scoped(Vec::new(), body, out),
            // It sees the template's own variables alone.
            Node::Block(body, false) => {
                return self.within(0, |engine| engine.scoped(Vec::new(), body, out));
            }
            _ => {}
        }
        Ok(Flow::Through)
    }

    fn filtered(&mut self, text: String, filters: &[(Name, Args)]) -> Result<Value> {
        let mut value = Value::str(text);
        for (name, args) in filters {
            let call = self.arguments(args)?;
            value = self.filter(name, value, call)?;
        }
        Ok(value)
    }

    /// A body with variables of its own.
    fn scoped(
        &mut self,
        given: Vec<(&Target, Value)>,
        body: &[Node],
        out: &mut String,
    ) -> Result<Flow> {
        let place = self.open_scope(Some(self.current_scope()), Vec::new());
        for (target, value) in given {
            self.assign(target, value)?;
        }
        let flow = self.run(body, out)?;
        self.close_scope(place);
        Ok(flow)
    }

    /// A loop over `items`.
    #[inline(never)]
    pub(super) fn run_loop(
        &mut self,
        code: &Rc<For>,
        items: &Value,
        depth: usize,
        out: &mut String,
    ) -> Result<Flow> {
        let (mut values, mut end) = self.begun(items)?;
        let outer = self.current_scope();
        if let Some(test) = &code.test {
            let mut kept = Vec::new();
            for value in values {
                let place = self.open_scope(Some(outer), Vec::new());
                let passes = match self.assign(&code.target, value.clone()) {
                    Ok(()) => self.evaluate(test),
                    Err(error) => Err(error),
                };
                self.close_scope(place);
                match passes {
                    Ok(passes) if self.truth(&passes) => kept.push(value),
                    Ok(_) => {}
                    Err(error) => {
                        end = Some(error);
                        break;
                    }
                }
            }
            values = kept;
        }
        let Value::Tuple(items) = Value::tuple(values)? else {
            return Err(Error::new("a loop without a list"));
        };
        let state = self.object(Object::Loop(Loop {
            code: code.clone(),
            scope: (outer, self.scopes[outer].id),
            items: items.clone(),
            index: 0,
            depth,
            changed: None,
        }))?;
        let mut completed = false;
        for (index, value) in items.values.iter().enumerate() {
            self.fuel.step()?;
            if let Value::Object(at) = state
                && let Object::Loop(state) = &mut self.objects[at]
            {
                state.index = index;
            }
            let place = self.open_scope(Some(outer), vec![("loop".into(), state.clone())]);
            self.line = code.line;
            self.assign(&code.target, value.clone())?;
            let flow = self.run(&code.body, out)?;
            self.close_scope(place);
            // Only a body that ran to its end counts for `else`, in jinja2.
            completed |= flow == Flow::Through;
            if flow == Flow::Break {
                end = None;
                break;
            }
        }
        if let Some(end) = end {
            return Err(end);
        }
        if !completed {
            return self.scoped(Vec::new(), &code.otherwise, out);
        }
        Ok(Flow::Through)
    }

    pub(super) fn open_scope(
        &mut self,
        parent: Option<usize>,
        variables: Vec<(Rc<str>, Value)>,
    ) -> usize {
        self.next_scope += 1;
        self.scopes.push(Scope {
            variables,
            parent,
            id: self.next_scope,
        });
        self.scopes.len() - 1
    }

    pub(super) fn close_scope(&mut self, place: usize) {
        self.scopes.truncate(place);
    }

    pub(super) fn current_scope(&self) -> usize {
        self.scopes.len() - 1
    }

    /// Runs something where the scope around it is `place`.
    pub(super) fn within<T>(
        &mut self,
        place: usize,
        run: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let own = self.open_scope(Some(place), Vec::new());
        let result = run(self);
        self.close_scope(own);
        result
    }

    pub(super) fn assign_name(&mut self, name: &Name, value: Value) {
        let place = self.current_scope();
        let variables = &mut self.scopes[place].variables;
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some(variable) => variable.1 = value,
            None => variables.push((name.clone(), value)),
        }
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(name) => self.assign_name(name, value),
            Target::Attribute(of, name) => {
                let of = self.evaluate(&super::ast::Expr::Name(of.clone()))?;
                self.set_attribute(&of, name, value)?;
            }
            Target::Tuple(targets) => {
                let values = self.iterate(&value)?;
                if values.len() != targets.len() {
                    return Err(Error::new(format!(
                        "{} values for {} names",
                        values.len(),
                        targets.len()
                    )));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
            }
        }
        Ok(())
    }
}
