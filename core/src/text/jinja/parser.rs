//! Tokens to statements. Expressions are read in `expression`.

use std::rc::Rc;

use super::ast::{Args, Expr, For, Macro, Name, Node, Target};
use super::lexer::{Token, tokenize};
use super::{Error, Result, filters, tests};

/// Nesting of statements and of parentheses.
const MAX_NESTING: usize = 60;

/// What is missing at compile time in jinja2, and so refused at the first rendering.
pub(super) struct Parsed {
    pub body: Vec<Node>,
    pub unknown: Option<Error>,
}

pub(super) struct Parser {
    tokens: Vec<(Token, u32)>,
    at: usize,
    nesting: usize,
    /// Loops around, within the macro: what `break` may leave.
    loops: usize,
    /// Names looked up so far: whether a macro's body has `caller`, `kwargs`, `varargs`.
    pub(super) names: Vec<Name>,
    /// Unknown filters and tests. In branches of `if` they matter only when they are reached.
    pub(super) unknown: Vec<Error>,
    pub(super) in_branch: bool,
}

pub(super) fn parse(source: &str) -> Result<Parsed> {
    let mut parser = Parser {
        tokens: tokenize(source)?,
        at: 0,
        nesting: 0,
        loops: 0,
        names: Vec::new(),
        unknown: Vec::new(),
        in_branch: false,
    };
    let (body, _) = parser.nodes(&[])?;
    Ok(Parsed {
        body,
        unknown: parser.unknown.into_iter().next(),
    })
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Token::Op(this) if *this == op)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(this) if &**this == name)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect_op(&mut self, op: &str) -> Result<()> {
        match self.skip_op(op) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{op}'"))),
        }
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        match self.peek().clone() {
            Token::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn error(&self, what: impl Into<String>) -> Error {
        Error::new(what).at(self.line())
    }

    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            Token::Data(_) => "text".to_owned(),
            Token::VariableBegin => "'{{'".to_owned(),
            Token::VariableEnd => "'}}'".to_owned(),
            Token::BlockBegin => "'{%'".to_owned(),
            Token::BlockEnd => "'%}'".to_owned(),
            Token::Name(name) => format!("'{name}'"),
            Token::Str(_) => "a string".to_owned(),
            Token::Int(_) | Token::Float(_) => "a number".to_owned(),
            Token::Op(op) => format!("'{op}'"),
            Token::End => "the end".to_owned(),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    /// Whatever `read` reads, one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting >= MAX_NESTING {
            return Err(self.error("it nests too deeply"));
        }
        self.nesting += 1;
        let value = read(self);
        self.nesting -= 1;
        value
    }

    /// Nodes up to one of the tags `ends`, whose name it passes; without `ends`, up to the end.
    fn nodes(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Name)> {
        let mut nodes = Vec::new();
        loop {
            let line = self.line();
            match self.next() {
                Token::Data(text) => nodes.push(Node::Data(text)),
                Token::VariableBegin => {
                    nodes.push(Node::Print(self.tuple(true)?, line));
                    match self.next() {
                        Token::VariableEnd => {}
                        _ => {
                            self.at -= 1;
                            return Err(self.unexpected("'}}'"));
                        }
                    }
                }
                Token::BlockBegin => {
                    let name = self.name()?;
                    if ends.contains(&&*name) {
                        return Ok((nodes, name));
                    }
                    self.nested(|parser| parser.statement(&name, line, &mut nodes))?;
                    self.block_end()?;
                }
                Token::End if ends.is_empty() => return Ok((nodes, "".into())),
                _ => {
                    return Err(self.error(format!("the end, before {{% {} %}}", ends.join("/"))));
                }
            }
        }
    }

    fn block_end(&mut self) -> Result<()> {
        match self.peek() {
            Token::BlockEnd => {
                self.next();
                Ok(())
            }
            _ => Err(self.unexpected("'%}'")),
        }
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

    fn statement(&mut self, name: &str, line: u32, nodes: &mut Vec<Node>) -> Result<()> {
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

    fn target_name(&mut self) -> Result<Name> {
        let name = self.name()?;
        match &*name {
            "true" | "false" | "none" | "True" | "False" | "None" => {
                Err(self.error(format!("can't assign to '{name}'")))
            }
            _ => Ok(name),
        }
    }

    /// What a value is assigned to: a name, or several.
    fn target(&mut self, attributes: bool) -> Result<Target> {
        let mut targets = Vec::new();
        loop {
            let ends = matches!(self.peek(), Token::VariableEnd | Token::BlockEnd);
            if ends || self.is_op(")") || self.is_name("in") {
                break;
            }
            targets.push(if self.skip_op("(") {
                let inner = self.nested(|parser| parser.target(attributes))?;
                self.expect_op(")")?;
                inner
            } else {
                let name = self.target_name()?;
                match attributes && self.skip_op(".") {
                    true => Target::Attribute(name, self.name()?),
                    false => Target::Name(name),
                }
            });
            if !self.skip_op(",") {
                return match <[Target; 1]>::try_from(targets) {
                    Ok([target]) => Ok(target),
                    Err(targets) => Ok(Target::Tuple(targets)),
                };
            }
        }
        match targets.is_empty() {
            true => Err(self.unexpected("a name")),
            false => Ok(Target::Tuple(targets)),
        }
    }

    /// `| filter | filter(…)`; the first without its `|` where that is so.
    fn filters(&mut self, inline: bool) -> Result<Vec<(Name, Args)>> {
        let mut filters = Vec::new();
        while (inline && filters.is_empty()) || self.skip_op("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    /// A filter's name and arguments.
    pub(super) fn filter(&mut self) -> Result<(Name, Args)> {
        let name = self.dotted_name()?;
        if !filters::NAMES.contains(&&*name) {
            self.note_unknown(format!("no filter named '{name}'"));
        }
        let args = match self.is_op("(") {
            true => self.call_args()?,
            false => Args::default(),
        };
        Ok((name, args))
    }

    /// A test's name.
    pub(super) fn test_name(&mut self) -> Result<Name> {
        let name = self.dotted_name()?;
        if !tests::NAMES.contains(&&*name) {
            self.note_unknown(format!("no test named '{name}'"));
        }
        Ok(name)
    }

    fn note_unknown(&mut self, what: String) {
        if !self.in_branch {
            self.unknown.push(self.error(what));
        }
    }

    fn dotted_name(&mut self) -> Result<Name> {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }
}
