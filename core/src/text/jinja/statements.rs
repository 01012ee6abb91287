//! Tokens to statements.

use std::rc::Rc;

use super::Result;
use super::ast::{Expr, For, Macro, Name, Node};
use super::lexer::Token;
use super::parser::Parser;

impl Parser {
    pub(super) fn statement(&mut self, name: &str, line: u32, nodes: &mut Vec<Node>) -> Result<()> {
        let node = match name {
            "for" => self.for_loop(line)?,
            "if" => self.branches(line)?,
            "set" => self.set(line)?,
            "macro" => {
                let name = self.name()?;
                Node::Macro(Rc::new(self.macro_of(Some(name), "endmacro", line)?))
            }
            "call" => self.call_block(line)?,
            "generation" => Node::Scope(self.function_body("endgeneration")?),
            "filter" => {
                let filters = self.filters(true)?;
                Node::Filter(filters, self.scoped_body(&["endfilter"], false)?.0, line)
            }
            "with" => self.with(line)?,
            "autoescape" => {
                let on = self.expression()?;
                Node::Autoescape(on, self.scoped_body(&["endautoescape"], false)?.0, line)
            }
            "print" => {
                while *self.peek() != Token::BlockEnd {
                    nodes.push(Node::Print(self.expression()?, line));
                    if *self.peek() != Token::BlockEnd {
                        self.expect_op(",")?;
                    }
                }
                return Ok(());
            }
            "break" | "continue" if self.loops == 0 => {
                return Err(self.error(format!("{{% {name} %}} outside of a loop")));
            }
            "break" => Node::Break,
            "continue" => Node::Continue,
            "block" => {
                let name = self.name()?;
                let scoped = self.skip_name("scoped");
                let required = self.skip_name("required");
                let body = self.function_body("endblock")?;
                self.skip_name(&name);
                if required {
                    return Err(self.error(format!("the required block '{name}' is not there")));
                }
                Node::Block(body, scoped)
            }
            // There are no other templates, as in transformers. Refused where it is reached.
            "include" | "import" | "from" | "extends" => {
                while !matches!(self.peek(), Token::BlockEnd | Token::End) {
                    self.next();
                }
                let what = format!("{{% {name} %}}: there are no other templates");
                Node::Refused(what, line)
            }
            _ => return Err(self.error(format!("unknown tag '{name}'"))),
        };
        nodes.push(node);
        Ok(())
    }

    fn for_loop(&mut self, line: u32) -> Result<Node> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return Err(self.unexpected("'in'"));
        }
        let iter = self.tuple(false)?;
        let around = std::mem::replace(&mut self.in_branch, false);
        let test = match self.skip_name("if") {
            true => Some(self.expression()?),
            false => None,
        };
        let recursive = self.skip_name("recursive");
        self.loops += 1;
        let (body, end) = self.body(&["endfor", "else"])?;
        self.loops -= 1;
        let otherwise = match &*end {
            "else" => self.body(&["endfor"])?.0,
            _ => Vec::new(),
        };
        self.in_branch = around;
        Ok(Node::For(Rc::new(For {
            target,
            iter,
            test,
            body,
            otherwise,
            recursive,
            line,
        })))
    }

    fn branches(&mut self, line: u32) -> Result<Node> {
        let around = std::mem::replace(&mut self.in_branch, true);
        let (mut branches, mut otherwise) = (Vec::new(), Vec::new());
        let mut line = line;
        loop {
            let test = self.tuple(false)?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((test, line, body));
            line = self.line();
            match &*end {
                "elif" => {}
                "else" => {
                    otherwise = self.body(&["endif"])?.0;
                    break;
                }
                _ => break,
            }
        }
        self.in_branch = around;
        Ok(Node::If(branches, otherwise))
    }

    fn set(&mut self, line: u32) -> Result<Node> {
        let target = self.target(true)?;
        if self.skip_op("=") {
            return Ok(Node::Set(target, self.tuple(true)?, line));
        }
        let filters = self.filters(false)?;
        let body = self.scoped_body(&["endset"], false)?.0;
        Ok(Node::SetBlock(target, filters, body, line))
    }

    fn with(&mut self, line: u32) -> Result<Node> {
        let mut values = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !values.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target(false)?;
            self.expect_op("=")?;
            values.push((target, self.expression()?));
        }
        let body = self.scoped_body(&["endwith"], false)?.0;
        Ok(Node::With(values, body, line))
    }

    fn call_block(&mut self, line: u32) -> Result<Node> {
        let mut parameters = (Vec::new(), Vec::new());
        if self.is_op("(") {
            parameters = self.signature()?;
        }
        let call = self.expression()?;
        if !matches!(call, Expr::Call(..)) {
            return Err(self.error("{% call %} without a call"));
        }
        let code = self.macro_body(None, parameters, "endcall", line)?;
        Ok(Node::Call(call, Rc::new(code), line))
    }

    fn macro_of(&mut self, name: Option<Name>, end: &str, line: u32) -> Result<Macro> {
        let parameters = self.signature()?;
        self.macro_body(name, parameters, end, line)
    }

    fn macro_body(
        &mut self,
        name: Option<Name>,
        (parameters, defaults): (Vec<Name>, Vec<Expr>),
        end: &str,
        line: u32,
    ) -> Result<Macro> {
        let first = self.names.len();
        let body = self.function_body(end)?;
        let has = |name: &str| self.names[first..].iter().any(|n| &**n == name);
        let own = |name: &str| parameters.iter().any(|n| &**n == name);
        let [caller, kwargs, varargs] = ["caller", "kwargs", "varargs"].map(has);
        if caller && own("caller") && defaults.is_empty() {
            return Err(self.error("a macro's parameter `caller` needs a default"));
        }
        Ok(Macro {
            name,
            kwargs: kwargs && !own("kwargs"),
            varargs: varargs && !own("varargs"),
            parameters,
            defaults,
            body,
            caller,
            line,
        })
    }

    /// A body that is a function of its own: no loop around it can be left.
    fn function_body(&mut self, end: &str) -> Result<Vec<Node>> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.scoped_body(&[end], false);
        self.loops = loops;
        Ok(body?.0)
    }

    fn signature(&mut self) -> Result<(Vec<Name>, Vec<Expr>)> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            parameters.push(self.target_name()?);
            if self.skip_op("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return Err(self.error("a parameter without a default after one with a default"));
            }
        }
        self.expect_op(")")?;
        Ok((parameters, defaults))
    }

    /// The body of a statement, and which tag ended it (that tag is not passed yet).
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Name)> {
        self.skip_op(":");
        self.block_end()?;
        self.nodes(ends)
    }

    /// A body in which unknown names fail at once, or (`branch`) when they are reached.
    fn scoped_body(&mut self, ends: &[&str], branch: bool) -> Result<(Vec<Node>, Name)> {
        let around = std::mem::replace(&mut self.in_branch, branch);
        let body = self.body(ends);
        self.in_branch = around;
        body
    }
}
